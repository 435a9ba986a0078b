"""Opens the nodes that a zone's own settings name, and says which tokens count there."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.chains.bitcoin import BitcoinNode
from holdfast.chains.evm import EvmNode
from holdfast.chains.outflow_agreement import Access
from holdfast.chains.port import Node
from holdfast.chains.rpc import Credentials
from holdfast.chains.zone_settings import NodeAccess
from holdfast.core.evm import address_bytes
from holdfast.core.money import Asset
from holdfast.core.networks import BitcoinNetwork, EvmNetwork, Network, erc20_asset


def accesses(network: Network, nodes: Sequence[NodeAccess]) -> list[Access]:
    """How to reach the nodes of one network, each by a name of its own. Raises `OSError` for a URL file that is not."""
    return [
        Access(
            _url(node), Credentials(node.cookie_file, node.rpcuser, node.rpcpassword_file), f"{network.name} node {n}"
        )
        for n, node in enumerate(nodes, 1)
    ]


def open_reader(network: Network, access: Access) -> Node:
    """One node, asked for its blocks. It connects when it is first asked. Raises `NodeUrlMalformed`."""
    if isinstance(network, BitcoinNetwork):
        return BitcoinNode(access.bitcoin(), network)
    return EvmNode(access.url, network, name=access.name, credentials=access.credentials)


def listed_tokens(network: Network, contracts: Sequence[str]) -> dict[str, Asset]:
    """These token contracts, lower case, and their assets; none but on EVM networks. Raises what `core.evm` names."""
    if not isinstance(network, EvmNetwork):
        return {}
    lower = ["0x" + address_bytes(contract).hex() for contract in contracts]
    return {contract: erc20_asset(network, contract, "", 0) for contract in lower}


def _url(node: NodeAccess) -> str:
    if node.url is not None:
        return node.url
    return node.url_file.read_text(encoding="ascii").strip() if node.url_file is not None else ""
