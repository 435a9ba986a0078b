"""What a real litecoind says about the float: what came, what left, who took it, what it costs, and sending."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from fixtures_lies import lying_proxy
from fixtures_outflow import COIN_UNITS, FEE_UNITS, PAID_UNITS, Float
from holdfast.chains import bitcoin_spenders
from holdfast.chains.bitcoin import BitcoinAccess
from holdfast.chains.bitcoin_outflow import BitcoinOutflow
from holdfast.chains.localnet import RegtestNode
from holdfast.chains.outflow import Known, Mined, NodeBehind, SendRefused, Spent, Status, Wanted
from holdfast.chains.port import Header, NodeAnswerMalformed, NodeBlockGone, NodeOnWrongNetwork, NodeUnreachable
from holdfast.chains.rpc import Limits
from holdfast.core.networks import BitcoinNetwork, known_network

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("litecoin")]

HASTY = Limits(timeout_seconds=10, attempts_max=2, backoff_seconds=0.01)


@pytest.fixture
async def ours(litecoin: RegtestNode) -> AsyncIterator[Float]:
    node = BitcoinOutflow(litecoin.access(), litecoin.network, HASTY)
    await litecoin.mine()
    yield Float(litecoin, node)
    await node.close()
    await litecoin.mine()


# What came and what left, block by block


async def test_what_came_to_the_float_is_in_its_block(ours: Float) -> None:
    coin = await ours.fund(1_234_567)
    block = await ours.node.block(await ours.chain.height(), ours.wanted)
    assert block.header.hash == await ours.chain.best_hash()
    [arrival] = block.funded
    assert (arrival.key, arrival.address, arrival.units) == (coin, ours.address, 1_234_567)
    assert (arrival.asset, arrival.confirmations_min) == (ours.chain.network.coin.id, 1)
    assert (block.mined, block.spent) == ((), ())


async def test_a_miners_reward_at_the_float_cannot_be_spent_at_once(ours: Float) -> None:
    await ours.chain.mine(1, to=ours.address)
    [reward] = (await ours.node.block(await ours.chain.height(), ours.wanted)).funded
    assert reward.confirmations_min == 100


async def test_our_transaction_its_change_and_what_it_spent_are_in_its_block(ours: Float) -> None:
    coin = await ours.fund()
    signed = await ours.payment(coin)
    await ours.node.send(signed.raw)
    await ours.chain.mine()
    wanted = Wanted(frozenset({ours.address}), {}, frozenset({signed.txid, "f" * 64}), frozenset({coin}))
    block = await ours.node.block(await ours.chain.height(), wanted)
    assert block.mined == (Mined(signed.txid),)
    assert block.spent == (Spent(coin, signed.txid),)
    change = COIN_UNITS - PAID_UNITS - FEE_UNITS
    assert [(each.key, each.units) for each in block.funded] == [(f"{signed.txid}:1", change)]
    assert await ours.node.mined(block.header, ["f" * 64, signed.txid]) == [Mined(signed.txid)]


async def test_who_spends_in_the_very_block_that_made_it_is_named_without_asking(ours: Float) -> None:
    first = await ours.payment(await ours.fund())
    left = COIN_UNITS - PAID_UNITS - FEE_UNITS
    second = await ours.payment(f"{first.txid}:1", left)
    for each in (first, second):
        await ours.node.send(each.raw)
    await ours.chain.mine()
    block = await ours.node.block(await ours.chain.height(), ours.wanted)
    assert block.spent == (Spent(f"{first.txid}:1", second.txid),)
    assert [each.key for each in block.funded] == [f"{first.txid}:1", f"{second.txid}:1"]


async def test_a_block_that_nothing_is_wanted_of_is_only_a_header(ours: Float) -> None:
    await ours.fund()
    block = await ours.node.block(await ours.chain.height(), Wanted())
    assert (block.funded, block.mined, block.spent) == ((), (), ())


async def test_there_is_no_block_above_the_tip(ours: Float) -> None:
    with pytest.raises(NodeBlockGone):
        await ours.node.block(await ours.chain.height() + 1, ours.wanted)


async def test_after_a_reorganisation_another_block_is_at_the_height(ours: Float) -> None:
    await ours.fund()
    height = await ours.chain.height()
    before = await ours.node.block(height, ours.wanted)
    await ours.chain.reorganise(1, with_transactions=False)
    after = await ours.node.block(height, ours.wanted)
    assert after.header.hash != before.header.hash
    assert after.funded == ()
    with pytest.raises(NodeBlockGone):
        await ours.node.mined(Header(height, "e" * 64, "d" * 64, 0), [])


async def test_median_time_is_what_the_node_says(ours: Float) -> None:
    told = await ours.chain._rpc.call(dict[str, object], "getblockchaininfo")
    assert await ours.node.median_time() == told["mediantime"]


async def test_a_node_of_another_network_is_refused_before_anything_is_sent(ours: Float) -> None:
    bitcoin = known_network("bitcoin-regtest")
    assert isinstance(bitcoin, BitcoinNetwork)
    signed = await ours.payment(await ours.fund())
    node = BitcoinOutflow(ours.chain.access(), bitcoin, HASTY)
    with pytest.raises(NodeOnWrongNetwork):
        await node.send(signed.raw)
    await node.close()
    assert signed.txid not in await ours.chain.mempool()


# Spends that are not ours


async def test_coins_that_lie_still_are_no_alarm(ours: Float) -> None:
    coins = (await ours.fund(), await ours.fund())
    assert await ours.node.unexplained(Known(coins=coins)) == []


@pytest.mark.parametrize("is_mined", [False, True])
async def test_a_coin_that_somebody_takes_is_an_alarm_that_names_him(ours: Float, is_mined: bool) -> None:
    coin, other = await ours.fund(), await ours.fund()
    theft = await ours.theft(coin)
    await ours.node.send(theft.raw)
    if is_mined:
        await ours.chain.mine(2)
    assert await ours.node.unexplained(Known(coins=(other, coin))) == [f"{coin} is spent by {theft.txid}"]


async def test_a_theft_longer_ago_than_is_searched_is_an_alarm_without_a_name(
    ours: Float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bitcoin_spenders, "BLOCKS_SEARCHED_MAX", 2)
    coin = await ours.fund()
    await ours.node.send((await ours.theft(coin)).raw)
    await ours.chain.mine(3)
    assert await ours.node.unexplained(Known(coins=(coin,))) == [f"{coin} is spent in a block"]


async def test_in_a_long_queue_the_alarm_does_not_wait_for_the_thiefs_name(
    ours: Float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bitcoin_spenders, "MEMPOOL_SEARCHED_MAX", 0)
    coin = await ours.fund()
    await ours.node.send((await ours.theft(coin)).raw)
    assert await ours.node.unexplained(Known(coins=(coin,))) == [f"{coin} is spent by a transaction that waits"]


async def test_our_own_transaction_is_no_alarm_before_while_and_after_it_waits(ours: Float) -> None:
    coin = await ours.fund()
    signed = await ours.payment(coin)
    known = Known(coins=(f"{signed.txid}:1",), transactions={signed.txid: (coin,)})
    assert await ours.node.unexplained(known) == [], "this node has not heard of it, so its change is not there"
    await ours.node.send(signed.raw)
    assert await ours.node.unexplained(known) == []
    await ours.chain.mine(3)
    assert await ours.node.unexplained(known) == []


async def test_our_transactions_one_behind_the_other_are_no_alarm(ours: Float) -> None:
    coin = await ours.fund()
    left = COIN_UNITS - PAID_UNITS - FEE_UNITS
    first = await ours.payment(coin)
    second = await ours.payment(f"{first.txid}:1", left)
    known = Known(coins=(f"{second.txid}:1",), transactions={second.txid: (f"{first.txid}:1",), first.txid: (coin,)})
    assert await ours.node.unexplained(known) == [], "neither is there"
    await ours.node.send(first.raw)
    assert await ours.node.unexplained(known) == [], "the first waits"
    await ours.chain.mine()
    assert await ours.node.unexplained(known) == [], "the first is mined"
    await ours.node.send(second.raw)
    assert await ours.node.unexplained(known) == [], "the second waits"
    await ours.chain.mine()
    assert await ours.node.unexplained(known) == [], "both are mined"


async def test_a_version_that_was_replaced_is_no_alarm_even_if_it_is_mined(ours: Float) -> None:
    coin = await ours.fund()
    old, new = await ours.payment(coin), await ours.payment(coin, fee=3 * FEE_UNITS)
    known = Known(coins=(f"{new.txid}:1",), transactions={old.txid: (coin,), new.txid: (coin,)})
    await ours.node.send(old.raw)
    assert await ours.node.unexplained(known) == [], "the change of the new version is not there yet"
    await ours.chain.mine()
    assert await ours.node.unexplained(known) == [], "the change of the new version will never be there"


async def test_a_replacement_that_waits_is_no_alarm(ours: Float) -> None:
    coin = await ours.fund()
    old, new = await ours.payment(coin), await ours.payment(coin, fee=3 * FEE_UNITS)
    known = Known(coins=(f"{new.txid}:1",), transactions={old.txid: (coin,), new.txid: (coin,)})
    await ours.node.send(old.raw)
    await ours.node.send(new.raw)
    assert await ours.chain.mempool() == [new.txid]
    assert await ours.node.unexplained(known) == []


@pytest.mark.parametrize("is_mined", [False, True])
async def test_whoever_replaces_our_waiting_transaction_is_an_alarm(ours: Float, is_mined: bool) -> None:
    coin = await ours.fund()
    signed = await ours.payment(coin)
    theft = await ours.theft(coin)
    await ours.node.send(signed.raw)
    await ours.node.send(theft.raw)
    if is_mined:
        await ours.chain.mine()
    known = Known(coins=(f"{signed.txid}:1",), transactions={signed.txid: (coin,)})
    assert await ours.node.unexplained(known) == [f"{coin} is spent by {theft.txid}"]


@pytest.mark.parametrize("mined", ["none", "ours", "both"])
async def test_whoever_takes_our_change_is_an_alarm(ours: Float, mined: str) -> None:
    coin = await ours.fund()
    signed = await ours.payment(coin)
    change = f"{signed.txid}:1"
    theft = await ours.theft(change, COIN_UNITS - PAID_UNITS - FEE_UNITS)
    await ours.node.send(signed.raw)
    if mined == "ours":
        await ours.chain.mine()
    await ours.node.send(theft.raw)
    if mined == "both":
        await ours.chain.mine()
    known = Known(coins=(change,), transactions={signed.txid: (coin,)})
    assert await ours.node.unexplained(known) == [f"{change} is spent by {theft.txid}"]


async def test_a_theft_beside_our_own_transactions_is_the_only_alarm(ours: Float) -> None:
    mined, waiting, quiet, taken = [await ours.fund() for _ in range(4)]
    first, second, theft = await ours.payment(mined), await ours.payment(waiting), await ours.theft(taken)
    await ours.node.send(first.raw)
    await ours.chain.mine()
    await ours.node.send(second.raw)
    await ours.node.send(theft.raw)
    known = Known(
        coins=(quiet, taken, f"{first.txid}:1", f"{second.txid}:1"),
        transactions={first.txid: (mined,), second.txid: (waiting,)},
    )
    assert await ours.node.unexplained(known) == [f"{taken} is spent by {theft.txid}"]


@asynccontextmanager
async def counted(ours: Float) -> AsyncIterator[tuple[BitcoinOutflow, list[str]]]:
    """The same node, and every call that is made to it."""
    asked: list[str] = []

    def note(method: str, told: object) -> object:
        asked.append(method)
        return told

    async with lying_proxy(ours.chain.rpc_url) as proxy:
        proxy.lie = note
        node = BitcoinOutflow(BitcoinAccess(proxy.url, ours.chain.cookie_file), ours.chain.network, HASTY)
        yield node, asked
        await node.close()


async def test_a_block_is_searched_once_for_what_does_not_change(ours: Float) -> None:
    coin = await ours.fund()
    signed = await ours.payment(coin)
    await ours.node.send(signed.raw)
    await ours.chain.mine(2)
    known = Known(transactions={signed.txid: (coin,)})
    async with counted(ours) as (node, asked):
        assert await node.unexplained(known) == await node.unexplained(known) == []
        assert asked.count("getblock") == 2


async def test_a_block_is_searched_again_for_what_was_not_looked_for(ours: Float) -> None:
    first, second = await ours.fund(), await ours.fund()
    payment, theft = await ours.payment(first), await ours.theft(second)
    for each in (payment, theft):
        await ours.node.send(each.raw)
    await ours.chain.mine()
    known = Known(transactions={payment.txid: (first,)})
    async with counted(ours) as (node, _):
        assert await node.unexplained(known) == []
        assert await node.unexplained(replace(known, coins=(second,))) == [f"{second} is spent by {theft.txid}"]


@pytest.mark.parametrize("what", ["not sent", "never mined"])
async def test_the_chain_is_not_searched_for_what_is_not_there(ours: Float, what: str) -> None:
    coin = await ours.fund()
    old, new = await ours.payment(coin), await ours.payment(coin, fee=3 * FEE_UNITS)
    if what == "never mined":
        await ours.node.send(old.raw)
        await ours.chain.mine()
    known = Known(coins=(f"{new.txid}:1",), transactions={old.txid: (coin,), new.txid: (coin,)})
    async with counted(ours) as (node, asked):
        assert await node.unexplained(known) == []
        assert asked.count("getblock") == (1 if what == "never mined" else 0)


async def test_nor_for_what_stands_upon_it(ours: Float) -> None:
    coin = await ours.fund()
    first = await ours.payment(coin)
    second = await ours.payment(f"{first.txid}:1", COIN_UNITS - PAID_UNITS - FEE_UNITS)
    known = Known(coins=(f"{second.txid}:1",), transactions={second.txid: (f"{first.txid}:1",), first.txid: (coin,)})
    async with counted(ours) as (node, asked):
        assert await node.unexplained(known) == []
        await node.send(first.raw)
        assert await node.unexplained(known) == []
        assert "getblock" not in asked


async def test_a_node_that_cannot_name_spenders_is_asked_to_once(ours: Float) -> None:
    coin = await ours.fund()
    await ours.node.send((await ours.theft(coin)).raw)
    async with counted(ours) as (node, asked):
        for _ in range(2):
            assert len(await node.unexplained(Known(coins=(coin,)))) == 1
        assert asked.count("gettxspendingprevout") == 1


async def test_a_node_that_is_behind_judges_nothing(ours: Float) -> None:
    """Else a coin that it has not seen yet would look like one that somebody took."""
    known = Known(coins=("c" * 64 + ":0",), height=await ours.chain.height() + 1)
    with pytest.raises(NodeBehind):
        await ours.node.unexplained(known)


async def test_a_node_that_can_name_spenders_is_asked_instead_of_searched(ours: Float) -> None:
    """Bitcoin Core from 24 on has `gettxspendingprevout`; its answer, in the place of this node's refusal."""
    coin = await ours.fund()
    theft = await ours.theft(coin)
    await ours.node.send(theft.raw)

    def newer(method: str, told: dict[str, object]) -> dict[str, object]:
        assert method != "getrawmempool"
        if method != "gettxspendingprevout":
            return told
        spender = {"txid": coin[:64], "vout": int(coin[65:]), "spendingtxid": theft.txid}
        return {"id": told["id"], "error": None, "result": [spender]}

    async with lying_proxy(ours.chain.rpc_url) as proxy:
        proxy.lie = newer
        node = BitcoinOutflow(BitcoinAccess(proxy.url, ours.chain.cookie_file), ours.chain.network, HASTY)
        assert await node.unexplained(Known(coins=(coin,))) == [f"{coin} is spent by {theft.txid}"]
        await node.close()


