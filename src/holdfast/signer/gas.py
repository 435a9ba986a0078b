"""What the gas account does on EVM networks: it flushes deposit addresses to the vault, and fills up the float's gas.

Its key is not the float's, holds nothing but gas, and counts in the bound. Where a flush goes is in the contract's
code; a top-up goes to the float key's own account. Each kind has its budget in the policy.
"""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.chains.evm_contracts import COIN, flush_call
from holdfast.chains.outflow import FeeRate, Wanted
from holdfast.core.addresses import EvmVault
from holdfast.core.evm import deposit_address, parse_address
from holdfast.core.evm_float import FeeLevel, fees_at
from holdfast.core.evm_transactions import Transaction, unsigned
from holdfast.core.journal import Reserved
from holdfast.core.money import AssetId
from holdfast.core.networks import EvmNetwork, erc20_asset
from holdfast.policy.document import Policy
from holdfast.policy.record import Record
from holdfast.signer.networks import Sight
from holdfast.signer.platform import FlushHint

FLUSH, TOP_UP = "flush", "gas-top-up"
INDEXES_MAX = 50
"""Deposit addresses in one flush: some five million gas."""
_FLUSH_GAS, _INDEX_GAS, _TOKEN_GAS = 60_000, 80_000, 90_000
_SEND_GAS = 21_000
TOP_UP_TRANSACTIONS = 4
"""The float's account shall be able to pay for so many transactions at the highest fee that the policy allows."""


async def flush(
    record: Record, sight: Sight, hint: FlushHint, by: tuple[str, Sequence[Policy]], rate: FeeRate
) -> Reserved | None:
    """A flush of these addresses, of what is worth it by the policies and really there. None: of nothing.

    `by`: the gas account, and the policies in force.
    """
    (gas_account, policies), network = by, sight.network
    factory = _factory(record, network.id)
    if factory is None or not isinstance(network, EvmNetwork):
        return None
    owned = {
        deposit_address(factory.factory, factory.implementation, index): index for index in hint.indexes[:INDEXES_MAX]
    }
    tokens = {token.lower(): erc20_asset(network, token, "", 0) for token in hint.tokens if token != COIN}
    held = await sight.outflow.holding(Wanted(addresses=frozenset(owned), tokens=tokens))
    worth = {
        (address, asset)
        for (address, asset), units in held.units.items()
        if units >= max(_least(policy, asset) for policy in policies) > 0
    }
    indexes = sorted({owned[address] for address, _ in worth})
    assets = {asset for _, asset in worth}
    named = [COIN] if network.coin.id in assets else []
    named += [parse_address(token) for token, asset in sorted(tokens.items()) if asset.id in assets]
    if not indexes:
        return None
    gas = _FLUSH_GAS + len(indexes) * (_INDEX_GAS + _TOKEN_GAS * len(named))
    call = (factory.factory, 0, flush_call(indexes, named), gas)
    return _reserved(record, network, (FLUSH, gas_account), call, rate)


async def top_up(
    record: Record, sight: Sight, accounts: tuple[str, str], policies: Sequence[Policy], rate: FeeRate
) -> Reserved | None:
    """Coin from the first to the second account, the float key's, when that can no longer pay for a few transactions.

    None: it can.
    """
    (gas_account, owner), network = accounts, sight.network
    if not isinstance(network, EvmNetwork):
        return None
    wanted = TOP_UP_TRANSACTIONS * min(policy.networks[network.id].fee_max_units for policy in policies)
    held = await sight.outflow.holding(Wanted(addresses=frozenset({owner, gas_account})))
    missing = wanted - held.units[owner, network.coin.id]
    fee = fees_at(_level(rate)).max_fee_wei * _SEND_GAS
    if 2 * missing < wanted or held.units[gas_account, network.coin.id] < missing + fee:
        return None
    return _reserved(record, network, (TOP_UP, gas_account), (owner, missing, b"", _SEND_GAS), rate)


def _least(policy: Policy, asset: str) -> int:
    """Least that a flush must bring; 0: the asset is never flushed."""
    return policy.assets[asset].flush_min_units if asset in policy.assets else 0


def _factory(record: Record, network: str) -> EvmVault | None:
    """The factory of the deposit addresses whose only destination is this float's vault, by the newest certificates."""
    vault = record.floats[network].vault
    for person in record.merchants.values():
        for grant in person.newest.networks if person.newest is not None else ():
            if grant.network == network and isinstance(grant.vault, EvmVault) and grant.vault.vault == vault:
                return grant.vault
    return None


def _reserved(
    record: Record,
    network: EvmNetwork,
    who: tuple[str, str],
    call: tuple[str, int, bytes, int],
    rate: FeeRate,
) -> Reserved:
    (purpose, account), (to, value, data, gas) = who, call
    fees, nonce = fees_at(_level(rate)), record.nonces.get(account, 0)
    transaction = Transaction(network.chain_id, nonce, fees, gas, to, value, data)
    fee = fees.max_fee_wei * gas
    return Reserved(
        network=network.id,
        asset=AssetId(network.coin.id),
        purpose=purpose,
        account=account,
        payouts=(),
        transaction=unsigned(transaction).hex(),
        inputs=(),
        nonce=nonce,
        out_units=0,
        change_index=None,
        change_units=0,
        fee_units=fee,
        extra_fee_units=fee + value,  # what is sent for gas can only be burnt as gas: it counts with the fees
        replaces=None,
        refill_seconds=record.refill_seconds(network.id),
    )


def _level(rate: FeeRate) -> FeeLevel:
    return FeeLevel(rate.base_fee_wei, rate.priority_fee_wei)
