"""What a freeze keeps back after its signature, from whom, and whom it does not concern: on real nodes."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import pytest

from fixtures_signer import COIN, ETHER, EVM, LTC, FakePlatform, Scene, fresh_address
from holdfast.core.journal import StoredEntry
from holdfast.core.leases import SignedLease
from holdfast.signer.loop import Signer
from holdfast.signer.platform import Waiting, Work
from holdfast.signer.store import Journal
from holdfast.signer.tower import Held, Tower

pytestmark = [pytest.mark.node, pytest.mark.asyncio(loop_scope="session")]


async def ready(scene: Scene) -> None:
    await scene.deposit(ltc=10 * COIN, ether=10 * ETHER)
    await scene.fund(ltc=[6 * COIN], ether=20 * ETHER)


def freeze(scene: Scene, scope: str) -> None:
    scene.tower._freeze(scene.house.freeze(scope, at=time.time_ns() // 1_000_000))


async def ether_at(scene: Scene, address: str) -> int:
    await scene.anvil.mine(1)
    return int(await scene.anvil.call("eth_getBalance", address, "latest"), 16)


def raw_of(signer: Signer, payout: str) -> str:
    name = signer.record.payouts[payout].reservation
    assert name is not None
    signed = signer.record.reservations[name].signed
    assert signed is not None
    return signed.raw


def shown(platform: FakePlatform, raw: str) -> bool:
    return any(raw in entry.document for entry in platform.entries)


async def test_what_was_handed_over_before_a_freeze_keeps_nothing_back_after_a_restart(scene: Scene) -> None:
    await ready(scene)
    async with scene.watched():
        async with scene.signing() as signer:
            waits = scene.order([(fresh_address(LTC), COIN)])
            await signer.round()
            assert shown(scene.platform, raw_of(signer, waits)), "released, and not mined yet"
        freeze(scene, LTC.id)
        async with scene.signing() as signer:
            to = fresh_address(EVM)
            payout = scene.order([(to, ETHER)])
            for _ in range(2):
                await signer.round()
            assert shown(scene.platform, raw_of(signer, payout))
            assert len(scene.platform.entries) == signer.record.head.seq
            assert await ether_at(scene, to) == ETHER


@dataclass
class LyingPlatform(FakePlatform):
    """Says that it has entries which it never got, to get those after them."""

    said: int = 0

    async def work(self, wait_seconds: int) -> Work:
        return msgspec.structs.replace(await super().work(wait_seconds), journal_seq=max(self.said, len(self.entries)))

    async def publish(
        self, after: int, entries: Sequence[StoredEntry], lease: SignedLease | None, waiting: Sequence[Waiting]
    ) -> int:
        self.entries += entries
        return after + len(entries)


async def test_a_platform_that_says_it_has_what_is_kept_back_does_not_get_it_and_neither_do_nodes(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ready(scene)
    scene.platform = lying = LyingPlatform(**vars(scene.platform))
    to, other = fresh_address(EVM), fresh_address(LTC)
    kept_back = scene.order([(to, ETHER)])
    ask = Tower.ask

    async def frozen_now(self: Tower, journal: Journal) -> Held:
        if any(one.signed for one in journal.record.reservations.values()) and not scene.tower.store.frozen:
            freeze(scene, EVM.id)
        return await ask(self, journal)

    async with scene.watched(), scene.signing() as signer:
        monkeypatch.setattr(Tower, "ask", frozen_now)
        await signer.round()
        raw = raw_of(signer, kept_back)
        lying.said = signer.record.head.seq
        elsewhere = scene.order([(other, COIN)])
        for _ in range(3):
            await signer.round()
            lying.said = signer.record.head.seq
        assert signer.record.payouts[elsewhere].reservation is not None
        assert not shown(lying, raw)
    assert await ether_at(scene, to) == 0
