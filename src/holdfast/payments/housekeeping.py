"""What time does by itself: invoices run out, standing orders fall due, old answers are forgotten."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import psycopg
import structlog
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from holdfast.ledger import LedgerRaced
from holdfast.payments import idempotency, standing_orders
from holdfast.payments.ordering import PayoutDesk
from holdfast.payments.restanding import expire
from holdfast.payments.standing import AttentionReason
from holdfast.runtime import metrics
from holdfast.runtime.clock import Clock

EXPIRE_SECONDS = 1.0
EXPIRE_AT_ONCE = 500
TIDY_EVERY = timedelta(minutes=10)
COUNT_EVERY = timedelta(seconds=15)

Pool = AsyncConnectionPool[AsyncConnection[Any]]

log = structlog.get_logger()


async def keep_house(pool: Pool, clock: Clock, desk: PayoutDesk, stopping: asyncio.Event) -> None:
    """Do it all, each in its rhythm, until told to stop. A database that is away is tried again."""
    tidied = counted = clock.now() - max(TIDY_EVERY, COUNT_EVERY)
    while not stopping.is_set():
        now = clock.now()
        try:
            await expire_all(pool, now)
            await pay_slots(pool, desk, now)
            if now - tidied >= TIDY_EVERY:
                await tidy(pool, now)
                tidied = now
            if now - counted >= COUNT_EVERY:
                await count(pool)
                counted = now
        except psycopg.OperationalError as error:
            log.warning("database_lost", task="housekeeping", error=str(error).splitlines()[0])
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), EXPIRE_SECONDS)


async def expire_all(pool: Pool, now: datetime) -> int:
    """Judge every invoice that has run out, some hundreds in one transaction. Returns how many changed."""
    changed = 0
    while True:
        async with pool.connection() as conn, conn.transaction():
            done = await expire(conn, now, EXPIRE_AT_ONCE)
        changed += len(done)
        if len(done) < EXPIRE_AT_ONCE:
            return changed


async def pay_slots(pool: Pool, desk: PayoutDesk, now: datetime) -> int:
    """Order what standing orders may pay now. Returns how many payouts. What raced with others is tried next time."""
    made = 0
    while True:
        try:
            async with pool.connection() as conn, conn.transaction():
                done = await standing_orders.propose_slots(conn, desk, now)
        except LedgerRaced as error:
            log.info("slots_raced", detail=error.detail)
            return made
        made += len(done)
        if not done:
            return made


async def tidy(pool: Pool, now: datetime) -> None:
    """Forget answers to idempotency keys that are old enough."""
    async with pool.connection() as conn, conn.transaction():
        forgotten = await idempotency.forget_old(conn, now)
    if forgotten:
        log.info("idempotency_forgotten", keys=forgotten)


async def count(pool: Pool) -> None:
    """Show how much waits for a person."""
    async with pool.connection() as conn:
        cursor = await conn.execute(
            "SELECT reason, count(*) FROM payments.attention WHERE resolved_at IS NULL GROUP BY reason"
        )
        waiting: dict[str, int] = {row[0]: row[1] for row in await cursor.fetchall()}
    for reason in AttentionReason:
        metrics.ATTENTION_OPEN.labels(reason.value).set(waiting.get(reason.value, 0))
