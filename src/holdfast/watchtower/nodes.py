"""Opens the watchtower's own nodes, by family."""

from __future__ import annotations

from typing import assert_never

from holdfast.chains.agreement import AgreeingNodes
from holdfast.chains.bitcoin_outgoing import BitcoinLookout
from holdfast.chains.bitcoin_vault import BitcoinVaultNode
from holdfast.chains.evm_outgoing import EvmLookout
from holdfast.chains.evm_vault import EvmVaultNode
from holdfast.chains.outflow_agreement import Access, AgreeingOutflows, open_outflow
from holdfast.chains.outgoing import Lookout, Trail
from holdfast.chains.own_nodes import accesses, listed_tokens, open_reader
from holdfast.chains.vault_reads import AgreeingVaultNodes, VaultNode
from holdfast.chains.zone_settings import NetworkAccess
from holdfast.core.networks import BitcoinNetwork, EvmNetwork, Network


def open_lookouts(network: Network, access: NetworkAccess) -> tuple[Lookout, ...]:
    """One for each node. Raises `NodeUrlMalformed`."""
    return tuple(_open_one(network, one) for one in accesses(network, access.nodes))


def open_readers(network: Network, access: NetworkAccess) -> tuple[AgreeingNodes, AgreeingOutflows]:
    """All nodes as one, for what must be the same on all. Raises `NodeUrlMalformed`."""
    found = accesses(network, access.nodes)
    return AgreeingNodes([open_reader(network, one) for one in found]), open_outflow(network, found)


def open_vault(network: Network, access: NetworkAccess, safe: str) -> AgreeingVaultNodes:
    """All nodes as one, asked what lies in the vault. Raises `NodeUrlMalformed`."""
    return AgreeingVaultNodes([_open_vault(network, access, one, safe) for one in accesses(network, access.nodes)])


def _open_one(network: Network, access: Access) -> Lookout:
    match network:
        case BitcoinNetwork():
            return BitcoinLookout(access.bitcoin(), network, Trail())
        case EvmNetwork():
            return EvmLookout(access.url, network, Trail(), name=access.name, credentials=access.credentials)
        case never:
            assert_never(never)


def _open_vault(network: Network, access: NetworkAccess, one: Access, safe: str) -> VaultNode:
    if isinstance(network, BitcoinNetwork):
        return BitcoinVaultNode(one.bitcoin(), network)
    tokens = listed_tokens(network, access.tokens)
    return EvmVaultNode(one.url, network, safe, tokens, name=one.name, credentials=one.credentials)
