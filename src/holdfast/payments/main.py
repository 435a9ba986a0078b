"""The follower, courier and broadcaster processes: the one place where their parts are put together.

python -m holdfast.payments.main follower --config holdfast.toml
python -m holdfast.payments.main courier --config holdfast.toml
python -m holdfast.payments.main broadcaster --config holdfast.toml
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import psycopg
import structlog
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from holdfast.core.errors import Conflict, HoldfastError
from holdfast.payments import positions
from holdfast.payments.catalogue import catalogue
from holdfast.payments.follow import Follower
from holdfast.payments.housekeeping import keep_house
from holdfast.payments.nodes import open_node
from holdfast.payments.ordering import PayoutDesk
from holdfast.payments.payout_stages import follow_tower
from holdfast.payments.steps import Screen, Work, hold_nothing
from holdfast.runtime import logs
from holdfast.runtime.clock import SYSTEM_CLOCK, Clock
from holdfast.runtime.config import load
from holdfast.runtime.database import DatabaseNotMigrated, DatabaseUnreachable, open_pool, pending_migrations
from holdfast.runtime.database_access import platform_access
from holdfast.runtime.health import Check, Health, health_server
from holdfast.runtime.settings import Settings
from holdfast.runtime.supervise import refuse_optimised

DATABASE_SECONDS_MAX = 120
"""How long a process waits at its start for a database that another one is starting."""
DATABASE_TRY_SECONDS = 0.25

Pool = AsyncConnectionPool[AsyncConnection[Any]]

log = structlog.get_logger()


class NetworkInTrouble(Conflict):
    """Crediting waits on a network. Its error's code is in the detail; `holdfast doctor` says what to do."""

    code = "network-in-trouble"
    retry = True


async def follow_all(
    settings: Settings, pool: Pool, clock: Clock, stopping: asyncio.Event, screen: Screen = hold_nothing
) -> None:
    """Follow every configured network, each in a task of its own, and keep house, until told to stop."""
    desk = PayoutDesk(catalogue(settings), settings.payouts.fee)
    listed = desk.catalogue.networks.values()
    followers = [Follower(pool, Work(each, screen), open_node(each.settings), clock) for each in listed]
    try:
        async with asyncio.TaskGroup() as tasks:
            for follower in followers:
                tasks.create_task(follower.run(stopping))
            tasks.create_task(keep_house(pool, clock, desk, stopping))
            if settings.watchtower.address is not None:
                tasks.create_task(follow_tower(pool, clock, settings.watchtower.address, stopping))
    finally:
        for follower in followers:
            await follower.node.close()


OpenScreen = Callable[[Settings, Clock], AbstractAsyncContextManager[Screen]]
"""Opens what deposits are held against before they are credited."""


async def run(zone: str, settings: Settings, open_screen: OpenScreen | None = None) -> None:
    """Run a process until SIGTERM or SIGINT. Raises `DatabaseUnreachable`, `DatabaseNotMigrated`, ..."""
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    port = _metrics_port(zone, settings)
    async with _database(settings, stopping) as pool:
        health = Health(zone, {"database": _answers(pool)})
        if zone == "follower":
            health.checks["networks"] = _networks_well(pool)
        async with health_server(health, port):
            log.info("started")
            if zone == "follower":
                async with (
                    nullcontext(hold_nothing) if open_screen is None else open_screen(settings, SYSTEM_CLOCK) as screen
                ):
                    await follow_all(settings, pool, SYSTEM_CLOCK, stopping, screen)
            elif zone == "courier":
                from holdfast.payments.courier import run as deliver  # the follower never loads it

                await deliver(settings, pool, SYSTEM_CLOCK, stopping)
            else:
                from holdfast.payments.broadcaster import run as broadcast  # nor this

                await broadcast(settings, pool, SYSTEM_CLOCK, stopping)
    log.info("stopped")


def main(open_screen: OpenScreen | None = None) -> int:
    """Run a zone; the exit code. `open_screen`: of a follower that screens."""
    refuse_optimised()
    parser = argparse.ArgumentParser(prog="python -m holdfast.payments.main", description=__doc__)
    parser.add_argument("zone", choices=["follower", "courier", "broadcaster"])
    parser.add_argument("--config", type=Path, required=True)
    given = parser.parse_args()
    settings = load(given.config)
    logs.configure(settings.logs, given.zone)
    try:
        asyncio.run(run(given.zone, settings, open_screen))
    except HoldfastError as error:
        log.exception("not_served", code=error.code)
        return 1
    return 0


def _metrics_port(zone: str, settings: Settings) -> int:
    ports = {
        "follower": settings.follower.metrics_port,
        "courier": settings.courier.metrics_port,
        "broadcaster": settings.broadcaster.metrics_port,
    }
    return ports[zone]


@asynccontextmanager
async def _database(settings: Settings, stopping: asyncio.Event) -> AsyncIterator[Pool]:
    """The pool, once the database answers and its tables are the ones that this program knows."""
    access = platform_access(settings.database)
    deadline = asyncio.get_running_loop().time() + DATABASE_SECONDS_MAX
    while not await _is_ready(access.url, access.password, deadline):
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), DATABASE_TRY_SECONDS)
        if stopping.is_set():
            raise DatabaseUnreachable("told to stop before it answered")
    pool = await open_pool(access.url, size_max=settings.database.connections_max, password=access.password)
    try:
        yield pool
    finally:
        await pool.close()


async def _is_ready(url: str, password: str | None, deadline: float) -> bool:
    """Whether the database can be used. Raises what is wrong with it once the deadline is past."""
    is_late = asyncio.get_running_loop().time() > deadline
    try:
        pending = await pending_migrations(url, password=password)
    except (DatabaseUnreachable, DatabaseNotMigrated):
        if is_late:
            raise
        return False
    if pending and is_late:
        raise DatabaseNotMigrated(f"{len(pending)} migrations are missing")
    return not pending


def _answers(pool: Pool) -> Check:
    async def check() -> None:
        try:
            async with pool.connection(timeout=1) as conn:
                await conn.execute("SELECT 1")
        except psycopg.OperationalError as error:
            raise DatabaseUnreachable(str(error).splitlines()[0]) from None

    return check


def _networks_well(pool: Pool) -> Check:
    async def check() -> None:
        try:
            async with pool.connection(timeout=1) as conn:
                troubled = await positions.troubled(conn)
        except psycopg.OperationalError as error:
            raise DatabaseUnreachable(str(error).splitlines()[0]) from None
        if troubled:
            raise NetworkInTrouble(", ".join(f"{network}: {code}" for network, code in troubled.items()))

    return check


if __name__ == "__main__":
    sys.exit(main())
