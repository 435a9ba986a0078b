"""Transfers from a real EVM node: coin, calls inside, tokens and fees, to the wei; forgeries and reverts told apart."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from secrets import token_bytes

import msgspec
import pytest
import pytest_asyncio

from holdfast.chains.evm_contracts import TRANSFER_TOPIC, selector, word
from holdfast.chains.evm_deploy import deploy_local_contract, token_arguments
from holdfast.chains.localnet import AnvilNode, anvil
from holdfast.chains.port import NodeOnWrongNetwork
from holdfast.chains.rpc import Call, Limits, RpcClient
from holdfast.core.evm import address_bytes, checksum, keccak256
from holdfast.core.networks import evm_network
from holdfast.trace.evidence import Evidence
from holdfast.trace.flows import UNITS_MAX
from holdfast.trace.model import FEES, Movement, Transfer
from holdfast.trace.sources.beside import Beside
from holdfast.trace.sources.evm_node import EvmNodeSource
from holdfast.trace.sources.evm_transfers import (
    EvmBlock,
    EvmLog,
    EvmReceipt,
    EvmTransaction,
    Mined,
    Teller,
    Told,
    inside_of_calls,
    inside_of_trace,
    transfer_log,
)
from holdfast.trace.sources.port import LeftOut, Noticed, Wanted
from holdfast.trace.sources.pull import pull
from holdfast.trace.sources.tokens import Token, TokenList
from holdfast.trace.store import Store

pytestmark = [pytest.mark.node, pytest.mark.asyncio(loop_scope="session")]
ETHER = 10**18
KEY = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")  # anvil's first, public


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def chain(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AnvilNode]:
    """An anvil of these tests' own: its whole chain is read again and again."""
    async with anvil(tmp_path_factory.mktemp("anvil")) as node:
        yield node


def someone() -> str:
    return checksum(token_bytes(20))


def padded(address: str) -> bytes:
    return address_bytes(address).rjust(32, b"\0")


class Refusing(RpcClient):
    """A node without some of its methods."""

    def __init__(self, url: str, *refused: str) -> None:
        super().__init__(url, name="narrow", limits=Limits(attempts_max=1))
        self._refused = refused

    async def batch(self, shape: type, calls: Sequence[Call]) -> list:  # type: ignore[override,type-arg]  # any shape
        named = [("no_such_method", ()) if method in self._refused else (method, params) for method, params in calls]
        return await super().batch(shape, named)


async def pulled(
    node: AnvilNode, store: Store, wanted: Wanted | None = None, *, tokens: TokenList | None = None,
    beside: Beside | None = None, rpcs: Sequence[RpcClient] = (),
) -> EvmNodeSource:  # fmt: skip
    source = EvmNodeSource(rpcs or [RpcClient(node.rpc_url)], node.network, beside or Beside(), tokens)
    try:
        await pull(source, wanted or Wanted(), store)
    finally:
        await source.close()
    return source


def of(store: Store, node: AnvilNode, transaction: str) -> list[Transfer]:
    return list(store.of_transactions(node.network.id, [transaction]))


async def test_coin_and_fee_add_up_to_what_an_account_has(chain: AnvilNode, tmp_path: Path) -> None:
    """Every wei: what arrived less what left is what the node says is there."""
    payer, payee = (await chain.accounts())[3], someone()
    await chain.send(payee, 2 * ETHER + 1, sender=payer)
    made = await chain.send(payee, 7, sender=payer)
    with Store(tmp_path) as store:
        await pulled(chain, store)
        [coin, fee] = of(store, chain, made)
        assert (coin.source, coin.target, coin.units, coin.movement) == (checksum(address_bytes(payer)), payee, 7,
                                                                        Movement.COIN)  # fmt: skip
        assert (fee.target, fee.movement) == (FEES, Movement.FEE)
        left = sum(each.units for each in store.leaving(chain.network.id, [coin.source]))
        assert 10_000 * ETHER - left == int(await chain.call("eth_getBalance", coin.source, "latest"), 16)
        assert sum(each.units for each in store.arriving(chain.network.id, [payee])) == 2 * ETHER + 8


