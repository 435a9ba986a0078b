"""Sends what the signer signed, the same bytes again and again, until they or what replaced them are in a block.

Bytes are stored before they are sent and sent in the order of their nonces, so a crash at any moment, or a node that
forgot its memory pool, costs nothing but another sending. It never makes, changes or drops a transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from holdfast.chains.outflow import OutflowNode
from holdfast.chains.port import NodeUnreachable
from holdfast.core.errors import HoldfastError
from holdfast.core.states import TransitionForbidden
from holdfast.payments import attention, progress, transactions
from holdfast.payments.attention import Ask
from holdfast.payments.standing import AttentionReason
from holdfast.payments.transactions import Outgoing, TransactionState
from holdfast.runtime import metrics

RESEND_AFTER = timedelta(seconds=20)
"""A node that was started again has forgotten what it was sent."""
RETRY_AFTER = timedelta(seconds=2)
"""After a refusal."""
REFUSALS_MAX = 5
"""So many in a row, and a person is asked: the signer mends low fees itself, and that takes a moment."""
SENDS_AT_ONCE = 16
ERROR_LENGTH_MAX = 300

Pool = AsyncConnectionPool[AsyncConnection[Any]]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Sending:
    """What became of one sending."""

    outgoing: Outgoing
    error: HoldfastError | None
    """None: a node has it."""


def due(under_way: Sequence[Outgoing], now: datetime) -> list[Outgoing]:
    """Which of these are to be sent now, in order: of all that replace one another only the newest.

    An older one is refused by every node that has the newer, and is as good in a block as the newer would be.
    """
    newest = {one.root: one.reservation for one in sorted(under_way, key=lambda one: one.reservation)}
    return [one for one in under_way if newest[one.root] == one.reservation and _is_due(one, now)]


async def send_due(pool: Pool, node: OutflowNode, network: str, now: datetime) -> list[Sending]:
    """Send what is to be sent on a network now, and write down what became of it."""
    async with pool.connection() as conn:
        under_way = await transactions.under_way(conn, network)
    wanted = due(under_way, now)
    if not wanted:
        return []
    sendings = await _send_all(node, wanted)
    async with pool.connection() as conn, conn.transaction():
        await _store(conn, sendings, now)
    for sending in sendings:
        metrics.BROADCASTS.labels(network, "refused" if sending.error else "sent").inc()
    return sendings


async def _send_all(node: OutflowNode, wanted: Sequence[Outgoing]) -> list[Sending]:
    """All at the same time, begun in order; a child waits until its parents have been sent."""
    gate = asyncio.Semaphore(SENDS_AT_ONCE)
    tasks: dict[str, asyncio.Task[Sending]] = {}

    async def send(outgoing: Outgoing, parents: Sequence[asyncio.Task[Sending]]) -> Sending:
        await asyncio.gather(*parents)
        async with gate:
            return await _send(node, outgoing)

    async with asyncio.TaskGroup() as group:
        for one in wanted:
            made_by = dict.fromkeys(outpoint.partition(":")[0] for outpoint in one.inputs)
            parents = [tasks[transaction] for transaction in made_by if transaction in tasks]
            tasks[one.transaction or ""] = group.create_task(send(one, parents))
    return [task.result() for task in tasks.values()]


async def _send(node: OutflowNode, outgoing: Outgoing) -> Sending:
    try:
        await node.send(bytes.fromhex((outgoing.raw or "").removeprefix("0x")))
    except HoldfastError as error:
        log.warning(
            "send_failed", network=outgoing.network, transaction=outgoing.transaction, reservation=outgoing.reservation,
            code=error.code, detail=error.detail,
        )  # fmt: skip
        return Sending(outgoing, error)
    return Sending(outgoing, None)


async def _store(conn: AsyncConnection[Any], sendings: Sequence[Sending], now: datetime) -> None:
    """What was sent, why not, and payouts that are on their way now."""
    await conn.execute(
        """
        UPDATE payments.transactions AS kept SET
            attempts = CASE WHEN given.error IS NULL THEN 0 ELSE kept.attempts + 1 END,
            last_sent_at = %s, last_error = given.error,
            state = CASE WHEN given.error IS NULL AND kept.state = 'to-send' THEN 'sent' ELSE kept.state END
        FROM unnest(%s::bigint[], %s::text[]) AS given (reservation, error)
        WHERE kept.reservation = given.reservation AND kept.state IN ('to-send', 'sent')
        """,
        (
            now,
            [one.outgoing.reservation for one in sendings],
            [None if one.error is None else _words(one.error) for one in sendings],
        ),
    )
    fresh = [one.outgoing for one in sendings if one.error is None and one.outgoing.state is TransactionState.TO_SEND]
    await tell_broadcast(conn, fresh, now)
    asks = [_refused(one) for one in sendings if _is_hopeless(one)]
    await attention.ask(conn, asks, now)


async def tell_broadcast(conn: AsyncConnection[Any], fresh: Sequence[Outgoing], now: datetime) -> None:
    """Payouts whose transaction a node has taken. One that is over already, or replaced, is told nothing."""
    facts = [progress.Broadcast(one.payouts, one.transaction or "") for one in fresh if one.payouts]
    if not facts:
        return
    try:
        async with conn.transaction():
            await progress.apply(conn, facts, now)
    except TransitionForbidden as error:
        # The signer's word came in between; what is shown of the payout is further on than this.
        log.warning("broadcast_not_told", detail=error.detail)


def _is_due(outgoing: Outgoing, now: datetime) -> bool:
    if outgoing.state is TransactionState.MINED:
        return False
    if outgoing.last_sent_at is None:
        return True
    pause = RETRY_AFTER * min(outgoing.attempts, 15) if outgoing.last_error else RESEND_AFTER
    return now - outgoing.last_sent_at >= pause


def _is_hopeless(sending: Sending) -> bool:
    """Whether a person must look: nodes that do not answer are another matter, and are reported as such."""
    is_refused = sending.error is not None and not isinstance(sending.error, NodeUnreachable)
    return is_refused and sending.outgoing.attempts + 1 >= REFUSALS_MAX


def _refused(sending: Sending) -> Ask:
    one = sending.outgoing
    detail = {
        "reservation": one.reservation,
        "transaction": one.transaction,
        "payouts": list(one.payouts)[:20],
        "error": "" if sending.error is None else _words(sending.error),
    }
    return Ask(None, AttentionReason.TRANSACTION_REFUSED, f"{one.network} {one.reservation}", detail)


def _words(error: HoldfastError) -> str:
    return f"{error.code}: {error.detail}"[:ERROR_LENGTH_MAX]