# What lies there, and where a transaction is


async def test_what_is_held_is_what_lies_unspent_in_blocks(ours: Float) -> None:
    old = await ours.fund(1_000_001)
    new = await ours.fund(2_000_002)
    spent = await ours.fund()
    signed = await ours.payment(spent)
    await ours.node.send(signed.raw)
    outpoints = frozenset({old, new, spent, f"{signed.txid}:1", "f" * 64 + ":7"})
    holding = await ours.node.holding(Wanted(addresses=frozenset({ours.address}), outpoints=outpoints))
    assert holding.tip.hash == await ours.chain.best_hash()
    assert holding.units == {(ours.address, ours.chain.network.coin.id): 3_000_003}
    assert holding.confirmations == {old: 3, new: 2, f"{signed.txid}:1": 0}


async def test_what_is_held_is_of_one_block(ours: Float) -> None:
    """A block may come while the coins are asked for: then they are asked for again, a few times."""
    coin = await ours.fund()
    others = ["e" * 64]

    def later(method: str, told: Any) -> Any:
        is_other = method == "gettxout" and others
        return {**told, "result": {**told["result"], "bestblock": others[-1]}} if is_other else told

    def once(method: str, told: Any) -> Any:
        try:
            return later(method, told)
        finally:
            if method == "gettxout":
                others.clear()

    wanted = Wanted(addresses=frozenset({ours.address}), outpoints=frozenset({coin}))
    async with lying_proxy(ours.chain.rpc_url) as proxy:
        node = BitcoinOutflow(BitcoinAccess(proxy.url, ours.chain.cookie_file), ours.chain.network, HASTY)
        proxy.lie = later
        with pytest.raises(NodeBlockGone):
            await node.holding(wanted)
        proxy.lie = once
        assert (await node.holding(wanted)).confirmations == {coin: 1}
        await node.close()


