"""Yesterday's journal and backups are restored on signer and platform, to pay everything again. See docs/drills."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.core.errors import HoldfastError
from holdfast.drill import forging
from holdfast.drill.bounds import Bound
from holdfast.drill.hands import Hand
from holdfast.drill.places import TrustZone
from holdfast.faces.cli.serve import ZoneName

if TYPE_CHECKING:
    from holdfast.drill.attacker import Attacker
    from holdfast.drill.world import World

NAME = "rollback"
TITLE = "yesterday's journal and backups are restored, so that everything could be paid once more"
OWNS = (TrustZone.PLATFORM, TrustZone.SIGNER)
BOUND = Bound.NOTHING

JOURNAL = "journal.sqlite"
CLUSTER = "data/database/cluster"
YESTERDAY, TODAY = "yesterday", "today"
PAID = {"rLTC": ("3", "4", "5"), "ETH": ("0.5",), "USDT": ("200",)}
OF_PLATFORM = (ZoneName.DATABASE, ZoneName.API, ZoneName.FOLLOWER, ZoneName.COURIER, ZoneName.BROADCASTER)


async def play(world: World, attacker: Attacker) -> None:
    """Keep yesterday; let a day of payouts go by; put yesterday back, first for the signer, then for the platform."""
    await _down(world, (ZoneName.SIGNER, *OF_PLATFORM))
    await attacker.run(keep, zone=TrustZone.SIGNER, what=JOURNAL, name=YESTERDAY)
    await attacker.run(keep, zone=TrustZone.PLATFORM, what=CLUSTER, name=YESTERDAY)
    _up(world, (*OF_PLATFORM, ZoneName.SIGNER))
    paid = await _a_day(world)
    await _down(world, (ZoneName.SIGNER,))
    await attacker.run(keep, zone=TrustZone.SIGNER, what=JOURNAL, name=TODAY)
    await attacker.run(put_back, zone=TrustZone.SIGNER, what=JOURNAL, name=YESTERDAY)
    _up(world, (ZoneName.SIGNER,))
    await _refuses(world)
    await _down(world, (ZoneName.SIGNER, *OF_PLATFORM))
    await attacker.run(put_back, zone=TrustZone.PLATFORM, what=CLUSTER, name=YESTERDAY)
    await attacker.run(put_back, zone=TrustZone.SIGNER, what=JOURNAL, name=TODAY)
    _up(world, (*OF_PLATFORM, ZoneName.SIGNER))
    await _goes_on(world, attacker, paid)


async def _down(world: World, names: Iterable[ZoneName]) -> None:
    for name in names:
        await world.kill(name)


def _up(world: World, names: Iterable[ZoneName]) -> None:
    for name in names:
        world.up(name)


async def _a_day(world: World) -> list[tuple[str, str]]:
    """Payouts of an ordinary day, each to its end; what the merchant signed for them."""
    made: list[str] = []

    async def can_order() -> bool:
        try:
            made.append((await world.order(world.shop, "rLTC", "1")).id)
        except HoldfastError:
            return False
        return True

    await world.until(can_order, "the platform answers again", seconds=90)
    made += [(await world.order(world.shop, one, amount)).id for one, amounts in PAID.items() for amount in amounts]

    async def are_paid() -> bool:
        return all([(await world.shop.payouts.get(one)).state == "confirmed" for one in made])

    await world.until(are_paid, "the day's payouts are paid", seconds=90)
    rows = await world.rows("SELECT document, signature FROM payments.payouts WHERE id = ANY(%s)", made)
    return [(str(document), str(signature)) for document, signature in rows]


async def _refuses(world: World) -> None:
    """The signer starts with yesterday's journal, and must sign nothing until it has today's again."""
    log, held = world.places.logs / "signer.log", world.told.seq if world.told is not None else 0
    begun = log.stat().st_size

    async def has_refused() -> bool:
        return b"journal-older" in log.read_bytes()[begun:]

    await world.until(has_refused, "the signer refuses to go on from a journal older than what was witnessed")
    world.require(world.told is not None and world.told.seq >= held, "the watchtower keeps every entry of the day")
    world.note("with yesterday's journal the signer does not start: the watchtower holds a longer one")


async def _goes_on(world: World, attacker: Attacker, paid: list[tuple[str, str]]) -> None:
    """The platform has forgotten the day: its payouts are put before the signer once more, with their signatures."""

    async def knows() -> bool:
        try:
            return await world.shop.balances() is not None
        except HoldfastError:
            return False

    await world.until(knows, "the platform with yesterday's database answers", seconds=90)
    again = await attacker.run(order, zone=TrustZone.PLATFORM, paid=paid)
    new = await world.order(world.shop, "rLTC", "2")

    async def is_paid() -> bool:
        return (await world.shop.payouts.get(new.id)).state == "confirmed"

    await world.until(is_paid, "new payouts go on", seconds=90)
    said = await world.decisions(again)
    world.note(f"{len(again)} payouts of the forgotten day were put before the signer again; its journal knows "
               f"{len(said)} of them, each paid once")  # fmt: skip
    await world.settle()


async def keep(hand: Hand) -> object:
    """A copy, as a backup has it."""
    for path in _parts(hand):
        _copy(path, hand.home / hand.text("name") / path.name)
    return None


async def put_back(hand: Hand) -> object:
    """That copy instead of what is there."""
    for path in _parts(hand):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    place = (hand.home / hand.text("what")).parent
    for path in sorted((hand.home / hand.text("name")).glob(f"{Path(hand.text('what')).name}*")):
        _copy(path, place / path.name)
    return None


async def order(hand: Hand) -> object:
    """The day's genuine intents once more, as the restored platform could have them from merchants' retries."""
    database = await hand.database()
    made = [await forging.put_payout(database, *one) for one in hand.facts["paid"]]
    await database.close()
    return made


def _parts(hand: Hand) -> list[Path]:
    """A file with what its database keeps beside it, or a directory."""
    path = hand.home / hand.text("what")
    return sorted(path.parent.glob(f"{path.name}*"))


def _copy(source: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, to, ignore=shutil.ignore_patterns("postmaster.pid", ".s.*"))
    else:
        shutil.copyfile(source, to)
