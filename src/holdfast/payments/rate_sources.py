"""Public sources of prices, each a thin adapter: where to ask, and where the price stands in the answer.

Prices are read as text, never as floats. A source is believed about nothing by itself: `rates.agree` needs several.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import aiohttp

from holdfast.core.errors import BadInput
from holdfast.payments.rates import (
    FixedRates,
    MedianRates,
    RateMalformed,
    RateRules,
    RateSource,
    RateSourceFailed,
    parse_price,
)
from holdfast.runtime.clock import Clock
from holdfast.runtime.settings import RatesSettings

DEPTH_MAX = 64
TIMEOUT_SECONDS = 6
ANSWER_BYTES_MAX = 65_536
COINGECKO_IDS = {
    "BTC": "bitcoin", "LTC": "litecoin", "DOGE": "dogecoin", "ETH": "ethereum", "BNB": "binancecoin",
    "POL": "polygon-ecosystem-token", "AVAX": "avalanche-2", "USDT": "tether", "USDC": "usd-coin", "DAI": "dai",
}  # fmt: skip


class RateSourceUnknown(BadInput):
    """The configuration names a source of rates that does not exist. Use those that the configuration page lists."""

    code = "rate-source-unknown"


@dataclass(frozen=True, slots=True)
class Adapter:
    """How one source is asked."""

    base: str
    path: Callable[[str, str], str | None]
    """The path for a pair; None where the source cannot have it."""
    find: Callable[[Any, str, str], object]
    """The price in the decoded answer, numbers as text. May raise LookupError or TypeError: then it is not there."""
    unknown_status: frozenset[int] = frozenset({400, 404})
    """HTTP statuses by which the source says that it does not have the pair."""


def _coingecko_path(symbol: str, currency: str) -> str | None:
    coin = COINGECKO_IDS.get(symbol)
    return None if coin is None else f"/api/v3/simple/price?ids={coin}&vs_currencies={currency.lower()}&precision=full"


def _bitfinex_symbol(symbol: str) -> str:
    return {"USDT": "UST", "USDC": "UDC"}.get(symbol, symbol)


ADAPTERS: dict[str, Adapter] = {
    "kraken": Adapter(
        "https://api.kraken.com",
        lambda symbol, currency: f"/0/public/Ticker?pair={'XDG' if symbol == 'DOGE' else symbol}{currency}",
        # The result's one key is the pair under a name of Kraken's own; "c" is the last trade.
        lambda answer, _symbol, _currency: (
            next(iter(answer["result"].values()))["c"][0] if not answer["error"] else None
        ),
    ),
    "coinbase": Adapter(
        "https://api.coinbase.com",
        lambda symbol, currency: f"/v2/prices/{symbol}-{currency}/spot",
        lambda answer, symbol, currency: (
            answer["data"]["amount"]
            if (answer["data"]["base"], answer["data"]["currency"]) == (symbol, currency)
            else _wrong_pair()
        ),
    ),
    "bitstamp": Adapter(
        "https://www.bitstamp.net",
        lambda symbol, currency: f"/api/v2/ticker/{symbol.lower()}{currency.lower()}/",
        lambda answer, _symbol, _currency: answer["last"],
    ),
    "binance": Adapter(
        "https://api.binance.com",
        lambda symbol, currency: f"/api/v3/ticker/price?symbol={symbol}{currency}",
        lambda answer, symbol, currency: (
            answer["price"] if answer["symbol"] == f"{symbol}{currency}" else _wrong_pair()
        ),
    ),
    "bitfinex": Adapter(
        "https://api-pub.bitfinex.com",
        lambda symbol, currency: f"/v2/ticker/t{_bitfinex_symbol(symbol)}{currency}",
        lambda answer, _symbol, _currency: answer[6],  # LAST_PRICE
        unknown_status=frozenset({400, 404, 500}),  # Bitfinex answers 500 for a symbol that it does not have
    ),
    "coingecko": Adapter(
        "https://api.coingecko.com",
        _coingecko_path,
        lambda answer, symbol, currency: answer[COINGECKO_IDS[symbol]][currency.lower()] if answer else None,
    ),
}


def _wrong_pair() -> object:
    raise LookupError("the answer is about another pair")


class HttpSource:
    """One public source, asked over HTTPS."""

    def __init__(self, name: str, adapter: Adapter, session: aiohttp.ClientSession, base: str | None = None) -> None:
        self.name = name
        self._adapter = adapter
        self._session = session
        self._base = base or adapter.base

    async def price(self, symbol: str, currency: str) -> int | None:
        """The price of one whole coin; None where it does not have the pair. Raises `RateSourceFailed`."""
        path = self._adapter.path(symbol, currency)
        if path is None:
            return None
        try:
            async with self._session.get(f"{self._base}{path}", allow_redirects=False) as response:
                if response.status in self._adapter.unknown_status:
                    return None
                if response.status != 200:
                    raise RateSourceFailed(f"{self.name}: HTTP {response.status}")
                body = await self._body(response)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise RateSourceFailed(f"{self.name}: {type(error).__name__}") from None
        return self._read(body, symbol, currency)

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        """All of the answer, in however many pieces it comes; no more of it than an answer may have."""
        body = b""
        async for piece in response.content.iter_any():
            body += piece
            if len(body) > ANSWER_BYTES_MAX:
                raise RateSourceFailed(f"{self.name}: the answer is too long")
        return body

    def _read(self, body: bytes, symbol: str, currency: str) -> int | None:
        if _depth(body) > DEPTH_MAX:
            raise RateSourceFailed(f"{self.name}: its answer is nested more than {DEPTH_MAX} deep")
        try:
            answer = json.loads(body, parse_float=str, parse_int=str, parse_constant=str)
            found = self._adapter.find(answer, symbol, currency)
        except (ValueError, LookupError, TypeError, AttributeError, StopIteration, RecursionError) as error:
            raise RateSourceFailed(f"{self.name}: {type(error).__name__} in its answer") from None
        if found is None:
            return None
        try:
            return parse_price(str(found))
        except RateMalformed as error:
            raise RateSourceFailed(f"{self.name}: {error.detail}") from None


def _depth(body: bytes) -> int:
    """How deep brackets are nested, those in strings counted too: a parser that recurses must not find out itself."""
    level = deepest = 0
    for byte in body:
        if byte in b"[{":
            level += 1
            deepest = max(deepest, level)
        elif byte in b"]}":
            level -= 1
    return deepest


@asynccontextmanager
async def open_sources(names: Sequence[str], bases: Mapping[str, str] | None = None) -> AsyncIterator[list[RateSource]]:
    """These sources, ready to be asked. `bases` are other addresses for some (tests). Raises `RateSourceUnknown`."""
    if unknown := sorted(set(names) - set(ADAPTERS)):
        raise RateSourceUnknown(f"{', '.join(unknown)}; there are {', '.join(sorted(ADAPTERS))}")
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    headers = {"User-Agent": "holdfast", "Accept": "application/json"}
    async with aiohttp.ClientSession(timeout=timeout, headers=headers, trust_env=False) as session:
        yield [HttpSource(name, ADAPTERS[name], session, (bases or {}).get(name)) for name in names]


@asynccontextmanager
async def open_rates(settings: RatesSettings, clock: Clock) -> AsyncIterator[FixedRates | MedianRates]:
    """Rates as configured: fixed ones where they were chosen, else the sources' median. Raises `RateSourceUnknown`."""
    if settings.fixed:
        values = {}
        for pair, text in settings.fixed.items():
            symbol, _, currency = pair.partition("/")
            values[symbol, currency] = parse_price(text)
        yield FixedRates(values, clock)
        return
    async with open_sources(settings.sources) as sources:
        yield MedianRates(sources, rules_of(settings), settings.symbols, clock)


def rules_of(settings: RatesSettings) -> RateRules:
    """The rules of a configuration."""
    return RateRules(settings.sources_min, timedelta(seconds=settings.max_age_seconds), settings.band_basis_points)
