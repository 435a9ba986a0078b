"""Evidence from a real platform's own door, and what lies at the floats by real nodes: taken, or named as not taken."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fixtures_faces import Served, own_database, serve
from fixtures_incident import Shop, seen
from fixtures_signer import COIN, EVM, GAS_KEY, LTC, fresh_address
from holdfast.chains.evm_deploy import deploy_local_contract, token_arguments
from holdfast.chains.localnet import AnvilNode, RegtestNode
from holdfast.chains.port import NodeUnreachable
from holdfast.chains.zone_settings import NetworkAccess, NodeAccess
from holdfast.core.evm import address_bytes
from holdfast.core.orders import FloatKey
from holdfast.incident.affected import balances
from holdfast.incident.chain_reads import read_floats
from holdfast.incident.evidence import Manifest
from holdfast.incident.gather import seal
from holdfast.policy.record import Coin, Record
from holdfast.runtime.secret_files import write_secret

SAYS = ("reconciliation", "attention")


@pytest.fixture
def served(server: Any, tmp_path: Path) -> Iterator[Served]:
    """A platform's API as a process."""
    directory = tmp_path / "platform"
    directory.mkdir()
    with own_database(server) as url, serve(directory, url) as running:
        yield running


def sealed(shop: Shop, url: str, key: str) -> tuple[Manifest, Path]:
    """Everything that is taken with this way to the platform: the manifest, and where it lies."""
    write_secret(shop.config.parent / "platform.key", key)
    shop.set(f'platform_url = "{url}"\nplatform_key_file = "platform.key"\n')
    incident = shop.store.open("a theft", seen())
    _, manifest = asyncio.run(seal(shop.settings, shop.store, incident.id))
    return manifest, shop.store.path(incident.id) / "evidence" / "0001"


def test_what_the_platform_says_of_itself_is_sealed_as_what_it_said(shop: Shop, served: Served) -> None:
    manifest, directory = sealed(shop, served.url, served.operator)
    for name in SAYS:
        taken = json.loads((directory / "platform" / f"{name}.json").read_text())
        assert taken == served.call("GET", f"/v1/{name}").raise_for_status().json()
        [listed] = [one for one in manifest.files if one.path == f"platform/{name}.json"]
        assert (listed.source, listed.how) == ("the platform", f"GET /v1/{name}")
    assert [one.source for one in manifest.missing if "platform" in one.source] == []


def test_a_platform_that_refuses_the_key_is_named_and_costs_nothing_else(shop: Shop, served: Served) -> None:
    manifest, directory = sealed(shop, served.url, served.operator[:-1] + "x")
    refused = {one.source: one.why for one in manifest.missing}
    assert {f"platform: {name}" for name in SAYS} <= refused.keys()
    assert "HTTP 401" in refused["platform: reconciliation"]
    assert not (directory / "platform").exists()
    assert (directory / "watchtower" / "journal.json").exists()


def test_the_platforms_key_is_in_no_evidence(shop: Shop, served: Served) -> None:
    _, directory = sealed(shop, served.url, served.operator)
    assert not [one for one in directory.rglob("*") if one.is_file() and served.operator.encode() in one.read_bytes()]


def test_a_platform_that_is_gone_is_named(shop: Shop) -> None:
    manifest, _ = sealed(shop, "http://127.0.0.1:9", "hf_op00000000_" + "0" * 32)
    assert {f"platform: {name}" for name in SAYS} <= {one.source for one in manifest.missing}


def nodes(node: RegtestNode) -> NetworkAccess:
    return NetworkAccess(nodes=(NodeAccess(url=node.rpc_url, cookie_file=node.cookie_file),))


@pytest.mark.node
@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.xdist_group("litecoin")
async def test_what_lies_at_a_litecoin_float_is_read_from_the_chain_beside_what_the_journal_says(
    litecoin: RegtestNode,
) -> None:
    float_now, float_before = fresh_address(LTC), fresh_address(LTC)
    record = Record()
    record.floats[LTC.id] = FloatKey(LTC.id, "02" + "ab" * 32, float_now, "unused")
    record.old_floats.append(FloatKey(LTC.id, "02" + "cd" * 32, float_before, "unused"))
    coins = record.coins.setdefault(LTC.id, {})
    for address, units in ((float_now, 3 * COIN), (float_before, COIN)):
        txid = await litecoin.send(address, units)
        await litecoin.mine(1)
        for place in range(3):  # one of its outputs is the float's, the others are the payer's change
            coins[f"{txid}:{place}"] = Coin(f"{txid}:{place}", address, units, None)
    record.float_units[float_now, LTC.coin.id] = 5 * COIN
    lying = await read_floats(LTC.id, nodes(litecoin), record)
    assert lying == {(float_now, LTC.coin.id): 3 * COIN, (float_before, LTC.coin.id): COIN}
    told = {one.account: (one.journal_units, one.chain_units) for one in balances(record, [LTC.id], lying)}
    assert told[float_now] == (str(5 * COIN), str(3 * COIN)), "two coins are missing, and both figures stand there"


@pytest.mark.node
@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.xdist_group("anvil")
async def test_coin_and_tokens_at_an_evm_float_are_read_and_a_node_that_is_gone_leaves_it_unread(
    anvil_node: AnvilNode,
) -> None:
    token = await deploy_local_contract(anvil_node.rpc_url, "PlainToken", token_arguments("USDT", 6), GAS_KEY)
    place = fresh_address(EVM)
    minted = bytes.fromhex("40c10f19") + address_bytes(place).rjust(32, b"\0") + (700).to_bytes(32, "big")
    sender = (await anvil_node.accounts())[1]
    await anvil_node.transact({"from": sender, "to": token, "data": "0x" + minted.hex()})
    await anvil_node.send(place, 12_345)
    record = Record()
    record.floats[EVM.id] = FloatKey(EVM.id, "02" + "ab" * 32, place, "unused")
    node = NodeAccess(url=anvil_node.rpc_url)
    lying = await read_floats(EVM.id, NetworkAccess(nodes=(node,), tokens=(token,)), record)
    assert lying == {(place, EVM.coin.id): 12_345, (place, f"{EVM.id}/erc20:{token.lower()}"): 700}
    gone = NetworkAccess(nodes=(node, NodeAccess(url="http://127.0.0.1:9")), tokens=(token,))
    with pytest.raises(NodeUnreachable):
        await read_floats(EVM.id, gone, record)
