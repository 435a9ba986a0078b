"""`doctor`'s look at the exchange rates: whether each source answers, and whether enough of them agree."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from holdfast.core.errors import HoldfastError
from holdfast.faces.cli.findings import Finding, failed
from holdfast.payments.rate_sources import open_sources, rules_of
from holdfast.payments.rates import Observation, RateSource, agree, price_text
from holdfast.runtime.clock import SYSTEM_CLOCK
from holdfast.runtime.settings import Settings

CURRENCY = "EUR"
"""What prices are asked in: every public source has it."""


async def check_rates(settings: Settings) -> list[Finding]:
    """Fixed rates are named as such; public sources are each asked for the first network's coin."""
    if settings.rates.fixed:
        return [_fixed(settings)]
    coin = next(iter(settings.networks.values())).network.coin.symbol
    symbol = settings.rates.symbols.get(coin, coin)
    try:
        async with open_sources(settings.rates.sources) as sources:
            return await _public(settings, sources, symbol)
    except HoldfastError as error:
        return [failed("rates", error)]


async def _public(settings: Settings, sources: Sequence[RateSource], symbol: str) -> list[Finding]:
    pair = f"{symbol}/{CURRENCY}"
    findings, seen = [], []
    for source, answer in zip(sources, await asyncio.gather(*(_ask(one, symbol) for one in sources)), strict=True):
        check = f"rates from {source.name}"
        if isinstance(answer, HoldfastError):
            found = failed(check, answer)
            findings.append(Finding(check, "warn", found.detail, found.remedy))
        elif answer is None:
            remedy = "Name another source, or map the coin's symbol by `[rates] symbols`."
            findings.append(Finding(check, "warn", f"does not have {pair}", remedy))
        else:
            findings.append(Finding(check, "ok", f"{pair} {price_text(answer)}"))
            seen.append(Observation(source.name, answer, SYSTEM_CLOCK.now()))
    try:
        value, counted = agree(seen, rules_of(settings.rates), SYSTEM_CLOCK.now())
    except HoldfastError as error:
        return [*findings, failed("rates", error)]
    detail = f"{pair} {price_text(value)}, on which {len(counted)} of {len(sources)} sources agree"
    return [*findings, Finding("rates", "ok", detail)]


async def _ask(source: RateSource, symbol: str) -> int | HoldfastError | None:
    try:
        return await source.price(symbol, CURRENCY)
    except HoldfastError as error:
        return error


def _fixed(settings: Settings) -> Finding:
    real = [name for name, network in settings.networks.items() if not network.network.is_test]
    detail = f"fixed: {', '.join(f'{pair} {rate}' for pair, rate in settings.rates.fixed.items())}"
    if real:
        remedy = "Name public `sources` instead: a fixed rate soon sells coins too cheap or too dear."
        return Finding("rates", "warn", f"{detail}, with real money on {', '.join(real)}", remedy)
    return Finding("rates", "ok", detail)
