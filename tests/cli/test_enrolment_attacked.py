"""An attacker owns the platform before the first enrolment: he swaps key and descriptor, and gets nothing signed.

Officers' tool and SDK are the real ones; the platform is played by whoever writes the request.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from fixtures_cli import Done, holdfast_here
from holdfast.client import CertificateNotOurs, Pin
from holdfast.client.messages import SignedCertificate
from holdfast.client.pinned import Pinned
from holdfast.core.addresses import BitcoinVault
from holdfast.core.certificates import Certificate, Grant, Tariff, keys_fingerprint
from holdfast.core.networks import BitcoinNetwork, known_network
from holdfast.core.quorum import QuorumNotTrusted, Signature
from holdfast.vault import keystore
from holdfast.vault.certify import FingerprintMalformed, read_fingerprint, read_fingerprints
from holdfast.vault.officers import OfficerSecret, descriptor_of, public_part, quorum_of, sign_certificate

LITECOIN = known_network("litecoin")
PASSPHRASE = "correct horse battery staple"
SECRETS = [OfficerSecret(bytes([n]) * 32, bytes([n + 50]) * 32) for n in (1, 2)]
PEOPLE = [public_part(name, secret) for name, secret in zip(("ada", "bo"), SECRETS, strict=True)]
THIEVES = [OfficerSecret(bytes([n]) * 32, bytes([n + 50]) * 32) for n in (101, 102)]
MALLETS = [public_part(name, secret) for name, secret in zip(("mal", "ory"), THIEVES, strict=True)]
KEY, RECOVERY, MALLORY = b"m" * 32, b"r" * 32, b"x" * 32


def vault(of: list[object]) -> BitcoinVault:
    assert isinstance(LITECOIN, BitcoinNetwork)
    return BitcoinVault(descriptor_of(LITECOIN, of, 2))  # type: ignore[arg-type]  # officers' public parts


HONEST = Certificate(
    "mer_1", KEY, RECOVERY, (Grant(LITECOIN.id, vault([*PEOPLE]), ((0, 1000),)),), Tariff(0), 1,
    datetime(2027, 6, 1, tzinfo=UTC),
)  # fmt: skip
STOLEN_VAULT = (Grant(LITECOIN.id, vault([*MALLETS]), ((0, 1000),)),)
FINGERPRINT = keys_fingerprint(KEY, RECOVERY)


@dataclass
class Officer:
    """Ada at her offline machine."""

    directory: Path

    def certify(self, certificate: Certificate, *words: str | Path) -> Done:
        """What she does with a request that the operator brings."""
        request = self.directory / "request.json"
        request.write_bytes(certificate.document())
        officers = [word for person in PEOPLE for word in ("--officer", self.directory / f"{person.name}.json")]
        return holdfast_here(
            "vault", "certify", request, "--keystore", self.directory / "ada.keystore", *officers, "--record",
            self.directory / "signed", "--passphrase-file", self.directory / "passphrase", "--yes", *words,
        )  # fmt: skip


@pytest.fixture
def ada(tmp_path: Path) -> Officer:
    for person in PEOPLE:
        (tmp_path / f"{person.name}.json").write_bytes(msgspec.json.encode(person))
    facts = {"name": "ada", "key": PEOPLE[0].key}
    sealed = keystore.seal("officer", facts, SECRETS[0].pack(), PASSPHRASE, keystore.COST_MIN)
    keystore.write(tmp_path / "ada.keystore", sealed)
    (tmp_path / "passphrase").touch(mode=0o600)
    (tmp_path / "passphrase").write_text(PASSPHRASE)
    return Officer(tmp_path)


def test_the_merchants_own_keys_are_certified_once_he_has_told_their_fingerprint(ada: Officer) -> None:
    done = ada.certify(HONEST, "--key-fingerprint", FINGERPRINT)
    assert done.code == 0, done.err
    signature = msgspec.json.decode(done.out, type=Signature)
    assert signature == sign_certificate(HONEST.document(), SECRETS[0])


ATTACKS = {
    "his key": (replace(HONEST, key=MALLORY), "keys-not-compared"),
    "his recovery key": (replace(HONEST, recovery_key=MALLORY), "keys-not-compared"),
    "both of his keys": (replace(HONEST, key=MALLORY, recovery_key=b"y" * 32), "keys-not-compared"),
    "the two keys exchanged": (replace(HONEST, key=RECOVERY, recovery_key=KEY), "keys-not-compared"),
    "his vault": (replace(HONEST, networks=STOLEN_VAULT), "vault-not-ours"),
    "key and vault": (replace(HONEST, key=MALLORY, networks=STOLEN_VAULT), "vault-not-ours"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_platform_that_swaps_something_at_the_first_enrolment_gets_no_signature(ada: Officer, attack: str) -> None:
    swapped, code = ATTACKS[attack]
    refused = ada.certify(swapped, "--key-fingerprint", FINGERPRINT)
    assert refused.code == 6, refused.out
    assert code in refused.err
    assert refused.out == ""
    assert not list(ada.directory.glob("signed/*"))


def test_without_a_fingerprint_nobody_new_is_certified(ada: Officer) -> None:
    refused = ada.certify(HONEST)
    assert (refused.code, refused.out) == (6, "")
    assert "keys-not-compared" in refused.err
    assert FINGERPRINT in refused.err, "the officer can read it out to the merchant"


def test_a_batch_of_fingerprints_names_each_merchant_it_lets_in(ada: Officer) -> None:
    other = keys_fingerprint(b"o" * 32, b"p" * 32)
    batch = ada.directory / "friday.txt"
    grouped = " ".join(FINGERPRINT[place : place + 8] for place in range(0, 64, 8)).upper()
    batch.write_text(f"# Friday, by telephone\n{other} Other Shop\n\n{grouped}  Corner Books\n")
    assert ada.certify(HONEST, "--key-fingerprints", batch).code == 0
    assert ada.certify(replace(HONEST, merchant="mer_2", key=MALLORY), "--key-fingerprints", batch).code == 6


def test_a_renewal_for_the_same_keys_needs_no_second_telephone_call_and_a_changed_key_does(ada: Officer) -> None:
    assert ada.certify(HONEST, "--key-fingerprint", FINGERPRINT).code == 0
    renewed = replace(HONEST, version=2, expires_at=HONEST.expires_at + timedelta(days=100))
    assert ada.certify(renewed).code == 0
    refused = ada.certify(replace(renewed, version=3, key=MALLORY))
    assert refused.code == 6
    assert "keys-not-compared" in refused.err


def test_one_key_is_one_merchants(ada: Officer) -> None:
    assert ada.certify(HONEST, "--key-fingerprint", FINGERPRINT).code == 0
    elsewhere = (Grant(LITECOIN.id, vault([*PEOPLE]), ((1000, 2000),)),)
    refused = ada.certify(replace(HONEST, merchant="mer_2", networks=elsewhere), "--key-fingerprint", FINGERPRINT)
    assert refused.code == 6
    assert "merchant-key-taken" in refused.err


@pytest.mark.parametrize("text", ["", "abc", "zz" * 32, FINGERPRINT + "00", FINGERPRINT[:63], "0x" + FINGERPRINT])
def test_what_is_no_fingerprint_is_not_taken_for_one(text: str) -> None:
    with pytest.raises(FingerprintMalformed):
        read_fingerprint(text)


def test_fingerprints_are_read_as_people_write_them() -> None:
    grouped = " ".join(FINGERPRINT[place : place + 4] for place in range(0, 64, 4))
    assert read_fingerprints(f"{grouped.upper()} Shop\n# no\n{FINGERPRINT} # yes\n") == [FINGERPRINT] * 2


def shown_to_the_merchant(certificate: Certificate, secrets: list[OfficerSecret]) -> SignedCertificate:
    """What the platform hands to the shop's SDK."""
    people = [public_part("x", secret) for secret in secrets]
    named = [msgspec.structs.replace(person, name=f"officer {at}") for at, person in enumerate(people)]
    signatures = [sign_certificate(certificate.document(), secret) for secret in secrets]
    return SignedCertificate(certificate.document(), signatures, quorum_of(named, 2).document())


