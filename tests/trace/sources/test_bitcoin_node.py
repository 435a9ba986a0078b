"""Transfers from a real node of the Bitcoin family: exact, complete, and right again after a reorganisation."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest
import pytest_asyncio

from holdfast.chains.bitcoin_blocks import double_sha256
from holdfast.chains.localnet import RegtestNode
from holdfast.trace.evidence import Evidence
from holdfast.trace.model import FEES, Movement, Transfer
from holdfast.trace.sources.beside import Beside
from holdfast.trace.sources.bitcoin_node import BitcoinNodeSource
from holdfast.trace.sources.bitcoin_transfers import memo_of
from holdfast.trace.sources.port import Noticed, Wanted
from holdfast.trace.sources.pull import pull
from holdfast.trace.store import Store

pytestmark = [pytest.mark.node, pytest.mark.asyncio(loop_scope="session")]
COIN = 10**8


@pytest_asyncio.fixture(loop_scope="session")
async def chain(litecoin: RegtestNode) -> RegtestNode:
    """The shared node; its wallet's coins can be spent."""
    await litecoin.mine(1)
    return litecoin


def source(node: RegtestNode, beside: Beside | None = None, *more: RegtestNode) -> BitcoinNodeSource:
    accesses = [each.access(f"node-{number}") for number, each in enumerate((node, *more))]
    return BitcoinNodeSource(accesses, node.network, beside or Beside())


async def pulled(node: RegtestNode, store: Store, wanted: Wanted, beside: Beside | None = None) -> None:
    one = source(node, beside)
    try:
        await pull(one, wanted, store)
    finally:
        await one.close()


def by_transaction(store: Store, node: RegtestNode, transactions: set[str]) -> dict[str, list[Transfer]]:
    found = defaultdict(list)
    for each in store.of_transactions(node.network.id, transactions):
        found[each.transaction].append(each)
    return found


async def test_what_goes_into_a_transaction_comes_out_of_it(chain: RegtestNode, tmp_path: Path) -> None:
    payee = await chain.new_address()
    txid = await chain.send(payee, 3 * COIN + 7)
    await chain.mine(1)
    with Store(tmp_path) as store:
        await pulled(chain, store, Wanted())
        moves = by_transaction(store, chain, {txid})[txid]
        kinds = [each.movement for each in moves]
        assert kinds == sorted(kinds, key=[Movement.INPUT, Movement.OUTPUT, Movement.FEE].index)
        inputs = sum(each.units for each in moves if each.movement is Movement.INPUT)
        assert inputs == sum(each.units for each in moves if each.source == txid) > 3 * COIN
        assert moves[-1].target == FEES
        [paid] = [each for each in moves if each.target == payee]
        assert (paid.units, paid.outpoint.partition(":")[0]) == (3 * COIN + 7, txid)
        assert store.arriving(chain.network.id, [payee]) == [paid]
        [made] = [each for each in store.of_transactions(chain.network.id, [moves[0].outpoint.partition(":")[0]])
                  if each.outpoint == moves[0].outpoint and each.movement is Movement.OUTPUT]  # fmt: skip
        assert (made.target, made.units) == (moves[0].source, moves[0].units)
        assert len({(each.height, each.order) for each in moves}) == len(moves)


async def test_only_what_touches_an_address_is_kept_where_addresses_are_named(
    chain: RegtestNode, tmp_path: Path
) -> None:
    payee, other = await chain.new_address(), await chain.new_address()
    wanted, unwanted = await chain.send(payee, COIN), await chain.send(other, COIN)
    await chain.mine(1)
    with Store(tmp_path) as store:
        await pulled(chain, store, Wanted(addresses=frozenset({payee})))
        found = by_transaction(store, chain, {wanted, unwanted})
        assert set(found) == {wanted}
        assert {each.movement for each in found[wanted]} == set(Movement) & {
            Movement.INPUT, Movement.OUTPUT, Movement.FEE,
        }  # fmt: skip


