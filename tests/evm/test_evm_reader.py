"""What the reader credits on a real node: what arrived, once, to the unit; with the oddities of tokens and payers."""

from __future__ import annotations

from itertools import pairwise

import pytest

from holdfast.chains.evm import EvmNode
from holdfast.chains.evm_contracts import COIN, flush_call, selector, transfer_call, word
from holdfast.chains.evm_deploy import token_arguments
from holdfast.chains.evm_reads import LogQuestion, logs
from holdfast.chains.port import Header, NodeAnswerMalformed, NodeBlockGone, NodeOnWrongNetwork
from holdfast.core.evm import address_bytes
from holdfast.core.networks import EvmNetwork, evm_network, known_network

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("anvil")]


def padded(address: str) -> bytes:
    return address_bytes(address).rjust(32, b"\0")


def array(words: list[bytes]) -> bytes:
    return word(len(words)) + b"".join(words)


def bytes_argument(data: bytes) -> bytes:
    return word(len(data)) + data + bytes(-len(data) % 32)


def pay(payments: list[tuple[str, int]]) -> bytes:
    """Internal payments, by `InternalPayer`."""
    to = array([padded(address) for address, _ in payments])
    return (
        selector("pay(address[],uint256[])")
        + word(64)
        + word(64 + len(to))
        + to
        + array([word(units) for _, units in payments])
    )


def pay_then_flush(chain, address: str, index: int) -> bytes:
    call = bytes_argument(flush_call([index], [COIN]))
    return (
        selector("payThenCall(address,address,bytes)") + padded(address) + padded(chain.plan.factory) + word(96) + call
    )


def pretend(to: str, units: int) -> bytes:
    return selector("pretend(address,uint256)") + padded(to) + word(units)


async def test_a_direct_payment_is_credited_with_its_transaction(chain):
    address, start = chain.address(1), await chain.height()
    receipt = await chain.done(address, value=10**18)
    (arrival,) = await chain.arrivals_since(start, chain.watch(address))
    assert arrival.key == f"{receipt['transactionHash']}:native"
    assert (arrival.address, arrival.asset, arrival.units) == (address, chain.network.coin.id, 10**18)


async def test_a_chain_is_read_from_its_very_first_block(chain):
    address, start = chain.address(1), await chain.height()
    await chain.done(address, value=10**18)
    headers = await chain.node.headers(0, start + 1)
    blocks = await chain.node.blocks(headers, chain.watch(address))
    assert [block.header.height for block in blocks] == list(range(start + 2))
    assert [arrival.units for block in blocks for arrival in block.arrivals] == [10**18]


async def test_a_direct_payment_to_an_address_that_is_no_longer_open_is_credited_too(chain):
    address, start = chain.address(1), await chain.height()
    await chain.done(address, value=7)
    (arrival,) = await chain.arrivals_since(start, chain.watch(address, open_=False))
    assert arrival.units == 7


async def test_a_payment_of_nothing_and_a_failed_one_are_not_credited(chain):
    address, start = chain.address(1), await chain.height()
    payer = await chain.contract("InternalPayer")
    await chain.done(address, value=0)
    revert = selector("payAndRevert(address)") + padded(address)
    assert (await chain.receipt(await chain.send(payer, revert, value=5)))["status"] == "0x0"
    # A direct payment can fail where code stands: with the gas of a plain transfer none is left to run it.
    await chain.call("anvil_setCode", address, "0x5b600056")  # loops until the gas is gone
    assert (await chain.receipt(await chain.send(address, value=5, gas=50_000)))["status"] == "0x0"
    assert await chain.arrivals_since(start, chain.watch(address)) == []


async def test_an_internal_payment_is_credited_by_balance_before_and_after_deployment(chain):
    address = chain.address(2)
    payer = await chain.contract("InternalPayer")
    start = await chain.height()
    await chain.done(payer, pay([(address, 30)]), value=30)
    await chain.done(chain.plan.factory, flush_call([2], [COIN]))  # deploys it
    await chain.done(payer, pay([(address, 12)]), value=12)
    first, second = await chain.arrivals_since(start, chain.watch(address))
    assert (first.units, second.units) == (30, 12)
    assert first.transaction is None
    assert first.key != second.key
    assert first.key.endswith(f":{address}:{chain.network.coin.id}")