async def test_a_transaction_is_unknown_then_waits_then_is_in_a_block(ours: Float) -> None:
    signed = await ours.payment(await ours.fund())
    assert await ours.node.status(signed.txid, 2) == Status()
    await ours.node.send(signed.raw)
    assert await ours.node.status(signed.txid, 2) == Status(is_waiting=True)
    await ours.chain.mine()
    place = await ours.node.tip()
    await ours.chain.mine(2)
    assert await ours.node.status(signed.txid, 2) == Status(block=place)


async def test_a_transaction_whose_change_is_spent_is_found_by_another_output(ours: Float) -> None:
    signed = await ours.payment(await ours.fund())
    await ours.node.send(signed.raw)
    await ours.chain.mine()
    place = await ours.node.tip()
    next_one = await ours.payment(f"{signed.txid}:1", COIN_UNITS - PAID_UNITS - FEE_UNITS)
    await ours.node.send(next_one.raw)
    assert await ours.node.status(signed.txid, 2) == Status(block=place)


# What it costs


async def test_without_an_estimate_the_fee_is_the_least_that_nodes_take(second_litecoin: RegtestNode) -> None:
    node = BitcoinOutflow(second_litecoin.access(), second_litecoin.network, HASTY)
    assert (await node.fees()).per_kvb == 1_000
    await node.close()


