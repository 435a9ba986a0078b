"""What a journal entry does here: payouts move on, signed bytes are kept to be sent, hints and documents are closed.

Called once for each entry, in the transaction that stores it. It never decides: the signer has.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, assert_never

import structlog
from psycopg import AsyncConnection

from holdfast.core import journal as j
from holdfast.core.errors import Conflict
from holdfast.core.journal import Entry
from holdfast.core.networks import network_by_id
from holdfast.core.states import TransitionForbidden
from holdfast.payments import attention, direct_payouts, hints, progress, signer_documents, transactions
from holdfast.payments.attention import Ask
from holdfast.payments.hints import HintKind, mined_key
from holdfast.payments.payouts import PayoutNotPosted
from holdfast.payments.progress import Fact
from holdfast.payments.signer_documents import DocumentKind, digest_of
from holdfast.payments.signer_messages import Waiting
from holdfast.payments.standing import AttentionReason
from holdfast.payments.transactions import Kept
from holdfast.policy.record import GAS_PURPOSES

log = structlog.get_logger()

_CONTRADICTIONS = (TransitionForbidden, PayoutNotPosted)


@dataclass(slots=True)
class _Sorted:
    """A batch's entries by what they need."""

    facts: list[Fact] = field(default_factory=list)
    reserved: list[tuple[int, j.Reserved]] = field(default_factory=list)
    signed: list[j.Signed] = field(default_factory=list)
    mined: list[j.Mined] = field(default_factory=list)
    answered: list[tuple[HintKind, str, str]] = field(default_factory=list)
    taken: dict[DocumentKind, dict[str, int]] = field(default_factory=dict)
    certificates: dict[str, int] = field(default_factory=dict)
    asks: list[Ask] = field(default_factory=list)


async def act(conn: AsyncConnection[Any], entries: Sequence[Entry], waiting: Sequence[Waiting], now: datetime) -> None:
    """Do what these entries say, in order. Raises `LedgerRaced`: run the whole transaction again."""
    batch = _Sorted()
    for entry in entries:
        _sort(batch, entry)
    await transactions.reserve(conn, batch.reserved)
    await transactions.keep_signed(conn, batch.signed, now)
    ended = await transactions.end(conn, batch.mined)
    named = {one.reservation for one in batch.signed} | {one.reservation for one in batch.mined}
    facts = _facts(entries, await transactions.kept(conn, named))
    facts += [progress.Waiting(one.payout, one.rule, one.detail) for one in waiting]
    batch.asks += await _apply(conn, facts, now)
    if DocumentKind.ORDER in batch.taken:
        await direct_payouts.take_up(conn, now)
    answered = [*batch.answered, *((HintKind.MINED, network, mined_key(seq)) for network, seq in ended)]
    await _answer(conn, answered)
    for kind, digests in batch.taken.items():
        await signer_documents.taken(conn, kind, digests)
    await signer_documents.certificates_taken(conn, batch.certificates)
    await attention.ask(conn, batch.asks, now)


async def _apply(conn: AsyncConnection[Any], facts: Sequence[Fact], now: datetime) -> list[Ask]:
    """Move payouts on. What contradicts what is known here is left out and put before a person: the signer's history
    stands, and one payout must not keep the others from theirs."""
    if not facts:
        return []
    try:
        async with conn.transaction():
            applied = await progress.apply(conn, facts, now)
    except _CONTRADICTIONS:
        return await _apply_each(conn, facts, now)
    return _unknown(applied.unknown)


async def _apply_each(conn: AsyncConnection[Any], facts: Sequence[Fact], now: datetime) -> list[Ask]:
    asks = []
    for fact in facts:
        try:
            async with conn.transaction():
                asks += _unknown((await progress.apply(conn, [fact], now)).unknown)
        except _CONTRADICTIONS as error:
            asks += [_contradicted(key, error) for key in _keys(fact)]
    return asks


