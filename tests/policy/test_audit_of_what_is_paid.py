"""A journaled transaction is judged by what it pays: no label in the journal hides a theft or makes a claim."""

import pytest
from coincurve import PrivateKey

from fixtures_policy import ADDRESS, FLOAT, NOW, OTHER, SAFE, Books
from fixtures_signer import COIN, ETHER, EVM, LTC
from holdfast.chains.bitcoin_scripts import address_of as script_address
from holdfast.chains.journaled_outputs import strange_outputs
from holdfast.core import bitcoin, journal as j
from holdfast.core.bitcoin import Input, Output
from holdfast.core.evm import checksum
from holdfast.core.evm_float import COIN as COIN_TOKEN, pay_call, to_vault_call
from holdfast.core.evm_transactions import Fees, Signature, Transaction, assemble, digest, unsigned
from holdfast.core.journal import Body, make_entry
from holdfast.core.orders import FloatKey
from holdfast.policy.audit import EvidenceFalse, replay

ACCOUNT = checksum(bytes.fromhex(FLOAT[2:]))
KEY = PrivateKey(b"\x07" * 32)
POINT = KEY.public_key.format()
OWN, VAULT, THIEF = (b"\x00\x14" + byte * 20 for byte in (b"o", b"v", b"t"))


@pytest.fixture
def books() -> Books:
    made = Books().ready()
    made.record.floats[EVM.id] = FloatKey(EVM.id, POINT.hex(), ACCOUNT, SAFE)
    own = bitcoin.key_script(POINT, is_segwit=True)
    float_key = FloatKey(LTC.id, POINT.hex(), script_address(LTC, own), script_address(LTC, VAULT))
    made.record.floats[LTC.id] = float_key
    return made


def judge(books: Books, *bodies: Body) -> None:
    """Replay these after the journal, as watchtower and checking machine do."""
    head, stored = books.record.head, []
    for body in bodies:
        entry = make_entry(head, body, NOW * 1_000)
        head = j.head_of(entry)
        stored.append(entry.stored)
    replay(books.record, stored, books.house.quorum.fingerprint(), strange_outputs)


def call(data: bytes, to: str = ACCOUNT, value: int = 0) -> Transaction:
    return Transaction(31_337, 0, Fees(10, 1), 900_000, to, value, data)


def reserved(transaction: bytes, **more: object) -> j.Reserved:
    facts: dict[str, object] = {
        "network": EVM.id, "asset": EVM.coin.id, "purpose": "cap-sweep", "account": ACCOUNT, "payouts": (),
        "transaction": transaction.hex(), "inputs": (), "nonce": 0, "out_units": 5 * ETHER, "change_index": None,
        "change_units": 0, "fee_units": 0, "extra_fee_units": 0, "replaces": None, "refill_seconds": 0, **more,
    }  # fmt: skip
    return j.Reserved(**facts)  # type: ignore[arg-type]  # the facts of a reservation


def test_a_sweep_is_the_call_that_sends_just_that_to_the_vault(books: Books) -> None:
    judge(books, reserved(unsigned(call(to_vault_call(COIN_TOKEN, 5 * ETHER)))))


@pytest.mark.parametrize(
    "lie",
    [
        call(pay_call(COIN_TOKEN, [(OTHER, 5 * ETHER)])),
        call(to_vault_call(COIN_TOKEN, ETHER)),
        call(to_vault_call(ADDRESS, 5 * ETHER)),
        call(to_vault_call(COIN_TOKEN, 5 * ETHER), OTHER),
        call(to_vault_call(COIN_TOKEN, 5 * ETHER), value=1),
    ],
)
def test_a_sweep_that_does_anything_else_is_false(books: Books, lie: Transaction) -> None:
    with pytest.raises(EvidenceFalse):
        judge(books, reserved(unsigned(lie)))


def test_a_payout_in_another_asset_is_false(books: Books) -> None:
    payout = books.accept(books.proposal(books.payout(ETHER)))
    lines = [(ADDRESS, ETHER)]
    facts = {"purpose": "payout", "payouts": (payout,), "out_units": ETHER}
    with pytest.raises(EvidenceFalse, match="another asset"):
        judge(books, reserved(unsigned(call(pay_call(OTHER, lines))), **facts))
    judge(books, reserved(unsigned(call(pay_call(COIN_TOKEN, lines))), **facts))


def test_gas_goes_to_the_float_keys_account_alone(books: Books) -> None:
    with pytest.raises(EvidenceFalse, match="stranger"):
        judge(books, reserved(unsigned(call(b"", OTHER, ETHER)), purpose="gas-top-up", account=OTHER))


def test_signed_bytes_have_one_name(books: Books) -> None:
    made = call(to_vault_call(COIN_TOKEN, 5 * ETHER))
    judge(books, reserved(unsigned(made)))
    seq, compact = books.record.head.seq, KEY.sign_recoverable(digest(made), hasher=None)
    r, s = int.from_bytes(compact[:32], "big"), int.from_bytes(compact[32:64], "big")
    raw = assemble(made, Signature(r, s, compact[64]))
    with pytest.raises(EvidenceFalse, match="another transaction"):
        judge(books, j.Signed(seq, "0x" + "ab" * 32, raw.raw.hex()))
    judge(books, j.Signed(seq, raw.hash, raw.raw.hex()))


def on_litecoin(books: Books, outputs: list[tuple[bytes, int]], **more: object) -> j.Reserved:
    made = bitcoin.Transaction((Input("aa" * 32 + ":0"),), tuple(Output(*one) for one in outputs))
    facts = {"network": LTC.id, "asset": LTC.coin.id, "account": books.record.floats[LTC.id].address, "nonce": None,
             "out_units": COIN, **more}  # fmt: skip
    return reserved(bitcoin.unsigned(made), **facts)


def test_on_litecoin_a_sweep_pays_the_vault_and_change_the_floats_own_key(books: Books) -> None:
    own = bitcoin.key_script(POINT, is_segwit=True)
    changed = {"change_index": 1, "change_units": 3}
    assert strange_outputs(books.record, on_litecoin(books, [(VAULT, COIN), (own, 3)], **changed)) == ""
    for lie in ([(THIEF, COIN), (own, 3)], [(VAULT, COIN), (THIEF, 3)], [(VAULT, COIN), (own, 4)]):
        assert strange_outputs(books.record, on_litecoin(books, lie, **changed))


def test_on_litecoin_a_payout_pays_whom_the_merchant_named(books: Books) -> None:
    from holdfast.core.intents import Line

    to = script_address(LTC, OWN)
    more = {"network": LTC.id, "asset": LTC.coin.id, "lines": (Line(to, COIN),)}
    payout = books.accept(books.proposal(books.payout(**more)))
    facts = {"purpose": "payout", "payouts": (payout,)}
    assert strange_outputs(books.record, on_litecoin(books, [(OWN, COIN)], **facts)) == ""
    assert strange_outputs(books.record, on_litecoin(books, [(THIEF, COIN)], **facts))


def test_a_consolidation_pays_nobody_but_the_float(books: Books) -> None:
    own = bitcoin.key_script(POINT, is_segwit=True)
    facts = {"purpose": "consolidation", "out_units": 0}
    assert strange_outputs(books.record, on_litecoin(books, [(own, COIN)], **facts)) == ""
    assert strange_outputs(books.record, on_litecoin(books, [(THIEF, COIN)], **facts))
