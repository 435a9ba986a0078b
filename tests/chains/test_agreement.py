"""Several nodes: all must agree before anything counts, and losing one never lowers the number."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import pytest_asyncio

from fixtures_chains import Books
from holdfast.chains.agreement import SPLIT_BLOCKS_MAX, AgreeingNodes, NodesMissing
from holdfast.chains.localnet import RegtestNode, litecoin_regtest, until
from holdfast.chains.port import Block, Header, Node, NodesDisagree, NodeUnreachable, Unconfirmed, Watch
from holdfast.chains.reader import UpToDate
from holdfast.chains.rpc import Limits

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("litecoin")]

LIMITS = Limits(timeout_seconds=10, attempts_max=2, backoff_seconds=0.01)


@dataclass
class Liar:
    """A real node's answers, one of them changed."""

    node: Node
    tell_blocks: Callable[[Sequence[Block]], Sequence[Block]] = lambda told: told
    tell_headers: Callable[[Sequence[Header]], Sequence[Header]] = lambda told: told
    tell_waiting: Callable[[Unconfirmed], Unconfirmed] = lambda told: told
    name: str = "liar"

    async def tip(self) -> Header:
        return self.tell_headers([await self.node.tip()])[-1]

    async def headers(self, height_from: int, height_to: int) -> Sequence[Header]:
        return self.tell_headers(await self.node.headers(height_from, height_to))

    async def blocks(self, headers: Sequence[Header], watch: Watch) -> Sequence[Block]:
        return self.tell_blocks(await self.node.blocks(headers, watch))

    async def unconfirmed(self, watch: Watch) -> Unconfirmed:
        return self.tell_waiting(await self.node.unconfirmed(watch))

    def prepare(self, headers: Sequence[Header]) -> None:
        self.node.prepare(headers)

    async def close(self) -> None:
        await self.node.close()


@dataclass
class Pair:
    """Two real nodes, connected, and a follower that believes only both."""

    one: RegtestNode
    two: RegtestNode
    books: Books
    address: str

    async def pay(self, units: int = 100_000) -> str:
        return await self.one.send(self.address, units)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def two_litecoins(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[RegtestNode, RegtestNode]]:
    async with AsyncExitStack() as stack:
        data_dirs: list[Path] = [tmp_path_factory.mktemp(name) for name in ("one", "two")]
        one, two = [await stack.enter_async_context(litecoin_regtest(data_dir)) for data_dir in data_dirs]
        yield one, two


@pytest.fixture
async def pair(two_litecoins: tuple[RegtestNode, RegtestNode]) -> AsyncIterator[Pair]:
    one, two = two_litecoins
    await one.mine(await two.height() - await one.height() + 1 if await two.height() >= await one.height() else 1)
    await one.join(two)
    address = await one.new_address()
    nodes = AgreeingNodes([one.node("one", LIMITS), two.node("two", LIMITS)])
    books = Books(nodes, Watch(one.network.id, [address]))
    await books.catch_up()
    yield Pair(one, two, books, address)
    await nodes.close()
    if await one.peers():
        await one.part(two)


def behind(pair: Pair, **lies: object) -> Books:
    """A follower of node one and of a node two that lies."""
    liar = Liar(pair.two.node("two", LIMITS), **lies)  # type: ignore[arg-type]  the lies are the fields' own types
    books = Books(AgreeingNodes([pair.one.node("one", LIMITS), liar]), pair.books.watch)
    books.blocks = list(pair.books.blocks)
    return books


def test_no_node_at_all_is_refused() -> None:
    with pytest.raises(NodesMissing):
        AgreeingNodes([])


async def test_what_all_nodes_have_is_applied(pair: Pair) -> None:
    await pair.pay()
    await pair.one.mine()
    await pair.one.join(pair.two)
    await pair.books.catch_up()
    assert pair.books.units == [100_000]


async def test_a_node_that_is_behind_makes_all_wait_for_it(pair: Pair) -> None:
    await pair.one.part(pair.two)
    await pair.pay()
    await pair.one.mine(3)
    assert isinstance(await pair.books.step(), UpToDate)
    assert not pair.books.arrivals
    await pair.one.join(pair.two)
    await pair.books.catch_up()
    assert pair.books.units == [100_000]


async def test_a_lost_node_stops_crediting_and_lowers_no_number(pair: Pair) -> None:
    await pair.pay()
    await pair.one.mine()
    await pair.one.join(pair.two)
    await pair.two.flush()
    await pair.two.stop()
    try:
        for _ in range(5):
            with pytest.raises(NodeUnreachable, match="two"):
                await pair.books.step()
        assert not pair.books.arrivals
    finally:
        await pair.two.start()
    await pair.one.join(pair.two)
    await pair.books.catch_up()
    assert pair.books.units == [100_000]


