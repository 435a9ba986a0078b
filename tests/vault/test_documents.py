"""Orders, policies and approvals as files: made from public files, read line by line, signed by one after the other."""

import json
from pathlib import Path

import msgspec
import pytest

from fixtures_cli import Done, holdfast
from holdfast.core import canonical
from holdfast.core.addresses import parse_address
from holdfast.core.evm import parse_address as parse_evm
from holdfast.core.intents import APPROVAL_TAG, Conversion, Line, Payout, StandingOrder
from holdfast.core.networks import known_network
from holdfast.core.orders import (
    CHECKS,
    ORDER_TAG,
    Decide,
    Genesis,
    Reanchor,
    Restore,
    RotateFloat,
    SignedOrder,
    Stage,
    read_order,
)
from holdfast.core.quorum import Quorum, is_signed, signers, tagged
from holdfast.vault import documents, keystore, orders
from holdfast.vault.carry import FileExists
from holdfast.vault.documents import DocumentsDiffer, DocumentUnknown, Paper
from holdfast.vault.officers import OfficerSecret, public_part, quorum_of

PASSPHRASE = "correct horse battery staple"
NAMES = ("ada", "bo", "cy")
SECRETS = [OfficerSecret(bytes([number]) * 32, bytes([number + 100]) * 32) for number in (1, 2, 3)]
PEOPLE = [public_part(name, secret) for name, secret in zip(NAMES, SECRETS, strict=True)]
QUORUM = quorum_of(PEOPLE, 2)
POINT = "02" + "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
LITECOIN, DOGECOIN, ETHEREUM = (known_network(name) for name in ("litecoin", "dogecoin", "ethereum"))
KEYS = {"journal": "ab" * 32, LITECOIN.id: POINT, ETHEREUM.id: POINT, f"{ETHEREUM.id}/gas": POINT}
LEASE_KEY = "cd" * 32
CHECKED = [word for check in CHECKS[:3] for word in ("--checked", check)]
STEP = orders.unsigned(Restore(("*",), Stage.ALLOWLISTED, 1_795_000_000, 1, CHECKS))


def payout() -> Payout:
    asset = LITECOIN.coin.id
    line = Line("ltc1qw508d6qejxtdg4y5r3zarvary0c5xw7kgmn4n9", 5)
    return Payout("mer_1", LITECOIN.id, asset, (line,), 1, 7, 1_795_000_000, 1_795_000_100, "salary")


def test_a_genesis_names_floats_whose_addresses_follow_from_the_keys_and_the_officers() -> None:
    order = orders.genesis(QUORUM, PEOPLE, KEYS, LEASE_KEY, 5)
    assert read_order(canonical.write(order)) == order
    assert (order.journal_key, order.lease_key, order.created_at) == ("ab" * 32, LEASE_KEY, 5)
    litecoin, ethereum = order.floats
    assert litecoin.network == LITECOIN.id, "gas keys are no floats"
    # BIP 173's own example of a P2WPKH address is of this very key.
    assert litecoin.address == "ltc1qw508d6qejxtdg4y5r3zarvary0c5xw7kgmn4n9"
    assert parse_address(LITECOIN, litecoin.vault) == litecoin.vault != litecoin.address
    assert ethereum.address == parse_evm(ethereum.address) != ethereum.vault
    other = orders.genesis(quorum_of(PEOPLE, 3), PEOPLE, KEYS, LEASE_KEY, 5)
    assert other.floats[0].vault != litecoin.vault
    assert other.floats[1].address != ethereum.address, "the float on EVM belongs to one vault"


def test_a_coin_without_segwit_has_a_float_of_the_older_kind() -> None:
    key = orders.float_key(DOGECOIN, POINT, PEOPLE, 2)
    assert key.address.startswith("D")
    assert parse_address(DOGECOIN, key.vault) == key.vault


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"journal": "ab"},
        {**KEYS, LITECOIN.id: "02"},
        {**KEYS, LITECOIN.id: POINT.upper()},
        {**KEYS, ETHEREUM.id: "04" + "11" * 64},
    ],
)
def test_keys_that_are_none_make_no_genesis(keys: dict[str, str]) -> None:
    with pytest.raises(orders.FloatKeyMalformed):
        orders.genesis(QUORUM, PEOPLE, keys, LEASE_KEY, 5)


def test_a_genesis_is_made_by_the_quorums_own_officers() -> None:
    for people in (PEOPLE[:2], [*PEOPLE[:2], public_part("cy", SECRETS[0])], [*PEOPLE, PEOPLE[0]]):
        with pytest.raises(orders.OfficersNotOfQuorum):
            orders.genesis(QUORUM, people, KEYS, LEASE_KEY, 5)
    with pytest.raises(orders.FloatKeyMalformed):
        orders.genesis(QUORUM, PEOPLE, KEYS, "cd", 5)


