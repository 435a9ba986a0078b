"""The watchtower's process: `python -m holdfast.watchtower.main --config tower.toml`. Everything is put together here.

It logs one JSON line per event to standard error, and ends cleanly on SIGTERM and SIGINT.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sqlite3
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from holdfast.core.errors import HoldfastError
from holdfast.watchtower.answers import Tower
from holdfast.watchtower.eyes import Eyes
from holdfast.watchtower.fold import Fold
from holdfast.watchtower.guard import Guard
from holdfast.watchtower.server import Bounds, Server, listening
from holdfast.watchtower.settings import TowerSettings, load, open_lease_key
from holdfast.watchtower.store import Store


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def log(event: str, level: str = "info", **facts: object) -> None:
    """One line on standard error, in the shape of every zone's lines."""
    at = datetime.fromtimestamp(now_ms() // 1_000, UTC).isoformat().replace("+00:00", "Z")
    line = {"event": event, "level": level, "at": at, "zone": "watchtower", **facts}
    print(json.dumps(line, default=str), file=sys.stderr, flush=True)  # noqa: T201  its log is standard error


async def run(settings: TowerSettings) -> int:
    """Answer until a signal comes or the store fails; the exit code. Raises what settings and store name."""
    key = open_lease_key(settings)
    store = Store(settings.data_file, settings.root_fingerprint)
    fold = Fold(settings.root_fingerprint)
    tower = Tower(
        store, key, settings.root_fingerprint, settings.freeze_keys, settings.lease_milliseconds, now_ms,
        settings.present_seconds, reader_keys=settings.reader_keys, fold=fold,
        eyes=Eyes(blind_ms=settings.blind_seconds * 1_000),
    )  # fmt: skip
    bounds = Bounds(settings.connections_max, settings.line_bytes_max, settings.request_seconds_max)
    server, stop = Server(tower, bounds, log), asyncio.Event()
    guard = Guard(tower, fold, settings, server.lock, log)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with listening(server, settings.host, settings.port) as (host, port):
        log(
            "watching", host=host, port=port, seq=store.standing.head.seq, frozen=store.frozen,
            lease_key=key.public_key().public_bytes_raw().hex(),
        )  # fmt: skip
        waits = [asyncio.ensure_future(event.wait()) for event in (stop, server.broken)]
        looking = asyncio.ensure_future(guard.run())
        await asyncio.wait([*waits, looking], return_when=asyncio.FIRST_COMPLETED)
        for wait in (*waits, looking):
            wait.cancel()
        await asyncio.wait([looking])
    await guard.close()
    store.close()
    log("stopped", seq=store.standing.head.seq)
    if not looking.cancelled() and (error := looking.exception()) is not None:
        raise error  # a watchtower that does not look grants no leases
    return 1 if server.broken.is_set() else 0


def main() -> int:
    """Run the process; the exit code."""
    if sys.flags.optimize:
        sys.exit("holdfast: refusing to run under python -O: assertions must stay on. Run it without -O.")
    parser = argparse.ArgumentParser(prog="python -m holdfast.watchtower.main", description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    try:
        return asyncio.run(run(load(parser.parse_args().config)))
    except HoldfastError as error:
        log("not_watching", level="error", code=error.code, detail=error.detail, remedy=error.remedy())
    except (OSError, sqlite3.Error) as error:
        log("not_watching", level="error", code="tower-unable", detail=str(error), remedy="Look at port and data file.")
    return 1


if __name__ == "__main__":
    sys.exit(main())
