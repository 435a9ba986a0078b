"""BigONE, 16 July 2025: the platform's own logic of accounts, risk and limits is rewritten. See docs/drills."""

from __future__ import annotations

import re
import secrets
from collections import Counter
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from holdfast.core.errors import HoldfastError
from holdfast.core.intents import APPROVAL_TAG, document_of
from holdfast.core.orders import ORDER_TAG
from holdfast.drill import forging
from holdfast.drill.bounds import Bound
from holdfast.drill.hands import Hand
from holdfast.drill.places import TrustZone
from holdfast.policy.document import POLICY_TAG

if TYPE_CHECKING:
    from holdfast.drill.attacker import Attacker
    from holdfast.drill.world import World

NAME = "bigone-2025"
TITLE = "the platform's own risk logic, limits and documents are rewritten"
OWNS = (TrustZone.PLATFORM,)
BOUND = Bound.NOTHING

ASKED = {"rLTC": (140 * 10**8, 190 * 10**8, 900 * 10**8), "ETH": (2 * 10**18, 4 * 10**18, 19 * 10**18),
         "USDT": (2_500 * 10**6, 4_000 * 10**6, 19_000 * 10**6)}  # fmt: skip
"""Within limits, above what needs an officer's approval, and the whole float."""
HONEST = {"rLTC": "2", "ETH": "0.2", "USDT": "40"}
_REDIRECT = """
CREATE FUNCTION payments.risk_check() RETURNS trigger LANGUAGE plpgsql AS $body$ BEGIN
    NEW.document := regexp_replace(NEW.document, '"destination":"[^"]*"', '"destination":"' ||
        CASE WHEN NEW.asset LIKE 'bip122%%' THEN '{bitcoin}' ELSE '{evm}' END || '"', 'g');
    NEW.key := encode(sha256(NEW.document::bytea), 'hex'); NEW.intent_id := NEW.key; RETURN NEW;
END $body$;
CREATE TRIGGER risk_check BEFORE INSERT ON payments.payouts FOR EACH ROW EXECUTE FUNCTION payments.risk_check()
"""


async def play(world: World, attacker: Attacker) -> None:
    """Rewrite every rule that the platform has or carries, order, and redirect what honest merchants order."""
    facts = world.facts
    symbols = {facts.assets[one]: one for one in ASKED}
    asked = await attacker.run(
        rewrite, thief=world.thief, symbols=symbols, merchant=facts.merchants["shop"].merchant,
        tower_port=facts.port + 6,
    )  # fmt: skip
    world.note(f"{asked['documents']} rewritten policies and orders with forged signatures lay before the signer")
    world.note(f"the watchtower took {asked['words']} of the forged words that were sent to it")
    world.require(asked["words"] == 0, "the watchtower takes no forged word")
    for symbol, amount in HONEST.items():
        try:
            await world.order(world.shop, symbol, amount)
        except HoldfastError as error:  # the SDK sees that it is shown another payout than the one that it signed
            world.event("shop", f"{amount} {symbol}: {error}")
    keys = [str(key) for (key,) in await world.rows("SELECT key FROM payments.payouts WHERE state <> 'confirmed'")]
    world.require(len(keys) >= len(asked["payouts"]) + len(HONEST), "honest payouts were redirected on their way")

    async def are_decided() -> bool:
        return len(await world.decisions(keys)) == len(keys)

    await world.until(are_decided, "the signer has decided about every payout")
    said = Counter((await world.decisions(keys)).values())
    world.note(f"what the signer said: {', '.join(f'{count} {rule}' for rule, count in said.items())}")
    world.require(not said["accepted"], "the signer accepted nothing")
    taken = await world.rows("SELECT kind FROM payments.signer_documents WHERE stored_by = 'key_0' AND journal_seq > 0")
    world.require(not taken, "the signer took no rewritten document")


async def rewrite(hand: Hand) -> object:
    """Rules, documents, approvals, payouts."""
    database = await hand.database()
    key = Ed25519PrivateKey.from_private_bytes(hand.draw.randbytes(32))
    documents = await _documents(database, key, hand)
    made = await _payouts(database, key, hand)
    thief = hand.facts["thief"]
    await database.execute(_REDIRECT.format(bitcoin=thief["rLTC"], evm=thief["ETH"]).replace("%%", "%"))
    words = 0
    for word in _words(key):
        words += '"refused"' not in (said := forging.told(int(hand.text("tower_port")), word)) and '"code"' not in said
    await database.close()
    return {"documents": documents, "payouts": made, "words": words}


