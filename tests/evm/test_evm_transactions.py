"""Signed bytes: the same as another implementation's, and read back only if they are the one way to say it. No node."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest
from eth_account import Account
from eth_account.typed_transactions import TypedTransaction
from hypothesis import given, strategies as st

from holdfast.chains.evm_transactions import address_of_key, sign
from holdfast.core.evm import checksum, keccak256
from holdfast.core.evm_transactions import (
    Fees,
    Signature,
    Transaction,
    TransactionMalformed,
    assemble,
    decode,
    digest,
    rlp,
    sender,
)

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
word_ = st.integers(0, 2**64 - 1)
addresses = st.binary(min_size=20, max_size=20).map(checksum)
keys = st.integers(1, ORDER - 1).map(lambda number: number.to_bytes(32, "big"))
transactions = st.builds(
    Transaction,
    chain_id=st.integers(1, 2**53),
    nonce=word_,
    fees=st.builds(Fees, word_, word_),
    gas_limit=word_,
    to=addresses,
    value=st.integers(0, 2**256 - 1),
    data=st.binary(max_size=300),
)
PLAIN = Transaction(1, 7, Fees(30 * 10**9, 10**9), 21_000, checksum(b"\x12" * 20), 5, b"")
KEY = b"\x46" * 32


def as_dict(one):
    return {
        "type": 2,
        "chainId": one.chain_id,
        "nonce": one.nonce,
        "maxFeePerGas": one.fees.max_fee_wei,
        "maxPriorityFeePerGas": one.fees.max_priority_fee_wei,
        "gas": one.gas_limit,
        "to": one.to,
        "value": one.value,
        "data": "0x" + one.data.hex(),
    }


@given(transactions, keys)
def test_eth_account_signs_the_same_bytes(transaction, key):
    signed, theirs = sign(transaction, key), Account.sign_transaction(as_dict(transaction), key)
    assert signed.raw == bytes(theirs.raw_transaction)
    assert signed.hash == "0x" + bytes(theirs.hash).hex()
    assert digest(transaction) == bytes(TypedTransaction.from_dict(as_dict(transaction)).hash())
    assert assemble(transaction, Signature(theirs.r, theirs.s, theirs.v)) == signed


@given(transactions, keys)
def test_what_was_signed_is_read_back_with_who_signed_it(transaction, key):
    raw = sign(transaction, key).raw
    assert decode(raw) == (transaction, address_of_key(key))
    assert decode(raw)[1] == Account.recover_transaction(raw)


@given(transactions, keys, st.data())
def test_a_changed_byte_is_another_transaction_or_another_sender_or_none(transaction, key, data):
    raw = bytearray(sign(transaction, key).raw)
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    with suppress(TransactionMalformed):
        assert decode(bytes(raw)) != (transaction, address_of_key(key))


@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda rest: b"\x02" + rest))
def test_other_bytes_are_refused_by_name(raw):
    with pytest.raises(TransactionMalformed):
        decode(raw)


def fields(transaction=PLAIN):
    made = Account.sign_transaction(as_dict(transaction), KEY)
    body = [transaction.chain_id, transaction.nonce, transaction.fees.max_priority_fee_wei]
    body += [transaction.fees.max_fee_wei, transaction.gas_limit, bytes.fromhex(transaction.to[2:])]
    return [*body, transaction.value, transaction.data, [], made.v, made.r, made.s]


def changed(at, value):
    made = fields()
    made[at] = value
    return b"\x02" + rlp(made)


def long_form():
    """The length of the list in two bytes where one is enough."""
    payload = rlp(fields())[2:]
    assert b"\x02\xf8" + bytes([len(payload)]) + payload == b"\x02" + rlp(fields())
    return b"\x02\xf9\x00" + bytes([len(payload)]) + payload


def test_these_fields_are_the_ones_that_are_refused_below_when_changed():
    assert decode(b"\x02" + rlp(fields())) == (PLAIN, address_of_key(KEY))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x02",
        b"\x01" + rlp(fields()),  # another type
        rlp(fields()),  # no type
        b"\x02" + rlp(fields()) + b"\x00",  # something follows
        b"\x02" + rlp(fields())[:-1],
        b"\x02" + rlp(fields()[:-1]),
        b"\x02" + rlp([*fields(), b""]),
        changed(1, b"\x00"),  # zero is written as nothing
        changed(1, b"\x00\x07"),  # a leading zero
        changed(5, b""),  # creates a contract
        changed(5, b"\x12" * 21),
        changed(8, [[b"\x12" * 20, []]]),  # an access list
        changed(8, b""),  # a string where the list belongs
        changed(7, []),  # a list where a string belongs
        changed(9, 2),
        changed(9, 27),
        changed(10, 0),
        changed(10, ORDER),
        changed(11, 0),
        changed(11, ORDER - fields()[11]),  # the other s, of the upper half (EIP-2)
        changed(11, 2**256 + 5),
        long_form(),
    ],
)
def test_another_way_to_write_it_or_anything_else_is_refused(raw):
    with pytest.raises(TransactionMalformed):
        decode(raw)


def test_a_signature_that_is_nobodys_is_refused():
    with pytest.raises(TransactionMalformed):
        sender(PLAIN, Signature(5, 1, 0))  # no point of the curve has this x


@pytest.mark.parametrize("wrong", [(0, 1, 0), (1, 0, 0), (ORDER, 1, 0), (1, ORDER // 2 + 1, 0), (1, 1, 2), (1, 1, -1)])
def test_a_signature_that_no_node_takes_cannot_be_written(wrong):
    with pytest.raises(TransactionMalformed):
        Signature(*wrong)


def test_another_value_is_another_sender():
    raw = sign(PLAIN, KEY).raw
    _, by = decode(raw)
    other = assemble(replace(PLAIN, value=6), Signature(*(fields()[10:] + fields()[9:10])))
    assert decode(other.raw)[1] != by
    assert keccak256(raw).hex() == sign(PLAIN, KEY).hash[2:]
