"""Makes invoices in batches: requests that come while one transaction is under way share the next.

An invoice, its address, quote and event, and the answer to its idempotency key are committed together or not at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any, TypeAlias

import psycopg
import structlog
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from holdfast.core.errors import HoldfastError
from holdfast.ledger import GroupCommit
from holdfast.payments import idempotency, invoicing, merchants
from holdfast.payments.idempotency import Answer, Claim, IdempotencyKeyReused
from holdfast.payments.invoicing import Created, Desk, Draft, NewInvoice
from holdfast.payments.merchants import Merchant
from holdfast.runtime.clock import Clock

BATCH_MAX = 128
FLIGHTS_MAX = 2
"""One batch is written while the next is checked and derived; more only wait for the same disk."""
MERCHANT_REMEMBERED_FOR = timedelta(seconds=2)
"""How long changed terms may still be unknown to the next invoice. Whether a merchant is certified is not read here."""
MERCHANTS_REMEMBERED_MAX = 10_000

Pool: TypeAlias = AsyncConnectionPool[AsyncConnection[Any]]
Show: TypeAlias = Callable[[Created], bytes]
"""How a new invoice is shown: the answer's body."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Order:
    """One request for an invoice, checked, with its rate and address."""

    claim: Claim
    draft: Draft
    answer: Answer
    """What it will be answered with, if it can be stored."""


@dataclass(frozen=True, slots=True)
class Done:
    """What became of an order."""

    answer: Answer
    is_replay: bool


Outcome: TypeAlias = Done | HoldfastError


@dataclass(slots=True)
class InvoiceBatches:
    """One per process."""

    pool: Pool
    desk: Desk
    clock: Clock
    show: Show
    _group: GroupCommit[Order, Outcome] = field(init=False)
    _merchants: dict[str, tuple[datetime, Merchant]] = field(default_factory=dict)
    _reading: dict[str, asyncio.Task[Merchant]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._group = GroupCommit(self._commit, size_max=BATCH_MAX, flights_max=FLIGHTS_MAX)

    async def make(self, merchant_id: str, order: NewInvoice, claim: Claim) -> Done:
        """Make an invoice, or find the answer that the same request got before.

        Raises what `invoicing.prepare` raises, `ReferenceTaken` and `IdempotencyKeyReused`.
        """
        now = self.clock.now()
        try:
            merchant = await self._merchant(merchant_id, now)
            draft = await invoicing.prepare(self.desk, merchant, order, now)
        except HoldfastError:
            # Perhaps it was done before, when there was a rate: then that is the answer.
            if (before := await self._before(claim)) is not None:
                return before
            raise
        answer = Answer(HTTPStatus.CREATED, self.show(Created(draft.invoice, (draft.quote,) if draft.quote else ())))
        outcome = await self._group.submit(Order(claim, draft, answer))
        if isinstance(outcome, HoldfastError):
            raise outcome
        return outcome

    async def close(self) -> None:
        """Take no more orders, and wait for those that were taken."""
        await self._group.close()

    async def _merchant(self, merchant_id: str, now: datetime) -> Merchant:
        known = self._merchants.get(merchant_id)
        if known is not None and known[0] > now:
            return known[1]
        reading = self._reading.get(merchant_id)
        if reading is None:
            reading = self._reading[merchant_id] = asyncio.ensure_future(self._read(merchant_id))
            reading.add_done_callback(lambda _: self._reading.pop(merchant_id, None))
        merchant = await asyncio.shield(reading)
        if len(self._merchants) >= MERCHANTS_REMEMBERED_MAX:
            self._merchants.clear()
        self._merchants[merchant_id] = (now + MERCHANT_REMEMBERED_FOR, merchant)
        return merchant

    async def _read(self, merchant_id: str) -> Merchant:
        async with self.pool.connection() as conn:
            return await merchants.get(conn, merchant_id)

    async def _before(self, claim: Claim) -> Done | None:
        async with self.pool.connection() as conn:
            found = await idempotency.find(conn, claim)
        if isinstance(found, HoldfastError):
            raise found
        return None if found is None else Done(found, is_replay=True)

    async def _commit(self, orders: Sequence[Order]) -> Sequence[Outcome]:
        try:
            return await self._commit_together(orders)
        except psycopg.DataError as error:
            if len(orders) == 1:
                raise
            # One of them cannot be stored: alone, each hurts nobody else.
            log.warning("invoice_batch_split", orders=len(orders), error=str(error).splitlines()[0])
        outcomes = await asyncio.gather(*(self._commit_together([order]) for order in orders), return_exceptions=True)
        return [_single(outcome) for outcome in outcomes]

    async def _commit_together(self, orders: Sequence[Order]) -> list[Outcome]:
        """All orders in one transaction. Of several that claim one key, the first is done."""
        firsts = {(order.claim.caller, order.claim.key): order for order in reversed(orders)}
        now = self.clock.now()
        async with self.pool.connection() as conn, conn.transaction():
            claims = [order.claim for order in firsts.values()]
            before = await idempotency.claim(conn, claims, now, [order.answer for order in firsts.values()])
            found = dict(zip(firsts, before, strict=True))
            mine = [order for name, order in firsts.items() if found[name] is None]
            made = await invoicing.create(conn, [order.draft for order in mine], now)
            outcomes: dict[tuple[str, str], Outcome] = {
                (order.claim.caller, order.claim.key): Done(order.answer, is_replay=False)
                if isinstance(created, Created)
                else created
                for order, created in zip(mine, made, strict=True)
            }
            failed = [
                order.claim for order, created in zip(mine, made, strict=True) if not isinstance(created, Created)
            ]
            await idempotency.release(conn, failed)
        for name, earlier in found.items():
            if earlier is not None:
                outcomes[name] = Done(earlier, is_replay=True) if isinstance(earlier, Answer) else earlier
        return [_of(order, firsts, outcomes) for order in orders]


def _of(order: Order, firsts: dict[tuple[str, str], Order], outcomes: dict[tuple[str, str], Outcome]) -> Outcome:
    """The outcome of one order of a batch, in which others may have claimed the same key."""
    name = (order.claim.caller, order.claim.key)
    outcome, first = outcomes[name], firsts[name]
    if first is order or isinstance(outcome, HoldfastError):
        return outcome
    if first.claim.request_hash != order.claim.request_hash:
        return IdempotencyKeyReused(order.claim.key[:80])
    return Done(outcome.answer, is_replay=True)


def _single(outcome: list[Outcome] | BaseException) -> Outcome:
    if isinstance(outcome, list):
        return outcome[0]
    if isinstance(outcome, psycopg.DataError):
        return invoicing.InvoiceMalformed("a text of it cannot be stored")
    raise outcome
