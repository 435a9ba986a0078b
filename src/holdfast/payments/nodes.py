"""From the settings of a network to its nodes, behind one port: all of them must agree, always."""

from __future__ import annotations

from typing import assert_never

from holdfast.chains.agreement import AgreeingNodes
from holdfast.chains.bitcoin import BitcoinAccess, BitcoinNode
from holdfast.chains.bitcoin_outflow import BitcoinOutflow
from holdfast.chains.bitcoin_vault import BitcoinVaultNode
from holdfast.chains.evm import EvmNode
from holdfast.chains.evm_outflow import EvmOutflow
from holdfast.chains.evm_vault import EvmVaultNode, tokens_of
from holdfast.chains.outflow import OutflowNode
from holdfast.chains.outflow_agreement import AgreeingOutflows
from holdfast.chains.port import Node
from holdfast.chains.rpc import Credentials
from holdfast.chains.vault_reads import AgreeingVaultNodes, VaultNode
from holdfast.core.errors import BadInput
from holdfast.core.networks import BitcoinNetwork, EvmNetwork, Network
from holdfast.runtime.secret_files import read_secret
from holdfast.runtime.settings import NetworkSettings, NodeSettings


class NodeUrlMissing(BadInput):
    """A node is configured without a URL. Set `url`, or `url_file` where the URL contains a key."""

    code = "node-url-missing"


def open_node(settings: NetworkSettings) -> Node:
    """All nodes of a network as one. They connect when they are first asked.

    Raises `NodesMissing`, `NodeUrlMissing`, `NodeUrlMalformed`, and what reading a secret file raises.
    """
    network = settings.network
    return AgreeingNodes([open_one(network, node, number) for number, node in enumerate(settings.nodes, 1)])


def open_one(network: Network, settings: NodeSettings, number: int) -> Node:
    """One configured node, believed about nothing by itself. Raises as `open_node`."""
    name = f"{network.name} node {number}"
    url = _url(settings, name)
    match network:
        case BitcoinNetwork():
            access = BitcoinAccess(url, settings.cookie_file, settings.rpcuser, settings.rpcpassword_file, name)
            return BitcoinNode(access, network)
        case EvmNetwork():
            credentials = Credentials(settings.cookie_file, settings.rpcuser, settings.rpcpassword_file)
            return EvmNode(url, network, name=name, credentials=credentials)
        case never:
            assert_never(never)


def open_outflow(settings: NetworkSettings) -> OutflowNode:
    """The same nodes, asked about money going out and handed what is to be sent. Raises as `open_node`."""
    network = settings.network
    return AgreeingOutflows([_one_outflow(network, node, number) for number, node in enumerate(settings.nodes, 1)])


def _one_outflow(network: Network, settings: NodeSettings, number: int) -> OutflowNode:
    name = f"{network.name} node {number}"
    url = _url(settings, name)
    match network:
        case BitcoinNetwork():
            access = BitcoinAccess(url, settings.cookie_file, settings.rpcuser, settings.rpcpassword_file, name)
            return BitcoinOutflow(access, network)
        case EvmNetwork():
            credentials = Credentials(settings.cookie_file, settings.rpcuser, settings.rpcpassword_file)
            return EvmOutflow(url, network, name=name, credentials=credentials)
        case never:
            assert_never(never)


def open_vault_node(settings: NetworkSettings) -> VaultNode:
    """The same nodes, asked about the vault. Raises as `open_node`."""
    return AgreeingVaultNodes([_one_vault(settings, node, number) for number, node in enumerate(settings.nodes, 1)])


def _one_vault(settings: NetworkSettings, node: NodeSettings, number: int) -> VaultNode:
    network = settings.network
    name = f"{network.name} node {number}"
    url = _url(node, name)
    match network:
        case BitcoinNetwork():
            access = BitcoinAccess(url, node.cookie_file, node.rpcuser, node.rpcpassword_file, name)
            return BitcoinVaultNode(access, network)
        case EvmNetwork():
            credentials = Credentials(node.cookie_file, node.rpcuser, node.rpcpassword_file)
            tokens = tokens_of(settings.assets)
            return EvmVaultNode(url, network, settings.vault or "", tokens, name=name, credentials=credentials)
        case never:
            assert_never(never)


def _url(settings: NodeSettings, name: str) -> str:
    if settings.url is not None:
        return settings.url
    if settings.url_file is not None:
        return read_secret(settings.url_file)
    raise NodeUrlMissing(name)
