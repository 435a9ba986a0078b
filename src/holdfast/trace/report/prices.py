"""Prices from a file: what an asset cost when a block was made. Integers throughout: no rounding but the last, down.

The file is CSV with the columns `asset,time,price` (CAIP-19, ISO 8601 or seconds since 1970, decimal text per whole
coin). The price of a moment is the last one before it, at the most a day old; older ones value nothing.
"""

from __future__ import annotations

import csv
import io
from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime

from holdfast.core.errors import BadInput
from holdfast.core.money import AmountMalformed, AmountOutOfRange, AmountTooPrecise, parse_units

PRICE_DECIMALS = 18
AGE_MAX_SECONDS = 86_400
"""A daily close is the coarsest price that price services publish."""
CENTS = 2


class PricesMalformed(BadInput):
    """The price file has a row that is no price. Write asset, time and price as the reference page shows."""

    code = "prices-malformed"


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices by asset, in the order of time."""

    currency: str = ""
    by_asset: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    """Seconds since 1970, and the price of a whole coin in 10^-18 of the currency."""

    def cents(self, asset: str, units: int, decimals: int, at: int) -> int | None:
        """What so many units were worth then, in hundredths, rounded down; None: no price of that day is known."""
        known = self.by_asset.get(asset, [])
        place = bisect_right(known, (at, 1 << 256)) - 1
        if place < 0 or at - known[place][0] > AGE_MAX_SECONDS:
            return None
        return int(units * known[place][1] // 10 ** (decimals + PRICE_DECIMALS - CENTS))


def read_prices(text: str, currency: str) -> Prices:
    """Prices of a CSV file. Raises `PricesMalformed`."""
    rows = csv.DictReader(io.StringIO(text))
    found: dict[str, list[tuple[int, int]]] = defaultdict(list)
    if not {"asset", "time", "price"} <= set(rows.fieldnames or ()):
        raise PricesMalformed("its first line does not name the columns asset, time and price")
    for number, row in enumerate(rows, start=2):
        try:
            found[row["asset"]].append((moment(row["time"]), parse_units(row["price"] or "", PRICE_DECIMALS)))
        except (AmountMalformed, AmountOutOfRange, AmountTooPrecise, ValueError, TypeError) as error:
            raise PricesMalformed(f"line {number}: {error}"[:160]) from None
    return Prices(currency, {asset: sorted(prices) for asset, prices in found.items()})


def moment(text: str) -> int:
    """Seconds since 1970 of a number or an ISO 8601 text; UTC where it names no zone. Raises `ValueError`."""
    if text.isascii() and text.isdigit():
        return int(text)
    then = datetime.fromisoformat(text)
    return int((then if then.tzinfo else then.replace(tzinfo=UTC)).timestamp())
