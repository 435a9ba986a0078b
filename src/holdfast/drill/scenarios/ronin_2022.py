"""Ronin, 23 March 2022: all keys of the quorum but one, and grants that everybody forgot. See docs/drills."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from holdfast.drill import forging, papers
from holdfast.drill.bounds import Bound
from holdfast.drill.hands import Hand
from holdfast.drill.places import TrustZone
from holdfast.runtime.secret_files import read_secret

if TYPE_CHECKING:
    from holdfast.core.orders import SignedOrder
    from holdfast.drill.attacker import Attacker
    from holdfast.drill.world import World

NAME = "ronin-2022"
TITLE = "all keys of the quorum but one, and forgotten grants: a certificate, an old policy, an order in a drawer"
OWNS = (TrustZone.OFFICERS, TrustZone.PLATFORM, TrustZone.MERCHANT)
BOUND = Bound.NOTHING

HELD = 2
"""The officer whose keys the attacker has: with a quorum of two, all but one."""
GRANT_SECONDS = 10
"""How long the forgotten certificate is good for: on a live network it would be years."""


async def play(world: World, attacker: Attacker) -> None:
    """Long ago: a certificate, a policy, an order. Then the attacker, with everything but one key."""
    from holdfast.drill import officers
    from holdfast.drill.scenarios.rogue_officer import facts, write

    grants = await _long_ago(world, attacker)
    officers.alone(world.places, HELD)
    told = await facts(world) | {"rogue": HELD}
    written = await attacker.run(write, **told)
    before = world.told.policy if world.told is not None else ""
    merchant = world.facts.merchants["mallory"].merchant
    ordered = await attacker.run(
        order, zone=TrustZone.MERCHANT, merchant=merchant, thief=world.thief, assets=world.facts.assets,
        passphrase=read_secret(world.places.officers / "passphrase"),
    )  # fmt: skip
    officers.freeze(world, "*", "keys of an officer are stolen")
    sent = await attacker.run(use, zone=TrustZone.PLATFORM, written=written, grants=grants, ordered=ordered,
                              own_officer=told["own_secret"])  # fmt: skip
    world.note(f"handed to the signer: {sent['papers']} papers of one officer, {sent['grants']} genuine old ones")

    async def are_decided() -> bool:
        return len(await world.decisions(sent["payouts"])) == len(sent["payouts"])

    await world.until(are_decided, "the signer has looked at every payout of the forgotten merchant", seconds=20)
    await world.settle()
    said = Counter((await world.decisions(sent["payouts"])).values())
    world.note(f"the forgotten merchant's payouts: {', '.join(f'{count} {rule}' for rule, count in said.items())}")
    world.require(not said["accepted"], "an expired certificate pays nothing")
    taken = await world.rows(
        "SELECT kind, document FROM payments.signer_documents WHERE journal_seq IS NOT NULL AND stored_by = 'key_0' "
        "AND NOT (document LIKE '%%\"restore\"%%')"
    )
    world.require(not taken, "no paper with too few signatures and no stale one is taken")
    world.require(world.told is not None and world.told.policy == before, "the policy is the newest one")
    world.require("*" in world.frozen(), "an order from before the freeze ends no freeze")


async def _long_ago(world: World, attacker: Attacker) -> dict[str, Any]:
    """What officers once signed and forgot, each genuine; returns once the grant is over."""
    from holdfast.core.orders import CHECKS, Restore, Stage
    from holdfast.drill import officers
    from holdfast.drill.world import now_ms
    from holdfast.vault import documents, orders

    old = documents.read(world.places.officers / "policy.json")
    restore = Restore(("*",), Stage.ALLOWLISTED, now_ms() // 1_000, now_ms(), CHECKS)
    drawer = officers.signed(world.places, orders.unsigned(restore).document)
    merchant = world.facts.merchants["mallory"].merchant
    ends = now_ms() // 1_000 + GRANT_SECONDS
    certificate = await attacker.run(last_certificate, zone=TrustZone.PLATFORM, merchant=merchant, ends=ends)
    signed = officers.certified(world.places, certificate)
    await attacker.run(enrol, zone=TrustZone.PLATFORM, merchant=merchant, **_wire(signed))
    await officers.tighten(world, {("rLTC", "payout_max"): '"90"'})

    async def is_over() -> bool:
        ((count,),) = await world.rows(
            "SELECT count(*) FROM payments.certificates WHERE merchant_id = %s AND version = 2 AND journal_seq > 0",
            merchant,
        )
        return bool(count) and now_ms() // 1_000 > ends

    await world.until(is_over, "the forgotten certificate was taken, and is over", seconds=GRANT_SECONDS + 15)
    return {"policy": _wire(old), "order": _wire(drawer)}


def _wire(paper: SignedOrder) -> dict[str, Any]:
    signatures = [{"officer": one.officer, "signature": one.signature} for one in paper.signatures]
    return {"document": paper.document, "signatures": signatures}


async def last_certificate(hand: Hand) -> object:
    """The merchant's certificate once more, for a short time: what officers were asked to sign last year."""
    from datetime import UTC, datetime

    database = await hand.database()
    cursor = await database.execute(
        "SELECT document FROM payments.certificates WHERE merchant_id = %s", [hand.text("merchant")]
    )
    (document,) = await cursor.fetchone()
    await database.close()
    ends = datetime.fromtimestamp(int(hand.text("ends")), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    read = json.loads(bytes(document)) | {"version": 2, "expires_at": ends}
    return json.dumps(read, separators=(",", ":"), sort_keys=True)


async def enrol(hand: Hand) -> object:
    """Kept by the platform, as any certificate that the officers signed."""
    database = await hand.database()
    await database.execute(
        "INSERT INTO payments.certificates (merchant_id, version, document, signatures, expires_at) "
        "VALUES (%s, 2, %s, %s, now() + interval '1 minute')",
        [hand.text("merchant"), hand.text("document").encode(), json.dumps(hand.facts["signatures"])],
    )
    await database.close()
    return 1


async def order(hand: Hand) -> object:
    """Genuine payouts of everything that the forgotten merchant has."""
    from holdfast.client.keys import MerchantKey

    key = MerchantKey.open(hand.home / "merchant.keystore", hand.text("passphrase"))
    made, number = [], 2 * 10**13
    for symbol, units in (("rLTC", 50 * 10**8), ("ETH", 2 * 10**18), ("USDT", 2_500 * 10**6)):
        number += 1
        to = {hand.facts["thief"][symbol]: units}
        one = key.sign(forging.payout_of(hand.text("merchant"), hand.facts["assets"][symbol], to, number=number))
        made.append((one.document, one.signature))
    return made


async def use(hand: Hand) -> object:
    """Everything to the signer: one officer's papers, the genuine old ones, the forgotten merchant's payouts."""
    database, written = await hand.database(), hand.facts["written"]
    payouts = [await forging.put_payout(database, document, signature) for document, signature in hand.facts["ordered"]]
    for kind, document, signatures in written["papers"]:
        await forging.put_document(database, kind, document, signatures)
    signing = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(written["signing"]))
    own = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(hand.text("own_officer")))
    await papers.put_certificates(database, [signing], written["others"], own)
    grants = hand.facts["grants"]
    for kind, paper in grants.items():
        await database.execute(
            "DELETE FROM payments.signer_documents WHERE kind = %s AND document = %s", [kind, paper["document"]]
        )
        await forging.put_document(database, kind, paper["document"], paper["signatures"])
    await database.close()
    return {"papers": len(written["papers"]), "grants": len(grants), "payouts": payouts}
