"""The watchtower's TCP port: lines in, lines out, within bounds. What is answered is `answers`' business.

Requests are answered one after the other. When all places are taken, the connection that has been silent longest makes
room, so nobody can lock an officer's freeze out by holding connections open.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import assert_never

import msgspec

from holdfast.core.leases import Fetched, Frozen, LeaseRefused, Seen, SignedLease
from holdfast.core.tower_status import TowerStatus
from holdfast.watchtower.answers import Answer, Tower, WordRefused

Log = Callable[..., None]
"""`log(event, **facts)`."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much anybody may take of the watchtower."""

    connections: int
    line_bytes: int
    request_seconds: int


@dataclass(slots=True)
class Server:
    """The connections, and the one lock behind which requests are answered."""

    tower: Tower
    bounds: Bounds
    log: Log
    broken: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the store failed: nothing in memory can be trusted any more."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Whoever uses the store or the record holds it."""
    _open: dict[asyncio.StreamWriter, None] = field(default_factory=dict)
    """Connections, the one that was heard longest ago first."""
    _tasks: set[asyncio.Task[object]] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until it ends, errs or is too slow."""
        while len(self._open) >= self.bounds.connections:
            self._drop(next(iter(self._open)))
        self._open[writer] = None
        if (task := asyncio.current_task()) is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            await self._answer_all(reader, writer)
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError):
            pass  # gone, silent or too slow: it may come again
        except asyncio.LimitOverrunError:
            self.log("line_too_long", bytes_max=self.bounds.line_bytes)
        except sqlite3.Error as error:
            self.log("store_failed", level="error", detail=str(error))
            self.broken.set()
        finally:
            self._open.pop(writer, None)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer_all(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not self.broken.is_set():
            async with asyncio.timeout(self.bounds.request_seconds):
                line = await reader.readuntil(b"\n")
            async with self.lock:
                answer = await asyncio.to_thread(self.tower.answer, line)
            self._tell(answer)
            if writer in self._open:  # else it has made room meanwhile
                del self._open[writer]
                self._open[writer] = None
            async with asyncio.timeout(self.bounds.request_seconds):
                writer.write(msgspec.json.encode(answer) + b"\n")
                await writer.drain()

    async def drop_all(self) -> None:
        """End every connection, once the request that is being answered is on the disk."""
        while self._open:
            self._drop(next(iter(self._open)))
        await asyncio.gather(*self._tasks)

    def _drop(self, writer: asyncio.StreamWriter) -> None:
        del self._open[writer]
        writer.transport.abort()

    def _tell(self, answer: Answer) -> None:
        match answer:
            case LeaseRefused() | WordRefused():
                self.log("refused", level="warning", **msgspec.structs.asdict(answer))
            case Frozen():
                self.log("frozen_now", level="warning", scopes=answer.frozen, is_news=answer.is_news)
            case Seen():
                self.log("present", present_until=answer.present_until)
            case Fetched():
                self.log("journal_fetched", entries=len(answer.entries))
            case SignedLease() | TowerStatus():
                pass  # several a second
            case _ as never:
                assert_never(never)


@asynccontextmanager
async def listening(server: Server, host: str, port: int) -> AsyncIterator[tuple[str, int]]:
    """Answer at this address while inside, port 0 for any free one. Yields the address that it is."""
    socket = await asyncio.start_server(server.serve, host, port, limit=server.bounds.line_bytes)
    try:
        yield socket.sockets[0].getsockname()[:2]
    finally:
        socket.close()
        await server.drop_all()
        await socket.wait_closed()
