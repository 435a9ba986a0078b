"""Blocks of each coin's shape, built here byte by byte: found, proven, and refused when one byte is wrong."""

from contextlib import suppress
from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import given, strategies as st

from holdfast.chains.bitcoin_blocks import (
    BytesMalformed,
    Origin,
    Payment,
    contents_of_block,
    display,
    double_sha256,
    merkle_root,
    outpoint_bytes,
    outpoint_text,
    payments_in_block,
    payments_in_transaction,
    read_header,
    spends_in_transaction,
    transaction_id,
)
from holdfast.chains.bitcoin_scripts import AddressWithoutScript, script_of
from holdfast.core.networks import BITCOIN_NETWORKS, BitcoinNetwork, known_network

OURS = b"\x00\x20" + sha256(b"ours").digest()
OURS_TOO = b"\xa9\x14" + sha256(b"ours too").digest()[:20] + b"\x87"
THEIRS = b"\x00\x14" + sha256(b"theirs").digest()[:20]
SCRIPTS = {OURS: "ours", OURS_TOO: "ours too"}

Output = tuple[int, bytes]


def compact(number: int) -> bytes:
    if number < 0xFD:
        return bytes((number,))
    if number < 0x1_0000:
        return b"\xfd" + number.to_bytes(2, "little")
    return b"\xfe" + number.to_bytes(4, "little")


def outputs_of(outputs: list[Output]) -> bytes:
    return compact(len(outputs)) + b"".join(
        units.to_bytes(8, "little") + compact(len(script)) + script for units, script in outputs
    )


def inputs_of(signatures: list[bytes]) -> bytes:
    return compact(len(signatures)) + b"".join(
        sha256(b"coin %d" % i).digest() + i.to_bytes(4, "little") + compact(len(each)) + each + b"\xff\xff\xff\xff"
        for i, each in enumerate(signatures)
    )


def legacy(outputs: list[Output], signatures: list[bytes] | None = None) -> tuple[bytes, bytes]:
    """A transaction without witness, and its hash."""
    raw = b"\x01\x00\x00\x00" + inputs_of(signatures or [b"\x01" * 107]) + outputs_of(outputs) + bytes(4)
    return raw, double_sha256(raw)


def segwit(outputs: list[Output], witness: list[bytes], *, flags: int = 1, extra: bytes = b"") -> tuple[bytes, bytes]:
    """A transaction with a witness (BIP 144) or other parts, and its hash."""
    body = inputs_of([b""]) + outputs_of(outputs)
    stack = compact(len(witness)) + b"".join(compact(len(item)) + item for item in witness) if flags & 1 else b""
    raw = b"\x02\x00\x00\x00\x00" + bytes((flags,)) + body + stack + extra + bytes(4)
    return raw, double_sha256(b"\x02\x00\x00\x00" + body + bytes(4))


def block(transactions: list[tuple[bytes, bytes]], version: bytes = b"\x00\x00\x00\x20", proof: bytes = b"") -> bytes:
    root = merkle_root([txid for _, txid in transactions])
    header = version + sha256(b"parent").digest() + root + bytes(12)
    return header + proof + compact(len(transactions)) + b"".join(raw for raw, _ in transactions)


COINBASE = legacy([(50, THEIRS)])


def test_every_output_to_us_is_found_with_its_place_and_amount() -> None:
    payment = segwit([(1, THEIRS), (2, OURS), (3, OURS_TOO), (4, OURS)], [b"\x02" * 72, b"\x03" * 33])
    found = payments_in_block(block([COINBASE, payment]), SCRIPTS)
    name = display(payment[1])
    assert found == [
        Payment(name, 1, OURS, 2, Origin.PAYMENT),
        Payment(name, 2, OURS_TOO, 3, Origin.PAYMENT),
        Payment(name, 3, OURS, 4, Origin.PAYMENT),
    ]
    assert [each.key for each in found] == [f"{name}:1", f"{name}:2", f"{name}:3"]


def test_a_miners_reward_is_told_apart() -> None:
    found = payments_in_block(block([legacy([(50, OURS)]), legacy([(1, OURS)])]), SCRIPTS)
    assert [each.origin for each in found] == [Origin.COINBASE, Origin.PAYMENT]


