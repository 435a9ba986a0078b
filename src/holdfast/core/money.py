"""Money is an integer count of an asset's smallest unit, never a float; this reads and writes it as decimal text.

Parsing and formatting slice digits. Not `decimal`: its default context keeps 28 digits and rounds
the rest in silence, and a uint256 has 78.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NewType

from holdfast.core.errors import BadInput

AssetId = NewType("AssetId", str)
"""A CAIP-19 asset id, e.g. `bip122:12a765e31ffd4059bada1e25190f6e98/slip44:2`."""

UNITS_MAX = 2**256 - 1
"""No chain that Holdfast follows counts further; NUMERIC(78,0) holds it."""

_DECIMAL = re.compile(r"(0|[1-9][0-9]{0,77})(?:\.([0-9]{1,36}))?", re.ASCII)


class AmountMalformed(BadInput):
    """The amount is not a plain decimal number. Write digits with at most one point, e.g. `12.50`."""

    code = "amount-malformed"


class AmountTooPrecise(BadInput):
    """The amount has more decimal places than its asset. Round it before sending."""

    code = "amount-too-precise"


class AmountOutOfRange(BadInput):
    """The amount is below the least or above the most that is possible. Send one in between."""

    code = "amount-out-of-range"


@dataclass(frozen=True, slots=True)
class Asset:
    """A coin or token, and how many decimal places its smallest unit has."""

    id: AssetId
    symbol: str
    decimals: int


def format_units(units: int, decimals: int) -> str:
    """The exact decimal form of `units` smallest units: always all `decimals` places."""
    digits = f"{abs(units):0{decimals + 1}d}"
    point = len(digits) - decimals
    whole, part = digits[:point], digits[point:]
    return f"{'-' if units < 0 else ''}{whole}{'.' if part else ''}{part}"


def parse_units(text: str, decimals: int) -> int:
    """The smallest units in a decimal text that a person or program wrote.

    Raises `AmountMalformed`, `AmountTooPrecise` (a non-zero digit would be lost) or
    `AmountOutOfRange` (more than `UNITS_MAX`).
    """
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise AmountMalformed(f"{text[:40]!r}")
    whole, part = match[1], match[2] or ""
    if part[decimals:].strip("0"):
        raise AmountTooPrecise(f"{text[:40]!r} has more than {decimals} places")
    units = int(whole + part[:decimals].ljust(decimals, "0"))
    if units > UNITS_MAX:
        raise AmountOutOfRange(f"{text[:40]!r}")
    return units
