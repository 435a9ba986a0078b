"""Thousands of tiny deposits and of junk requests: nothing is stolen, and everything shall go on. See docs/drills."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from typing import TYPE_CHECKING

import httpx

from holdfast.chains.local_process import LocalRpc
from holdfast.chains.rpc import Credentials
from holdfast.drill import forging
from holdfast.drill.bounds import Bound
from holdfast.drill.hands import Hand
from holdfast.drill.places import TrustZone
from holdfast.runtime.secret_files import read_secret

if TYPE_CHECKING:
    from holdfast.drill.attacker import Attacker
    from holdfast.drill.world import World

NAME = "dust-and-spam"
TITLE = "thousands of tiny deposits and of junk requests"
OWNS = (TrustZone.MERCHANT,)
BOUND = Bound.NOTHING

ADDRESSES = 100
SENDS = 20
"""Transactions that pay dust to every one of the addresses."""
DUST_COINS = "0.00005"
EVM_SENDS = 60
REQUESTS, LINES = 2_000, 40
AT_ONCE = 16
SECONDS = 12
"""The flood ends then, however many of its requests were answered."""


async def play(world: World, attacker: Attacker) -> None:
    """Dust from outside while his own machine floods every door that a merchant, or anybody, can reach."""
    given = await attacker.run(collect, port=world.facts.port, network=_network(world, "rLTC"))
    world.note(f"he took {len(given)} deposit addresses with his own API key")
    flood = asyncio.create_task(attacker.run(spam, port=world.facts.port, tower_port=world.facts.port + 6))
    deposits = await _dust(world, given)
    answers = await flood
    world.note(f"{deposits} deposits of dust; {sum(answers.values())} junk requests were answered: "
               f"{', '.join(f'{count} with {name}' for name, count in sorted(answers.items()))}")  # fmt: skip
    world.require("500" not in answers, "no request brings the API to an error of its own")
    await world.settle()
    honest = [await world.order(world.shop, symbol, amount) for symbol, amount in (("rLTC", "1"), ("USDT", "20"))]

    async def are_paid() -> bool:
        states = [(await world.shop.payouts.get(one.id)).state for one in honest]
        return all(state == "confirmed" for state in states)

    await world.until(are_paid, "payouts go on", seconds=90)
    world.require(not world.frozen(), "dust freezes nothing")
    house = await world.rows("SELECT purpose, count(*) FROM payments.transactions WHERE purpose <> 'payout' GROUP BY 1")
    told = ", ".join(f"{count} {purpose}" for purpose, count in house) or "none"
    world.note(f"house transactions so far: {told}")


def _network(world: World, symbol: str) -> str:
    return world.facts.assets[symbol].partition("/")[0]


async def _dust(world: World, given: list[str]) -> int:
    """On both chains, to addresses that are the vault's; how many deposits."""
    outside = world.outside
    world.purses.vault["rLTC"].update(given)
    rpc = LocalRpc(outside.litecoin.rpc_url, "drill", Credentials(cookie_file=outside.litecoin.cookie_file))
    before = await outside.balance("rLTC", given)
    for _ in range(SENDS):
        await rpc.call(str, "sendmany", "", {address: float(DUST_COINS) for address in given})
    for place in range(EVM_SENDS):
        symbol = ("ETH", "USDT")[place % 2]
        await world.pay(symbol, world.facts.deposits[symbol]["mallory"], 1)
    await world.settle(2)
    world.flows.deposited["rLTC"] += await outside.balance("rLTC", given) - before
    return SENDS * len(given) + EVM_SENDS


async def collect(hand: Hand) -> object:
    """As many standing addresses as he likes, for customers who are not there."""
    head = {"Authorization": f"Bearer {read_secret(hand.home / 'api.key')}"}
    url, found = f"http://127.0.0.1:{hand.text('port')}", []
    async with httpx.AsyncClient(base_url=url, headers=head, trust_env=False, timeout=30) as http:
        for place in range(ADDRESSES):
            wanted = {"network": hand.text("network"), "customer": f"nobody-{place}"}
            answer = await http.post("/v1/addresses", json=wanted, headers={"Idempotency-Key": f"dust-{place}"})
            found += [answer.json()["address"]] if answer.is_success else []
    return found


async def spam(hand: Hand) -> object:
    """Junk in every shape, with and without a key, as fast as it goes; and lines to the watchtower's port."""
    answers: Counter[str] = Counter()
    draw, gate, end = hand.draw, asyncio.Semaphore(AT_ONCE), time.monotonic() + SECONDS
    key = read_secret(hand.home / "api.key")
    url = f"http://127.0.0.1:{hand.text('port')}"
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as http:

        async def one(number: int) -> None:
            path = draw.choice(("/v1/payouts", "/v1/invoices", "/v1/payouts/batch", "/v1/status", "/i/inv_0",
                                "/signer/v1/work", "/v1/standing-orders", "/v1/addresses"))  # fmt: skip
            body = draw.choice(("{", "[" * 2_000, json.dumps({"document": "x" * 20_000, "signature": "00" * 64}), ""))
            head = {"Authorization": f"Bearer {key if number % 2 else draw.randbytes(16).hex()}"}
            method = draw.choice(("GET", "POST"))
            async with gate:
                if time.monotonic() > end:
                    return
                try:
                    answer = await http.request(method, path, content=body, headers=head)
                    answers[str(answer.status_code)] += 1
                except httpx.HTTPError as error:
                    answers[type(error).__name__] += 1

        await asyncio.gather(*(one(number) for number in range(REQUESTS)))
    for _ in range(LINES):
        line: dict[str, object] = {"ask": draw.choice((None, "x" * 9_000, {"nonce": 1}))}
        await asyncio.to_thread(forging.told, int(hand.text("tower_port")), line)
    return answers
