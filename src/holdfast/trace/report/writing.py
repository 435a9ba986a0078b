"""How a report writes amounts, moments, networks and assets. Pure; digits are cut off, never rounded up."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from holdfast.core.money import format_units
from holdfast.core.networks import NetworkUnknown, known_network, network_by_id
from holdfast.trace.report.classes import issuer_of
from holdfast.trace.report.material import AssetName

TABLE_DECIMALS = 6
"""Of amounts in tables; the exact units are in the bundle's files."""
_TOKEN_DECIMALS = {"USDT": 6, "USDC": 6}


class Pen:
    """Writes the amounts of one case."""

    def __init__(self, assets: Mapping[str, AssetName]) -> None:
        """`assets`: what the case's sources say of them."""
        self._assets = dict(assets)

    def asset(self, asset: str) -> AssetName:
        """How this asset is written; one that nobody describes is counted in its smallest units."""
        if asset not in self._assets:
            self._assets[asset] = _guess(asset)
        return self._assets[asset]

    def exact(self, asset: str, units: int) -> str:
        """All digits, with its symbol: `98,048.8948 ETH`."""
        name = self.asset(asset)
        return f"{digits(units, name.decimals)} {name.symbol}"

    def short(self, asset: str, units: int) -> str:
        """For tables: at the most six decimal places, the rest cut off and marked by an ellipsis."""
        return digits(units, self.asset(asset).decimals, TABLE_DECIMALS)


def digits(units: int, decimals: int, most: int = 78) -> str:
    """An amount with its thousands apart and no idle zeros; `…` where digits were cut off."""
    whole, _, part = format_units(units, decimals).partition(".")
    part = part.rstrip("0")
    is_cut = len(part) > most
    part = part[:most].rstrip("0")
    sign, whole = ("-", whole[1:]) if whole.startswith("-") else ("", whole)
    groups = [whole[max(0, end - 3) : end] for end in range(len(whole), 0, -3)]
    return f"{sign}{','.join(reversed(groups))}{'.' + part if part else ''}{'…' if is_cut else ''}"


def fiat(cents: int | None, currency: str) -> str:
    """`1,234.56 USD`; empty where no price is known."""
    if cents is None:
        return ""
    return f"{cents // 100:,}.{cents % 100:02d} {currency}"


def moment(at: int) -> str:
    """`2023-06-02 21:49:23 UTC`; empty for 0."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if at else ""


def network_name(network: str) -> str:
    """Its common name, or the id itself."""
    try:
        return known_network(network).name
    except NetworkUnknown:
        return network


def plural(count: int, one: str, many: str = "") -> str:
    """`1 step`, `1,080 steps`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def listed(words: list[str]) -> str:
    """`a, b and c`."""
    return " and ".join(", ".join(words).rsplit(", ", 1)) if words else ""


def _guess(asset: str) -> AssetName:
    chain, _, token = asset.partition("/")
    issuer = issuer_of(asset)
    if issuer is not None and issuer.symbol in _TOKEN_DECIMALS:
        return AssetName(asset, issuer.symbol, _TOKEN_DECIMALS[issuer.symbol])
    try:
        coin = network_by_id(chain).coin
    except NetworkUnknown:
        coin = None
    if coin is not None and (asset == coin.id or token.startswith("slip44:")):
        return AssetName(asset, coin.symbol, coin.decimals)
    return AssetName(asset, f"units of {asset}", 0)
