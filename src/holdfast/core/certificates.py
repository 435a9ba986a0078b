"""What officers sign for a merchant, and how anybody checks it: platform, SDK and officers run this same code.

A certificate grants ranges of the vault's indexes to one merchant's key, for a time. Nothing in here can sign.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec

from holdfast.core.addresses import BitcoinVault, EvmVault, Vault
from holdfast.core.canonical import DocumentNotCanonical, Json, canonical, parse
from holdfast.core.errors import BadInput
from holdfast.core.quorum import HEX_KEY, QuorumNotTrusted, Signature, fingerprint, read_quorum, signers, tagged

CERTIFICATE_TAG = b"holdfast certificate 1\0"
"""Parts these signatures from any other that an officer's key ever makes."""
KEYS_TAG = b"holdfast merchant keys 1\0"
LIFETIME_MAX = timedelta(days=5 * 366)
"""Every grant expires: a forgotten one is how others were robbed."""
_TIME = "%Y-%m-%dT%H:%M:%SZ"


class CertificateMalformed(BadInput):
    """The certificate lacks something, or contradicts itself. Have the officers make a new one."""

    code = "certificate-malformed"


class CertificateUnsigned(BadInput):
    """Too few officers' valid signatures are under the certificate. Have more officers sign exactly these bytes."""

    code = "certificate-unsigned"


class CertificateExpired(BadInput):
    """The certificate's time is over. Have the officers sign a newer one."""

    code = "certificate-expired"


@dataclass(frozen=True, slots=True)
class Grant:
    """What a merchant owns on one network: these indexes of this vault."""

    network: str
    vault: Vault
    ranges: tuple[tuple[int, int], ...]
    """Half-open: from the first index to before the second."""

    def has(self, index: int) -> bool:
        """Whether this index is his."""
        return any(index_from <= index < index_to for index_from, index_to in self.ranges)


@dataclass(frozen=True, slots=True)
class Tariff:
    """What the operator keeps."""

    deposit_basis_points: int


@dataclass(frozen=True, slots=True)
class Certificate:
    """A merchant's certificate."""

    merchant: str
    key: bytes
    """His Ed25519 public key."""
    recovery_key: bytes
    networks: tuple[Grant, ...]
    tariff: Tariff
    version: int
    expires_at: datetime

    def document(self) -> bytes:
        """The exact bytes that officers sign."""
        return canonical(
            {
                "expires_at": self.expires_at.astimezone(UTC).strftime(_TIME),
                "key": self.key.hex(),
                "merchant": self.merchant,
                "networks": [_grant_json(grant) for grant in self.networks],
                "recovery_key": self.recovery_key.hex(),
                "tariff": {"deposit_basis_points": self.tariff.deposit_basis_points},
                "version": self.version,
            }
        )


class _GrantWire(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    network: str
    vault: dict[str, str]
    ranges: list[tuple[int, int]]


class _TariffWire(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    deposit_basis_points: int


class _Wire(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    merchant: str
    key: str
    recovery_key: str
    networks: list[_GrantWire]
    tariff: _TariffWire
    version: int
    expires_at: str


def keys_fingerprint(key: bytes, recovery_key: bytes) -> str:
    """What a merchant tells the officers over a channel that the platform does not carry: SHA-256 of both keys, hex."""
    return hashlib.sha256(KEYS_TAG + key + recovery_key).hexdigest()


def signing_input(document: bytes) -> bytes:
    """What an officer's key signs for a certificate: the domain tag, then the SHA-256 of the exact bytes."""
    return tagged(CERTIFICATE_TAG, document)


def verify(
    document: bytes, signatures: Sequence[Signature], quorum: bytes, root_fingerprint: str, now: datetime
) -> Certificate:
    """The certificate, once everything below holds. The caller must still check that it is for *its own* key.

    1. The quorum document is the one whose fingerprint was obtained out of band: `QuorumNotTrusted`.
    2. It names officers and a threshold that they can reach: `QuorumMalformed`.
    3. The certificate is in canonical form, whole and without contradictions: `CertificateMalformed`.
    4. At least `threshold` different officers have signed exactly these bytes: `CertificateUnsigned`.
    5. Its time is not over: `CertificateExpired`.
    """
    # 1
    if fingerprint(quorum) != root_fingerprint.strip().lower():
        raise QuorumNotTrusted(f"{fingerprint(quorum)} is not {root_fingerprint[:64]}")
    # 2
    people = read_quorum(quorum)
    # 3
    certificate = read_certificate(document)
    # 4
    signed = signers(CERTIFICATE_TAG, document, signatures, people)
    if len(signed) < people.threshold:
        raise CertificateUnsigned(f"{len(signed)} of {people.threshold}: {', '.join(one.name for one in signed)}")
    # 5
    if certificate.expires_at <= now:
        raise CertificateExpired(certificate.merchant, expired_at=certificate.expires_at.strftime(_TIME))
    return certificate


def read_certificate(document: bytes) -> Certificate:
    """The certificate in a document, whoever signed it. Raises `CertificateMalformed`."""
    try:
        wire = msgspec.convert(parse(document), _Wire, strict=True)
        expires_at = datetime.strptime(wire.expires_at, _TIME).replace(tzinfo=UTC)
    except (DocumentNotCanonical, msgspec.ValidationError, ValueError) as error:
        raise CertificateMalformed(str(error)[:160]) from None
    if not (HEX_KEY.fullmatch(wire.key) and HEX_KEY.fullmatch(wire.recovery_key)) or wire.key == wire.recovery_key:
        raise CertificateMalformed("key and recovery_key are two different keys of 32 bytes, in hex")
    if wire.version < 1 or not 0 <= wire.tariff.deposit_basis_points < 10_000 or not wire.merchant:
        raise CertificateMalformed(f"version {wire.version}, tariff {wire.tariff.deposit_basis_points}")
    return Certificate(
        merchant=wire.merchant,
        key=bytes.fromhex(wire.key),
        recovery_key=bytes.fromhex(wire.recovery_key),
        networks=tuple(_grant(grant) for grant in wire.networks),
        tariff=Tariff(wire.tariff.deposit_basis_points),
        version=wire.version,
        expires_at=expires_at,
    )


def _grant(wire: _GrantWire) -> Grant:
    ranges = tuple(wire.ranges)
    ends = [0, *(end for index_range in sorted(ranges) for end in index_range)]
    if not ranges or any(index_from >= index_to for index_from, index_to in ranges) or ends != sorted(ends):
        raise CertificateMalformed(f"{wire.network}: ranges are empty, backwards or overlap")
    fields = set(wire.vault)
    if fields == {"descriptor"}:
        return Grant(wire.network, BitcoinVault(wire.vault["descriptor"]), ranges)
    if fields == {"factory", "implementation", "vault"}:
        vault = EvmVault(wire.vault["factory"], wire.vault["implementation"], wire.vault["vault"])
        return Grant(wire.network, vault, ranges)
    raise CertificateMalformed(f"{wire.network}: a vault is a descriptor, or factory, implementation and vault")


def _grant_json(grant: Grant) -> Json:
    if isinstance(grant.vault, BitcoinVault):
        vault: dict[str, Json] = {"descriptor": grant.vault.descriptor}
    else:
        its = grant.vault
        vault = {"factory": its.factory, "implementation": its.implementation, "vault": its.vault}
    return {"network": grant.network, "ranges": [list(one) for one in grant.ranges], "vault": vault}
