"""What the signer takes for money that came to the float: beside payments, and when its block leaves the chain."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from coincurve import PrivateKey

from fixtures_signer import COIN as LTC_COIN, ETHER, EVM, GAS_KEY, LTC, Scene, fresh_address, policy_text
from holdfast.chains.evm_contracts import COIN, float_of
from holdfast.chains.evm_deploy import deploy_float
from holdfast.chains.localnet import AnvilNode, RegtestNode, anvil, litecoin_regtest
from holdfast.chains.zone_settings import NetworkAccess, NodeAccess
from holdfast.core.evm_float import pay_call
from holdfast.core.journal import Funding
from holdfast.core.orders import FloatKey
from holdfast.policy.record import Record
from holdfast.signer.loop import Signer
from holdfast.signer.networks import open_sight

pytestmark = [pytest.mark.node, pytest.mark.asyncio(loop_scope="session")]


async def test_what_comes_to_the_float_while_it_pays_more_is_a_funding(anvil_node: AnvilNode) -> None:
    """Its balance falls in that block, so balances say that nothing came."""
    funder, owner = (await anvil_node.accounts())[1:3]
    vault = fresh_address(EVM)
    await deploy_float(anvil_node.rpc_url, owner, vault, GAS_KEY)
    address = float_of(owner, vault)
    await anvil_node.send(address, 1_000, sender=funder)
    await anvil_node.set_automine(on=False)
    try:
        data = "0x" + pay_call(COIN, [(fresh_address(EVM), 900)]).hex()
        await anvil_node.transact({"from": owner, "to": address, "data": data, "gas": hex(500_000)})
        await anvil_node.send(address, 50, sender=funder)
        await anvil_node.mine()
    finally:
        await anvil_node.set_automine(on=True)
    height = await anvil_node.height()
    record = Record(floats={EVM.id: FloatKey(EVM.id, PrivateKey(b"\1" * 32).public_key.format().hex(), address, vault)})
    sight = open_sight(EVM.id, NetworkAccess(nodes=(NodeAccess(url=anvil_node.rpc_url),)))
    found = await sight.fundings(record, [height, height - 1], 1)
    await sight.close()
    assert [(each.units, each.address, each.height) for each in found if isinstance(each, Funding)] == [
        (1_000, address, height - 1),
        (50, address, height),
    ]


@pytest.fixture
async def own(tmp_path: Path) -> AsyncIterator[Scene]:
    """A scene on nodes of its own: their chains are taken back."""
    async with litecoin_regtest(tmp_path / "litecoin") as litecoin, anvil(tmp_path / "anvil") as node:
        scene = Scene(tmp_path, litecoin, node)
        scene.set_policy(policy_text())
        scene.certify()
        yield scene


def held(signer: Signer) -> tuple[int, int]:
    """What lies at the Litecoin float: by its coins, and by its sum."""
    coins = signer.record.coins.get(LTC.id, {}).values()
    return sum(coin.units for coin in coins), sum(
        units for (_, asset), units in signer.record.float_units.items() if asset == LTC.coin.id
    )


async def take_back(node: RegtestNode) -> str:
    """The newest block leaves the chain, and what it paid to the float waits again: that transaction's id."""
    await node.reorganise(1, with_transactions=False)
    [txid] = await node.mempool()
    return txid


async def double_spend(node: RegtestNode, txid: str) -> None:
    """Whoever paid it has had its coins elsewhere, in a block: it can never come back."""
    made = msgspec.json.decode(bytes(await node._wallet.call(msgspec.Raw, "gettransaction", txid, True, True)))
    inputs = [{"txid": one["txid"], "vout": one["vout"]} for one in made["decoded"]["vin"]]
    total = sum(round(one["value"] * LTC_COIN) for one in made["decoded"]["vout"])
    elsewhere = {await node.new_address(): f"{total / LTC_COIN:.8f}"}
    raw = await node._rpc.call(str, "createrawtransaction", inputs, elsewhere)
    signed = msgspec.json.decode(bytes(await node._wallet.call(msgspec.Raw, "signrawtransactionwithwallet", raw)))
    await node.mine_only([signed["hex"]])
    assert await node.mempool() == []


