"""CoinsPaid, 22 July 2023: root on the platform reproduces legitimate withdrawal requests. See docs/drills."""

from __future__ import annotations

import json
import secrets
from collections import Counter
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from holdfast.core.intents import Line, Payout, document_of, intent_id, read_intent, signing_input
from holdfast.drill.bounds import Bound
from holdfast.drill.hands import Hand
from holdfast.drill.places import TrustZone

if TYPE_CHECKING:
    from holdfast.drill.attacker import Attacker
    from holdfast.drill.world import World

NAME = "coinspaid-2023"
TITLE = "root on the platform reproduces legitimate payout requests"
OWNS = (TrustZone.PLATFORM,)
BOUND = Bound.NOTHING
QUICK = True

AMOUNTS = {"rLTC": 20 * 10**8, "ETH": 10**18, "USDT": 1_000 * 10**6}
"""What each forged request asks for: below every limit, so that limits are not what stops it."""
_FRESH = ("accepted_at", "signed_at", "broadcast_at", "ended_at", "reservation", "transaction", "looked_at", "rule")


async def play(world: World, attacker: Attacker) -> None:
    """Forge, wait until the signer has had its say on everything, and look where the money is."""
    by_asset = {world.facts.assets[symbol]: symbol for symbol in AMOUNTS}
    forged = await attacker.run(reproduce, thief=world.thief, symbols=by_asset)
    world.note(f"{len(forged)} forged requests stood in the platform's own tables, exactly like genuine ones")
    world.require(len(forged) == 3 * len(AMOUNTS), "the attacker forged three requests of each asset")

    async def are_decided() -> bool:
        return len(await world.decisions(forged)) == len(forged)

    await world.until(are_decided, "the signer has decided about every forged request", seconds=20)
    said = Counter((await world.decisions(forged)).values())
    world.note(f"what the signer said: {', '.join(f'{count} {rule}' for rule, count in said.items())}")
    world.require(not said["accepted"], "the signer accepted no forged request")


async def reproduce(hand: Hand) -> object:
    """Requests that look like the genuine ones, into the table from which the signer is served; their intents' ids."""
    made: list[str] = []
    own_key = Ed25519PrivateKey.from_private_bytes(hand.draw.randbytes(32))
    database = await hand.database()
    cursor = await database.execute("SELECT to_jsonb(p) FROM payments.payouts p WHERE state = 'confirmed' ORDER BY id")
    for (row,) in await cursor.fetchall():
        symbol, genuine = hand.facts["symbols"][row["asset"]], read_intent(row["document"].encode())
        assert isinstance(genuine, Payout)  # noqa: S101  the only kind that is confirmed here
        lines = (Line(hand.facts["thief"][symbol], AMOUNTS[symbol]),)
        number = genuine.number + 1_000 + 10 * len(made)
        for place, is_own_key in enumerate((False, True, False)):
            # With the number of the genuine one first, then with fresh ones.
            facts = {"lines": lines, "number": number + place if place else genuine.number}
            document = document_of(replace(genuine, **facts, reference=f"order {secrets.token_hex(6)}"))
            own = own_key.sign(signing_input(document)).hex()
            made.append(await _put(database, row, document.decode(), own if is_own_key else row["signature"]))
    await database.close()
    return made


async def _put(database: Any, row: dict[str, Any], text: str, signature: str) -> str:
    """The request with its lines, as the API would have written it; its intent's id."""
    intent, content = intent_id(text.encode()), read_intent(text.encode())
    assert isinstance(content, Payout)  # noqa: S101  it was made just now
    new = {
        **row, **dict.fromkeys(_FRESH), "id": f"pay_{secrets.token_hex(13)}", "key": intent, "intent_id": intent,
        "document": text, "signature": signature, "reference": content.reference, "state": "reserved",
        "number": content.number + secrets.randbelow(10**6), "lines_units": content.lines_units,
    }  # fmt: skip
    await database.execute(
        "INSERT INTO payments.payouts SELECT (jsonb_populate_record(NULL::payments.payouts, %s)).*", [json.dumps(new)]
    )
    for place, line in enumerate(content.lines):
        await database.execute(
            "INSERT INTO payments.payout_lines VALUES (%s, %s, %s, %s, 'waiting')",
            [new["id"], place, line.destination, line.units],
        )
    return intent
