"""Atomic Wallet, 2 June 2023: own keys are stolen. Here a merchant's, from his own machine. See docs/drills."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import httpx

from holdfast.client.keys import MerchantKey
from holdfast.core.intents import StandingOrder
from holdfast.drill import forging
from holdfast.drill.bounds import Bound
from holdfast.drill.hands import Hand
from holdfast.drill.places import TrustZone
from holdfast.runtime.secret_files import read_secret

if TYPE_CHECKING:
    from holdfast.core.intents import Intent
    from holdfast.drill.attacker import Attacker
    from holdfast.drill.world import World

NAME = "atomic-2023"
TITLE = "a merchant's own key is stolen, with everything on his machine"
OWNS = (TrustZone.MERCHANT,)
BOUND = Bound.MERCHANT_LIMIT
FALLS_ON = "merchant"

ROUNDS = {"rLTC": (40 * 10**8, 15 * 10**8, 40 * 10**8), "ETH": (2 * 10**18,) * 3 + (10**18,) * 3,
          "USDT": (2_900 * 10**6, 10**9, 10**9)}  # fmt: skip
"""What he orders, one after the other: more than the merchant has, or more than his limit."""


async def play(world: World, attacker: Attacker) -> None:
    """Everything out that the key orders; then the other merchant's, which it does not."""
    facts = world.facts
    said = await attacker.run(
        empty, thief=world.thief, symbols={facts.assets[one]: one for one in ROUNDS}, port=facts.port,
        merchant=facts.merchants["mallory"].merchant, other=facts.merchants["shop"].merchant,
        passphrase=read_secret(world.places.officers / "passphrase"), float=facts.plan.litecoin_float,
    )  # fmt: skip
    world.note(f"the API's answers to {sum(said['answers'].values())} requests with his keys: {_told(said['answers'])}")
    world.require(said["foreign"] == 0, "the other merchant's money, invoices and payouts stay out of reach")

    async def are_decided() -> bool:
        return len(await world.decisions(said["orders"])) == len(said["orders"])

    await world.until(are_decided, "the signer has decided about every order", seconds=90)
    await world.settle()
    rules = await world.decisions(said["orders"])
    world.note(f"what the signer said: {_told(Counter(rules.values()))}")

    async def has_arrived() -> bool:
        return all([await world.outside.balance(symbol, [to]) for symbol, to in world.thief.items()])

    await world.until(has_arrived, "he gets what the merchant's own key orders: the honest limit is played")
    honest = await world.order(world.shop, "rLTC", "1")

    async def is_paid() -> bool:
        return (await world.shop.payouts.get(honest.id)).state == "confirmed"

    await world.until(is_paid, "the other merchant's payouts go on meanwhile")


def _told(counted: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counted.items()))


async def empty(hand: Hand) -> object:
    """With the keystore and API key of the machine that he owns, from anywhere."""
    key = MerchantKey.open(hand.home / "merchant.keystore", hand.text("passphrase"))
    head = {"Authorization": f"Bearer {read_secret(hand.home / 'api.key')}"}
    answers: Counter[str] = Counter()
    orders, foreign = [], 0
    url = f"http://127.0.0.1:{hand.text('port')}"
    async with httpx.AsyncClient(base_url=url, headers=head, trust_env=False, timeout=30) as http:
        for intent in _intents(hand):
            is_standing = isinstance(intent, StandingOrder)
            signed = key.sign(intent)
            wanted = {"document": signed.document, "signature": signed.signature}
            answer = await http.post("/v1/standing-orders" if is_standing else "/v1/payouts", json=wanted)
            answers[_named(answer)] += 1
            if answer.is_success and not is_standing:
                orders.append(signed.id)
            foreign += answer.is_success and intent.merchant != hand.text("merchant")
        for path in ("/v1/merchants", "/v1/api-keys", "/v1/signer-documents/orders", "/v1/reconciliations"):
            answers[_named(await http.get(path, headers={"Holdfast-Merchant": hand.text("other")}))] += 1
        for path in ("/v1/balances", "/v1/payouts", "/v1/invoices"):
            answer = await http.get(path, headers={"Holdfast-Merchant": hand.text("other")})
            answers[_named(answer)] += 1
            foreign += answer.is_success and hand.text("other") in answer.text
    return {"answers": answers, "orders": orders, "foreign": foreign}


def _intents(hand: Hand) -> list[Intent]:
    """Payouts of all that there is, standing orders, and payouts in the other merchant's name."""
    made: list[Intent] = []
    thief, number = hand.facts["thief"], 5 * 10**9
    for asset, symbol in sorted(hand.facts["symbols"].items()):
        to = thief[symbol]
        for units in ROUNDS[symbol]:
            number += 1
            made.append(forging.payout_of(hand.text("merchant"), asset, {to: units}, number=number))
        made.append(forging.payout_of(hand.text("other"), asset, {to: 10**6}, number=number + 1))
        made.append(_standing(made[0], asset, to, ROUNDS[symbol][0], number + 2))
        number += 10
    return made


def _standing(like: Any, asset: str, to: str, units: int, number: int) -> StandingOrder:
    """As often as a standing order may pay."""
    return StandingOrder(
        merchant=like.merchant, network=asset.partition("/")[0], asset=asset, destination=to, units=units,
        fee_units=0, every_seconds=60, number=number, not_before=like.not_before, expires_at=like.expires_at,
        reference=f"order {number}",
    )  # fmt: skip


def _named(answer: httpx.Response) -> str:
    """Its status, or the code of what was refused."""
    is_problem = answer.headers.get("content-type", "").startswith("application/problem+json")
    return str(answer.json().get("code")) if is_problem else str(answer.status_code)
