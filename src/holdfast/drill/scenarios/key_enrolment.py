"""The attacker enrols his own key as a merchant's: an old one's next key, a new one's first. See docs/drills."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from holdfast.client.keys import MerchantKey
from holdfast.core.certificates import CERTIFICATE_TAG, keys_fingerprint
from holdfast.core.errors import HoldfastError
from holdfast.core.orders import RECOVERY_TAG, VETO_TAG
from holdfast.core.quorum import tagged
from holdfast.drill import forging
from holdfast.drill.bounds import Bound
from holdfast.drill.hands import Hand
from holdfast.drill.places import TrustZone
from holdfast.drill.template import client_of

if TYPE_CHECKING:
    from holdfast.drill.attacker import Attacker
    from holdfast.drill.world import World

NAME = "key-enrolment"
TITLE = "the attacker enrols his own key as a merchant's"
OWNS = (TrustZone.PLATFORM,)
BOUND = Bound.NOTHING

ASKED = {"rLTC": 30 * 10**8, "ETH": 2 * 10**18, "USDT": 2_000 * 10**6}
"""Below every limit and far below what the shop has: only the key stands in the way."""
OFFICERS = 2


async def play(world: World, attacker: Attacker) -> None:
    """Certificates for his key; the request that officers sign, swapped; then payouts under that key."""
    facts = world.facts
    shop = facts.merchants["shop"]
    told: dict[str, Any] = {"merchant": shop.merchant, "key": shop.key, "thief": world.thief,
            "symbols": {facts.assets[one]: one for one in ASKED}}  # fmt: skip
    swapped = await attacker.run(enrol, **told)
    world.note(f"{swapped['certificates']} certificates for his key, and {swapped['words']} words of its, were put in")
    await _officers_look(world, swapped["requests"])
    await _shop_looks(world)
    # After the cooling-off: had the signer taken his key, it would count now.
    ordered = await attacker.run(order, **told)

    async def are_decided() -> bool:
        return len(await world.decisions(ordered)) == len(ordered)

    await world.until(are_decided, "the signer has decided about every payout under his key")
    said = Counter((await world.decisions(ordered)).values())
    world.note(f"what the signer said: {', '.join(f'{count} {rule}' for rule, count in said.items())}")
    world.require(not said["accepted"], "no payout under his key is accepted")


async def _officers_look(world: World, requests: list[str]) -> None:
    """Officers are asked to certify a new merchant, and the platform has put something of its own into the request."""
    genuine = MerchantKey.from_bytes(world.draw.randbytes(32)).public, world.draw.randbytes(32)
    compared = keys_fingerprint(*genuine)
    ended = await asyncio.gather(*(_certify(world, place, text, compared) for place, text in enumerate(requests)))
    for place, (code, said) in enumerate(ended):
        world.note(f"an officer's tool about swapped request {place + 1}: {said}")
        world.require(code != 0, f"no officer's tool signs swapped request {place + 1}")


async def _certify(world: World, place: int, request: str, compared: str) -> tuple[int, str]:
    """What `holdfast vault certify` does with it, on an officer's own machine; its last words."""
    officers, desk = world.places.officers, world.places.root / f"desk-{place}"
    (desk / "signed").mkdir(parents=True)
    (desk / "request.json").write_text(request, encoding="utf-8")
    argv = [
        *(sys.executable, "-m", "holdfast", "vault", "certify", str(desk / "request.json"), "--yes"),
        *("--keystore", str(officers / "officer-1.keystore"), "--key-fingerprint", compared),
        *("--passphrase-file", str(officers / "passphrase"), "--threshold", str(OFFICERS)),
        *("--record", str(desk / "signed")),
    ]
    for one in sorted(officers.glob("officer-*.json")):
        argv += ["--officer", str(one)]
    process = await asyncio.create_subprocess_exec(
        *argv, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    out, _ = await process.communicate()
    lines = out.decode(errors="replace").strip().splitlines() or [""]
    return process.returncode or 0, lines[-1][:160]


async def _shop_looks(world: World) -> None:
    """The shop's program starts anew, and the platform shows it a certificate with the attacker's key."""
    async with client_of(world.places.root, world.facts.port, world.facts.merchants["shop"]) as fresh:
        try:
            await fresh.deposit_address(world.facts.assets["rLTC"].partition("/")[0])
            refused = ""
        except HoldfastError as error:
            refused = error.code
    world.note(f"the shop's SDK about the certificate that it is shown: {refused or 'nothing'}")
    world.require(refused, "the SDK gives out no address under a certificate that the officers did not sign")


async def enrol(hand: Hand) -> object:
    """Certificates with his key in the table from which the signer is served, and requests for officers to sign."""
    key = _key(hand)
    public, recovery = key.public_key().public_bytes_raw().hex(), _recovery(hand)
    database = await hand.database()
    genuine = {one["merchant"]: (one, signed) for one, signed in await _certificates(database)}
    mine, signatures = genuine[hand.text("merchant")]
    made = 0
    for changes in (
        {"key": public},  # the shop's next key
        {"key": public, "recovery_key": recovery},
        {"merchant": "mer_0000000000000000000000000a", "key": public, "recovery_key": recovery},  # the shop's addresses
    ):
        for place, forged in enumerate(
            forging.signature_sets(key, CERTIFICATE_TAG, forging.text_of(mine | changes), signatures)
        ):
            document = mine | changes | {"version": mine["version"] + 1 + place}
            await _put(database, document, forged)
            made += 1
    words = await _words(database, key, hand.text("merchant"))
    await database.close()
    return {"certificates": made, "words": words, "requests": _requests(mine, public, recovery)}


def _requests(mine: dict[str, Any], public: str, recovery: str) -> list[str]:
    """What he hands to officers as a new merchant's: his keys; his recovery key; another vault."""
    new = mine | {"merchant": "mer_0000000000000000000000000b", "version": 1}
    moved = [
        grant | {"ranges": [[begin + 10**8, end + 10**8] for begin, end in grant["ranges"]]}
        for grant in mine["networks"]
    ]
    elsewhere = [grant | {"vault": dict.fromkeys(grant["vault"], "0x" + "11" * 20)} for grant in moved]
    return [
        forging.text_of(new | {"networks": moved, "key": public, "recovery_key": recovery}),
        forging.text_of(new | {"networks": moved, "recovery_key": recovery}),
        forging.text_of(new | {"networks": elsewhere}),
    ]


async def _certificates(database: Any) -> list[tuple[dict[str, Any], list[dict[str, str]]]]:
    cursor = await database.execute("SELECT document, signatures FROM payments.certificates WHERE journal_seq > 0")
    return [(json.loads(bytes(document)), signatures) for document, signatures in await cursor.fetchall()]


async def _put(database: Any, document: dict[str, Any], signatures: list[dict[str, str]]) -> None:
    await database.execute("ALTER TABLE payments.certificates DROP CONSTRAINT IF EXISTS certificates_merchant_id_fkey")
    await database.execute("ALTER TABLE payments.certificates DROP CONSTRAINT IF EXISTS certificates_pkey")
    await database.execute(
        "INSERT INTO payments.certificates (merchant_id, version, document, signatures, expires_at) "
        "VALUES (%s, %s, %s, %s, now() + interval '90 days')",
        [document["merchant"], document["version"], forging.text_of(document).encode(), json.dumps(signatures)],
    )


async def _words(database: Any, key: Ed25519PrivateKey, merchant: str) -> int:
    """As the recovery key he decides for his own certificate, and vetoes the shop's own."""
    by = key.public_key().public_bytes_raw().hex()
    words = (
        ("veto", VETO_TAG, {"at": 1, "by": by, "merchant": merchant, "version": 1}),
        ("recovery", RECOVERY_TAG, {"at": 1, "by": by, "merchant": merchant, "version": 2}),
    )
    for kind, tag, word in words:
        text = forging.text_of(word)
        signed = {"officer": by, "signature": key.sign(tagged(tag, text.encode())).hex()}
        await forging.put_document(database, kind, text, [signed])
    return len(words)


async def order(hand: Hand) -> object:
    """In the shop's name and in that of the merchant who does not exist, validly signed with his key."""
    key, database = MerchantKey(_key(hand)), await hand.database()
    made = []
    for merchant in (hand.text("merchant"), "mer_0000000000000000000000000a"):
        await database.execute(
            "INSERT INTO payments.merchants SELECT (jsonb_populate_record(NULL::payments.merchants, "
            "to_jsonb(m) || jsonb_build_object('id', %s::text))).* FROM payments.merchants m LIMIT 1 "
            "ON CONFLICT DO NOTHING",
            [merchant],
        )
        number = await forging.number_above(database, hand.text("merchant"))
        for place, (asset, symbol) in enumerate(sorted(hand.facts["symbols"].items())):
            lines = {hand.facts["thief"][symbol]: ASKED[symbol]}
            signed = key.sign(forging.payout_of(merchant, asset, lines, number=number + place))
            made.append(await forging.put_payout(database, signed.document, signed.signature))
    await database.close()
    return made


def _key(hand: Hand) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(hand.draw.randbytes(32))


def _recovery(hand: Hand) -> str:
    """Public, of another key of his."""
    draw = hand.draw
    draw.randbytes(32)
    return Ed25519PrivateKey.from_private_bytes(draw.randbytes(32)).public_key().public_bytes_raw().hex()
