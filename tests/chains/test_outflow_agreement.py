"""Several nodes asked about the float: no one of them can invent what left, and any of them can raise the alarm."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

import pytest
import pytest_asyncio

from fixtures_outflow import COIN_UNITS, FEE_UNITS, PAID_UNITS, Float
from holdfast.chains.agreement import NodesMissing
from holdfast.chains.bitcoin_outflow import BitcoinOutflow
from holdfast.chains.localnet import AnvilNode, RegtestNode, litecoin_regtest, until
from holdfast.chains.outflow import (
    FeeRate,
    Holding,
    Known,
    Mined,
    OutflowBlock,
    OutflowNode,
    SendRefused,
    Status,
    Wanted,
)
from holdfast.chains.outflow_agreement import Access, AgreeingOutflows, open_outflow
from holdfast.chains.port import Header, NodesDisagree, NodeUnreachable
from holdfast.chains.rpc import Credentials, Limits

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("litecoin")]

LIMITS = Limits(timeout_seconds=10, attempts_max=2, backoff_seconds=0.01)


@dataclass
class Liar:
    """A real node's answers, one of them changed."""

    node: OutflowNode
    tell_block: Callable[[OutflowBlock], OutflowBlock] = lambda told: told
    tell_mined: Callable[[Sequence[Mined]], Sequence[Mined]] = lambda told: told
    tell_holding: Callable[[Holding], Holding] = lambda told: told
    tell_status: Callable[[Status], Status] = lambda told: told
    tell_time: Callable[[int], int] = lambda told: told
    tell_fees: Callable[[FeeRate], FeeRate] = lambda told: told
    name: str = "liar"

    async def tip(self) -> Header:
        return await self.node.tip()

    async def headers(self, height_from: int, height_to: int) -> Sequence[Header]:
        return await self.node.headers(height_from, height_to)

    async def block(self, height: int, wanted: Wanted) -> OutflowBlock:
        return self.tell_block(await self.node.block(height, wanted))

    async def holding(self, wanted: Wanted) -> Holding:
        return self.tell_holding(await self.node.holding(wanted))

    async def status(self, transaction: str, outputs: int = 1) -> Status:
        return self.tell_status(await self.node.status(transaction, outputs))

    async def mined(self, header: Header, transactions: Sequence[str]) -> Sequence[Mined]:
        return self.tell_mined(await self.node.mined(header, transactions))

    async def unexplained(self, known: Known) -> Sequence[str]:
        return await self.node.unexplained(known)

    async def median_time(self) -> int:
        return self.tell_time(await self.node.median_time())

    async def fees(self) -> FeeRate:
        return self.tell_fees(await self.node.fees())

    async def send(self, raw: bytes) -> None:
        await self.node.send(raw)

    async def close(self) -> None:
        await self.node.close()


@dataclass
class Pair:
    """Two real nodes, connected, a float on their chain, and both behind one port."""

    one: RegtestNode
    two: RegtestNode
    ours: Float
    other: BitcoinOutflow
    both: AgreeingOutflows

    async def fund(self) -> str:
        coin = await self.ours.fund()
        await self.one.join(self.two)
        return coin

    def with_liar(self, liar: Liar) -> AgreeingOutflows:
        return AgreeingOutflows([self.ours.node, liar])


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def two_litecoins(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[RegtestNode, RegtestNode]]:
    async with AsyncExitStack() as stack:
        data_dirs = [tmp_path_factory.mktemp(name) for name in ("one", "two")]
        one, two = [await stack.enter_async_context(litecoin_regtest(data_dir)) for data_dir in data_dirs]
        yield one, two


@pytest.fixture
async def pair(two_litecoins: tuple[RegtestNode, RegtestNode]) -> AsyncIterator[Pair]:
    one, two = two_litecoins
    await one.mine(max(1, await two.height() - await one.height() + 1))
    await one.join(two)
    first = BitcoinOutflow(one.access("one"), one.network, LIMITS)
    second = BitcoinOutflow(two.access("two"), two.network, LIMITS)
    yield Pair(one, two, Float(one, first), second, AgreeingOutflows([first, second]))
    await first.close()
    await second.close()


