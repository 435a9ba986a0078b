"""A real litecoind, followed: payments, reorganisations, replacements, restarts."""

from collections.abc import AsyncIterator

import msgspec
import pytest

from fixtures_chains import FINALITY_DEPTH, Books
from holdfast.chains.bitcoin import BitcoinAccess, BitcoinNode
from holdfast.chains.follower import FinalityViolated
from holdfast.chains.localnet import RegtestNode
from holdfast.chains.port import NodeOnWrongNetwork, NodeUnreachable, Watch
from holdfast.chains.rpc import Limits
from holdfast.core.networks import BitcoinNetwork, known_network

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("litecoin")]

HASTY = Limits(timeout_seconds=10, attempts_max=2, backoff_seconds=0.01)


@pytest.fixture
async def books(litecoin: RegtestNode) -> AsyncIterator[Books]:
    node = litecoin.node(limits=HASTY)
    await litecoin.mine()
    books = Books(node, Watch(litecoin.network.id))
    await books.catch_up()
    yield books
    await node.close()


async def watched(books: Books, litecoin: RegtestNode, count: int = 1) -> list[str]:
    addresses = [await litecoin.new_address() for _ in range(count)]
    books.watch.add(addresses)
    return addresses


async def waiting(books: Books) -> dict[str, int]:
    return {arrival.key: arrival.units for arrival in (await books.node.unconfirmed(books.watch)).arrivals}


async def test_a_payment_is_seen_and_then_found_in_its_block(litecoin: RegtestNode, books: Books) -> None:
    [address] = await watched(books, litecoin)
    txid = await litecoin.send(address, 12_345_678)
    [seen] = (await books.node.unconfirmed(books.watch)).arrivals
    await litecoin.mine()
    await books.catch_up()
    assert books.arrivals == [seen]
    assert (seen.transaction, seen.address, seen.units, seen.confirmations_min) == (txid, address, 12_345_678, 1)
    assert seen.asset == litecoin.network.coin.id
    assert not await waiting(books)


async def test_the_waiting_set_names_the_block_it_belongs_to(litecoin: RegtestNode, books: Books) -> None:
    unconfirmed = await books.node.unconfirmed(books.watch)
    assert unconfirmed.tip == books.tip


async def test_several_payments_to_one_address_are_several_arrivals(litecoin: RegtestNode, books: Books) -> None:
    [address] = await watched(books, litecoin)
    for units in (100_000, 200_000, 300_000):
        await litecoin.send(address, units)
    await litecoin.mine()
    await books.catch_up()
    assert sorted(books.units) == [100_000, 200_000, 300_000]
    assert len({arrival.key for arrival in books.arrivals}) == 3


async def test_one_transaction_may_pay_many_addresses(litecoin: RegtestNode, books: Books) -> None:
    addresses = await watched(books, litecoin, 40)
    txid = await litecoin.send_many({address: 50_000 + i for i, address in enumerate(addresses)})
    await litecoin.mine()
    await books.catch_up()
    assert {arrival.address: arrival.units for arrival in books.arrivals} == {
        address: 50_000 + i for i, address in enumerate(addresses)
    }
    assert {arrival.transaction for arrival in books.arrivals} == {txid}


async def test_a_miners_reward_is_not_to_be_credited_before_it_can_be_spent(
    litecoin: RegtestNode, books: Books
) -> None:
    [address] = await watched(books, litecoin)
    await litecoin.mine(1, to=address)
    await books.catch_up()
    assert [arrival.confirmations_min for arrival in books.arrivals] == [100]


@pytest.mark.parametrize("depth", range(1, FINALITY_DEPTH + 1))
async def test_a_reorganisation_undoes_a_payment_and_brings_it_back(
    litecoin: RegtestNode, books: Books, depth: int
) -> None:
    [address] = await watched(books, litecoin)
    await litecoin.send(address, 777_000)
    await litecoin.mine(depth)
    await books.catch_up()
    paid = books.arrivals
    await litecoin.reorganise(depth)
    await books.catch_up()
    assert books.undone == paid
    assert books.arrivals == paid, "the same arrival has the same key in another block"
    assert books.tip.hash == await litecoin.best_hash()


async def test_a_payment_that_is_reorganised_away_waits_again(litecoin: RegtestNode, books: Books) -> None:
    [address] = await watched(books, litecoin)
    await litecoin.send(address, 888_000)
    await litecoin.mine()
    await books.catch_up()
    await litecoin.reorganise(1, with_transactions=False)
    await books.catch_up()
    assert not books.arrivals
    assert list((await waiting(books)).values()) == [888_000]


async def test_a_reorganisation_beyond_finality_is_reported_and_undoes_nothing(
    second_litecoin: RegtestNode,
) -> None:
    node = second_litecoin.node(limits=HASTY)
    books = Books(node, Watch(second_litecoin.network.id))
    await second_litecoin.mine(FINALITY_DEPTH + 1)
    await books.catch_up()
    before = books.tip
    await second_litecoin.reorganise(FINALITY_DEPTH + 1)
    with pytest.raises(FinalityViolated):
        await books.catch_up()
    assert (books.tip, books.undone) == (before, [])
    await node.close()


