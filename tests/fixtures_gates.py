"""Doors between zones through which every message passes, and at which a test can stop the clock and kill.

No zone knows of them: its settings name the door's port instead of the other side's. So what can be aimed at is what
crosses a wire, which is exactly the steps between which a zone may die.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

Spot = Callable[[str], Awaitable[None]]
"""Called with a crash point's name while nothing passes this connection; what it does is the test's business."""

CHUNK_BYTES = 1 << 16


@dataclass(frozen=True)
class Mark:
    """Words that show what a request does, and what the moments before it and before its answer are called."""

    words: bytes
    before: str
    after: str


# Entries travel as strings in JSON, so their quotes come escaped.
TOWER_MARKS = (
    Mark(rb"\"kind\":\"signed\"", "signature-journaled", "signature-witnessed"),
    Mark(rb"\"kind\":\"reserved\"", "reservation-journaled", "reservation-leased"),
    Mark(rb"\"kind\":\"accepted\"", "payout-accepted", "payout-witnessed"),
    Mark(rb"\"kind\":\"mined\"", "mined-journaled", "mined-witnessed"),
)
PLATFORM_MARKS = (
    Mark(b"POST /signer/v1/journal", "journal-handed-over", "journal-mirrored"),
    Mark(b"GET /signer/v1/work", "work-asked", "work-told"),
)
SHOP_MARKS = (Mark(b"POST /v1/payouts", "payout-ordered", "payout-answered"),)


def node_marks(who: str) -> tuple[Mark, ...]:
    """A transaction on its way to a node."""
    return (
        Mark(b"sendrawtransaction", f"{who}-sends", f"{who}-sent"),
        Mark(b"eth_sendRawTransaction", f"{who}-sends", f"{who}-sent"),
    )


POINTS = tuple(
    sorted(
        {
            name
            for mark in (
                *TOWER_MARKS, *PLATFORM_MARKS, *SHOP_MARKS, *node_marks("signer"), *node_marks("platform")
            )
            for name in (mark.before, mark.after)
        }
    )
)  # fmt: skip


@dataclass
class Gate:
    """One door: listens on a port of its own and passes everything on to `port`, both ways."""

    port: int
    marks: tuple[Mark, ...]
    spot: Spot
    own_port: int = 0
    _server: asyncio.Server | None = None
    _open: set[asyncio.StreamWriter] = field(default_factory=set)
    _passing: set[asyncio.Task[object]] = field(default_factory=set)

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        self.own_port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._open):
            writer.transport.abort()
        for task in list(self._passing):
            task.cancel()
        await asyncio.gather(*self._passing, return_exceptions=True)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (task := asyncio.current_task()) is not None:
            self._passing.add(task)
            task.add_done_callback(self._passing.discard)
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            writer.transport.abort()  # refused, as the other side would
            return
        self._open |= {writer, back}
        asked: list[str] = []
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._requests(reader, back, asked))
                tasks.create_task(self._answers(there, writer, asked))
        except* (OSError, EOFError):
            pass  # one of the two sides is gone, and so is the other now
        finally:
            self._open -= {writer, back}
            for one in (writer, back):
                one.transport.abort()

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: list[str]) -> None:
        tail = b""
        while chunk := await reader.read(CHUNK_BYTES):
            seen = tail + chunk
            for mark in self.marks:
                # Words that straddle two chunks are found too, those in the tail alone were found before.
                if mark.words in seen and mark.words not in tail and mark.after not in asked:
                    asked.append(mark.after)
                    await self.spot(mark.before)
            tail = seen[-64:]
            writer.write(chunk)
            await writer.drain()
        raise EOFError

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: list[str]) -> None:
        while chunk := await reader.read(CHUNK_BYTES):
            while asked:
                await self.spot(asked.pop(0))
            writer.write(chunk)
            await writer.drain()
        raise EOFError


async def closed(gates: list[Gate]) -> None:
    """Stop them all."""
    for gate in gates:
        with suppress(OSError):
            await gate.stop()
