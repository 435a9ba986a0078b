"""Drafts of both families by one set of names: what the officers' command line and the checking machine work with.

Which vault a draft must be of comes from the officers' own public files, never from the draft.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from holdfast.chains.evm_contracts import COIN, plan_vault
from holdfast.core.errors import BadInput
from holdfast.core.money import format_units
from holdfast.core.networks import KNOWN_NETWORKS, BitcoinNetwork, EvmNetwork, Network, evm_network, known_network
from holdfast.vault import psbt, safe, spends
from holdfast.vault.checks import Check
from holdfast.vault.officers import OfficerPublic, OfficerSecret, descriptor_of

AnyDraft = psbt.Draft | safe.SafeDraft
_PSBT_MAGIC = b"psbt\xff"
_CHAIN_ID = re.compile(r"eip155:([1-9][0-9]{0,15})", re.ASCII)


class DraftOnWrongNetwork(BadInput):
    """The draft is of another family than the network that was named. Name the draft's own network."""

    code = "draft-on-wrong-network"


@dataclass(frozen=True, slots=True)
class OfficersVault:
    """The vault of these officers on one network."""

    network: Network
    officers: tuple[OfficerPublic, ...]
    threshold: int

    @property
    def descriptor(self) -> str:
        """On the Bitcoin family. Raises `DraftOnWrongNetwork`, `OfficersDiffer`."""
        if not isinstance(self.network, BitcoinNetwork):
            raise DraftOnWrongNetwork(f"{self.network.name} has no descriptor")
        return descriptor_of(self.network, self.officers, self.threshold)

    @property
    def safe(self) -> safe.SafeVault:
        """On EVM. Raises `DraftOnWrongNetwork`, `VaultOwnersInvalid`."""
        if not isinstance(self.network, EvmNetwork):
            raise DraftOnWrongNetwork(f"{self.network.name} has no Safe")
        plan = plan_vault([officer.evm_address for officer in self.officers], self.threshold)
        return safe.vault_of(self.network.chain_id, plan)

    def name_of(self, signer: str) -> str:
        """The officer with this seed fingerprint or EVM address; itself where it is nobody's."""
        for officer in self.officers:
            if signer == officer.evm_address or any(f"[{signer}/" in xpub for xpub in officer.xpubs.values()):
                return officer.name
        return signer


@dataclass(frozen=True, slots=True)
class Finished:
    """What is sent to the network: a whole transaction, or call data for the Safe, which a gas account carries."""

    network: str
    """CAIP-2."""
    to: str
    """The Safe that is called; empty on the Bitcoin family."""
    data: bytes
    transaction: str
    """The transaction's id, or the Safe's own hash of it."""


def network_named(text: str) -> Network:
    """A known network, or any EVM network by its CAIP-2 id. Raises `NetworkUnknown`."""
    match = _CHAIN_ID.fullmatch(text)
    if match is not None and text not in KNOWN_NETWORKS:
        return evm_network(int(match[1]), text, "coin")
    return known_network(text)


def read(data: bytes, vault: OfficersVault) -> AnyDraft:
    """The draft in a file (PSBT, binary or in Base64, or a Safe draft), if it spends this vault.

    Raises `DraftOnWrongNetwork`, and as `psbt.read` and `safe.read`.
    """
    if is_psbt(data):
        if not isinstance(vault.network, BitcoinNetwork):
            raise DraftOnWrongNetwork(f"a PSBT on {vault.network.name}")
        return psbt.read(binary(data), vault.network, vault.descriptor)
    return safe.read(data, vault.safe)


def write(draft: AnyDraft) -> bytes:
    """The draft as a file."""
    return psbt.write(draft) if isinstance(draft, psbt.Draft) else safe.write(draft)


def describe(draft: AnyDraft, vault: OfficersVault) -> list[str]:
    """What an officer reads before he signs, computed from the draft and his own files alone."""
    if isinstance(draft, psbt.Draft):
        lines, signed = spends.describe(draft.spend), draft.signed_by
    else:
        lines, signed = _describe_safe(draft, vault.network), tuple(owner for owner, _ in draft.signatures)
    names = ", ".join(vault.name_of(one) for one in signed) or "nobody yet"
    return [*lines, f"digest       {grouped(draft.digest)}", f"signed by    {names}; {vault.threshold} must"]


def sign(draft: AnyDraft, secret: OfficerSecret, check: Check) -> AnyDraft:
    """The draft with one officer's signature. Raises as `psbt.sign` and `safe.sign`, `NotChecked` first of all."""
    match draft:
        case psbt.Draft():
            return psbt.sign(draft, secret, check)
        case safe.SafeDraft():
            return safe.sign(draft, secret, check)
        case never:
            assert_never(never)


def combine(draft: AnyDraft, signed: Sequence[bytes], vault: OfficersVault) -> AnyDraft:
    """The draft with the signatures out of the files that officers or their devices wrote.

    From a device's PSBT only valid signatures are taken, whatever else it put there. Raises as `read`,
    `psbt.with_signatures` and `safe.combine`.
    """
    if isinstance(draft, safe.SafeDraft):
        return safe.combine([draft, *(safe.read(data, vault.safe) for data in signed)])
    for data in signed:
        draft = psbt.with_signatures(draft, binary(data))
    return draft


def finalise(draft: AnyDraft) -> Finished:
    """What is sent. Raises `SignaturesMissing`, `SafeSignaturesMissing`."""
    if isinstance(draft, safe.SafeDraft):
        return Finished(draft.network, draft.vault.address, safe.finalise(draft), "0x" + draft.digest)
    final = psbt.finalise(draft)
    return Finished(draft.spend.network.id, "", final.raw, final.txid)


def is_psbt(data: bytes) -> bool:
    """Whether a file is a PSBT, binary or in Base64."""
    return data.startswith((_PSBT_MAGIC, base64.b64encode(_PSBT_MAGIC)[:6]))


def binary(data: bytes) -> bytes:
    """A PSBT's bytes; most wallets write them as Base64. Raises `PsbtMalformed`."""
    if data.startswith(_PSBT_MAGIC):
        return data
    try:
        return base64.b64decode(data.strip(), validate=True)
    except binascii.Error as error:
        raise psbt.PsbtMalformed(str(error)) from None


def grouped(digest: str) -> str:
    """A digest as people compare it: in groups of eight."""
    return " ".join(digest[place : place + 8] for place in range(0, len(digest), 8))


def _describe_safe(draft: safe.SafeDraft, network: Network) -> list[str]:
    payment = draft.payment
    if payment.token == COIN:
        paid = f"{format_units(payment.units, network.coin.decimals)} {network.coin.symbol}"
    else:
        paid = f"{payment.units} units of the token {payment.token}"
    return [
        f"spends       from the Safe {draft.vault.address} on {network.name}, nonce {draft.transaction.nonce}",
        f"pays         {paid} to {payment.to}",
        "fee          none out of the vault: whoever sends it pays the gas",
    ]
