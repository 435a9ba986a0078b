"""Signed transactions are kept back and let go together, after a freeze. See docs/drills."""

from __future__ import annotations

import json
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from holdfast.client.keys import MerchantKey
from holdfast.core.money import parse_units
from holdfast.drill import forging
from holdfast.drill.bounds import Bound
from holdfast.drill.hands import Hand
from holdfast.drill.measure import DECIMALS
from holdfast.drill.places import TrustZone
from holdfast.runtime.secret_files import read_secret

if TYPE_CHECKING:
    from holdfast.drill.attacker import Attacker
    from holdfast.drill.world import World

NAME = "hoarded-releases"
TITLE = "signed transactions are kept from every node, and let go together after the freeze"
OWNS = (TrustZone.PLATFORM, TrustZone.MERCHANT)
BOUND = Bound.SIGNER_HONEST

UNCONFIRMED = {"rLTC": "10", "ETH": "1.2", "USDT": "400"}
"""What may be released and not final, by the policy that the officers sign first."""
ORDERED = {"rLTC": (12, 2 * 10**8), "ETH": (10, 3 * 10**17), "USDT": (12, 100 * 10**6)}
"""How many payouts of how much: at least twice of what may be released, and less than he has."""
SENDING = frozenset({"sendrawtransaction", "eth_sendRawTransaction"})


async def play(world: World, attacker: Attacker) -> None:
    """Tighten, order, hoard, freeze, let go, and ask for more."""
    from holdfast.drill import officers

    most = {symbol: parse_units(text, DECIMALS[symbol]) for symbol, text in UNCONFIRMED.items()}
    await officers.tighten(world, {(symbol, "unconfirmed_max"): f'"{text}"' for symbol, text in UNCONFIRMED.items()})
    for node in ("litecoin", "anvil"):
        world.proxies[TrustZone.SIGNER, node].withheld = SENDING
    world.event("attacker", "the signer's nodes pass nothing on that they are given to send")
    merchant = world.facts.merchants["mallory"].merchant
    told: dict[str, Any] = {"merchant": merchant, "thief": world.thief, "assets": world.facts.assets,
            "passphrase": read_secret(world.places.officers / "passphrase")}  # fmt: skip
    await attacker.run(silence)
    ids = await attacker.run(hand_in, signed=await attacker.run(order, zone=TrustZone.MERCHANT, first=1, **told))

    async def is_full() -> bool:
        said = list((await world.decisions(ids)).values())
        return len(said) == len(ids) and "unconfirmed-too-much" in said

    await world.until(is_full, "the signer stops by itself once as much is released as may be", seconds=20)
    officers.freeze(world, "*", "nothing that was signed reaches the networks")

    async def is_frozen() -> bool:
        return "*" in world.frozen()

    await world.until(is_frozen, "everything is frozen", seconds=5)
    hoard = await attacker.run(release, **_nodes(world))
    world.note(f"let go together after the freeze: {hoard} transactions")
    later = await attacker.run(hand_in, signed=await attacker.run(order, zone=TrustZone.MERCHANT, first=100, **told))
    await world.settle()
    again = await attacker.run(release, **_nodes(world))
    world.require(again == hoard, "nothing was signed after the freeze")
    world.require("accepted" not in (await world.decisions(later)).values(), "nothing was accepted after the freeze")
    await _mended(world)
    for symbol, units in most.items():
        got = await world.outside.balance(symbol, [world.thief[symbol]])
        world.require(0 < got <= units, f"of {symbol} no more came out than may be released and not final")


async def _mended(world: World) -> None:
    """What stood between signer, platform and nodes is gone."""
    from holdfast.faces.cli.serve import ZoneName

    for node in ("litecoin", "anvil"):
        world.proxies[TrustZone.SIGNER, node].withheld = frozenset()
    await world.kill(ZoneName.BROADCASTER)
    world.up(ZoneName.BROADCASTER)


def _nodes(world: World) -> dict[str, Any]:
    """The platform's own way to the nodes."""
    return {name: f"http://127.0.0.1:{world.proxies[TrustZone.PLATFORM, name].port}" for name in ("litecoin", "anvil")}


async def order(hand: Hand) -> object:
    """Genuine intents of his own, many small ones, each to the thief."""
    key = MerchantKey.open(hand.home / "merchant.keystore", hand.text("passphrase"))
    signed, number = [], 10**12 + int(hand.text("first")) * 1_000
    for symbol, (count, units) in ORDERED.items():
        for _ in range(count):
            number += 1
            to = {hand.facts["thief"][symbol]: units}
            made = key.sign(forging.payout_of(hand.text("merchant"), hand.facts["assets"][symbol], to, number=number))
            signed.append((made.document, made.signature))
    return signed


async def hand_in(hand: Hand) -> object:
    """Straight into the table from which the signer is served."""
    database = await hand.database()
    ids = [await forging.put_payout(database, document, signature) for document, signature in hand.facts["signed"]]
    await database.close()
    return ids


async def silence(hand: Hand) -> object:
    """End the platform's own broadcaster, for good: its process is his, and so is its right to start."""
    ended = 0
    for process in Path("/proc").glob("[0-9]*"):  # noqa: ASYNC240  nothing else runs here
        with suppress(OSError):
            if b"broadcaster" in (process / "cmdline").read_bytes() and process.stat().st_uid == os.getuid():
                os.kill(int(process.name), signal.SIGSTOP)
                ended += 1
    return ended


async def release(hand: Hand) -> object:
    """Every signed transaction in the platform's copy of the journal, to the platform's nodes; how many there are."""
    import aiohttp

    database = await hand.database()
    cursor = await database.execute(
        "SELECT document FROM payments.journal WHERE kind = 'signed' AND mirrored_at > now() - interval '2 minutes' "
        "ORDER BY seq"
    )
    raws = [json.loads(row[0])["body"]["raw"] for row in await cursor.fetchall()]
    await database.close()
    async with aiohttp.ClientSession(trust_env=False) as http:
        for raw in raws:
            is_evm = raw.startswith(("02f8", "02f9"))
            method, text = ("eth_sendRawTransaction", f"0x{raw}") if is_evm else ("sendrawtransaction", raw)
            call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": [text]}
            async with http.post(hand.text("anvil" if is_evm else "litecoin"), json=call) as answer:
                await answer.read()
    return len(raws)
