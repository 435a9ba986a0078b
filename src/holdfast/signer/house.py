"""House transactions: the only ones without a merchant's intent. Each kind has one fixed destination and its budget.

What is above the cap goes to the vault, and so does everything that lies under a key that was rotated; small coins
become one while fees are low; what waits too long for a block is sent again at a higher fee.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from holdfast.chains.outflow import FeeRate
from holdfast.core.journal import Reserved
from holdfast.core.networks import BitcoinNetwork, Network
from holdfast.core.orders import FloatKey
from holdfast.policy.document import Policy
from holdfast.policy.record import Record
from holdfast.signer import build_bitcoin, building
from holdfast.signer.coins import NotEnough

CONSOLIDATE_COINS = 50
"""More final coins than this become one."""
CHEAP_DIVISOR = 20
"""Fees are low below this part of what the policy pays at most."""


def proposals(record: Record, network: Network, rate: FeeRate, policies: Sequence[Policy]) -> Iterator[Reserved]:
    """What the house wants to do on a network now, at most one transaction of each kind and account."""
    busy = {(one.body.purpose, one.body.account) for one in record.waiting()}
    for key in (record.floats[network.id], *record.old_floats):
        if key.network != network.id:
            continue
        is_old = key is not record.floats[network.id]
        for asset in _assets(policies, network) if (build_bitcoin.CAP_SWEEP, key.address) not in busy else ():
            excess = _excess(record, network, key, asset, None if is_old else policies)
            if excess > 0:
                made = building.to_vault(record, network, (key.address, asset, excess), rate, is_all=is_old)
                if not isinstance(made, NotEnough):
                    yield made
                    break
    if isinstance(network, BitcoinNetwork):
        yield from _consolidation(record, network, rate, policies)


def _excess(record: Record, network: Network, key: FloatKey, asset: str, policies: Sequence[Policy] | None) -> int:
    """What lies above the lowest cap, of what is final; without policies (a rotated key): all of it."""
    if isinstance(network, BitcoinNetwork):
        coins = build_bitcoin.spendable(record, network.id, key.address)
        units = sum(coin.units for coin in coins if coin.depth == 0)
    else:
        units = record.float_units.get((key.address, asset), 0)
    if policies is None:
        return units
    promised = sum(
        record.payouts[one].payout.lines_units for one in record.unreserved if record.payouts[one].payout.asset == asset
    )
    return units - promised - min(policy.assets[asset].float_cap_units for policy in policies)


def _assets(policies: Sequence[Policy], network: Network) -> list[str]:
    names = [asset for asset in policies[0].assets if asset.startswith(f"{network.id}/")]
    return [asset for asset in names if all(asset in policy.assets for policy in policies)]


def _consolidation(
    record: Record, network: BitcoinNetwork, rate: FeeRate, policies: Sequence[Policy]
) -> Iterator[Reserved]:
    address = record.floats[network.id].address
    coins = [coin for coin in build_bitcoin.spendable(record, network.id, address) if coin.depth == 0]
    cheap = min(policy.networks[network.id].fee_rate_max for policy in policies) // CHEAP_DIVISOR
    is_busy = any(one.body.network == network.id for one in record.waiting())
    if len(coins) > CONSOLIDATE_COINS and rate.per_kvb <= cheap and not is_busy:
        made = build_bitcoin.consolidate(record, network, rate.per_kvb)
        if not isinstance(made, NotEnough):
            yield made
