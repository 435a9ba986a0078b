"""What a real anvil says about the float: what came, what left, who used its nonces, what it costs, and sending."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from fixtures_lies import lying_proxy
from holdfast.chains.evm_contracts import COIN, encode_bytes, float_of, selector, word
from holdfast.chains.evm_deploy import deploy_float
from holdfast.chains.evm_outflow import EvmOutflow
from holdfast.chains.evm_transactions import address_of_key, sign
from holdfast.chains.outflow import FeeRate, Known, Mined, NodeBehind, OutflowBlock, SendRefused, Spent, Status, Wanted
from holdfast.chains.port import Arrival, NodeBlockGone, NodeOnWrongNetwork, NodeUnreachable
from holdfast.chains.rpc import Limits
from holdfast.core.evm import address_bytes, checksum, keccak256
from holdfast.core.evm_float import pay_call, to_vault_call
from holdfast.core.evm_transactions import Fees, Signed, Transaction
from holdfast.core.networks import EvmNetwork, known_network

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("anvil")]

GAS_KEY = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")  # anvil's first, public
OWNER_KEY = keccak256(b"the float's owner")
OWNER = address_of_key(OWNER_KEY)
PAYEE = checksum(bytes.fromhex("70" * 20))
GAS = 300_000
HASTY = Limits(timeout_seconds=10, attempts_max=2, backoff_seconds=0.01)


@dataclass
class Ours:
    """The float, its owner's key, and the node that is tested."""

    chain: Any
    node: EvmOutflow
    address: str
    nonce: int = 0

    async def token(self, units: int) -> str:
        """A plain token of which the float has so much."""
        token = str(await self.chain.contract("PlainToken", word(64) + word(18) + encode_bytes(b"TOK")))
        if units:
            await self.chain.mint(token, self.address, units)
        return token

    def wanted(self, *tokens: str, **more: Any) -> Wanted:
        assets = {token: asset for one in tokens for token, asset in self.chain.token(one).items()}
        return Wanted(frozenset({self.address}), assets, **more)

    def sign(self, data: bytes, *, nonce: int | None = None, tip: int = 10**9, to: str = "", gas: int = GAS) -> Signed:
        """The owner's next transaction, or one with the nonce that is given."""
        if nonce is None:
            nonce, self.nonce = self.nonce, self.nonce + 1
        fees = Fees(20 * 10**9 + tip, tip)
        chain_id = self.chain.network.chain_id
        return sign(Transaction(chain_id, nonce, fees, gas, to or self.address, 0, data), OWNER_KEY)

    def pay(self, lines: Sequence[tuple[str, int]], token: str = COIN, **how: Any) -> Signed:
        return self.sign(pay_call(token, lines), **how)

    async def send(self, signed: Signed) -> dict[str, Any]:
        """Sent and in a block; its receipt."""
        await self.node.send(signed.raw)
        receipt: dict[str, Any] = await self.chain.receipt(signed.hash)
        return receipt

    async def block_of(self, receipt: dict[str, Any], wanted: Wanted) -> OutflowBlock:
        return await self.node.block(int(receipt["blockNumber"], 16), wanted)

    def coin(self, key: str, units: int) -> Arrival:
        return Arrival(key, key.partition(":")[0], self.address, self.chain.network.coin.id, units)


@pytest.fixture
async def ours(chain: Any) -> AsyncIterator[Ours]:
    await deploy_float(chain.url, OWNER, chain.plan.vault, GAS_KEY)
    await chain.done(OWNER, value=10**20)
    node = EvmOutflow(chain.url, chain.network, limits=HASTY)
    yield Ours(chain, node, float_of(OWNER, chain.plan.vault))
    await node.close()


def key_of(receipt: dict[str, Any], log: int = 0) -> str:
    return f"{receipt['transactionHash']}:{int(receipt['logs'][log]['logIndex'], 16)}"


# What came and what left, block by block


async def test_coin_and_listed_tokens_that_came_to_the_float_are_in_their_block(chain: Any, ours: Ours) -> None:
    token, unlisted = await ours.token(0), await ours.token(0)
    mint = selector("mint(address,uint256)") + address_bytes(ours.address).rjust(32, b"\0")
    receipts = await chain.in_one_block(
        [(ours.address, b"", 500), (token, mint + word(7), 0), (unlisted, mint + word(8), 0), (ours.address, b"", 6)]
    )
    block = await ours.block_of(receipts[0], ours.wanted(token))
    first, minted, _, last = receipts
    asset = chain.token(token)[token].id
    of_token = Arrival(key_of(minted), minted["transactionHash"], ours.address, asset, 7)
    assert block.funded == (ours.coin(key_of(first), 500), of_token, ours.coin(key_of(last), 6))
    assert block.header in await chain.node.headers(block.header.height, block.header.height)


