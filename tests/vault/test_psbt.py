"""A spend of the vault: one PSBT follows from it; it is read only as it would be written, signed only as checked."""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest
from coincurve import PrivateKey
from embit import bip32, ec
from embit.psbt import PSBT, DerivationPath
from embit.script import Script
from embit.transaction import SIGHASH, Transaction, TransactionInput, TransactionOutput
from hypothesis import given, settings, strategies as st

from fixtures_vault import (
    ADA,
    BO,
    CY,
    DESCRIPTOR,
    FLOAT_ADDRESS,
    LITECOIN,
    PEOPLE,
    STRANGER,
    VAULT,
    bitcoin_network,
    check_of,
    settlement,
    vault_on,
)
from holdfast.chains.bitcoin_scripts import script_of
from holdfast.core.addresses import AddressMalformed, AddressOnWrongNetwork
from holdfast.core.descriptors import Branch, Place
from holdfast.core.errors import HoldfastError
from holdfast.vault import officers, psbt, spends
from holdfast.vault.checks import Check, CheckMalformed, Digest, NotChecked, read_check
from holdfast.vault.officers import CurveLibraryMissing, descriptor_of
from holdfast.vault.psbt import (
    OfficerNotInVault,
    PsbtMalformed,
    SignatureInvalid,
    SignaturesMissing,
    SpendsDiffer,
    combine,
    draft_of,
    finalise,
    read,
    sign,
    with_signatures,
    write,
)
from holdfast.vault.spends import (
    INPUTS_MAX,
    InputNotOurs,
    OutputNotOurs,
    SpendMalformed,
    VaultInput,
    VaultOutput,
    VaultSpend,
)

DRAFT = draft_of(settlement())
CHECK = check_of(LITECOIN.id, DRAFT.digest)
CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
DOGECOIN = bitcoin_network("dogecoin")


def changed(spend: VaultSpend, number: int, **fields: object) -> VaultSpend:
    inputs = list(spend.inputs)
    inputs[number] = replace(inputs[number], **fields)
    return replace(spend, inputs=tuple(inputs))


def paying(spend: VaultSpend, number: int, **fields: object) -> VaultSpend:
    outputs = list(spend.outputs)
    outputs[number] = replace(outputs[number], **fields)
    return replace(spend, outputs=tuple(outputs))


# --- the spend


def test_what_is_written_is_read_back_the_same():
    assert read(write(DRAFT), LITECOIN, DESCRIPTOR) == DRAFT
    signed = combine([sign(DRAFT, ADA, CHECK), sign(DRAFT, CY, CHECK)])
    assert read(write(signed), LITECOIN, DESCRIPTOR) == signed


def test_every_input_signals_that_it_may_be_replaced():
    assert [one.sequence for one in PSBT.parse(write(DRAFT)).tx.vin] == [0xFFFFFFFD] * 3


def test_devices_find_every_officers_key_in_every_input_and_in_the_change_and_in_nothing_else():
    parsed = PSBT.parse(write(DRAFT))
    for scope, place in [*zip(parsed.inputs, [one.place for one in DRAFT.spend.inputs], strict=True),
                         (parsed.outputs[1], Place(Branch.CHANGE, 3))]:  # fmt: skip
        assert scope.witness_script.data == VAULT.multisig(place)
        for secret in (ADA, BO, CY):
            root = bip32.HDKey.from_seed(secret.seed)
            path = [48 + 2**31, 2 + 2**31, 2**31, 2 + 2**31, place.branch, place.index]
            mine = root.derive(path).to_public().key
            assert scope.bip32_derivations[mine].derivation == path
            assert scope.bip32_derivations[mine].fingerprint == root.my_fingerprint
        assert len(scope.bip32_derivations) == 3
    assert not parsed.outputs[0].bip32_derivations


def test_an_officer_sees_where_from_where_to_and_what_it_costs():
    lines = spends.describe(DRAFT.spend)
    assert lines == [
        "spends       0.00175000 LTC, 3 outputs of the vault on litecoin",
        f"pays         0.00120000 LTC to {FLOAT_ADDRESS}",
        f"gives back   0.00050000 LTC to the vault, change 3: {VAULT.address(3, LITECOIN, Branch.CHANGE)}",
        "fee          0.00005000 LTC, 12 a vbyte",
    ]


