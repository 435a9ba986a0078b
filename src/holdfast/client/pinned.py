"""Checks what the platform says against what the merchant pinned: his own key, and the officers' root fingerprint.

Nothing here asks anybody. An address that does not follow from the certificate never leaves this module.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import msgspec

from holdfast.client.failures import AddressNotOurs, CertificateNotOurs, CertificateRolledBack, NotPinned
from holdfast.client.messages import DepositAddress, Invoice, Quote, SignedCertificate
from holdfast.core.addresses import deposit_address
from holdfast.core.certificates import Certificate, verify
from holdfast.core.errors import HoldfastError
from holdfast.core.money import AssetId
from holdfast.core.networks import Network, network_by_id
from holdfast.core.uris import PaymentRequest, payment_uri


@dataclass(slots=True)
class Pinned:
    """What a merchant knows without the platform, and the certificate that he has found to be valid."""

    root_fingerprint: str
    """SHA-256 of the officers' quorum document, obtained over a channel that the platform does not carry."""
    key: bytes
    """The merchant's own Ed25519 public key, 32 bytes."""
    version_file: Path | None = None
    """Where the newest certificate version ever seen is remembered across restarts; None: only while this runs."""
    certificate: Certificate | None = field(default=None, init=False)

    def needs_certificate(self, now: datetime) -> bool:
        """Whether a certificate must be fetched before an address can be checked."""
        return self.certificate is None or self.certificate.expires_at <= now

    def take(self, signed: SignedCertificate, now: datetime) -> None:
        """Believe a certificate from now on, once all of this holds.

        1. Enough officers signed it, under the pinned fingerprint: what `certificates.verify` raises.
        2. It is for this merchant's own key: `CertificateNotOurs`.
        3. It is not older than one that was seen before: `CertificateRolledBack`.
        """
        if not self.root_fingerprint or not self.key:
            raise NotPinned
        # 1
        certificate = verify(signed.document, signed.signatures, signed.quorum, self.root_fingerprint, now)
        # 2
        if certificate.key != self.key:
            raise CertificateNotOurs(f"it is for {certificate.key.hex()[:16]}…")
        # 3
        newest = self._newest_version()
        if certificate.version < newest:
            raise CertificateRolledBack(f"version {certificate.version}, and {newest} was seen")
        self._remember(certificate.version)
        self.certificate = certificate

    def invoice(self, invoice: Invoice) -> Invoice:
        """The same invoice, every quote in it checked. Raises `AddressNotOurs`."""
        return msgspec.structs.replace(invoice, quotes=[self.quote(quote) for quote in invoice.quotes])

    def quote(self, quote: Quote) -> Quote:
        """The same quote, its address derived again and its payment URI made anew. Raises `AddressNotOurs`."""
        network = self.check(quote.network, quote.index, quote.address)
        if not quote.asset.startswith(f"{quote.network}/"):
            raise AddressNotOurs(f"{quote.asset} is not an asset of {quote.network}")
        request = PaymentRequest(AssetId(quote.asset), quote.address, int(quote.left_units))
        return msgspec.structs.replace(quote, uri=payment_uri(network, request))

    def address(self, address: DepositAddress) -> DepositAddress:
        """The same standing address, derived again. Raises `AddressNotOurs`."""
        self.check(address.network, address.index, address.address)
        return address

    def check(self, network_id: str, index: int, address: str) -> Network:
        """Whether this address is the merchant's: derived again from a vault in his certificate, at an index of his.

        Raises `AddressNotOurs`, and `NotPinned` before a certificate was taken.
        """
        if self.certificate is None:
            raise NotPinned("no certificate has been taken")
        grants = [grant for grant in self.certificate.networks if grant.network == network_id and grant.has(index)]
        if not grants:
            raise AddressNotOurs(f"index {index} on {network_id} was not granted to this merchant")
        try:
            network = network_by_id(network_id)
            derived = [deposit_address(network, grant.vault, index) for grant in grants]
        except HoldfastError as error:
            raise AddressNotOurs(f"it cannot be derived again: {error.code}") from error
        if address not in derived:
            raise AddressNotOurs(f"{address[:100]} is not index {index} of the vault on {network_id}")
        return network

    def _newest_version(self) -> int:
        kept = 0
        if self.version_file is not None and self.version_file.exists():
            text = self.version_file.read_text(encoding="ascii").strip()
            if not text.isdecimal():
                raise CertificateRolledBack(
                    f"{self.version_file} does not hold a version: restore or remove it by hand"
                )
            kept = int(text)
        return max(kept, self.certificate.version if self.certificate else 0)

    def _remember(self, version: int) -> None:
        if self.version_file is None or version == self._newest_version():
            return
        new = self.version_file.with_suffix(".new")
        new.write_text(f"{version}\n", encoding="ascii")
        os.replace(new, self.version_file)
