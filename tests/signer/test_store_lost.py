"""A watchtower that lost its store: the journal goes on only where the quorum says so, and only this journal."""

import shutil
from pathlib import Path

import pytest

from fixtures_signer import ETHER, EVM, Scene, fresh_address
from fixtures_watchtower import key_hex
from holdfast.core.journal import Head
from holdfast.core.orders import OrderMalformed, Reanchor, SignedOrder
from holdfast.core.quorum import QuorumNotReached
from holdfast.policy.admit import DocumentStale
from holdfast.signer import tower as tower_room
from holdfast.signer.store import re_anchor
from holdfast.signer.tower import LeaseNotGranted

pytestmark = [pytest.mark.node, pytest.mark.asyncio(loop_scope="session")]
NOW_MS = 1_795_000_000_000


async def paid_once(scene: Scene) -> tuple[Head, str]:
    """A scene in which something was paid, then the watchtower's disk was lost. The head, and the transaction."""
    await scene.deposit(ether=10 * ETHER)
    await scene.fund(ether=20 * ETHER)
    scene.order([(fresh_address(EVM), ETHER)])
    async with scene.watched(), scene.signing() as signer:
        await signer.round()
        head = signer.journal.written
        (reservation,) = signer.record.reservations.values()
    lose_store(scene)
    assert reservation.signed is not None
    return head, reservation.signed.transaction


def lose_store(scene: Scene) -> None:
    for path in scene.directory.glob("tower.sqlite*"):
        path.unlink()


def order(scene: Scene, head: Head, number: int = 1, by: int = 2) -> SignedOrder:
    return scene.house.order(Reanchor(head.seq, head.hash, key_hex(scene.house.lease_key), number), by)


def journal_of(scene: Scene) -> Path:
    return scene.settings().journal_file


async def test_without_the_quorums_order_nothing_is_signed_after_the_watchtower_lost_its_store(scene: Scene) -> None:
    await paid_once(scene)
    scene.order([(fresh_address(EVM), ETHER)])
    async with scene.watched():
        for _ in range(2):
            with pytest.raises(LeaseNotGranted, match="anchor-missing"):
                async with scene.signing():
                    pass
        assert scene.tower.store.standing.head.seq > 0, "what it was told it keeps"


async def test_with_the_quorums_order_the_signer_goes_on_and_pays_nothing_twice(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    head, transaction = await paid_once(scene)
    monkeypatch.setattr(tower_room, "ENTRIES_MAX", 3)  # a long journal comes back in parts, the order in the last one
    re_anchor(journal_of(scene), order(scene, head), NOW_MS)
    async with scene.watched(), scene.signing() as signer:
        await signer.round()
        signed = [one.signed.transaction for one in signer.record.reservations.values() if one.signed is not None]
        assert signed == [transaction]


async def test_an_older_journal_with_a_lost_store_cannot_be_paid_out_again(scene: Scene) -> None:
    await scene.deposit(ether=10 * ETHER)
    await scene.fund(ether=20 * ETHER)
    async with scene.watched():
        for _ in range(2):
            scene.order([(fresh_address(EVM), ETHER)])
            async with scene.signing() as signer:
                await signer.round()
            if not (scene.directory / "old").exists():
                shutil.copy(journal_of(scene), scene.directory / "old")
    lose_store(scene)
    for path in scene.directory.glob("journal.sqlite*"):
        path.unlink()
    shutil.copy(scene.directory / "old", journal_of(scene))
    async with scene.watched():
        with pytest.raises(LeaseNotGranted, match="anchor-missing"):
            async with scene.signing():
                pass


async def test_an_order_counts_for_this_journal_only_once_and_only_from_the_quorum(scene: Scene) -> None:
    head, _ = await paid_once(scene)
    for wrong in (Head(head.seq, "ab" * 32), Head(head.seq + 1, head.hash), Head(0, "0" * 64)):
        with pytest.raises(OrderMalformed):
            re_anchor(journal_of(scene), order(scene, wrong), NOW_MS)
    with pytest.raises(OrderMalformed):
        re_anchor(journal_of(scene), scene.genesis, NOW_MS)
    with pytest.raises(QuorumNotReached):
        re_anchor(journal_of(scene), order(scene, head, by=1), NOW_MS)
    assert re_anchor(journal_of(scene), order(scene, head), NOW_MS).seq == head.seq + 1
    with pytest.raises(DocumentStale):
        re_anchor(journal_of(scene), order(scene, head), NOW_MS)


async def test_the_platform_cannot_hand_in_a_re_anchoring(scene: Scene) -> None:
    async with scene.watched(), scene.signing() as signer:
        await signer.round()
        scene.platform.orders.append(order(scene, signer.journal.written))
        before = signer.record.head
        await signer.round()
        assert signer.record.head.seq - before.seq <= 1, "at most what it has to say of the time"
        assert signer.record.orders == set()
