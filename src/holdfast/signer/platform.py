"""Fetches work from the platform and hands over what was witnessed. Nothing that comes from there is believed.

The platform can withhold, delay and repeat; whatever it sends is decided by signatures, the policy and our own nodes.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlencode

import aiohttp
import msgspec

from holdfast.core.errors import BadInput, Unavailable
from holdfast.core.intents import SignedIntent
from holdfast.core.journal import StoredEntry
from holdfast.core.leases import SignedLease
from holdfast.core.orders import SignedOrder, SignedWord
from holdfast.core.quorum import Signature

T = TypeVar("T")

ANSWER_BYTES_MAX = 64_000_000


class PlatformUnreachable(Unavailable):
    """The platform does not answer, or not sensibly. Nothing new is signed; what is witnessed is kept for later."""

    code = "platform-not-answering"


class TokenUnusable(BadInput):
    """The file with the signer's token cannot be read. Name the file that `holdfast init` wrote for the signer."""

    code = "token-unusable"


class SignedDocument(msgspec.Struct, frozen=True):
    """A policy or certificate as it travels."""

    document: str
    signatures: tuple[Signature, ...]


class ProposedPayout(msgspec.Struct, frozen=True):
    """A payout that waits for the signer."""

    intent: SignedIntent
    approvals: tuple[Signature, ...] = ()
    slot: int | None = None
    slot_units: str = "0"


class DepositHint(msgspec.Struct, frozen=True):
    """Look at this address in this block."""

    network: str
    index: int
    merchant: str
    height: int


class FundingHint(msgspec.Struct, frozen=True):
    """Look for money to the float in this block."""

    network: str
    height: int


class MinedHint(msgspec.Struct, frozen=True):
    """Look for this transaction in this block."""

    reservation: int
    transaction: str
    height: int


class FlushHint(msgspec.Struct, frozen=True):
    """These deposit addresses hold something worth moving to the vault (EVM)."""

    network: str
    indexes: tuple[int, ...]
    tokens: tuple[str, ...]


class Work(msgspec.Struct, frozen=True):
    """What the platform has for the signer."""

    version: str
    """What it was answered from: the next request waits for something newer."""
    journal_seq: int
    policies: tuple[SignedDocument, ...] = ()
    certificates: tuple[SignedDocument, ...] = ()
    orders: tuple[SignedOrder, ...] = ()
    vetoes: tuple[SignedWord, ...] = ()
    recoveries: tuple[SignedWord, ...] = ()
    payouts: tuple[ProposedPayout, ...] = ()
    deposits: tuple[DepositHint, ...] = ()
    fundings: tuple[FundingHint, ...] = ()
    mined: tuple[MinedHint, ...] = ()
    flushes: tuple[FlushHint, ...] = ()


class Waiting(msgspec.Struct, frozen=True):
    """A payout that is neither accepted nor refused yet, and which rule it waits for."""

    payout: str
    rule: str
    detail: str = ""


class _Publication(msgspec.Struct, frozen=True):
    after: int
    entries: Sequence[StoredEntry]
    lease: SignedLease | None
    waiting: Sequence[Waiting]


class _Mirrored(msgspec.Struct, frozen=True):
    journal_seq: int


@dataclass(slots=True)
class Platform:
    """The platform's door for the signer."""

    url: str
    token_file: Path
    tls: ssl.SSLContext | None = None
    _session: aiohttp.ClientSession | None = None
    _version: str | None = None

    async def work(self, wait_seconds: int) -> Work:
        """What there is to do; waits so long for something to come. Raises `PlatformUnreachable`."""
        query = {"wait": str(wait_seconds)} | ({"after_version": self._version} if self._version is not None else {})
        found = _decode(await self._call("GET", f"/signer/v1/work?{urlencode(query)}", None), Work)
        self._version = found.version
        return found

    async def publish(
        self, after: int, entries: Sequence[StoredEntry], lease: SignedLease | None, waiting: Sequence[Waiting]
    ) -> int:
        """Hand over witnessed entries, with the receipt for the last of them if that is the newest; up to which one the
        platform holds the journal then.

        Raises `PlatformUnreachable`.
        """
        body = msgspec.json.encode(_Publication(after, entries, lease, waiting))
        return _decode(await self._call("POST", "/signer/v1/journal", body), _Mirrored).journal_seq

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _call(self, method: str, path: str, body: bytes | None) -> bytes:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=60)
            self._session = aiohttp.ClientSession(timeout=timeout, trust_env=False)
        headers = {"Authorization": f"Bearer {self._token()}", "Content-Type": "application/json"}
        try:
            async with self._session.request(
                method, self.url + path, data=body, headers=headers, ssl=self.tls or True, allow_redirects=False
            ) as response:
                answer = await _all(response)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise PlatformUnreachable(type(error).__name__) from None
        if response.status not in (200, 201, 409):
            raise PlatformUnreachable(f"HTTP {response.status}")
        return answer

    def _token(self) -> str:
        try:
            return self.token_file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            raise TokenUnusable(str(self.token_file)) from None


async def _all(response: aiohttp.ClientResponse) -> bytes:
    parts = bytearray()
    async for part in response.content.iter_any():
        parts += part
        if len(parts) > ANSWER_BYTES_MAX:
            raise PlatformUnreachable(f"more than {ANSWER_BYTES_MAX} bytes")
    return bytes(parts)


def _decode(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise PlatformUnreachable(str(error)[:160]) from None