def test_long_scripts_witnesses_and_counts_are_read() -> None:
    wide = legacy([(i, THEIRS) for i in range(300)] + [(7, OURS)], [b"\x01" * 300] * 260)
    deep = segwit([(1, b"\x6a" * 70_000), (9, OURS)], [b"\x02" * 300, b"\x03" * 80_000, b""])
    assert [each.units for each in payments_in_block(block([COINBASE, wide, deep]), SCRIPTS)] == [7, 9]


def test_a_dogecoin_block_carries_its_merged_mining_proof() -> None:
    parent_coinbase, _ = legacy([(625, OURS)])  # of the parent chain: must not be taken for ours
    branch = compact(2) + bytes(64) + bytes(4)
    proof = parent_coinbase + bytes(32) + branch + compact(0) + bytes(4) + bytes(80)
    raw = block([COINBASE, legacy([(5, OURS_TOO)])], b"\x04\x01\x62\x00", proof)
    assert [(each.units, each.script) for each in payments_in_block(raw, SCRIPTS)] == [(5, OURS_TOO)]


def test_a_dogecoin_block_without_merged_mining_is_read_too() -> None:
    raw = block([COINBASE, legacy([(5, OURS_TOO)])], b"\x04\x00\x62\x00")
    assert [each.units for each in payments_in_block(raw, SCRIPTS)] == [5]


def test_a_bitcoin_miner_may_set_the_bit_that_means_merged_mining_elsewhere() -> None:
    raw = block([COINBASE, legacy([(5, OURS)])], b"\x00\x01\x00\x20")
    assert [each.units for each in payments_in_block(raw, SCRIPTS)] == [5]


def test_a_litecoin_block_ends_with_its_extension_block() -> None:
    hogex = segwit([(99, THEIRS), (6, OURS)], [], flags=8, extra=b"\x00")
    raw = block([COINBASE, legacy([(5, OURS)]), hogex]) + b"\x01extension block of any length"
    found = payments_in_block(raw, SCRIPTS)
    assert [(each.units, each.origin) for each in found] == [(5, Origin.PAYMENT), (6, Origin.HOGEX)]


def test_a_waiting_litecoin_transaction_may_carry_its_mweb_part() -> None:
    raw, txid = segwit([(8, OURS)], [b"\x01"], flags=9, extra=b"\x01any mweb bytes")
    assert [each.units for each in payments_in_transaction(raw, display(txid), SCRIPTS)] == [8]


def test_a_waiting_transaction_that_is_another_is_refused() -> None:
    raw, txid = segwit([(8, OURS)], [b"\x01"])
    with pytest.raises(BytesMalformed):
        payments_in_transaction(
            raw.replace((8).to_bytes(8, "little"), (9).to_bytes(8, "little")), display(txid), SCRIPTS
        )


def test_a_block_whose_last_transactions_are_repeated_is_refused() -> None:
    transactions = [COINBASE, legacy([(1, OURS)]), legacy([(2, OURS)])]
    honest = block(transactions)
    doubled = honest[:80] + compact(4) + b"".join(raw for raw, _ in [*transactions, transactions[-1]])
    assert len(payments_in_block(honest, SCRIPTS)) == 2
    with pytest.raises(BytesMalformed, match="twice"):
        payments_in_block(doubled, SCRIPTS)


@given(st.data())
def test_no_byte_of_a_block_can_be_changed_unseen(data: st.DataObject) -> None:
    """Except in witnesses, which the Merkle root leaves out, and of which nothing is read."""
    honest = block([COINBASE, legacy([(1, OURS), (2, THEIRS)]), legacy([(3, OURS_TOO)])])
    at = data.draw(st.integers(36, len(honest) - 1).filter(lambda place: not 68 <= place < 80))
    change = data.draw(st.integers(1, 255))
    altered = honest[:at] + bytes((honest[at] ^ change,)) + honest[at + 1 :]
    with pytest.raises(BytesMalformed):
        payments_in_block(altered, SCRIPTS)


@given(st.binary(max_size=400))
def test_any_bytes_are_a_block_or_are_refused(raw: bytes) -> None:
    with pytest.raises(BytesMalformed):
        payments_in_block(raw, SCRIPTS)


@given(st.integers(0, 400))
def test_a_block_cut_short_anywhere_is_refused(cut: int) -> None:
    honest = block([COINBASE, segwit([(1, OURS)], [b"\x05" * 40])])
    if cut < len(honest):
        with pytest.raises(BytesMalformed):
            payments_in_block(honest[:cut], SCRIPTS)


def coin(number: int) -> str:
    """What input `number` of the transactions here spends."""
    return f"{display(sha256(b'coin %d' % number).digest())}:{number}"


