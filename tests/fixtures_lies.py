"""A small server between Holdfast and a real node that changes what the node says."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

Lie = Callable[[str, Any], Any]
"""Given the method and the reply's object, another reply's object."""


@dataclass
class Proxy:
    """What it does to answers can be changed at any time."""

    url: str = ""
    lie: Lie | None = None
    """Changes each reply by itself."""
    mangle: Callable[[bytes], bytes] | None = None
    """Changes the whole body."""
    statuses: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    """Answered in turn instead of asking the node."""
    delay_seconds: float = 0.0
    requests: int = 0


@asynccontextmanager
async def lying_proxy(target: str) -> AsyncIterator[Proxy]:
    """A proxy to the node at `target`, honest until it is told to lie."""
    proxy = Proxy()

    async def handle(request: web.Request) -> web.Response:
        proxy.requests += 1
        if proxy.statuses:
            status, headers = proxy.statuses.pop(0)
            return web.Response(status=status, headers=headers, text="busy")
        await asyncio.sleep(proxy.delay_seconds)
        asked = await request.json()
        headers = {"Authorization": request.headers.get("Authorization", "")}
        async with aiohttp.ClientSession() as session, session.post(target, json=asked, headers=headers) as answer:
            body, status = await answer.read(), answer.status
        if proxy.lie is not None:
            body = json.dumps(lied(proxy.lie, asked, json.loads(body))).encode()
        return web.Response(status=status, body=proxy.mangle(body) if proxy.mangle else body)

    application = web.Application(client_max_size=2**26)
    application.router.add_post("/", handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    proxy.url = f"http://{host}:{port}/"
    try:
        yield proxy
    finally:
        await runner.cleanup()


def lied(lie: Lie, asked: Any, told: Any) -> Any:
    """Each reply of a batch, or the only one, as the lie has it."""
    if not isinstance(asked, list):
        return lie(asked["method"], told)
    replies = {reply["id"]: reply for reply in told}
    return [lie(call["method"], replies[call["id"]]) for call in asked]