@pytest.mark.parametrize("refused", [(), ("trace_block",)], ids=["trace_block", "debug_traceTransaction"])
async def test_coin_passed_on_by_a_contract_is_told(chain: AnvilNode, tmp_path: Path, refused: tuple[str, ...]) -> None:
    contract = await deploy_local_contract(chain.rpc_url, "InternalPayer", b"", KEY)
    [sender, first, second] = [(await chain.accounts())[4], someone(), someone()]
    data = selector("pay(address[],uint256[])") + b"".join(map(word, (64, 160, 2))) + padded(first) + padded(second)
    data += word(2) + word(3 * ETHER) + word(4 * ETHER)
    made = await chain.transact({"from": sender, "to": contract, "value": hex(7 * ETHER), "data": "0x" + data.hex()})
    ending = selector("payByEnding(address)") + padded(first)
    ended = await chain.transact({"from": sender, "to": contract, "value": hex(5), "data": "0x" + ending.hex()})
    with Store(tmp_path) as store:
        await pulled(chain, store, rpcs=[Refusing(chain.rpc_url, *refused)])
        moves = of(store, chain, made)
        assert [(each.movement, each.target, each.units) for each in moves[:3]] == [
            (Movement.COIN, contract, 7 * ETHER), (Movement.INTERNAL, first, 3 * ETHER),
            (Movement.INTERNAL, second, 4 * ETHER),
        ]  # fmt: skip
        assert [each.units for each in of(store, chain, ended) if each.target == first] == [5]
        assert not next(iter(store.pulled.values())).stopped
        assert sum(each.units for each in store.arriving(chain.network.id, [first])) == 3 * ETHER + 5


async def test_a_node_that_is_silent_about_calls_is_said_to_be(chain: AnvilNode, tmp_path: Path) -> None:
    contract = await deploy_local_contract(chain.rpc_url, "InternalPayer", b"", KEY)
    payee = someone()
    data = selector("payWithStipend(address)") + padded(payee)
    sender = (await chain.accounts())[4]
    await chain.transact({"from": sender, "to": contract, "value": hex(9), "data": "0x" + data.hex()})
    with Store(tmp_path) as store:
        await pulled(chain, store, rpcs=[Refusing(chain.rpc_url, "trace_block", "debug_traceTransaction")])
        assert store.arriving(chain.network.id, [payee]) == []
        [told] = store.pulled.values()
        assert "calls inside transactions" in told.stopped[0]


async def test_what_was_undone_moved_nothing_but_its_fee(chain: AnvilNode, tmp_path: Path) -> None:
    contract = await deploy_local_contract(chain.rpc_url, "InternalPayer", b"", KEY)
    payee, sender = someone(), (await chain.accounts())[4]
    data = selector("payAndRevert(address)") + padded(payee)
    made = await chain.transact(
        {"from": sender, "to": contract, "value": hex(9), "data": "0x" + data.hex(), "gas": hex(200_000)}
    )
    with Store(tmp_path) as store:
        await pulled(chain, store)
        assert [each.movement for each in of(store, chain, made)] == [Movement.FEE]
        assert store.left_out[LeftOut.FAILED] >= 1


async def token_moves(node: AnvilNode, symbol: str, payee: str, units: int) -> tuple[str, str]:
    """A new token; its contract, and the transaction of a payment."""
    contract = await deploy_local_contract(node.rpc_url, "PlainToken", token_arguments(symbol, 6), KEY)
    sender = (await node.accounts())[5]
    mint = selector("mint(address,uint256)") + padded(sender) + word(units)
    await node.transact({"from": sender, "to": contract, "data": "0x" + mint.hex()})
    data = selector("transfer(address,uint256)") + padded(payee) + word(units)
    return contract, await node.transact({"from": sender, "to": contract, "data": "0x" + data.hex()})


