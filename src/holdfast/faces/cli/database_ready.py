"""Waiting for the embedded database: the other zones start when its tables are there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from holdfast.core.errors import HoldfastError
from holdfast.runtime.database import pending_migrations
from holdfast.runtime.database_access import platform_access

if TYPE_CHECKING:
    from holdfast.runtime.settings import Settings


async def database_ready(settings: Settings) -> None:
    """Returns once the database answers and its tables are this program's."""
    while not await _is_ready(settings):  # noqa: ASYNC110  the event would be in another process
        await asyncio.sleep(0.1)


async def _is_ready(settings: Settings) -> bool:
    access = platform_access(settings.database)
    try:
        return not await pending_migrations(access.url, password=access.password)
    except HoldfastError:
        return False
