"""The watchtower is dead, then in an attacker's hands: payouts stop, nothing is lost. See docs/drills."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from holdfast.core.journal import Head
from holdfast.core.leases import Ask, Lease, LeaseRefused, SignedLease
from holdfast.drill.bounds import Bound
from holdfast.drill.hands import Hand
from holdfast.drill.places import TrustZone
from holdfast.drill.template import TOWER

if TYPE_CHECKING:
    from holdfast.drill.attacker import Attacker
    from holdfast.drill.world import World

NAME = "watchtower-down"
TITLE = "the watchtower is dead, then owned: payouts stop, payments in go on"
OWNS = (TrustZone.WATCHTOWER,)
BOUND = Bound.NOTHING

DEAD_SECONDS = 3
LYING_SECONDS = 10
YEARS_MS = 10 * 365 * 86_400_000


async def play(world: World, attacker: Attacker) -> None:
    """Dead; back; owned, with its own key and port; and each time an honest merchant who wants to be paid out."""
    from holdfast.drill.world import now_ms
    from holdfast.faces.cli.serve import ZoneName

    await world.kill(ZoneName.WATCHTOWER)
    accepted = await _accepted(world)
    waiting = await world.order(world.shop, "rLTC", "0.4")
    await asyncio.sleep(DEAD_SECONDS)
    world.require(await _accepted(world) == accepted, "without a watchtower no payout is accepted")
    world.up(ZoneName.WATCHTOWER)

    async def is_paid() -> bool:
        return (await world.shop.payouts.get(waiting.id)).state in ("broadcast", "confirmed")

    back = now_ms()
    await world.until(is_paid, "once the watchtower is back, what waited is paid", seconds=20)
    world.note(f"payouts went on {(now_ms() - back) / 1000:.1f} s after the watchtower was back")
    lies = asyncio.create_task(attacker.run(lie, port=world.facts.port + TOWER, seconds=LYING_SECONDS))
    await world.order(world.shop, "ETH", "0.02")
    await world.order(world.mallory, "USDT", "15")
    told = await lies
    world.note(f"answers of the owned watchtower: {', '.join(f'{count} {what}' for what, count in told.items())}")
    world.require(sum(told.values()) > 0, "the signer asked the owned watchtower")
    signed = await _signed(world)
    await asyncio.sleep(DEAD_SECONDS)
    world.require(await _signed(world) == signed, "once it answers no more, nothing is signed")


async def _accepted(world: World) -> int:
    ((count,),) = await world.rows("SELECT count(*) FROM payments.journal WHERE kind = 'accepted'")
    return int(count)


async def _signed(world: World) -> int:
    ((count,),) = await world.rows("SELECT count(*) FROM payments.journal WHERE kind = 'signed'")
    return int(count)


async def lie(hand: Hand) -> object:
    """Take the watchtower's place for good, with its own lease key, and tell the signer everything that it can be told;
    then fall silent."""
    from holdfast.watchtower.settings import load, open_lease_key

    config = hand.home / "tower.toml"
    settings = load(config)
    key, port = open_lease_key(settings), int(hand.text("port"))
    # The real one listens elsewhere from now on, whoever starts it.
    config.write_text(re.sub(r"^port = \d+", "port = 0", config.read_text(), flags=re.MULTILINE))
    told = Counter[str]()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            while line := await reader.readuntil(b"\n"):
                name, words = _answer(line, key, sum(told.values()))
                told[name] += 1
                writer.write(words + b"\n")
                await writer.drain()
        writer.close()

    server = await _taken(port, answer)
    await asyncio.sleep(int(hand.text("seconds")))
    server.close()
    return told


async def _taken(
    port: int, answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
) -> asyncio.Server:
    """The port, as soon as the real one has let go of it."""
    async with asyncio.timeout(10):
        while True:
            _end("holdfast.watchtower.main")
            with suppress(OSError):
                return await asyncio.start_server(answer, "127.0.0.1", port, limit=2**26)
            await asyncio.sleep(0.02)


def _answer(line: bytes, key: Ed25519PrivateKey, number: int) -> tuple[str, bytes]:
    from holdfast.watchtower import leases

    try:
        asked = msgspec.json.decode(line, type=dict[str, Any])
        ask = msgspec.convert(asked["ask"], Ask)
    except (msgspec.DecodeError, msgspec.ValidationError, KeyError):
        return "no lease was asked for", b"{}"
    true = Lease(ask.nonce, ask.seq, ask.head, "", "", (), 3_000, _now())
    name, change = LIES[number % len(LIES)]
    told = change(true)
    words = told if isinstance(told, LeaseRefused) else leases.sign(told, key)
    return name, msgspec.json.encode(words if not name.startswith("forged") else SignedLease(true, "00" * 64))


def _now() -> int:
    import time

    return int(time.time())  # noqa: TID251  the attacker's own machine


def _with(**changed: object) -> Callable[[Lease], Lease]:
    return lambda lease: msgspec.structs.replace(lease, **changed)


LIES: tuple[tuple[str, Callable[[Lease], Lease | LeaseRefused]], ...] = (
    ("granted, ten years long", _with(duration_ms=YEARS_MS)),
    ("granted, years ahead in time", lambda lease: msgspec.structs.replace(lease, tower_seconds=_now() + 10**8)),
    ("granted, years behind in time", _with(tower_seconds=1)),
    ("for another request", _with(nonce="00" * 32)),
    ("for another journal", _with(head="11" * 32)),
    ("for a longer journal", lambda lease: msgspec.structs.replace(lease, seq=lease.seq + 1)),
    ("forged signature", lambda lease: lease),
    ("refused: send everything again", lambda _: LeaseRefused("entries-missing", 0, Head().hash)),
    ("refused: no reason", lambda _: LeaseRefused("", -1, "")),
    ("granted, policy of another", _with(policy="22" * 32, enrolment="33" * 32)),
)


def _end(what: str) -> None:
    """kill -9 whatever of this zone's own user runs it."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (process / "cmdline").read_bytes()
            if what.encode() in words and process.stat().st_uid == os.getuid() and int(process.name) != os.getpid():
                os.kill(int(process.name), signal.SIGKILL)
