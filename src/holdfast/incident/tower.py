"""Asks the watchtower how things stand, and for its journal: one line there, one back, on a connection that is kept."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from holdfast.core.errors import Unavailable
from holdfast.core.journal import EMPTY, StoredEntry
from holdfast.core.leases import LINE_BYTES_MAX, Ask, Fetched, LeaseRefused, fetch_message
from holdfast.core.tower_status import STATUS_REQUEST, TowerStatus

ANSWER_SECONDS_MAX = 5


class TowerSilent(Unavailable):
    """The watchtower does not answer, or not as one does. While it is down nothing is paid out; start it again."""

    code = "tower-silent"


class JournalWithheld(Unavailable):
    """The watchtower does not give its journal to this key. Put the incident process' key into its `reader_keys`."""

    code = "journal-withheld"
    retry = False


@dataclass(slots=True)
class TowerLine:
    """A connection to the watchtower, made when it is needed and made anew when it was lost."""

    host: str
    port: int
    _streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def status(self) -> TowerStatus:
        """How things stand. Raises `TowerSilent`."""
        answer = await self._ask(STATUS_REQUEST)
        try:
            return msgspec.json.decode(answer, type=TowerStatus)
        except msgspec.DecodeError as error:
            raise TowerSilent(f"{self.host}:{self.port}: {str(error)[:200]}") from None

    async def journal(self, after: int, key: Ed25519PrivateKey) -> list[StoredEntry]:
        """Every entry behind this one. Raises `TowerSilent`, `JournalWithheld`."""
        entries: list[StoredEntry] = []
        while True:
            ask = Ask(secrets.token_hex(32), after + len(entries), 0, EMPTY)
            line = msgspec.json.encode({"fetch": ask, "signature": key.sign(fetch_message(ask)).hex()})
            answer = await self._ask(line + b"\n")
            try:
                part = _fetched(answer)
            except msgspec.DecodeError as error:
                raise TowerSilent(f"{self.host}:{self.port}: {str(error)[:200]}") from None
            if not part:
                return entries
            entries += part

    async def close(self) -> None:
        """End the connection."""
        streams, self._streams = self._streams, None
        if streams is not None:
            streams[1].close()
            with suppress(OSError):
                await streams[1].wait_closed()

    async def _ask(self, line: bytes) -> bytes:
        async with self._lock:
            try:
                async with asyncio.timeout(ANSWER_SECONDS_MAX):
                    return await self._tell(line)
            except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
                await self.close()
                raise TowerSilent(f"{self.host}:{self.port}: {str(error) or type(error).__name__}") from None
            except asyncio.CancelledError:
                await self.close()  # half an answer may be on its way
                raise

    async def _tell(self, line: bytes) -> bytes:
        if self._streams is not None:
            with suppress(OSError, asyncio.IncompleteReadError):  # the watchtower ends connections that were silent
                return await _exchange(*self._streams, line)
            await self.close()
        self._streams = await asyncio.open_connection(self.host, self.port, limit=LINE_BYTES_MAX)
        return await _exchange(*self._streams, line)


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: bytes) -> bytes:
    writer.write(line)
    await writer.drain()
    return await reader.readuntil(b"\n")


def _fetched(answer: bytes) -> tuple[StoredEntry, ...]:
    """Raises `JournalWithheld`, and `DecodeError` for what is neither."""
    if answer.startswith(b'{"refused"'):
        raise JournalWithheld(msgspec.json.decode(answer, type=LeaseRefused).refused)
    return msgspec.json.decode(answer, type=Fetched).entries