async def test_an_internal_payment_to_an_address_that_is_not_open_is_not_looked_for(chain):
    """The price of watching a million addresses; the money is safe, and is seen when the address is opened again."""
    address = chain.address(2)
    payer = await chain.contract("InternalPayer")
    start = await chain.height()
    await chain.done(payer, pay([(address, 30)]), value=30)
    assert await chain.arrivals_since(start, chain.watch(address, open_=False)) == []


async def test_one_transaction_pays_many_addresses(chain):
    addresses = [chain.address(index) for index in range(20, 60)]
    payer = await chain.contract("InternalPayer")
    start = await chain.height()
    await chain.done(payer, pay([(address, 1000 + at) for at, address in enumerate(addresses)]), value=10**6)
    found = await chain.arrivals_since(start, chain.watch(*addresses))
    assert {one.address: one.units for one in found} == {address: 1000 + at for at, address in enumerate(addresses)}
    assert len({one.key for one in found}) == len(addresses)


async def test_direct_and_internal_payments_in_one_block_are_told_apart(chain):
    address = chain.address(3)
    payer = await chain.contract("InternalPayer")
    start = await chain.height()
    direct, _ = await chain.in_one_block([(address, b"", 4), (payer, pay([(address, 9)]), 9)])
    first, second = await chain.arrivals_since(start, chain.watch(address))
    assert (first.transaction, first.units) == (direct["transactionHash"], 4)
    assert (second.transaction, second.units) == (None, 9)


@pytest.mark.parametrize("deployed", [False, True])
async def test_deposits_around_a_flush_in_one_block_are_credited_in_full(chain, deployed):
    address = chain.address(4)
    payer = await chain.contract("InternalPayer")
    await chain.done(address, value=1000)
    if deployed:
        await chain.done(chain.plan.factory, flush_call([4], [COIN]))
    start = await chain.height()
    flush = (chain.plan.factory, flush_call([4], [COIN]), 0)
    receipts = await chain.in_one_block(
        [(address, b"", 5), flush, (payer, pay([(address, 6)]), 6), flush, (address, b"", 7)]
    )
    assert {one["status"] for one in receipts} == {"0x1"}
    assert await chain.coin(address) == 7
    found = await chain.arrivals_since(start, chain.watch(address))
    assert sorted(one.units for one in found) == [5, 6, 7]


async def test_a_deposit_and_its_flush_in_one_transaction_are_credited(chain):
    address = chain.address(5)
    payer = await chain.contract("InternalPayer")
    start = await chain.height()
    await chain.done(payer, pay_then_flush(chain, address, 5), value=8)
    assert await chain.coin(address) == 0
    (arrival,) = await chain.arrivals_since(start, chain.watch(address))
    assert arrival.units == 8


async def test_a_flush_alone_is_no_deposit(chain):
    address = chain.address(5)
    await chain.done(address, value=8)
    start = await chain.height()
    await chain.done(chain.plan.factory, flush_call([5], [COIN]))
    assert await chain.arrivals_since(start, chain.watch(address)) == []


async def test_a_flush_event_of_somebody_else_credits_nothing(chain):
    address = chain.address(6)
    pretender = await chain.contract("FlushPretender")
    start = await chain.height()
    await chain.done(pretender, selector("pretend(address,uint256)") + padded(COIN) + word(10**20))
    assert await chain.arrivals_since(start, chain.watch(address)) == []


async def test_selfdestruct_and_block_rewards_are_seen_in_the_balance(chain):
    address = chain.address(7)
    payer = await chain.contract("InternalPayer")
    start = await chain.height()
    await chain.done(payer, selector("payByEnding(address)") + padded(address), value=21)
    (arrival,) = await chain.arrivals_since(start, chain.watch(address))
    assert (arrival.units, arrival.transaction) == (21, None)
    start = await chain.height()
    await chain.call("anvil_setCoinbase", address)
    await chain.done(chain.address(8), value=1)  # its tip goes to the block's maker
    (reward,) = await chain.arrivals_since(start, chain.watch(address))
    assert reward.units > 0
    assert reward.transaction is None


@pytest.mark.parametrize(("symbol", "decimals"), [("DAI", 18), ("WBTC", 8), ("USDC", 6)])
async def test_listed_tokens_are_credited_in_their_own_units(chain, symbol, decimals):
    token = await chain.contract("PlainToken", token_arguments(symbol, decimals))
    address = chain.address(8)
    await chain.mint(token, chain.payer, 10**decimals)
    start = await chain.height()
    receipt = await chain.done(token, transfer_call(address, 10**decimals))
    listed = chain.token(token, symbol, decimals)
    (arrival,) = await chain.arrivals_since(start, chain.watch(address, tokens=listed, open_=False))
    assert arrival.asset == listed[token].id
    assert arrival.units == 10**decimals
    assert arrival.key == f"{receipt['transactionHash']}:{int(receipt['logs'][0]['logIndex'], 16)}"