def test_who_spends_an_outpoint_is_found_in_every_shape_of_transaction() -> None:
    wide = legacy([(1, THEIRS)], [b"\x01" * 300] * 260)
    deep = segwit([(1, OURS)], [b"\x02" * 300])
    hogex = segwit([(99, THEIRS)], [], flags=8, extra=b"\x00")
    raw = block([COINBASE, wide, deep, hogex]) + b"\x01extension"
    found = contents_of_block(raw, SCRIPTS, {coin(0), coin(259), coin(260)})
    first, second, third, fourth = (display(each[1]) for each in (COINBASE, wide, deep, hogex))
    assert found.transactions == [first, second, third, fourth]
    assert [payment.key for payment in found.payments] == [f"{third}:0"]
    assert found.spends == [
        (coin(0), first),
        (coin(0), second),
        (coin(259), second),
        (coin(0), third),
        (coin(0), fourth),
    ]


@given(st.binary(min_size=32, max_size=32), st.integers(0, 2**32 - 1))
def test_an_outpoint_is_written_and_read_back(txid: bytes, place: int) -> None:
    text = f"{display(txid)}:{place}"
    assert outpoint_bytes(text) == txid + place.to_bytes(4, "little")
    assert outpoint_text(outpoint_bytes(text)) == text


def test_a_waiting_transaction_is_asked_what_it_spends() -> None:
    raw, txid = segwit([(8, OURS)], [b"\x01"])
    assert transaction_id(raw) == display(txid)
    assert spends_in_transaction(raw, display(txid), {coin(0), coin(1)}) == [coin(0)]
    with pytest.raises(BytesMalformed):
        spends_in_transaction(raw, display(sha256(b"another").digest()), {coin(0)})


@given(st.integers(0, 400))
def test_spends_in_a_block_cut_short_anywhere_are_refused(cut: int) -> None:
    honest = block([COINBASE, segwit([(1, OURS)], [b"\x05" * 40])])
    if cut < len(honest):
        with pytest.raises(BytesMalformed):
            contents_of_block(honest[:cut], SCRIPTS, {coin(0)})


@given(st.binary(max_size=200))
def test_any_bytes_have_an_id_or_are_refused(raw: bytes) -> None:
    with suppress(BytesMalformed):
        assert len(transaction_id(raw)) == 64


def test_a_header_is_known_by_its_own_hash() -> None:
    # Bitcoin's first block.
    raw = bytes.fromhex(
        "0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b27ac72c3e67768f61"
        "7fc81bc3888a51323a9fb8aa4b1e5e4a29ab5f49ffff001d1dac2b7c"
    )
    header = read_header(raw, 0)
    assert header.hash == "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"
    assert header == replace(header, parent="0" * 64, time=1231006505)
    with pytest.raises(BytesMalformed):
        read_header(raw[:79], 0)


def bitcoin(name: str) -> BitcoinNetwork:
    network = known_network(name)
    assert isinstance(network, BitcoinNetwork)
    return network


# Addresses: BIP 173 and 350 test vectors, BIP 16, and each coin's own documentation.
@pytest.mark.parametrize(
    ("name", "address", "script"),
    [
        ("bitcoin", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "0014751e76e8199196d454941c45d1b3a323f1433bd6"),
        ("bitcoin", "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
         "512079be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"),
        ("bitcoin-testnet3", "tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7",
         "00201863143c14c5166804bd19203356da136c985678cd4d27a1b8c6329604903262"),
        ("bitcoin", "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2", "76a91477bff20c60e522dfaa3350c39b030a5d004e839a88ac"),
        ("bitcoin", "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy", "a914b472a266d0bd89c13706a4132ccfb16f7c3b9fcb87"),
    ],
)  # fmt: skip
def test_an_address_stands_for_its_script(name: str, address: str, script: str) -> None:
    assert script_of(bitcoin(name), address).hex() == script


@pytest.mark.parametrize("network", BITCOIN_NETWORKS, ids=lambda network: network.name)
@pytest.mark.parametrize(
    "address", ["", "x", "bc1", "0x52908400098527886E0F7030069857D2E4169EE7", "lO0I" * 9, "z" * 34]
)
def test_what_is_no_address_of_the_network_is_refused(network: BitcoinNetwork, address: str) -> None:
    with pytest.raises(AddressWithoutScript):
        script_of(network, address)
