"""Whether payouts go out, as the watchtower says: kept here to tell merchants, staff and payers. It decides nothing.

A change is stored and told in one transaction. Payments in do not depend on any of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import structlog
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from holdfast.core.orders import EVERYTHING, Stage
from holdfast.core.tower_status import TowerStatus
from holdfast.payments import events
from holdfast.payments.events import EventType, News
from holdfast.runtime.clock import Clock
from holdfast.runtime.tower_line import WatchtowerSilent, ask_status

ASK_SECONDS = 1.0
SILENT_AFTER = timedelta(seconds=30)
"""Without a lease for so long, payouts wait: the signer or the watchtower is down."""
_ORDER = tuple(Stage)
"""The narrowest first."""

Pool = AsyncConnectionPool[AsyncConnection[Any]]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Standing:
    """A stage, and since when."""

    stage: Stage
    since: datetime


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of payouts."""

    scopes: Mapping[str, Standing]
    heard_at: datetime | None
    """When the watchtower answered last; None: never, or this platform does not ask one."""
    leased_at: datetime | None
    """When the signer was last let go on."""

    def of(self, *scopes: str) -> Standing | None:
        """What counts for something that belongs to all of these scopes: the narrowest; None: nothing was ever told."""
        found = [self.scopes[scope] for scope in (EVERYTHING, *scopes) if scope in self.scopes]
        return min(found, key=lambda one: (_ORDER.index(one.stage), -one.since.timestamp()), default=None)

    def silent_since(self, now: datetime) -> datetime | None:
        """Since when nothing can be signed because signer or watchtower is not heard; None: all is heard."""
        if self.heard_at is None:
            return None
        oldest = self.heard_at if self.leased_at is None else min(self.heard_at, self.leased_at)
        return oldest if now - oldest > SILENT_AFTER else None


async def known(conn: AsyncConnection[Any]) -> Known:
    """What was stored last."""
    cursor = await conn.execute("SELECT scope, stage, since FROM payments.payout_stages")
    scopes = {scope: Standing(Stage(stage), since) for scope, stage, since in await cursor.fetchall()}
    cursor = await conn.execute("SELECT heard_at, leased_at FROM payments.watchtower")
    row = await cursor.fetchone()
    return Known(scopes, *(row or (None, None)))


async def take(conn: AsyncConnection[Any], status: TowerStatus, now: datetime) -> list[str]:
    """Store what the watchtower says and tell the merchants whom a change concerns; the scopes that changed."""
    await conn.execute("SELECT pg_advisory_xact_lock(hashtextextended('holdfast payout stages', 0))")
    leased_at = _time(status.lease_ms) if status.lease_ms else None
    await conn.execute(
        """
        INSERT INTO payments.watchtower (heard_at, leased_at) VALUES (%s, %s)
        ON CONFLICT (is_only) DO UPDATE SET heard_at = excluded.heard_at, leased_at = excluded.leased_at
        """,
        (now, leased_at),
    )
    before = (await known(conn)).scopes
    told = {scope: Stage(stage) for scope, stage in status.stages.items()}
    told |= {scope: Stage.NORMAL for scope in before if scope not in told}
    changed = {
        scope: Standing(stage, _since(status, scope, stage, now))
        for scope, stage in sorted(told.items())
        if scope not in before or before[scope].stage is not stage
    }
    for scope, one in changed.items():
        await conn.execute(
            """
            INSERT INTO payments.payout_stages VALUES (%s, %s, %s)
            ON CONFLICT (scope) DO UPDATE SET stage = excluded.stage, since = excluded.since
            """,
            (scope, one.stage.value, one.since),
        )
        log.warning("payouts_now", scope=scope, stage=one.stage.value)
        await events.emit(conn, await _news(conn, scope, one), now)
    return list(changed)


async def follow_tower(pool: Pool, clock: Clock, address: str, stopping: asyncio.Event) -> None:
    """Ask the watchtower again and again until told to stop. One that is silent changes nothing but what is shown."""
    was_heard = True
    while not stopping.is_set():
        try:
            status = await ask_status(address)
            async with pool.connection() as conn, conn.transaction():
                await take(conn, status, clock.now())
            was_heard = True
        except WatchtowerSilent as error:
            if was_heard:
                log.warning("watchtower_silent", detail=error.detail)
            was_heard = False
        except psycopg.OperationalError as error:
            log.warning("database_lost", task="watchtower", error=str(error).splitlines()[0])
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), ASK_SECONDS)


def _since(status: TowerStatus, scope: str, stage: Stage, now: datetime) -> datetime:
    """When it was frozen, as the watchtower has it; of any other stage: when it was seen here first."""
    stops = [one.received_ms for one in status.stops if one.scope == scope and not one.ended]
    return _time(max(stops)) if stage is Stage.FROZEN and stops else now


async def _news(conn: AsyncConnection[Any], scope: str, one: Standing) -> Sequence[News]:
    """For the merchant whose payouts it is about, else for all who are served."""
    kind = EventType.PAYOUTS_FROZEN if one.stage is Stage.FROZEN else EventType.PAYOUTS_RESTORED
    data = {"scope": scope, "stage": one.stage.value, "since": one.since.isoformat()}
    cursor = await conn.execute(
        "SELECT id FROM payments.merchants WHERE id = %(scope)s OR (%(is_all)s AND state <> 'closed') ORDER BY id",
        {"scope": scope, "is_all": scope == EVERYTHING or ":" in scope},
    )
    return [News(row[0], kind, scope, data) for row in await cursor.fetchall()]


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds // 1_000, UTC)
