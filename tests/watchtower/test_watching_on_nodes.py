"""Float keys used outside the signer, forged journals, nodes that are gone: what the watchtower does, on real nodes."""

from pathlib import Path

import msgspec
import pytest

from fixtures_guard import guarded, steal_bitcoin, steal_evm, tower_settings
from fixtures_signer import COIN, ETHER, EVM, LTC, Scene, fresh_address, policy_text
from holdfast.chains.localnet import AnvilNode, RegtestNode
from holdfast.chains.zone_settings import NodeAccess
from holdfast.core.journal import Funding
from holdfast.signer.loop import Signer
from holdfast.signer.platform import MinedHint
from holdfast.signer.tower import LeaseNotGranted
from holdfast.watchtower.ground import address_of_deposit
from holdfast.watchtower.settings import WatchedNetwork

pytestmark = [pytest.mark.node, pytest.mark.asyncio(loop_scope="session")]


@pytest.fixture
def scene(tmp_path: Path, litecoin: RegtestNode, anvil_node: AnvilNode) -> Scene:
    """Officers, a policy and a merchant who is certified."""
    scene = Scene(tmp_path, litecoin, anvil_node)
    scene.set_policy(policy_text())
    scene.certify()
    return scene


async def ready(scene: Scene) -> None:
    await scene.deposit(ltc=10 * COIN, ether=10 * ETHER)
    await scene.fund(ltc=[6 * COIN, 4 * COIN], ether=20 * ETHER)


async def pay_both(scene: Scene, signer: Signer) -> list[str]:
    """A payout on each family, final."""
    paid = [scene.order([(fresh_address(LTC), COIN)]), scene.order([(fresh_address(EVM), ETHER)])]
    await signer.round()
    await scene.litecoin.mine(1)
    await scene.anvil.mine(1)
    for seq, one in signer.record.reservations.items():
        if one.signed is not None and one.mined is None:
            height = await (scene.litecoin if one.body.network == LTC.id else scene.anvil).height()
            hints = [MinedHint(seq, one.signed.transaction, each) for each in range(height - 2, height + 1)]
            scene.platform.mined += hints
    await signer.round()
    assert set(paid) <= signer.record.paid
    return paid


async def test_payouts_go_on_under_its_eyes_and_nothing_is_stopped(scene: Scene) -> None:
    await ready(scene)
    async with guarded(scene) as watched, scene.signing() as signer:
        await signer.round()
        await pay_both(scene, signer)
        await pay_both(scene, signer)
        await watched.seeing()
        assert watched.status.stops == ()
        assert watched.status.alarms == ()
        assert {one.fault for one in watched.status.networks} == {""}


async def test_a_stolen_float_key_is_seen_in_the_mempool_and_the_network_is_no_longer_leased(scene: Scene) -> None:
    await ready(scene)
    async with guarded(scene) as watched, scene.signing() as signer:
        await signer.round()
        await pay_both(scene, signer)
        await watched.seeing()
        theft = steal_bitcoin(scene, signer.record)
        await scene.litecoin._rpc.call(str, "sendrawtransaction", theft.raw.hex())
        status = await watched.until(lambda now: bool(now.stops))
        assert [stop.scope for stop in status.stops] == [LTC.id]
        assert status.stops[0].by == "watchtower"
        assert theft.txid in status.stops[0].reason
        assert [alarm.transactions for alarm in status.alarms] == [(theft.txid,)]
        assert status.frozen == (LTC.id,)
        await scene.litecoin.mine(1)
        await watched.seeing()
        assert len(watched.status.stops) == 1, "the same theft in its block is no second reason"


async def test_a_theft_that_no_mempool_ever_showed_is_seen_in_its_block(scene: Scene) -> None:
    await ready(scene)
    async with guarded(scene) as watched, scene.signing() as signer:
        await signer.round()
        theft = steal_bitcoin(scene, signer.record)
        await watched.seeing()
        await scene.litecoin.mine_only([theft.raw.hex()])
        status = await watched.until(lambda now: bool(now.stops))
        assert theft.txid in status.stops[0].reason


async def test_a_theft_while_it_was_down_is_seen_once_it_is_back(scene: Scene) -> None:
    await ready(scene)
    async with guarded(scene), scene.signing() as signer:
        await signer.round()
        theft = steal_bitcoin(scene, signer.record)
    await scene.litecoin.mine_only([theft.raw.hex()])
    await scene.litecoin.mine(2)
    async with guarded(scene) as watched:
        status = await watched.until(lambda now: bool(now.stops))
        assert theft.txid in status.stops[0].reason
    async with guarded(scene) as watched:
        assert len(watched.status.stops) == 1


async def test_the_float_owners_key_used_outside_the_signer_stops_the_evm_network(scene: Scene) -> None:
    await ready(scene)
    async with guarded(scene) as watched, scene.signing() as signer:
        await signer.round()
        await pay_both(scene, signer)
        await watched.seeing()
        theft = await steal_evm(scene, signer.record.nonces[scene.evm_float])
        status = await watched.until(lambda now: any(theft in stop.reason for stop in now.stops))
        assert {stop.scope for stop in status.stops} == {EVM.id}
        assert (theft,) in [alarm.transactions for alarm in status.alarms]


