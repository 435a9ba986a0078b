"""A merchant who owns the platform writes himself a balance and orders it paid out. See docs/drills."""

from __future__ import annotations

import json
import secrets
from collections import Counter
from typing import TYPE_CHECKING, Any

from holdfast.client.keys import MerchantKey
from holdfast.drill import forging
from holdfast.drill.bounds import Bound
from holdfast.drill.hands import Hand
from holdfast.drill.places import TrustZone
from holdfast.runtime.secret_files import read_secret

if TYPE_CHECKING:
    from holdfast.drill.attacker import Attacker
    from holdfast.drill.world import World

NAME = "phantom-credit"
TITLE = "a merchant who owns the platform forges his own balance, and signs payouts of it"
OWNS = (TrustZone.PLATFORM, TrustZone.MERCHANT)
BOUND = Bound.NOTHING

HIS_OWN = {"rLTC": 50 * 10**8, "USDT": 2_900 * 10**6}
"""What he takes out of his real balance first: that is his right."""
PHANTOM = {"rLTC": (140 * 10**8, 60 * 10**8), "USDT": (2_900 * 10**6, 1_500 * 10**6)}
"""What he asks for beyond it: within every limit, so that only his entitlement stands in the way."""


async def play(world: World, attacker: Attacker) -> None:
    """Credit in every place where a platform can write credit; then genuine signatures under payouts of it."""
    facts = world.facts
    merchant, symbols = facts.merchants["mallory"].merchant, {facts.assets[one]: one for one in PHANTOM}
    own = {symbol: await world.address(symbol) for symbol in HIS_OWN}
    for symbol, units in HIS_OWN.items():
        world.flows.ordered[symbol][own[symbol]] = units
    shop = facts.merchants["shop"].merchant
    written = await attacker.run(credit, merchant=merchant, shop=shop, assets=sorted(symbols))
    world.note(f"phantom credit: {written['balances']} balances, {written['deposits']} deposits, "
               f"{written['hints']} hints, {written['journal']} journal entries")  # fmt: skip
    shown = {one.symbol: one.available for one in (await world.mallory.balances()).items}
    world.note(f"his balance as the platform shows it: {', '.join(f'{shown[one]} {one}' for one in PHANTOM)}")
    signed = await attacker.run(
        sign, zone=TrustZone.MERCHANT, merchant=merchant, symbols=symbols, own=own, thief=world.thief,
        passphrase=read_secret(world.places.officers / "passphrase"),
    )  # fmt: skip
    genuine = await attacker.run(order, signed=signed["own"])

    async def are_paid() -> bool:
        return [(await world.decisions(genuine)).get(one) for one in genuine] == ["accepted"] * len(genuine)

    await world.until(are_paid, "what is really his is accepted")
    phantom = await attacker.run(order, signed=signed["phantom"])

    async def are_decided() -> bool:
        return len(await world.decisions(phantom)) == len(phantom)

    await world.until(are_decided, "the signer has decided about every payout of phantom credit")
    said = Counter((await world.decisions(phantom)).values())
    world.note(f"what the signer said: {', '.join(f'{count} {rule}' for rule, count in said.items())}")
    world.require(set(said) == {"entitlement-short"}, "no payout of phantom credit is covered")


async def credit(hand: Hand) -> object:
    """A balance in the ledger, deposits that never were, hints at other people's, entries in the journal's copy."""
    database = await hand.database()
    merchant, done = hand.text("merchant"), Counter[str]()
    # A superuser needs no `ledger.post`: triggers and floors are his to switch off.
    await database.execute("ALTER TABLE ledger.transfers DISABLE TRIGGER append_only")
    for asset in hand.facts["assets"]:
        await database.execute(
            "UPDATE ledger.accounts SET credits_posted = credits_posted + 10 ^ 15 WHERE code = %s",
            [f"merchant {asset} {merchant}"],
        )
        await database.execute(
            "INSERT INTO ledger.transfers "
            "(key, step, debit, credit, units, debit_balance, credit_balance, about, kind) "
            "SELECT %s, 'posted', vault.id, his.id, 10 ^ 15, 0, 10 ^ 15, 'dep_0', 'deposit' "
            "FROM ledger.accounts vault, ledger.accounts his WHERE vault.code LIKE %s AND his.code = %s",
            [f"phantom {secrets.token_hex(8)}", f"vault {asset}%", f"merchant {asset} {merchant}"],
        )
        done["balances"] += 1
    done["deposits"] = await _deposits(database, merchant)
    done["hints"] = await _hints(database, merchant, hand.text("shop"))
    done["journal"] = await _journal(database, merchant)
    await database.close()
    return done


async def _deposits(database: Any, merchant: str) -> int:
    """His real deposits ten times over, and the other merchant's as his."""
    cursor = await database.execute("SELECT to_jsonb(d) FROM payments.deposits d")
    rows = [row for (row,) in await cursor.fetchall()]
    for number, row in enumerate(rows * 10):
        forged = {**row, "id": f"dep_{secrets.token_hex(13)}", "key": f"{row['key']}{number}", "merchant_id": merchant}
        await forging.put_row(database, "deposits", {name: forged[name] for name in forged if forged[name] is not None})
    return 10 * len(rows)


async def _hints(database: Any, merchant: str, shop: str) -> int:
    """His real deposits once more under other keys; the other merchant's indexes under his name; blocks at random."""
    cursor = await database.execute(
        "SELECT network, height, index, merchant_id FROM payments.signer_hints WHERE kind = 'deposit'"
    )
    made = 0
    for network, height, index, _ in await cursor.fetchall():
        for name in (merchant, shop):
            for nearby in range(max(1, height - 2), height + 3):
                facts = {"index": index, "merchant_id": name, "is_open": True}
                await forging.put_hint(database, "deposit", network, nearby, **facts)
                made += 1
    return made


async def _journal(database: Any, merchant: str) -> int:
    """Deposits of his in the copy of the signer's journal that the platform keeps."""
    cursor = await database.execute("SELECT seq, document FROM payments.journal WHERE kind = 'deposit' ORDER BY seq")
    rows = await cursor.fetchall()
    for seq, document in rows:
        entry = json.loads(document)
        entry["body"] |= {"merchant": merchant, "units": 10**15}
        text = json.dumps(entry, separators=(",", ":"), sort_keys=True)
        await database.execute("UPDATE payments.journal SET document = %s WHERE seq = %s", [text, seq])
    return len(rows)


async def sign(hand: Hand) -> object:
    """What is his, and what is not, with his own genuine key."""
    key = MerchantKey.open(hand.home / "merchant.keystore", hand.text("passphrase"))
    own, phantom = [], []
    for place, (asset, symbol) in enumerate(sorted(hand.facts["symbols"].items())):
        facts, number = (hand.text("merchant"), asset), 10**6 + 100 * place
        own.append(key.sign(forging.payout_of(*facts, {hand.facts["own"][symbol]: HIS_OWN[symbol]}, number=number)))
        for units in PHANTOM[symbol]:
            number += 1
            lines = {hand.facts["thief"][symbol]: units}
            phantom.append(key.sign(forging.payout_of(*facts, lines, number=number)))
    return {name: [[one.document, one.signature] for one in made] for name, made in
            (("own", own), ("phantom", phantom))}  # fmt: skip


async def order(hand: Hand) -> object:
    """Past the API, into the signer's queue; the intents' ids."""
    database = await hand.database()
    made = [await forging.put_payout(database, *one) for one in hand.facts["signed"]]
    await database.close()
    return made
