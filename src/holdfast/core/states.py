"""Every state that a person sees, and every way from one to another: the only table of transitions.

A move that is not in the table cannot be made; `docs/reference/states.md` is compared with it by a test.
"""

from __future__ import annotations

from enum import StrEnum

from holdfast.core.errors import Conflict


class TransitionForbidden(Conflict):
    """The thing is in a state that does not lead there. Read its state again and decide anew."""

    code = "transition-forbidden"


class InvoiceState(StrEnum):
    """Where an invoice stands."""

    NEW = "new"
    PROCESSING = "processing"
    """Enough has been seen; not all of it has its confirmations."""
    SETTLED = "settled"
    EXPIRED = "expired"
    INVALID = "invalid"


class InvoiceReason(StrEnum):
    """Why an invoice stands where it does, when the state alone does not say it."""

    UNDERPAID = "underpaid"
    OVERPAID = "overpaid"
    LATE = "late"
    REORGED = "reorged"
    MARKED = "marked"


class DepositState(StrEnum):
    """Where a deposit stands."""

    SEEN = "seen"
    CONFIRMED = "confirmed"
    HELD = "held"
    RETURNED = "returned"
    REORGED = "reorged"
    """Its transaction left the chain, was replaced or was double-spent; it may come back as `seen`."""


class PayoutState(StrEnum):
    """Where a payout stands."""

    RESERVED = "reserved"
    """Its units are set aside, and it is the signer's turn."""
    AWAITING_APPROVAL = "awaiting-approval"
    """It is large: officers must sign it too."""
    SIGNED = "signed"
    BROADCAST = "broadcast"
    CONFIRMED = "confirmed"
    REFUSED = "refused"
    """The signer will never sign it; its rule says why."""
    ABANDONED = "abandoned"
    """It was taken on and cannot be paid any more; nothing left."""
    FAILED = "failed"
    """Its transaction is in the chain and at least one line moved nothing; the lines say which."""


class LineState(StrEnum):
    """Where one destination of a payout stands."""

    WAITING = "waiting"
    PAID = "paid"
    UNPAID = "unpaid"
    """Nothing arrived, nothing will; its units are on the balance again."""


class StandingOrderState(StrEnum):
    """Where a standing order stands."""

    ACTIVE = "active"
    STOPPED = "stopped"
    """The merchant wants no more slots proposed."""
    ENDED = "ended"
    """Its time is over."""


class IncidentState(StrEnum):
    """Where an incident stands."""

    OPEN = "open"
    CONTAINED = "contained"
    """Every scope of its alarms and stops stands still: nothing more can leave there."""
    CLOSED = "closed"


INVOICE_MOVES: dict[InvoiceState, frozenset[InvoiceState]] = {
    InvoiceState.NEW: frozenset(
        {InvoiceState.PROCESSING, InvoiceState.SETTLED, InvoiceState.EXPIRED, InvoiceState.INVALID}
    ),
    InvoiceState.PROCESSING: frozenset(
        {InvoiceState.NEW, InvoiceState.SETTLED, InvoiceState.EXPIRED, InvoiceState.INVALID}
    ),
    InvoiceState.SETTLED: frozenset({InvoiceState.PROCESSING, InvoiceState.NEW, InvoiceState.INVALID}),
    InvoiceState.EXPIRED: frozenset({InvoiceState.PROCESSING, InvoiceState.SETTLED, InvoiceState.INVALID}),
    InvoiceState.INVALID: frozenset({InvoiceState.SETTLED}),
}

DEPOSIT_MOVES: dict[DepositState, frozenset[DepositState]] = {
    DepositState.SEEN: frozenset({DepositState.CONFIRMED, DepositState.HELD, DepositState.REORGED}),
    DepositState.CONFIRMED: frozenset({DepositState.REORGED}),
    DepositState.HELD: frozenset({DepositState.CONFIRMED, DepositState.RETURNED, DepositState.REORGED}),
    DepositState.RETURNED: frozenset(),
    DepositState.REORGED: frozenset({DepositState.SEEN}),
}