async def test_what_came_is_seen_in_a_block_in_which_more_left(chain: Any, ours: Ours) -> None:
    """Balances alone would show that nothing came."""
    await chain.done(ours.address, value=1_000)
    signed = ours.pay([(PAYEE, 900)])
    await chain.call("evm_setAutomine", False)
    await ours.node.send(signed.raw)
    came = await chain.send(ours.address, value=50, gas=100_000)
    await chain.mine()
    receipt = await chain.receipt(came)
    block = await ours.block_of(receipt, ours.wanted(transactions=frozenset({signed.hash})))
    assert block.funded == (ours.coin(key_of(receipt), 50),)
    assert [each.transaction for each in block.mined] == [signed.hash]


async def test_what_others_log_is_nothing(chain: Any, ours: Ours) -> None:
    """A stranger's contract that has the same events, a transfer to somebody else, a transfer of nothing."""
    await deploy_float(chain.url, PAYEE, chain.plan.vault, GAS_KEY)
    stranger = float_of(PAYEE, chain.plan.vault)
    token = await ours.token(0)
    mint = selector("mint(address,uint256)")
    to_other, to_us = (mint + address_bytes(one).rjust(32, b"\0") for one in (PAYEE, ours.address))
    receipts = await chain.in_one_block(
        [(stranger, b"", 5), (token, to_other + word(7), 0), (token, to_us + word(0), 0), (ours.address, b"", 0)]
    )
    assert (await ours.block_of(receipts[0], ours.wanted(token))).funded == ()


async def test_tokens_that_the_float_pays_are_not_tokens_that_came(chain: Any, ours: Ours) -> None:
    token = await ours.token(100)
    receipt = await ours.send(ours.pay([(PAYEE, 30)], token))
    assert (await ours.block_of(receipt, ours.wanted(token))).funded == ()


async def test_our_transaction_costs_what_its_sender_paid(chain: Any, ours: Ours) -> None:
    await chain.done(ours.address, value=100)
    before = await chain.coin(OWNER)
    receipt = await ours.send(ours.pay([(PAYEE, 30)]))
    names = frozenset({receipt["transactionHash"], "0x" + "f" * 64})
    block = await ours.block_of(receipt, ours.wanted(transactions=names))
    assert block.mined == (Mined(receipt["transactionHash"], fee_units=before - await chain.coin(OWNER)),)
    assert await ours.node.mined(block.header, sorted(names)) == list(block.mined)


async def test_lines_that_could_not_be_paid_are_numbered(chain: Any, ours: Ours) -> None:
    await chain.done(ours.address, value=100)
    receipt = await ours.send(ours.pay([(PAYEE, 101), (PAYEE, 60), (ours.address, 1), (PAYEE, 40), (PAYEE, 1)]))
    [mined] = (await ours.block_of(receipt, ours.wanted(transactions=frozenset({receipt["transactionHash"]})))).mined
    assert (mined.unpaid, mined.is_reverted) == ((0, 2, 4), False)


async def test_a_call_that_failed_paid_nothing_and_still_cost(chain: Any, ours: Ours) -> None:
    receipt = await ours.send(ours.sign(to_vault_call(COIN, 5)))
    [mined] = (await ours.block_of(receipt, ours.wanted(transactions=frozenset({receipt["transactionHash"]})))).mined
    assert (mined.is_reverted, mined.unpaid) == (True, ())
    assert mined.fee_units == int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16)


async def test_a_transaction_is_mined_only_in_its_own_block(chain: Any, ours: Ours) -> None:
    receipt = await ours.send(ours.pay([(PAYEE, 1)]))
    await chain.mine()
    assert await ours.node.mined(await ours.node.tip(), [receipt["transactionHash"]]) == []


