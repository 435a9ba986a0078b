"""Whether a process lives and whether it can do its work; and a small HTTP server to say so, for processes without one.

`/health`: the process answers. `/ready`: every check passes. `/metrics`: the figures. It listens on loopback only.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus

import msgspec

from holdfast.core.errors import HoldfastError
from holdfast.runtime import metrics

CHECK_SECONDS_MAX = 2
"""A check that takes longer has failed."""

_REQUEST_BYTES_MAX = 8_192
_REQUEST_SECONDS_MAX = 5

Check = Callable[[], Awaitable[None]]
"""Returns when all is well; raises a `HoldfastError` that says what is not."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a process is not ready."""

    check: str
    code: str
    detail: str
    remedy: str


@dataclass(slots=True)
class Health:
    """The checks of one process. An empty list is ready: a process adds what it needs before it starts to work."""

    zone: str
    checks: dict[str, Check] = field(default_factory=dict)

    async def troubles(self) -> list[Trouble]:
        """What is wrong now; all checks run at the same time."""
        found = await asyncio.gather(*(_run(name, check) for name, check in self.checks.items()))
        return [trouble for trouble in found if trouble is not None]

    async def answer(self, path: str) -> tuple[HTTPStatus, str, bytes]:
        """Status, media type and body for `/health`, `/ready` or `/metrics`."""
        if path == "/health":
            return _json(HTTPStatus.OK, {"zone": self.zone, "alive": True})
        if path == "/ready":
            troubles = await self.troubles()
            status = HTTPStatus.SERVICE_UNAVAILABLE if troubles else HTTPStatus.OK
            return _json(status, {"zone": self.zone, "ready": not troubles, "troubles": troubles})
        if path == "/metrics":
            return HTTPStatus.OK, metrics.CONTENT_TYPE, metrics.exposition()
        return _json(HTTPStatus.NOT_FOUND, {"paths": ["/health", "/ready", "/metrics"]})


@asynccontextmanager
async def health_server(health: Health, port: int) -> AsyncIterator[int]:
    """Answer on this loopback port while inside; 0: do not listen at all. Yields the port."""
    if port == 0:
        yield 0
        return
    async with listening(health, port) as bound:
        yield bound


@asynccontextmanager
async def listening(health: Health, port: int) -> AsyncIterator[int]:
    """Answer on this loopback port, 0 for any free one, while inside. Yields the port that it is."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(TimeoutError, ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(_REQUEST_SECONDS_MAX):
                await _answer_one(health, reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port, limit=_REQUEST_BYTES_MAX)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


async def _answer_one(health: Health, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    method, _, rest = head.partition(" ")
    path = rest.partition(" ")[0].partition("?")[0]
    if method not in {"GET", "HEAD"}:
        status, media, body = _json(HTTPStatus.METHOD_NOT_ALLOWED, {"methods": ["GET", "HEAD"]})
    else:
        status, media, body = await health.answer(path)
    lines = (
        f"HTTP/1.1 {status.value} {status.phrase}",
        f"Content-Type: {media}",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "Connection: close",
    )
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + (b"" if method == "HEAD" else body))
    await writer.drain()


async def _run(name: str, check: Check) -> Trouble | None:
    try:
        async with asyncio.timeout(CHECK_SECONDS_MAX):
            await check()
    except HoldfastError as error:
        return Trouble(name, error.code, error.detail, error.remedy())
    except TimeoutError:
        detail = f"no answer within {CHECK_SECONDS_MAX} s"
        return Trouble(name, "check-timed-out", detail, "Look at what it waits for; `holdfast doctor` tries each part.")
    return None


def _json(status: HTTPStatus, body: dict[str, object]) -> tuple[HTTPStatus, str, bytes]:
    return status, "application/json", msgspec.json.encode(body)