async def test_a_replaced_payment_gives_way_to_its_replacement(litecoin: RegtestNode, books: Books) -> None:
    [address] = await watched(books, litecoin)
    await litecoin.send(address, 100_000)
    before = await waiting(books)
    await litecoin.bump(next(iter(before)).partition(":")[0])
    after = await waiting(books)
    assert list(after.values()) == [100_000]
    assert before.keys().isdisjoint(after)


async def test_a_double_spent_payment_vanishes(litecoin: RegtestNode, books: Books) -> None:
    [address] = await watched(books, litecoin)
    txid = await litecoin.send(address, 100_000)
    assert await waiting(books)
    await litecoin.double_spend(txid)
    assert not await waiting(books)
    await litecoin.mine()
    await books.catch_up()
    assert not books.arrivals


async def test_a_payment_double_spent_in_a_reorganised_block_is_undone(litecoin: RegtestNode, books: Books) -> None:
    [address] = await watched(books, litecoin)
    txid = await litecoin.send(address, 100_000)
    await litecoin.mine()
    await books.catch_up()
    await litecoin.invalidate(books.tip.hash)
    await litecoin.double_spend(txid)
    await litecoin.mine(2)
    await books.catch_up()
    assert [arrival.transaction for arrival in books.undone] == [txid]
    assert not books.arrivals


async def test_an_address_given_out_between_two_looks_is_still_seen(litecoin: RegtestNode, books: Books) -> None:
    address = await litecoin.new_address()
    await litecoin.send(address, 100_000)
    assert not await waiting(books)
    books.watch.add([address])
    assert list((await waiting(books)).values()) == [100_000]


async def test_each_waiting_transaction_is_fetched_once(litecoin: RegtestNode, books: Books) -> None:
    [address] = await watched(books, litecoin)
    await litecoin.send(address, 100_000)
    first = await waiting(books)
    assert [await waiting(books) for _ in range(4)] == [first] * 4
    assert isinstance(books.node, BitcoinNode)
    assert not books.node._mempool.fresh
    await litecoin.mine()


async def test_a_node_that_is_killed_and_comes_back_behind_undoes_nothing(second_litecoin: RegtestNode) -> None:
    await second_litecoin.flush()
    node = second_litecoin.node(limits=HASTY)
    address = await second_litecoin.new_address()
    books = Books(node, Watch(second_litecoin.network.id, [address]), batch_blocks_max=4)
    await second_litecoin.send(address, 100_000)
    await second_litecoin.mine(20)
    for _ in range(5):
        await books.step()
    halfway = list(books.blocks)
    await second_litecoin.kill()
    with pytest.raises(NodeUnreachable):
        await books.catch_up()
    assert books.blocks[: len(halfway)] == halfway
    await second_litecoin.start()  # with a new cookie, and without the blocks that it had not flushed
    await books.catch_up()
    await second_litecoin.mine(25)
    await books.catch_up()
    assert books.tip.hash == await second_litecoin.best_hash()
    assert [block.header.height for block in books.blocks] == list(range(len(books.blocks)))
    await node.close()


async def test_a_new_cookie_is_found_without_being_told(second_litecoin: RegtestNode) -> None:
    node = second_litecoin.node(limits=HASTY)
    before = second_litecoin.cookie_file.read_text()
    await node.tip()
    await second_litecoin.stop()
    await second_litecoin.start()
    assert second_litecoin.cookie_file.read_text() != before
    assert (await node.tip()).hash == await second_litecoin.best_hash()
    await node.close()


async def test_a_node_of_another_network_is_refused(litecoin: RegtestNode) -> None:
    bitcoin = known_network("bitcoin-regtest")
    assert isinstance(bitcoin, BitcoinNetwork)
    node = BitcoinNode(BitcoinAccess(litecoin.rpc_url, cookie_file=litecoin.cookie_file), bitcoin, HASTY)
    with pytest.raises(NodeOnWrongNetwork):
        await node.tip()
    await node.close()


async def test_coins_that_leave_litecoins_extension_block_are_found_and_mature_later(
    second_litecoin: RegtestNode,
) -> None:
    wallet = second_litecoin._wallet
    await second_litecoin.mine(431 - await second_litecoin.height())  # MWEB is active from 432 on
    hidden = await wallet.call(str, "getnewaddress", "", "mweb")
    everything = bytes(await wallet.call(msgspec.Raw, "getbalance")).decode()
    await wallet.call(str, "sendtoaddress", hidden, everything, "", "", True)  # almost nothing is left outside
    await second_litecoin.mine()
    address = await second_litecoin.new_address()
    await second_litecoin.send(address, 100_000_000_000)
    node = second_litecoin.node(limits=HASTY)
    books = Books(node, Watch(second_litecoin.network.id, [address]))
    await node.unconfirmed(books.watch)  # a transaction without any output outside the extension block
    await second_litecoin.mine(2)
    await books.catch_up()
    assert [(arrival.units, arrival.confirmations_min) for arrival in books.arrivals] == [(100_000_000_000, 6)]
    await node.close()
