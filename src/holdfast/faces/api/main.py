"""The process of the API and the checkout: the one place where its parts are put together.

python -m holdfast.faces.api.main --config holdfast.toml
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import structlog
from granian.constants import HTTPModes, Interfaces, Loops, RuntimeModes
from granian.server.mp import MPServer
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from holdfast.core.errors import HoldfastError
from holdfast.core.quorum import Quorum as QuorumDocument
from holdfast.faces.api.application import application
from holdfast.faces.api.callers import Doorkeeper
from holdfast.faces.api.edge import Edge
from holdfast.faces.api.health import api_health
from holdfast.faces.api.invoice_batches import InvoiceBatches
from holdfast.faces.api.invoice_shapes import invoice_body
from holdfast.faces.api.parts import AllParts, Quorum
from holdfast.faces.api.payout_batches import PayoutBatches
from holdfast.faces.api.rate_limits import RateLimit
from holdfast.faces.web.live import LiveHub
from holdfast.payments.catalogue import catalogue
from holdfast.payments.indexes import Indexes
from holdfast.payments.invoicing import Created, Desk
from holdfast.payments.ordering import PayoutDesk
from holdfast.payments.rate_sources import open_rates
from holdfast.payments.webhooks import parse_key
from holdfast.runtime import logs
from holdfast.runtime.clock import SYSTEM_CLOCK, Clock
from holdfast.runtime.config import load, read_secret
from holdfast.runtime.database import DatabaseNotMigrated, DatabaseUnreachable, open_pool, pending_migrations
from holdfast.runtime.database_access import DatabaseAccess, platform_access
from holdfast.runtime.settings import Settings
from holdfast.runtime.supervise import die_with_parent, refuse_optimised

if TYPE_CHECKING:
    from holdfast.faces.screening import Screening

DATABASE_SECONDS_MAX = 120
"""How long a process waits at its start for a database that another one is starting."""
DATABASE_TRY_SECONDS = 0.25
STOP_SECONDS_MAX = 4
"""How long requests that are under way may take when the process is told to stop; live pages are cut then."""
INDEX_CONNECTIONS = 2
LET_GO = signal.SIGUSR1
"""Asks a worker to end its live pages."""
GARBAGE_THRESHOLDS = (50_000, 20, 100)

log = structlog.get_logger()


@asynccontextmanager
async def open_parts(settings: Settings, clock: Clock, limit: RateLimit) -> AsyncIterator[AllParts]:
    """What the handlers work with, opened and closed in the right order. Raises `DatabaseUnreachable` and so on."""
    access = platform_access(settings.database)
    await _database_ready(access)
    async with (
        _pool(access, settings.database.connections_max) as pool,
        # Indexes have their own: whoever holds the last connection of the other may be waiting for an index.
        _pool(access, INDEX_CONNECTIONS) as index_pool,
        open_rates(settings.rates, clock) as rates,
    ):
        desk = Desk(catalogue(settings), rates, Indexes(index_pool))
        batches = InvoiceBatches(pool, desk, clock, partial(_show, desk, settings.api.public_url.rstrip("/")))
        screening = _screening(settings, clock)
        payout_desk = PayoutDesk(desk.catalogue, settings.payouts.fee)
        if screening is not None:
            payout_desk = replace(payout_desk, refuses=screening.refuses)
        payout_batches = PayoutBatches(pool, payout_desk, clock)
        hub = LiveHub(pool)
        polling = asyncio.create_task(hub.run())
        yield AllParts(
            settings=settings,
            pool=pool,
            desk=desk,
            clock=clock,
            doorkeeper=Doorkeeper(
                pool, clock, limit, frozenset(settings.api.trusted_proxies), signer_token_of(settings)
            ),
            invoice_batches=batches,
            payout_batches=payout_batches,
            quorum=read_quorum(settings),
            webhook_key=parse_key(read_secret(settings.webhooks.key_file)),
            health=api_health(pool),
            live_hub=hub,
            screen_payout=None if screening is None else screening.holds,
        )
        hub.close()
        polling.cancel()
        await batches.close()
        await payout_batches.close()
        if screening is not None and screening.close is not None:
            await screening.close()


def _screening(settings: Settings, clock: Clock) -> Screening | None:
    """What payouts are held against, if they are. Raises `ScreeningMisconfigured`."""
    if not settings.screening.check_payouts:
        return None
    from holdfast.faces.screening import open_screening  # only who screens loads it

    return open_screening(settings, clock)


def read_quorum(settings: Settings) -> Quorum | None:
    """The officers' quorum document, if there is one."""
    if not settings.quorum_file.exists():
        return None
    quorum = msgspec.json.decode(settings.quorum_file.read_bytes(), type=QuorumDocument)
    return Quorum(quorum.document(), quorum.fingerprint())