def _contradicted(key: str, error: Conflict) -> Ask:
    log.error("journal_contradicted", payout=key, code=error.code, detail=error.detail)
    return Ask(None, AttentionReason.JOURNAL_CONTRADICTED, key, {"code": error.code, "detail": error.detail})


def _unknown(keys: Iterable[str]) -> list[Ask]:
    return [
        Ask(None, AttentionReason.JOURNAL_CONTRADICTED, key, {"code": "payout-unknown", "detail": key}) for key in keys
    ]


def _keys(fact: Fact) -> Sequence[str]:
    if isinstance(fact, progress.Signed | progress.Broadcast | progress.Mined | progress.Unmined):
        return fact.payouts
    return (fact.payout,)


def _sort(batch: _Sorted, entry: Entry) -> None:  # noqa: C901  one line a kind of entry
    body = entry.body
    match body:
        case j.Reserved():
            batch.reserved.append((entry.seq, body))
        case j.Signed():
            batch.signed.append(body)
        case j.Mined():
            batch.mined.append(body)
        case j.Deposit():
            batch.answered.append((HintKind.DEPOSIT, body.network, body.key))
        case j.Funding():
            batch.answered.append((HintKind.FUNDING, body.network, body.key))
        case j.Ordered():
            _take(batch, DocumentKind.ORDER, body.order.document, entry.seq)
        case j.PolicyTaken():
            _take(batch, DocumentKind.POLICY, body.document, entry.seq)
        case j.VetoTaken():
            _take(batch, DocumentKind.VETO, body.veto.document, entry.seq)
        case j.RecoveryTaken():
            _take(batch, DocumentKind.RECOVERY, body.recovery.document, entry.seq)
        case j.CertificateTaken():
            batch.certificates[digest_of(body.document)] = entry.seq
        case j.Stopped():
            batch.asks.append(
                Ask(None, AttentionReason.SIGNER_STOPPED, body.scope, {"scope": body.scope, "reason": body.reason})
            )
        case j.Accepted() | j.Refused() | j.Abandoned() | j.DepositGone() | j.FundingGone() | j.Started() | j.Clock():
            pass
        case _ as never:
            assert_never(never)


def _take(batch: _Sorted, kind: DocumentKind, document: str, seq: int) -> None:
    batch.taken.setdefault(kind, {})[digest_of(document)] = seq


def _facts(entries: Sequence[Entry], by_reservation: Mapping[int, Kept]) -> list[Fact]:
    """What payouts must know, in the journal's order."""
    facts: list[Fact] = []
    for entry in entries:
        match entry.body:
            case j.Accepted(payout=payout):
                facts.append(progress.Accepted(payout))
            case j.Refused(payout=payout, rule=rule, detail=detail):
                facts.append(progress.Refused(payout, rule, detail))
            case j.Abandoned(payout=payout, rule=rule):
                facts.append(progress.Abandoned(payout, rule))
            case j.Signed() as signed:
                kept = by_reservation[signed.reservation]
                facts.append(progress.Signed(kept.payouts, signed.reservation, signed.transaction))
            case j.Mined() as mined:
                kept = by_reservation[mined.reservation]
                if kept.purpose not in GAS_PURPOSES:  # gas is not the float's
                    facts.append(_mined(mined, kept))
            case _:
                pass
    return facts


def _mined(mined: j.Mined, kept: Kept) -> Fact:
    return progress.Mined(
        payouts=kept.payouts,
        transaction=mined.transaction,
        coin=network_by_id(kept.network).coin.id,
        fee_units=mined.fee_units,
        is_reverted=mined.is_reverted,
        unpaid=frozenset(mined.unpaid),
    )


async def _answer(conn: AsyncConnection[Any], answered: Sequence[tuple[HintKind, str, str]]) -> None:
    by_place: dict[tuple[HintKind, str], list[str]] = {}
    for kind, network, key in answered:
        by_place.setdefault((kind, network), []).append(key)
    for (kind, network), keys in sorted(by_place.items()):
        await hints.close(conn, kind, network, keys)
