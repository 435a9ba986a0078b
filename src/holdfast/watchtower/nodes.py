"""Opens the watchtower's own nodes, by family."""

from __future__ import annotations

from typing import assert_never

from holdfast.chains.agreement import AgreeingNodes
from holdfast.chains.bitcoin import BitcoinAccess, BitcoinNode
from holdfast.chains.bitcoin_outgoing import BitcoinLookout
from holdfast.chains.bitcoin_vault import BitcoinVaultNode
from holdfast.chains.evm import EvmNode
from holdfast.chains.evm_outgoing import EvmLookout
from holdfast.chains.evm_vault import EvmVaultNode
from holdfast.chains.outflow_agreement import Access, AgreeingOutflows, open_outflow
from holdfast.chains.outgoing import Lookout, Trail
from holdfast.chains.port import Node
from holdfast.chains.rpc import Credentials
from holdfast.chains.vault_reads import AgreeingVaultNodes, VaultNode
from holdfast.core.evm import address_bytes
from holdfast.core.money import Asset
from holdfast.core.networks import BitcoinNetwork, EvmNetwork, Network, erc20_asset
from holdfast.watchtower.settings import NetworkAccess, NodeAccess


def accesses(network: Network, access: NetworkAccess) -> list[Access]:
    """How to reach the nodes of one network."""
    return [
        Access(
            _url(node), Credentials(node.cookie_file, node.rpcuser, node.rpcpassword_file), f"{network.name} node {n}"
        )
        for n, node in enumerate(access.nodes, 1)
    ]


def open_lookouts(network: Network, access: NetworkAccess) -> tuple[Lookout, ...]:
    """One for each node. Raises `NodeUrlMalformed`."""
    return tuple(_open_one(network, one) for one in accesses(network, access))


def open_readers(network: Network, access: NetworkAccess) -> tuple[AgreeingNodes, AgreeingOutflows]:
    """All nodes as one, for what must be the same on all. Raises `NodeUrlMalformed`."""
    found = accesses(network, access)
    return AgreeingNodes([_open_reader(network, one) for one in found]), open_outflow(network, found)


def open_vault(network: Network, access: NetworkAccess, safe: str) -> AgreeingVaultNodes:
    """All nodes as one, asked what lies in the vault. Raises `NodeUrlMalformed`."""
    return AgreeingVaultNodes([_open_vault(network, access, one, safe) for one in accesses(network, access)])


def tokens(network: Network, access: NetworkAccess) -> dict[str, Asset]:
    """The listed token contracts, lower case, and their assets. Raises what `core.evm` names."""
    if not isinstance(network, EvmNetwork):
        return {}
    contracts = ["0x" + address_bytes(token).hex() for token in access.tokens]
    return {contract: erc20_asset(network, contract, "", 0) for contract in contracts}


def _open_one(network: Network, access: Access) -> Lookout:
    files = access.credentials
    match network:
        case BitcoinNetwork():
            where = BitcoinAccess(access.url, files.cookie_file, files.user, files.password_file, access.name)
            return BitcoinLookout(where, network, Trail())
        case EvmNetwork():
            return EvmLookout(access.url, network, Trail(), name=access.name, credentials=files)
        case never:
            assert_never(never)


def _open_reader(network: Network, access: Access) -> Node:
    files = access.credentials
    if isinstance(network, BitcoinNetwork):
        where = BitcoinAccess(access.url, files.cookie_file, files.user, files.password_file, access.name)
        return BitcoinNode(where, network)
    return EvmNode(access.url, network, name=access.name, credentials=files)


def _open_vault(network: Network, access: NetworkAccess, one: Access, safe: str) -> VaultNode:
    files = one.credentials
    if isinstance(network, BitcoinNetwork):
        where = BitcoinAccess(one.url, files.cookie_file, files.user, files.password_file, one.name)
        return BitcoinVaultNode(where, network)
    return EvmVaultNode(one.url, network, safe, tokens(network, access), name=one.name, credentials=files)


def _url(node: NodeAccess) -> str:
    if node.url is not None:
        return node.url
    return node.url_file.read_text(encoding="ascii").strip() if node.url_file is not None else ""
