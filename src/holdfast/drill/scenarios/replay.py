"""Everything that was ever said is said again: genuine intents, hints, signed bytes, and lines to the watchtower."""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from holdfast.drill.bounds import Bound
from holdfast.drill.hands import Hand
from holdfast.drill.places import TrustZone

if TYPE_CHECKING:
    from holdfast.drill.attacker import Attacker
    from holdfast.drill.world import World

NAME = "replay"
TITLE = "every genuine message is sent again, many times and in any order"
OWNS = (TrustZone.PLATFORM,)
BOUND = Bound.NOTHING

PAYOUTS = {"rLTC": "2", "ETH": "0.1", "USDT": "40"}
TIMES = 4
ROUNDS_SECONDS = 5


async def play(world: World, attacker: Attacker) -> None:
    """Honest payouts, then all of it again: rows, hints, signed transactions, and what was heard on the wire."""
    heard = world.links["signer-watchtower"].listen()
    made = [await world.order(world.shop, symbol, amount) for symbol, amount in PAYOUTS.items()]

    async def are_paid() -> bool:
        states = [(await world.shop.payouts.get(one.id)).state for one in made]
        return all(state == "confirmed" for state in states)

    await world.until(are_paid, "honest payouts are confirmed first")
    nodes = world.nodes_of(TrustZone.PLATFORM)
    lines = [line.decode() for line in heard][-40:]
    sent = await attacker.run(again, **nodes, lines=lines, tower=world.facts.port + 6)
    world.note(f"sent again: {', '.join(f'{count} {what}' for what, count in sent.items())}")
    world.require(all(sent.values()), "there was something of each kind to send again")
    await asyncio.sleep(ROUNDS_SECONDS)  # the signer works meanwhile; blocks come
    await world.settle()
    paid = await world.rows("SELECT count(*) FROM payments.journal WHERE kind = 'accepted'")
    world.require(paid[0][0] == len(made) + len(PAYOUTS), "each payout was accepted once, those before the drill too")


async def again(hand: Hand) -> object:
    """Send everything again; how much of each."""
    database = await hand.database()
    rows = 0
    # As the superuser he takes away what keeps the platform itself from doing anything twice.
    cursor = await database.execute(
        "SELECT indexname FROM pg_indexes WHERE schemaname = 'payments' AND tablename = 'payouts'"
        " AND indexdef LIKE '%%UNIQUE%%WHERE%%'"
    )
    for (name,) in await cursor.fetchall():
        await database.execute(f'DROP INDEX payments."{name}"')
    cursor = await database.execute("SELECT to_jsonb(p) FROM payments.payouts p WHERE state = 'confirmed'")
    fresh = ("accepted_at", "signed_at", "broadcast_at", "ended_at", "reservation", "transaction", "looked_at")
    for (row,) in await cursor.fetchall():
        for _ in range(TIMES):
            name = secrets.token_hex(16)
            new = {**row, **dict.fromkeys(fresh), "id": f"pay_{name[:26]}", "key": name, "state": "reserved"}
            await database.execute(
                "INSERT INTO payments.payouts SELECT (jsonb_populate_record(NULL::payments.payouts, %s)).*",
                [json.dumps(new)],
            )
            rows += 1
    reopened = (await database.execute("UPDATE payments.signer_hints SET is_open = true")).rowcount
    cursor = await database.execute(
        "SELECT document::jsonb->'body'->>'raw' FROM payments.journal WHERE kind = 'signed' ORDER BY seq"
    )
    raws = [raw for (raw,) in await cursor.fetchall()]
    await database.close()
    for raw in raws * TIMES:
        await _broadcast(hand, raw)
    for line in hand.facts["lines"] * TIMES:
        await asyncio.to_thread(_say, int(hand.text("tower")), line)
    return {"intents": rows, "hints": reopened, "transactions": len(raws), "lines": len(hand.facts["lines"])}


async def _broadcast(hand: Hand, raw: str) -> None:
    """To the node that it is for; a refusal is an answer too."""
    from holdfast.chains.local_process import LocalRpc
    from holdfast.chains.port import NodeRefused

    is_evm = raw.startswith("02f")
    url, method = ("anvil", "eth_sendRawTransaction") if is_evm else ("litecoin", "sendrawtransaction")
    with suppress(NodeRefused):
        await LocalRpc(hand.text(url), "again").call(str, method, f"0x{raw}" if is_evm else raw)


def _say(port: int, line: str) -> None:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
        connection.sendall(line.encode() + b"\n")
        connection.settimeout(2)
        connection.recv(65_536)
