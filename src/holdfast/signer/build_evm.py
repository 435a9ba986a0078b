"""Builds the float's transactions on EVM networks: one call of the Float contract, many lines, the next nonce. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from holdfast.core import evm_float
from holdfast.core.evm_float import COIN, FeeLevel, token_of
from holdfast.core.evm_transactions import Fees, Transaction, read_unsigned, unsigned
from holdfast.core.intents import Payout
from holdfast.core.journal import Reserved
from holdfast.core.networks import EvmNetwork
from holdfast.policy.record import PAYOUT, Record, Reservation

CAP_SWEEP = "cap-sweep"


def batches(asset: str, payouts: Sequence[tuple[str, Payout]]) -> list[list[tuple[str, Payout]]]:
    """The payouts, in order, cut into calls that a block can carry. A payout is never cut: its lines fit (`fits`)."""
    lines_max = evm_float.lines_max(is_coin=token_of(asset) == COIN)
    found: list[list[tuple[str, Payout]]] = []
    room = 0
    for payout_id, payout in payouts:
        if len(payout.lines) > room:
            found.append([])
            room = lines_max
        found[-1].append((payout_id, payout))
        room -= len(payout.lines)
    return found


def fits(payout: Payout) -> bool:
    """Whether one call can carry all lines of a payout."""
    is_coin = token_of(payout.asset) == COIN
    return len(payout.lines) <= evm_float.lines_max(is_coin=is_coin) and all(
        evm_float.is_payable(line.destination, line.units) for line in payout.lines
    )


def pay(
    record: Record, network: EvmNetwork, asset: str, payouts: Sequence[tuple[str, Payout]], level: FeeLevel
) -> Reserved:
    """One call that pays these payouts, in order."""
    lines = [(line.destination, line.units) for _, payout in payouts for line in payout.lines]
    token = token_of(asset)
    data = evm_float.pay_call(token, lines)
    gas = evm_float.gas_limit(is_coin=token == COIN, lines=len(lines))
    out = sum(units for _, units in lines)
    ids = tuple(payout_id for payout_id, _ in payouts)
    return _reserved(
        record,
        network,
        _Call(PAYOUT, record.floats[network.id].address, asset, data, gas, out, ids),
        evm_float.fees_at(level),
    )


def to_vault(record: Record, network: EvmNetwork, out: tuple[str, str, int], level: FeeLevel) -> Reserved:
    """Units of an asset go from a float's contract (its address comes first) to the vault: it knows no other way."""
    account, asset, units = out
    data = evm_float.to_vault_call(token_of(asset), units)
    call = _Call(CAP_SWEEP, account, asset, data, evm_float.to_vault_gas_limit(), units, ())
    return _reserved(record, network, call, evm_float.fees_at(level))


def replacement(record: Record, old: Reservation, level: FeeLevel, cap_wei: int) -> Reserved | None:
    """The same call at a fee that replaces the old one in every mempool; None while the old fee is high enough."""
    transaction = read_unsigned(bytes.fromhex(old.body.transaction))
    fees = evm_float.bump(transaction.fees, level, cap_wei)
    if fees is None:
        return None
    again = replace(transaction, fees=fees)
    fee = fees.max_fee_wei * transaction.gas_limit
    return Reserved(
        network=old.body.network,
        asset=old.body.asset,
        purpose=old.body.purpose,
        account=old.body.account,
        payouts=old.body.payouts,
        transaction=unsigned(again).hex(),
        inputs=(),
        nonce=transaction.nonce,
        out_units=old.body.out_units,
        change_index=None,
        change_units=0,
        fee_units=fee,
        extra_fee_units=fee - old.body.fee_units,
        replaces=old.seq,
        refill_seconds=record.refill_seconds(old.body.network),
    )


@dataclass(frozen=True, slots=True)
class _Call:
    """What a transaction does, before nonce and fees."""

    purpose: str
    account: str
    """The float's contract."""
    asset: str
    data: bytes
    gas: int
    out_units: int
    payouts: tuple[str, ...]


def _reserved(record: Record, network: EvmNetwork, call: _Call, fees: Fees) -> Reserved:
    nonce = record.nonces.get(call.account, 0)
    transaction = Transaction(network.chain_id, nonce, fees, call.gas, call.account, 0, call.data)
    return Reserved(
        network=network.id,
        asset=call.asset,
        purpose=call.purpose,
        account=call.account,
        payouts=call.payouts,
        transaction=unsigned(transaction).hex(),
        inputs=(),
        nonce=nonce,
        out_units=call.out_units,
        change_index=None,
        change_units=0,
        fee_units=fees.max_fee_wei * call.gas,
        extra_fee_units=fees.max_fee_wei * call.gas,
        replaces=None,
        refill_seconds=record.refill_seconds(network.id),
    )