async def test_lines_that_another_contract_calls_unpaid_are_paid(chain: Any, ours: Ours) -> None:
    """A token may log what it likes while the float calls it."""
    receipt = await ours.send(ours.pay([(PAYEE, 1)]))

    def foreign(method: str, told: dict[str, Any]) -> dict[str, Any]:
        if method == "eth_getTransactionReceipt":
            for log in told["result"]["logs"]:
                log["address"] = PAYEE.lower()
        return told

    async with lying_proxy(chain.url) as proxy:
        node = EvmOutflow(proxy.url, chain.network, limits=HASTY)
        header = (await ours.block_of(receipt, Wanted())).header
        assert (await node.mined(header, [receipt["transactionHash"]]))[0].unpaid == (0,)
        proxy.lie = foreign
        assert (await node.mined(header, [receipt["transactionHash"]]))[0].unpaid == ()
        await node.close()


async def test_a_listed_contract_whose_transfers_are_not_a_tokens_is_nothing(chain: Any, ours: Ours) -> None:
    """ERC-721 has a `Transfer` of four topics."""
    token = await ours.token(7)
    height = (await ours.node.tip()).height

    def collectible(method: str, told: dict[str, Any]) -> dict[str, Any]:
        if method == "eth_getLogs":
            for log in told["result"]:
                log["topics"] = [*log["topics"], log["topics"][-1]]
        return told

    async with lying_proxy(chain.url) as proxy:
        node = EvmOutflow(proxy.url, chain.network, limits=HASTY)
        assert len((await node.block(height, ours.wanted(token))).funded) == 1
        proxy.lie = collectible
        assert (await node.block(height, ours.wanted(token))).funded == ()
        await node.close()


async def test_a_rollups_fee_for_its_data_is_part_of_the_cost(chain: Any, ours: Ours) -> None:
    receipt = await ours.send(ours.pay([(PAYEE, 1)]))
    own = int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16)

    def rollup(method: str, told: dict[str, Any]) -> dict[str, Any]:
        is_receipt = method == "eth_getTransactionReceipt"
        return {**told, "result": {**told["result"], "l1Fee": hex(12_345)}} if is_receipt else told

    async with lying_proxy(chain.url) as proxy:
        proxy.lie = rollup
        node = EvmOutflow(proxy.url, chain.network, limits=HASTY)
        header = (await ours.block_of(receipt, Wanted())).header
        [mined] = await node.mined(header, [receipt["transactionHash"]])
        await node.close()
    assert mined.fee_units == own + 12_345


async def test_whatever_a_watched_account_sends_is_named(chain: Any, ours: Ours) -> None:
    receipt = await ours.send(ours.sign(b"", to=PAYEE))
    await chain.done(PAYEE, value=1)
    block = await ours.block_of(receipt, Wanted(senders=frozenset({OWNER, PAYEE})))
    assert block.spent == (Spent(f"{OWNER}:0", receipt["transactionHash"]),)
    after = await ours.node.block(block.header.height + 1, Wanted(senders=frozenset({OWNER})))
    assert after.spent == ()


@pytest.mark.parametrize("senders", [frozenset(), frozenset({OWNER})], ids=["names", "bodies"])
async def test_there_is_no_block_above_the_tip(ours: Ours, senders: frozenset[str]) -> None:
    with pytest.raises(NodeBlockGone):
        await ours.node.block((await ours.node.tip()).height + 1, Wanted(senders=senders))


async def test_the_time_is_that_of_the_newest_block(ours: Ours) -> None:
    assert await ours.node.median_time() == (await ours.node.tip()).time


# Spends that are not ours


async def test_our_own_transactions_are_no_alarm_before_while_and_after_they_wait(chain: Any, ours: Ours) -> None:
    signed = [ours.pay([(PAYEE, 1)]) for _ in range(2)]
    known = Known(owner=OWNER, next_nonce=2, nonces={place: frozenset({one.hash}) for place, one in enumerate(signed)})
    await chain.call("evm_setAutomine", False)
    assert await ours.node.unexplained(known) == []
    for one in signed:
        await ours.node.send(one.raw)
    assert await ours.node.unexplained(known) == []
    await chain.mine()
    assert await ours.node.unexplained(known) == []


@pytest.mark.parametrize("is_mined", [False, True])
async def test_a_nonce_that_we_did_not_sign_for_is_an_alarm(chain: Any, ours: Ours, is_mined: bool) -> None:
    await chain.call("evm_setAutomine", False)
    await ours.node.send(ours.pay([(PAYEE, 1)]).raw)
    if is_mined:
        await chain.mine()
    alarm = f"nonce 0 of {OWNER} is used, and we have signed nothing for it"
    assert await ours.node.unexplained(Known(owner=OWNER)) == [alarm]
    assert await ours.node.unexplained(Known(owner=OWNER, next_nonce=1)) == []


