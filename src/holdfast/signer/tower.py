"""Asks the watchtower: new journal entries go out, a lease that is a receipt comes back. The signer only ever dials."""

from __future__ import annotations

import asyncio
import secrets
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec

from holdfast.core.errors import Conflict, Unavailable
from holdfast.core.journal import Head, StoredEntry
from holdfast.core.leases import (
    LINE_BYTES_MAX,
    Ask,
    Lease,
    LeaseInvalid,
    LeaseRefused,
    LeaseRequest,
    SignedLease,
    accept,
    fetch_message,
    request_message,
)
from holdfast.signer.clocks import Clocks
from holdfast.signer.store import Journal

ENTRIES_MAX = 20_000
"""Entries in one request: what is more follows in the next."""


class TowerUnreachable(Unavailable):
    """The watchtower does not answer. Nothing is signed until it does; start it, or look at the network between."""

    code = "tower-unreachable"


class JournalOlder(Conflict):
    """The watchtower holds newer entries than this journal: it is an old copy. Replay it from the watchtower."""

    code = "journal-older"


class JournalForked(Conflict):
    """The watchtower holds other entries than this journal: one of them was changed. Call the officers."""

    code = "journal-forked"


class LeaseNotGranted(Unavailable):
    """The watchtower grants no lease, for the reason in the detail. Nothing is signed; look at the watchtower's log."""

    code = "lease-not-granted"


@dataclass(frozen=True, slots=True)
class Held:
    """A lease, and when it was asked for by the boot clock."""

    signed: SignedLease
    asked_at_ms: int

    @property
    def lease(self) -> Lease:
        """What was granted."""
        return self.signed.lease

    def is_valid(self, clocks: Clocks) -> bool:
        """Whether it still runs: its time counts from the request, so a slow answer only makes it shorter."""
        return clocks.boot_ms() < self.asked_at_ms + self.lease.duration_ms

    def tower_seconds(self, clocks: Clocks) -> int:
        """The watchtower's time now, never ahead of it."""
        return self.lease.tower_seconds + (clocks.boot_ms() - self.asked_at_ms) // 1000


@dataclass(slots=True)
class Tower:
    """One connection to the watchtower, made anew when it breaks."""

    host: str
    port: int
    sign_journal: Callable[[bytes], bytes]
    clocks: Clocks
    timeout_seconds: int = 10
    tls: ssl.SSLContext | None = None
    witnessed: Head = field(default_factory=Head)
    """The newest head that the watchtower has signed for in this process."""
    _streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, journal: Journal) -> Held:
        """Hand over every entry on disk that it has not seen, and be granted a lease for the newest.

        Raises `TowerUnreachable`, `LeaseInvalid`, `LeaseNotGranted`, `JournalOlder`, `JournalForked`.
        """
        while True:
            head = journal.written
            up_to = journal.head_at(min(head.seq, self.witnessed.seq + ENTRIES_MAX)) or head
            held = await self._ask(journal, up_to)
            if held is not None and held.lease.seq == head.seq:
                return held

    async def fetch(self) -> list[StoredEntry]:
        """The whole journal as the watchtower holds it, for a signer that lost its own.

        Raises `TowerUnreachable`, `LeaseNotGranted`.
        """
        found: list[StoredEntry] = []
        while True:
            ask = Ask(secrets.token_hex(32), len(found), 0, Head().hash)
            line = {"fetch": ask, "signature": self.sign_journal(fetch_message(ask)).hex()}
            answer = msgspec.json.decode(await self._exchange(msgspec.json.encode(line)), type=_Answer)
            if answer.refused or answer.entries is None:
                raise LeaseNotGranted(answer.refused)
            if not answer.entries:
                return found
            found += answer.entries

    async def close(self) -> None:
        """Close the connection."""
        if self._streams is not None:
            writer, self._streams = self._streams[1], None
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _ask(self, journal: Journal, head: Head) -> Held | None:
        ask = Ask(secrets.token_hex(32), self.witnessed.seq, head.seq, head.hash)
        entries = tuple(journal.entries(ask.after, ask.seq))
        request = LeaseRequest(ask, entries, self.sign_journal(request_message(ask)).hex())
        asked_at = self.clocks.boot_ms()
        line = await self._exchange(msgspec.json.encode(request))
        try:
            answer = msgspec.json.decode(line, type=_Answer)
        except msgspec.DecodeError as error:
            raise LeaseInvalid(str(error)[:120]) from None
        if answer.lease is None or answer.signature is None:
            self._refused(journal, LeaseRefused(answer.refused, answer.seq, answer.head))
            return None
        signed = SignedLease(answer.lease, answer.signature)
        lease = accept(signed, ask, journal.record.lease_key)
        self.witnessed = lease.witnessed
        return Held(signed, asked_at)

    def _refused(self, journal: Journal, refused: LeaseRefused) -> None:
        """Hand over from another place where that helps; raise where it does not."""
        theirs, ours = Head(refused.seq, refused.head), journal.head_at(refused.seq)
        if refused.refused in _TAKEN and ours == theirs != self.witnessed:
            self.witnessed = theirs
            return
        if refused.refused == "entries-missing" and ours is not None and ours != theirs:
            raise JournalForked(f"entry {refused.seq} is another one there")
        if refused.refused == "journal-behind":
            raise JournalOlder(f"entry {refused.seq} is witnessed, the journal ends at {journal.written.seq}")
        if refused.refused == "journal-forked":
            raise JournalForked(f"near entry {refused.seq}")
        raise LeaseNotGranted(refused.refused)

    async def _exchange(self, line: bytes) -> bytes:
        try:
            async with asyncio.timeout(self.timeout_seconds):
                reader, writer = await self._connected()
                writer.write(line + b"\n")
                await writer.drain()
                answer = await reader.readline()
        except (OSError, TimeoutError, ValueError) as error:
            await self.close()
            raise TowerUnreachable(f"{self.host}:{self.port}: {type(error).__name__}") from None
        if not answer.endswith(b"\n"):
            await self.close()
            raise TowerUnreachable(f"{self.host}:{self.port}: it closed the connection")
        return answer

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            self._streams = await asyncio.open_connection(self.host, self.port, ssl=self.tls, limit=LINE_BYTES_MAX)
        return self._streams


_TAKEN = ("entries-missing", "anchor-missing", "lease-key-other")
"""Refusals after which the rest of the entries may still bring a lease: a re-anchoring order comes last."""


class _Answer(msgspec.Struct, frozen=True):
    """A lease or its refusal, whichever it is."""

    lease: Lease | None = None
    signature: str | None = None
    refused: str = ""
    seq: int = 0
    head: str = ""
    entries: tuple[StoredEntry, ...] | None = None
