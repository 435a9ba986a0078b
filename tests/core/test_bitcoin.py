"""Transactions of the Bitcoin family: a published vector of BIP 143; embit and a real node as second opinions."""

import hashlib
import secrets

import msgspec
import pytest
from coincurve import PrivateKey
from embit import ec, script
from embit.transaction import SIGHASH, Transaction as EmbitTransaction, TransactionInput, TransactionOutput
from hypothesis import given, strategies as st

from holdfast.chains.bitcoin_scripts import address_of
from holdfast.chains.localnet import RegtestNode
from holdfast.core import bitcoin
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


@given(st.binary(max_size=400), st.binary(max_size=12))
def test_bytes_from_anywhere_are_read_exactly_or_refused_by_name(body: bytes, tail: bytes) -> None:
    for data in (body, b"\2\0\0\0\1" + body + bytes(4), b"\2\0\0\0\0" + tail + b"\xff" * 8):
        try:
            assert unsigned(read_unsigned(data)) == data
        except BitcoinBytesMalformed:
            continue


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


def test_what_is_hashed_is_what_bip_143_publishes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The native P2WPKH example. Its version is 1 and it has a lock time, ours never: those eight bytes are put in."""
    hashed: list[bytes] = []

    def hash256(data: bytes) -> bytes:
        hashed.append(data)
        return hashlib.sha256(hashlib.sha256(data).digest()).digest()

    monkeypatch.setattr(bitcoin, "_hash256", hash256)
    transaction = Transaction(
        (
            Input("9f96ade4b41d5433f4eda31e1738ec2b36f6e7d1420d94a6af99801a88f7f7ff:0", 0xFFFFFFEE),
            Input("8ac60eb9575db5b2d987e29f301b5b819ea83a5c6579d282d189cc04b8e151ef:1", 0xFFFFFFFF),
        ),
        (
            Output(bytes.fromhex("76a9148280b37df378db99f66f85c95a783a76ac7a6d5988ac"), 112_340_000),
            Output(bytes.fromhex("76a9143bde42dbee7e4dbe6a21b2d50ce2f0167faa815988ac"), 223_450_000),
        ),
    )
    spent = bytes.fromhex("00141d0f172a0ecb48aee1be1f2687d2963ae33f71a1")
    digests(transaction, spent, [625_000_000, 600_000_000])
    preimage = hashed[-1]
    published = bytes.fromhex(
        "0100000096b827c8483d4e9b96712b6713a7b68d6e8003a781feba36c31143470b4efd3752b0a642eea2fb7ae638c36f6252b6750293dbe57"
        "4a806984b8e4d8548339a3bef51e1b804cc89d182d279655c3aa89e815b1b309fe287d9b2b55d57b90ec68a010000001976a9141d0f172a0e"
        "cb48aee1be1f2687d2963ae33f71a188ac0046c32300000000ffffffff863ef3e1a92afbfdb97f31ad0fc7683ee943e9abcf2501590ff8f65"
        "51f47e5e51100000001000000"
    )
    assert (1).to_bytes(4, "little") + preimage[4:-8] + (17).to_bytes(4, "little") + preimage[-4:] == published
    assert (preimage[:4], preimage[-8:-4]) == ((2).to_bytes(4, "little"), bytes(4))
    assert hash256(published).hex() == "c37af31116d1b27caf68aae9e3ac82f1477929014d5b917657d0eb49478cb670"


class Decoded(msgspec.Struct):
    txid: str
    vsize: int
    weight: int
    version: int
    locktime: int


class Verdict(msgspec.Struct):
    txid: str
    allowed: bool
    reason: str = msgspec.field(name="reject-reason", default="")


@pytest.mark.node
@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("is_segwit", [True, False])
async def test_litecoind_reads_the_same_and_would_take_it(litecoin: RegtestNode, *, is_segwit: bool) -> None:
    network = litecoin.network
    key = PrivateKey(secrets.token_bytes(32))
    point = key.public_key.format()
    own = key_script(point, is_segwit=is_segwit)
    address = address_of(network, own)
    coins = {}
    for units in (3_000_000, 5_000_000):
        name = await litecoin.send(address, units)
        raw = EmbitTransaction.parse(bytes.fromhex(await litecoin._rpc.call(str, "getrawtransaction", name)))
        [place] = [number for number, one in enumerate(raw.vout) if one.script_pubkey.data == own]
        coins[f"{name}:{place}"] = units
    await litecoin.mine(1)
    made = sorted_transaction(
        Transaction(
            tuple(Input(outpoint) for outpoint in coins),
            (Output(own, 6_000_000), *(Output(b"\x00\x14" + bytes([n]) * 20, 10_000 + n) for n in range(150))),
        )
    )
    hashes = digests(made, own, [coins[one.outpoint] for one in made.inputs])
    signatures = [der(key.sign_recoverable(each, hasher=None)[:64]) for each in hashes]
    signed = assemble(made, point, signatures, is_segwit=is_segwit)
    decoded = await litecoin._rpc.call(Decoded, "decoderawtransaction", signed.raw.hex())
    assert (decoded.txid, decoded.version, decoded.locktime) == (signed.txid, 2, 0)
    assert 0 <= vbytes(made, is_segwit=is_segwit) - decoded.vsize <= 2 * len(coins)
    [tested] = await litecoin._rpc.call(list[Verdict], "testmempoolaccept", [signed.raw.hex()])
    assert tested == Verdict(signed.txid, allowed=True)
    other = assemble(made, point, signatures[::-1], is_segwit=is_segwit)
    [refused] = await litecoin._rpc.call(list[Verdict], "testmempoolaccept", [other.raw.hex()])
    assert not refused.allowed


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
