"""The follower of one network: asks the reader for the next step and applies it, for ever, from where it stood.

Each network has a task of its own; trouble of one stops crediting there, visibly, and nowhere else. What is in memory
is only ever a copy of what is committed: after any error it is read again.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, assert_never

import psycopg
import structlog
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from holdfast.chains.follower import Cursor, FinalityViolated
from holdfast.chains.port import Header, Node, NodeBlockGone, NodesDisagree
from holdfast.chains.reader import Applied, Reader, UpToDate, WalkedBack
from holdfast.core.errors import HoldfastError
from holdfast.ledger import LedgerRaced
from holdfast.payments import attention, positions
from holdfast.payments.arrivals import ArrivalContradicted
from holdfast.payments.attention import Ask
from holdfast.payments.positions import CursorMoved
from holdfast.payments.standing import AttentionReason
from holdfast.payments.steps import PoolReading, Work, apply_blocks, apply_pool, walk_back
from holdfast.payments.watching import Watching
from holdfast.runtime import metrics
from holdfast.runtime.clock import Clock

BATCH_BLOCKS_MAX = 64
"""Blocks applied in one transaction: when nothing arrives in them, their cost is one commit."""
POLL_FRESH = timedelta(seconds=60)
"""A reading of the memory pool this long ago still bounds when a new payment was made."""
PAUSE_SECONDS_MAX = 15.0
GONE_MAX = 3

_CALLS_A_PERSON = (NodesDisagree, FinalityViolated, ArrivalContradicted)

log = structlog.get_logger()


@dataclass(slots=True)
class Follower:
    """Follows one network."""

    pool: AsyncConnectionPool[AsyncConnection[Any]]
    work: Work
    node: Node
    clock: Clock
    _reader: Reader = field(init=False)
    _watching: Watching = field(init=False)
    _loaded: bool = False
    _cursor: Cursor | None = None
    _recent: dict[int, str] = field(default_factory=dict)
    _asked_before: datetime | None = None
    _trouble: str | None = None
    _pauses: int = 0

    def __post_init__(self) -> None:
        depth = self.work.listed.settings.finality_depth
        self._reader = Reader(self.node, depth, batch_blocks_max=BATCH_BLOCKS_MAX)
        self._watching = Watching(self.pool, self.work.listed)

    async def run(self, stopping: asyncio.Event) -> None:
        """Follow until told to stop. Ends between two steps, never within one."""
        while not stopping.is_set():
            pause = await self.turn()
            if pause:
                with suppress(TimeoutError):
                    await asyncio.wait_for(stopping.wait(), pause)

    async def turn(self) -> float:
        """Take one step; the seconds to wait before the next. Whatever is wrong is shown, and tried again."""
        try:
            is_up_to_date = await self._step()
            await self._set_trouble(None)
        except (CursorMoved, LedgerRaced, psycopg.errors.DeadlockDetected) as raced:
            log.warning("step_raced", network=self._name, error=type(raced).__name__, detail=str(raced))
            self._loaded = False
            return 0.0
        except HoldfastError as error:
            self._loaded = False
            pause = self._pause()
            # A block that goes while it is read is a reorganisation in progress, unless it goes on and on.
            if not isinstance(error, NodeBlockGone) or self._pauses > GONE_MAX:
                await self._report(error)
            return pause
        except psycopg.OperationalError as error:
            # The database went away: what was committed is read again when it is back.
            self._loaded = False
            log.warning("database_lost", network=self._name, error=str(error).splitlines()[0])
            return self._pause()
        self._pauses = 0
        return self.work.listed.settings.poll_milliseconds / 1000 if is_up_to_date else 0.0

    async def _step(self) -> bool:
        """Ask, then apply in one transaction. Returns whether there is nothing more to do now."""
        if not self._loaded:
            await self._load()
        asked_at = self.clock.now()
        step = await self._reader.next_step(self._cursor, self._recent, self._watching.fresh)
        match step:
            case Applied():
                await self._apply(step)
                return False
            case WalkedBack():
                await self._walk_back(step)
                return False
            case UpToDate(tip):
                self._show(tip.height)
                await self._read_pool(tip, asked_at)
                return True
            case never:
                assert_never(never)

    async def _apply(self, step: Applied) -> None:
        async with self.pool.connection() as conn, conn.transaction():
            await apply_blocks(conn, self.work, self._cursor, step, self.clock.now())
        last = step.blocks[-1].header
        self._cursor = Cursor(last.height, last.hash)
        self._recent.update({block.header.height: block.header.hash for block in step.blocks})
        for height in [each for each in self._recent if each < last.height - self.work.listed.settings.finality_depth]:
            del self._recent[height]
        self._show(step.tip.height)

    async def _walk_back(self, step: WalkedBack) -> None:
        async with self.pool.connection() as conn, conn.transaction():
            await walk_back(conn, self.work, self._cursor, step, self.clock.now())
        log.warning("walked_back", network=self._name, height_from=self._height, height_to=step.to.height)
        self._cursor = step.to
        self._recent = {height: block for height, block in self._recent.items() if height <= step.to.height}
        self._watching.read_through = None
        self._show(step.tip.height)

    async def _read_pool(self, tip: Header, asked_at: datetime) -> None:
        """What waits for a block; and, where the tip is ours, that all has been read up to now."""
        if self._cursor is None or tip.hash != self._cursor.hash:
            return
        unconfirmed = await self.node.unconfirmed(await self._watching.fresh())
        before = self._asked_before
        if before is not None and asked_at - before > POLL_FRESH:
            before = None
        async with self.pool.connection() as conn, conn.transaction():
            reading = PoolReading(unconfirmed, asked_at, before)
            await apply_pool(conn, self.work, self._cursor, reading, self.clock.now())
        self._asked_before = self._watching.read_through = asked_at

    async def _load(self) -> None:
        async with self.pool.connection() as conn:
            await positions.open_position(conn, self.work.listed.id)
            there = await positions.position(conn, self.work.listed.id)
            self._recent = await positions.recent(conn, self.work.listed.id)
        self._cursor, self._trouble = there.cursor, there.trouble
        self._watching.read_through = there.read_through
        metrics.set_trouble(self._name, self._trouble)
        self._loaded = True

    async def _report(self, error: HoldfastError) -> None:
        log.error("network_trouble", network=self._name, code=error.code, detail=error.detail, remedy=error.remedy())
        with suppress(psycopg.OperationalError):  # then the next turn says it
            await self._set_trouble(error)

    async def _set_trouble(self, error: HoldfastError | None) -> None:
        """Show why crediting waits, once; call a person where waiting will not help."""
        code = None if error is None else error.code
        if code == self._trouble:
            return
        network = self.work.listed.id
        async with self.pool.connection() as conn, conn.transaction():
            await positions.set_trouble(conn, network, code)
            if isinstance(error, _CALLS_A_PERSON):
                detail = {"code": error.code, "detail": error.detail, "remedy": error.remedy()}
                await attention.ask(
                    conn, [Ask(None, AttentionReason.NETWORK_TROUBLE, network, detail)], self.clock.now()
                )
        self._trouble = code
        metrics.set_trouble(self._name, code)

    def _pause(self) -> float:
        """Longer each time, so that a dead node is not hammered."""
        self._pauses += 1
        return float(min(self.work.listed.settings.poll_milliseconds / 1000 * self._pauses, PAUSE_SECONDS_MAX))

    def _show(self, tip_height: int) -> None:
        metrics.NETWORK_HEIGHT.labels(self._name).set(self._height)
        metrics.NETWORK_TIP.labels(self._name).set(tip_height)
        metrics.NETWORK_LAG.labels(self._name).set(max(0, tip_height - self._height))

    @property
    def _name(self) -> str:
        return self.work.listed.network.name

    @property
    def _height(self) -> int:
        return -1 if self._cursor is None else self._cursor.height
