"""Waiting for something in another process: asked again and again, up to a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from holdfast.core.errors import Unavailable

if TYPE_CHECKING:
    from psycopg import AsyncConnection

WAIT_SECONDS = 120.0
"""Patience with a machine that has other things to do as well; nothing is ever measured by it."""

DATABASE_SECONDS = 30.0


class DrillStuck(Unavailable):
    """Something that should have happened in a drill did not happen in time. Read the zones' logs in its directory."""

    code = "drill-stuck"


async def until(
    is_so: Callable[[], Awaitable[bool]],
    otherwise: str,
    *,
    seconds: float = WAIT_SECONDS,
    pause_seconds: float = 0.05,
) -> None:
    """Wait until it is so. Raises `DrillStuck` with `otherwise` as its detail."""
    try:
        async with asyncio.timeout(seconds):
            while not await is_so():  # noqa: ASYNC110  the other side is other processes: nothing could set an event
                await asyncio.sleep(pause_seconds)
    except TimeoutError:
        raise DrillStuck(otherwise) from None


async def connection(url: str) -> AsyncConnection[tuple[Any, ...]]:
    """To a database that may be dead just now and comes back; each statement at once in effect. Raises `DrillStuck`."""
    from psycopg import AsyncConnection, OperationalError

    made: list[AsyncConnection[tuple[Any, ...]]] = []

    async def is_there() -> bool:
        try:
            made.append(await AsyncConnection.connect(url, autocommit=True))
        except OperationalError:
            return False
        return True

    await until(is_there, "the database did not come back", seconds=DATABASE_SECONDS, pause_seconds=0.3)
    return made[0]