DEPOSIT_OF_ANOTHER = VAULT.address(9, LITECOIN)


@pytest.mark.parametrize(
    ("break_it", "refusal"),
    [
        (lambda one: replace(one, inputs=()), SpendMalformed),
        (lambda one: replace(one, outputs=()), SpendMalformed),
        (lambda one: replace(one, inputs=one.inputs + one.inputs[:1]), SpendMalformed),
        (
            lambda one: replace(
                one, inputs=tuple(replace(one.inputs[0], vout=number) for number in range(INPUTS_MAX + 1))
            ),
            SpendMalformed,
        ),
        (lambda one: replace(one, outputs=one.outputs[:1] * (spends.OUTPUTS_MAX + 1)), SpendMalformed),
        (lambda one: changed(one, 0, units=0), SpendMalformed),
        (lambda one: paying(one, 0, units=-1), SpendMalformed),
        (lambda one: paying(one, 0, units=125_001), SpendMalformed),
        (lambda one: paying(one, 1, place=Place(Branch.CHANGE, 4)), OutputNotOurs),
        (lambda one: paying(one, 0, place=Place(Branch.CHANGE, 0)), OutputNotOurs),
        (
            lambda one: paying(one, 1, place=Place(Branch.DEPOSIT, 9), address=DEPOSIT_OF_ANOTHER),
            OutputNotOurs,  # it would be some merchant's deposit
        ),
        (lambda one: paying(one, 0, address="ltc1qnonsense"), AddressMalformed),
        (lambda one: paying(one, 0, address="bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"), AddressOnWrongNetwork),
        (lambda one: paying(one, 0, address=FLOAT_ADDRESS.upper()), SpendMalformed),
        (lambda one: paying(one, 0, address="3CDJNfdWX8m2NwuGUV3nhXHXEeLygMXoAj"), SpendMalformed),  # litecoin: M…
        (lambda one: replace(one, descriptor=DESCRIPTOR.split("#")[0].replace("[c40f3abf/48h/2h/0h/2h]", "")),
         SpendMalformed),
    ],
)  # fmt: skip
def test_a_spend_with_one_thing_wrong_makes_no_draft(
    break_it: Callable[[VaultSpend], VaultSpend], refusal: type[HoldfastError]
):
    assert draft_of(settlement())
    with pytest.raises(refusal):
        draft_of(break_it(settlement()))


def test_the_largest_spend_is_a_draft_that_can_be_carried():
    from holdfast.vault.carry import CONTENT_BYTES_MAX

    one = settlement()
    full = replace(one, inputs=tuple(replace(one.inputs[0], vout=number) for number in range(INPUTS_MAX)))
    draft = draft_of(full)
    check = check_of(LITECOIN.id, draft.digest)
    signed = combine([sign(draft, ADA, check), sign(draft, BO, check)])
    assert len(write(signed)) < CONTENT_BYTES_MAX // 2


# --- previous transactions


def previous(address: str, units: int) -> Transaction:
    made = TransactionOutput(units, Script(script_of(DOGECOIN, address)))
    return Transaction(1, [TransactionInput(b"\x11" * 32, 0)], [TransactionOutput(7, Script(b"\x51")), made], 0)


def without_segwit() -> VaultSpend:
    """As Dogecoin has it: the amount is proved by the previous transaction alone."""
    text, vault = vault_on(DOGECOIN)
    place = Place(Branch.DEPOSIT, 4)
    before = previous(vault.address(4, DOGECOIN), 900_000_000)
    spent = VaultInput(before.txid().hex(), 1, place, 900_000_000, before.serialize())
    change = VaultOutput(vault.address(0, DOGECOIN, Branch.CHANGE), 300_000_000, Place(Branch.CHANGE, 0))
    paid = VaultOutput("DFundmtrigzA6E25Swr2pRe4Eb79bGP8G1", 500_000_000)
    return VaultSpend(DOGECOIN, text, (spent,), (paid, change))


