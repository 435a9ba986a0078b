"""DMM Bitcoin, 31 May 2024: a legitimate request is changed on its way between two parties. See docs/drills."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from typing import TYPE_CHECKING

from holdfast.drill.bounds import Bound
from holdfast.drill.places import TrustZone

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.drill.attacker import Attacker
    from holdfast.drill.proxies import Link
    from holdfast.drill.world import World

NAME = "dmm-2024"
TITLE = "requests and answers are changed on their way between merchant, platform, signer and watchtower"
OWNS: tuple[TrustZone, ...] = ()
BOUND = Bound.NOTHING

AMOUNTS = {"rLTC": "0.7", "ETH": "0.03", "USDT": "20"}
_ADDRESS = re.compile(
    rb"(?<!erc20:)(?<![0-9a-zA-Z])(rltc1q[0-9a-z]{38}(?:[0-9a-z]{20})?|0x[0-9a-fA-F]{40})(?![0-9a-zA-Z])"
)
BENT_SECONDS = 4


async def play(world: World, _attacker: Attacker) -> None:
    """One line after the other: whoever sits on it puts his own address wherever an address passes."""
    await _merchant_and_platform(world)
    for name in ("signer-platform", "signer-watchtower"):
        await _inside(world, name)
    await world.settle()


async def _merchant_and_platform(world: World) -> None:
    from holdfast.client import PayoutOrder, PayTo
    from holdfast.core.errors import HoldfastError
    from holdfast.drill.proxies import Link
    from holdfast.drill.template import client_of

    said: Counter[str] = Counter()
    link = Link(world.facts.port)
    await link.start()
    try:
        async with client_of(world.places.root, link.port, world.facts.merchants["shop"]) as shop:
            await shop.networks()
            changed = _bend(world, link, {})
            for symbol, amount in AMOUNTS.items():
                asset, to = world.facts.assets[symbol], await world.address(symbol)
                for ask in (
                    lambda asset=asset, to=to, amount=amount: shop.payouts.create(
                        PayoutOrder(asset=asset, lines=[PayTo(to, amount)])
                    ),
                    lambda asset=asset: shop.deposit_address(asset.partition("/")[0]),
                ):
                    try:
                        await ask()
                    except HoldfastError as error:
                        said[error.code] += 1
                    else:
                        said["taken"] += 1
            world.require(changed["changed"] > 0, "addresses were changed on the way")
    finally:
        await link.stop()
    world.note(f"between merchant and platform: {', '.join(f'{count} {code}' for code, count in said.items())}")
    world.require(not said["taken"], "neither platform nor SDK takes anything that was changed")


async def _inside(world: World, name: str) -> None:
    """Orders that are genuine on both sides; what passes between is not."""
    link, swaps = world.links[name], dict[bytes, bytes]()
    changed = _bend(world, link, swaps)
    made = []
    for symbol, amount in AMOUNTS.items():
        to = await world.address(symbol)
        swaps[to.encode()] = world.thief[symbol].encode()
        made.append(await world.order(world.shop, symbol, amount, to))
    await asyncio.sleep(BENT_SECONDS)
    link.bend = None
    world.note(f"on the line {name}: {changed['changed']} changes")
    world.require(changed["changed"] > 0, f"something was changed on the line {name}")

    async def are_paid() -> bool:
        states = [(await world.shop.payouts.get(one.id)).state for one in made]
        return all(state in ("broadcast", "confirmed") for state in states)

    await world.until(are_paid, f"once nobody sits on {name}, everything is paid as it was ordered", seconds=25)
    for symbol, thief in world.thief.items():
        world.require(await world.outside.balance(symbol, [thief]) == 0, f"the thief has no {symbol}")


def _bend(world: World, link: Link, swaps: dict[bytes, bytes]) -> Counter[str]:
    """Put the thief's address wherever an address passes, in both directions; with `swaps`: only in place of these,
    and longer leases and no freezes besides. Every text keeps its length, so that nothing but its meaning changes."""
    counted: Counter[str] = Counter()

    def instead(found: re.Match[bytes]) -> bytes:
        text = found[0]
        thief = world.thief["ETH" if text.startswith(b"0x") else "rLTC"].encode()
        return thief if len(thief) == len(text) else b"rltc1q" + b"q" * (len(text) - 6)

    def change(data: bytes) -> bytes:
        if swaps:
            bent = data
            for true, false in swaps.items():
                bent = bent.replace(true, false)
            bent = re.sub(rb'("duration_ms":)\d', rb"\g<1>9", bent)
        else:
            bent = _ADDRESS.sub(instead, data)
        counted["changed"] += bent != data
        return bent

    bend: Callable[[bytes], bytes] = change
    link.bend = bend
    return counted