async def test_tokens_are_told_by_their_contract_and_forgeries_are_refused(chain: AnvilNode, tmp_path: Path) -> None:
    payee = someone()
    listed, made = await token_moves(chain, "USDT", payee, 5_000_001)
    other, more = await token_moves(chain, "GOV", payee, 77)
    _, forged = await token_moves(chain, "\N{CYRILLIC CAPITAL LETTER IE}TH", payee, 10**6)
    _, spam = await token_moves(chain, "Claim at eth-win.com", payee, 10**6)
    tokens = TokenList([Token(chain.network.id, listed, "USDT", 6)])
    with Store(tmp_path) as store:
        await pulled(chain, store, tokens=tokens)
        [moved, _] = of(store, chain, made)
        assert (moved.asset, moved.units) == (f"{chain.network.id}/erc20:{listed.lower()}", 5_000_001)
        assert of(store, chain, more)[0].asset == f"{chain.network.id}/erc20:{other.lower()}"
        assert store.assets[moved.asset].is_listed
        assert not store.assets[f"{chain.network.id}/erc20:{other.lower()}"].is_listed
        for false in (forged, spam):
            assert [each.movement for each in of(store, chain, false)] == [Movement.FEE]
        assert store.left_out[LeftOut.IMITATION] == store.left_out[LeftOut.ADVERTISEMENT] == 2  # minted, and paid
        assert next(iter(store.pulled.values())).noticed[Noticed.UNLISTED] >= 2
        assert len(store.arriving(chain.network.id, [payee])) == 2


async def test_only_what_touches_an_address_is_kept_where_addresses_are_named(chain: AnvilNode, tmp_path: Path) -> None:
    payee = someone()
    made = await chain.send(payee, 5)
    await chain.send(someone(), 5)
    with Store(tmp_path) as store:
        await pulled(chain, store, Wanted(addresses=frozenset({payee})))
        assert len(store) == len(of(store, chain, made)) == 2


async def test_a_named_transaction_is_pulled_alone_and_a_missing_one_is_said(chain: AnvilNode, tmp_path: Path) -> None:
    made = await chain.send(someone(), 5)
    missing = "0x" + "77" * 32
    with Store(tmp_path) as store:
        await pulled(chain, store, Wanted(transactions=frozenset({made, missing})))
        assert len(store) == len(of(store, chain, made)) == 2
        [told] = store.pulled.values()
        assert missing in told.stopped[0]


async def test_a_reorganisation_takes_back_what_it_undid(chain: AnvilNode, tmp_path: Path) -> None:
    begin = await chain.height()
    stays, goes = someone(), someone()
    await chain.send(stays, 1)
    await chain.send(goes, 2)
    wanted = Wanted(height_from=begin)
    with Store(tmp_path) as store:
        await pulled(chain, store, wanted)
        assert len(store.arriving(chain.network.id, [stays, goes])) == 2
        await chain.reorganise(1)
        await pulled(chain, store, wanted)
        assert [each.target for each in store.arriving(chain.network.id, [stays, goes])] == [stays]
        [told] = store.pulled.values()
        assert told.noticed[Noticed.REORGANISED] == 1
        before = len(store)
        await pulled(chain, store, wanted)
        assert len(store) == before


async def test_raw_answers_of_two_nodes_are_evidence_and_a_difference_is_said(chain: AnvilNode, tmp_path: Path) -> None:
    class Lying(RpcClient):
        """Tells another value."""

        async def batch(self, shape: type, calls: Sequence[Call]) -> list:  # type: ignore[override,type-arg]  # of any shape
            answers = await super().batch(shape, calls)
            raw = [bytes(each).replace(b'"value":"0x5"', b'"value":"0x6"') for each in answers]
            return [msgspec.Raw(each) for each in raw]

    payee = someone()
    made = await chain.send(payee, 5)
    height = await chain.height()
    evidence = Evidence(tmp_path / "evidence")
    rpcs = [RpcClient(chain.rpc_url, name="one"), Lying(chain.rpc_url, name="two")]
    with Store(tmp_path / "store") as store:
        beside = Beside(evidence, clock=lambda: 99)
        await pulled(chain, store, Wanted(height_from=height), beside=beside, rpcs=rpcs)
        [coin, fee] = of(store, chain, made)
        [told] = store.pulled.values()
    assert coin.units == 5
    assert made.encode() in evidence.raw(coin.evidence)
    assert made.encode() in evidence.raw(fee.evidence)
    assert {each.source for each in evidence.exhibits.values()} == {"one", "two"}
    assert [each for each in told.stopped if "two tells block" in each]


async def test_a_node_of_another_network_is_refused(chain: AnvilNode, tmp_path: Path) -> None:
    source = EvmNodeSource([RpcClient(chain.rpc_url)], evm_network(1, "ethereum", "ETH"))
    with Store(tmp_path) as store, pytest.raises(NodeOnWrongNetwork):
        await pull(source, Wanted(), store)
    await source.close()