def test_a_coin_without_segwit_is_spent_with_its_redeem_script_and_previous_transactions():
    draft = draft_of(without_segwit())
    check = check_of(DOGECOIN.id, draft.digest)
    signed = combine([sign(draft, BO, check), sign(draft, CY, check)])
    assert read(write(signed), DOGECOIN, draft.spend.descriptor) == signed
    final = finalise(signed)
    parsed = Transaction.parse(final.raw)
    assert parsed.txid().hex() == final.txid
    assert parsed.vin[0].script_sig.data[:1] == b"\0"
    assert parsed.vin[0].script_sig.data.endswith(draft.spend.vault.multisig(Place(Branch.DEPOSIT, 4)))
    # Each of embit's signatures is a byte shorter than it may be, and so the script's length fits into one byte.
    assert draft.spend.vbytes == len(final.raw) + 2 + 2


@pytest.mark.parametrize(
    "fields",
    [
        {"previous": b""},
        {"previous": b"nonsense"},
        {"units": 900_000_001},
        {"place": Place(Branch.DEPOSIT, 5)},
        {"place": Place(Branch.CHANGE, 4)},
        {"vout": 0},
        {"vout": 2},
        {"txid": "22" * 32},
    ],
)
def test_an_input_that_its_own_transaction_denies_is_refused(fields: dict[str, object]):
    assert draft_of(without_segwit())
    with pytest.raises(InputNotOurs):
        draft_of(changed(without_segwit(), 0, **fields))


# --- what is read


def tampered(change: Callable[[PSBT], object]) -> bytes:
    parsed = PSBT.parse(write(DRAFT))
    change(parsed)
    return bytes(parsed.serialize())


def other_wallet(scope: object) -> None:
    root = bip32.HDKey.from_seed(STRANGER.seed)
    scope.bip32_derivations = {root.derive("m/1/3").to_public().key: DerivationPath(root.my_fingerprint, [1, 3])}


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        (lambda one: one.inputs[0].bip32_derivations.clear(), InputNotOurs),
        (lambda one: other_wallet(one.inputs[0]), InputNotOurs),
        (lambda one: setattr(one.inputs[0].witness_utxo, "script_pubkey", Script(b"\x51")), InputNotOurs),
        (lambda one: setattr(one.inputs[0], "witness_utxo", None), InputNotOurs),
        (lambda one: setattr(one.inputs[0], "witness_script", one.inputs[1].witness_script), PsbtMalformed),
        (lambda one: setattr(one.inputs[0], "sighash_type", SIGHASH.NONE), PsbtMalformed),
        (lambda one: setattr(one.inputs[0], "sequence", 0xFFFFFFFF), SpendsDiffer),
        (lambda one: setattr(one.inputs[0], "final_scriptsig", Script(b"\x51")), PsbtMalformed),
        (lambda one: one.inputs[0].unknown.update({b"\xfcx": b"y"}), PsbtMalformed),
        (lambda one: one.unknown.update({b"\xfcx": b"y"}), PsbtMalformed),
        (lambda one: other_wallet(one.outputs[0]), OutputNotOurs),
        (lambda one: other_wallet(one.outputs[1]), OutputNotOurs),
        (
            lambda one: one.outputs[0].bip32_derivations.update(one.outputs[1].bip32_derivations),
            OutputNotOurs,  # the float dressed up as change
        ),
        (lambda one: setattr(one.outputs[1], "script_pubkey", one.outputs[0].script_pubkey), OutputNotOurs),
        (lambda one: one.outputs[1].bip32_derivations.popitem(), PsbtMalformed),
        (lambda one: setattr(one, "locktime", 1), SpendsDiffer),
        (lambda one: setattr(one, "tx_version", 1), SpendsDiffer),
        (lambda one: setattr(one, "version", 2), PsbtMalformed),
    ],
)
def test_a_psbt_with_one_thing_changed_is_refused(change: Callable[[PSBT], object], refusal: type[HoldfastError]):
    assert read(tampered(lambda _: None), LITECOIN, DESCRIPTOR) == DRAFT
    with pytest.raises(refusal):
        read(tampered(change), LITECOIN, DESCRIPTOR)


