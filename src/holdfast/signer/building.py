"""From payouts to transactions, whatever the family, within what the policies let transactions cost."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.chains.outflow import FeeRate
from holdfast.core.evm_float import FeeLevel
from holdfast.core.intents import Payout
from holdfast.core.journal import Reserved
from holdfast.core.networks import BitcoinNetwork, EvmNetwork, Network
from holdfast.core.orders import Stage
from holdfast.policy.decide import Refused
from holdfast.policy.document import Policy
from holdfast.policy.limits import Usage
from holdfast.policy.record import PAYOUT, Record, Reservation, limit_of
from holdfast.policy.rules import Rule
from holdfast.signer import build_bitcoin, build_evm
from holdfast.signer.coins import NotEnough

Named = tuple[str, Payout]
"""A payout and its id."""


def fits(record: Record, network: Network, payout: Payout) -> bool:
    """Whether a transaction can carry every line of a payout."""
    if isinstance(network, BitcoinNetwork):
        return build_bitcoin.fits(network, record.floats[network.id].address, payout)
    return build_evm.fits(payout)


def room_units(record: Record, network: Network, asset: str, rate: FeeRate) -> int:
    """What the float can pay now of an asset, over all that was accepted before."""
    address = record.floats[network.id].address
    waiting = [record.payouts[one].payout for one in record.unreserved]
    promised = sum(payout.lines_units for payout in waiting if payout.asset == asset)
    if isinstance(network, EvmNetwork):
        return record.float_units.get((address, asset), 0) - promised
    frame = build_bitcoin.frame(network, address, rate.per_kvb)
    coins = build_bitcoin.spendable(record, network.id, address)
    lines = sum(len(payout.lines) for payout in waiting if payout.asset == asset)
    return (
        sum(max(0, coin.units - frame.input_fee_units) for coin in coins) - promised - frame.fee_units(200 + 43 * lines)
    )


def batches(network: Network, asset: str, payouts: Sequence[Named]) -> list[list[Named]]:
    """Cut into what one transaction can carry; no payout is cut."""
    return build_bitcoin.batches(payouts) if isinstance(network, BitcoinNetwork) else build_evm.batches(asset, payouts)


def pay(record: Record, network: Network, payouts: Sequence[Named], rate: FeeRate) -> Reserved | NotEnough:
    """The transaction that pays these payouts, all of one asset."""
    if isinstance(network, BitcoinNetwork):
        return build_bitcoin.pay(record, network, payouts, rate.per_kvb)
    return build_evm.pay(record, network, payouts[0][1].asset, payouts, _level(rate))


def to_vault(
    record: Record, network: Network, out: tuple[str, str, int], rate: FeeRate, *, is_all: bool
) -> Reserved | NotEnough:
    """Units of an asset from a float's address to the vault; `is_all`: whatever lies there."""
    address, _, units = out
    if isinstance(network, BitcoinNetwork):
        return build_bitcoin.to_vault(record, network, address, None if is_all else units, rate.per_kvb)
    return build_evm.to_vault(record, network, out, _level(rate))


def bump(
    record: Record, network: Network, old: Reservation, rate: FeeRate, policies: Sequence[Policy]
) -> Reserved | None:
    """The same transaction at a fee that gets it into a block; None where it is to be left alone."""
    if isinstance(network, BitcoinNetwork):
        return build_bitcoin.bump(record, network, old, rate.per_kvb)
    cap = min(policy.networks[network.id].fee_rate_max for policy in policies)
    return build_evm.replacement(record, old, _level(rate), cap)


def refuse_rate(network: Network, rate: FeeRate, policies: Sequence[Policy]) -> Refused | None:
    """Whether the network asks more than any policy in force pays."""
    asked = rate.per_kvb if isinstance(network, BitcoinNetwork) else 2 * rate.base_fee_wei + rate.priority_fee_wei
    for policy in policies:
        most = policy.networks[network.id].fee_rate_max
        if asked > most:
            return Refused(Rule.FEE_RATE_TOO_HIGH, f"{asked} above {most}")
    return None


def refuse_fee(record: Record, body: Reserved, policies: Sequence[Policy]) -> Refused | None:
    """Whether a transaction may cost what it can cost: by itself, and within the budgets."""
    at = record.refill_seconds(body.network)
    for policy in policies:
        if body.fee_units > policy.networks[body.network].fee_max_units:
            return Refused(Rule.FEE_TOO_HIGH, f"{body.fee_units} units")
        keys = [("fees", body.network)] + ([] if body.purpose == PAYOUT else [(body.purpose, body.network)])
        for key in keys:
            limit = limit_of(policy, key)
            usage = record.usage[policy.hash].get(key, Usage())
            if limit is None or usage.left_units(limit, at) < body.extra_fee_units:
                return Refused(Rule.LIMIT_FEES, " ".join(key))
            is_whole = record.stage_of(body.network, body.asset) is Stage.NORMAL
            if not is_whole and record.eased_units(policy, key, at) < body.extra_fee_units:
                return Refused(Rule.STAGE_LIMITED, " ".join(key))
    return None


def _level(rate: FeeRate) -> FeeLevel:
    return FeeLevel(rate.base_fee_wei, rate.priority_fee_wei)
