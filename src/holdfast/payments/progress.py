"""What becomes of payouts: facts of the signer's journal (mirrored) and of the broadcaster move them on.

State, lines, ledger and events move together, in the caller's transaction, once however often a fact is told. Nothing
here decides: a reservation is released only because the signer's journal says that the payout is over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, TypeAlias, assert_never

import structlog
from psycopg import AsyncConnection

from holdfast import ledger
from holdfast.core.states import LineState, PayoutState, TransitionForbidden, move_line, move_payout
from holdfast.ledger import LedgerRaced, Rule, Transfer
from holdfast.payments import events, paying
from holdfast.payments.payouts import Payout, PayoutLine, PayoutNotPosted, load, news, store, store_lines
from holdfast.policy import rules
from holdfast.policy.record import DIRECT
from holdfast.runtime import metrics

LOOKED_AT_EXACT_TO = timedelta(seconds=30)
"""A payout may wait for days: that it still does is not written each time that the signer says so."""
ENDED = frozenset({PayoutState.CONFIRMED, PayoutState.REFUSED, PayoutState.ABANDONED, PayoutState.FAILED})

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Accepted:
    """The signer has taken it on: it charged entitlement and limits."""

    payout: str
    """Here and below: `Payout.key`."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """The signer has looked at it and does not sign it yet."""

    payout: str
    rule: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """The signer's journal says that it will never be signed."""

    payout: str
    rule: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Abandoned:
    """The signer's journal says that nothing was signed, or that what was can never be mined."""

    payout: str
    rule: str


@dataclass(frozen=True, slots=True)
class Direct:
    """The signer's journal has the quorum's order to pay it out of the vault: no signer ever will."""

    payout: str


@dataclass(frozen=True, slots=True)
class Signed:
    """A transaction that pays these was signed and witnessed; perhaps in the place of another with a lower fee."""

    payouts: Sequence[str]
    reservation: int | None
    """None: the officers signed it, and it spends the vault."""
    transaction: str


@dataclass(frozen=True, slots=True)
class Broadcast:
    """A node took the transaction that pays these."""

    payouts: Sequence[str]
    transaction: str


@dataclass(frozen=True, slots=True)
class Mined:
    """A signed transaction is final. For a house transaction `payouts` is empty: only its fee is posted."""

    payouts: Sequence[str]
    transaction: str
    coin: str
    """CAIP-19 id of the network's coin, which the fee was paid in."""
    fee_units: int
    is_reverted: bool = False
    unpaid: frozenset[tuple[str, int]] = frozenset()
    """Payout and place of lines that moved nothing."""


@dataclass(frozen=True, slots=True)
class Unmined:
    """The block with the vault's transaction that paid these has left the chain."""

    payouts: Sequence[str]


Fact: TypeAlias = Accepted | Waiting | Refused | Abandoned | Direct | Signed | Broadcast | Mined | Unmined


@dataclass(frozen=True, slots=True)
class Applied:
    """What facts changed."""

    changed: list[Payout]
    unknown: list[str]
    """Keys of payouts that are not here: the journal knows more than this database. A person must look."""


async def apply(conn: AsyncConnection[Any], facts: Sequence[Fact], now: datetime) -> Applied:
    """Take facts in order, in the caller's transaction: states, lines, ledger and events move together.

    What was applied before changes nothing. Call it once per transaction, with all there is: the ledger locks accounts
    in one order within a call. Raises `TransitionForbidden` (a fact contradicts what was told before), `LedgerRaced`
    (run the transaction again), `PayoutNotPosted`.
    """
    keys = sorted({key for fact in facts for key in _keys(fact)})
    found = {payout.key: payout for payout in await load(conn, keys)}
    then = _Folded(dict(found), now)
    for fact in facts:
        then.take(fact)
    await _post(conn, then.transfers)
    changed = [payout for key, payout in then.payouts.items() if payout != found[key]]
    await store(conn, changed)
    await store_lines(conn, [payout for payout in changed if payout.lines != found[payout.key].lines])
    await events.emit(conn, [news(payout) for payout in then.told], now)
    for payout in then.told:
        metrics.PAYOUTS.labels(payout.state.value).inc()
        log.info("payout_moved", payout=payout.id, state=payout.state, rule=payout.rule, request_id=payout.request_id)
    return Applied(changed, [key for key in keys if key not in found])