async def test_a_token_without_return_values_is_credited(chain):
    token = await chain.contract("NoReturnToken")
    start = await chain.height()
    await chain.mint(token, chain.address(9), 25_000_000)
    watch = chain.watch(chain.address(9), tokens=chain.token(token, "USDT", 6))
    assert [one.units for one in await chain.arrivals_since(start, watch)] == [25_000_000]


async def test_a_fee_on_transfer_token_is_credited_by_what_arrived(chain):
    token = await chain.contract("FeeToken")
    await chain.mint(token, chain.payer, 10**6)
    start = await chain.height()
    await chain.done(token, transfer_call(chain.address(10), 10_000))  # the log says 10,000, and 9,900 arrive
    watch = chain.watch(chain.address(10), tokens=chain.token(token))
    assert [one.units for one in await chain.arrivals_since(start, watch)] == [9_900]


async def test_two_payments_of_a_fee_token_in_one_block_share_what_arrived(chain):
    token = await chain.contract("FeeToken")
    await chain.mint(token, chain.payer, 10**6)
    start = await chain.height()
    await chain.in_one_block(
        [(token, transfer_call(chain.address(10), 10_000), 0), (token, transfer_call(chain.address(10), 333), 0)]
    )
    watch = chain.watch(chain.address(10), tokens=chain.token(token))
    found = [one.units for one in await chain.arrivals_since(start, watch)]
    assert len(found) == 2
    assert sum(found) == 9_900 + 330


async def test_a_log_without_money_credits_nothing(chain):
    token = await chain.contract("PlainToken", token_arguments("TOK", 18))
    start = await chain.height()
    await chain.done(token, pretend(chain.address(11), 10**24))
    assert await chain.arrivals_since(start, chain.watch(chain.address(11), tokens=chain.token(token))) == []


async def test_a_token_deposit_around_a_flush_in_one_block_is_credited_in_full(chain):
    token = await chain.contract("FeeToken")
    address = chain.address(12)
    await chain.mint(token, chain.payer, 10**6)
    await chain.done(token, transfer_call(address, 1_000))
    start = await chain.height()
    flush = (chain.plan.factory, flush_call([12], [token]), 0)
    receipts = await chain.in_one_block(
        [(token, transfer_call(address, 500), 0), flush, (token, transfer_call(address, 200), 0)]
    )
    assert {one["status"] for one in receipts} == {"0x1"}
    found = await chain.arrivals_since(start, chain.watch(address, tokens=chain.token(token)))
    assert sum(one.units for one in found) == 495 + 198


async def test_transfers_of_nothing_are_spam_and_ignored(chain):
    token = await chain.contract("PlainToken", token_arguments("TOK", 18))
    start = await chain.height()
    await chain.done(token, transfer_call(chain.address(13), 0))
    assert await chain.arrivals_since(start, chain.watch(chain.address(13), tokens=chain.token(token))) == []


async def test_an_unlisted_contract_is_ignored_whatever_it_logs_and_calls_itself(chain):
    listed = await chain.contract("PlainToken", token_arguments("USDC", 6))
    fake = await chain.contract("PlainToken", token_arguments("USDC", 6))
    start = await chain.height()
    await chain.mint(fake, chain.address(14), 10**9)
    await chain.done(fake, pretend(chain.address(14), 10**9))
    await chain.mint(listed, chain.address(14), 5)
    watch = chain.watch(chain.address(14), tokens=chain.token(listed, "USDC", 6))
    assert [one.units for one in await chain.arrivals_since(start, watch)] == [5]


async def test_reading_again_gives_the_same_keys_and_any_split_of_the_range_the_same_arrivals(chain):
    token = await chain.contract("NoReturnToken")
    payer = await chain.contract("InternalPayer")
    addresses = [chain.address(index) for index in range(100, 140)]
    start = await chain.height()
    for at in range(0, 40, 4):
        await chain.send(addresses[at], value=at + 1)
        await chain.send(payer, pay([(addresses[at + 1], at + 2)]), value=at + 2)
        await chain.send(token, selector("mint(address,uint256)") + padded(addresses[at + 2]) + word(at + 3))
        await chain.mine(at % 3)
    await chain.mine()
    watch = chain.watch(*addresses, tokens=chain.token(token))
    headers = await chain.headers_since(start)
    whole = await chain.node.blocks(headers, watch)
    single = [block for header in headers for block in await chain.node.blocks([header], watch)]
    assert list(whole) == single
    assert len([one for block in whole for one in block.arrivals]) == 30