# --- what a log says, without a node


def log(*words: bytes, topics: int = 3) -> EvmLog:
    named = [TRANSFER_TOPIC, *("0x" + each.hex() for each in words[: topics - 1])]
    return EvmLog("0x" + "11" * 20, named, "0x" + b"".join(words[topics - 1 :]).hex())


async def test_a_log_is_a_transfer_only_if_it_moves_an_amount() -> None:
    ends = word(1), word(2)
    moved = (checksum(bytes(19) + b"\1"), checksum(bytes(19) + b"\2"))
    assert transfer_log(log(*ends, word(UNITS_MAX - 1))) == (*moved, UNITS_MAX - 1)
    assert transfer_log(log(*ends, word(5), topics=1)) == (*moved, 5)
    assert transfer_log(log(*ends, word(0))) is LeftOut.NOTHING
    assert transfer_log(log(*ends, word(UNITS_MAX))) is LeftOut.UNITS
    assert transfer_log(log(*ends, word(5), topics=4)) is LeftOut.COLLECTIBLE
    assert transfer_log(log(*ends)) is LeftOut.MALFORMED
    assert transfer_log(log(b"\xff" * 32, word(2), word(5))) is LeftOut.MALFORMED
    assert transfer_log(EvmLog("0x" + "11" * 20, [], "0x")) is None
    single = "0x" + keccak256(b"TransferSingle(address,address,address,uint256,uint256)").hex()
    assert transfer_log(EvmLog("0x" + "11" * 20, [single], "0x")) is LeftOut.COLLECTIBLE


async def test_a_call_inside_an_undone_call_moved_nothing() -> None:
    ends = {"from": "0x" + "aa" * 20, "to": "0x" + "bb" * 20}
    told = [([], "call", False), ([0], "call", True), ([0, 1], "call", False), ([1], "delegatecall", False),
            ([2], "call", False)]  # fmt: skip
    entries: list[dict[str, object]] = [
        {"transactionHash": "t", "type": "call", "traceAddress": path, "error": "Reverted" if is_undone else None,
         "action": {**ends, "callType": kind, "value": "0x7"}}
        for path, kind, is_undone in told
    ]  # fmt: skip
    assert [each.units for each in inside_of_trace(entries)["t"]] == [7]
    frame = {"type": "CALL", "calls": [
        {"type": "CALL", **ends, "value": "0x1", "error": "x", "calls": [{"type": "CALL", **ends, "value": "0x2"}]},
        {"type": "DELEGATECALL", **ends, "value": "0x3", "calls": [{"type": "CALL", **ends, "value": "0x4"}]},
    ]}  # fmt: skip
    assert [each.units for each in inside_of_calls(frame)] == [4]


async def test_a_wrapped_coin_is_told_where_its_contract_tells_no_transfer_of_it() -> None:
    """WETH9 logs `Deposit` alone; others log a transfer out of nothing too, which counts once."""
    contract, holder = "0x" + "cc" * 20, "0x" + "dd" * 20
    network = "eip155:1"
    tokens = TokenList([Token(network, contract, "WETH", 18)])
    teller = Teller(network, f"{network}/slip44:60", tokens, lambda _: ("", None))
    deposit = "0x" + keccak256(b"Deposit(address,uint256)").hex()
    made = EvmLog(contract, [deposit, "0x" + padded(holder).hex()], "0x" + word(9).hex())
    minted = EvmLog(contract, [TRANSFER_TOPIC, "0x" + bytes(32).hex(), "0x" + padded(holder).hex()], made.data)
    block = EvmBlock("0x1", "0x2", "0x3", "0x4", [EvmTransaction("0x5", holder)])
    for logs, source in (([made], contract), ([made, minted], "0x" + "00" * 20)):
        receipt = EvmReceipt("0x5", "0x2", "0x0", logs=logs)
        [moved] = teller.tell(Mined(block, 0, receipt), Told())
        assert (moved.source, moved.target, moved.units) == (checksum(address_bytes(source)),
                                                             checksum(address_bytes(holder)), 9)  # fmt: skip
