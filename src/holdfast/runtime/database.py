"""Connections to PostgreSQL, and whether its tables are the ones that this program knows.

Servers connect as `holdfast_platform`, which may read the ledger and post to it by its functions, and no more; tables
belong to `holdfast_owner`, which only migrations and backups use. Never starts a server: `embedded_database` does.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlencode

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from holdfast.core.errors import Conflict, Unavailable
from holdfast.runtime.migrations import MIGRATIONS

OWNER = "holdfast_owner"
PLATFORM = "holdfast_platform"
CONNECT_SECONDS = 10


class DatabaseUnreachable(Unavailable):
    """PostgreSQL does not answer, or not to this role. Start it, or mend its URL; see `holdfast doctor`."""

    code = "database-unreachable"


class DatabaseNotMigrated(Conflict):
    """The tables are older or newer than this program. Run `holdfast migrate`, or start the program they belong to."""

    code = "database-not-migrated"


class DatabaseRolesMissing(Conflict):
    """The database lacks a role that Holdfast needs. As its superuser, `CREATE ROLE` each one named."""

    code = "database-roles-missing"


def with_passfile(role: str, database: str, host: str, passfile: str) -> str:
    """A `postgresql://` URL that names a password file instead of a password."""
    return f"postgresql://{role}@/{database}?{urlencode({'host': host, 'passfile': passfile})}"


async def open_pool(
    url: str, *, size_min: int = 2, size_max: int = 16, password: str | None = None
) -> AsyncConnectionPool[AsyncConnection]:
    """An open pool of connections. The caller closes it. Raises `DatabaseUnreachable`.

    A password is given apart from the URL, so that no URL that is shown or logged contains one.
    """
    pool: AsyncConnectionPool[AsyncConnection] = AsyncConnectionPool(
        make_conninfo(url, password=password),
        min_size=size_min,
        max_size=size_max,
        timeout=CONNECT_SECONDS,
        kwargs={"application_name": "holdfast", "connect_timeout": CONNECT_SECONDS},
        open=False,
    )
    try:
        await pool.open(wait=True, timeout=CONNECT_SECONDS)
    except PoolTimeout as error:
        await pool.close()
        raise DatabaseUnreachable(str(error)) from None
    return pool


@asynccontextmanager
async def connected(url: str, *, password: str | None = None) -> AsyncIterator[AsyncConnection]:
    """One connection in autocommit mode, closed at the end. Raises `DatabaseUnreachable`."""
    conninfo = make_conninfo(url, password=password)
    try:
        connection = await AsyncConnection.connect(conninfo, autocommit=True, connect_timeout=CONNECT_SECONDS)
    except psycopg.OperationalError as error:
        raise DatabaseUnreachable(str(error).splitlines()[0]) from None
    async with connection:
        yield connection


async def pending_migrations(url: str, *, password: str | None = None) -> list[str]:
    """Revisions that the database lacks, oldest first; none where its tables are this program's.

    Raises `DatabaseUnreachable`, `DatabaseNotMigrated` (it has a revision that this program does not know).
    """
    async with connected(url, password=password) as connection:
        cursor = await connection.execute("SELECT to_regclass('public.alembic_version') IS NOT NULL")
        row = await cursor.fetchone()
        if row is None or not row[0]:
            return list(MIGRATIONS)
        cursor = await connection.execute("SELECT version_num FROM public.alembic_version")
        row = await cursor.fetchone()
    if row is None:
        return list(MIGRATIONS)
    if row[0] not in MIGRATIONS:
        raise DatabaseNotMigrated(f"it is at revision {row[0]}, the newest known here is {MIGRATIONS[-1]}")
    return list(MIGRATIONS[MIGRATIONS.index(row[0]) + 1 :])


async def migrate(owner_url: str, *, password: str | None = None) -> list[str]:
    """Bring the tables up to date; what was done. Run twice, it does nothing the second time.

    Raises `DatabaseUnreachable`, `DatabaseRolesMissing`, `DatabaseNotMigrated`.
    """
    from holdfast.runtime.migrations.run import upgrade  # alembic is slow to load, and servers never migrate

    pending = await pending_migrations(owner_url, password=password)
    if not pending:
        return []
    async with connected(owner_url, password=password) as connection:
        cursor = await connection.execute(
            "SELECT name FROM unnest(%s::text[]) AS name WHERE name NOT IN (SELECT rolname FROM pg_roles)",
            [[OWNER, PLATFORM]],
        )
        if missing := [row[0] for row in await cursor.fetchall()]:
            raise DatabaseRolesMissing(", ".join(missing))
    await upgrade(owner_url, password)
    return pending
