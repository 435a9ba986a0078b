"""The broadcaster: sends what the signer signed, follows what goes out, and compares chain, ledger and journal.

Each network has tasks of its own, so that trouble of one stops nothing elsewhere. It holds no key; what it sends was
signed and journaled by the signer, and what it finds moves money only in the ledger.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import psycopg
import structlog
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from holdfast.chains.follower import FinalityViolated
from holdfast.chains.outflow import OutflowNode
from holdfast.chains.port import NodeBlockGone, NodesDisagree
from holdfast.chains.vault_reads import VaultNode
from holdfast.core.errors import HoldfastError
from holdfast.ledger import LedgerRaced
from holdfast.payments import attention, outflow_books, reconciling, sending, transactions
from holdfast.payments.attention import Ask
from holdfast.payments.catalogue import ListedNetwork, catalogue
from holdfast.payments.house_places import house_places
from holdfast.payments.nodes import open_outflow, open_vault_node
from holdfast.payments.outflow_follow import OutflowFollower
from holdfast.payments.positions import CursorMoved
from holdfast.payments.reconciling import Reconciler
from holdfast.payments.standing import AttentionReason
from holdfast.runtime import metrics
from holdfast.runtime.clock import Clock
from holdfast.runtime.settings import Settings

SEND_EVERY_SECONDS = 1.0
"""How often unsent and forgotten transactions are looked for when nobody tells of new ones."""
LISTEN_SECONDS = 5.0
WAKES_KEPT_FOR = timedelta(days=1)
PAUSE_SECONDS_MAX = 15.0
GONE_MAX = 3

_RACED = (CursorMoved, LedgerRaced, psycopg.errors.DeadlockDetected)
_CALLS_A_PERSON = (NodesDisagree, FinalityViolated)

Pool = AsyncConnectionPool[AsyncConnection[Any]]

log = structlog.get_logger()


@dataclass(slots=True)
class NetworkTasks:
    """What is done on one network."""

    pool: Pool
    listed: ListedNetwork
    node: OutflowNode
    vault_node: VaultNode
    clock: Clock
    follower: OutflowFollower = field(init=False)
    reconciler: Reconciler = field(init=False)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when there is something to send."""
    _trouble: str | None = None
    _pauses: int = 0

    def __post_init__(self) -> None:
        self.follower = OutflowFollower(self.pool, self.listed, self.node, self.vault_node, self.clock)
        self.reconciler = Reconciler(self.pool, self.listed, self.vault_node, self.clock)

    async def send(self, stopping: asyncio.Event) -> None:
        """Send what is due, at once when told, until told to stop."""
        while not stopping.is_set():
            self.wake.clear()
            try:
                sent = await sending.send_due(self.pool, self.node, self.listed.id, self.clock.now())
                await self._show_waiting()
            except psycopg.OperationalError as error:
                log.warning("database_lost", network=self.follower.name, error=str(error).splitlines()[0])
            except _RACED as raced:
                log.warning("send_raced", network=self.follower.name, error=type(raced).__name__)
            else:
                if any(one.error is None for one in sent):
                    continue  # there may be more by now
            with suppress(TimeoutError):
                await asyncio.wait_for(self.wake.wait(), SEND_EVERY_SECONDS)

    async def follow(self, stopping: asyncio.Event) -> None:
        """Follow and reconcile until told to stop."""
        while not stopping.is_set():
            pause = await self.turn()
            if pause:
                with suppress(TimeoutError):
                    await asyncio.wait_for(stopping.wait(), pause)

    async def turn(self) -> float:
        """One step; the seconds to wait before the next. Whatever is wrong is shown, and tried again."""
        try:
            if await self._is_idle():
                return self._poll
            is_up_to_date = await self.follower.step()
            if is_up_to_date and self.follower.cursor is not None:
                await self.reconciler.run(self.follower.cursor)
            await self._set_trouble(None)
        except _RACED as raced:
            log.warning("step_raced", network=self.follower.name, error=type(raced).__name__, detail=str(raced))
            self.follower.forget()
            return 0.0
        except HoldfastError as error:
            self.follower.forget()
            pause = self._pause()
            if not isinstance(error, NodeBlockGone) or self._pauses > GONE_MAX:
                await self._report(error)
            return pause
        except psycopg.OperationalError as error:
            self.follower.forget()
            log.warning("database_lost", network=self.follower.name, error=str(error).splitlines()[0])
            return self._pause()
        self._pauses = 0
        return self._poll if is_up_to_date else 0.0

    async def close(self) -> None:
        """Close the connections to its nodes."""
        await self.node.close()
        await self.vault_node.close()

    async def _is_idle(self) -> bool:
        """Whether there is no float here, so that nothing can go out."""
        async with self.pool.connection() as conn:
            return (await house_places(conn, self.listed)).is_empty

    async def _show_waiting(self) -> None:
        async with self.pool.connection() as conn:
            waiting = await transactions.count_waiting(conn, self.listed.id)
        metrics.TRANSACTIONS_WAITING.labels(self.follower.name).set(waiting)

    async def _report(self, error: HoldfastError) -> None:
        log.error("outflow_trouble", network=self.follower.name, code=error.code, detail=error.detail)
        with suppress(psycopg.OperationalError):  # then the next turn says it
            await self._set_trouble(error)

    async def _set_trouble(self, error: HoldfastError | None) -> None:
        code = None if error is None else error.code
        if code == self._trouble:
            return
        async with self.pool.connection() as conn, conn.transaction():
            await outflow_books.set_trouble(conn, self.listed.id, code)
            if isinstance(error, _CALLS_A_PERSON):
                detail = {"code": error.code, "detail": error.detail, "remedy": error.remedy()}
                ask = Ask(None, AttentionReason.NETWORK_TROUBLE, f"{self.listed.id} outflows", detail)
                await attention.ask(conn, [ask], self.clock.now())
        self._trouble = code

    def _pause(self) -> float:
        self._pauses += 1
        return min(self._poll * self._pauses, PAUSE_SECONDS_MAX)

    @property
    def _poll(self) -> float:
        return self.listed.settings.poll_milliseconds / 1000