@dataclass(slots=True)
class _Folded:
    """Payouts as facts leave them, and what must be posted and told for it."""

    payouts: dict[str, Payout]
    now: datetime
    transfers: list[Transfer] = field(default_factory=list)
    told: list[Payout] = field(default_factory=list)

    def take(self, fact: Fact) -> None:
        if isinstance(fact, Mined):
            self.transfers += paying.network_fee(fact.coin, fact.transaction, fact.fee_units)
        for key in _keys(fact):
            before = self.payouts.get(key)
            if before is None:
                continue
            after = after_fact(before, fact, self.now)
            self.payouts[key] = after
            if after.state is not before.state:
                self.transfers += _transfers(after)
            if after.state is not before.state or after.transaction != before.transaction:
                self.told.append(after)


def after_fact(payout: Payout, fact: Fact, now: datetime) -> Payout:  # noqa: C901  a branch a kind of fact
    """The payout once this is known. What it knew before changes nothing. Raises `TransitionForbidden`."""
    match fact:
        case Accepted() | Waiting():
            is_past = payout.signed_at is not None or payout.state in ENDED or payout.is_direct
            return payout if is_past else _looked_at(payout, fact, now)
        case Refused() | Abandoned():
            return _released(payout, fact, now)
        case Direct():
            return _direct(payout, now)
        case Signed():
            return _signed(payout, fact, now)
        case Broadcast():
            if payout.state in ENDED or fact.transaction != payout.transaction:
                return payout  # it is over, or another transaction has taken that one's place
            return replace(payout, state=move_payout(payout.state, PayoutState.BROADCAST), broadcast_at=now)
        case Mined():
            return _mined(payout, fact, now)
        case Unmined():
            return _unmined(payout)
        case _ as never:
            assert_never(never)


def _looked_at(payout: Payout, fact: Accepted | Waiting, now: datetime) -> Payout:
    if isinstance(fact, Accepted):
        if payout.accepted_at is not None:
            return payout
        state = move_payout(payout.state, PayoutState.RESERVED)
        return replace(payout, state=state, accepted_at=now, waiting_rule=None, waiting_detail=None)
    is_said = (payout.waiting_rule, payout.waiting_detail) == (fact.rule, fact.detail)
    if is_said and payout.looked_at is not None and now - payout.looked_at < LOOKED_AT_EXACT_TO:
        return payout
    wanted = PayoutState.AWAITING_APPROVAL if fact.rule == rules.Rule.APPROVALS_MISSING else PayoutState.RESERVED
    state = move_payout(payout.state, wanted)
    return replace(payout, state=state, waiting_rule=fact.rule, waiting_detail=fact.detail, looked_at=now)


def _direct(payout: Payout, now: datetime) -> Payout:
    if payout.accepted_at is not None:
        if payout.is_direct:
            return payout
        raise TransitionForbidden("the signer took it on, and the quorum ordered it out of the vault")
    return replace(
        payout,
        state=move_payout(payout.state, PayoutState.RESERVED),
        is_direct=True,
        accepted_at=now,
        looked_at=now,
        waiting_rule=DIRECT,
        waiting_detail="officers pay it out of the vault",
    )


def _released(payout: Payout, fact: Refused | Abandoned, now: datetime) -> Payout:
    wanted, detail = (PayoutState.REFUSED, fact.detail) if isinstance(fact, Refused) else (PayoutState.ABANDONED, "")
    state = move_payout(payout.state, wanted)
    if state is payout.state:
        return payout
    if payout.is_direct:
        raise TransitionForbidden("the quorum ordered it out of the vault: no signer ends it")
    return replace(_over(payout, state, now), rule=fact.rule, detail=detail, lines=_none_paid(payout))


