"""What an officer looks at before he signs a certificate, and what he cannot be made to sign.

An officer's own record of what he signed before is enough to notice that two merchants would own the same addresses.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

from holdfast.core.addresses import BitcoinVault, Vault
from holdfast.core.certificates import Certificate, Grant, keys_fingerprint
from holdfast.core.errors import BadInput, Conflict

_FINGERPRINT = re.compile(r"[0-9a-f]{64}")


class RangesOverlap(Conflict):
    """Another merchant's certificate already grants some of these addresses. Sign nothing; have new ranges reserved."""

    code = "ranges-overlap"


class CertificateOlder(Conflict):
    """This merchant has a certificate of this version or a later one. Sign only the next version."""

    code = "certificate-older"


class KeysNotCompared(Conflict):
    """These keys are not those whose fingerprint you were given. Sign nothing; ask the merchant himself for it."""

    code = "keys-not-compared"


class MerchantKeyTaken(Conflict):
    """Another merchant's certificate names this key already. Sign nothing; find out who brought it twice."""

    code = "merchant-key-taken"


class FingerprintMalformed(BadInput):
    """That is no fingerprint of a merchant's keys. Write its 64 hexadecimal digits; spaces between them do no harm."""

    code = "fingerprint-malformed"


class VaultNotOurs(Conflict):
    """The certificate grants addresses of a vault that is not this quorum's. Sign nothing; find out who wrote it."""

    code = "vault-not-ours"


def describe(certificate: Certificate) -> list[str]:
    """Every line that an officer compares before he signs; the keys over a channel that the platform does not carry."""
    lines = [
        f"merchant      {certificate.merchant}, certificate version {certificate.version}",
        f"his key       {_grouped(certificate.key)}",
        f"recovery key  {_grouped(certificate.recovery_key)}",
        f"fingerprint   {_grouped(bytes.fromhex(_fingerprint(certificate)))}",
        f"tariff        {certificate.tariff.deposit_basis_points} basis points of each deposit",
        f"until         {certificate.expires_at:%Y-%m-%d %H:%M} UTC",
    ]
    for grant in certificate.networks:
        ranges = ", ".join(f"{index_from} to {index_to - 1}" for index_from, index_to in grant.ranges)
        lines += [f"on {grant.network}", f"  indexes {ranges}", f"  of {_vault_text(grant.vault)}"]
    return lines


def refuse_conflicts(certificate: Certificate, earlier: Iterable[Certificate]) -> None:
    """Compare with what was signed before. Raises `RangesOverlap`, `CertificateOlder`, `MerchantKeyTaken`."""
    for other in earlier:
        if other.merchant == certificate.merchant:
            if other.version >= certificate.version and other != certificate:
                raise CertificateOlder(f"version {other.version} of {other.merchant} is signed already")
            continue
        if other.key == certificate.key:
            raise MerchantKeyTaken(f"{other.merchant} has it")
        for mine in certificate.networks:
            for his in other.networks:
                if mine.network == his.network and mine.vault == his.vault and _overlap(mine, his):
                    raise RangesOverlap(f"{mine.network}: {other.merchant}")


def refuse_other_keys(certificate: Certificate, compared: Collection[str], earlier: Iterable[Certificate]) -> None:
    """Whether the merchant's keys are those whose fingerprint he gave himself, or that were certified for him before.

    `compared`: fingerprints obtained over a channel that the platform does not carry. Raises `KeysNotCompared`: whoever
    owns the platform could have put his own key into the request.
    """
    if _fingerprint(certificate) in compared:
        return
    if any(_is_same_person(other, certificate) for other in earlier):
        return
    raise KeysNotCompared(f"{certificate.merchant}: {_fingerprint(certificate)}")


def read_fingerprints(text: str) -> list[str]:
    """The fingerprints in a list: one a line, perhaps with a name behind it. Raises `FingerprintMalformed`."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [read_fingerprint(line) for line in lines if line]


def read_fingerprint(text: str) -> str:
    """A fingerprint as a person wrote it, in groups or not, a name behind it or not. Raises `FingerprintMalformed`."""
    digits = ""
    for word in text.lower().split():
        if len(digits) >= 64:
            break
        digits += word
    if not _FINGERPRINT.fullmatch(digits):
        raise FingerprintMalformed(text[:100])
    return digits


def refuse_other_vaults(certificate: Certificate, ours: Mapping[str, Vault]) -> None:
    """Whether every vault in it is this quorum's own, by network. Raises `VaultNotOurs`."""
    for grant in certificate.networks:
        if ours.get(grant.network) != grant.vault:
            raise VaultNotOurs(f"{grant.network}: {_vault_text(grant.vault)}")


def _fingerprint(certificate: Certificate) -> str:
    return keys_fingerprint(certificate.key, certificate.recovery_key)


def _is_same_person(one: Certificate, other: Certificate) -> bool:
    return (one.merchant, one.key, one.recovery_key) == (other.merchant, other.key, other.recovery_key)


def _overlap(mine: Grant, his: Grant) -> bool:
    return any(a_from < b_to and b_from < a_to for a_from, a_to in mine.ranges for b_from, b_to in his.ranges)


def _grouped(key: bytes) -> str:
    text = key.hex()
    return " ".join(text[place : place + 8] for place in range(0, len(text), 8))


def _vault_text(vault: Vault) -> str:
    if isinstance(vault, BitcoinVault):
        return vault.descriptor
    return f"vault {vault.vault} behind factory {vault.factory}, forwarder {vault.implementation}"
