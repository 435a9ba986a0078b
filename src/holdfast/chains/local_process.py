"""A node program of one's own: started on a free port, waited for, killed, started again on the same data."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from holdfast.chains.port import NodeUnreachable
from holdfast.chains.rpc import Credentials, Limits, RpcClient
from holdfast.core.errors import Unavailable

T = TypeVar("T")

READY_SECONDS = 60.0
_POLL_SECONDS = 0.05
_LOG_LINES_SHOWN = 5


class NodeBinaryMissing(Unavailable):
    """A program that the local network needs is not installed. Run `make setup`, or install what the detail names."""

    code = "node-binary-missing"
    retry = False


class LocalNodeFailed(Unavailable):
    """A local node did not start or ended by itself. Its own last words are in the detail."""

    code = "local-node-failed"


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


_PORTS = (10_000, 32_000)


def free_ports(count: int) -> int:
    """The first of `count` loopback ports in a row that nobody listens on now: what `holdfast init --port` takes.

    Below the ports that the system gives to connections, and from another place in each process, so that tests that
    run side by side do not choose the same. Raises `LocalNodeFailed`.
    """
    start = _PORTS[0] + os.getpid() % 2_000 * count % (_PORTS[1] - _PORTS[0])
    candidates: list[int] = [*range(start, _PORTS[1] - count, count), *range(_PORTS[0], start, count)]
    for first in candidates:
        if all(_is_free(first + more) for more in range(count)):
            return first
    raise LocalNodeFailed(f"no {count} ports in a row are free")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        refused: int = probe.connect_ex(("127.0.0.1", port))
        return refused != 0


class LocalProcess:
    """A node program that can be killed and started again on the same data and ports."""

    def __init__(self, command: Sequence[str], log_file: Path) -> None:
        self._command = tuple(command)
        self._log_file = log_file
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process's id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    async def start(self, is_ready: Callable[[], Awaitable[object]]) -> None:
        """Start it and wait until `is_ready` stops raising `NodeUnreachable`. Raises `LocalNodeFailed`."""
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        with self._log_file.open("ab") as log:
            # Not asyncio's subprocess: a node outlives the event loop that started it (each test has its own).
            self._process = subprocess.Popen(  # noqa: ASYNC220, S603  returns at once; our own command line
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        answers = False
        try:
            async with asyncio.timeout(READY_SECONDS):
                await self._ready(is_ready)
            answers = True
        except TimeoutError:
            raise LocalNodeFailed(f"{self._command[0]}: no answer within {READY_SECONDS:g} s") from None
        finally:
            if not answers:
                await self.end(signal.SIGKILL)

    async def _ready(self, is_ready: Callable[[], Awaitable[object]]) -> None:
        while True:
            if self.pid is None:
                words = self._log_file.read_text(errors="replace").strip().splitlines()[-_LOG_LINES_SHOWN:]
                raise LocalNodeFailed(f"{self._command[0]}: {' / '.join(words)}")
            try:
                await is_ready()
            except NodeUnreachable:
                await asyncio.sleep(_POLL_SECONDS)
            else:
                return

    async def end(self, how: signal.Signals) -> None:
        """Send a signal and wait for the end; after a while without one, SIGKILL."""
        process = self._process
        if process is None or process.poll() is not None:
            return

        async def ended() -> bool:
            return process.poll() is not None

        process.send_signal(how)
        try:
            await until(ended)
        except LocalNodeFailed:
            process.kill()
            process.wait()


class LocalRpc:
    """Calls to a local node, each on a connection of its own: usable from any event loop, and nothing to close."""

    def __init__(self, url: str, name: str, credentials: Credentials = Credentials()) -> None:  # noqa: B008  a frozen value
        self._open = partial(
            RpcClient,
            url,
            name=name,
            credentials=credentials,
            limits=Limits(timeout_seconds=READY_SECONDS, attempts_max=1),
        )

    async def call(self, shape: type[T], method: str, *params: object) -> T:
        """As `RpcClient.call`, never sent twice."""
        client = self._open()
        try:
            return await client.call(shape, method, *params)
        finally:
            await client.close()


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Wait until it is so. Raises `LocalNodeFailed` after a while."""
    try:
        async with asyncio.timeout(READY_SECONDS):
            while not await is_so():  # noqa: ASYNC110  the other side is another process: nothing could set an event
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError:
        raise LocalNodeFailed(f"waited {READY_SECONDS:g} s in vain") from None
