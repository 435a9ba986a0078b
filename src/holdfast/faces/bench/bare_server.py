"""The limit beside the API's figure: the same server and pool, and a handler that does one durable insert.

python -m holdfast.faces.bench.bare_server PORT DATABASE_URL
"""

from __future__ import annotations

import secrets
import sys
from functools import partial
from typing import Any

from granian import Granian
from granian.constants import HTTPModes, Interfaces, Loops, RuntimeModes
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

_HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"2")]


class Bare:
    """One insert, one commit, one answer."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Any request."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if scope["method"] == "POST":
            await receive()
            async with self.pool.connection() as conn:
                await conn.execute("INSERT INTO public.bare (id) VALUES (%s)", (secrets.token_hex(16),))
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        await send({"type": "http.response.body", "body": b"{}"})

    async def _lifespan(self, receive: Any, send: Any) -> None:
        await receive()
        self.pool: AsyncConnectionPool[AsyncConnection] = AsyncConnectionPool(self.url, min_size=16, open=False)
        await self.pool.open(wait=True)
        async with self.pool.connection() as conn:
            await conn.execute("CREATE TABLE IF NOT EXISTS public.bare (id text PRIMARY KEY)")
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.pool.close()
        await send({"type": "lifespan.shutdown.complete"})


def main() -> None:
    """Serve until told to stop."""
    port, url = sys.argv[1:]
    server = Granian(
        "bare",
        port=int(port),
        interface=Interfaces.ASGI,
        loop=Loops.uvloop,
        runtime_mode=RuntimeModes.st,
        http=HTTPModes.http1,
        websockets=False,
        log_enabled=False,
    )
    server.serve(target_loader=partial(Bare, url), wrap_loader=False)


if __name__ == "__main__":
    main()
