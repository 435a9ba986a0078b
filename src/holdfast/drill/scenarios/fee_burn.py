"""The attacker gets nothing and burns what he can: the company pays the network's fees. See docs/drills."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from typing import TYPE_CHECKING

from msgspec.structs import replace

from holdfast.client.keys import MerchantKey
from holdfast.core.intents import Line, SignedIntent
from holdfast.drill import forging
from holdfast.drill.bounds import Bound
from holdfast.drill.hands import Hand
from holdfast.drill.places import TrustZone
from holdfast.faces.cli.serve import ZoneName
from holdfast.runtime.secret_files import read_secret

if TYPE_CHECKING:
    from holdfast.drill.attacker import Attacker
    from holdfast.drill.world import World

NAME = "fee-burn"
TITLE = "fees are burnt: lying fee rates, payouts of many crumbs, pointless flushes, and replacements of it all"
OWNS = (TrustZone.PLATFORM, TrustZone.MERCHANT)
BOUND = Bound.FEES
FEES_ARE_LOSS = True

PAYOUTS = {"rLTC": 40, "ETH": 12}
LINES = {"rLTC": 400, "ETH": 8}
CRUMB = {"rLTC": 10_000, "ETH": 10**12}
"""What each line pays: his own money, so it is no loss; only the fee is the company's."""
RATE = "0.00150000"
"""Coins per 1,000 vbytes, as the signer's node is made to say: below what the policy pays at most."""
DEARER = "0.00190000"
TIP = hex(200 * 10**9)
DEARER_TIP = hex(240 * 10**9)
ABSURD = "0.90000000"
BUMP_SECONDS = 2
FLUSH_MIN = 10**15
DRAIN_BLOCKS = 20
"""Enough for everything that the budget lets be built."""


async def play(world: World, attacker: Attacker) -> None:
    """Rates that the policy allows; no blocks and dearer rates, so that everything is replaced; then absurd ones."""
    await _hasten(world)
    _lie(world, RATE, TIP)
    facts = world.facts
    own = {symbol: await world.address(symbol) for symbol in PAYOUTS}
    signed = await attacker.run(
        sign, zone=TrustZone.MERCHANT, merchant=facts.merchants["mallory"].merchant, own=own,
        symbols={facts.assets[one]: one for one in PAYOUTS},
        passphrase=read_secret(world.places.officers / "passphrase"),
    )  # fmt: skip
    for symbol in PAYOUTS:
        world.flows.ordered[symbol][own[symbol]] = PAYOUTS[symbol] * LINES[symbol] * CRUMB[symbol]
    half = len(signed) // 2
    await _bait(world)
    ordered = await attacker.run(order, signed=signed[:half])
    await _decided(world, ordered)
    await _bait(world)
    world.is_mining = False
    _lie(world, DEARER, DEARER_TIP)
    ordered += await attacker.run(order, signed=signed[half:])
    await _decided(world, ordered)
    await asyncio.sleep(3 * BUMP_SECONDS)
    world.is_mining = True
    await world.settle(DRAIN_BLOCKS)
    _lie(world, ABSURD, hex(10**13))
    honest = await world.order(world.shop, "rLTC", "1")
    await world.settle()
    await _decided(world, [honest.intent])
    said = Counter((await world.decisions([*ordered, honest.intent])).values())
    world.note(f"what the signer said: {', '.join(f'{count} {rule}' for rule, count in sorted(said.items()))}")
    world.require((await world.decisions([honest.intent]))[honest.intent] == "fee-rate-too-high",
                  "at an absurd rate nothing is signed")  # fmt: skip
    await _told(world)


async def _bait(world: World) -> None:
    """The least that is worth a flush by the policy, and far less than the flush costs at these rates."""
    await world.pay("ETH", world.facts.deposits["ETH"]["mallory"], FLUSH_MIN)
    await world.settle(2)


async def _told(world: World) -> None:
    """Who has signed how many of which kind, at what price."""
    query = "SELECT purpose, network, count(*), sum(fee_units) FROM payments.transactions GROUP BY 1, 2 ORDER BY 1, 2"
    for purpose, network, count, units in await world.rows(query):
        world.note(
            f"{purpose} on {network[:14]}: {count} transactions, at most {units} units of fees, replaced ones too"
        )


async def _decided(world: World, ordered: list[str]) -> None:
    async def are_decided() -> bool:
        return len(await world.decisions(ordered)) == len(ordered)

    await world.until(are_decided, "the signer has looked at every order", seconds=120)


async def _hasten(world: World) -> None:
    """So that a drill sees replacements: the signer waits less before it replaces."""
    path = world.places.of(TrustZone.SIGNER) / "signer.toml"
    await world.kill(ZoneName.SIGNER)
    text = re.sub(r"bump_after_seconds = \d+", f"bump_after_seconds = {BUMP_SECONDS}", path.read_text(encoding="utf-8"))
    path.write_text(text, encoding="utf-8")
    world.up(ZoneName.SIGNER)


def _lie(world: World, rate: str, tip: str) -> None:
    """The fee rates that the signer's own nodes tell it: as on a day on which somebody fills the blocks."""

    def bitcoin(method: str, _: object, true: object) -> object:
        return {"feerate": float(rate), "blocks": 2} if method == "estimatesmartfee" else true

    def evm(method: str, _: object, true: object) -> object:
        return tip if method == "eth_maxPriorityFeePerGas" else true

    world.event("attacker", f"the signer's nodes tell {rate} coins per 1,000 vbytes, and a tip of {int(tip, 16)} wei")
    world.proxies[TrustZone.SIGNER, "litecoin"].lie = bitcoin
    world.proxies[TrustZone.SIGNER, "anvil"].lie = evm


async def sign(hand: Hand) -> object:
    """Payouts of crumbs, each to as many lines as a transaction may carry."""
    key = MerchantKey.open(hand.home / "merchant.keystore", hand.text("passphrase"))
    made: list[SignedIntent] = []
    for asset, symbol in sorted(hand.facts["symbols"].items()):
        to = hand.facts["own"][symbol]
        for _ in range(PAYOUTS[symbol]):
            one = forging.payout_of(hand.text("merchant"), asset, {to: 1}, number=3 * 10**6 + len(made))
            made.append(key.sign(replace(one, lines=(Line(to, CRUMB[symbol]),) * LINES[symbol])))
    # Both networks in each half.
    made = made[::2] + made[1::2]
    return [[one.document, one.signature] for one in made]


async def order(hand: Hand) -> object:
    """Into the queue, with hints to flush every index that there is, again and again."""
    database = await hand.database()
    cursor = await database.execute(
        "SELECT DISTINCT network, index FROM payments.addresses WHERE network LIKE 'eip155%'"
    )
    for network, index in await cursor.fetchall():
        row = {"network": network, "index": index, "asset": f"{network}/slip44:1", "units": 10**24}
        await forging.put_row(database, "unflushed", row)
    made = [await forging.put_payout(database, *one) for one in hand.facts["signed"]]
    await database.close()
    return made