@pytest.mark.parametrize(
    ("estimate", "units"),
    [
        ('"feerate":0.00012345', 12_345),
        ('"feerate":-1', 1_000),
        ('"errors":["none"]', 1_000),
        ('"feerate":1.5', 150_000_000),
    ],
)
async def test_a_fee_is_read_to_the_last_digit(ours: Float, estimate: str, units: int) -> None:
    """`-1` is how old nodes say that they know none."""
    assert (await _fees_with(ours, estimate)) == units


@pytest.mark.parametrize("estimate", ['"feerate":1e-5', '"feerate":0.000000001', '"feerate":"0.001"', '"feerate":{}'])
async def test_a_fee_that_is_no_decimal_of_the_coin_is_not_guessed_at(ours: Float, estimate: str) -> None:
    with pytest.raises(NodeAnswerMalformed):
        await _fees_with(ours, estimate)


async def _fees_with(ours: Float, estimate: str) -> int:
    """The fee where the node's estimate is this."""
    async with lying_proxy(ours.chain.rpc_url) as proxy:

        def estimated(method: str, told: dict[str, object]) -> dict[str, object]:
            changed = {
                "estimatesmartfee": "ESTIMATE",
                "getmempoolinfo": {"mempoolminfee": "LEAST"},
                "getnetworkinfo": {"relayfee": "LEAST"},
            }
            return {**told, "result": changed[method]} if method in changed else told

        # The proxy's own JSON would write the fees another way than a node does.
        proxy.lie = estimated
        proxy.mangle = lambda body: body.replace(b'"ESTIMATE"', b"{%s}" % estimate.encode()).replace(
            b'"LEAST"', b"0.00001000"
        )
        node = BitcoinOutflow(BitcoinAccess(proxy.url, ours.chain.cookie_file), ours.chain.network, HASTY)
        try:
            return (await node.fees()).per_kvb
        finally:
            await node.close()


