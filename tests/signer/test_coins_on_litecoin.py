"""The float's coins on a real node: many lines at once, change of change, many small coins that become one."""

import pytest

from fixtures_chain_facts import litecoin_balances
from fixtures_signer import COIN, LTC, MinedHint, Scene, fresh_address
from holdfast.chains.outflow import FeeRate
from holdfast.policy.record import Reservation
from holdfast.signer.build_bitcoin import spendable
from holdfast.signer.coins import CHAIN_MAX
from holdfast.signer.house import CONSOLIDATE_COINS
from holdfast.signer.loop import Signer

pytestmark = [pytest.mark.node, pytest.mark.asyncio(loop_scope="session")]


def name_of(one: Reservation) -> str:
    assert one.signed is not None
    return one.signed.transaction


async def all_found(scene: Scene, signer: Signer, only: int | None = None) -> None:
    """A block with what waits (its oldest so many), and the platform's word of it."""
    waiting = signer.record.waiting()[:only]
    await scene.litecoin.mine_only([name_of(one) for one in waiting])
    height = await scene.litecoin.height()
    scene.platform.mined += [MinedHint(one.seq, name_of(one), height) for one in waiting]
    await signer.round()


async def test_five_hundred_lines_are_one_transaction_in_one_block(scene: Scene) -> None:
    await scene.deposit(ltc=20 * COIN)
    await scene.fund(ltc=[4 * COIN, 3 * COIN])
    lines = [(fresh_address(LTC), COIN // 100 + number) for number in range(500)]
    payout = scene.order(lines)
    async with scene.watched(), scene.signing() as signer:
        await signer.round()
        [one] = signer.record.waiting()
        assert await scene.litecoin.mempool() == [name_of(one)]
        await all_found(scene, signer)
        assert payout in signer.record.paid
    assert await litecoin_balances(scene.litecoin, [address for address, _ in lines]) == dict(lines)


async def test_change_is_built_upon_before_it_is_final_up_to_a_bound_that_nodes_relay(scene: Scene) -> None:
    await scene.deposit(ltc=20 * COIN)
    await scene.fund(ltc=[6 * COIN])
    async with scene.watched(), scene.signing() as signer:
        made = []
        for _ in range(CHAIN_MAX + 2):
            made.append(scene.order([(fresh_address(LTC), COIN // 10)]))
            await signer.round()
        waiting = signer.record.waiting()
        assert len(waiting) == CHAIN_MAX
        assert set(await scene.litecoin.mempool()) == {name_of(one) for one in waiting}
        assert list(signer.record.unreserved) == made[-2:]
        # What is final is no link of the chain any more, though later links are not.
        await all_found(scene, signer, only=CHAIN_MAX // 2)
        assert signer.record.unreserved == {}
        [coin] = spendable(signer.record, LTC.id, scene.ltc_float)
        assert coin.depth == CHAIN_MAX // 2 + 1
        await all_found(scene, signer)
        assert signer.record.paid == set(made)
        assert [coin.depth for coin in spendable(signer.record, LTC.id, scene.ltc_float)] == [0]


async def test_many_small_coins_become_one_while_fees_are_low_and_payouts_go_on(scene: Scene) -> None:
    await scene.deposit(ltc=20 * COIN)
    for count in (20, 20, CONSOLIDATE_COINS - 39):  # nodes relay no longer chains of the payer's change
        await scene.fund(ltc=[COIN // 10] * count)

    async def quiet() -> FeeRate:
        return FeeRate(per_kvb=1_000)

    async with scene.watched(), scene.signing() as signer:
        signer.sights[LTC.id].outflow.fees = quiet  # type: ignore[method-assign]  # whatever this node has seen
        await signer.round()
        [one] = signer.record.waiting()
        assert one.body.purpose == "consolidation"
        assert len(one.body.inputs) == CONSOLIDATE_COINS + 1
        await all_found(scene, signer)
        [coin] = spendable(signer.record, LTC.id, scene.ltc_float)
        assert (coin.units, coin.depth) == ((CONSOLIDATE_COINS + 1) * (COIN // 10) - one.body.fee_units, 0)
        to = fresh_address(LTC)
        payout = scene.order([(to, COIN)])
        await signer.round()
        await all_found(scene, signer)
        assert payout in signer.record.paid
    assert await litecoin_balances(scene.litecoin, [to]) == {to: COIN}