async def _documents(database: Any, key: Ed25519PrivateKey, hand: Hand) -> int:
    """A policy without limits, the float under his key, a vault of his, restores: signed in every way that he can."""
    [policy, *_] = await forging.journaled(database, "policy")
    [genesis, *_] = await forging.journaled(database, "ordered")
    made = 0
    for version in (1, 2, 9):
        text = _limitless(str(policy["document"]), version)
        for signatures in forging.signature_sets(key, POLICY_TAG, text, policy["signatures"]):
            await forging.put_document(database, "policy", text, signatures)
            made += 1
    for order in _orders(hand):
        text = forging.text_of(order)
        for signatures in forging.signature_sets(key, ORDER_TAG, text, genesis["order"]["signatures"]):
            await forging.put_document(database, "order", text, signatures)
            made += 1
    return made


def _limitless(text: str, version: int) -> str:
    text = re.sub(r'"(\d+(\.\d+)?)"', lambda found: f'"9{found[1].partition(".")[0]:0>6}"', text)
    text = re.sub(r"^approvals = .*$", "", text, flags=re.MULTILINE)
    return re.sub(r"^version = \d+", f"version = {version}", text, flags=re.MULTILINE)


def _orders(hand: Hand) -> list[dict[str, object]]:
    thief, found = hand.facts["thief"], []
    for asset, symbol in sorted(hand.facts["symbols"].items()):
        to, network = thief[symbol], asset.partition("/")[0]
        place = {"address": to, "network": network, "public_key": "02" + "11" * 32, "vault": to}
        found += [{"kind": "rotate-float", "float": place, "number": 700},
                  {"kind": "migration", "address": to, "network": network, "not_before": 0, "number": 701}]  # fmt: skip
        intent = document_of(forging.payout_of(hand.text("merchant"), asset, {to: ASKED[symbol][0]}, number=9**9))
        found.append({"kind": "direct-payout", "intent": intent.decode(), "number": 702, "signature": "00" * 64})
    checks = ["credentials-rotated", "dependencies-clean", "float-rotated", "journal-verified", "reconciled"]
    found.append({"kind": "restore", "at": 1, "checked": checks, "number": 703, "scopes": ["*"], "stage": "normal"})
    found.append({"kind": "re-anchor", "head": "00" * 32, "lease_key": "11" * 32, "number": 704, "seq": 1})
    return found


async def _payouts(database: Any, key: Ed25519PrivateKey, hand: Hand) -> list[str]:
    """As the rewritten logic lets them pass: approved by officers who do not know of it, and signed by nobody."""
    made: list[str] = []
    cursor = await database.execute("SELECT asset, signature FROM payments.payouts WHERE state = 'confirmed'")
    genuine: dict[str, str] = dict(await cursor.fetchall())
    [genesis, *_] = await forging.journaled(database, "ordered")
    number = await forging.number_above(database, hand.text("merchant"))
    for asset, symbol in sorted(hand.facts["symbols"].items()):
        for units in ASKED[symbol]:
            to, number = {hand.facts["thief"][symbol]: units}, number + 1
            text = document_of(forging.payout_of(hand.text("merchant"), asset, to, number=number)).decode()
            approvals = forging.signature_sets(key, APPROVAL_TAG, text, genesis["order"]["signatures"])[1]
            made.append(await forging.put_payout(database, text, genuine[asset], approvals=approvals))
    return made


def _words(key: Ed25519PrivateKey) -> list[dict[str, object]]:
    """What the watchtower might believe: a restore, a freeze by him, a journal of his own."""
    own = key.public_key().public_bytes_raw().hex()
    freeze = {"kind": "freeze", "scopes": ["*"], "by": own, "at": 1, "why": secrets.token_hex(4)}
    ask = {"nonce": "0" * 64, "after": 0, "seq": 1, "head": "0" * 64}
    signed = key.sign(b"holdfast lease request 1\0" + forging.text_of(ask).encode()).hex()
    return [
        {"freeze": {"document": forging.text_of(freeze), "signature": "00" * 64}},
        {"present": {"document": forging.text_of({"at": 1, "by": own}), "signature": "00" * 64}},
        {"ask": ask, "entries": [], "signature": signed},
        {"fetch": ask, "signature": signed},
    ]
