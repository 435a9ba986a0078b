"""Transfers from an explorer's HTTP interface, address by address, in the shape that Etherscan published.

    ?module=account&action=txlist|txlistinternal|tokentx&address=…&startblock=…&endblock=…&page=…&offset=…&sort=asc

An explorer is one company's word. It is asked only up to blocks that are deep enough to stay, no faster than its limit
says, and its pages are kept as evidence. A key comes from a file and goes into the request alone: no error, log line,
cursor or exhibit has it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import aiohttp
import msgspec

from holdfast.core.errors import BadInput, Unavailable
from holdfast.core.networks import EvmNetwork
from holdfast.trace.evidence import Exhibit
from holdfast.trace.model import Transfer
from holdfast.trace.sources.beside import ALONE, Beside
from holdfast.trace.sources.explorer_rows import RowTeller
from holdfast.trace.sources.port import Batch, Wanted
from holdfast.trace.sources.tokens import TokenList, common_tokens
from holdfast.trace.store_parts import AssetFact

T = TypeVar("T")

ACTIONS = ("txlist", "txlistinternal", "tokentx")
_NOTHING_FOUND = ("no transactions found", "no internal transactions found", "no token transfers found",
                  "no records found")  # fmt: skip
_ASKED_TOO_OFTEN = ("rate limit", "too many")
_KEY_WRONG = ("invalid api key", "missing api key", "missing/invalid api key")
_RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
_ANSWER_BYTES_MAX = 64 << 20


class ExplorerUnreachable(Unavailable):
    """The explorer does not answer, or asks to wait too long. Pull again later: it goes on where it stopped."""

    code = "explorer-unreachable"


class ExplorerRefused(Unavailable):
    """The explorer refuses the request. Its message says why; look at its plan, its address, and the key's file."""

    code = "explorer-refused"
    retry = False


class ExplorerAnswerMalformed(Unavailable):
    """The explorer's answer has not the shape it publishes. Check that the URL is the interface's, not the site's."""

    code = "explorer-answer-malformed"


class ExplorerUrlMalformed(BadInput):
    """The explorer's URL cannot be used. Write `https://host/api`, with no key in it: keys come from a file."""

    code = "explorer-url-malformed"


class AddressesNeeded(BadInput):
    """An explorer tells of addresses, not of whole blocks. Name the addresses to pull."""

    code = "addresses-needed"


@dataclass(frozen=True, slots=True)
class ExplorerAccess:
    """How an explorer is asked."""

    url: str
    """Without a query, but for what every request needs (`?chainid=1`)."""
    key_file: Path | None = None
    requests_per_second: int = 4
    rows_per_page: int = 1_000
    window: int = 10_000
    """The most rows that it shows of one question; further ones are asked for by a later first block."""
    rows_most: int = 50_000
    """An address with more in one list is plainly busy: the rest is not pulled, and said."""
    depth: int = 12
    """Newer blocks are left for the next pull: they may still be reorganised."""
    attempts_max: int = 6
    pause_seconds: float = 0.5
    """Doubled at each further attempt."""
    timeout_seconds: float = 30.0


class _Answer(msgspec.Struct):
    result: msgspec.Raw
    status: str = ""
    message: str = ""


class _Cursor(msgspec.Struct, frozen=True):
    done: tuple[str, ...] = ()
    """Addresses whose lists were read to their end."""
    height: int = 0
    """Up to here."""


class _Busy(Exception):
    """A list is longer than is pulled."""