async def test_a_network_without_a_node_is_refused(litecoin: RegtestNode) -> None:
    with pytest.raises(NodesMissing):
        AgreeingOutflows([])
    with pytest.raises(NodesMissing):
        open_outflow(litecoin.network, [])


async def test_what_both_say_is_said(pair: Pair) -> None:
    coin = await pair.fund()
    height = await pair.one.height()
    block = await pair.both.block(height, pair.ours.wanted)
    assert block == await pair.ours.node.block(height, pair.ours.wanted)
    assert [each.key for each in block.funded] == [coin]
    assert await pair.both.mined(block.header, [coin[:64]]) == [Mined(coin[:64])]
    assert await pair.both.tip() == block.header
    assert await pair.both.headers(height, height) == [block.header]
    assert await pair.both.unexplained(Known(coins=(coin,))) == []


async def test_the_tip_is_the_lowest(pair: Pair) -> None:
    await pair.one.part(pair.two)
    shared = await pair.two.best_hash()
    await pair.one.mine(3)
    assert (await pair.both.tip()).hash == shared
    await pair.one.join(pair.two)


@pytest.mark.parametrize("lie", ["funded", "mined", "spent"])
async def test_what_one_node_adds_to_or_hides_in_a_block_is_not_believed(pair: Pair, lie: str) -> None:
    coin = await pair.fund()
    signed = await pair.ours.payment(coin)
    await pair.ours.node.send(signed.raw)
    await pair.one.mine()
    await pair.one.join(pair.two)
    wanted = replace(pair.ours.wanted, transactions=frozenset({signed.txid}), outpoints=frozenset({coin}))
    liar = Liar(pair.other, tell_block=lambda told: replace(told, **{lie: ()}))
    with pytest.raises(NodesDisagree, match="one and liar"):
        await pair.with_liar(liar).block(await pair.one.height(), wanted)


async def test_a_transaction_that_one_node_calls_failed_is_not_believed(pair: Pair) -> None:
    coin = await pair.fund()
    header = await pair.both.tip()
    liar = Liar(pair.other, tell_mined=lambda told: [replace(each, is_reverted=True) for each in told])
    with pytest.raises(NodesDisagree, match="one and liar"):
        await pair.with_liar(liar).mined(header, [coin[:64]])


async def test_blocks_of_two_branches_are_a_disagreement(pair: Pair) -> None:
    await pair.one.part(pair.two)
    await pair.one.mine()
    await pair.two.mine()
    with pytest.raises(NodesDisagree):
        await pair.both.block(await pair.one.height(), pair.ours.wanted)
    await pair.one.mine()
    await pair.one.join(pair.two)


@pytest.mark.parametrize("step", [-7, 7])
async def test_time_has_passed_only_when_all_saw_it_pass(pair: Pair, step: int) -> None:
    honest = await pair.ours.node.median_time()
    both = pair.with_liar(Liar(pair.other, tell_time=lambda told: told + step))
    assert await both.median_time() == min(honest, honest + step)


async def test_one_node_cannot_raise_the_fee(pair: Pair) -> None:
    honest = await pair.ours.node.fees()
    liar = Liar(pair.other, tell_fees=lambda _: FeeRate(per_kvb=10**9, base_fee_wei=10**12, priority_fee_wei=10**12))
    assert await pair.with_liar(liar).fees() == honest


async def test_what_is_held_is_the_least_that_any_node_says(pair: Pair) -> None:
    coin, other = await pair.fund(), await pair.fund()
    address = next(iter(pair.ours.wanted.addresses))
    place = (address, pair.one.network.coin.id)
    wanted = replace(pair.ours.wanted, outpoints=frozenset({coin, other}))
    poorer = Liar(pair.other, tell_holding=lambda told: replace(told, units={place: 5}, confirmations={coin: 1}))
    richer = Liar(pair.other, tell_holding=lambda told: replace(told, units={place: 10**12, (address, "x"): 9}))
    holding = await pair.with_liar(poorer).holding(wanted)
    assert (holding.units, holding.confirmations) == ({place: 5}, {coin: 1})
    assert (await pair.with_liar(richer).holding(wanted)).units == {place: 2 * COIN_UNITS}