async def test_a_node_that_tells_nothing_of_what_waits_cannot_hide_what_is_mined(chain: Any, ours: Ours) -> None:
    await ours.send(ours.pay([(PAYEE, 1)]))
    counts: list[str] = []

    def forgetful(method: str, told: dict[str, Any]) -> dict[str, Any]:
        if method != "eth_getTransactionCount":
            return told
        counts.append(told["result"])
        return {**told, "result": told["result"] if len(counts) % 2 else "0x0"}

    async with lying_proxy(chain.url) as proxy:
        proxy.lie = forgetful
        node = EvmOutflow(proxy.url, chain.network, limits=HASTY)
        assert len(await node.unexplained(Known(owner=OWNER))) == 1
        await node.close()
    assert counts == ["0x1"] * 4


async def test_whoever_takes_the_nonce_of_our_waiting_transaction_is_an_alarm(chain: Any, ours: Ours) -> None:
    """The count of nonces looks right all the while."""
    await chain.call("evm_setAutomine", False)
    signed = ours.pay([(PAYEE, 1)])
    theft = ours.sign(b"", nonce=0, to=PAYEE, tip=9 * 10**9)
    known = Known(owner=OWNER, next_nonce=1, nonces={0: frozenset({signed.hash})})
    await ours.node.send(signed.raw)
    await ours.node.send(theft.raw)
    assert await ours.node.unexplained(known) == [f"nonce 0 of {OWNER} is used by {theft.hash}, which waits"]
    await chain.mine()
    assert await ours.node.unexplained(known) == [f"nonce 0 of {OWNER} is used by a transaction that is not ours"]


async def test_any_version_of_ours_may_be_the_one_that_is_mined(chain: Any, ours: Ours) -> None:
    await chain.call("evm_setAutomine", False)
    old, new = ours.pay([(PAYEE, 1)]), ours.pay([(PAYEE, 1)], nonce=0, tip=9 * 10**9)
    known = Known(owner=OWNER, next_nonce=1, nonces={0: frozenset({old.hash, new.hash})})
    await ours.node.send(old.raw)
    await chain.mine()
    assert await ours.node.unexplained(known) == []


async def test_a_node_that_does_not_tell_what_waits_is_believed_about_blocks(chain: Any, ours: Ours) -> None:
    await chain.call("evm_setAutomine", False)
    signed, theft = ours.pay([(PAYEE, 1)]), ours.sign(b"", nonce=0, to=PAYEE)
    known = Known(owner=OWNER, next_nonce=1, nonces={0: frozenset({signed.hash})})

    above = hex((await ours.node.tip()).height + 1)

    def silent(method: str, told: dict[str, Any]) -> dict[str, Any]:
        asks_pending = method == "eth_getBlockByNumber" and told["result"]["number"] == above
        error = {"code": -32000, "message": "pending block is not available"}
        return {"jsonrpc": "2.0", "id": told["id"], "error": error} if asks_pending else told

    await ours.node.send(theft.raw)
    async with lying_proxy(chain.url) as proxy:
        proxy.lie = silent
        node = EvmOutflow(proxy.url, chain.network, limits=HASTY)
        assert await node.unexplained(known) == []
        await chain.mine()
        proxy.lie = None
        assert len(await node.unexplained(known)) == 1
        await node.close()


async def test_a_node_that_is_behind_judges_nothing(ours: Ours) -> None:
    with pytest.raises(NodeBehind):
        await ours.node.unexplained(Known(owner=OWNER, height=(await ours.node.tip()).height + 1))


# What lies there, and where a transaction is


async def test_what_is_held_is_coin_and_listed_tokens_at_the_tip(chain: Any, ours: Ours) -> None:
    token = await ours.token(70)
    await chain.done(ours.address, value=500)
    await ours.send(ours.pay([(PAYEE, 30)]))
    wanted = ours.wanted(token, senders=frozenset({OWNER}))
    holding = await ours.node.holding(wanted)
    coin, listed = chain.network.coin.id, chain.token(token)[token].id
    assert holding.units == {(ours.address, coin): 470, (ours.address, listed): 70}
    assert holding.nonces == {OWNER: 1}
    assert holding.tip == await chain.node.tip()


