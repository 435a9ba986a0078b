"""Alphapo, 22 July 2023: float keys are stolen and used outside the signer, slowly. See docs/drills."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from holdfast.drill.bounds import Bound
from holdfast.drill.hands import Hand
from holdfast.drill.places import TrustZone

if TYPE_CHECKING:
    from holdfast.drill.attacker import Attacker
    from holdfast.drill.world import World

NAME = "alphapo-2023"
TITLE = "float keys stolen and used outside the signer, a little at a time"
OWNS = (TrustZone.SIGNER,)
BOUND = Bound.SIGNER_OWNED
FROZEN = True
QUICK = True

ROUNDS = 5
SHARE = 12
"""Each time he takes so small a part that it might be a payout."""
PAUSE_SECONDS = 0.8
EVM_UNITS = {"ETH": 3 * 10**17, "USDT": 300 * 10**6}


async def play(world: World, attacker: Attacker) -> None:
    """Steal the keys, use them round by round, and see who notices and when."""
    nodes = world.nodes_of(TrustZone.SIGNER)
    contract = next(iter(world.purses.floats["ETH"]))
    taken = await attacker.run(trickle, **nodes, contract=contract, token=world.facts.plan.token, thief=world.thief)
    world.note(f"the thief sent {taken['litecoin']} and {taken['evm']} transactions, {PAUSE_SECONDS:g} s apart")
    await world.settle()
    networks = {asset.partition("/")[0] for asset in world.facts.assets.values()}

    async def are_frozen() -> bool:
        return "*" in world.frozen() or networks <= world.frozen()

    await world.until(are_frozen, "both networks are frozen", seconds=15)
    world.note("a freeze ends leases: it cannot take keys back. What the float held is what the company can lose")


async def trickle(hand: Hand) -> object:
    """A part of the float each time; how many transactions left."""
    from holdfast.drill.stolen_keys import StolenKeys

    stolen, sent = StolenKeys.of(hand), {"litecoin": 0, "evm": 0}
    thief = hand.facts["thief"]
    for _ in range(ROUNDS):
        sent["litecoin"] += bool(await stolen.take_litecoin(thief["rLTC"], SHARE))
        for symbol, token in (("ETH", ""), ("USDT", hand.text("token"))):
            await stolen.take_evm(hand.text("contract"), token, thief[symbol], EVM_UNITS[symbol])
            sent["evm"] += 1
        await asyncio.sleep(PAUSE_SECONDS)
    return sent
