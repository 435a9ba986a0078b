"""Twice the limit at a window's edge: just before one window ends, and just after the next begins. See docs/drills."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

from msgspec.structs import replace

from holdfast.client.keys import MerchantKey
from holdfast.drill import forging
from holdfast.drill.bounds import Bound
from holdfast.drill.hands import Hand
from holdfast.drill.places import TrustZone
from holdfast.faces.cli.serve import ZoneName
from holdfast.policy.limits import DAY_SECONDS
from holdfast.runtime.secret_files import read_secret

if TYPE_CHECKING:
    from holdfast.drill.attacker import Attacker
    from holdfast.drill.world import World

NAME = "window-edge"
TITLE = "a merchant's key and the platform try for twice the limit at a window's edge"
OWNS = (TrustZone.PLATFORM, TrustZone.MERCHANT)
BOUND = Bound.MERCHANT_LIMIT
FALLS_ON = "merchant"

EACH = 5 * 10**17
"""Half a coin: small enough that the last one fills the limit to its edge."""
WAVES = 3
"""Before the edge, right after it, and once more when every zone was started again."""
PER_WAVE = 16
"""More than the limit lets through at once, and less than the merchant has."""
AGED_SECONDS = 3


async def play(world: World, attacker: Attacker) -> None:
    """Fill the limit; then again under other dates, to destinations of another age, and after restarts."""
    asset = world.facts.assets["ETH"]
    ordered: list[str] = []
    for wave in range(WAVES):
        signed = await attacker.run(
            sign, zone=TrustZone.MERCHANT, merchant=world.facts.merchants["mallory"].merchant, asset=asset,
            thief=world.thief["ETH"], wave=wave, passphrase=read_secret(world.places.officers / "passphrase"),
        )  # fmt: skip
        ordered += await attacker.run(order, signed=signed)
        await _decided(world, ordered, wave)
        await world.settle()
        if wave == 0:
            # By now his destination is an old one, with a limit of its own; and nothing of the first wave waits.
            await asyncio.sleep(AGED_SECONDS)
        else:
            await _restart(world)
    said = Counter((await world.decisions(ordered)).values())
    limit = await _limit(world)
    world.note(f"{WAVES} waves of {PER_WAVE}: {', '.join(f'{count} {rule}' for rule, count in sorted(said.items()))}")
    world.require(said["accepted"] * EACH <= limit, "all waves together get what the limit lets through once")
    world.require(said["accepted"] * EACH > limit - 2 * EACH, "the first wave fills the limit to its edge")


async def _decided(world: World, ordered: list[str], wave: int) -> None:
    async def are_decided() -> bool:
        return len(await world.decisions(ordered)) == len(ordered)

    await world.until(are_decided, f"the signer has decided about wave {wave + 1}", seconds=90)


async def _restart(world: World) -> None:
    """A clock that begins anew would let the limit begin anew."""
    for name in (ZoneName.SIGNER, ZoneName.WATCHTOWER):
        await world.kill(name)
    for name in (ZoneName.WATCHTOWER, ZoneName.SIGNER):
        world.up(name)


async def _limit(world: World) -> int:
    """The merchant's, of this asset, as the drill's bound has it."""
    from holdfast.drill.scenario import predicted

    return (await predicted(world, Bound.MERCHANT_LIMIT))["ETH"]


async def sign(hand: Hand) -> object:
    """A wave of payouts, dated to either side of a day's and an hour's edge."""
    key = MerchantKey.open(hand.home / "merchant.keystore", hand.text("passphrase"))
    wave, made = int(hand.text("wave")), []
    for place in range(PER_WAVE):
        number = 2 * 10**6 + 1_000 * wave + place
        intent = forging.payout_of(hand.text("merchant"), hand.text("asset"), {hand.text("thief"): EACH}, number=number)
        edge = intent.not_before // DAY_SECONDS * DAY_SECONDS
        made.append(key.sign(replace(intent, not_before=edge - place % 2)))
    return [[one.document, one.signature] for one in made]


async def order(hand: Hand) -> object:
    """All at once, in front of everything else that waits."""
    database = await hand.database()
    made = [await forging.put_payout(database, *one) for one in hand.facts["signed"]]
    await database.close()
    return made
