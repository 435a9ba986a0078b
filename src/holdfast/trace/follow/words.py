"""Sentences with figures: amounts, shares and names as people read them."""

from __future__ import annotations

from functools import lru_cache

from holdfast.core.money import format_units
from holdfast.core.networks import BITCOIN_NETWORKS, EVM_NETWORKS


@lru_cache(maxsize=4096)
def _coin(asset: str) -> tuple[str, int] | None:
    for network in (*BITCOIN_NETWORKS, *EVM_NETWORKS):
        if network.coin.id == asset:
            return network.coin.symbol, network.coin.decimals
    return None


def amount(units: int, asset: str) -> str:
    """With the coin's symbol where it is known; tokens in their smallest unit: their symbols are what spam forges."""
    coin = _coin(asset)
    if coin is None:
        return f"{units} units of {asset.partition('/')[2]}"
    return f"{format_units(units, coin[1])} {coin[0]}"


def share(part: int, whole: int) -> str:
    """In percent, to a tenth; `under 0.1 %` rather than nothing."""
    if not part or not whole:
        return "0 %"
    tenths = part * 1000 // whole
    return f"{tenths // 10}.{tenths % 10} %" if tenths else "under 0.1 %"


def span(seconds: int) -> str:
    """How long, in its largest unit."""
    for size, name in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = seconds // size
            return f"{count} {name}{'s' if count > 1 else ''}"
    return f"{seconds} second{'' if seconds == 1 else 's'}"


def short(name: str) -> str:
    """An address or transaction, for a sentence."""
    return name if len(name) <= 16 else f"{name[:8]}…{name[-6:]}"
