"""What the signer does when it crashes, is frozen, robbed or lied to: nothing twice, nothing wrong, and it says why."""

import shutil
import sqlite3

import pytest
from coincurve import PrivateKey

from fixtures_signer import (
    COIN,
    ETHER,
    EVM,
    LTC,
    DepositHint,
    FundingHint,
    MinedHint,
    Scene,
    fresh_address,
    policy_text,
)
from holdfast.chains.evm_transactions import sign as sign_gas
from holdfast.chains.outflow import FeeRate
from holdfast.core.evm_transactions import Fees, Transaction
from holdfast.core.journal import JournalBroken
from holdfast.core.money import format_units
from holdfast.core.orders import CHECKS, Restore, Stage
from holdfast.policy.record import Coin
from holdfast.policy.rules import Rule
from holdfast.signer import loop
from holdfast.signer.loop import Signer
from holdfast.signer.platform import PlatformUnreachable
from holdfast.signer.store import Journal, JournalInUse, replay
from holdfast.signer.tower import Held, JournalForked, JournalOlder, Tower, TowerUnreachable

pytestmark = [pytest.mark.node, pytest.mark.asyncio(loop_scope="session")]


async def balance(scene: Scene, address: str) -> int:
    if address.startswith("0x"):
        await scene.anvil.mine(1)  # it makes a block of its own a moment after it has answered
        return int(await scene.anvil.call("eth_getBalance", address, "latest"), 16)
    await scene.litecoin.mine(1)
    found = await scene.litecoin._rpc.call(dict, "scantxoutset", "start", [f"addr({address})"])
    return round(float(found["total_amount"]) * COIN)


def raws(signer: Signer) -> list[str]:
    return [one.signed.raw for one in signer.record.reservations.values() if one.signed is not None]


async def quiet() -> FeeRate:
    return FeeRate(per_kvb=1_000)


def coins_of(signer: Signer) -> dict[str, Coin]:
    return signer.record.coins[LTC.id]


async def ready(scene: Scene) -> None:
    await scene.deposit(ltc=10 * COIN, ether=10 * ETHER)
    await scene.fund(ltc=[6 * COIN, 4 * COIN], ether=20 * ETHER)


class Cut(Exception):
    """The process dies here."""


async def test_a_crash_at_any_step_pays_once_and_with_the_same_bytes(scene: Scene) -> None:
    await ready(scene)
    to = [fresh_address(LTC), fresh_address(EVM)]
    scene.order([(to[0], COIN)])
    scene.order([(to[1], ETHER)])
    seen: set[str] = set()
    async with scene.watched():
        for step in range(1, 6):
            tower, asked = Tower.ask, 0

            async def dying(self: Tower, journal: Journal, step: int = step) -> Held:
                nonlocal asked
                asked += 1
                if asked > step:
                    raise Cut
                return await tower(self, journal)  # noqa: B023  the loop's own, bound before it changes

            Tower.ask = dying  # type: ignore[method-assign]  # the process dies after so many questions
            try:
                async with scene.signing() as signer:
                    await signer.round()
            except Cut:
                pass
            finally:
                Tower.ask = tower  # type: ignore[method-assign]  # as it was
        async with scene.signing() as signer:
            await signer.round()
            await signer.round()
            seen.update(raws(signer))
            assert len(seen) == 2
            assert len(signer.record.reservations) == 2
    assert (await balance(scene, to[0]), await balance(scene, to[1])) == (COIN, ETHER)


async def test_what_was_signed_and_not_handed_over_is_handed_over_after_the_restart(scene: Scene) -> None:
    await ready(scene)
    to = fresh_address(EVM)
    scene.order([(to, ETHER)])
    publish = scene.platform.publish

    async def down(*_: object) -> int:
        raise PlatformUnreachable("down")

    async with scene.watched():
        scene.platform.publish = down  # type: ignore[method-assign]  # the platform is gone for a while
        async with scene.signing() as signer:
            with pytest.raises(PlatformUnreachable):
                await signer.round()
            first = raws(signer)
        scene.platform.publish = publish  # type: ignore[method-assign]  # and it is back
        async with scene.signing() as signer:
            await signer.round()
            assert raws(signer) == first
            assert scene.platform.entries == signer.journal.entries(0, 10**6)
    assert await balance(scene, to) == ETHER


