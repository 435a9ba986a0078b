"""Exchange rates as integers: the median of several public sources, or none at all. It fails closed.

A price that cannot be agreed on is no price: peers lost money by going on with the last one they had.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from msgspec import Struct

from holdfast.core.errors import BadInput, Unavailable
from holdfast.runtime import metrics
from holdfast.runtime.clock import Clock

SCALE = 10**12
"""Rates are so many times the price of one whole coin."""
SCALE_DIGITS = 12
_PRICE = re.compile(r"(\d{1,30})(?:\.(\d{1,40}))?(?:[eE]([+-]?\d{1,2}))?", re.ASCII)


class RateUnavailable(Unavailable):
    """Too few sources have a rate for this pair. Choose another asset or currency, or configure more sources."""

    code = "rate-unavailable"


class RateStale(Unavailable):
    """Too few sources have answered lately, so there is no rate that can be trusted. Try again in a minute."""

    code = "rate-stale"


class RatesDisagree(Unavailable):
    """The sources lie too far apart, so there is no rate that can be trusted. Look at them with `holdfast doctor`."""

    code = "rates-disagree"


class RateMalformed(BadInput):
    """The text is not the price of a coin. Write a plain decimal number above zero."""

    code = "rate-malformed"


class RateSourceFailed(Unavailable):
    """A source of rates did not answer, or not with a price. Nothing to do while enough others do."""

    code = "rate-source-failed"


class Rate(Struct, frozen=True, kw_only=True):
    """The price of one whole coin, `SCALE` times, and who said so."""

    asset: str
    currency: str
    value: int
    sources: list[str]
    """Each source that counted, with the price it named."""
    at: datetime
    """When the oldest of them was asked."""


class RateSource(Protocol):
    """One place that knows prices."""

    name: str

    async def price(self, symbol: str, currency: str) -> int | None:
        """The price of one whole coin, `SCALE` times; None where the source does not have the pair.

        Raises `RateSourceFailed`.
        """


@dataclass(frozen=True, slots=True)
class RateRules:
    """When prices become a rate."""

    sources_min: int
    max_age: timedelta
    band_basis_points: int
    """How far from the median a price may lie and still count."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What a source said, and when it was asked."""

    source: str
    value: int
    at: datetime


def agree(seen: Sequence[Observation], rules: RateRules, now: datetime) -> tuple[int, list[Observation]]:
    """The rate that these observations make, and those that counted.

    1. Only fresh ones count: else `RateStale`, or `RateUnavailable` where there never were enough.
    2. Those outside the band around the median do not count; enough must be left: else `RatesDisagree`.
    3. The rate is the median of what is left (of two middle ones, the lower: the payer's favour costs least).
    """
    if len(seen) < rules.sources_min:
        raise RateUnavailable(f"{len(seen)} sources have it, {rules.sources_min} must")
    # 1
    fresh = [one for one in seen if now - one.at <= rules.max_age]
    if len(fresh) < rules.sources_min:
        raise RateStale(f"{len(fresh)} fresh answers, {rules.sources_min} needed")
    # 2
    middle = _median(fresh)
    near = [one for one in fresh if abs(one.value - middle) * 10_000 <= middle * rules.band_basis_points]
    if len(near) < rules.sources_min:
        raise RatesDisagree(", ".join(f"{one.source} {price_text(one.value)}" for one in fresh))
    # 3
    return _median(near), near


class MedianRates:
    """Rates that several sources agree on. Asks them at most every third of the maximum age, for pairs in use."""

    def __init__(
        self, sources: Sequence[RateSource], rules: RateRules, symbols: Mapping[str, str], clock: Clock
    ) -> None:
        self._sources = sources
        self._rules = rules
        self._symbols = symbols
        self._clock = clock
        self._seen: dict[tuple[str, str], dict[str, Observation]] = {}
        self._asked_at: dict[tuple[str, str], datetime] = {}
        self._asking: dict[tuple[str, str], asyncio.Lock] = {}

    async def rate(self, asset_symbol: str, currency: str) -> Rate:
        """The rate of this pair. Raises `RateUnavailable`, `RateStale`, `RatesDisagree`."""
        pair = (self._symbols.get(asset_symbol, asset_symbol), currency)
        await self._ask(pair)
        now = self._clock.now()
        value, counted = agree(list(self._seen.get(pair, {}).values()), self._rules, now)
        at = min(one.at for one in counted)
        metrics.RATE_AGE_SECONDS.labels("/".join(pair)).set((now - at).total_seconds())
        said = [f"{one.source} {price_text(one.value)}" for one in counted]
        return Rate(asset=asset_symbol, currency=currency, value=value, sources=said, at=at)

    async def _ask(self, pair: tuple[str, str]) -> None:
        """Ask every source, unless that was done a moment ago. Concurrent callers share one round of questions."""
        async with self._asking.setdefault(pair, asyncio.Lock()):
            now = self._clock.now()
            asked_at = self._asked_at.get(pair)
            if asked_at is not None and now - asked_at < self._rules.max_age / 3:
                return
            self._asked_at[pair] = now
            answers = await asyncio.gather(*(self._price(source, pair) for source in self._sources))
            seen = self._seen.setdefault(pair, {})
            for source, value in zip(self._sources, answers, strict=True):
                if value is not None:
                    seen[source.name] = Observation(source.name, value, now)

    async def _price(self, source: RateSource, pair: tuple[str, str]) -> int | None:
        try:
            return await source.price(*pair)
        except RateSourceFailed:
            metrics.RATE_FAILURES.labels(source.name).inc()
            return None


class FixedRates:
    """Rates that the operator wrote down: for trying out, and chosen explicitly."""

    def __init__(self, values: Mapping[tuple[str, str], int], clock: Clock) -> None:
        self._values = values
        self._clock = clock

    async def rate(self, asset_symbol: str, currency: str) -> Rate:
        """The rate of this pair. Raises `RateUnavailable`."""
        value = self._values.get((asset_symbol, currency))
        if value is None:
            raise RateUnavailable(f"{asset_symbol}/{currency} is not among the fixed rates")
        return Rate(asset=asset_symbol, currency=currency, value=value, sources=["fixed"], at=self._clock.now())


def due_units(price_units: int, price_decimals: int, rate: Rate, asset_decimals: int) -> int:
    """What a price costs in an asset's smallest units, rounded up: the merchant never gets less than his price."""
    due: int = -(-price_units * SCALE * 10**asset_decimals // (rate.value * 10**price_decimals))
    return due


def parse_price(text: str) -> int:
    """A price as a source writes it, `SCALE` times; digits beyond the scale are dropped. Raises `RateMalformed`."""
    match = _PRICE.fullmatch(text)
    if match is None:
        raise RateMalformed(f"{text[:60]!r}")
    whole, part, exponent = match[1], match[2] or "", int(match[3] or 0)
    places = SCALE_DIGITS + exponent - len(part)
    digits = int(whole + part)
    value: int = digits * 10**places if places >= 0 else digits // 10**-places
    if value <= 0:
        raise RateMalformed(f"{text[:60]!r} is no price")
    return value


def price_text(value: int) -> str:
    """A price as people read it."""
    whole, part = divmod(value, SCALE)
    return f"{whole}.{part:0{SCALE_DIGITS}d}".rstrip("0").rstrip(".")


def _median(seen: Sequence[Observation]) -> int:
    values = sorted(one.value for one in seen)
    return values[(len(values) - 1) // 2]
