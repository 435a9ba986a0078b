"""A load generator that costs little beside the server that it measures: prepared bytes over kept-alive connections."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import cast

import uvloop

Requests = Iterator[bytes]


@dataclass(slots=True)
class Answers:
    """What came back."""

    seconds: float = 0.0
    waits: list[float] = field(default_factory=list)
    failures: deque[bytes] = field(default_factory=lambda: deque(maxlen=3))

    def figures(self) -> dict[str, object]:
        """Answers per second, and how long they took."""
        waits = sorted(self.waits)
        return {
            "requests_per_second": round(len(waits) / self.seconds),
            "p50_ms": round(waits[len(waits) // 2] * 1000, 2),
            "p99_ms": round(waits[len(waits) * 99 // 100] * 1000, 2),
            "requests": len(waits),
        }


def request(method: str, path: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    """One HTTP/1.1 request as bytes."""
    fields = {"Host": "localhost", "Content-Length": str(len(body)), **headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body


def measure(port: int, make: Callable[[int], Requests], *, connections: int, seconds: float) -> Answers:
    """Keep so many connections busy, each with one request at a time. Runs its own event loop: call it in a thread."""
    return uvloop.run(_measure(port, make, connections, seconds))


async def _measure(port: int, make: Callable[[int], Requests], connections: int, seconds: float) -> Answers:
    answers = Answers()
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    callers = [_Caller(make(number), answers, started + seconds, loop.create_future()) for number in range(connections)]
    for caller in callers:
        await loop.create_connection(partial(_itself, caller), "127.0.0.1", port)
    await asyncio.gather(*(caller.done for caller in callers))
    answers.seconds = time.perf_counter() - started
    if answers.failures:
        raise RuntimeError(f"the server refused: {answers.failures[0][:600]!r}")
    return answers


def _itself(caller: _Caller) -> _Caller:
    return caller


class _Caller(asyncio.Protocol):
    """One connection: sends the next request as soon as the answer is here."""

    __slots__ = ("answers", "buffer", "done", "requests", "sent", "transport", "until")

    def __init__(self, requests: Requests, answers: Answers, until: float, done: asyncio.Future[None]) -> None:
        self.requests, self.answers, self.until, self.done = requests, answers, until, done
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name
        self._send()

    def _send(self) -> None:
        self.sent = time.perf_counter()
        following = next(self.requests, None) if self.sent < self.until else None
        if following is None:
            self.transport.close()
        else:
            self.transport.write(following)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, separator, body = self.buffer.partition(b"\r\n\r\n")
        if not separator or len(body) < _length(head):
            return
        self.answers.waits.append(time.perf_counter() - self.sent)
        if not head.startswith(b"HTTP/1.1 2"):
            self.answers.failures.append(self.buffer)
        self.buffer = b""
        self._send()

    def connection_lost(self, _error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


def _length(head: bytes) -> int:
    at = head.lower().find(b"content-length:")
    return int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