@pytest.mark.parametrize(
    ("order", "said"),
    [
        (orders.genesis(QUORUM, PEOPLE, KEYS, LEASE_KEY, 5), ["2 of ada, bo, cy", "cdcdcdcd cdcdcdcd", "ltc1q"]),
        (RotateFloat(orders.float_key(LITECOIN, POINT, PEOPLE, 2), 7), ["ltc1q", "number 7"]),
        (
            Restore(("*", "mer_1"), Stage.ALLOWLISTED, 1_795_000_000, 8, CHECKS),
            ["everything, mer_1", "allowlisted", "2026-11-18", "number 8"],
        ),
        (Reanchor(12, "ef" * 32, LEASE_KEY, 9), ["12", "efefefef", "cdcdcdcd", "a second time"]),
        (Decide("mer_1", 3, 10), ["mer_1", "version 3", "number 10"]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_officer_reads_every_word_of_an_order(order: Genesis, said: list[str]) -> None:
    text = "\n".join(orders.describe(order))
    for words in said:
        assert words in text


def test_signatures_gather_one_officer_after_the_other_and_count_once() -> None:
    signed = STEP
    for secret in (SECRETS[0], SECRETS[1], SECRETS[0]):
        signed = documents.sign(signed, secret.signing)
    assert [one.name for one in documents.signed_by(signed, QUORUM)] == ["ada", "bo"]
    assert len(signed.signatures) == 2
    assert signers(ORDER_TAG, signed.document.encode(), signed.signatures, QUORUM) == documents.signed_by(
        signed, QUORUM
    )


def test_signatures_that_were_made_apart_go_together_only_under_one_document() -> None:
    apart = [documents.sign(STEP, secret.signing) for secret in SECRETS]
    assert len(documents.signed_by(documents.combine(apart), QUORUM)) == 3
    other = orders.unsigned(Restore(("*",), Stage.ALLOWLISTED, 1_795_000_001, 1, CHECKS))
    with pytest.raises(DocumentsDiffer):
        documents.combine([apart[0], other])
    with pytest.raises(DocumentsDiffer):
        documents.combine([])


@pytest.mark.parametrize("intent", [
    payout(),
    StandingOrder("mer_1", LITECOIN.id, LITECOIN.coin.id, payout().lines[0].destination, 9, 1, 3_600, 3, 1, 99, "rent"),
    Conversion("mer_1", LITECOIN.id, LITECOIN.coin.id, 5, ETHEREUM.id, ETHEREUM.coin.id, 6, "ab" * 32, 3, 1, 99, "fx"),
], ids=lambda value: type(value).__name__)  # fmt: skip
def test_what_a_document_is_follows_from_its_bytes_and_with_it_the_tag(intent: Payout) -> None:
    document = canonical.write(intent)
    assert documents.paper_of(document) is Paper.APPROVAL
    assert documents.paper_of(STEP.document.encode()) is Paper.ORDER
    signed = documents.sign(SignedOrder(document.decode(), ()), SECRETS[0].signing).signatures[0]
    assert is_signed(PEOPLE[0].key, signed.signature, tagged(APPROVAL_TAG, document))
    assert intent.reference in "\n".join(documents.describe(document))
    assert documents.describe(document)[-1].startswith("SHA-256 ")


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff", b'{"document":"x","signatures":[]}', b'version = "x"'])
def test_a_file_that_is_none_of_them_is_refused_with_each_kinds_complaint(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(DocumentUnknown):
        documents.read(tmp_path / "file")
    with pytest.raises(DocumentUnknown):
        documents.read(tmp_path / "nowhere")


def test_a_file_is_read_back_as_it_was_written_and_never_overwritten(tmp_path: Path) -> None:
    documents.write(tmp_path / "step.json", STEP)
    assert documents.read(tmp_path / "step.json") == STEP
    (tmp_path / "bare.json").write_text(STEP.document)
    assert documents.read(tmp_path / "bare.json") == STEP
    with pytest.raises(FileExists):
        documents.write(tmp_path / "step.json", STEP)


class TestCommand:
    """`holdfast vault order`, as officers type it."""

    def files(self, directory: Path) -> list[str | Path]:
        (directory / "quorum.json").write_bytes(QUORUM.document())
        (directory / "signer.json").write_text(json.dumps({**KEYS, f"{LITECOIN.id}/2": POINT}))
        (directory / "pass").write_text(PASSPHRASE)
        (directory / "pass").chmod(0o600)
        for person, secret in zip(PEOPLE, SECRETS, strict=True):
            (directory / f"{person.name}.json").write_bytes(msgspec.json.encode(person))
            sealed = keystore.seal(
                "officer", {"name": person.name, "key": person.key}, secret.pack(), PASSPHRASE, keystore.COST_MIN
            )
            keystore.write(directory / f"{person.name}.keystore", sealed)
        return [word for person in PEOPLE for word in ("--officer", directory / f"{person.name}.json")]

    def order(self, directory: Path, *words: str | Path) -> Done:
        done = holdfast("vault", "order", *words, cwd=directory)
        assert done.code == 0, done.err
        return done

    def test_a_genesis_goes_from_officer_to_officer(self, tmp_path: Path) -> None:
        officers = self.files(tmp_path)
        made = self.order(
            tmp_path, "genesis", "--quorum", "quorum.json", *officers, "--signer", "signer.json",
            "--lease-key", LEASE_KEY, "--out", "genesis.0.json",
        )  # fmt: skip
        assert "A new journal begins" in made.err
        for number, name in enumerate(("ada", "cy")):
            self.order(
                tmp_path, "sign", f"genesis.{number}.json", "--keystore", f"{name}.keystore",
                "--passphrase-file", "pass", "--yes", "--out", f"genesis.{number + 1}.json",
            )  # fmt: skip
        shown = json.loads(self.order(tmp_path, "show", "genesis.2.json", "--quorum", "quorum.json", "--json").out)
        assert shown["signed_by"] == ["ada", "cy"]
        signed = documents.read(tmp_path / "genesis.2.json")
        genesis = read_order(signed.document.encode())
        assert isinstance(genesis, Genesis)
        assert msgspec.json.decode(genesis.quorum, type=Quorum) == QUORUM
        assert [one.network for one in genesis.floats] == [LITECOIN.id, ETHEREUM.id]

    def test_each_other_order_is_made_by_a_command_of_its_own(self, tmp_path: Path) -> None:
        officers = self.files(tmp_path)
        self.order(tmp_path, "restore", "allowlisted", "*", *CHECKED, "--number", "5", "--out", "step.json")
        self.order(
            tmp_path, "rotate-float", LITECOIN.id, "--key", f"{LITECOIN.id}/2", "--signer", "signer.json",
            "--quorum", "quorum.json", *officers, "--out", "rotate.json",
        )  # fmt: skip
        self.order(
            tmp_path, "re-anchor", "--seq", "12", "--head", "ef" * 32, "--lease-key", LEASE_KEY, "--out", "anchor.json"
        )
        self.order(tmp_path, "decide", "mer_1", "3", "--out", "decide.json")
        names = ("step", "rotate", "anchor", "decide")
        made = [read_order(documents.read(tmp_path / f"{name}.json").document.encode()) for name in names]
        assert [type(one) for one in made] == [Restore, RotateFloat, Reanchor, Decide]
        for name, number in (("ada", 0), ("bo", 1)):
            self.order(
                tmp_path, "sign", "step.json", "--keystore", f"{name}.keystore", "--passphrase-file", "pass", "--yes",
                "--out", f"step.{number}.json",
            )  # fmt: skip
        self.order(tmp_path, "combine", "step.0.json", "step.1.json", "--out", "step.signed.json")
        assert len(documents.read(tmp_path / "step.signed.json").signatures) == 2

    def test_nothing_is_signed_without_a_yes(self, tmp_path: Path) -> None:
        self.files(tmp_path)
        self.order(tmp_path, "decide", "mer_1", "3", "--out", "decide.json")
        asked = holdfast(
            "vault", "order", "sign", "decide.json", "--keystore", "ada.keystore", "--passphrase-file", "pass",
            "--out", "signed.json", cwd=tmp_path,
        )  # fmt: skip
        assert asked.code != 0
        assert not (tmp_path / "signed.json").exists()

    @pytest.mark.parametrize("kind", ["freeze", "lease"])
    def test_single_keys_are_made_for_who_may_freeze_and_for_a_watchtower(self, tmp_path: Path, kind: str) -> None:
        self.files(tmp_path)
        done = holdfast("vault", "key", kind, "night", "--passphrase-file", "pass", "--json", cwd=tmp_path)
        made = json.loads(done.out)
        sealed = keystore.read(tmp_path / f"night.{kind}.keystore", kind)
        assert sealed.public == {"name": "night", "key": made["key"]}
        assert len(keystore.unseal(sealed, PASSPHRASE)) == 32
        assert holdfast("vault", "key", "master", "night", "--passphrase-file", "pass", cwd=tmp_path).code == 2
