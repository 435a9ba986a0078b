"""Frozen, allowlisted, limited, normal and back to frozen: a signer and a watchtower on real nodes, step by step."""

import asyncio
import time

import pytest

from fixtures_signer import ETHER, EVM, LTC, Scene, fresh_address, policy_text
from holdfast.core.orders import CHECKS, Restore, Stage
from holdfast.policy.rules import Rule
from holdfast.signer.loop import Signer

pytestmark = [pytest.mark.node, pytest.mark.asyncio(loop_scope="session")]
SECONDS_MAX = 60


def policy(*listed: str) -> str:
    """Delays that a test can wait for, and these destinations on the list from the first moment."""
    text = policy_text().replace("ageing_seconds = 3600", "ageing_seconds = 0")
    text = text.replace("restore_soak_seconds = 600", "restore_soak_seconds = 2")
    return text + "".join(
        f'[[listed]]\nmerchant = "mer_one"\nnetwork = "{EVM.id}"\naddress = "{one}"\n'
        "expires_at = 2035-01-01T00:00:00Z\n"
        for one in listed
    )


async def paid(scene: Scene, address: str) -> bool:
    await scene.anvil.mine(1)
    return int(await scene.anvil.call("eth_getBalance", address, "latest"), 16) > 0


async def rounds(signer: Signer, count: int = 2) -> None:
    for _ in range(count):
        await signer.round()


async def step(scene: Scene, signer: Signer, stage: Stage, *, number: list[int] = [0]) -> float:  # noqa: B006  counts on
    """The officers sign this step anew until the signer takes it; the seconds that it took."""
    began = time.monotonic()
    while time.monotonic() < began + SECONDS_MAX:
        number[0] += 1
        order = Restore(("*",), stage, scene.clocks.wall_ms() // 1000, number[0], CHECKS)
        scene.platform.orders[:] = [scene.house.order(order)]
        await rounds(signer)
        if number[0] in signer.record.orders:
            return time.monotonic() - began
        await asyncio.sleep(0.1)
    raise AssertionError(f"{stage} was never taken")


def freeze(scene: Scene, scope: str = "*") -> None:
    scene.tower._freeze(scene.house.freeze(scope, at=time.time_ns() // 1_000_000))


async def ready(scene: Scene, *listed: str) -> None:
    scene.platform.policies.clear()
    scene.set_policy(policy(*listed))
    await scene.deposit(ether=40 * ETHER)
    await scene.fund(ether=60 * ETHER)


async def test_the_whole_way_back_and_back_to_frozen(scene: Scene) -> None:
    friend, stranger, later = (fresh_address(EVM) for _ in range(3))
    await ready(scene, friend)
    async with scene.watched(), scene.signing() as signer:
        await rounds(signer)
        freeze(scene)
        signer.held = None
        known, new = scene.order([(friend, ETHER)]), scene.order([(stranger, ETHER)])
        large = scene.order([(later, 15 * ETHER)])
        await rounds(signer)
        assert {scene.platform.waiting[one].rule for one in (known, new, large)} == {Rule.NETWORK_FROZEN}

        await step(scene, signer, Stage.ALLOWLISTED)
        await rounds(signer)
        assert [await paid(scene, one) for one in (friend, stranger, later)] == [True, False, False]
        assert scene.platform.waiting[new].rule == Rule.STAGE_ALLOWLISTED

        assert await step(scene, signer, Stage.LIMITED) >= 1, "the stage lasts"
        await rounds(signer)
        assert [await paid(scene, one) for one in (stranger, later)] == [True, False]
        assert scene.platform.waiting[large].rule == Rule.STAGE_LIMITED

        await frozen_again(scene, signer)
        assert not await paid(scene, later)
        await step(scene, signer, Stage.ALLOWLISTED)
        for stage in (Stage.LIMITED, Stage.NORMAL):
            await step(scene, signer, stage)
        await rounds(signer)
        assert scene.tower.store.stages == {}
        assert await paid(scene, later)


async def frozen_again(scene: Scene, signer: Signer) -> None:
    """In the middle of the way back."""
    freeze(scene, EVM.id)
    signer.held = None
    other = scene.order([(fresh_address(EVM), ETHER)])
    await rounds(signer)
    assert scene.platform.waiting[other].rule == Rule.NETWORK_FROZEN
    assert scene.tower.store.stages[EVM.id] is Stage.FROZEN
    await step(scene, signer, Stage.NORMAL)
    await rounds(signer)
    assert scene.tower.store.frozen == (EVM.id,), "a later step ends no freeze that came meanwhile"


async def test_what_was_accepted_before_the_freeze_is_not_signed_beyond_the_allow_list_after_it(scene: Scene) -> None:
    stranger = fresh_address(EVM)
    await ready(scene)
    async with scene.watched(), scene.signing() as signer:
        await rounds(signer)
        payout = scene.order([(stranger, ETHER)])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Signer, "_build", lambda *_: None)  # the freeze comes right between
            await signer.round()
        assert payout in signer.record.unreserved
        freeze(scene)
        signer.held = None
        await rounds(signer)
        await step(scene, signer, Stage.ALLOWLISTED)
        await rounds(signer)
        assert payout in signer.record.unreserved
        assert not await paid(scene, stranger)
        await step(scene, signer, Stage.LIMITED)
        await rounds(signer)
        assert await paid(scene, stranger)


@pytest.mark.parametrize("scope", [EVM.coin.id, EVM.id, "mer_one"])
async def test_a_freeze_of_one_scope_leaves_the_others_alone(scene: Scene, scope: str) -> None:
    await ready(scene)
    async with scene.watched(), scene.signing() as signer:
        await rounds(signer)
        freeze(scene, scope)
        signer.held = None
        payout = scene.order([(fresh_address(EVM), ETHER)])
        other = scene.order([(fresh_address(LTC), 10**6)])
        await rounds(signer)
        rules = {
            EVM.coin.id: Rule.ASSET_FROZEN, EVM.id: Rule.NETWORK_FROZEN, "mer_one": Rule.MERCHANT_FROZEN,
        }  # fmt: skip
        assert scene.platform.waiting[payout].rule == rules[scope]
        assert (scene.platform.waiting[other].rule == Rule.MERCHANT_FROZEN) == (scope == "mer_one")
