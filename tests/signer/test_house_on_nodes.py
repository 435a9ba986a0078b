"""House transactions: flushes to the vault, gas for the float, the old float's money after a rotation. Nothing else."""

import msgspec
import pytest
from coincurve import PublicKey

from fixtures_signer import COIN, ETHER, EVM, GAS_KEY, LTC, FundingHint, MinedHint, Scene, fresh_address, policy_text
from holdfast.chains.bitcoin_scripts import address_of as script_address
from holdfast.chains.evm_contracts import COIN as EVM_COIN, float_of
from holdfast.chains.evm_deploy import deploy, deploy_float
from holdfast.chains.local_process import until
from holdfast.core.addresses import BitcoinVault, deposit_address
from holdfast.core.bitcoin import key_script
from holdfast.core.evm_transactions import address_of
from holdfast.core.orders import FloatKey, RotateFloat
from holdfast.signer.loop import Signer
from holdfast.signer.platform import FlushHint, Work

pytestmark = [pytest.mark.node, pytest.mark.asyncio(loop_scope="session")]


def with_house(text: str, kinds: str) -> str:
    """The policy with more kinds of house transactions for the EVM network, and coin worth flushing from 0.1 on."""
    head, mark, tail = text.partition(f'[networks."{EVM.id}"]')
    tail = tail.replace('house = { "cap', f'house = {{ {kinds} "cap', 1)
    tail = tail.replace('fees = { burst = "5"', 'fees = { burst = "40"', 1)
    return head + mark + tail + 'flush_min = "0.1"\n'


BOTH = '"flush" = { burst = "1", per_day = "1" }, "gas-top-up" = { burst = "30", per_day = "30" },'


async def ether_at(scene: Scene, address: str) -> int:
    return int(await scene.anvil.call("eth_getBalance", address, "latest"), 16)


async def holds_ether(scene: Scene, address: str, units: int) -> None:
    """Once the block is made, a moment after the transaction was taken."""

    async def is_there() -> bool:
        return await ether_at(scene, address) == units

    await until(is_there)


def hinted(scene: Scene, hint: FlushHint) -> None:
    work = scene.platform.work

    async def with_hint(wait_seconds: int) -> Work:
        return msgspec.structs.replace(await work(wait_seconds), flushes=(hint,))

    scene.platform.work = with_hint  # type: ignore[method-assign]  # the platform has seen money at a deposit address


async def test_what_lies_at_a_deposit_address_is_flushed_to_the_vault_when_it_is_worth_it(scene: Scene) -> None:
    scene.platform.policies.clear()
    scene.set_policy(with_house(policy_text(), BOTH))
    gas = address_of(PublicKey(scene.keys.public_key(f"{EVM.id}/gas")))
    await deploy(scene.anvil.rpc_url, scene.plan, GAS_KEY)
    await scene.anvil.send(gas, 3 * ETHER)
    await scene.anvil.send(scene.owner, 20 * ETHER)
    await scene.deposit(ether=2 * ETHER)
    hinted(scene, FlushHint(EVM.id, (scene.index(), 5, 6), (EVM_COIN,)))
    before = await ether_at(scene, scene.plan.vault)
    async with scene.watched(), scene.signing() as signer:
        await signer.round()
        [one] = signer.record.reservations.values()
        assert (one.body.purpose, one.body.account, one.body.out_units) == ("flush", gas, 0)
        await holds_ether(scene, scene.plan.vault, before + 2 * ETHER)
        assert one.signed is not None
        scene.platform.mined.append(MinedHint(one.seq, one.signed.transaction, await scene.anvil.height()))
        await signer.round()
        assert len(signer.record.reservations) == 1  # there is nothing left that is worth it