def signer_token_of(settings: Settings) -> bytes | None:
    """SHA-256 of the token that the signer must show, if there is a signer. Raises as `read_secret`."""
    if settings.signer.token_file is None:
        return None
    return sha256(read_secret(settings.signer.token_file).encode()).digest()


def load_application(config: Path, parent: int) -> Edge:
    """What each worker process runs."""
    die_with_parent(parent)
    # What is loaded stays: looking through it again and again for garbage cost a tenth of all invoices per second.
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    settings = load(config)
    logs.configure(settings.logs, "api")
    return application(settings, SYSTEM_CLOCK, partial(_open_in_worker, settings))


@asynccontextmanager
async def _open_in_worker(settings: Settings, limit: RateLimit) -> AsyncIterator[AllParts]:
    async with open_parts(settings, SYSTEM_CLOCK, limit) as parts:
        asyncio.get_running_loop().add_signal_handler(LET_GO, parts.live_hub.close)
        yield parts


class Server(MPServer):
    """Granian, which lets live pages go before it asks its workers to stop: they would wait for them in vain."""

    def _stop_workers(self) -> None:
        for worker in self.wrks:
            with suppress(ProcessLookupError, TypeError):  # it has ended, or has not started
                os.kill(worker.inner.pid, LET_GO)
        super()._stop_workers()  # type: ignore[no-untyped-call]  # granian has no types here


def main() -> int:
    """Run the zone; the exit code."""
    refuse_optimised()
    parser = argparse.ArgumentParser(prog="python -m holdfast.faces.api.main", description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    try:
        settings = load(parser.parse_args().config)
    except HoldfastError as error:
        sys.exit(f"holdfast: {error}")
    logs.configure(settings.logs, "api")
    server = Server(
        "holdfast",
        address=settings.api.host,
        port=settings.api.port,
        interface=Interfaces.ASGI,
        workers=settings.api.workers,
        loop=Loops.uvloop,
        runtime_mode=RuntimeModes.st,
        http=HTTPModes.http1,
        websockets=False,
        workers_kill_timeout=STOP_SECONDS_MAX,
        log_enabled=False,
    )
    loader: Callable[[], Edge] = partial(load_application, settings.path, os.getpid())
    try:
        server.serve(target_loader=loader, wrap_loader=False)
    except HoldfastError as error:
        log.exception("api_not_served", code=error.code)
        return 1
    return 0


def _show(desk: Desk, public_url: str, created: Created) -> bytes:
    return msgspec.json.encode(invoice_body(desk.catalogue, public_url, created.invoice, list(created.quotes)))


@asynccontextmanager
async def _pool(access: DatabaseAccess, size_max: int) -> AsyncIterator[AsyncConnectionPool[AsyncConnection[Any]]]:
    pool = await open_pool(access.url, size_min=1, size_max=size_max, password=access.password)
    try:
        yield pool
    finally:
        await pool.close()


async def _database_ready(access: DatabaseAccess) -> None:
    """Wait until the database answers and has this program's tables. Raises what is wrong after some time."""
    deadline = asyncio.get_running_loop().time() + DATABASE_SECONDS_MAX
    while True:
        is_late = asyncio.get_running_loop().time() > deadline
        try:
            pending = await pending_migrations(access.url, password=access.password)
        except (DatabaseUnreachable, DatabaseNotMigrated):
            if is_late:
                raise
        else:
            if not pending:
                return
            if is_late:
                raise DatabaseNotMigrated(f"{len(pending)} migrations are missing")
        await asyncio.sleep(DATABASE_TRY_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
