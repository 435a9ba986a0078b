"""Live pages: one poller of the database for all who watch, and none while nobody does.

It tells a watcher only that something about his invoice may have changed; what, he reads himself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import psycopg
import structlog
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from holdfast.core.errors import Unavailable
from holdfast.payments import events
from holdfast.payments.events import Event, Place

POLL_SECONDS = 0.4
EVENTS_AT_ONCE = 500
WATCHERS_MAX = 5_000
"""More than so many open pages in one process are refused; they refresh by themselves instead."""

log = structlog.get_logger()


class TooManyWatchers(Unavailable):
    """Too many pages are open live on this server. The page goes on without; load it again to see news."""

    code = "too-many-watchers"


@dataclass(slots=True, eq=False)
class Watcher:
    """One open page."""

    invoice_id: str
    news: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class LiveHub:
    """Who watches which invoice. One per process; `run` is its poller."""

    pool: AsyncConnectionPool[AsyncConnection[Any]]
    is_closing: bool = False
    _watchers: dict[str, set[Watcher]] = field(default_factory=dict)
    _count: int = 0
    _wanted: asyncio.Event = field(default_factory=asyncio.Event)
    heights: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def watching(self, invoice_id: str) -> Iterator[Watcher]:
        """Watch an invoice. Raises `TooManyWatchers`."""
        if self._count >= WATCHERS_MAX:
            raise TooManyWatchers
        watcher = Watcher(invoice_id)
        self._watchers.setdefault(invoice_id, set()).add(watcher)
        self._count += 1
        self._wanted.set()
        try:
            yield watcher
        finally:
            self._count -= 1
            self._watchers[invoice_id].discard(watcher)
            if not self._watchers[invoice_id]:
                del self._watchers[invoice_id]

    def close(self) -> None:
        """Wake everybody: the process stops."""
        self.is_closing = True
        self._tell(None)

    async def run(self) -> None:
        """Poll while somebody watches; to be cancelled at the end. A database that is away is tried again."""
        place: Place | None = None
        while True:
            if not self._watchers:
                self._wanted.clear()
                place = None
                await self._wanted.wait()
            try:
                place = await self._poll(place)
            except (psycopg.OperationalError, PoolTimeout) as error:
                log.warning("live_pages_stale", error=str(error).splitlines()[:1])
            with suppress(TimeoutError):
                await asyncio.sleep(POLL_SECONDS)

    async def _poll(self, place: Place | None) -> Place:
        """Tell whom news concern; the place up to which they were read."""
        async with self.pool.connection() as conn:
            if place is None:
                place = await events.latest(conn)
                # What happened between a watcher's own reading and here is not news to us: all read once more.
                self._tell(None)
            found = await events.since(conn, place, EVENTS_AT_ONCE)
            cursor = await conn.execute("SELECT network, height FROM payments.cursors WHERE height IS NOT NULL")
            heights = {row[0]: row[1] for row in await cursor.fetchall()}
        if heights != self.heights:
            self.heights = heights
            self._tell(None)
        for event in found:
            self._tell(_invoice_of(event))
        return events.place(found[-1]) if found else place

    def _tell(self, invoice_id: str | None) -> None:
        """Wake who watches this invoice; None: everybody."""
        groups = self._watchers.values() if invoice_id is None else [self._watchers.get(invoice_id, set())]
        for group in groups:
            for watcher in group:
                watcher.news.set()


def _invoice_of(event: Event) -> str:
    """The invoice that an event concerns: itself, or that of its deposit."""
    return str(event.data.get("invoice_id") or event.subject)
