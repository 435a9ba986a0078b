"""What time does by itself: invoices run out, old answers are forgotten, figures are counted. One process does it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import psycopg
import structlog
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from holdfast.payments import idempotency
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


async def keep_house(pool: Pool, clock: Clock, stopping: asyncio.Event) -> None:
    """Do it all, each in its rhythm, until told to stop. A database that is away is tried again."""
    tidied = counted = clock.now() - max(TIDY_EVERY, COUNT_EVERY)
    while not stopping.is_set():
        now = clock.now()
        try:
            await expire_all(pool, now)
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
