"""Clocks that are moved, bytes that are hoarded, nodes that lie: nothing wrong is signed, and limits hold on chain."""

from dataclasses import dataclass, replace

import pytest

from fixtures_signer import COIN, ETHER, EVM, LTC, DepositHint, Scene, fresh_address, policy_text
from holdfast.chains.outflow import FeeRate, SendRefused
from holdfast.chains.port import Header, NodesDisagree, NodeUnreachable
from holdfast.chains.zone_settings import NetworkAccess, NodeAccess
from holdfast.policy.bound import bounds
from holdfast.policy.rules import Rule
from holdfast.signer.clocks import MachineClocks
from holdfast.signer.loop import Signer
from holdfast.signer.networks import open_sight

pytestmark = [pytest.mark.node, pytest.mark.asyncio(loop_scope="session")]

DAY = 86_400
TIGHT = (
    policy_text()
    .replace('total = { burst = "150", per_day = "150" }', 'total = { burst = "3", per_day = "24" }')
    .replace('unconfirmed_max = "200"', 'unconfirmed_max = "5"')
)
"""Three at once, one more an hour, and never more than five that are not final."""


@dataclass
class MovedClocks(MachineClocks):
    """The machine's clocks, with hands on them."""

    wall_seconds: int = 0
    boot_seconds: int = 0
    boot: str = ""

    def wall_ms(self) -> int:
        return super().wall_ms() + self.wall_seconds * 1000

    def boot_ms(self) -> int:
        return super().boot_ms() + self.boot_seconds * 1000

    def boot_id(self) -> str:
        return self.boot or super().boot_id()


@pytest.fixture
def clocks(scene: Scene) -> MovedClocks:
    """A tight policy, a merchant with money, and clocks that can be moved: the watchtower's has its own."""
    scene.platform.policies.clear()
    scene.set_policy(TIGHT)
    return MovedClocks()


async def ready(scene: Scene) -> None:
    await scene.deposit(ether=40 * ETHER)
    await scene.fund(ether=60 * ETHER)


async def order(scene: Scene, signer: Signer, count: int, **more: object) -> list[str]:
    """So many payouts of one ether each, and a round; which of them were accepted."""
    made = [scene.order([(fresh_address(EVM), ETHER)], **more) for _ in range(count)]
    await signer.round()
    return [one for one in made if one in signer.record.payouts or one in signer.record.paid]


@pytest.mark.parametrize("days", [30, -30])
async def test_the_signers_clock_a_month_off_refills_nothing(scene: Scene, clocks: MovedClocks, days: int) -> None:
    await ready(scene)
    async with scene.watched(), scene.signing() as signer:
        assert len(await order(scene, signer, 5)) == 3
        signer.clocks = clocks
        clocks.wall_seconds = days * DAY
        await signer.round()
        assert len(signer.record.payouts) == 3
        waiting = {one.rule for one in scene.platform.waiting.values()}
        assert waiting <= {Rule.LIMIT_TOTAL.value, Rule.INTENT_EARLY.value}


async def test_the_watchtowers_clock_a_month_ahead_refills_nothing(scene: Scene, clocks: MovedClocks) -> None:
    await ready(scene)
    scene.clocks = clocks
    async with scene.watched(), scene.signing() as signer:
        signer.clocks = MachineClocks()
        assert len(await order(scene, signer, 5)) == 3
        clocks.wall_seconds = 30 * DAY
        signer.held = None
        await signer.round()
        assert len(signer.record.payouts) == 3


@pytest.mark.parametrize("days", [30, -30])
async def test_a_loosening_waits_its_delay_whatever_one_clock_said_when_it_was_taken(
    scene: Scene, clocks: MovedClocks, days: int
) -> None:
    loose = policy_text().replace("version = 1", "version = 2", 1)
    scene.clocks = clocks
    async with scene.watched(), scene.signing() as signer:
        signer.clocks = MachineClocks()
        await signer.round()
        clocks.wall_seconds, signer.held = days * DAY, None
        scene.set_policy(loose)
        await signer.round()
        clocks.wall_seconds, signer.held = 0, None
        await signer.round()
        assert [policy.version for policy, _ in signer.record.policies.taken] == [1, 2]
        assert [policy.version for policy in signer._policies()] == [1, 2]


async def test_a_restart_of_the_machine_refills_nothing_by_itself(scene: Scene, clocks: MovedClocks) -> None:
    await ready(scene)
    async with scene.watched():
        async with scene.signing() as signer:
            assert len(await order(scene, signer, 5)) == 3
        async with scene.signing() as signer:
            signer.clocks = clocks
            clocks.boot, clocks.boot_seconds = "another boot", -5
            await signer.round()
            assert len(signer.record.payouts) == 3


async def test_an_intent_is_judged_by_the_safe_side_of_two_clocks(scene: Scene, clocks: MovedClocks) -> None:
    await ready(scene)
    now = MachineClocks().wall_ms() // 1000
    early = scene.order([(fresh_address(EVM), ETHER)], not_before=now + 1_000, expires_at=now + 9_000)
    late = scene.order([(fresh_address(EVM), ETHER)], expires_at=now + 900)
    async with scene.watched(), scene.signing() as signer:
        signer.clocks = clocks
        clocks.wall_seconds = 2_000  # the watchtower says that it is earlier
        await signer.round()
        assert scene.platform.waiting[early].rule == Rule.INTENT_EARLY
        assert signer.record.tombstones[late] == Rule.INTENT_EXPIRED