@pytest.mark.parametrize("certificate", [HONEST, replace(HONEST, key=MALLORY, networks=STOLEN_VAULT)])
def test_the_sdk_takes_no_certificate_that_others_than_its_officers_signed(certificate: Certificate) -> None:
    root = quorum_of([msgspec.structs.replace(one, name=f"officer {at}") for at, one in enumerate(PEOPLE)], 2)
    pin = Pin(root_fingerprint=root.fingerprint(), key=KEY)
    pinned = Pinned(pin.root_fingerprint, pin.key)
    with pytest.raises(QuorumNotTrusted):
        pinned.take(shown_to_the_merchant(certificate, THIEVES), datetime(2026, 12, 1, tzinfo=UTC))
    assert pinned.certificate is None


def test_even_where_careless_officers_signed_the_thiefs_key_the_shop_uses_no_address_of_it() -> None:
    root = quorum_of([msgspec.structs.replace(one, name=f"officer {at}") for at, one in enumerate(PEOPLE)], 2)
    pinned = Pinned(root.fingerprint(), KEY)
    with pytest.raises(CertificateNotOurs):
        pinned.take(shown_to_the_merchant(replace(HONEST, key=MALLORY), SECRETS), datetime(2026, 12, 1, tzinfo=UTC))
    assert pinned.certificate is None