# Sending


async def test_the_same_bytes_may_be_sent_again_while_they_wait_and_once_they_are_mined(ours: Float) -> None:
    signed = await ours.payment(await ours.fund())
    for _ in range(3):
        await ours.node.send(signed.raw)
    assert await ours.chain.mempool() == [signed.txid]
    await ours.chain.mine()
    await ours.node.send(signed.raw)
    assert await ours.chain.mempool() == []


async def test_a_refusal_of_what_waits_already_is_none(ours: Float) -> None:
    """Nodes of other makes and ages say so in their own words; what counts is that it is there."""
    signed = await ours.payment(await ours.fund())
    await ours.node.send(signed.raw)

    def known(method: str, told: dict[str, object]) -> dict[str, object]:
        error = {"code": -26, "message": "txn-same-nonwitness-data-in-mempool"}
        return {"id": told["id"], "error": error} if method == "sendrawtransaction" else told

    async with lying_proxy(ours.chain.rpc_url) as proxy:
        proxy.lie = known
        node = BitcoinOutflow(BitcoinAccess(proxy.url, ours.chain.cookie_file), ours.chain.network, HASTY)
        await node.send(signed.raw)
        with pytest.raises(SendRefused, match="same-nonwitness"):
            await node.send(b"\0" + signed.raw)
        await node.close()


