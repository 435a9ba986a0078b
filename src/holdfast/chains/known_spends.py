"""What a journal knows of a float's spends, put as `chains.outflow` asks it: for signer and checking machine alike."""

from __future__ import annotations

from coincurve import PublicKey

from holdfast.chains.outflow import Known
from holdfast.core.evm_transactions import address_of
from holdfast.core.networks import EvmNetwork, network_by_id
from holdfast.core.orders import FloatKey
from holdfast.policy.record import Record


def known_spends(record: Record, key: FloatKey) -> Known:
    """Everything of ours that spends, or can be spent, at one float."""
    open_ones = [one for one in record.waiting() if one.body.account == key.address]
    versions = [version for one in open_ones for version in record.family(one.seq) if version.signed is not None]
    if isinstance(network_by_id(key.network), EvmNetwork):
        nonces: dict[int, set[str]] = {}
        for one in versions:
            if one.body.nonce is not None and one.signed is not None:
                nonces.setdefault(one.body.nonce, set()).add(one.signed.transaction)
        owner = address_of(PublicKey(bytes.fromhex(key.public_key)))
        named = {nonce: frozenset(ids) for nonce, ids in nonces.items()}
        return Known(owner=owner, next_nonce=record.nonces.get(key.address, 0), nonces=named)
    coins = [coin for coin in record.coins.get(key.network, {}).values() if coin.address == key.address]
    gone = {outpoint for network, outpoint in record.gone if network == key.network}  # not there, and spent by nobody
    return Known(
        coins=tuple(coin.outpoint for coin in coins),
        transactions={
            one.signed.transaction: tuple(each for each in one.body.inputs if each not in gone)
            for one in versions
            if one.signed is not None
        },
        height=record.heights.get(key.network, 0),
    )
