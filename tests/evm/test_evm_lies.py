"""A node that lies, or answers from two forks at once, is not believed: each lie has a name, told by a real node."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from holdfast.chains.evm import EvmNode
from holdfast.chains.evm_contracts import selector, word
from holdfast.chains.evm_reads import NodeLimitReached, NodeStateMissing
from holdfast.chains.port import NodeAnswerMalformed, NodeBlockGone
from holdfast.chains.rpc import Limits
from holdfast.core.evm import address_bytes

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("anvil")]

Lie = Callable[[dict[str, Any], dict[str, Any]], None]


class Liar:
    """Passes calls on to the real node, and changes its answers."""

    def __init__(self, truth: str) -> None:
        self.truth, self.lie, self.url = truth, None, ""
        self.asked: list[dict[str, Any]] = []

    async def answer(self, request: web.Request) -> web.Response:
        calls = await request.json()
        async with aiohttp.ClientSession() as session, session.post(self.truth, json=calls) as response:
            answers = await response.json()
        for call, answer in zip(*((one if isinstance(one, list) else [one]) for one in (calls, answers)), strict=True):
            self.asked.append(call)
            if self.lie is not None:
                self.lie(call, answer)
        return web.Response(text=json.dumps(answers), content_type="application/json")

    def tells(self, method: str, change: Lie) -> None:
        def lie(call: dict[str, Any], answer: dict[str, Any]) -> None:
            if call["method"] == method:
                change(call, answer)

        self.lie = lie


@pytest.fixture
async def liar(chain) -> AsyncIterator[Liar]:
    liar = Liar(chain.url)
    app = web.Application()
    app.router.add_post("/", liar.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    liar.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    yield liar
    await runner.cleanup()


@pytest.fixture
async def node(chain, liar) -> AsyncIterator[EvmNode]:
    node = EvmNode(liar.url, chain.network, name="liar", limits=Limits(attempts_max=1))
    yield node
    await node.close()


@pytest.fixture
async def scene(chain):
    """A coin payment and a token payment to one address, each in a block."""
    token = await chain.contract("NoReturnToken")
    other = await chain.contract("NoReturnToken")
    start = await chain.height()
    await chain.done(chain.address(1), value=5)
    mint = selector("mint(address,uint256)") + address_bytes(chain.address(1)).rjust(32, b"\0") + word(7)
    await chain.done(token, mint)
    tokens = {**chain.token(token), **chain.token(other)}
    return await chain.headers_since(start), chain.watch(chain.address(1), tokens=tokens)


def result(value: object) -> Lie:
    return lambda _, answer: answer.update(result=value)


def refuses(message: str) -> Lie:
    def change(_: dict[str, Any], answer: dict[str, Any]) -> None:
        answer.pop("result", None)
        answer["error"] = {"code": -32000, "message": message}

    return change


def in_each(name: str, value: object) -> Lie:
    def change(_: dict[str, Any], answer: dict[str, Any]) -> None:
        found = answer["result"]
        for one in found if isinstance(found, list) else [found]:
            one[name] = value

    return change


async def test_the_truth_is_believed(scene, node):
    blocks = await node.blocks(*scene)
    assert [one.units for block in blocks for one in block.arrivals] == [5, 7]


@pytest.mark.parametrize(
    ("method", "change", "error"),
    [
        ("eth_getBlockByHash", in_each("hash", "0x" + "12" * 32), NodeBlockGone),
        ("eth_getBlockByHash", result(None), NodeBlockGone),
        ("eth_getBlockByHash", result({"hash": 7}), NodeAnswerMalformed),
        ("eth_getLogs", in_each("blockHash", "0x" + "12" * 32), NodeBlockGone),
        ("eth_getLogs", in_each("data", "0xzz"), NodeAnswerMalformed),
        ("eth_getLogs", refuses("query returned more than 10000 results"), NodeLimitReached),
        ("eth_getTransactionReceipt", in_each("blockHash", "0x" + "12" * 32), NodeBlockGone),
        ("eth_getTransactionReceipt", result(None), NodeBlockGone),
        ("eth_getTransactionReceipt", in_each("status", "yes"), NodeAnswerMalformed),
        ("eth_call", result("0x1234"), NodeAnswerMalformed),
        ("eth_call", result("0x" + "00" * 16), NodeAnswerMalformed),  # a balance that did not grow by what was paid
        ("eth_call", refuses("missing trie node 1234"), NodeStateMissing),
        ("eth_call", refuses("header not found"), NodeBlockGone),
    ],
)
async def test_each_lie_credits_nothing_and_has_a_name(scene, node, liar, method, change, error):
    liar.tells(method, change)
    with pytest.raises(error):
        await node.blocks(*scene)


async def test_a_balance_that_falls_without_a_flush_is_a_lie(chain, node, liar):
    address = chain.address(2)
    await chain.done(address, value=5)
    start = await chain.height()
    await chain.mine(4)
    headers = await chain.headers_since(start)

    def less_at_the_end(call: dict[str, Any], answer: dict[str, Any]) -> None:
        if call["params"][1] == {"blockHash": headers[-1].hash}:
            answer["result"] = "0x" + (4).to_bytes(16, "big").hex()

    liar.tells("eth_call", less_at_the_end)
    with pytest.raises(NodeAnswerMalformed):
        await node.blocks(headers, chain.watch(address))


async def test_a_balance_of_the_next_block_told_for_the_newest_is_not_believed(chain, node, liar):
    """What anvil does for some milliseconds while it makes a block: the payment would be credited twice."""
    address = chain.address(3)
    start = await chain.height()
    await chain.mine(1)
    headers = await chain.headers_since(start)
    balances = iter([0, 9, 0, 0])  # before and after; asked again, the truth

    def early(_: dict[str, Any], answer: dict[str, Any]) -> None:
        answer["result"] = f"0x{next(balances):032x}"

    liar.tells("eth_call", early)
    with pytest.raises(NodeAnswerMalformed, match="two balances"):
        await node.blocks(headers, chain.watch(address))


async def test_headers_of_another_height_are_refused(chain, node, liar):
    liar.tells("eth_getBlockByNumber", in_each("number", "0x7"))
    with pytest.raises(NodeAnswerMalformed):
        await node.headers(1, 3)


async def test_logs_that_are_too_many_are_asked_contract_by_contract(scene, node, liar):
    def refuse_two(call: dict[str, Any], answer: dict[str, Any]) -> None:
        if len(call["params"][0].get("address", ())) > 1:
            refuses("query exceeds max results 10000")(call, answer)

    # An empty bloom tells nothing, as on networks that never fill it: both tokens must be asked for.
    def lie(call: dict[str, Any], answer: dict[str, Any]) -> None:
        if call["method"] == "eth_getBlockByHash":
            answer["result"]["logsBloom"] = "0x" + "00" * 256
        if call["method"] == "eth_getLogs":
            refuse_two(call, answer)

    liar.lie = lie
    blocks = await node.blocks(*scene)
    assert [one.units for block in blocks for one in block.arrivals] == [5, 7]


async def test_a_quiet_range_costs_two_balance_reads_and_no_logs(chain, node, liar):
    start = await chain.height()
    await chain.mine(64)
    addresses = [chain.address(index) for index in range(500)]
    headers = await chain.headers_since(start)
    await node.blocks(headers, chain.watch(*addresses, tokens=chain.token("0x" + "33" * 20)))
    methods = [call["method"] for call in liar.asked]
    assert methods.count("eth_call") == 2
    assert "eth_getLogs" not in methods


async def test_where_nothing_is_watched_nothing_is_asked(chain, node, liar):
    await chain.mine(3)
    tip = await chain.node.tip()
    await node.blocks(await chain.node.headers(tip.height - 2, tip.height), chain.watch())
    assert liar.asked == []


async def test_another_block_in_place_of_the_one_that_was_asked_for_is_refused(chain, node, liar):
    """It would hide a payment without contradicting anything else."""
    start = await chain.height()
    await chain.done(chain.address(3), value=5)
    headers = await chain.headers_since(start)
    liar.tells("eth_getBlockByHash", result(await chain.call("eth_getBlockByNumber", "0x0", True)))
    with pytest.raises(NodeBlockGone):
        await node.blocks(headers, chain.watch(chain.address(3), open_=False))


async def test_blocks_whose_bloom_excludes_our_tokens_are_not_asked_for_logs(chain, node, liar):
    listed, other = await chain.contract("NoReturnToken"), await chain.contract("NoReturnToken")
    start = await chain.height()
    await chain.mint(other, chain.address(4), 5)
    await node.blocks(await chain.headers_since(start), chain.watch(chain.address(4), tokens=chain.token(listed)))
    assert "eth_getLogs" not in [call["method"] for call in liar.asked]