async def test_a_transaction_is_unknown_then_waits_then_is_in_a_block(chain: Any, ours: Ours) -> None:
    await chain.call("evm_setAutomine", False)
    signed = ours.pay([(PAYEE, 1)])
    assert await ours.node.status(signed.hash) == Status()
    await ours.node.send(signed.raw)
    assert await ours.node.status(signed.hash) == Status(is_waiting=True)
    await chain.mine()
    place = await ours.node.tip()
    await chain.mine(2)
    assert await ours.node.status(signed.hash) == Status(block=place)


# What it costs


async def test_the_base_fee_is_that_of_the_next_block(chain: Any, ours: Ours) -> None:
    rate = await ours.node.fees()
    await chain.mine()
    newest = await chain.call("eth_getBlockByNumber", "latest", False)
    assert rate.base_fee_wei == int(newest["baseFeePerGas"], 16) > 0
    assert rate.priority_fee_wei == int(await chain.call("eth_maxPriorityFeePerGas"), 16) > 0


async def test_what_a_node_has_no_method_for_is_worked_out_from_the_rest(chain: Any, ours: Ours) -> None:
    def older(method: str, told: dict[str, Any]) -> dict[str, Any]:
        if method == "eth_gasPrice":
            return {**told, "result": hex(3 * 10**12)}
        if method in {"eth_feeHistory", "eth_maxPriorityFeePerGas"}:
            return {"jsonrpc": "2.0", "id": told["id"], "error": {"code": -32601, "message": "no such method"}}
        return told

    newest = await chain.call("eth_getBlockByNumber", "latest", False)
    base = int(newest["baseFeePerGas"], 16)
    async with lying_proxy(chain.url) as proxy:
        proxy.lie = older
        node = EvmOutflow(proxy.url, chain.network, limits=HASTY)
        assert await node.fees() == FeeRate(base_fee_wei=base, priority_fee_wei=3 * 10**12 - base)
        await node.close()


# Sending


async def test_the_same_bytes_may_be_sent_again_while_they_wait_and_once_they_are_mined(chain: Any, ours: Ours) -> None:
    await chain.call("evm_setAutomine", False)
    signed = ours.pay([(PAYEE, 1)])
    for _ in range(2):
        await ours.node.send(signed.raw)
    await chain.mine()
    for _ in range(2):
        await ours.node.send(signed.raw)
    assert await chain.coin(OWNER) > 0
    assert (await ours.node.holding(Wanted(senders=frozenset({OWNER})))).nonces == {OWNER: 1}


async def test_a_nonce_that_another_transaction_used_is_a_refusal(ours: Ours) -> None:
    await ours.send(ours.pay([(PAYEE, 1)]))
    with pytest.raises(SendRefused, match="nonce too low"):
        await ours.node.send(ours.pay([(PAYEE, 2)], nonce=0).raw)


async def test_a_replacement_that_does_not_pay_enough_more_is_a_refusal(chain: Any, ours: Ours) -> None:
    await chain.call("evm_setAutomine", False)
    await ours.node.send(ours.pay([(PAYEE, 1)]).raw)
    with pytest.raises(SendRefused, match="underpriced"):
        await ours.node.send(ours.pay([(PAYEE, 2)], nonce=0).raw)


async def test_an_owner_without_coin_for_gas_is_a_refusal(ours: Ours) -> None:
    with pytest.raises(SendRefused, match=r"(?i)insufficient funds"):
        await ours.node.send(ours.pay([(PAYEE, 1)], tip=10**18).raw)


@pytest.mark.parametrize("raw", [b"", b"\x02", bytes(60)], ids=["nothing", "one byte", "zeros"])
async def test_what_is_no_transaction_is_refused(ours: Ours, raw: bytes) -> None:
    with pytest.raises(SendRefused):
        await ours.node.send(raw)


async def test_a_node_of_another_network_is_sent_nothing(chain: Any, ours: Ours) -> None:
    ethereum = known_network("ethereum")
    assert isinstance(ethereum, EvmNetwork)
    signed = ours.pay([(PAYEE, 1)])
    node = EvmOutflow(chain.url, ethereum, limits=HASTY)
    with pytest.raises(NodeOnWrongNetwork):
        await node.send(signed.raw)
    await node.close()
    assert await ours.node.status(signed.hash) == Status()


async def test_a_node_that_does_not_answer_is_no_refusal(chain: Any, ours: Ours) -> None:
    async with lying_proxy(chain.url) as proxy:
        proxy.statuses = [(503, {})] * 2
        node = EvmOutflow(proxy.url, chain.network, limits=HASTY)
        with pytest.raises(NodeUnreachable):
            await node.send(ours.pay([(PAYEE, 1)]).raw)
        await node.close()