def test_an_amount_that_is_not_the_inputs_makes_another_digest():
    def richer(one: PSBT) -> None:
        one.inputs[0].witness_utxo.value += 1

    assert read(tampered(richer), LITECOIN, DESCRIPTOR).digest != DRAFT.digest


def test_a_psbt_of_another_vault_is_refused():
    others, _ = vault_on(bitcoin_network("bitcoin"))
    with pytest.raises(InputNotOurs):
        read(write(DRAFT), LITECOIN, others)
    with pytest.raises(InputNotOurs):
        read(write(DRAFT), LITECOIN, descriptor_of(LITECOIN, PEOPLE[:2], 2))


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_no_other_bytes_are_the_same_draft(data: st.DataObject):
    whole = write(DRAFT)
    place = data.draw(st.integers(0, len(whole) - 1))
    kind = data.draw(st.sampled_from(["flip", "cut", "insert"]))
    byte = data.draw(st.integers(1, 255))
    broken = {
        "flip": whole[:place] + bytes([whole[place] ^ byte]) + whole[place + 1 :],
        "cut": whole[:place],
        "insert": whole[:place] + bytes([byte]) + whole[place:],
    }[kind]
    with suppress(HoldfastError):
        assert read(broken, LITECOIN, DESCRIPTOR).digest != DRAFT.digest


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_refused_by_name(junk: bytes):
    for data in (junk, b"psbt\xff" + junk):
        with pytest.raises(HoldfastError):
            read(data, LITECOIN, DESCRIPTOR)


def field(key: bytes, value: bytes) -> bytes:
    return bytes([len(key)]) + key + bytes([len(value)]) + value


VERSION_2 = (
    field(b"\x02", b"\x02\0\0\0") + field(b"\x04", b"\x01") + field(b"\x05", b"\x01") + field(b"\xfb", b"\x02\0\0\0")
)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        VERSION_2 + b"\0" + b"\0" + b"\0",
        VERSION_2 + b"\0" + field(b"\x0e", b"\xaa" * 32) + b"\0" + b"\0",
        VERSION_2 + b"\0" + field(b"\x0e", b"\xaa" * 32) + field(b"\x0f", bytes(4)) + b"\0" + b"\0",
    ],
)
def test_a_psbt_without_its_transaction_inside_is_refused(said: bytes):
    """Version 2 (BIP 370) names inputs and outputs piece by piece; here it forgets some."""
    data = b"psbt\xff" + said
    for reading in (lambda: read(data, LITECOIN, DESCRIPTOR), lambda: with_signatures(DRAFT, data)):
        with pytest.raises(PsbtMalformed):
            reading()


def test_a_file_that_is_far_too_large_is_not_parsed():
    with pytest.raises(PsbtMalformed, match="more than"):
        read(b"psbt\xff" + bytes(psbt.PSBT_BYTES_MAX), LITECOIN, DESCRIPTOR)


# --- signatures


def test_nothing_is_signed_without_a_check_of_the_very_same_spend():
    assert sign(DRAFT, ADA, CHECK).signed_by
    for wrong in (check_of("bip122:x", DRAFT.digest), check_of(LITECOIN.id, Digest("00" * 32))):
        with pytest.raises(NotChecked):
            sign(DRAFT, ADA, wrong)
    other = draft_of(paying(settlement(), 0, units=119_999))
    with pytest.raises(NotChecked):
        sign(other, ADA, CHECK)


def test_a_draft_that_never_went_through_a_file_is_judged_again_before_it_is_signed():
    smuggled = replace(DRAFT, spend=paying(settlement(), 0, place=Place(Branch.CHANGE, 0)))
    with pytest.raises(OutputNotOurs):
        sign(smuggled, ADA, check_of(LITECOIN.id, smuggled.digest))


def test_the_digest_stays_while_officers_sign():
    assert sign(DRAFT, ADA, CHECK).digest == DRAFT.digest