class ExplorerSource:
    """One explorer of one EVM network."""

    def __init__(
        self, access: ExplorerAccess, network: EvmNetwork, beside: Beside = ALONE, tokens: TokenList | None = None
    ) -> None:
        """Raises `ExplorerUrlMalformed`."""
        parts = urlsplit(access.url)
        is_web = parts.scheme in ("http", "https") and parts.hostname
        if not is_web or parts.username or "key" in parts.query.lower():
            raise ExplorerUrlMalformed(parts.hostname or "no host")
        self._access, self._network, self._beside = access, network, beside
        self._tokens = tokens or TokenList(common_tokens())
        self._host = parts.netloc
        self._session: aiohttp.ClientSession | None = None
        self._next = 0.0

    @property
    def name(self) -> str:
        """By its host."""
        return f"explorer:{self._host}"

    async def pull(self, wanted: Wanted, cursor: str) -> AsyncIterator[Batch]:
        """Address by address, a batch each. Later pulls ask for what is newer.

        Raises `AddressesNeeded`, `ExplorerUnreachable`, `ExplorerRefused`, `ExplorerAnswerMalformed`.
        """
        if not wanted.addresses:
            raise AddressesNeeded(self.name)
        before = msgspec.json.decode(cursor, type=_Cursor) if cursor else _Cursor()
        every = sorted(wanted.addresses)
        is_whole = set(before.done) >= set(every)
        first = before.height + 1 if is_whole else wanted.height_from
        done = () if is_whole else before.done
        last = before.height if done else await self._deep(wanted)
        if first > last:
            return
        for address in every:
            if address in done:
                continue
            done = (*done, address)
            place = msgspec.json.encode(_Cursor(done, last)).decode()
            yield await self._of(address, range(first, last + 1), place, (len(done), len(every)))

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _of(self, address: str, heights: range, cursor: str, progress: tuple[int, int]) -> Batch:
        """All that three lists say of one address."""
        teller = RowTeller(self._network.id, self._network.coin.id, self._tokens)
        transfers: list[Transfer] = []
        stopped: list[str] = []
        for action in ACTIONS:
            try:
                async for row, evidence in self._rows(action, address, heights):
                    transfers += teller.tell(action, row, evidence)
            except _Busy:
                stopped.append(f"{self.name} has more than {self._access.rows_most} rows of {action} for {address}: "
                               "later ones are not pulled")  # fmt: skip
        coin = self._network.coin
        return Batch(
            tuple(transfers), cursor, dict(teller.left_out), dict(+teller.noticed), tuple(stopped),
            {coin.id: AssetFact(coin.symbol, coin.decimals), **teller.assets}, done=progress[0], total=progress[1],
        )  # fmt: skip

    async def _rows(
        self, action: str, address: str, heights: range
    ) -> AsyncIterator[tuple[Mapping[str, object], str]]:  # fmt: skip
        """Rows of one list, oldest first. A page that is full ends inside a block: that block is asked for again."""
        begin, page, told = heights.start, 1, 0
        while told <= self._access.rows_most:
            rows, evidence = await self._page(action, address, range(begin, heights.stop), page)
            is_full = len(rows) >= self._access.rows_per_page
            newest = max((_height(row) for row in rows), default=0) if is_full else heights.stop
            for row in rows:
                if _height(row) < max(newest, begin + 1):
                    told += 1
                    yield row, evidence
            if not is_full:
                return
            # One block that fills a page is gone on with by its next page, not by asking for the block again.
            begin, page = (newest, 1) if newest > begin else (begin, page + 1)
            if page * self._access.rows_per_page > self._access.window:
                break
        raise _Busy

    async def _page(
        self, action: str, address: str, heights: range, page: int
    ) -> tuple[list[dict[str, object]], str]:  # fmt: skip
        asked = {
            "module": "account", "action": action, "address": address, "startblock": str(heights.start),
            "endblock": str(heights.stop - 1), "page": str(page), "offset": str(self._access.rows_per_page),
            "sort": "asc",
        }  # fmt: skip
        body = await self._ask(asked)
        answer = self._decoded(body, _Answer)
        if answer.status != "1" and answer.message.lower() not in _NOTHING_FOUND:
            raise ExplorerRefused(f"{self.name}: {self._plain(answer.message)}")
        rows = msgspec.json.decode(bytes(answer.result), type=list[dict[str, object]] | str | None)
        if not isinstance(rows, list):
            return [], ""
        request = "&".join(f"{name}={value}" for name, value in asked.items())
        return rows, self._keep(body, request)

    async def _deep(self, wanted: Wanted) -> int:
        """The newest block that is deep enough."""
        body = await self._ask({"module": "proxy", "action": "eth_blockNumber"})
        text = self._decoded(bytes(self._decoded(body, _Answer).result), str)
        try:
            tip = int(text, 16)
        except ValueError:
            raise ExplorerAnswerMalformed(f"{self.name}: no height: {self._plain(text)}") from None
        deep = max(0, tip - self._access.depth)
        return min(wanted.height_to or deep, deep)

    # --- asking

    async def _ask(self, asked: Mapping[str, str]) -> bytes:
        """The body of an answer, asked for as often and as slowly as is allowed."""
        why = ""
        for attempt in range(self._access.attempts_max):
            if attempt:
                await asyncio.sleep(self._access.pause_seconds * 2 ** (attempt - 1))
            await self._turn()
            try:
                status, body = await self._send(asked)
            except (TimeoutError, aiohttp.ClientError, OSError) as error:
                why = type(error).__name__  # its message may have the URL, and that the key
                continue
            if status in _RETRIED:
                why = f"HTTP {status}"
                continue
            if status != HTTPStatus.OK:
                raise ExplorerRefused(f"{self.name}: HTTP {status}")
            refusal = self._refusal(body)
            if not refusal:
                return body
            why = refusal
        raise ExplorerUnreachable(f"{self.name}: {why}")

    def _refusal(self, body: bytes) -> str:
        """Why to wait; empty: this is an answer. Raises `ExplorerRefused` where waiting does not help."""
        answer = self._decoded(body, _Answer)
        if answer.status != "0" or answer.message.lower() in _NOTHING_FOUND:
            return ""
        told = bytes(answer.result)
        words = (told.decode("utf-8", "replace") if told[:1] == b'"' else answer.message).lower()
        if any(each in words for each in _ASKED_TOO_OFTEN) and not any(each in words for each in _KEY_WRONG):
            return "asked too often"
        raise ExplorerRefused(f"{self.name}: {self._plain(words)}")

    async def _turn(self) -> None:
        """Waits until the next request is allowed."""
        loop = asyncio.get_running_loop()
        wait = self._next - loop.time()
        if wait > 0:
            await asyncio.sleep(wait)
        self._next = loop.time() + 1 / self._access.requests_per_second

    async def _send(self, asked: Mapping[str, str]) -> tuple[int, bytes]:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=self._access.timeout_seconds)
            self._session = aiohttp.ClientSession(timeout=timeout, trust_env=False)
        key = self._key()
        query = {**asked, "apikey": key} if key else dict(asked)
        async with self._session.get(self._access.url, params=query, allow_redirects=False) as response:
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > _ANSWER_BYTES_MAX:
                    raise ExplorerAnswerMalformed(f"{self.name}: more than {_ANSWER_BYTES_MAX} bytes")
            return response.status, bytes(body)

    def _key(self) -> str:
        if self._access.key_file is None:
            return ""
        try:
            return self._access.key_file.read_text().strip()
        except OSError as error:
            raise ExplorerRefused(f"{self.name}: the key's file: {error.strerror}") from None

    def _plain(self, words: str) -> str:
        """A server's words, without the key that it may repeat."""
        key = self._key()
        return (words.replace(key, "…").replace(key.lower(), "…") if key else words)[:200]

    def _decoded(self, body: bytes, shape: type[T]) -> T:
        try:
            return msgspec.json.decode(body, type=shape)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise ExplorerAnswerMalformed(self.name) from None

    def _keep(self, body: bytes, request: str) -> str:
        if self._beside.evidence is None:
            return ""
        key = self._key().encode()
        raw = body.replace(key, b"") if key else body
        return self._beside.evidence.keep(
            raw, Exhibit("", "", 0, self.name, request, self._beside.clock(), self._network.id)
        )


def _height(row: Mapping[str, object]) -> int:
    text = str(row.get("blockNumber", ""))
    return int(text) if text.isascii() and text.isdigit() else 0