async def test_without_a_watchtower_nothing_is_signed(scene: Scene) -> None:
    await ready(scene)
    scene.order([(fresh_address(EVM), ETHER)])
    async with scene.watched(), scene.signing() as signer:
        await signer.round()
        signed = len(raws(signer))
        await signer.tower.close()
        signer.held = None
        scene.order([(fresh_address(EVM), ETHER)])
        signer.tower.port = 1
        with pytest.raises(TowerUnreachable):
            await signer.round()
        assert len(raws(signer)) == signed


async def test_a_freeze_stops_signing_on_its_network_and_a_restore_lets_it_go_on(scene: Scene) -> None:
    await ready(scene)
    payout = scene.order([(fresh_address(EVM), ETHER)])
    other = scene.order([(fresh_address(LTC), COIN)])
    async with scene.watched(), scene.signing() as signer:
        scene.tower._freeze(scene.house.freeze(EVM.id, at=scene.clocks.wall_ms() // 1000))
        await signer.round()
        assert scene.platform.waiting[payout].rule == Rule.NETWORK_FROZEN
        assert other in signer.record.payouts
        step = Restore((EVM.id,), Stage.ALLOWLISTED, scene.clocks.wall_ms() // 1000 + 2, 1, CHECKS)
        scene.platform.orders.append(scene.house.order(step))
        for _ in range(2):
            await signer.round()
        assert scene.platform.waiting[payout].rule == Rule.STAGE_ALLOWLISTED


@pytest.mark.parametrize("part", [2, 5_000])
@pytest.mark.parametrize("scope", [EVM.id, EVM.coin.id, "mer_one", "*"])
async def test_a_freeze_between_signature_and_release_holds_the_bytes_back(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, scope: str, part: int
) -> None:
    """However many parts the journal is handed over in."""
    await ready(scene)
    to = fresh_address(EVM)
    scene.order([(to, ETHER)])
    ask = Tower.ask

    async def frozen_now(self: Tower, journal: Journal) -> Held:
        if any(one.signed for one in journal.record.reservations.values()) and not scene.tower.store.frozen:
            scene.tower._freeze(scene.house.freeze(scope, at=scene.clocks.wall_ms() // 1000))
        return await ask(self, journal)

    async with scene.watched(), scene.signing() as signer:
        monkeypatch.setattr(Tower, "ask", frozen_now)
        monkeypatch.setattr(loop, "PUBLISHED_MAX", part)
        await signer.round()
        await signer.round()
        [signed] = raws(signer)
        assert all(signed not in entry.document for entry in scene.platform.entries)
    assert await balance(scene, to) == 0


async def test_a_deposit_that_is_not_there_entitles_nobody(scene: Scene) -> None:
    await scene.fund(ether=20 * ETHER)
    height = await scene.anvil.height()
    for merchant, index in (("mer_one", scene.index()), ("mer_one", 5), ("mer_two", scene.index()), ("mer_one", 2**40)):
        scene.platform.deposits.append(DepositHint(EVM.id, index, merchant, height))
    scene.platform.deposits.append(DepositHint(EVM.id, scene.index(), "mer_one", height + 1_000))
    scene.platform.mined.append(MinedHint(77, "0x" + "ab" * 32, height))
    scene.platform.fundings.append(FundingHint(LTC.id, await scene.litecoin.height()))
    payout = scene.order([(fresh_address(EVM), ETHER)])
    async with scene.watched(), scene.signing() as signer:
        await signer.round()
        assert signer.record.entitlements == {}
        assert scene.platform.waiting[payout].rule == Rule.ENTITLEMENT_SHORT


async def test_a_payout_is_paid_once_however_often_it_is_proposed(scene: Scene) -> None:
    await ready(scene)
    to = fresh_address(EVM)
    scene.order([(to, ETHER)])
    scene.platform.payouts *= 3
    async with scene.watched(), scene.signing() as signer:
        for _ in range(3):
            await signer.round()
    async with scene.watched(), scene.signing() as signer:
        await signer.round()
        assert len(signer.record.reservations) == 1
    assert await balance(scene, to) == ETHER


async def test_a_stuck_transaction_is_replaced_at_a_higher_fee_and_pays_once(scene: Scene) -> None:
    await ready(scene)
    to = fresh_address(LTC)
    payout = scene.order([(to, COIN)])
    async with scene.watched(), scene.signing() as signer:
        await signer.round()
        [first] = list(signer.record.reservations.values())
        rate = signer.rates[LTC.id]
        fees = signer.sights[LTC.id].outflow.fees

        async def dearer() -> object:
            return type(rate)(per_kvb=5 * rate.per_kvb)

        signer.sights[LTC.id].outflow.fees = dearer  # type: ignore[method-assign,assignment]  # blocks are full now
        signer.open_since[first.seq] = -(10**9)
        await signer.round()
        first, second = list(signer.record.reservations.values())
        assert (second.body.replaces, second.body.payouts) == (first.seq, (payout,))
        assert second.body.inputs == first.body.inputs
        assert second.body.fee_units > first.body.fee_units
        assert first.signed is not None
        assert second.signed is not None
        assert await scene.litecoin.mempool() == [second.signed.transaction]
        signer.sights[LTC.id].outflow.fees = fees  # type: ignore[method-assign]  # as they were
        await scene.litecoin.mine(1)
        scene.platform.mined.append(MinedHint(second.seq, second.signed.transaction, await scene.litecoin.height()))
        await signer.round()
        assert payout in signer.record.paid
        assert signer.record.waiting() == []
    assert await balance(scene, to) == COIN


@pytest.mark.parametrize("winner", [0, 1])
async def test_a_stuck_transaction_without_enough_change_takes_another_coin_and_pays_once(
    scene: Scene, winner: int
) -> None:
    await scene.deposit(ltc=10 * COIN)
    await scene.fund(ltc=[COIN + 160, 2 * COIN])  # the first reaches without change
    to = fresh_address(LTC)
    async with scene.watched(), scene.signing() as signer:
        signer.sights[LTC.id].outflow.fees = quiet  # type: ignore[method-assign]  # whatever this node has seen
        payout = scene.order([(to, COIN)])
        await signer.round()
        [first] = signer.record.waiting()
        assert first.signed is not None
        [added] = set(coins_of(signer)) - {f"{first.signed.transaction}:{first.body.change_index}"}

        async def dearer() -> FeeRate:
            return FeeRate(per_kvb=150_000)

        signer.sights[LTC.id].outflow.fees = dearer  # type: ignore[method-assign]  # blocks are full now
        signer.open_since[first.seq] = -(10**9)
        await signer.round()
        [second] = signer.record.waiting()
        assert second.signed is not None
        assert set(second.body.inputs) == {*first.body.inputs, added}
        assert await scene.litecoin.mempool() == [second.signed.transaction]
        # Some miner may have kept the first one.
        raw, name = (first.signed.raw, first.signed.transaction) if winner == 0 else ("", second.signed.transaction)
        await scene.litecoin.mine_only([raw or name])
        won = (first, second)[winner]
        scene.platform.mined.append(MinedHint(won.seq, name, await scene.litecoin.height()))
        await signer.round()
        assert payout in signer.record.paid
        assert (added in coins_of(signer)) == (winner == 0)
        again = scene.order([(to, COIN)])
        await signer.round()
        [last] = signer.record.waiting()
        assert last.body.payouts == (again,)
    assert await balance(scene, to) == 2 * COIN


async def test_payouts_that_are_too_dear_together_or_alone_stop_nobody_else(scene: Scene) -> None:
    await ready(scene)
    async with scene.watched(), scene.signing() as signer:
        scene.order([(fresh_address(EVM), ETHER)])
        await signer.round()
        [alone] = signer.record.waiting()
        most = f'fee_max = "{format_units(alone.body.fee_units * 5 // 4, 18)}"'
        scene.set_policy(policy_text().replace('fee_max = "4"', most, 1).replace("version = 1", "version = 2", 1))
        dear = scene.order([(fresh_address(EVM), ETHER // 1000) for _ in range(60)])
        cheap = [scene.order([(fresh_address(EVM), ETHER)]) for _ in range(3)]
        await signer.round()
        assert [one for later in signer.record.waiting()[1:] for one in later.body.payouts] == cheap
        assert list(signer.record.unreserved) == [dear]


async def test_a_stranger_with_the_float_key_is_noticed_and_the_network_stops(scene: Scene) -> None:
    await ready(scene)
    async with scene.watched(), scene.signing() as signer:
        await signer.round()
        secret = bytes.fromhex(PrivateKey(scene.keys._keys[EVM.id].secret).secret.hex())
        theft = Transaction(31337, 0, Fees(10**11, 10**9), 21_000, fresh_address(EVM), ETHER, b"")
        await scene.anvil.call("eth_sendRawTransaction", "0x" + sign_gas(theft, secret).raw.hex())
        await scene.anvil.mine(1)
        payout = scene.order([(fresh_address(EVM), ETHER)])
        await signer.round()
        assert EVM.id in signer.record.stopped
        assert scene.platform.waiting[payout].rule == Rule.NETWORK_FROZEN
    async with scene.watched(), scene.signing() as signer:
        await signer.round()
        assert EVM.id in signer.record.stopped


async def test_what_is_above_the_cap_goes_back_to_the_vault(scene: Scene) -> None:
    low = policy_text().replace("version = 1", "version = 2", 1).replace('float_cap = "500"', 'float_cap = "3"')
    scene.set_policy(low)
    await scene.fund(ltc=[6 * COIN], ether=20 * ETHER)
    vault = scene.plan.vault
    before = await balance(scene, vault)
    async with scene.watched(), scene.signing() as signer:
        await signer.round()
        purposes = {one.body.network: one.body.purpose for one in signer.record.reservations.values()}
        assert purposes == {LTC.id: "cap-sweep", EVM.id: "cap-sweep"}
        assert await balance(scene, vault) == before + 17 * ETHER
        coins = sum(coin.units for coin in signer.record.coins[LTC.id].values())
        assert 3 * COIN - 10**5 < coins <= 3 * COIN


async def test_two_signers_never_share_a_journal(scene: Scene) -> None:
    async with scene.watched(), scene.signing() as signer:
        await signer.round()
        with pytest.raises(JournalInUse):
            Journal(signer.settings.journal_file)


async def test_an_old_copy_of_the_journal_does_not_start_and_a_replay_does(scene: Scene) -> None:
    await ready(scene)
    path = scene.settings().journal_file
    async with scene.watched():
        async with scene.signing() as signer:
            await signer.round()
        shutil.copy(path, path.with_name("old.sqlite"))
        scene.order([(fresh_address(EVM), ETHER)])
        async with scene.signing() as signer:
            await signer.round()
            head = signer.record.head
            entries = signer.journal.entries(0, head.seq)
        shutil.copy(path.with_name("old.sqlite"), path)
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        with pytest.raises(JournalOlder):
            async with scene.signing():
                pass
        path.unlink()
        replay(path, entries)
        async with scene.signing() as signer:
            assert signer.record.head.seq == head.seq + 1
            await signer.round()
            assert len(signer.record.reservations) == 1


@pytest.mark.parametrize("how", ["edited", "truncated", "cut in the middle"])
async def test_a_journal_that_was_touched_does_not_start(scene: Scene, how: str) -> None:
    await ready(scene)
    scene.order([(fresh_address(EVM), ETHER)])
    path = scene.settings().journal_file
    async with scene.watched():
        async with scene.signing() as signer:
            await signer.round()
        db = sqlite3.connect(path)
        db.executescript("DROP TRIGGER never_changed; DROP TRIGGER never_deleted;")
        change = {
            "edited": """UPDATE entries SET document = replace(document, '"units":"', '"units":"9')""",
            "truncated": "DELETE FROM entries WHERE seq > 4",
            "cut in the middle": "DELETE FROM entries WHERE seq = 4",
        }[how]
        db.execute(change)
        db.commit()
        db.close()
        with pytest.raises((JournalBroken, JournalOlder, JournalForked)):
            async with scene.signing():
                pass


async def test_a_forked_journal_does_not_start_and_everything_is_frozen(scene: Scene) -> None:
    path = scene.settings().journal_file
    async with scene.watched():
        async with scene.signing() as signer:
            await signer.round()
        shutil.copy(path, path.with_name("fork.sqlite"))
        async with scene.signing() as signer:
            await signer.round()
        shutil.copy(path.with_name("fork.sqlite"), path)
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        forked = Journal(path)
        from holdfast.core.journal import Started

        for _ in range(9):
            forked.add(Started("another boot", "test"), 5)
        forked.commit()
        forked.close()
        with pytest.raises((JournalForked, JournalOlder)):
            async with scene.signing():
                pass
