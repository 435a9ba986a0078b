"""`/health`, `/ready`, `/metrics`: whether this process lives, whether it can work, and its figures. No key needed.

Each worker process answers for itself; put a limit on who may read `/metrics` in the proxy in front.
"""

from __future__ import annotations

from typing import Any

import psycopg
from litestar import Request, Response, get

from holdfast.core.errors import Conflict
from holdfast.faces.api.callers import open_to_all
from holdfast.faces.api.parts import Parts, Pool
from holdfast.payments import positions
from holdfast.runtime.database import DatabaseNotMigrated, DatabaseUnreachable
from holdfast.runtime.health import Health
from holdfast.runtime.migrations import MIGRATIONS


class NetworkTroubled(Conflict):
    """Crediting waits on a network. Its error's code is in the detail; `holdfast doctor` says what to do."""

    code = "network-troubled"
    retry = True


@get("/health", include_in_schema=False, guards=[open_to_all()])
async def health(request: Request[Any, Any, Any], parts: Parts) -> Response[bytes]:
    """The process answers."""
    return await _answer(request, parts)


@get("/ready", include_in_schema=False, guards=[open_to_all()])
async def ready(request: Request[Any, Any, Any], parts: Parts) -> Response[bytes]:
    """Database, migrations and networks are as they must be; else 503 and why."""
    return await _answer(request, parts)


@get("/metrics", include_in_schema=False, guards=[open_to_all()])
async def figures(request: Request[Any, Any, Any], parts: Parts) -> Response[bytes]:
    """Prometheus' page."""
    return await _answer(request, parts)


async def _answer(request: Request[Any, Any, Any], parts: Parts) -> Response[bytes]:
    status, media_type, body = await parts.health.answer(request.url.path)
    return Response(content=body, status_code=status, media_type=media_type)


def api_health(pool: Pool) -> Health:
    """What the API needs to be ready."""

    async def database() -> None:
        revision = await _one(pool, "SELECT version_num FROM public.alembic_version")
        if revision != MIGRATIONS[-1]:
            raise DatabaseNotMigrated(f"it is at revision {revision}, this program is at {MIGRATIONS[-1]}")

    async def networks() -> None:
        try:
            async with pool.connection(timeout=1) as conn:
                troubled = await positions.troubled(conn)
        except psycopg.OperationalError as error:
            raise DatabaseUnreachable(str(error).splitlines()[0]) from None
        if troubled:
            raise NetworkTroubled(", ".join(f"{network}: {code}" for network, code in sorted(troubled.items())))

    return Health("api", {"database": database, "networks": networks})


async def _one(pool: Pool, query: str) -> object:
    """The one value that a query returns. Raises `DatabaseUnreachable`."""
    try:
        async with pool.connection(timeout=1) as conn:
            row = await (await conn.execute(query)).fetchone()
    except psycopg.OperationalError as error:
        raise DatabaseUnreachable(str(error).splitlines()[0]) from None
    return row[0] if row else None
