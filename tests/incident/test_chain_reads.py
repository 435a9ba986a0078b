"""What is taken from real nodes: signed bytes, blocks' headers, who was paid how much; what a node lacks is named."""

from collections.abc import Sequence

import pytest

from holdfast.chains.localnet import AnvilNode, RegtestNode
from holdfast.chains.zone_settings import NodeAccess
from holdfast.core.networks import BitcoinNetwork, known_network
from holdfast.incident.chain_reads import NodeEvidence, read_node
from holdfast.incident.record import Touched
from holdfast.policy.record import Record

LTC, ETH = known_network("litecoin-regtest"), known_network("anvil")
UNKNOWN = "ab" * 32


async def taken(network: str, node: NodeAccess, names: Sequence[str], record: Record | None = None) -> NodeEvidence:
    return await read_node(network, node, [Touched(network, one) for one in names], record or Record())


def litecoin_access(litecoin: RegtestNode) -> NodeAccess:
    return NodeAccess(url=litecoin.rpc_url, cookie_file=litecoin.cookie_file)


@pytest.mark.node
@pytest.mark.xdist_group("litecoin")
async def test_a_bitcoin_payment_is_taken_waiting_and_mined_and_a_stranger_is_named(litecoin: RegtestNode) -> None:
    assert isinstance(LTC, BitcoinNetwork)
    await litecoin.mine()
    address = await litecoin.new_address()
    txid = await litecoin.send(address, 1_234_567)
    waiting = await taken(LTC.id, litecoin_access(litecoin), [txid])
    assert waiting.shown[0].block == ""
    [block] = await litecoin.mine()
    mined = await taken(LTC.id, litecoin_access(litecoin), [txid, UNKNOWN])
    [shown] = mined.shown
    assert (shown.block, shown.height, shown.is_journaled) == (block, await litecoin.height(), False)
    assert ("1234567", address) in [(one.units, one.destination) for one in shown.payments]
    assert shown.inputs
    assert len(bytes.fromhex(mined.texts[f"{txid}.header"].decode())) == 80
    assert bytes.fromhex(mined.texts[f"{txid}.raw"].decode())
    assert list(mined.missing) == [f"transaction {UNKNOWN}"]


@pytest.mark.node
@pytest.mark.xdist_group("litecoin")
async def test_what_the_journal_ordered_is_said_to_be_ordered(litecoin: RegtestNode) -> None:
    txid = await litecoin.send(await litecoin.new_address(), 100_000)
    ours = Record()
    ours.transactions[txid] = 1
    [shown] = (await taken(LTC.id, litecoin_access(litecoin), [txid], ours)).shown
    assert shown.is_journaled


@pytest.mark.node
@pytest.mark.xdist_group("anvil")
async def test_an_evm_payment_is_taken_with_its_receipt_and_its_block(anvil_node: AnvilNode) -> None:
    [sender, receiver, *_] = await anvil_node.accounts()
    txid = await anvil_node.send(receiver, 7 * 10**15, sender=sender)
    found = await taken(ETH.id, NodeAccess(url=anvil_node.rpc_url), [txid, "0x" + UNKNOWN])
    [shown] = found.shown
    [payment] = shown.payments
    assert (payment.source.lower(), payment.destination.lower()) == (sender.lower(), receiver.lower())
    assert (payment.units, payment.asset, payment.place) == (str(7 * 10**15), ETH.coin.id, None)
    assert shown.height is not None
    assert {f"{txid}.json", f"{txid}.receipt.json", f"{txid}.header.json", "tip.json"} <= set(found.texts)
    assert f"transaction 0x{UNKNOWN}" in found.missing


async def test_a_node_that_is_gone_is_named_for_everything_that_it_did_not_give() -> None:
    found = await taken(ETH.id, NodeAccess(url="http://127.0.0.1:9"), ["0xaa"])
    assert (found.texts, found.shown) == ({}, [])
    assert set(found.missing) == {"newest block", "transaction 0xaa"}
