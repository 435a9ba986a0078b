"""The adversary without a script: seeded random messages to every door that the owned zone can reach.

He knows the shape of real messages, since the zone has them, and changes them at random: other values, other kinds,
missing parts, other lengths. Nothing that he does may cost more than the bound, and nothing may fall over for good.
"""

from __future__ import annotations

import asyncio
import json
import socket
import time
from random import Random  # noqa: TID251  seeded: a drill must be repeatable
from typing import TYPE_CHECKING, Any

from holdfast.drill.hands import Hand
from holdfast.drill.places import TrustZone

if TYPE_CHECKING:
    from holdfast.drill.attacker import Attacker
    from holdfast.drill.world import World

_WORDS = ("*", "", "0", "-1", "eip155:31337", "null", "💥", "9" * 40, "../../etc/passwd", "mer_0", "a" * 5_000)
_PATHS = ("/v1/payouts", "/v1/invoices", "/v1/merchants", "/v1/api-keys", "/v1/balances", "/signer/v1/work",
          "/signer/v1/journal", "/v1/evidence", "/v1/certificate", "/v1/networks")  # fmt: skip
_LINES: tuple[dict[str, object], ...] = (
    {"ask": {"nonce": "0" * 64, "after": 0, "seq": 1, "head": "0" * 64}, "entries": [], "signature": "00" * 64},
    {"fetch": {"nonce": "0" * 64, "after": 0, "seq": 0, "head": ""}, "signature": "00" * 64},
    {"freeze": {"document": "{}", "signature": "00" * 64}},
    {"thaw": {"document": '{"kind":"thaw","scopes":["*"],"at":1,"number":1}', "signatures": []}},
    {"status": {}},
)


async def pester(world: World, attacker: Attacker, seconds: int) -> None:
    """Let him try for so long from every owned zone. Raises `AttackBroken`."""
    for zone in attacker.owns:
        sent = await attacker.run(
            scatter, zone=zone, seconds=seconds, api_port=world.facts.port, tower_port=world.facts.port + 6
        )  # fmt: skip
        world.note(f"seeded adversary as {zone}: {sum(sent.values())} random messages, seed {world.seed}")


async def scatter(hand: Hand) -> object:
    """Random messages for some seconds; how many of each kind."""
    draw, sent = hand.draw, {"http": 0, "lines": 0, "rows": 0}
    database = await hand.database() if hand.zone is TrustZone.PLATFORM else None
    end = time.monotonic() + int(hand.text("seconds"))
    while time.monotonic() < end:
        await asyncio.to_thread(_http, draw, int(hand.text("api_port")))
        await asyncio.to_thread(_line, draw, int(hand.text("tower_port")))
        sent["http"], sent["lines"] = sent["http"] + 1, sent["lines"] + 1
        if database is not None:
            sent["rows"] += await _row(draw, database)
    if database is not None:
        await database.close()
    return sent


def mutated(draw: Random, value: Any) -> Any:
    """The same with something in it changed."""
    if isinstance(value, dict) and value:
        key = draw.choice(sorted(value))
        if draw.random() < 0.15:
            return {name: part for name, part in value.items() if name != key}
        return {**value, key: mutated(draw, value[key])}
    if isinstance(value, list) and value and draw.random() < 0.8:
        place = draw.randrange(len(value))
        return [*value[:place], mutated(draw, value[place]), *value[place + 1 :]]
    if isinstance(value, int) and draw.random() < 0.7:
        return draw.choice((value + 1, value - 1, -value, value * 1_000, 2**63, 0))
    if isinstance(value, str) and value and draw.random() < 0.7:
        place = draw.randrange(len(value))
        return value[:place] + draw.choice("0af{}\"'\\9Z ") + value[place + 1 :]
    return draw.choice((*_WORDS, None, [], {}, 0, 2**70, True))


def _http(draw: Random, port: int) -> None:
    body = json.dumps(mutated(draw, {"document": "{}", "signature": "00" * 64, "after": 0, "entries": []})).encode()
    path, method = draw.choice(_PATHS), draw.choice(("GET", "POST", "PUT", "DELETE"))
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
    _send(port, head.encode() + b"Content-Type: application/json\r\n\r\n" + body)


def _line(draw: Random, port: int) -> None:
    _send(port, json.dumps(mutated(draw, draw.choice(_LINES))).encode() + b"\n")


def _send(port: int, data: bytes) -> None:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.settimeout(1)
            connection.sendall(data)
            connection.recv(65_536)
    except OSError:
        pass  # refused, or thrown out: both are answers


async def _row(draw: Random, database: Any) -> int:
    """A payout like one that there is, with something in it changed; 1 if the database took it."""
    from psycopg import Error

    cursor = await database.execute(
        "SELECT to_jsonb(p) FROM payments.payouts p WHERE state = 'confirmed' ORDER BY id LIMIT 1"
    )
    row = (await cursor.fetchone())[0]
    document = json.loads(row["document"])
    row["document"] = json.dumps(mutated(draw, document), separators=(",", ":"), sort_keys=True)
    row |= dict.fromkeys(("accepted_at", "signed_at", "broadcast_at", "ended_at", "reservation"))
    name = f"{draw.getrandbits(128):032x}"
    row |= {"id": f"pay_{name[:26]}", "key": name * 2, "intent_id": name * 2, "reference": name, "state": "reserved"}
    row |= {"number": draw.getrandbits(40), "transaction": None}
    if draw.random() < 0.3:
        row["signature"] = f"{draw.getrandbits(512):0128x}"
    try:
        await database.execute(
            "INSERT INTO payments.payouts SELECT (jsonb_populate_record(NULL::payments.payouts, %s)).*",
            [json.dumps(row)],
        )
    except Error:
        return 0
    return 1
