"""Orders payouts in batches: intents that come while one transaction is under way share the next.

A payout, its reservation in the ledger, its lines and its event are committed together or not at all. An intent is its
own idempotency key: sent again, it is answered with the payout as it stands by then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeAlias

import structlog
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from holdfast.core.errors import HoldfastError
from holdfast.core.intents import SignedIntent
from holdfast.ledger import GroupCommit, LedgerRaced
from holdfast.payments import ordering
from holdfast.payments.ordering import MerchantKeys, Ordered, OrderOutcome, PayoutDesk
from holdfast.payments.payouts import Payout
from holdfast.runtime.clock import Clock

BATCH_MAX = 256
FLIGHTS_MAX = 2
TRIES_MAX = 10
BACKOFF_SECONDS = 0.01
CHECKED_AT_ONCE = 16
"""Signatures checked before others get their turn in this process: some milliseconds."""
KEYS_REMEMBERED_FOR = timedelta(seconds=2)
KEYS_REMEMBERED_MAX = 10_000

Pool: TypeAlias = AsyncConnectionPool[AsyncConnection[Any]]

log = structlog.get_logger()


@dataclass(slots=True)
class PayoutBatches:
    """One per process."""

    pool: Pool
    desk: PayoutDesk
    clock: Clock
    _group: GroupCommit[Payout, OrderOutcome] = field(init=False)
    _keys: dict[str, tuple[datetime, MerchantKeys]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._group = GroupCommit(self._commit, size_max=BATCH_MAX, flights_max=FLIGHTS_MAX)

    async def order(self, merchant_id: str, signed: SignedIntent) -> Ordered:
        """Order one payout. Raises what `ordering.draft` raises and what `ordering.order` answers."""
        now = self.clock.now()
        draft = ordering.draft(self.desk, await self.keys(merchant_id), signed, now)
        outcome = await self._group.submit(draft)
        if isinstance(outcome, HoldfastError):
            raise outcome
        return outcome

    async def order_many(self, merchant_id: str, signed: Sequence[SignedIntent]) -> list[OrderOutcome]:
        """Order each of these by itself; what became of each, in their order."""
        keys, now = await self.keys(merchant_id), self.clock.now()
        checked: list[Payout | HoldfastError] = []
        for place, one in enumerate(signed, 1):
            try:
                checked.append(ordering.draft(self.desk, keys, one, now))
            except HoldfastError as error:
                checked.append(error)
            if place % CHECKED_AT_ONCE == 0:
                await asyncio.sleep(0)
        outcomes = await asyncio.gather(*(self._group.submit(one) for one in checked if isinstance(one, Payout)))
        made = iter(outcomes)
        return [next(made) if isinstance(one, Payout) else one for one in checked]

    async def keys(self, merchant_id: str) -> MerchantKeys:
        """Whose signatures count for a merchant, as they were a moment ago. Raises `MerchantNotFound`."""
        now = self.clock.now()
        known = self._keys.get(merchant_id)
        if known is not None and known[0] > now:
            return known[1]
        async with self.pool.connection() as conn:
            keys = await ordering.merchant_keys(conn, merchant_id)
        if len(self._keys) >= KEYS_REMEMBERED_MAX:
            self._keys.clear()
        self._keys[merchant_id] = (now + KEYS_REMEMBERED_FOR, keys)
        return keys

    async def close(self) -> None:
        """Take no more payouts, and wait for those that were taken."""
        await self._group.close()

    async def _commit(self, drafts: Sequence[Payout]) -> Sequence[OrderOutcome]:
        for tried in range(TRIES_MAX):
            try:
                async with self.pool.connection() as conn, conn.transaction():
                    return await ordering.order(conn, drafts, self.clock.now())
            except LedgerRaced as error:
                log.info("payout_batch_raced", payouts=len(drafts), detail=error.detail)
                if tried == TRIES_MAX - 1:
                    raise
            await asyncio.sleep(BACKOFF_SECONDS * (tried + 1))
        raise AssertionError("the loop returns or raises")
