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
