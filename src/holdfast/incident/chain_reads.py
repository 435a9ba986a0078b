"""What is taken from the incident process' own nodes: raw transactions, their blocks' headers, what lies at the floats.

Each node is asked by itself and its answers are kept apart, so that a lying one is evidence too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from holdfast.chains.evm_reads import RpcLog
from holdfast.chains.outflow import Wanted
from holdfast.chains.outflow_agreement import Access, open_outflow
from holdfast.chains.own_nodes import listed_tokens
from holdfast.chains.port import NodeAnswerMalformed, NodeRefused
from holdfast.chains.rpc import Credentials, Limits, RpcClient
from holdfast.chains.zone_settings import NetworkAccess, NodeAccess
from holdfast.core.errors import HoldfastError, NotFound
from holdfast.core.networks import BitcoinNetwork, EvmNetwork, Network, network_by_id
from holdfast.incident.affected import (
    EvmSent,
    Payment,
    TransactionShown,
    bitcoin_payments,
    by_asset,
    evm_payments,
    outpoints,
)
from holdfast.incident.record import Touched
from holdfast.policy.record import Record

LIMITS = Limits(timeout_seconds=5, attempts_max=2)
LOOK_BACK_BLOCKS = 100
"""How far back a block is looked for where a node has no index of transactions."""
_HASHES_ONLY, _AS_BYTES, _IN_WORDS = False, False, True
_LISTED = 1


class TransactionUnknown(NotFound):
    """The node does not have this transaction, or not near enough to its newest block. Take it from an explorer."""

    code = "incident-transaction-unknown"


@dataclass(slots=True)
class NodeEvidence:
    """What one node gave: texts by file name, transactions as they were read, and what it did not give."""

    texts: dict[str, bytes] = field(default_factory=dict)
    shown: list[TransactionShown] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    """Why, by what was asked for."""


class _Listed(msgspec.Struct):
    tx: list[str]
    previous: str | None = msgspec.field(name="previousblockhash", default=None)


class _Receipt(msgspec.Struct):
    logs: list[RpcLog]


class _Mined(msgspec.Struct):
    block: str | None = msgspec.field(name="blockhash", default=None)


class _Placed(msgspec.Struct):
    height: int


async def read_node(network_id: str, node: NodeAccess, touched: Sequence[Touched], record: Record) -> NodeEvidence:
    """Everything that is taken from one node. What it does not give is named; nothing is raised but a wrong setting."""
    network, evidence = network_by_id(network_id), NodeEvidence()
    access = access_of(node, network_id)
    rpc = RpcClient(access.url, name=access.name, credentials=access.credentials, limits=LIMITS)
    try:
        await _tip(rpc, network, evidence)
        for name in dict.fromkeys(one.transaction for one in touched if one.network == network_id):
            try:
                if isinstance(network, BitcoinNetwork):
                    shown = await _bitcoin(rpc, network, name, evidence)
                else:
                    shown = await _evm(rpc, network, name, evidence)
            except (HoldfastError, ValueError) as error:
                evidence.missing[f"transaction {name}"] = str(error)[:300]
                continue
            is_journaled = name in record.transactions
            evidence.shown.append(msgspec.structs.replace(shown, is_journaled=is_journaled))
    finally:
        await rpc.close()
    return evidence


async def read_floats(network_id: str, access: NetworkAccess, record: Record) -> dict[tuple[str, str], int]:
    """What lies at the floats of a network, by address and asset; all nodes must agree. Raises what they raise."""
    network = network_by_id(network_id)
    addresses = frozenset(
        key.address for key in (*record.floats.values(), *record.old_floats) if key.network == network_id
    )
    nodes = open_outflow(network, [access_of(node, network_id) for node in access.nodes])
    try:
        wanted = Wanted(
            addresses, listed_tokens(network, access.tokens), outpoints=frozenset(outpoints(record, network_id))
        )
        return by_asset((await nodes.holding(wanted)).units)
    finally:
        await nodes.close()


def access_of(node: NodeAccess, name: str) -> Access:
    """How to reach a node. Raises `NodeUrlMalformed` later, where it cannot be."""
    url = node.url or ""
    if not url and node.url_file is not None and node.url_file.is_file():
        url = node.url_file.read_text(encoding="utf-8").strip()
    return Access(url, Credentials(node.cookie_file, node.rpcuser, node.rpcpassword_file), name)


async def _tip(rpc: RpcClient, network: Network, evidence: NodeEvidence) -> None:
    try:
        if isinstance(network, BitcoinNetwork):
            evidence.texts["tip.json"] = bytes(await rpc.call(msgspec.Raw, "getblockchaininfo"))
            newest = await rpc.call(str, "getbestblockhash")
            evidence.texts["tip.header"] = (await rpc.call(str, "getblockheader", newest, _AS_BYTES)).encode()
        else:
            raw = await rpc.call(msgspec.Raw, "eth_getBlockByNumber", "latest", _HASHES_ONLY)
            evidence.texts["tip.json"] = bytes(raw)
    except HoldfastError as error:
        evidence.missing["newest block"] = str(error)[:300]


async def _bitcoin(rpc: RpcClient, network: BitcoinNetwork, name: str, evidence: NodeEvidence) -> TransactionShown:
    raw, block = await _found(rpc, name)
    evidence.texts[f"{name}.raw"] = raw.encode()
    height = None
    if block:
        evidence.texts[f"{name}.header"] = (await rpc.call(str, "getblockheader", block, _AS_BYTES)).encode()
        height = (await rpc.call(_Placed, "getblockheader", block, _IN_WORDS)).height
    inputs, payments = bitcoin_payments(network, bytes.fromhex(raw))
    return _shown(network.id, name, rpc.name, (block, height), inputs, payments)


async def _found(rpc: RpcClient, name: str) -> tuple[str, str]:
    """Raw transaction, and its block or nothing. Raises `TransactionUnknown` and what the node raises."""
    try:
        raw = await rpc.call(str, "getrawtransaction", name, _AS_BYTES)
    except NodeRefused:
        block: str | None = await rpc.call(str, "getbestblockhash")
        for _ in range(LOOK_BACK_BLOCKS):
            if block is None:
                break
            listed = await rpc.call(_Listed, "getblock", block, _LISTED)
            if name in listed.tx:
                return await rpc.call(str, "getrawtransaction", name, _AS_BYTES, block), block
            block = listed.previous
        raise TransactionUnknown(f"{rpc.name}: {name}") from None
    mined = await rpc.call(_Mined, "getrawtransaction", name, _IN_WORDS)
    return raw, mined.block or ""


async def _evm(rpc: RpcClient, network: EvmNetwork, name: str, evidence: NodeEvidence) -> TransactionShown:
    raw = bytes(await rpc.call(msgspec.Raw, "eth_getTransactionByHash", name))
    if raw == b"null":
        raise TransactionUnknown(f"{rpc.name}: {name}")
    evidence.texts[f"{name}.json"] = raw
    sent = _decoded(rpc, raw)
    logs: list[RpcLog] = []
    if sent.block:
        receipt = bytes(await rpc.call(msgspec.Raw, "eth_getTransactionReceipt", name))
        evidence.texts[f"{name}.receipt.json"] = receipt
        logs = msgspec.json.decode(receipt, type=_Receipt).logs
        header = await rpc.call(msgspec.Raw, "eth_getBlockByHash", sent.block, _HASHES_ONLY)
        evidence.texts[f"{name}.header.json"] = bytes(header)
    try:
        evidence.texts[f"{name}.raw"] = bytes(await rpc.call(msgspec.Raw, "eth_getRawTransactionByHash", name))
    except NodeRefused as error:
        evidence.missing[f"signed bytes of {name}"] = str(error)[:300]
    height = int(sent.height, 16) if sent.height else None
    payments = evm_payments(network, sent, logs)
    return _shown(network.id, name, rpc.name, (sent.block or "", height), (), payments)


def _decoded(rpc: RpcClient, raw: bytes) -> EvmSent:
    try:
        return msgspec.json.decode(raw, type=EvmSent)
    except msgspec.DecodeError as error:
        raise NodeAnswerMalformed(f"{rpc.name}: {error}") from None


def _shown(  # noqa: PLR0913  a row's columns
    network: str, name: str, node: str, place: tuple[str, int | None], inputs: tuple[str, ...],
    payments: tuple[Payment, ...],
) -> TransactionShown:  # fmt: skip
    block, height = place
    return TransactionShown(network, name, node, block, height, is_journaled=False, inputs=inputs, payments=payments)