async def test_stolen_coins_are_followed_from_spend_to_spend(chain: RegtestNode, tmp_path: Path) -> None:
    """From its transaction alone; the loot is all that the wallet spends next, the unrelated payment is left out."""
    address = await chain.new_address()
    begin = await chain.height() + 1
    theft = await chain.send(address, 2 * COIN)
    await chain.mine(1)
    wanted = Wanted(transactions=frozenset({theft}), height_from=begin)
    with Store(tmp_path) as store:
        await pulled(chain, store, wanted, Beside(known=store))
        before = len(store)
        [loot] = [each for each in by_transaction(store, chain, {theft})[theft] if each.target == address]
        second = await chain.spend(loot.outpoint, await chain.new_address(), loot.units - 1_000)
        await chain.mine(1)
        await pulled(chain, store, wanted, Beside(known=store))  # goes on where it stopped: the watch is in the cursor
        assert len(store) == before + 3
        [spent, kept, fee] = by_transaction(store, chain, {second})[second]
        assert (spent.outpoint, spent.units) == (loot.outpoint, loot.units)
        assert (kept.units, fee.units) == (loot.units - 1_000, 1_000)


async def test_a_reorganisation_takes_back_what_it_undid(chain: RegtestNode, tmp_path: Path) -> None:
    payee = await chain.new_address()
    begin = await chain.height()
    txid = await chain.send(payee, COIN)
    await chain.mine(2)
    with Store(tmp_path) as store:
        await pulled(chain, store, Wanted(height_from=begin), Beside(known=store))
        [before] = store.arriving(chain.network.id, [payee])
        assert before.height == begin + 1
        await chain.invalidate(await chain.block_hash(begin + 1))
        await chain.mine_only()
        await chain.mine(3)
        await pulled(chain, store, Wanted(height_from=begin), Beside(known=store))
        [after] = store.arriving(chain.network.id, [payee])
        assert (after.height, after.transaction) == (begin + 2, txid)
        [told] = store.pulled.values()
        assert told.noticed[Noticed.REORGANISED] == 2


async def test_an_input_that_nobody_knows_is_counted_and_said(chain: RegtestNode, tmp_path: Path) -> None:
    """A pull that begins late, of a node without an index of transactions."""
    txid = await chain.send(await chain.new_address(), COIN)
    await chain.mine(1)
    with Store(tmp_path) as store:
        await pulled(chain, store, Wanted(height_from=await chain.height()))
        [told] = store.pulled.values()
        assert told.noticed[Noticed.PREVOUT] > 0
        assert "txindex=1" in told.stopped[0]
        assert {each.movement for each in by_transaction(store, chain, {txid})[txid]} == {Movement.OUTPUT}


async def test_raw_blocks_of_two_nodes_are_evidence(chain: RegtestNode, tmp_path: Path) -> None:
    """Both nodes' bytes have a line of their own in the manifest, and one file: they are the same."""
    txid = await chain.send(await chain.new_address(), COIN)
    await chain.mine(1)
    evidence = Evidence(tmp_path / "evidence")
    with Store(tmp_path / "store") as store:
        one = source(chain, Beside(evidence=evidence, clock=lambda: 77), chain)
        await pull(one, Wanted(height_from=await chain.height()), store)
        await one.close()
        move = by_transaction(store, chain, {txid})[txid][0]
    first = evidence.exhibits[move.evidence]
    [other] = [each for each in evidence.exhibits.values() if each.id != first.id]
    assert (first.source, other.source, first.sha256, first.at) == ("node-0", "node-1", other.sha256, 77)
    assert first.block_hash == await chain.best_hash()
    assert double_sha256(evidence.raw(first.id)[:80])[::-1].hex() == first.block_hash
    assert Evidence(tmp_path / "evidence").altered() == []


@pytest.mark.parametrize(
    ("script", "memo"),
    [
        ("6a" + "0b" + b"=:ETH.ETH:0".hex(), "=:ETH.ETH:0"),
        ("6a4c03" + b"abc".hex(), "abc"),
        ("6a02ff00", "ff00"),
        ("6a", ""),
        ("0014" + "11" * 20, ""),
        ("6a4b00", "00"),
    ],
)
async def test_a_memo_is_what_an_output_carries(script: str, memo: str) -> None:
    assert memo_of(bytes.fromhex(script)) == memo
