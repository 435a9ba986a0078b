"""Transactions of the Bitcoin family: a published vector of BIP 143, and embit as the second opinion on the rest."""

import hashlib
import secrets

import pytest
from coincurve import PrivateKey
from embit import ec, script
from embit.transaction import SIGHASH, Transaction as EmbitTransaction, TransactionInput, TransactionOutput
from hypothesis import given, strategies as st

from holdfast.core.bitcoin import (
    BitcoinBytesMalformed,
    Input,
    Output,
    Transaction,
    assemble,
    der,
    digests,
    key_script,
    read_unsigned,
    sorted_transaction,
    txid,
    unsigned,
    vbytes,
)

txids = st.binary(min_size=32, max_size=32).map(bytes.hex)
inputs = st.builds(Input, st.builds("{}:{}".format, txids, st.integers(0, 2**32 - 1)), st.integers(0, 2**32 - 1))
outputs = st.builds(Output, st.binary(min_size=1, max_size=300), st.integers(0, 2**63 - 1))
transactions = st.builds(
    Transaction,
    st.lists(inputs, min_size=1, max_size=300, unique_by=lambda one: one.outpoint).map(tuple),
    st.lists(outputs, min_size=1, max_size=300).map(tuple),
)


def embit(transaction: Transaction) -> EmbitTransaction:
    """The same, as embit has it."""
    made = EmbitTransaction(
        version=2,
        vin=[
            TransactionInput(bytes.fromhex(one.outpoint[:64]), int(one.outpoint[65:]), sequence=one.sequence)
            for one in transaction.inputs
        ],
        vout=[TransactionOutput(one.units, script.Script(one.script)) for one in transaction.outputs],
        locktime=0,
    )
    assert isinstance(made, EmbitTransaction)
    return made


@given(transactions)
def test_bytes_and_id_are_those_of_embit_and_can_be_read_back(transaction: Transaction) -> None:
    data = unsigned(transaction)
    assert data == embit(transaction).serialize()
    assert txid(data) == embit(transaction).txid().hex()
    assert read_unsigned(data) == transaction


@given(transactions, st.data())
def test_any_other_bytes_are_refused_by_name(transaction: Transaction, data: st.DataObject) -> None:
    whole = unsigned(transaction)
    cut = data.draw(st.integers(0, len(whole) - 1))
    for bad in (whole[:cut], whole + b"\0", b"\1" + whole[1:], whole[:-1] + b"\1"):
        with pytest.raises(BitcoinBytesMalformed):
            read_unsigned(bad)


@given(transactions)
def test_what_is_signed_is_what_embit_signs(transaction: Transaction) -> None:
    point = PrivateKey(b"\7" * 32).public_key.format()
    units = [5_000 + place for place in range(len(transaction.inputs))]
    segwit, legacy = key_script(point, is_segwit=True), key_script(point, is_segwit=False)
    other = embit(transaction)
    code = script.Script(legacy)
    for place, digest in enumerate(digests(transaction, segwit, units)):
        assert digest == other.sighash_segwit(place, code, units[place], SIGHASH.ALL)
    for place, digest in enumerate(digests(transaction, legacy, units)):
        assert digest == other.sighash_legacy(place, code, SIGHASH.ALL)


def test_the_digest_of_bip_143s_native_p2wpkh_example() -> None:
    """The parts of the published example that this module makes: hashes of outpoints, sequences and outputs."""
    raw = bytes.fromhex(
        "0100000002fff7f7881a8099afa6940d42d1e7f6362bec38171ea3edf433541db4e4ad969f0000000000eeffffffef51e1b804cc89d182d2"
        "79655c3aa89e815b1b309fe287d9b2b55d57b90ec68a0100000000ffffffff02202cb206000000001976a9148280b37df378db99f66f85c9"
        "5a783a76ac7a6d5988ac9093510d000000001976a9143bde42dbee7e4dbe6a21b2d50ce2f0167faa815988ac11000000"
    )
    parsed = EmbitTransaction.parse(raw)
    code = script.Script(bytes.fromhex("76a9141d0f172a0ecb48aee1be1f2687d2963ae33f71a188ac"))
    published = "c37af31116d1b27caf68aae9e3ac82f1477929014d5b917657d0eb49478cb670"
    assert parsed.sighash_segwit(1, code, 600_000_000, SIGHASH.ALL).hex() == published
    # The example has version 1 and a lock time, ours never do; so the second opinion itself is held against it here.


@given(st.binary(min_size=32, max_size=32))
def test_a_der_signature_is_the_one_that_libsecp256k1_writes(message: bytes) -> None:
    key = PrivateKey(b"\3" * 32)
    compact = key.sign_recoverable(message, hasher=None)[:64]
    assert der(compact) == key.sign(message, hasher=None)


@given(st.integers(1, 60), st.integers(1, 60), st.booleans())
def test_a_signed_transaction_weighs_at_most_what_was_said_and_little_less(
    spent: int, paid: int, is_segwit: bool
) -> None:
    key = PrivateKey(b"\5" * 32)
    point = key.public_key.format()
    own = key_script(point, is_segwit=is_segwit)
    transaction = Transaction(
        tuple(Input(f"{secrets.token_hex(32)}:{place}") for place in range(spent)),
        tuple(Output(own, 1_000 + place) for place in range(paid)),
    )
    hashes = digests(transaction, own, [10_000] * spent)
    signed = assemble(transaction, point, [key.sign(each, hasher=None) for each in hashes], is_segwit=is_segwit)
    parsed = EmbitTransaction.parse(signed.raw)
    assert parsed.txid().hex() == signed.txid
    bare = len(unsigned(transaction))
    weight = 3 * bare + len(signed.raw) if is_segwit else 4 * len(signed.raw)
    assert 0 <= vbytes(transaction, is_segwit=is_segwit) - -(-weight // 4) <= 2 * spent
    for place, digest in enumerate(hashes):
        witness = parsed.vin[place].witness.items if is_segwit else parsed.vin[place].script_sig.data
        signature = witness[0] if is_segwit else witness[1 : 1 + witness[0]]
        assert ec.PublicKey.parse(point).verify(ec.Signature.parse(signature[:-1]), digest)


def test_the_same_parts_always_make_the_same_bytes() -> None:
    one, two = Input("ab" * 32 + ":1"), Input("ab" * 32 + ":0")
    pay, change = Output(b"\1", 5), Output(b"\0", 5)
    first = sorted_transaction(Transaction((one, two), (pay, change)))
    assert first == sorted_transaction(Transaction((two, one), (change, pay)))
    assert hashlib.sha256(unsigned(first)).digest()
