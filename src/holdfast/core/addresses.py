"""Deposit addresses from a vault's public data: one function for both families. Pure; holds no key."""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.core import evm
from holdfast.core.descriptors import VaultDescriptor
from holdfast.core.errors import BadInput
from holdfast.core.networks import BitcoinNetwork, EvmNetwork, Network


class VaultOnWrongNetwork(BadInput):
    """The vault is of another family than the network. Configure a descriptor for Bitcoin's family, a factory for EVM."""

    code = "vault-on-wrong-network"


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
