"""Whose deposit address an index is, by the certificates in a journal: for watchtower and checking machine alike."""

from __future__ import annotations

from holdfast.core.addresses import deposit_address
from holdfast.core.networks import Network
from holdfast.policy.record import Record


def granted_address(record: Record, network: Network, merchant: str, index: int) -> str | None:
    """The deposit address at this index by the merchant's newest certificate that grants it; None: none does.

    Raises `KeyError` for a merchant whom the journal does not know.
    """
    for certificate, _ in reversed(record.merchants[merchant].certificates):
        for grant in certificate.networks:
            if grant.network == network.id and grant.has(index):
                return deposit_address(network, grant.vault, index)
    return None