async def test_a_funding_whose_block_left_the_chain_is_taken_back_and_comes_back_once(own: Scene) -> None:
    await own.deposit(ltc=10 * LTC_COIN)
    await own.fund(ltc=[4 * LTC_COIN])
    async with own.watched(), own.signing() as signer:
        await signer.round()
        assert held(signer) == (4 * LTC_COIN, 4 * LTC_COIN)
        await take_back(own.litecoin)
        paid = own.order([(fresh_address(LTC), LTC_COIN)])
        await signer.round()
        assert held(signer) == (0, 0)
        assert own.platform.waiting[paid].rule == "float-short"
        await own.litecoin.mine(1)
        own.platform.fundings[:] = [type(own.platform.fundings[0])(LTC.id, await own.litecoin.height())]
        await signer.round()
        await signer.round()
        assert signer.record.payouts[paid].reservation is not None
        assert held(signer)[1] == 3 * LTC_COIN
        assert not signer.record.stopped


async def test_a_funding_that_was_double_spent_is_no_theft(own: Scene) -> None:
    """Its coin is nowhere any more, and nobody spent it: the network goes on with what is there."""
    await own.deposit(ltc=10 * LTC_COIN)
    await own.fund(ltc=[2 * LTC_COIN])
    await own.fund(ltc=[4 * LTC_COIN])
    async with own.watched(), own.signing() as signer:
        await signer.round()
        assert held(signer) == (6 * LTC_COIN, 6 * LTC_COIN)
        await double_spend(own.litecoin, await take_back(own.litecoin))
        paid = own.order([(fresh_address(LTC), LTC_COIN)])
        await signer.round()
        assert not signer.record.stopped
        assert signer.record.payouts[paid].reservation is not None
        assert held(signer)[1] == LTC_COIN


async def test_nothing_is_built_upon_change_of_a_payment_whose_coin_left_the_chain(own: Scene) -> None:
    await own.deposit(ltc=10 * LTC_COIN)
    await own.fund(ltc=[4 * LTC_COIN])
    async with own.watched(), own.signing() as signer:
        first = own.order([(fresh_address(LTC), LTC_COIN)])
        await signer.round()
        assert signer.record.payouts[first].reservation is not None
        await own.litecoin.reorganise(1, with_transactions=False)
        payment = next(iter(signer.record.transactions))
        [funding] = [one for one in await own.litecoin.mempool() if one != payment]
        await double_spend(own.litecoin, funding)
        second = own.order([(fresh_address(LTC), LTC_COIN)])
        await signer.round()
        await signer.round()
        assert not signer.record.stopped
        assert signer.record.reservations.keys() == {signer.record.payouts[first].reservation}
        assert own.platform.waiting[second].rule == "float-short"


async def test_a_funding_of_a_float_contract_is_taken_back_too(own: Scene) -> None:
    await own.fund(ether=5 * ETHER)
    async with own.watched(), own.signing() as signer:
        await signer.round()
        assert signer.record.float_units[own.evm_float, EVM.coin.id] == 5 * ETHER
        await own.anvil.reorganise(1)
        own.platform.fundings.clear()
        own.order([(fresh_address(EVM), 1)])
        await signer.round()
        assert signer.record.float_units[own.evm_float, EVM.coin.id] == 0
        assert not signer.record.stopped
        assert [one for one in own.platform.entries if "funding-gone" in one.document]


async def test_a_node_that_fell_behind_takes_nothing_back(own: Scene) -> None:
    await own.fund(ltc=[4 * LTC_COIN])
    async with own.watched(), own.signing() as signer:
        await signer.round()
        tip = await own.litecoin.best_hash()
        await own.litecoin.invalidate(tip)
        own.order([(fresh_address(LTC), LTC_COIN)])
        await signer.round()
        assert LTC.id not in signer.rates, "nothing is signed on a network that cannot be judged"
        assert held(signer) == (4 * LTC_COIN, 4 * LTC_COIN)
        await own.litecoin.reconsider(tip)
        await signer.round()
        assert held(signer) == (4 * LTC_COIN, 4 * LTC_COIN)
