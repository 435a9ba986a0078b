"""The process of the embedded database: starts PostgreSQL, brings its tables up to date, and stops it when told.

It ends when PostgreSQL does, so that the supervisor starts both again.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

import structlog

from holdfast.core.errors import HoldfastError
from holdfast.runtime import logs
from holdfast.runtime.config import load
from holdfast.runtime.database import migrate
from holdfast.runtime.embedded_database import embedded
from holdfast.runtime.settings import Settings
from holdfast.runtime.supervise import refuse_optimised

log = structlog.get_logger()


async def run(settings: Settings) -> int:
    """Keep the database running until a signal comes, or it ends by itself; the exit code."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with embedded(settings.database.data_dir) as database:
        done = await migrate(database.owner_url)
        log.info("database_ready", migrations=len(done))
        ended = asyncio.ensure_future(database.ended())
        asked = asyncio.ensure_future(stop.wait())
        await asyncio.wait({ended, asked}, return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        if ended.done():
            log.error("database_died", status=ended.result())
            return 1
        ended.cancel()
    log.info("database_stopped")
    return 0


def main() -> int:
    """Run the zone; the exit code."""
    refuse_optimised()
    parser = argparse.ArgumentParser(prog="python -m holdfast.runtime.database_zone", description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    settings = load(parser.parse_args().config)
    logs.configure(settings.logs, "database")
    try:
        return asyncio.run(run(settings))
    except HoldfastError as error:
        log.exception("database_not_served", code=error.code)
        return 1


if __name__ == "__main__":
    sys.exit(main())
