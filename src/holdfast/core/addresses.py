"""Deposit addresses from a vault's public data: one function for both families. Pure; holds no key."""

from __future__ import annotations

from dataclasses import dataclass

from embit import base58, bech32

from holdfast.core import evm
from holdfast.core.descriptors import VaultDescriptor
from holdfast.core.errors import BadInput
from holdfast.core.networks import BitcoinNetwork, EvmNetwork, Network


class VaultOnWrongNetwork(BadInput):
    """The vault is of another family than the network. Configure a descriptor for Bitcoin, a factory for EVM."""

    code = "vault-on-wrong-network"


class AddressMalformed(BadInput):
    """The text is not an address, or its checksum does not fit. Copy the address again, whole."""

    code = "address-malformed"


class AddressOnWrongNetwork(BadInput):
    """The address is one of another network. Ask for an address on this network; what is sent to this one is lost."""

    code = "address-on-wrong-network"


@dataclass(frozen=True, slots=True)
class BitcoinVault:
    """A watch-only multisig descriptor."""

    descriptor: str


@dataclass(frozen=True, slots=True)
class EvmVault:
    """A forwarder factory, its forwarder implementation, and the Safe that forwarders pay to: EIP-55 addresses."""

    factory: str
    implementation: str
    vault: str


Vault = BitcoinVault | EvmVault


def deposit_address(network: Network, vault: Vault, index: int) -> str:
    """The address at an index of a vault, in canonical form. Raises `VaultOnWrongNetwork`, `DescriptorMalformed`."""
    if isinstance(network, BitcoinNetwork) and isinstance(vault, BitcoinVault):
        return VaultDescriptor.parse(vault.descriptor).address(index, network)
    if isinstance(network, EvmNetwork) and isinstance(vault, EvmVault):
        return evm.deposit_address(vault.factory, vault.implementation, index)
    raise VaultOnWrongNetwork(network.name)


def parse_address(network: Network, text: str) -> str:
    """An address that a person or program wrote, in the form in which addresses are compared.

    BIP 173/350 in lower case, base58 as it is, EVM in EIP-55. Raises `AddressMalformed` (also for mixed case),
    `AddressOnWrongNetwork`, and for EVM `EvmAddressMalformed`, `EvmAddressChecksumWrong`.
    """
    if isinstance(network, EvmNetwork):
        return evm.parse_address(text)
    payload = _base58(text)
    if payload is None:
        return _segwit(network, text)
    if payload[0] not in (network.p2pkh, *network.p2sh):
        raise AddressOnWrongNetwork(f"{text[:100]!r} is not an address of {network.name}")
    return text


_PAYLOAD_BYTES = 21
"""A version and the hash of a key or script."""


def _base58(text: str) -> bytes | None:
    try:
        payload = bytes(base58.decode_check(text))
    except (ValueError, AssertionError):
        return None
    return payload if len(payload) == _PAYLOAD_BYTES else None


def _segwit(network: BitcoinNetwork, text: str) -> str:
    prefix = text.lower().rpartition("1")[0]
    if text not in (text.lower(), text.upper()) or not prefix or bech32.decode(prefix, text) == (None, None):
        raise AddressMalformed(f"{text[:100]!r}")
    if prefix != network.hrp:
        raise AddressOnWrongNetwork(f"{text[:100]!r} is not an address of {network.name}")
    return text.lower()
