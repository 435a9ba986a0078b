"""The incident process: `python -m holdfast.incident.main --config incident.toml`. Everything is put together here.

It logs one JSON line per event to standard error, and ends cleanly on SIGTERM and SIGINT.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from pathlib import Path

import structlog

from holdfast.core.errors import HoldfastError
from holdfast.incident.alerts import Outbox, ways
from holdfast.incident.settings import IncidentSettings, load, open_key
from holdfast.incident.store import Store
from holdfast.incident.watch import Watch
from holdfast.runtime.clock import SYSTEM_CLOCK
from holdfast.runtime.logs import configure
from holdfast.runtime.settings import LogsSettings
from holdfast.runtime.supervise import refuse_optimised

ALERTS = "alerts"
_LOG = structlog.get_logger()


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def log(event: str, level: str = "info", **facts: object) -> None:
    """One line in the shape of every zone's lines."""
    getattr(_LOG, level)(event, **facts)


def open_store(settings: IncidentSettings) -> Store:
    """The directory of incidents, with the key that signs there. Raises what `open_key` raises."""
    return Store(settings.directory, open_key(settings), now_ms)


def open_outbox(settings: IncidentSettings) -> Outbox:
    """The alerts, and the ways in which they are told."""
    return Outbox(settings.directory / ALERTS, ways(settings), _warn, SYSTEM_CLOCK.now)


async def run(settings: IncidentSettings) -> None:
    """Watch until a signal comes. Raises what `open_store` raises."""
    store, outbox, stopping = open_store(settings), open_outbox(settings), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    telling = asyncio.create_task(outbox.run())
    log("watching", key=store.public_key, incidents=len(store.ids()), ways=[way.name for way in outbox.ways])
    try:
        await Watch(settings, store, outbox, log).run(stopping)
    finally:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)
    log("stopped")


def _warn(event: str, **facts: object) -> None:
    log(event, "warning", **facts)


def main() -> int:
    """Run the process; the exit code."""
    refuse_optimised()
    parser = argparse.ArgumentParser(prog="python -m holdfast.incident.main", description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    configure(LogsSettings(), "incident")
    try:
        asyncio.run(run(load(parser.parse_args().config)))
    except HoldfastError as error:
        log("not_watching", "error", code=error.code, detail=error.detail, remedy=error.remedy())
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
