"""The fifth stop: what was reserved is signed. The only module that touches the keys.

It signs transactions that this process built and journaled, and nothing that it was handed: the bytes come out of the
record, the amounts of the inputs too. The same reservation always gives the same bytes (RFC 6979).
"""

from __future__ import annotations

from coincurve import PublicKey

from holdfast.chains.bitcoin_scripts import script_of
from holdfast.core import bitcoin
from holdfast.core.errors import Conflict
from holdfast.core.evm_transactions import (
    Signature,
    Signed as SignedEvm,
    Transaction,
    TransactionMalformed,
    address_of,
    assemble,
    digest,
    read_unsigned,
    sender,
)
from holdfast.core.journal import Signed
from holdfast.core.networks import BitcoinNetwork, network_by_id
from holdfast.core.orders import FloatKey
from holdfast.policy.record import GAS_PURPOSES, Record, Reservation
from holdfast.signer.keys import Keys as Keys, KeyUnknown

GENERATIONS_MAX = 100
"""How often a network's float key can be rotated."""


class KeyNotOurs(Conflict):
    """The key that the journal names for a float is not in the keystore. Name the keystore of this journal."""

    code = "key-not-ours"


def sign(reservation: Reservation, record: Record, keys: Keys) -> Signed:
    """The signed bytes of a reservation. Raises `KeyNotOurs`."""
    network = network_by_id(reservation.body.network)
    data = bytes.fromhex(reservation.body.transaction)
    if not isinstance(network, BitcoinNetwork):
        signed = _evm(reservation, record, keys, read_unsigned(data))
        return Signed(reservation.seq, signed.hash, signed.raw.hex())
    spent = [reservation.spent[outpoint] for outpoint in reservation.body.inputs]
    key = _float_at(record, network.id, reservation.body.account)
    name = key_name(keys, key)
    transaction = bitcoin.read_unsigned(data)
    units = {coin.outpoint: coin.units for coin in spent}
    is_segwit = network.hrp is not None
    digests = bitcoin.digests(
        transaction, script_of(network, key.address), [units[one.outpoint] for one in transaction.inputs]
    )
    signatures = [bitcoin.der(keys.sign(name, each)) for each in digests]
    made = bitcoin.assemble(transaction, bytes.fromhex(key.public_key), signatures, is_segwit=is_segwit)
    return Signed(reservation.seq, made.txid, made.raw.hex())


def gas_account(keys: Keys, network: str) -> str | None:
    """The gas account of an EVM network; None where there is no such key."""
    try:
        return address_of(PublicKey(keys.public_key(f"{network}/gas")))
    except KeyUnknown:
        return None


def key_name(keys: Keys, key: FloatKey) -> str:
    """Under which name the keystore has this float's key. Raises `KeyNotOurs`."""
    for generation in range(1, GENERATIONS_MAX):
        name = key.network if generation == 1 else f"{key.network}/{generation}"
        try:
            if keys.public_key(name).hex() == key.public_key:
                return name
        except KeyUnknown:
            break
    raise KeyNotOurs(f"{key.network}: {key.public_key}")


def _evm(reservation: Reservation, record: Record, keys: Keys, transaction: Transaction) -> SignedEvm:
    network = reservation.body.network
    if reservation.body.purpose in GAS_PURPOSES:
        name = f"{network}/gas"
    else:
        name = key_name(keys, _float_at(record, network, reservation.body.account))
    owner = address_of(PublicKey(keys.public_key(name)))
    compact = keys.sign(name, digest(transaction))
    r, s = int.from_bytes(compact[:32], "big"), int.from_bytes(compact[32:], "big")
    for parity in (0, 1):
        signature = Signature(r, s, parity)
        try:
            if sender(transaction, signature) == owner:
                return assemble(transaction, signature)
        except TransactionMalformed:
            continue
    raise KeyNotOurs(f"{network}: a signature that is not the key's")


def _float_at(record: Record, network: str, address: str) -> FloatKey:
    key = record.float_of(network, address)
    if key is None:
        raise KeyNotOurs(f"{network}: no float at {address}")
    return key
