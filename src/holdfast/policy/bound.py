"""The loss bound: what an attacker could take under a policy, as a formula whose every term can be looked up. Pure.

Signer honest: `released and not final + burst + rate * T` of the asset, and the fee budget in the network's coin.
Signer or float keys owned: the float, at most its cap, and settlements in flight. The merchants' term is zero in both:
no online key can move the vault.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from holdfast.policy.document import AssetPolicy, Policy
from holdfast.policy.record import Record

FIAT_DECIMALS = 2


@dataclass(frozen=True, slots=True)
class AssetBound:
    """Most that can be lost of one asset, in its smallest units."""

    asset: str
    symbol: str
    decimals: int
    released_units: int
    """Signed for and not final."""
    burst_units: int
    refill_units: int
    """What the limits let through in the time looked at, beyond the burst."""
    float_units: int
    """What lies in the float now, as the journal knows."""
    cap_units: int
    fee_units: int
    """Of the network's own coin: what fees can burn in that time; 0 for other assets."""

    @property
    def honest_units(self) -> int:
        """While the signer is honest. It cannot pay what it does not have."""
        most = self.released_units + self.burst_units + self.refill_units
        return min(most, max(self.cap_units, self.float_units)) + self.fee_units

    @property
    def owned_units(self) -> int:
        """With the signer, or the float keys, in the attacker's hands, settlements in flight aside."""
        return max(self.cap_units, self.float_units) + self.fee_units


def bounds(policies: Sequence[Policy], record: Record, seconds: int) -> list[AssetBound]:
    """The bound of every asset over so many seconds: with several policies in force the tighter of each term counts."""
    first = policies[0]
    found = []
    for name in first.assets:
        each = [policy.assets[name] for policy in policies if name in policy.assets]
        if len(each) == len(policies):
            found.append(_bound(name, each, policies, record, seconds))
    return found


def fiat_units(units: int, decimals: int, price_units: int) -> int:
    """What units of an asset are worth, in hundredths of the currency, rounded up; `price_units`: of a whole coin."""
    whole: int = 10**decimals
    return -(-units * price_units // whole)


def total_fiat_units(found: Sequence[AssetBound], prices: Mapping[str, int], *, is_owned: bool) -> int | None:
    """The whole bound in one figure; None where an asset has no price (by symbol, hundredths of the currency)."""
    if any(one.symbol not in prices for one in found):
        return None
    parts = [(one.owned_units if is_owned else one.honest_units, one) for one in found]
    return sum(fiat_units(units, one.decimals, prices[one.symbol]) for units, one in parts)


def _bound(
    name: str, each: Sequence[AssetPolicy], policies: Sequence[Policy], record: Record, seconds: int
) -> AssetBound:
    network = name.partition("/")[0]
    is_coin = "/slip44:" in name
    limits = [asset.total for asset in each]
    fees = [policy.networks[network].fees for policy in policies]
    return AssetBound(
        asset=name,
        symbol=each[0].symbol,
        decimals=each[0].decimals,
        released_units=record.unconfirmed.get(name, 0),
        burst_units=min(limit.burst_units for limit in limits),
        refill_units=min(limit.bound_units(seconds) - limit.burst_units for limit in limits),
        float_units=_held(record, name, network),
        cap_units=min(asset.float_cap_units for asset in each),
        fee_units=min(limit.bound_units(seconds) for limit in fees) if is_coin else 0,
    )


def _held(record: Record, asset: str, network: str) -> int:
    if network.startswith("bip122:"):
        return sum(coin.units for coin in record.coins.get(network, {}).values())
    return sum(units for (_, name), units in record.float_units.items() if name == asset)