async def test_what_was_hoarded_and_is_released_together_stays_within_the_bound(
    scene: Scene, clocks: MovedClocks
) -> None:
    """Nothing is mined and nothing handed over for days, while all three clocks go on: then all of it at once."""
    await ready(scene)
    scene.clocks = clocks
    async with scene.watched(), scene.signing() as signer:
        sight = signer.sights[EVM.id]
        median, send = sight.outflow.median_time, sight.outflow.send
        chain = await median()

        async def moved() -> int:
            return chain + clocks.boot_seconds

        async def refused(raw: bytes) -> None:
            raise SendRefused("it is hoarded")

        sight.outflow.median_time, sight.outflow.send = moved, refused  # type: ignore[method-assign]  # days pass
        for _ in range(6):
            await order(scene, signer, 4, expires_at=clocks.wall_ms() // 1000 + 6 * DAY)
            clocks.wall_seconds += DAY // 2
            clocks.boot_seconds += DAY // 2
            signer.held = None
        sight.outflow.median_time, sight.outflow.send = median, send  # type: ignore[method-assign]  # all of it now
        before = await scene.anvil.call("eth_getBalance", scene.evm_float, "latest")
        for one in signer.record.waiting():
            assert one.signed is not None
            await send(bytes.fromhex(one.signed.raw))
        await scene.anvil.mine(1)
        after = await scene.anvil.call("eth_getBalance", scene.evm_float, "latest")
        out = int(before, 16) - int(after, 16)
        [bound] = [one for one in bounds(signer._policies(), signer.record, 0) if one.asset == EVM.coin.id]
        assert out == bound.released_units
        assert ETHER < out <= 5 * ETHER  # the cap on what is not final, whatever the limits had refilled
        assert {one.rule for one in scene.platform.waiting.values()} == {Rule.UNCONFIRMED_TOO_MUCH.value}


async def test_a_fee_that_nodes_lie_about_is_not_paid_and_a_low_one_is_only_slow(scene: Scene) -> None:
    await scene.deposit(ltc=10 * COIN)
    await scene.fund(ltc=[6 * COIN])
    async with scene.watched(), scene.signing() as signer:
        sight = signer.sights[LTC.id]
        honest = sight.outflow.fees

        async def lying() -> FeeRate:
            return FeeRate(per_kvb=10**9)

        sight.outflow.fees = lying  # type: ignore[method-assign]  # the node says that blocks are dear
        payout = scene.order([(fresh_address(LTC), COIN)])
        await signer.round()
        assert scene.platform.waiting[payout].rule == Rule.FEE_RATE_TOO_HIGH
        sight.outflow.fees = honest  # type: ignore[method-assign]  # as it was
        await signer.round()
        [one] = signer.record.waiting()
        assert one.body.fee_units < COIN // 100


async def test_a_block_that_only_one_of_two_nodes_has_entitles_nobody(scene: Scene) -> None:
    await ready(scene)
    access = NodeAccess(url=scene.anvil.rpc_url)
    async with scene.watched(), scene.signing() as signer:
        await signer.sights[EVM.id].close()
        pair = signer.sights[EVM.id] = open_sight(EVM.id, NetworkAccess(nodes=(access, access)))
        second = pair.reader._nodes[1]  # type: ignore[attr-defined]  # of the agreeing nodes
        headers = second.headers

        async def other(height_from: int, height_to: int) -> list[Header]:
            return [replace(one, hash="0x" + "ab" * 32) for one in await headers(height_from, height_to)]

        second.headers = other
        payout = scene.order([(fresh_address(EVM), ETHER)])
        await signer.round()
        assert signer.record.deposits == {}
        assert scene.platform.waiting[payout].rule in (Rule.ENTITLEMENT_SHORT, Rule.NETWORK_UNSEEN)
        second.headers = headers
        await signer.round()
        assert payout in signer.record.payouts


@pytest.mark.parametrize("error", [NodeUnreachable("down"), NodesDisagree("about the tip")])
async def test_while_one_of_its_nodes_is_lost_nothing_is_signed_on_that_network(scene: Scene, error: Exception) -> None:
    await ready(scene)
    async with scene.watched(), scene.signing() as signer:
        assert await order(scene, signer, 1)

        async def lost() -> FeeRate:
            raise error

        signer.sights[EVM.id].outflow.fees = lost  # type: ignore[method-assign]  # one of several does not answer
        payout = scene.order([(fresh_address(EVM), ETHER)])
        await signer.round()
        assert scene.platform.waiting[payout].rule == Rule.NETWORK_UNSEEN
        assert len(signer.record.reservations) == 1


async def test_a_deposit_without_its_confirmations_waits_whatever_the_platform_says(scene: Scene) -> None:
    scene.platform.policies.clear()
    scene.set_policy(policy_text().replace("confirmations = 1", "confirmations = 12"))
    await scene.fund(ether=20 * ETHER)
    await scene.deposit(ether=5 * ETHER)
    scene.platform.deposits.append(DepositHint(EVM.id, scene.index(), "mer_one", 10**9))
    async with scene.watched(), scene.signing() as signer:
        await signer.round()
        assert signer.record.entitlements == {}
        await scene.anvil.mine(12)
        await signer.round()
        assert signer.record.entitlements["mer_one", EVM.coin.id] == 5 * ETHER * 99 // 100
