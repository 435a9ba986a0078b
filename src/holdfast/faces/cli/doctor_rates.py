"""`doctor`'s look at the exchange rates: whether each source answers, and whether they agree."""

from __future__ import annotations

import asyncio

from holdfast.faces.cli.findings import Finding, failed
from holdfast.payments.rate_sources import RateSourceUnknown, open_sources, rules_of
from holdfast.payments.rates import (
    Observation,
    RatesDisagree,
    RateSource,
    RateSourceFailed,
    RateUnavailable,
    agree,
    price_text,
)
from holdfast.runtime.clock import SYSTEM_CLOCK
from holdfast.runtime.settings import Settings


async def check_rates(settings: Settings) -> list[Finding]:
    """Whether there is a rate, and who does not take part. Fixed rates are named as such."""
    if settings.rates.fixed:
        names = [name for name, network in settings.networks.items() if not network.network.is_test]
        detail = f"fixed: {', '.join(f'{pair} {rate}' for pair, rate in settings.rates.fixed.items())}"
        if names:
            remedy = "Name public `sources` instead: a fixed rate soon sells coins too cheap or too dear."
            return [Finding("rates", "warn", f"{detail}, with real money on {', '.join(names)}", remedy)]
        return [Finding("rates", "ok", detail)]
    return await _check_sources(settings)


async def _check_sources(settings: Settings) -> list[Finding]:
    """Each source is asked for bitcoin's price, which all of them have."""
    try:
        async with open_sources(settings.rates.sources) as sources:
            answers = await asyncio.gather(*(_ask(source) for source in sources))
    except RateSourceUnknown as error:
        return [failed("rates", error)]
    now = SYSTEM_CLOCK.now()
    seen = [Observation(name, value, now) for name, value, _ in answers if value is not None]
    findings = [
        Finding(f"rates from {name}", "warn", said or "has no BTC/USD", "Nothing, while enough others answer.")
        for name, value, said in answers
        if value is None
    ]
    try:
        value, counted = agree(seen, rules_of(settings.rates), now)
    except (RateUnavailable, RatesDisagree) as error:
        return [*findings, failed("rates", error)]
    names = ", ".join(one.source for one in counted)
    return [*findings, Finding("rates", "ok", f"BTC/USD {price_text(value)}, the median of {names}")]


async def _ask(source: RateSource) -> tuple[str, int | None, str]:
    try:
        return source.name, await source.price("BTC", "USD"), ""
    except RateSourceFailed as error:
        return source.name, None, error.detail