async def test_a_theft_on_the_evm_network_is_seen_while_it_waits(scene: Scene) -> None:
    await ready(scene)
    async with guarded(scene) as watched, scene.signing() as signer:
        await signer.round()
        await scene.anvil.set_automine(on=False)
        try:
            theft = await steal_evm(scene, signer.record.nonces.get(scene.evm_float, 0))
            status = await watched.until(lambda now: bool(now.stops))
            assert status.stops[0].scope == EVM.id
            assert theft in status.stops[0].reason or "nonce" in status.stops[0].reason
        finally:
            await scene.anvil.set_automine(on=True)
            await scene.anvil.mine(1)


async def test_a_network_whose_node_is_gone_is_not_leased_and_says_why(scene: Scene) -> None:
    await ready(scene)
    gone = tower_settings(scene).networks | {
        EVM.id: WatchedNetwork(nodes=(NodeAccess(url=scene.anvil.rpc_url), NodeAccess(url="http://127.0.0.1:9")))
    }
    async with guarded(scene, sees=False, networks=gone) as watched, scene.signing() as signer:
        await watched.until(lambda now: now.frozen == (EVM.id,))
        paid = {name: scene.order([(fresh_address(network), COIN)]) for name, network in (("ltc", LTC), ("evm", EVM))}
        await signer.round()
        assert signer.record.payouts[paid["ltc"]].reservation is not None
        assert paid["evm"] not in signer.record.payouts
        await watched.until(lambda now: any("node-unreachable" in one.fault for one in now.networks))


async def test_a_theft_that_one_node_shows_counts_while_the_other_node_is_gone(scene: Scene) -> None:
    await ready(scene)
    async with guarded(scene), scene.signing() as signer:
        await signer.round()
    access = tower_settings(scene).networks[LTC.id]
    two = {LTC.id: WatchedNetwork(nodes=(NodeAccess(url="http://127.0.0.1:9"), *access.nodes))}
    async with guarded(scene, sees=False, networks=two) as watched:
        theft = steal_bitcoin(scene, signer.record)
        await scene.litecoin._rpc.call(str, "sendrawtransaction", theft.raw.hex())
        status = await watched.until(lambda now: bool(now.stops))
        assert theft.txid in status.stops[0].reason


async def test_a_network_that_the_settings_do_not_name_is_never_leased(scene: Scene) -> None:
    await ready(scene)
    async with guarded(scene, networks={}) as watched, scene.signing() as signer:
        payout = scene.order([(fresh_address(LTC), COIN)])
        await signer.round()
        await signer.round()
        assert set(watched.status.frozen) == {LTC.id, EVM.id}
        assert payout not in signer.record.payouts
        assert signer.record.transactions == {}


async def test_a_journal_with_a_forged_deposit_stops_everything_and_is_not_kept(scene: Scene) -> None:
    await ready(scene)
    async with guarded(scene) as watched, scene.signing() as signer:
        await signer.round()
        held = watched.status.seq
        real = next(iter(signer.record.deposits.values()))
        forged = msgspec.structs.replace(real, key="ab" * 32 + ":0", tariff_units=0)
        signer.journal.add(forged, scene.clocks.wall_ms())
        signer.journal.commit()
        with pytest.raises(LeaseNotGranted, match="journal-false"):
            await signer.tower.ask(signer.journal)
        status = watched.status
        assert [stop.scope for stop in status.stops] == ["*"]
        assert "journal-false" in status.stops[0].reason
        assert status.seq == held


async def test_a_funding_that_its_block_does_not_have_stops_its_network(scene: Scene) -> None:
    await ready(scene)
    async with guarded(scene) as watched, scene.signing() as signer:
        await signer.round()
        height = await scene.litecoin.height()
        facts = (LTC.id, "ab" * 32 + ":0", scene.ltc_float, LTC.coin.id, 900 * COIN)
        invented = Funding(*facts, height=height, hash=await scene.litecoin.block_hash(height))
        signer.journal.add(invented, scene.clocks.wall_ms())
        signer.journal.commit()
        await signer.tower.ask(signer.journal)
        status = await watched.until(lambda now: bool(now.stops))
        assert [(stop.scope, stop.by) for stop in status.stops] == [(LTC.id, "watchtower")]
        assert "is not in its block" in status.stops[0].reason


async def test_silence_of_the_signer_is_told(scene: Scene) -> None:
    await ready(scene)
    async with guarded(scene, silence_seconds=5) as watched, scene.signing() as signer:
        await signer.round()
        await watched.until(lambda now: [alarm.kind for alarm in now.alarms] == ["silence"])
        assert watched.status.stops == ()


async def test_money_that_left_the_vault_on_no_known_way_is_missed_and_its_asset_stopped(scene: Scene) -> None:
    await ready(scene)
    async with guarded(scene, reconcile_seconds=1) as watched, scene.signing() as signer:
        await signer.round()
        [kept] = [one for one in signer.record.deposits.values() if one.network == EVM.id]
        address = address_of_deposit(EVM, kept, signer.record)
        await scene.anvil.impersonate(address)
        await scene.anvil.send(fresh_address(EVM), 5 * ETHER, sender=address)
        status = await watched.until(lambda now: bool(now.stops))
        assert [stop.scope for stop in status.stops] == [EVM.coin.id]
        assert "less than merchants are entitled to" in status.stops[0].reason