async def test_an_address_that_is_not_watched_gets_nothing(chain):
    start = await chain.height()
    await chain.done(chain.address(15), value=5)
    assert await chain.arrivals_since(start, chain.watch(chain.address(16))) == []
    blocks = await chain.node.blocks(await chain.headers_since(start), chain.watch())
    assert [block.arrivals for block in blocks] == [()]


async def test_a_reorganised_block_is_gone_and_its_deposit_with_it(chain):
    address, start = chain.address(17), await chain.height()
    await chain.done(address, value=5)
    await chain.mine(2)
    old = await chain.headers_since(start)
    watch = chain.watch(address)
    assert [len(block.arrivals) for block in await chain.node.blocks(old, watch)] == [1, 0, 0]
    await chain.call("anvil_reorg", 3, [])
    with pytest.raises(NodeBlockGone):
        await chain.node.blocks(old, watch)
    assert await chain.arrivals_since(start, watch) == []


async def test_headers_end_where_the_chain_ends(chain):
    await chain.mine(5)
    tip = await chain.node.tip()
    found = await chain.node.headers(tip.height - 3, tip.height + 10)
    assert [one.height for one in found] == list(range(tip.height - 3, tip.height + 1))
    assert found[-1] == tip
    assert all(after.parent == before.hash for before, after in pairwise(found))


async def test_blocks_that_do_not_follow_each_other_are_refused(chain):
    await chain.mine(3)
    tip = await chain.node.tip()
    first = (await chain.node.headers(tip.height - 2, tip.height - 2))[0]
    with pytest.raises(NodeAnswerMalformed):
        await chain.node.blocks([first, tip], chain.watch(chain.address(1)))


async def test_a_block_that_never_was_is_gone(chain):
    header = Header(1, "0x" + "12" * 32, "0x" + "34" * 32, 0)
    with pytest.raises(NodeBlockGone):
        await chain.node.blocks([header], chain.watch(chain.address(1)))


async def test_logs_of_an_unknown_block_are_an_error_and_never_an_empty_answer(chain):
    with pytest.raises(NodeBlockGone):
        await logs(chain.rpc, [LogQuestion("0x" + "12" * 32, "0x" + "00" * 32)])


async def test_waiting_payments_are_shown_and_keep_the_key_they_will_have(chain):
    token = await chain.contract("PlainToken", token_arguments("TOK", 18))
    await chain.mint(token, chain.payer, 100)
    address = chain.address(18)
    watch = chain.watch(address, tokens=chain.token(token))
    await chain.call("evm_setAutomine", False)
    coin = await chain.send(address, value=9)
    sent = await chain.send(token, transfer_call(address, 10))
    await chain.send(token, transfer_call(chain.address(19), 11))
    waiting = await chain.node.unconfirmed(watch)
    assert waiting.tip == await chain.node.tip()
    assert sorted((one.key, one.units) for one in waiting.arrivals) == sorted(
        [(f"{coin}:native", 9), (f"{sent}:pending", 10)]
    )
    await chain.mine()
    assert (await chain.node.unconfirmed(watch)).arrivals == ()


async def test_a_node_of_another_network_is_found_out_by_chain_id_and_by_first_block(chain):
    other = EvmNode(chain.url, evm_network(5, "other", "ETH"))
    with pytest.raises(NodeOnWrongNetwork):
        await other.tip()
    await other.close()
    await chain.call("anvil_setChainId", 1)
    ethereum = known_network("ethereum")
    assert isinstance(ethereum, EvmNetwork)
    pretender = EvmNode(chain.url, ethereum)
    try:
        with pytest.raises(NodeOnWrongNetwork):
            await pretender.tip()
    finally:
        await chain.call("anvil_setChainId", 31337)
        await pretender.close()


async def test_thousands_of_open_addresses_are_compared_and_one_payment_found(chain):
    addresses = [chain.address(index) for index in range(3_000)]
    start = await chain.height()
    await chain.mine(30)
    await chain.call("anvil_setBalance", addresses[2_345], hex(77))  # no transaction at all
    await chain.mine(30)
    (arrival,) = await chain.arrivals_since(start, chain.watch(*addresses))
    assert (arrival.address, arrival.units) == (addresses[2_345], 77)
