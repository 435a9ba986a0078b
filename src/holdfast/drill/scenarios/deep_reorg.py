"""A reorganisation deeper than the confirmations takes a deposit back after it was paid out. See docs/drills."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from holdfast.chains.port import NodeRefused
from holdfast.core.money import format_units
from holdfast.drill.bounds import Bound
from holdfast.drill.places import TrustZone

if TYPE_CHECKING:
    from holdfast.drill.attacker import Attacker
    from holdfast.drill.world import World

NAME = "deep-reorg"
TITLE = "a reorganisation deeper than the confirmations takes a deposit back after it was paid out"
OWNS = (TrustZone.MERCHANT,)
BOUND = Bound.SIGNER_HONEST

DEPOSITED = 80 * 10**8
"""What the attacker pays to himself, and takes back with the power of miners."""
ORDERED = ("60", "60")
"""More than what was his before (60), less than with it; the first is covered either way."""


async def play(world: World, _attacker: Attacker) -> None:
    """Deposit, pay out, take the deposit back, and see who bears it."""
    from holdfast.client import PayoutOrder, PayTo

    node, asset = world.outside.litecoin, world.facts.assets["rLTC"]
    world.is_mining = False
    height = await node.height()
    address = world.facts.deposits["rLTC"]["mallory"]
    deposit, instead = await node.rival_payments(address, DEPOSITED)
    await node.send_raw(deposit)
    before = int(await _available(world))
    await _blocks(world, 4)

    async def is_credited() -> bool:
        return int(await _available(world)) > before

    await world.until(is_credited, "the deposit is credited, as any other", seconds=20)
    made = [
        await world.mallory.payouts.create(PayoutOrder(asset=asset, lines=[PayTo(world.thief["rLTC"], amount)]))
        for amount in ORDERED
    ]
    world.flows.ordered["rLTC"][world.thief["rLTC"]] = before

    async def are_out() -> bool:
        await _blocks(world, 1)
        return all([(await world.mallory.payouts.get(one.id)).state == "confirmed" for one in made])

    await world.until(are_out, "what he ordered is paid and final", seconds=30)
    await _reorganise(world, height, deposit, instead)
    world.note(f"a payout that he ordered after it: {await _after(world, asset)}")
    await world.settle()
    got = await world.outside.balance("rLTC", [world.thief["rLTC"]])
    world.note(f"he has {format_units(got, 8)} rLTC, of which {format_units(before, 8)} were his")
    shop = {one.symbol: int(one.available_units) for one in (await world.shop.balances()).items}
    world.require(shop["rLTC"] > 0, "the other merchant's balance stands")


async def _reorganise(world: World, height: int, deposit: str, instead: str) -> None:
    """Other blocks above this height, more of them, with the one transaction in place of the other."""
    node = world.outside.litecoin
    depth = await node.height() - height
    world.event("attacker", f"the chain is reorganised, {depth} blocks deep, without his deposit")
    paid = [raw for at in range(height + 1, height + depth + 1) for raw in await node.transactions(at)]
    paid += await node.waiting()
    await node.invalidate(await node.block_hash(height + 1))
    await node.mine_only([instead])
    await node.mine(depth + 1)
    await _again(world, [raw for raw in paid if raw != deposit])
    world.is_mining = True


async def _again(world: World, paid: list[str]) -> None:
    """Wallets send again what a reorganisation threw out: rewards that they spent were too young for a moment."""
    for raw in paid:
        with suppress(NodeRefused):  # it is in a block, or waits for one
            await world.outside.litecoin.send_raw(raw)


async def _available(world: World) -> str:
    items = (await world.mallory.balances()).items
    return str(next(one.available_units for one in items if one.symbol == "rLTC"))


async def _blocks(world: World, count: int) -> None:
    for _ in range(count):
        await world.outside.mine()
        await asyncio.sleep(0.9)


async def _after(world: World, asset: str) -> str:
    """He goes on ordering: what the signer says, some blocks later."""
    from holdfast.client import PayoutOrder, PayTo
    from holdfast.core.errors import HoldfastError

    try:
        order = PayoutOrder(asset=asset, lines=[PayTo(world.thief["rLTC"], "5")])
        made = await world.mallory.payouts.create(order)
    except HoldfastError as error:
        return f"refused by the platform, {error.code}"

    async def is_decided() -> bool:
        return bool(await world.decisions([made.intent]))

    await world.until(is_decided, "the signer has its say on what he orders next", seconds=15)
    said = (await world.decisions([made.intent])).get(made.intent, "nothing")
    world.require(said != "accepted", "he is paid nothing more")
    return said