async def test_nodes_parted_and_joined_again_end_on_one_chain(pair: Pair) -> None:
    await pair.one.part(pair.two)
    await pair.pay(200_000)
    await pair.one.mine(SPLIT_BLOCKS_MAX)
    await pair.two.mine(SPLIT_BLOCKS_MAX)
    assert isinstance(await pair.books.step(), UpToDate), "a short race is waited for"
    assert not pair.books.arrivals
    await pair.one.mine(1)
    await pair.one.join(pair.two)
    await pair.books.catch_up()
    assert pair.books.units == [200_000]
    assert pair.books.tip.hash == await pair.two.best_hash()


async def test_a_lasting_split_is_named(pair: Pair) -> None:
    await pair.one.part(pair.two)
    await pair.one.mine(SPLIT_BLOCKS_MAX + 1)
    await pair.two.mine(SPLIT_BLOCKS_MAX + 1)
    with pytest.raises(NodesDisagree, match="one and two"):
        await pair.books.step()


async def test_blocks_that_both_had_are_undone_only_when_both_left_them(pair: Pair) -> None:
    await pair.pay(300_000)
    await pair.one.mine()
    await pair.one.join(pair.two)
    await pair.books.catch_up()
    await pair.one.part(pair.two)
    await pair.one.invalidate(await pair.one.best_hash())
    await pair.one.mine_only()
    await pair.one.mine_only()
    assert isinstance(await pair.books.step(), UpToDate)
    assert pair.books.units == [300_000], "one node alone undoes nothing"
    await pair.one.join(pair.two)
    await pair.books.catch_up()
    assert not pair.books.units
    assert [arrival.units for arrival in pair.books.undone] == [300_000]
    await pair.one.mine()


async def test_an_arrival_that_one_node_denies_is_not_believed(pair: Pair) -> None:
    await pair.pay()
    await pair.one.mine()
    await pair.one.join(pair.two)
    books = behind(pair, tell_blocks=lambda told: [replace(block, arrivals=()) for block in told])
    with pytest.raises(NodesDisagree, match="one and liar"):
        await books.catch_up()
    assert not books.arrivals
    await books.node.close()


async def test_an_amount_that_one_node_raises_is_not_believed(pair: Pair) -> None:
    def raised(told: Sequence[Block]) -> Sequence[Block]:
        return [
            replace(block, arrivals=tuple(replace(each, units=each.units * 10) for each in block.arrivals))
            for block in told
        ]

    await pair.pay()
    await pair.one.mine()
    await pair.one.join(pair.two)
    books = behind(pair, tell_blocks=raised)
    with pytest.raises(NodesDisagree):
        await books.catch_up()
    assert not books.arrivals
    await books.node.close()


async def test_blocks_that_one_node_holds_back_are_not_skipped(pair: Pair) -> None:
    await pair.one.mine(3)
    await pair.one.join(pair.two)
    books = behind(pair, tell_blocks=lambda told: told[:-1])
    before = list(books.blocks)
    with pytest.raises(NodesDisagree):
        await books.catch_up()
    assert books.blocks == before
    await books.node.close()


async def test_a_chain_that_only_one_node_has_is_named(pair: Pair) -> None:
    books = behind(pair, tell_headers=lambda told: [replace(header, hash="f" * 64) for header in told])
    with pytest.raises(NodesDisagree):
        await books.step()
    await books.node.close()


async def test_headers_end_where_the_nodes_part_and_a_different_first_one_is_named(pair: Pair) -> None:
    height = await pair.one.height()
    await pair.one.part(pair.two)
    await pair.one.mine(2)
    await pair.two.mine(2)
    assert [header.height for header in await pair.books.node.headers(height - 1, height + 2)] == [height - 1, height]
    with pytest.raises(NodesDisagree):
        await pair.books.node.headers(height + 1, height + 2)


async def test_what_one_node_sees_waiting_is_shown(pair: Pair) -> None:
    await pair.one.part(pair.two)
    await pair.pay()
    unconfirmed = await pair.books.node.unconfirmed(pair.books.watch)
    assert [arrival.units for arrival in unconfirmed.arrivals] == [100_000]
    await pair.one.mine()


async def test_a_lost_node_makes_nothing_vanish_that_it_saw(pair: Pair) -> None:
    await pair.one.part(pair.two)
    await pair.pay()
    seen = await pair.books.node.unconfirmed(pair.books.watch)
    assert seen.tip is not None
    await pair.one.stop()
    try:
        after = await pair.books.node.unconfirmed(pair.books.watch)
    finally:
        await pair.one.start()
    assert (after.tip, after.arrivals) == (None, seen.arrivals)
    await pair.one.mine()


async def test_nodes_on_different_blocks_say_nothing_about_what_vanished(pair: Pair) -> None:
    await pair.one.part(pair.two)
    await pair.one.mine()
    assert (await pair.books.node.unconfirmed(pair.books.watch)).tip is None


async def test_what_nodes_tell_differently_under_one_key_is_not_shown(pair: Pair) -> None:
    await pair.pay()
    books = behind(
        pair, tell_waiting=lambda told: replace(told, arrivals=tuple(replace(a, units=1) for a in told.arrivals))
    )

    async def relayed() -> bool:
        return bool(await pair.two.mempool())

    await until(relayed)
    assert not (await books.node.unconfirmed(books.watch)).arrivals
    await books.node.close()
    await pair.one.mine()
