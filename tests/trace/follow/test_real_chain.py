"""Laundering with known truth on a real node: split, peeled, mixed with clean coins, deposited; and found again."""

from __future__ import annotations

from pathlib import Path

import pytest
import pytest_asyncio
from tests.trace.follow.worlds import Known, balances, end_at, lies

from holdfast.chains.localnet import RegtestNode
from holdfast.trace.follow.engine import follow
from holdfast.trace.follow.thefts import Stolen, rows_of
from holdfast.trace.model import FEES, EndKind, LabelKind
from holdfast.trace.sources.beside import Beside
from holdfast.trace.sources.bitcoin_node import BitcoinNodeSource
from holdfast.trace.sources.port import Wanted
from holdfast.trace.sources.pull import pull
from holdfast.trace.store import Store

pytestmark = [pytest.mark.node, pytest.mark.asyncio(loop_scope="session")]
COIN, FEE, PEEL = 10**8, 10_000, 5_000_000


@pytest_asyncio.fixture(loop_scope="session")
async def chain(litecoin: RegtestNode) -> RegtestNode:
    """The shared node; its wallet plays everybody."""
    await litecoin.mine(1)
    return litecoin


async def test_a_peel_chain_a_mix_and_a_deposit_are_found_again(chain: RegtestNode, tmp_path: Path) -> None:
    thief, deposit, keep = [await chain.new_address() for _ in range(3)]
    begin = await chain.height()
    theft = await chain.send(thief, COIN)
    clean_txid = await chain.send(await chain.new_address(), COIN)
    await chain.mine(1)
    with Store(tmp_path) as store:
        await _read(chain, store, begin)
        [loot] = [row for row in store.of_transactions(chain.network.id, [theft]) if row.target == thief]
        [clean] = [
            row for row in store.of_transactions(chain.network.id, [clean_txid])
            if row.outpoint and row.units == COIN and row.source == clean_txid
        ]  # fmt: skip
        holding, left = loot.outpoint, COIN
        for _ in range(4):
            left -= PEEL + FEE
            pays = {await chain.new_address(): PEEL, await chain.new_address(): left}
            holding = f"{await chain.spend_all([holding], pays)}:1"
        await chain.mine(1)
        await chain.spend_all([holding, clean.outpoint], {deposit: COIN, keep: left - FEE})
        await chain.mine(1)
        await _read(chain, store, begin)
        names = Known(**{deposit: LabelKind.EXCHANGE})
        stolen = rows_of(store, Stolen(chain.network.id, theft, thief))
        trace = follow(store, names, stolen)
    (peeled,) = trace.chains
    assert (len(peeled.steps), len(peeled.peels)) == (4, 4)
    assert peeled.ended == "money from elsewhere went on with it"
    assert end_at(trace, deposit).kind is EndKind.SERVICE
    assert lies(trace, deposit) == COIN * left // (left + COIN)
    assert (lies(trace, deposit, "fifo"), lies(trace, keep, "fifo")) == (left, 0)
    assert lies(trace, FEES, "fifo") == 4 * FEE
    assert not balances(trace)


async def _read(chain: RegtestNode, store: Store, begin: int) -> None:
    source = BitcoinNodeSource([chain.access("node")], chain.network, Beside(known=store))
    try:
        await pull(source, Wanted(height_from=begin), store)
    finally:
        await source.close()