def _signed(payout: Payout, fact: Signed, now: datetime) -> Payout:
    if payout.is_direct is not (fact.reservation is None):
        raise TransitionForbidden("a payout is paid by the float, or out of the vault where the quorum ordered that")
    if payout.state in (PayoutState.CONFIRMED, PayoutState.FAILED):
        return payout
    if payout.state is PayoutState.BROADCAST and fact.transaction == payout.transaction:
        return payout
    # A replacement is signed in its turn, and has still to be broadcast: the state says how far the payout has come.
    state = payout.state if payout.state is PayoutState.BROADCAST else move_payout(payout.state, PayoutState.SIGNED)
    return replace(
        payout,
        state=state,
        reservation=fact.reservation,
        transaction=fact.transaction,
        waiting_rule=None,
        waiting_detail=None,
        signed_at=payout.signed_at or now,
    )


def _mined(payout: Payout, fact: Mined, now: datetime) -> Payout:
    unpaid = {place for key, place in fact.unpaid if key == payout.key}
    lines = tuple(
        replace(
            line,
            state=move_line(
                line.state, LineState.UNPAID if fact.is_reverted or line.place in unpaid else LineState.PAID
            ),
            transaction=fact.transaction,
        )
        for line in payout.lines
    )
    is_paid = all(line.state is LineState.PAID for line in lines)
    state = move_payout(payout.state, PayoutState.CONFIRMED if is_paid else PayoutState.FAILED)
    if state is payout.state:
        if fact.transaction != payout.transaction:
            raise TransitionForbidden(f"{payout.transaction} and {fact.transaction} both pay it")
        return payout
    return replace(_over(payout, state, now), transaction=fact.transaction, lines=lines)


def _unmined(payout: Payout) -> Payout:
    """Only what the vault paid: the float's payouts are final by the signer's word alone."""
    if not payout.is_direct:
        raise TransitionForbidden("what the signer calls final is not taken back by a block")
    if payout.state is not PayoutState.CONFIRMED:
        return payout
    lines = tuple(
        replace(line, state=move_line(line.state, LineState.WAITING), transaction=None) for line in payout.lines
    )
    return replace(payout, state=move_payout(payout.state, PayoutState.BROADCAST), lines=lines, ended_at=None)


def _over(payout: Payout, state: PayoutState, now: datetime) -> Payout:
    return replace(payout, state=state, waiting_rule=None, waiting_detail=None, ended_at=now)


def _none_paid(payout: Payout) -> tuple[PayoutLine, ...]:
    return tuple(replace(line, state=move_line(line.state, LineState.UNPAID)) for line in payout.lines)


def _transfers(payout: Payout) -> list[Transfer]:
    """What the ledger must know of a payout that has just come to its state."""
    if payout.state in (PayoutState.REFUSED, PayoutState.ABANDONED):
        return [paying.release(payout.sum)]
    if payout.is_direct:
        return paying.ordered_out_of_vault(payout.sum) if payout.state is PayoutState.CONFIRMED else []
    if payout.state in (PayoutState.CONFIRMED, PayoutState.FAILED):
        return paying.payment(payout.sum, sum(line.units for line in payout.lines if line.state is LineState.PAID))
    return []


def _keys(fact: Fact) -> Sequence[str]:
    return fact.payouts if isinstance(fact, Signed | Broadcast | Mined | Unmined) else (fact.payout,)


async def _post(conn: AsyncConnection[Any], transfers: Sequence[Transfer]) -> None:
    for transfer, outcome in zip(transfers, await ledger.post(conn, transfers), strict=True):
        if isinstance(outcome, ledger.Refused):
            if outcome.rule is Rule.BALANCE_TOO_LOW:
                raise LedgerRaced(f"{transfer.key}: the balance changed meanwhile")
            raise PayoutNotPosted(f"{transfer.key}: {outcome.rule}")