async def test_a_transaction_is_in_a_block_once_all_have_it_there(pair: Pair) -> None:
    signed = await pair.ours.payment(await pair.fund())
    await pair.both.send(signed.raw)
    assert await pair.both.status(signed.txid, 2) == Status(is_waiting=True)
    await pair.one.mine()
    await pair.one.join(pair.two)
    assert await pair.both.status(signed.txid, 2) == Status(block=await pair.both.tip())
    for lie in (Status(), Status(is_waiting=True)):
        doubted = pair.with_liar(Liar(pair.other, tell_status=lambda _, lie=lie: lie))
        assert await doubted.status(signed.txid, 2) == Status(is_waiting=True)


async def test_a_theft_that_one_node_sees_is_an_alarm(pair: Pair) -> None:
    coin = await pair.fund()
    theft = await pair.ours.theft(coin)
    await pair.one.part(pair.two)
    await pair.other.send(theft.raw)
    assert await pair.ours.node.unexplained(Known(coins=(coin,))) == []
    assert await pair.both.unexplained(Known(coins=(coin,))) == [f"{coin} is spent by {theft.txid}"]
    await pair.two.mine()
    await pair.one.join(pair.two)
    assert await pair.both.unexplained(Known(coins=(coin,))) == [f"{coin} is spent by {theft.txid}"]


async def test_our_transaction_that_only_one_node_has_is_no_alarm(pair: Pair) -> None:
    coin = await pair.fund()
    first = await pair.ours.payment(coin)
    second = await pair.ours.payment(f"{first.txid}:1", COIN_UNITS - PAID_UNITS - FEE_UNITS)
    await pair.one.part(pair.two)
    for each in (first, second):
        await pair.other.send(each.raw)
    known = Known(coins=(f"{second.txid}:1",), transactions={first.txid: (coin,), second.txid: (f"{first.txid}:1",)})
    assert await pair.both.unexplained(known) == []
    await pair.two.mine()
    assert await pair.both.unexplained(known) == []
    await pair.one.join(pair.two)


async def test_bytes_go_to_all_and_one_that_takes_them_is_enough(pair: Pair) -> None:
    signed = await pair.ours.payment(await pair.fund())
    await pair.one.part(pair.two)
    await pair.both.send(signed.raw)
    assert await pair.one.mempool() == await pair.two.mempool() == [signed.txid]
    await pair.one.mine()
    await pair.one.join(pair.two)

    later = await pair.ours.payment(await pair.fund())
    await pair.two.flush()
    await pair.two.stop()
    try:
        await pair.both.send(later.raw)
        assert await pair.one.mempool() == [later.txid]
        with pytest.raises(SendRefused):
            await pair.both.send(b"nothing")
    finally:
        await pair.two.start()
    await pair.one.mine()
    await pair.one.join(pair.two)


async def test_a_lost_node_stops_every_other_question(pair: Pair) -> None:
    coin = await pair.fund()
    header = await pair.both.tip()
    await pair.two.flush()
    await pair.two.stop()
    questions: list[Callable[[], object]] = [
        pair.both.tip,
        pair.both.fees,
        pair.both.median_time,
        lambda: pair.both.block(header.height, pair.ours.wanted),
        lambda: pair.both.mined(header, []),
        lambda: pair.both.holding(pair.ours.wanted),
        lambda: pair.both.status(coin[:64]),
        lambda: pair.both.unexplained(Known(coins=(coin,))),
    ]
    try:
        for question in questions:
            with pytest.raises(NodeUnreachable, match="two"):
                await question()  # type: ignore[misc]  # each is a coroutine, of another type
    finally:
        await pair.two.start()
    await pair.one.join(pair.two)


async def test_both_families_are_opened_by_their_network(litecoin: RegtestNode, anvil_node: AnvilNode) -> None:
    bitcoin = open_outflow(litecoin.network, [Access(litecoin.rpc_url, Credentials(litecoin.cookie_file), "ours")])
    evm = open_outflow(anvil_node.network, [Access(anvil_node.rpc_url), Access(anvil_node.rpc_url, name="again")])

    async def has_made_it() -> bool:
        return (await evm.tip()).height == await anvil_node.height()

    await until(has_made_it)
    assert (await bitcoin.tip()).hash == await litecoin.best_hash()
    assert (bitcoin.name, evm.name.rpartition(" and ")[2]) == ("ours", "again")
    await bitcoin.close()
    await evm.close()
