"""Exchange rates as integers, and what a price costs in an asset."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct

from holdfast.core.errors import Unavailable
from holdfast.runtime.clock import Clock

SCALE = 10**12
"""Rates are so many times the price of one whole coin."""


class RateUnavailable(Unavailable):
    """There is no rate for this pair. Choose another asset or currency, or configure a source that has it."""

    code = "rate-unavailable"


class Rate(Struct, frozen=True, kw_only=True):
    """The price of one whole coin, `SCALE` times, and who said so."""

    asset: str
    currency: str
    value: int
    sources: list[str]
    at: datetime


class FixedRates:
    """Rates that the operator wrote down: for trying out, and chosen explicitly."""

    def __init__(self, values: Mapping[tuple[str, str], int], clock: Clock) -> None:
        self._values = values
        self._clock = clock

    async def rate(self, asset_symbol: str, currency: str) -> Rate:
        """The rate of this pair. Raises `RateUnavailable`."""
        value = self._values.get((asset_symbol, currency))
        if value is None:
            raise RateUnavailable(f"{asset_symbol}/{currency}")
        return Rate(asset=asset_symbol, currency=currency, value=value, sources=["fixed"], at=self._clock.now())


def due_units(price_units: int, price_decimals: int, rate: Rate, asset_decimals: int) -> int:
    """What a price costs in an asset's smallest units, rounded up: the merchant never gets less than his price."""
    return -(-price_units * SCALE * 10**asset_decimals // (rate.value * 10**price_decimals))
