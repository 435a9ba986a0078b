"""What an officer looks at before he signs a certificate, and what he cannot be made to sign.

An officer's own record of what he signed before is enough to notice that two merchants would own the same addresses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from holdfast.core.addresses import BitcoinVault, Vault
from holdfast.core.certificates import Certificate, Grant
from holdfast.core.errors import Conflict


class RangesOverlap(Conflict):
    """Another merchant's certificate already grants some of these addresses. Sign nothing; have new ranges reserved."""

    code = "ranges-overlap"


class CertificateOlder(Conflict):
    """This merchant has a certificate of this version or a later one. Sign only the next version."""

    code = "certificate-older"


class VaultNotOurs(Conflict):
    """The certificate grants addresses of a vault that is not this quorum's. Sign nothing; find out who wrote it."""

    code = "vault-not-ours"


def describe(certificate: Certificate) -> list[str]:
    """Every line that an officer compares before he signs; the keys over a channel that the platform does not carry."""
    lines = [
        f"merchant      {certificate.merchant}, certificate version {certificate.version}",
        f"his key       {_grouped(certificate.key)}",
        f"recovery key  {_grouped(certificate.recovery_key)}",
        f"tariff        {certificate.tariff.deposit_basis_points} basis points of each deposit",
        f"until         {certificate.expires_at:%Y-%m-%d %H:%M} UTC",
    ]
    for grant in certificate.networks:
        ranges = ", ".join(f"{index_from} to {index_to - 1}" for index_from, index_to in grant.ranges)
        lines += [f"on {grant.network}", f"  indexes {ranges}", f"  of {_vault_text(grant.vault)}"]
    return lines


def refuse_conflicts(certificate: Certificate, earlier: Iterable[Certificate]) -> None:
    """Compare with the certificates that were signed before. Raises `RangesOverlap`, `CertificateOlder`."""
    for other in earlier:
        if other.merchant == certificate.merchant:
            if other.version >= certificate.version and other != certificate:
                raise CertificateOlder(f"version {other.version} of {other.merchant} is signed already")
            continue
        for mine in certificate.networks:
            for his in other.networks:
                if mine.network == his.network and mine.vault == his.vault and _overlap(mine, his):
                    raise RangesOverlap(f"{mine.network}: {other.merchant}")


def refuse_other_vaults(certificate: Certificate, ours: Mapping[str, Vault]) -> None:
    """Whether every vault in it is this quorum's own, by network. Raises `VaultNotOurs`."""
    for grant in certificate.networks:
        if ours.get(grant.network) != grant.vault:
            raise VaultNotOurs(f"{grant.network}: {_vault_text(grant.vault)}")


def _overlap(mine: Grant, his: Grant) -> bool:
    return any(a_from < b_to and b_from < a_to for a_from, a_to in mine.ranges for b_from, b_to in his.ranges)


def _grouped(key: bytes) -> str:
    text = key.hex()
    return " ".join(text[place : place + 8] for place in range(0, len(text), 8))


def _vault_text(vault: Vault) -> str:
    if isinstance(vault, BitcoinVault):
        return vault.descriptor
    return f"vault {vault.vault} behind factory {vault.factory}, forwarder {vault.implementation}"