def test_the_same_bytes_on_another_network_have_another_digest():
    regtest = replace(DRAFT.spend, network=replace(LITECOIN, id=bitcoin_network("litecoin-regtest").id))
    assert draft_of(regtest).digest != DRAFT.digest


def test_who_has_no_key_in_the_vault_cannot_sign():
    with pytest.raises(OfficerNotInVault):
        sign(DRAFT, STRANGER, CHECK)


def test_an_officer_whose_seed_gives_another_key_than_the_descriptor_says_cannot_sign():
    root = bip32.HDKey.from_seed(STRANGER.seed).my_fingerprint.hex()
    text = DESCRIPTOR.split("#")[0].replace("c40f3abf", root)
    spend = replace(settlement(), descriptor=text)
    draft = draft_of(spend)
    with pytest.raises(OfficerNotInVault):
        sign(draft, STRANGER, check_of(LITECOIN.id, draft.digest))


def bip143(spend: VaultSpend, number: int) -> bytes:
    """The hash that SegWit signs, written again from BIP 143's own list."""

    def twice(data: bytes) -> bytes:
        return hashlib.sha256(hashlib.sha256(data).digest()).digest()

    outpoints = [bytes.fromhex(one.txid)[::-1] + one.vout.to_bytes(4, "little") for one in spend.inputs]
    outputs = []
    for one in spend.outputs:
        script = script_of(spend.network, one.address)
        outputs.append(one.units.to_bytes(8, "little") + bytes([len(script)]) + script)
    sequence = (0xFFFFFFFD).to_bytes(4, "little")
    code = spend.vault.multisig(spend.inputs[number].place)
    return twice(
        (2).to_bytes(4, "little")
        + twice(b"".join(outpoints))
        + twice(sequence * len(spend.inputs))
        + outpoints[number]
        + bytes([len(code)])
        + code
        + spend.inputs[number].units.to_bytes(8, "little")
        + sequence
        + twice(b"".join(outputs))
        + (0).to_bytes(4, "little")
        + (1).to_bytes(4, "little")
    )


def test_both_libraries_agree_on_every_signature_and_on_what_it_covers():
    signed = sign(DRAFT, BO, CHECK)
    account = bip32.HDKey.from_seed(BO.seed).derive("m/48h/2h/0h/2h")
    for number, spent in enumerate(DRAFT.spend.inputs):
        ((point, signature),) = signed.signatures[number]
        digest = bip143(DRAFT.spend, number)
        private = account.derive([int(spent.place.branch), spent.place.index]).key
        assert point == private.sec() == PrivateKey(private.secret).public_key.format()
        assert ec.PublicKey.parse(point).verify(ec.Signature.parse(signature[:-1]), digest)
        assert PrivateKey(private.secret).public_key.verify(signature[:-1], digest, hasher=None)
        # The same nonce rule: where embit did not grind for a low r, both make the very same signature.
        mine = PrivateKey(private.secret).sign(digest, hasher=None)
        assert mine == ec.PrivateKey(private.secret).sign(digest, grind=False).serialize()
        assert len(signature) <= 71


def test_without_its_c_library_embit_signs_nothing(monkeypatch: pytest.MonkeyPatch):
    from embit.util import py_secp256k1

    monkeypatch.setattr(officers.ec, "secp256k1", py_secp256k1)
    with pytest.raises(CurveLibraryMissing):
        sign(DRAFT, ADA, CHECK)


def put(number: int, point: bytes, signature: bytes) -> bytes:
    """The draft's PSBT as a device might give it back."""

    def change(one: PSBT) -> None:
        one.inputs[number].partial_sigs[ec.PublicKey.parse(point)] = signature

    return tampered(change)


def with_high_s(der: bytes) -> bytes:
    """The other s that satisfies the same equation, which nodes do not relay (BIP 146)."""
    r_bytes = der[4 : 4 + der[3]]
    s = CURVE_ORDER - int.from_bytes(der[6 + der[3] :], "big")
    s_bytes = s.to_bytes(33, "big")
    body = b"\x02" + bytes([len(r_bytes)]) + r_bytes + b"\x02" + bytes([len(s_bytes)]) + s_bytes
    return b"\x30" + bytes([len(body)]) + body


