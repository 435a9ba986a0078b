"""What stands between zones and nodes in a drill: a node's proxy that can lie or go dark, and a link that can be cut.

Each zone has a proxy of its own before each node, so that one zone's node can lie to it alone. A proxy also takes away
what only test nodes can do (mining at will, foreign accounts): no attacker has that on a live network.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import msgspec
from aiohttp import web

from holdfast.chains.rpc import Credentials

Lie = Callable[[str, object, object], object]
"""What is answered instead: from a method, its parameters and the true result (None where the call failed)."""

_POWERS = (
    "anvil_", "evm_", "hardhat_", "ots_", "personal_", "eth_sendTransaction", "eth_sendUnsigned", "eth_sign",
    "eth_accounts", "generate", "invalidateblock", "reconsiderblock", "setmocktime", "setnetworkactive", "stop",
)  # fmt: skip
_BODY_MAX = 256 * 1024 * 1024
CHUNK_BYTES = 1 << 16


class _Call(msgspec.Struct):
    method: str = ""
    params: object = None
    id: object = None


@dataclass
class NodeProxy:
    """One zone's way to one node, as JSON-RPC over HTTP."""

    target: str
    """URL of the node."""
    credentials: Credentials
    """The proxy's own: the zone needs none, and learns none."""
    lie: Lie | None = None
    withheld: frozenset[str] = frozenset()
    """Methods that the node never hears of: answered as if it had done what it was asked."""
    is_dark: bool = False
    port: int = 0
    host: str = "127.0.0.1"
    """Where the zone finds it; the loopback has it in any case."""
    _runner: web.AppRunner | None = None
    _http: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Listen on a free port of the loopback."""
        application = web.Application(client_max_size=_BODY_MAX)
        application.router.add_route("*", "/{rest:.*}", self._handle)
        self._runner = web.AppRunner(application, access_log=None)
        self._http = aiohttp.ClientSession(trust_env=False)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]
        if self.host != "127.0.0.1":
            await web.TCPSite(self._runner, self.host, self.port).start()

    @property
    def url(self) -> str:
        """As the zone's settings have it."""
        return f"http://{self.host}:{self.port}"

    async def stop(self) -> None:
        """Listen no longer."""
        if self._runner is not None:
            await self._runner.cleanup()
        if self._http is not None:
            await self._http.close()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        if self.is_dark:
            return web.Response(status=503)
        try:
            parsed = msgspec.json.decode(body)
            calls = msgspec.convert(parsed if isinstance(parsed, list) else [parsed], list[_Call])
        except (msgspec.DecodeError, msgspec.ValidationError):
            return web.Response(status=400)
        if any(call.method.startswith(_POWERS) for call in calls):
            return web.Response(status=403)
        if any(call.method in self.withheld for call in calls):
            told = [{"jsonrpc": "2.0", "id": call.id, "result": "0" * 64, "error": None} for call in calls]
            return web.Response(
                body=msgspec.json.encode(told if isinstance(parsed, list) else told[0]), content_type="application/json"
            )
        status, answer = await self._forward(body)
        if self.lie is not None:
            with suppress(msgspec.DecodeError):
                answer = self._bent(calls, msgspec.json.decode(answer))
        return web.Response(status=status, body=answer, content_type="application/json")

    async def _forward(self, body: bytes) -> tuple[int, bytes]:
        assert self._http is not None  # noqa: S101  it is started
        headers = {"Content-Type": "application/json"}
        if (authorization := self.credentials.header()) is not None:
            headers["Authorization"] = authorization
        try:
            async with self._http.post(self.target, data=body, headers=headers) as response:
                return response.status, await response.read()
        except aiohttp.ClientError:
            return 503, b""

    def _bent(self, calls: list[_Call], decoded: object) -> bytes:
        answers: list[Any] = decoded if isinstance(decoded, list) else [decoded]
        by_id = {msgspec.json.encode(call.id): call for call in calls}
        for answer in answers:
            call = by_id.get(msgspec.json.encode(answer.get("id"))) if isinstance(answer, dict) else None
            if call is not None and self.lie is not None:
                told = self.lie(call.method, call.params, answer.get("result"))
                answer["result"] = told
                if told is not None:
                    answer.pop("error", None)
        return msgspec.json.encode(answers if isinstance(decoded, list) else answers[0])


@dataclass
class Link:
    """A line between two zones, passed on as bytes, until it is cut."""

    target: int
    port: int = 0
    host: str = "127.0.0.1"
    """Where the dialling zone finds it."""
    to: str = "127.0.0.1"
    """Where the target is."""
    is_cut: bool = False
    heard: list[bytes] | None = None
    """Lines that the dialling side has said, since somebody listens."""
    bend: Callable[[bytes], bytes] | None = None
    """What somebody in between makes of what passes, in both directions."""
    _server: asyncio.Server | None = None
    _open: set[asyncio.StreamWriter] = field(default_factory=set)
    _passing: set[asyncio.Task[object]] = field(default_factory=set)

    async def start(self) -> None:
        """Listen on a free port of the loopback."""
        self._server = await asyncio.start_server(self._pass, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Listen no longer."""
        if self._server is not None:
            self._server.close()
        self.cut()
        for task in list(self._passing):
            task.cancel()
        await asyncio.gather(*self._passing, return_exceptions=True)

    def cut(self) -> None:
        """Nothing passes any more."""
        self.is_cut = True
        for writer in list(self._open):
            writer.transport.abort()

    def listen(self) -> list[bytes]:
        """What is said from now on, line by line, as somebody in between would hear it."""
        self.heard = self.heard if self.heard is not None else []
        return self.heard

    def mend(self) -> None:
        """It passes again."""
        self.is_cut = False

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (task := asyncio.current_task()) is not None:
            self._passing.add(task)
            task.add_done_callback(self._passing.discard)
        if self.is_cut:
            writer.transport.abort()
            return
        try:
            there, back = await asyncio.open_connection(self.to, self.target)
        except OSError:
            writer.transport.abort()
            return
        self._open |= {writer, back}
        try:
            await asyncio.gather(self._hear(reader, back), self._carry(there, writer))
        except (OSError, asyncio.CancelledError):
            pass  # one of the two sides is gone, or the line is taken down: nobody waits for this
        finally:
            self._open -= {writer, back}
            for one in (writer, back):
                one.transport.abort()

    async def _hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """As `_carry`, keeping what was said."""
        rest = b""
        while chunk := await reader.read(CHUNK_BYTES):
            writer.write(chunk if self.bend is None else self.bend(chunk))
            await writer.drain()
            if self.heard is not None:
                *lines, rest = (rest + chunk).split(b"\n")
                self.heard += lines
        if writer.can_write_eof():
            writer.write_eof()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """What the other side says."""
        while chunk := await reader.read(CHUNK_BYTES):
            writer.write(chunk if self.bend is None else self.bend(chunk))
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
