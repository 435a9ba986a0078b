"""The database for one command: the running one, or the embedded one started for as long as it takes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from holdfast.runtime.database import DatabaseUnreachable, connected
from holdfast.runtime.database_access import DatabaseAccess, owner_access
from holdfast.runtime.embedded_database import embedded
from holdfast.runtime.settings import Settings


@asynccontextmanager
async def with_database(settings: Settings) -> AsyncIterator[DatabaseAccess]:
    """The owner's access. An embedded database that is not running is started, and stopped at the end.

    Raises `DatabaseUnreachable` and what `embedded` raises.
    """
    access = owner_access(settings.database)
    if settings.database.url is not None or await _answers(access):
        yield access
        return
    async with embedded(settings.database.data_dir):
        yield access


async def _answers(access: DatabaseAccess) -> bool:
    try:
        async with connected(access.url, password=access.password):
            return True
    except DatabaseUnreachable:
        return False
