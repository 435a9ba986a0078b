"""CoinsPaid, 22 July 2023: root on the platform reproduces legitimate withdrawal requests. See docs/drills."""

from __future__ import annotations

import hashlib
import json
import secrets
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from holdfast.core.intents import signing_input
from holdfast.drill.attacker import Attacker
from holdfast.drill.hands import Hand
from holdfast.drill.places import TrustZone
from holdfast.drill.scenario import Bound
from holdfast.drill.world import World

NAME = "coinspaid-2023"
TITLE = "root on the platform reproduces legitimate payout requests"
OWNS = (TrustZone.PLATFORM,)
BOUND = Bound.NOTHING
QUICK = True

AMOUNTS = {"rLTC": 20 * 10**8, "ETH": 10**18, "USDT": 1_000 * 10**6}
"""What each forged request asks for: below every limit, so that limits are not what stops it."""


async def play(world: World, attacker: Attacker) -> None:
    """Forge, wait until the signer has had its say on everything, and look where the money is."""
    by_asset = {world.facts.assets[symbol]: symbol for symbol in AMOUNTS}
    forged = await attacker.run(reproduce, thief=world.thief, symbols=by_asset)
    world.note(f"{len(forged)} forged requests stood in the platform's own tables, exactly like genuine ones")
    world.require(len(forged) >= 9, "the attacker forged three requests of each asset")
    left: list[str] = []

    async def are_decided() -> bool:
        left[:] = await attacker.run(undecided, ids=forged)
        return not left

    await world.until(are_decided, "the signer has looked at every forged request", seconds=20)
    told = await attacker.run(outcomes, ids=forged)
    world.require(not told["paid"], "no forged request was signed")
    world.note(f"the signer refused them: {', '.join(f'{rule} {count}' for rule, count in told['rules'].items())}")


async def reproduce(hand: Hand) -> object:
    """Requests that look like the genuine ones, into the table from which the signer is served."""
    made: list[str] = []
    own_key = Ed25519PrivateKey.from_private_bytes(hand.draw.randbytes(32))
    database = await hand.database()
    cursor = await database.execute("SELECT to_jsonb(p) FROM payments.payouts p WHERE state = 'confirmed' ORDER BY id")
    for (row,) in await cursor.fetchall():
        symbol = hand.facts["symbols"].get(row["asset"])
        if symbol is None:
            continue
        document = json.loads(row["document"])
        document["lines"] = [{"destination": hand.facts["thief"][symbol], "units": AMOUNTS[symbol]}]
        for number, way in enumerate(("his signature, another destination", "own key", "fresh number")):
            wanted = {**document, "reference": f"order {secrets.token_hex(6)}"}
            if way != "his signature, another destination":
                wanted["number"] = document["number"] + 7 + number
            text = json.dumps(wanted, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
            signature = own_key.sign(signing_input(text.encode())).hex() if way == "own key" else row["signature"]
            made.append(await _put(database, row, text, signature))
    await database.close()
    return made


async def _put(database: Any, row: dict[str, Any], text: str, signature: str) -> str:
    """The request with its lines, as the API would have written it; its id."""
    intent, content = hashlib.sha256(text.encode()).hexdigest(), json.loads(text)
    nothing = dict.fromkeys(
        ("accepted_at", "signed_at", "broadcast_at", "ended_at", "reservation", "transaction", "looked_at")
    )  # fmt: skip
    units = sum(line["units"] for line in content["lines"])
    new = {
        **row, **nothing, "id": f"pay_{secrets.token_hex(13)}", "key": intent, "intent_id": intent, "document": text,
        "signature": signature, "reference": content["reference"], "number": content["number"] + secrets.randbelow(99),
        "state": "reserved", "lines_units": units,
    }  # fmt: skip
    await database.execute(
        "INSERT INTO payments.payouts SELECT (jsonb_populate_record(NULL::payments.payouts, %s)).*", [json.dumps(new)]
    )
    for place, line in enumerate(content["lines"]):
        await database.execute(
            "INSERT INTO payments.payout_lines VALUES (%s, %s, %s, %s, 'pending')",
            [new["id"], place, line["destination"], line["units"]],
        )
    return str(new["id"])


async def undecided(hand: Hand) -> object:
    """Requests that the signer has not looked at yet."""
    database = await hand.database()
    cursor = await database.execute(
        "SELECT id FROM payments.payouts WHERE id = ANY(%s) AND state = 'reserved' AND looked_at IS NULL",
        [hand.facts["ids"]],
    )
    found = [row[0] for row in await cursor.fetchall()]
    await database.close()
    return found


async def outcomes(hand: Hand) -> object:
    """What became of them."""
    database = await hand.database()
    cursor = await database.execute(
        "SELECT state, coalesce(rule, waiting_rule, '') FROM payments.payouts WHERE id = ANY(%s)", [hand.facts["ids"]]
    )
    rows = await cursor.fetchall()
    await database.close()
    rules: dict[str, int] = {}
    for _, rule in rows:
        rules[rule] = rules.get(rule, 0) + 1
    paid = [state for state, _ in rows if state in ("signed", "broadcast", "confirmed")]
    return {"rules": rules, "paid": len(paid)}
