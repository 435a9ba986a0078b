"""One good certificate, one thing broken, one refusal. The order is that of the numbered steps in `verify`."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from holdfast.core.addresses import BitcoinVault, EvmVault
from holdfast.core.canonical import canonical
from holdfast.core.certificates import (
    Certificate,
    CertificateExpired,
    CertificateMalformed,
    CertificateUnsigned,
    Grant,
    Tariff,
    read_certificate,
    signing_input,
    verify,
)
from holdfast.core.quorum import Officer, Quorum, QuorumMalformed, QuorumNotTrusted, Signature, fingerprint

NOW = datetime(2026, 11, 21, tzinfo=UTC)
KEYS = [Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number in range(1, 4)]
OFFICERS = tuple(
    Officer(name, key.public_key().public_bytes_raw().hex())
    for name, key in zip(("ada", "bo", "cy"), KEYS, strict=True)
)
QUORUM = Quorum(OFFICERS, 2)
CERTIFICATE = Certificate(
    merchant="mer_01",
    key=b"k" * 32,
    recovery_key=b"r" * 32,
    networks=(
        Grant("bip122:12a765e31ffd4059bada1e25190f6e98", BitcoinVault("wsh(…)"), ((0, 2**20),)),
        Grant("eip155:1", EvmVault("0xf", "0xi", "0xv"), ((2**20, 2**21), (2**22, 2**23))),
    ),
    tariff=Tariff(50),
    version=1,
    expires_at=NOW + timedelta(days=365),
)


def sign(document: bytes, *places: int) -> list[Signature]:
    message = signing_input(document)
    return [Signature(OFFICERS[place].key, KEYS[place].sign(message).hex()) for place in places]


def test_a_certificate_that_enough_officers_signed_is_read_back_as_it_was_written() -> None:
    document = CERTIFICATE.document()
    assert verify(document, sign(document, 0, 2), QUORUM.document(), QUORUM.fingerprint(), NOW) == CERTIFICATE


def test_a_quorum_document_with_another_fingerprint_is_not_even_read() -> None:
    document = CERTIFICATE.document()
    with pytest.raises(QuorumNotTrusted):
        verify(document, sign(document, 0, 1), QUORUM.document(), "00" * 32, NOW)


def test_the_attackers_own_quorum_is_not_trusted() -> None:
    mine = Quorum((OFFICERS[0],), 1)
    document = CERTIFICATE.document()
    with pytest.raises(QuorumNotTrusted):
        verify(document, sign(document, 0), mine.document(), QUORUM.fingerprint(), NOW)


@pytest.mark.parametrize(
    "quorum",
    [
        {"officers": [], "threshold": 0},
        {"officers": [{"key": OFFICERS[0].key, "name": "ada"}], "threshold": 2},
        {"officers": [{"key": OFFICERS[0].key, "name": "ada"}], "threshold": 0},
        {"officers": [{"key": OFFICERS[0].key, "name": "ada"}, {"key": OFFICERS[0].key, "name": "bo"}], "threshold": 2},
        {
            "officers": [{"key": OFFICERS[0].key, "name": "ada"}, {"key": OFFICERS[1].key, "name": "ada"}],
            "threshold": 2,
        },
        {"officers": [{"key": "zz", "name": "ada"}], "threshold": 1},
        {"officers": [{"key": OFFICERS[0].key, "name": ""}], "threshold": 1},
        {"officers": [{"key": OFFICERS[0].key, "name": "ada"}], "threshold": 1, "more": 1},
        {"threshold": 1},
    ],
)
def test_a_quorum_that_could_not_decide_anything_is_refused(quorum: dict[str, object]) -> None:
    document, written = CERTIFICATE.document(), canonical(quorum)  # type: ignore[arg-type]  # the table is JSON
    with pytest.raises(QuorumMalformed):
        verify(document, sign(document, 0, 1), written, fingerprint(written), NOW)


@pytest.mark.parametrize(
    "change",
    [
        {"version": 0},
        {"version": "1"},
        {"key": "00"},
        {"key": ("r" * 32).encode().hex()},
        {"recovery_key": None},
        {"merchant": ""},
        {"expires_at": "soon"},
        {"expires_at": "2027-11-21"},
        {"tariff": {"deposit_basis_points": -1}},
        {"tariff": {"deposit_basis_points": 10_000}},
        {"tariff": {}},
        {"surprise": True},
        {"networks": [{"network": "eip155:1", "vault": {"descriptor": "x"}, "ranges": []}]},
        {"networks": [{"network": "eip155:1", "vault": {"descriptor": "x"}, "ranges": [[5, 5]]}]},
        {"networks": [{"network": "eip155:1", "vault": {"descriptor": "x"}, "ranges": [[5, 4]]}]},
        {"networks": [{"network": "eip155:1", "vault": {"descriptor": "x"}, "ranges": [[-1, 4]]}]},
        {"networks": [{"network": "eip155:1", "vault": {"descriptor": "x"}, "ranges": [[0, 4], [3, 9]]}]},
        {"networks": [{"network": "eip155:1", "vault": {"factory": "0x"}, "ranges": [[0, 4]]}]},
    ],
)
def test_a_certificate_with_one_thing_wrong_is_refused_even_when_signed(change: dict[str, object]) -> None:
    document = canonical({**msgspec.json.decode(CERTIFICATE.document()), **change})
    with pytest.raises(CertificateMalformed):
        verify(document, sign(document, 0, 1), QUORUM.document(), QUORUM.fingerprint(), NOW)


def test_a_certificate_in_another_form_of_json_is_not_the_one_that_was_signed() -> None:
    with pytest.raises(CertificateMalformed):
        read_certificate(CERTIFICATE.document() + b"\n")


@pytest.mark.parametrize("places", [(), (0,), (0, 0)])
def test_too_few_officers_are_too_few_however_often_they_sign(places: tuple[int, ...]) -> None:
    document = CERTIFICATE.document()
    with pytest.raises(CertificateUnsigned):
        verify(document, sign(document, *places), QUORUM.document(), QUORUM.fingerprint(), NOW)


def test_signatures_under_another_document_count_for_nothing() -> None:
    other = replace(CERTIFICATE, merchant="mer_02").document()
    with pytest.raises(CertificateUnsigned):
        verify(CERTIFICATE.document(), sign(other, 0, 1, 2), QUORUM.document(), QUORUM.fingerprint(), NOW)


def test_signatures_over_the_bare_document_without_the_domain_tag_count_for_nothing() -> None:
    document = CERTIFICATE.document()
    bare = [Signature(OFFICERS[place].key, KEYS[place].sign(document).hex()) for place in (0, 1)]
    with pytest.raises(CertificateUnsigned):
        verify(document, bare, QUORUM.document(), QUORUM.fingerprint(), NOW)


def test_strangers_and_garbage_among_the_signatures_change_nothing() -> None:
    document, stranger = CERTIFICATE.document(), Ed25519PrivateKey.from_private_bytes(b"s" * 32)
    message = signing_input(document)
    noise = [
        Signature(stranger.public_key().public_bytes_raw().hex(), stranger.sign(message).hex()),
        Signature(OFFICERS[1].key, "00" * 64),
        Signature("not hex", "either"),
        Signature(OFFICERS[2].key, ""),
    ]
    with pytest.raises(CertificateUnsigned):
        verify(document, [*noise, *sign(document, 0)], QUORUM.document(), QUORUM.fingerprint(), NOW)
    assert verify(document, [*noise, *sign(document, 0, 1)], QUORUM.document(), QUORUM.fingerprint(), NOW)


def test_a_certificate_ends_at_its_expiry() -> None:
    document = CERTIFICATE.document()
    with pytest.raises(CertificateExpired):
        verify(document, sign(document, 0, 1), QUORUM.document(), QUORUM.fingerprint(), CERTIFICATE.expires_at)


@pytest.mark.parametrize(("index", "his"), [(2**20 - 1, False), (2**20, True), (2**21, False), (2**22, True)])
def test_a_grant_contains_its_ranges_and_nothing_else(index: int, his: bool) -> None:
    assert CERTIFICATE.networks[1].has(index) is his