def test_a_signature_that_does_not_fit_is_not_taken():
    signed = sign(DRAFT, ADA, CHECK)
    (point, good), (_, of_another_input) = signed.signatures[0][0], signed.signatures[1][0]
    assert with_signatures(DRAFT, put(0, point, good)).signatures[0] == ((point, good),)
    foreign = PrivateKey(b"f" * 32)
    digest = bip143(DRAFT.spend, 0)
    high_s = with_high_s(good[:-1]) + b"\x01"
    for point_given, signature in [
        (point, of_another_input),
        (point, high_s),
        (point, good[:-1] + b"\x02"),
        (point, good[:-1]),
        (point, b"\x01"),
        (point, b""),
        (foreign.public_key.format(), foreign.sign(digest, hasher=None) + b"\x01"),
        (signed.signatures[1][0][0], good),
    ]:
        with pytest.raises(SignatureInvalid):
            with_signatures(DRAFT, put(0, point_given, signature))


def test_from_a_devices_file_nothing_but_signatures_is_taken():
    signed = sign(DRAFT, ADA, CHECK)

    def chatty(one: PSBT) -> None:
        one.unknown[b"\xfc\x05vendor"] = b"hello"
        for scope, has in zip(one.inputs, signed.signatures, strict=True):
            scope.witness_script = None
            scope.sighash_type = SIGHASH.ALL
            scope.bip32_derivations.clear()
            for point, signature in has:
                scope.partial_sigs[ec.PublicKey.parse(point)] = signature

    assert with_signatures(DRAFT, tampered(chatty)) == signed


def test_signatures_for_another_spend_are_not_combined():
    other = draft_of(paying(settlement(), 0, units=119_999))
    signed = sign(other, BO, check_of(LITECOIN.id, other.digest))
    with pytest.raises(SpendsDiffer):
        combine([DRAFT, signed])
    with pytest.raises(SpendsDiffer):
        with_signatures(DRAFT, write(signed))


def test_too_few_officers_finish_nothing_and_more_than_enough_finish_the_same():
    one, two, three = (sign(DRAFT, secret, CHECK) for secret in (ADA, BO, CY))
    for few in (DRAFT, one, combine([one, one])):
        with pytest.raises(SignaturesMissing):
            finalise(few)
    for enough in ([one, two], [two, three], [three, two, one]):
        final = Transaction.parse(finalise(combine(enough)).raw)
        for spent, made in zip(DRAFT.spend.inputs, final.vin, strict=True):
            assert [len(part) > 0 for part in made.witness.items] == [False, True, True, True]
            assert made.witness.items[-1] == VAULT.multisig(spent.place)
    assert combine([one, two]) == combine([two, one])


def test_an_officer_who_signed_only_some_inputs_has_not_signed():
    signed = sign(DRAFT, ADA, CHECK)
    partly = replace(signed, signatures=(*signed.signatures[:2], ()))
    assert partly.signed_by == ()
    assert signed.signed_by == ("c40f3abf",)


# --- checks


def test_a_check_is_carried_as_it_was_written():
    assert read_check(CHECK.document()) == CHECK
    assert read_check(CHECK.document() + b"\n") == CHECK


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{}",
        CHECK.document().replace(b'"kind":"settlement"', b'"kind":"gift"'),
        CHECK.document().replace(b'{"asset"', b'{ "asset"'),
        Check(CHECK.kind, CHECK.network, CHECK.asset, CHECK.digest, ()).document(),
        Check(CHECK.kind, CHECK.network, CHECK.asset, CHECK.digest, ("a\x1b[2Jb",)).document(),
        Check(CHECK.kind, CHECK.network, CHECK.asset, CHECK.digest, ("x" * 201,)).document(),
    ],
)
def test_what_is_no_check_is_refused(document: bytes):
    with pytest.raises(CheckMalformed):
        read_check(document)
