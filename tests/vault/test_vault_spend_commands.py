"""`holdfast vault`, as officers use it: from a draft to what is sent, on another machine at every step."""

import base64
import json
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import pytest

from fixtures_cli import Done, holdfast
from fixtures_vault import DESCRIPTOR, FLOAT_ADDRESS, LITECOIN, PEOPLE, SAFE, SECRETS, check_of, settlement
from holdfast.chains.evm_contracts import COIN
from holdfast.core.evm import checksum
from holdfast.vault import drafts, keystore, psbt, safe
from holdfast.vault.carry import parts_of
from holdfast.vault.registrations import RegistrationForm, read_back

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("cli")]

PASSPHRASE = "correct horse battery staple"


@dataclass(frozen=True)
class Desk:
    """A directory with what one table of officers has."""

    directory: Path

    def run(self, command: str, *words: str | Path, network: str) -> Done:
        ours = ["--network", network, *(word for who in PEOPLE for word in ("--officer", f"{who.name}.json"))]
        return holdfast("vault", command, *words, *ours, cwd=self.directory)

    def sign(self, draft: str, who: str, *, network: str, check: str = "check.json") -> Done:
        out = f"{Path(draft).stem}.{who}"
        keys = ["--keystore", f"{who}.keystore", "--passphrase-file", "passphrase", "--yes"]
        return self.run("sign", draft, "--check", check, *keys, "--out", out, network=network)


@pytest.fixture(scope="module")
def keystores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("officers")
    for person, secret in zip(PEOPLE, SECRETS, strict=True):
        sealed = keystore.seal("officer", {"name": person.name}, secret.pack(), PASSPHRASE, keystore.COST_MIN)
        keystore.write(directory / f"{person.name}.keystore", sealed)
        (directory / f"{person.name}.json").write_bytes(msgspec.json.encode(person))
    (directory / "passphrase").write_text(PASSPHRASE)
    (directory / "passphrase").chmod(0o600)
    return directory


@pytest.fixture
def desk(keystores: Path, tmp_path: Path) -> Desk:
    for file in keystores.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
        (tmp_path / file.name).chmod(0o600)
    draft = psbt.draft_of(settlement())
    (tmp_path / "draft.psbt").write_bytes(psbt.write(draft))
    (tmp_path / "check.json").write_bytes(check_of(LITECOIN.id, draft.digest).document())
    return Desk(tmp_path)


def test_a_draft_becomes_a_transaction_over_machines_without_a_cable(desk: Desk):
    draft = psbt.draft_of(settlement())
    shown = desk.run("show-spend", "draft.psbt", network="litecoin")
    assert FLOAT_ADDRESS in shown.out
    assert drafts.grouped(draft.digest) in shown.out
    assert "nobody yet" in shown.out

    for who in ("ada", "cy"):
        signed = desk.sign("draft.psbt", who, network="litecoin")
        assert signed.code == 0, signed.err
        assert "pays the float what it is owed" in signed.err
        assert FLOAT_ADDRESS in signed.err

    images = holdfast("vault", "to-qr", "draft.ada", "--image", "ada.svg", cwd=desk.directory)
    assert images.out.split() == [f"ada-{number}-of-4.svg" for number in range(1, 5)]
    scanned = desk.directory / "scanned.txt"
    scanned.write_text("\n".join(reversed(parts_of((desk.directory / "draft.ada").read_bytes()))))
    assert holdfast("vault", "from-qr", scanned, "--out", "carried", cwd=desk.directory).code == 0
    assert (desk.directory / "carried").read_bytes() == (desk.directory / "draft.ada").read_bytes()

    (desk.directory / "device").write_bytes(base64.b64encode((desk.directory / "draft.cy").read_bytes()))
    joined = desk.run("combine", "draft.psbt", "carried", "device", "--out", "signed.psbt", network="litecoin")
    assert joined.code == 0, joined.err
    assert "ada, cy; 2 must" in joined.err
    done = json.loads(desk.run("finalise", "signed.psbt", network="litecoin").out)
    expected = psbt.finalise(psbt.read((desk.directory / "signed.psbt").read_bytes(), LITECOIN, DESCRIPTOR))
    assert done == {
        "network": LITECOIN.id, "to": "", "data": expected.raw.hex(), "transaction": expected.txid,
    }  # fmt: skip


def test_a_safe_draft_goes_the_same_way(desk: Desk):
    payment = safe.SafePayment(COIN, checksum(b"\xf1" * 20), 10**18)
    draft = safe.draft_of(SAFE, payment, 0)
    (desk.directory / "draft.json").write_bytes(safe.write(draft))
    (desk.directory / "safe-check.json").write_bytes(check_of(draft.network, draft.digest).document())
    for who in ("bo", "ada"):
        signed = desk.sign("draft.json", who, network="anvil", check="safe-check.json")
        assert signed.code == 0, signed.err
        assert f"1.000000000000000000 ETH to {payment.to}" in signed.err
    arguments = ("draft.json", "draft.ada", "draft.bo", "--out", "signed.json")
    joined = desk.run("combine", *arguments, network="eip155:31337")
    assert "ada, bo; 2 must" in joined.err
    done = json.loads(desk.run("finalise", "signed.json", network="anvil").out)
    assert (done["to"], done["transaction"]) == (SAFE.address, "0x" + draft.digest)
    assert bytes.fromhex(done["data"]) == safe.finalise(safe.read((desk.directory / "signed.json").read_bytes(), SAFE))


def test_nothing_is_signed_without_the_checking_machines_word_for_it(desk: Desk):
    spend = settlement()
    without_change = psbt.draft_of(replace(spend, outputs=spend.outputs[:1]))
    (desk.directory / "other.psbt").write_bytes(psbt.write(without_change))
    refused = desk.sign("other.psbt", "ada", network="litecoin")
    assert refused.code == 5
    assert "[not-checked]" in refused.err
    assert not (desk.directory / "other.ada").exists()


def test_a_signed_file_is_never_written_over_another(desk: Desk):
    assert desk.sign("draft.psbt", "ada", network="litecoin").code == 0
    again = desk.sign("draft.psbt", "ada", network="litecoin")
    assert "[file-exists]" in again.err


@pytest.mark.parametrize("form", list(RegistrationForm))
def test_the_vault_is_exported_for_devices(desk: Desk, form: RegistrationForm):
    made = desk.run("policy-export", "--format", form.value, network="litecoin")
    assert made.code == 0, made.err
    assert read_back(made.out, form) == DESCRIPTOR


def test_a_network_of_the_other_family_is_refused_by_name(desk: Desk):
    assert "[draft-on-wrong-network]" in desk.run("show-spend", "draft.psbt", network="anvil").err
    assert "[draft-on-wrong-network]" in desk.run("policy-export", network="anvil").err
    (desk.directory / "draft.json").write_bytes(b"{}")
    assert "[draft-on-wrong-network]" in desk.run("show-spend", "draft.json", network="litecoin").err
