"""How pictures name assets, amounts and addresses. Exact figures stay integers; what is shown short says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from holdfast.core.money import Asset, AssetId, format_units
from holdfast.core.networks import KNOWN_NETWORKS
from holdfast.trace.reading import Names
from holdfast.trace.taint import Policy

PLACES_SHOWN = 4
"""Significant places after the point of an amount below one; whole parts are always shown in full."""
_FAMILIES = {"eip155": "EVM", "bip122": "Bitcoin family"}


@dataclass(frozen=True, slots=True)
class Words:
    """What a picture is told besides the trace."""

    title: str = "Trace"
    policy: Policy = Policy.HAIRCUT
    """By which the widths are at first."""
    assets: Mapping[str, Asset] = field(default_factory=dict)
    """By CAIP-19 id. Coins of known networks need not be named; other assets are counted in smallest units."""
    names: Names | None = None
    """Labels of addresses on the way; those of ends stand in the trace."""
    prices: Mapping[str, int] = field(default_factory=dict)
    """By CAIP-19 id: what 10^18 smallest units are worth, in any one currency's smallest unit. Assets without a price
    are worth what the thief himself was given for them."""


_COINS = {network.coin.id: network.coin for network in KNOWN_NETWORKS.values()}


def asset_of(words: Words, asset: str) -> Asset:
    """Its symbol and places; an unknown one is counted in units."""
    known = words.assets.get(asset) or _COINS.get(AssetId(asset))
    return known or Asset(AssetId(asset), f"units of {_short_asset(asset)}", 0)


def _short_asset(asset: str) -> str:
    kind, _, reference = asset.rpartition("/")[2].partition(":")
    return f"{kind} {short_address(reference)}" if reference else short_address(asset)


def shown(units: int, asset: Asset) -> str:
    """An amount short enough for a picture, cut, not rounded up: `1,234.56 ETH`. The exact one is in the table."""
    whole, _, part = format_units(abs(units), asset.decimals).partition(".")
    places = 2 if len(whole) > 1 or whole != "0" else len(part) - len(part.lstrip("0")) + PLACES_SHOWN
    part = part[:places].rstrip("0")
    sign = "-" if units < 0 else ""
    return f"{sign}{int(whole):,}{'.' if part else ''}{part} {asset.symbol}"


def share(parts: int, whole: int) -> str:
    """A share in percent with one place, cut: `12.3 %`; below a tenth it says so."""
    if whole <= 0 or parts <= 0:
        return "0 %"
    tenths = parts * 1000 // whole
    return f"{tenths // 10}.{tenths % 10} %" if tenths else "< 0.1 %"


def short_address(address: str) -> str:
    """Enough to find it in the table; whoever copies one takes it from there."""
    return address if len(address) <= 14 else f"{address[:6]}…{address[-4:]}"


def network_name(network: str) -> str:
    """A network's name, or its family and number."""
    for known in KNOWN_NETWORKS.values():
        if known.id == network:
            return known.name
    family, _, reference = network.partition(":")
    return f"{_FAMILIES.get(family, family)} {reference[:8]}"