PAYOUT_MOVES: dict[PayoutState, frozenset[PayoutState]] = {
    PayoutState.RESERVED: frozenset(
        {PayoutState.AWAITING_APPROVAL, PayoutState.SIGNED, PayoutState.REFUSED, PayoutState.ABANDONED}
    ),
    PayoutState.AWAITING_APPROVAL: frozenset(
        {PayoutState.RESERVED, PayoutState.SIGNED, PayoutState.REFUSED, PayoutState.ABANDONED}
    ),
    # Abandoned after it was signed: only where a conflicting transaction is final.
    PayoutState.SIGNED: frozenset(
        {PayoutState.BROADCAST, PayoutState.CONFIRMED, PayoutState.FAILED, PayoutState.ABANDONED}
    ),
    PayoutState.BROADCAST: frozenset({PayoutState.CONFIRMED, PayoutState.FAILED, PayoutState.ABANDONED}),
    # Only where the vault paid it, and its block left the chain: what the float paid is over by the signer's word.
    PayoutState.CONFIRMED: frozenset({PayoutState.BROADCAST}),
    PayoutState.REFUSED: frozenset(),
    PayoutState.ABANDONED: frozenset(),
    PayoutState.FAILED: frozenset(),
}

LINE_MOVES: dict[LineState, frozenset[LineState]] = {
    LineState.WAITING: frozenset({LineState.PAID, LineState.UNPAID}),
    LineState.PAID: frozenset({LineState.WAITING}),  # as above
    LineState.UNPAID: frozenset(),
}

STANDING_ORDER_MOVES: dict[StandingOrderState, frozenset[StandingOrderState]] = {
    StandingOrderState.ACTIVE: frozenset({StandingOrderState.STOPPED, StandingOrderState.ENDED}),
    StandingOrderState.STOPPED: frozenset(),
    StandingOrderState.ENDED: frozenset(),
}

INCIDENT_MOVES: dict[IncidentState, frozenset[IncidentState]] = {
    IncidentState.OPEN: frozenset({IncidentState.CONTAINED, IncidentState.CLOSED}),
    IncidentState.CONTAINED: frozenset({IncidentState.OPEN, IncidentState.CLOSED}),
    IncidentState.CLOSED: frozenset(),
}


def move_invoice(now: InvoiceState, then: InvoiceState) -> InvoiceState:
    """`then`, if an invoice may go there from `now`; staying is always allowed. Raises `TransitionForbidden`."""
    if then is not now and then not in INVOICE_MOVES[now]:
        raise TransitionForbidden(f"an invoice cannot go from {now} to {then}")
    return then


def move_deposit(now: DepositState, then: DepositState) -> DepositState:
    """`then`, if a deposit may go there from `now`; staying is always allowed. Raises `TransitionForbidden`."""
    if then is not now and then not in DEPOSIT_MOVES[now]:
        raise TransitionForbidden(f"a deposit cannot go from {now} to {then}")
    return then


def move_payout(now: PayoutState, then: PayoutState) -> PayoutState:
    """`then`, if a payout may go there from `now`; staying is always allowed. Raises `TransitionForbidden`."""
    if then is not now and then not in PAYOUT_MOVES[now]:
        raise TransitionForbidden(f"a payout cannot go from {now} to {then}")
    return then


def move_line(now: LineState, then: LineState) -> LineState:
    """`then`, if a payout's line may go there from `now`; staying is always allowed. Raises `TransitionForbidden`."""
    if then is not now and then not in LINE_MOVES[now]:
        raise TransitionForbidden(f"a payout's line cannot go from {now} to {then}")
    return then


def move_standing_order(now: StandingOrderState, then: StandingOrderState) -> StandingOrderState:
    """`then`, if a standing order may go there from `now`; staying is always allowed. Raises `TransitionForbidden`."""
    if then is not now and then not in STANDING_ORDER_MOVES[now]:
        raise TransitionForbidden(f"a standing order cannot go from {now} to {then}")
    return then


def move_incident(now: IncidentState, then: IncidentState) -> IncidentState:
    """`then`, if an incident may go there from `now`; staying is always allowed. Raises `TransitionForbidden`."""
    if then is not now and then not in INCIDENT_MOVES[now]:
        raise TransitionForbidden(f"an incident cannot go from {now} to {then}")
    return then
