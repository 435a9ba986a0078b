"""The officers' tool: keys that stay closed, addresses that wallets agree with, and what an officer refuses to sign."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from embit import bip32, descriptor
from eth_account import Account

from holdfast.core.addresses import BitcoinVault, deposit_address
from holdfast.core.certificates import Certificate, Grant, Tariff, verify
from holdfast.core.networks import BITCOIN_NETWORKS, BitcoinNetwork, known_network
from holdfast.vault import keystore
from holdfast.vault.certify import (
    CertificateOlder,
    RangesOverlap,
    VaultNotOurs,
    describe,
    refuse_conflicts,
    refuse_other_vaults,
)
from holdfast.vault.officers import (
    EVM_PATH,
    OfficersDiffer,
    OfficerSecret,
    account_path,
    descriptor_of,
    make_officer,
    public_part,
    quorum_of,
    sign_certificate,
)

NOW = datetime(2026, 11, 21, tzinfo=UTC)
PASSPHRASE = "correct horse battery staple"
CHEAP = keystore.COST_MIN
SECRETS = [OfficerSecret(bytes([number]) * 32, bytes([number + 100]) * 32) for number in (1, 2, 3)]
PEOPLE = [public_part(name, secret) for name, secret in zip(("ada", "bo", "cy"), SECRETS, strict=True)]
LITECOIN = known_network("litecoin")


def certificate(merchant: str = "mer_1", version: int = 1, start: int = 0) -> Certificate:
    assert isinstance(LITECOIN, BitcoinNetwork)
    vault = BitcoinVault(descriptor_of(LITECOIN, PEOPLE, 2))
    key = merchant.encode().ljust(32, b"k")
    return Certificate(
        merchant, key, b"r" * 32, (Grant(LITECOIN.id, vault, ((start, start + 100),)),), Tariff(0), version,
        NOW + timedelta(days=365),
    )  # fmt: skip


def test_a_keystore_gives_its_secret_back_to_the_passphrase_alone(tmp_path: Path) -> None:
    sealed = keystore.seal("officer", {"name": "ada"}, b"secret", PASSPHRASE, CHEAP)
    keystore.write(tmp_path / "ada.keystore", sealed)
    assert (tmp_path / "ada.keystore").stat().st_mode & 0o777 == 0o600
    assert b"secret" not in (tmp_path / "ada.keystore").read_bytes()
    assert keystore.unseal(keystore.read(tmp_path / "ada.keystore"), PASSPHRASE) == b"secret"
    with pytest.raises(keystore.PassphraseWrong):
        keystore.unseal(sealed, PASSPHRASE + "r")


@pytest.mark.parametrize(
    "change",
    [
        {"public": {"name": "eve"}},
        {"kind": "merchant"},
        {"nonce": "00" * 12},
        {"sealed": "00" * 40},
        {"salt": "00" * 32},
    ],
)
def test_a_keystore_that_was_changed_does_not_open(change: dict[str, object]) -> None:
    sealed = keystore.seal("officer", {"name": "ada"}, b"secret", PASSPHRASE, CHEAP)
    with pytest.raises(keystore.PassphraseWrong):
        keystore.unseal(msgspec.structs.replace(sealed, **change), PASSPHRASE)


@pytest.mark.parametrize(
    "change", [{"cost": 2**10}, {"cost": 2**30}, {"cost": 2**15 + 1}, {"holdfast_keystore": 2}, {"salt": "x"}]
)
def test_a_keystore_of_another_format_or_cost_is_not_tried(change: dict[str, object]) -> None:
    sealed = keystore.seal("officer", {"name": "ada"}, b"secret", PASSPHRASE, CHEAP)
    with pytest.raises(keystore.KeystoreMalformed):
        keystore.unseal(msgspec.structs.replace(sealed, **change), PASSPHRASE)


def test_keystore_files_are_never_overwritten_nor_read_when_others_can_read_them(tmp_path: Path) -> None:
    path = tmp_path / "ada.keystore"
    with pytest.raises(keystore.KeystoreMissing):
        keystore.read(path)
    keystore.write(path, keystore.seal("officer", {}, b"secret", PASSPHRASE, CHEAP))
    with pytest.raises(keystore.KeystoreExists):
        keystore.write(path, keystore.seal("officer", {}, b"other", PASSPHRASE, CHEAP))
    path.chmod(0o640)
    with pytest.raises(keystore.KeystoreExposed):
        keystore.read(path)
    path.chmod(0o600)
    path.write_text("{}")
    with pytest.raises(keystore.KeystoreMalformed):
        keystore.read(path)


def test_a_short_passphrase_is_refused() -> None:
    with pytest.raises(keystore.PassphraseWeak):
        keystore.seal("officer", {}, b"secret", "hunter2", CHEAP)


def test_officers_are_not_alike_and_do_not_show_their_secrets() -> None:
    one, other = make_officer(), make_officer()
    assert one.signing != other.signing
    assert one.seed != one.signing
    assert one.seed.hex() not in repr(one)
    assert OfficerSecret.unpack(one.pack()) == one
    with pytest.raises(OfficersDiffer):
        OfficerSecret.unpack(b"short")


@pytest.mark.parametrize("network", BITCOIN_NETWORKS, ids=lambda network: network.name)
def test_the_vaults_keys_are_where_a_wallet_looks_for_them(network: BitcoinNetwork) -> None:
    text = descriptor_of(network, PEOPLE, 2)
    assert deposit_address(network, BitcoinVault(text), 7)
    parsed = descriptor.Descriptor.from_string(text.split("#")[0])
    for key, secret in zip(parsed.keys, SECRETS, strict=True):
        root = bip32.HDKey.from_seed(secret.seed)
        assert key.fingerprint == root.my_fingerprint
        assert key.key.sec() == root.derive(account_path(network)).to_public().sec()


def test_an_officers_evm_address_is_the_one_that_ethereum_wallets_derive() -> None:
    for person, secret in zip(PEOPLE, SECRETS, strict=True):
        private = bip32.HDKey.from_seed(secret.seed).derive(EVM_PATH).secret
        assert person.evm_address == Account.from_key(private).address


def test_a_network_that_an_officers_file_lacks_has_no_descriptor() -> None:
    assert isinstance(LITECOIN, BitcoinNetwork)
    with pytest.raises(OfficersDiffer):
        descriptor_of(LITECOIN, [msgspec.structs.replace(PEOPLE[0], xpubs={})], 1)


def test_what_enough_officers_sign_is_a_certificate() -> None:
    quorum, wanted = quorum_of(PEOPLE, 2), certificate()
    signatures = [sign_certificate(wanted.document(), secret) for secret in SECRETS[:2]]
    assert verify(wanted.document(), signatures, quorum.document(), quorum.fingerprint(), NOW) == wanted


def test_an_officer_sees_every_word_of_what_he_signs() -> None:
    shown = "\n".join(describe(certificate()))
    for word in ("mer_1", "version 1", "0 basis points", "0 to 99", LITECOIN.id, "wsh(sortedmulti(2,", "2027-11-21"):
        assert word in shown
    assert certificate().key.hex()[:8] in shown


def test_no_two_merchants_are_granted_the_same_address() -> None:
    with pytest.raises(RangesOverlap):
        refuse_conflicts(certificate("mer_2", start=99), [certificate("mer_1")])
    refuse_conflicts(certificate("mer_2", start=100), [certificate("mer_1")])


def test_a_merchant_gets_the_next_version_and_never_an_old_one_again() -> None:
    refuse_conflicts(certificate(version=2), [certificate(version=1)])
    refuse_conflicts(certificate(), [certificate()])
    with pytest.raises(CertificateOlder):
        refuse_conflicts(replace(certificate(), tariff=Tariff(5)), [certificate()])


def test_a_vault_that_is_not_the_quorums_is_not_signed_for() -> None:
    ours = {LITECOIN.id: certificate().networks[0].vault}
    refuse_other_vaults(certificate(), ours)
    for wrong in ({}, {LITECOIN.id: BitcoinVault("wsh(sortedmulti(1,xpub…))")}):
        with pytest.raises(VaultNotOurs):
            refuse_other_vaults(certificate(), wrong)