async def test_what_takes_a_spent_coin_is_refused_with_the_nodes_reason(ours: Float) -> None:
    coin = await ours.fund()
    first, second = await ours.payment(coin), await ours.theft(coin)
    await ours.node.send(first.raw)
    await ours.chain.mine()
    with pytest.raises(SendRefused, match="missingorspent"):
        await ours.node.send(second.raw)


async def test_a_replacement_at_no_higher_fee_is_refused(ours: Float) -> None:
    coin = await ours.fund()
    first, second = await ours.payment(coin), await ours.payment(coin)
    await ours.node.send(first.raw)
    with pytest.raises(SendRefused, match="insufficient fee"):
        await ours.node.send(second.raw)
    assert await ours.chain.mempool() == [first.txid]


@pytest.mark.parametrize("raw", [b"", b"\x02", bytes(60)], ids=["nothing", "one byte", "zeros"])
async def test_what_is_no_transaction_is_refused(ours: Float, raw: bytes) -> None:
    with pytest.raises(SendRefused):
        await ours.node.send(raw)


async def test_a_node_that_does_not_answer_is_no_refusal(second_litecoin: RegtestNode) -> None:
    node = BitcoinOutflow(second_litecoin.access(), second_litecoin.network, HASTY)
    ours = Float(second_litecoin, node)
    signed = await ours.payment(await ours.fund())
    await second_litecoin.kill()
    with pytest.raises(NodeUnreachable):
        await node.send(signed.raw)
    await node.close()
