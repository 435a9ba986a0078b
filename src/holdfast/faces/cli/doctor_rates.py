"""`doctor`'s look at the exchange rates: whether each source answers, and whether they agree."""

from __future__ import annotations

from holdfast.faces.cli.findings import Finding
from holdfast.runtime.settings import Settings


async def check_rates(settings: Settings) -> list[Finding]:
    """Fixed rates are named as such."""
    if settings.rates.fixed:
        names = [name for name, network in settings.networks.items() if not network.network.is_test]
        detail = f"fixed: {', '.join(f'{pair} {rate}' for pair, rate in settings.rates.fixed.items())}"
        if names:
            remedy = "Name public `sources` instead: a fixed rate soon sells coins too cheap or too dear."
            return [Finding("rates", "warn", f"{detail}, with real money on {', '.join(names)}", remedy)]
        return [Finding("rates", "ok", detail)]
    return []