async def run(settings: Settings, pool: Pool, clock: Clock, stopping: asyncio.Event) -> None:
    """Serve every configured network until told to stop."""
    listed = catalogue(settings).networks.values()
    networks = [
        NetworkTasks(pool, one, open_outflow(one.settings), open_vault_node(one.settings), clock) for one in listed
    ]
    try:
        async with asyncio.TaskGroup() as tasks:
            for one in networks:
                tasks.create_task(one.send(stopping))
                tasks.create_task(one.follow(stopping))
            tasks.create_task(_listen(pool, networks, stopping))
            tasks.create_task(_forget_wakes(pool, clock, stopping))
    finally:
        for one in networks:
            await one.close()


async def _listen(pool: Pool, networks: Sequence[NetworkTasks], stopping: asyncio.Event) -> None:
    """Wake the senders when the journal brings something to send; where the database goes away, listen anew."""
    while not stopping.is_set():
        try:
            async with pool.connection() as conn:
                await conn.set_autocommit(True)
                await conn.execute(f"LISTEN {transactions.CHANNEL}")
                try:
                    await _heard(conn, networks, stopping)
                finally:
                    await conn.execute("UNLISTEN *")
                    await conn.set_autocommit(False)
        except psycopg.OperationalError:
            with suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), SEND_EVERY_SECONDS)


async def _heard(conn: AsyncConnection[Any], networks: Sequence[NetworkTasks], stopping: asyncio.Event) -> None:
    while not stopping.is_set():
        _wake(networks)  # what came before, or while nobody listened
        async for _ in conn.notifies(timeout=LISTEN_SECONDS, stop_after=1):
            break


def _wake(networks: Sequence[NetworkTasks]) -> None:
    for one in networks:
        one.wake.set()


async def _forget_wakes(pool: Pool, clock: Clock, stopping: asyncio.Event) -> None:
    """Delete what the signer was woken by long ago, and reconciliations that found nothing."""
    while not stopping.is_set():
        with suppress(psycopg.OperationalError):
            async with pool.connection() as conn:
                await conn.execute(
                    "DELETE FROM payments.signer_wakes WHERE made_at < %s", (clock.now() - WAKES_KEPT_FOR,)
                )
                await reconciling.forget_old(conn, clock.now())
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), WAKES_KEPT_FOR.total_seconds() / 24)