async def test_dust_at_a_deposit_address_is_left_there(scene: Scene) -> None:
    scene.platform.policies.clear()
    scene.set_policy(with_house(policy_text(), BOTH))
    gas = address_of(PublicKey(scene.keys.public_key(f"{EVM.id}/gas")))
    await scene.anvil.send(gas, 3 * ETHER)
    await scene.anvil.send(scene.owner, 20 * ETHER)
    await scene.deposit(ether=ETHER // 100)
    hinted(scene, FlushHint(EVM.id, (scene.index(),), (EVM_COIN,)))
    async with scene.watched(), scene.signing() as signer:
        await signer.round()
        assert signer.record.reservations == {}


async def test_the_floats_account_gets_gas_before_it_has_none_and_within_the_budget(scene: Scene) -> None:
    scene.platform.policies.clear()
    scene.set_policy(with_house(policy_text(), BOTH))
    gas = address_of(PublicKey(scene.keys.public_key(f"{EVM.id}/gas")))
    await scene.anvil.send(gas, 50 * ETHER)
    async with scene.watched(), scene.signing() as signer:
        await signer.round()
        [one] = signer.record.reservations.values()
        assert one.body.purpose == "gas-top-up"
        await holds_ether(scene, scene.owner, 16 * ETHER)  # four transactions at the highest fee
        assert one.body.extra_fee_units > 16 * ETHER


async def test_a_kind_that_the_policy_does_not_name_is_never_made(scene: Scene) -> None:
    gas = address_of(PublicKey(scene.keys.public_key(f"{EVM.id}/gas")))
    await scene.anvil.send(gas, 50 * ETHER)
    async with scene.watched(), scene.signing() as signer:
        await signer.round()
        assert signer.record.reservations == {}


async def test_after_a_rotation_the_old_floats_money_goes_to_the_vault_and_the_new_one_pays(scene: Scene) -> None:
    await scene.deposit(ltc=10 * COIN, ether=10 * ETHER)
    await scene.fund(ltc=[6 * COIN], ether=20 * ETHER)
    async with scene.watched():
        async with scene.signing() as signer:
            await signer.round()
            old = dict(signer.record.floats)
        scene.keys = scene.keys.with_fresh([f"{LTC.id}/2", f"{EVM.id}/2"])
        await rotate(scene)
        before = await ether_at(scene, scene.plan.vault)
        async with scene.signing() as signer:
            await signer.round()
            assert signer.record.floats[LTC.id].address == scene.ltc_float != old[LTC.id].address
            swept = {one.body.network: one.body for one in signer.record.reservations.values()}
            assert {network: body.account for network, body in swept.items()} == {n: k.address for n, k in old.items()}
            assert all(body.purpose == "cap-sweep" and body.change_index is None for body in swept.values())
            await holds_ether(scene, scene.plan.vault, before + 20 * ETHER)
            await pay_from_the_new_float(scene, signer)


async def rotate(scene: Scene) -> None:
    """The officers' orders for new float keys on both networks."""
    ltc, evm = scene.keys.public_key(f"{LTC.id}/2"), scene.keys.public_key(f"{EVM.id}/2")
    vault = deposit_address(LTC, BitcoinVault(scene.descriptor), 2**30)
    scene.ltc_float = script_address(LTC, key_script(ltc, is_segwit=True))  # type: ignore[arg-type]  # of the Bitcoin family
    scene.owner = address_of(PublicKey(evm))
    scene.evm_float = float_of(scene.owner, scene.plan.vault)
    moved = (
        FloatKey(LTC.id, ltc.hex(), scene.ltc_float, vault),
        FloatKey(EVM.id, evm.hex(), scene.evm_float, scene.plan.vault),
    )
    scene.platform.orders += [scene.house.order(RotateFloat(key, number)) for number, key in enumerate(moved, 1)]
    await deploy_float(scene.anvil.rpc_url, scene.owner, scene.plan.vault, GAS_KEY)


async def pay_from_the_new_float(scene: Scene, signer: Signer) -> None:
    await scene.fund(ltc=[3 * COIN], ether=5 * ETHER)
    to = fresh_address(EVM)
    scene.order([(to, ETHER)])
    scene.order([(fresh_address(LTC), COIN)])
    await signer.round()
    await holds_ether(scene, to, ETHER)
    assert len(await scene.litecoin.mempool()) == 1
    assert scene.platform.waiting == {}
    assert FundingHint(EVM.id, 0) not in scene.platform.fundings
