"""kill -9 of any zone between any two steps, under a load of payouts on both families.

No payout is lost, none is paid twice, no limit is ever exceeded. `make torture` does the same a thousand times from a
fresh seed. Every failure prints the seed and one command that repeats it.
"""

import asyncio
import json
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from fixtures_chain_facts import (
    differing,
    evm_balances,
    evm_nonce,
    journal_in,
    litecoin_balances,
    over_limit,
    spends_of,
)
from fixtures_cli import holdfast
from fixtures_gates import POINTS
from fixtures_money_out import EVM, LTC, Aim, Shop, Town, last_words, merchant_key, town
from holdfast.chains.evm_contracts import float_of, plan_vault
from holdfast.client import AsyncHoldfast, Pin
from holdfast.core.intents import Payout, read_intent
from holdfast.core.journal import Accepted, Entry, Funding, Mined, Refused, Reserved, Signed, Stopped
from holdfast.faces.cli.serve import ZoneName
from holdfast.ledger import audit
from holdfast.policy.record import GAS_PURPOSES
from holdfast.runtime.config import read_secret
from holdfast.runtime.database import connected
from holdfast.runtime.embedded_database import EmbeddedDatabase

pytestmark = [pytest.mark.node, pytest.mark.slow, pytest.mark.xdist_group("money-out")]

KILLS = int(os.environ.get("HOLDFAST_KILLS", "50"))
SEED = int(os.environ.get("HOLDFAST_SEED", "20230722"))
VICTIMS = (*(ZoneName.SIGNER,) * 5, *(ZoneName.WATCHTOWER,) * 2, *(ZoneName.API,) * 2, *(ZoneName.BROADCASTER,) * 2,
           ZoneName.DATABASE, ZoneName.DATABASE, ZoneName.FOLLOWER, ZoneName.COURIER)  # fmt: skip
OUTSTANDING_MAX = 24
"""Payouts that each family's caller leaves open: enough that every step is busy."""
COIN, ETHER = 10**8, 10**18
DEPOSITED = {LTC.id: 100 * COIN, EVM.id: 60 * ETHER}
PAYOUTS_MIN = 60
"""Enough to reach every limit, however few the kills."""
# Burst and per day, in whole coins: what the load orders is more, so that it waits for the limits all the time.
BUCKETS = {"rLTC": ("0.04", "864"), "ETH": ("0.002", "43.2")}
WAIT_SECONDS = 90
"""For the last payouts, once nobody dies any more."""
SLACK_MS = 2_000
"""Limits refill by whole seconds."""


@dataclass
class Load:
    """What is asked of the platform while it dies."""

    shop: Shop
    town: Town
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    open: dict[str, set[str]] = field(default_factory=lambda: {LTC.id: set(), EVM.id: set()})
    done: set[str] = field(default_factory=set)
    rules: Counter[str] = field(default_factory=Counter)
    """What payouts were seen waiting for."""

    async def order(self, network: str) -> None:
        """Payouts of one to three lines, as many at a time as may be open."""
        asset, unit = (LTC.coin.id, COIN // 10_000) if network == LTC.id else (EVM.coin.id, ETHER // 200_000)
        while not self.stopping.is_set():
            if len(self.open[network]) >= OUTSTANDING_MAX:
                await asyncio.sleep(0.05)
                continue
            units = [unit * self.shop.draw.randint(5, 20) for _ in range(self.shop.draw.randint(1, 3))]
            self.open[network].add(await self.shop.order(asset, units))

    async def look(self) -> None:
        """Which of them are done."""
        while not self.stopping.is_set():
            for network in self.open:
                for name in list(self.open[network]):
                    await self.ask(network, name)
            await asyncio.sleep(0.3)

    async def ask(self, network: str, name: str) -> None:
        body = await self.shop.get(f"/v1/payouts/{name}")
        if body is None:
            return
        if body["state"] == "confirmed":
            self.open[network].discard(name)
            self.done.add(name)
        assert body["state"] not in ("refused", "abandoned", "failed"), body
        waiting = body["waiting"]
        if isinstance(waiting, dict):
            self.rules[str(waiting["rule"])] += 1

    async def mine(self) -> None:
        """Blocks, steadily, to the very end."""
        while True:
            await asyncio.gather(self.town.litecoin.mine(), self.town.evm.mine())
            await asyncio.sleep(0.5)


async def kill_at_named_moments(town: Town) -> None:
    """Kill as often as wanted: at the crash points in turn, those that were hit least first, and at any moment."""
    hits: Counter[str] = Counter()
    for number in range(KILLS):
        victim = town.draw.choice(VICTIMS)
        victims = (victim,) if town.draw.random() < 0.8 else (victim, town.draw.choice(VICTIMS))
        point = min(POINTS, key=lambda one: (hits[one], town.draw.random()))
        hits[point] += 1
        if number % 5 == 4:
            await asyncio.sleep(town.draw.uniform(0, 0.8))
            for one in victims:
                town.shoot(one, "any-moment")
        else:
            town.aim = aim = Aim(point, victims)
            try:
                await asyncio.wait_for(aim.done.wait(), 10)
            except TimeoutError:
                town.aim = None
                for one in victims:
                    town.shoot(one, f"instead-of-{point}")
        await asyncio.sleep(town.draw.uniform(0.05, 0.5))


async def enrolled(town: Town) -> Shop:
    """A merchant, once the API answers."""
    for _ in range(200):
        done = await asyncio.to_thread(
            holdfast, "merchant", "enrol", "shop", "--config", town.directory / "holdfast.toml", "--json"
        )
        if done.code == 0:
            break
        await asyncio.sleep(0.5)
    facts = json.loads(done.out)
    api_key = read_secret(Path(facts["api_key_file"]))
    key = merchant_key(town.directory, "shop")
    shop = Shop(facts["merchant"], key, api_key, f"http://127.0.0.1:{town.shop_port}", town.draw)
    pin = Pin(root_fingerprint=facts["root_fingerprint"], key=key.public_key().public_bytes_raw())
    async with AsyncHoldfast(f"http://127.0.0.1:{town.port}", api_key, pin) as client:
        await town.litecoin.mine(10)
        await town.litecoin.send((await client.deposit_address(LTC.id)).address, DEPOSITED[LTC.id])
        await town.evm.send((await client.deposit_address(EVM.id)).address, DEPOSITED[EVM.id])
        async with asyncio.timeout(60):
            while len([one for one in (await client.balances()).items if int(one.available_units)]) < 2:
                await asyncio.gather(town.litecoin.mine(), town.evm.mine())
                await asyncio.sleep(0.3)
    return shop


async def test_kill_9_between_any_two_steps_loses_no_payout_pays_none_twice_and_exceeds_no_limit(
    tmp_path: Path,
) -> None:
    say(f"seed {SEED}, {KILLS} kills")
    directory = tmp_path / "town"
    try:
        await torture(directory)
    except BaseException:
        say(*last_words(directory), f"repeat with: HOLDFAST_SEED={SEED} HOLDFAST_KILLS={KILLS} pytest {__file__}")
        raise


def say(*lines: object) -> None:
    """For who reads a failure, or runs `make torture`."""
    print(*lines, sep="\n")  # noqa: T201  pytest keeps it until the test fails


async def torture(directory: Path) -> None:
    async with town(directory, Random(SEED), BUCKETS) as made:  # noqa: S311  the same kills on every run
        shop = await enrolled(made)
        load = Load(shop, made)
        mining = asyncio.create_task(load.mine())
        try:
            async with asyncio.TaskGroup() as tasks:
                for network in load.open:
                    tasks.create_task(load.order(network))
                tasks.create_task(load.look())
                await kill_at_named_moments(made)
                async with asyncio.timeout(WAIT_SECONDS):
                    while len(load.done) < PAYOUTS_MIN:  # noqa: ASYNC110  `look` fills it
                        await asyncio.sleep(0.2)
                load.stopping.set()
            say(dict(made.killed))
            await everything_arrived(load)
            await books_agree(made, shop)
            await shop.http.aclose()
        finally:
            mining.cancel()
        paid = await on_chain(made, shop)
    witnessed = journal_in(directory / "watchtower" / "tower.sqlite")
    journal = journal_in(directory / "signer" / "journal.sqlite")
    assert [one.stored for one in journal[: len(witnessed)]] == [one.stored for one in witnessed]
    assert not [one for one in journal[len(witnessed) :] if isinstance(one.body, Signed)], "signed and not witnessed"
    said_once(journal, shop)
    nothing_else_left(journal, paid)
    no_limit_was_exceeded(journal)
    assert any(rule.startswith("limit-") for rule in load.rules), load.rules


async def everything_arrived(load: Load) -> None:
    """Every payout that was acknowledged ends confirmed."""
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            while any(load.open.values()):
                for network in load.open:
                    for name in list(load.open[network]):
                        await load.ask(network, name)
                await asyncio.sleep(0.3)
    except TimeoutError:
        left = [await load.shop.get(f"/v1/payouts/{name}") for names in load.open.values() for name in list(names)[:2]]
        raise AssertionError(f"payouts were lost: {left}") from None
    assert load.done == set(load.shop.ordered)


async def books_agree(made: Town, shop: Shop) -> None:
    """The ledger is whole, and the merchant has what he did not order out."""
    ordered: Counter[str] = Counter()
    for payout in shop.ordered.values():
        ordered[payout.asset] += payout.lines_units + payout.fee_units
    body = None
    while body is None:
        body = await shop.get("/v1/balances")
    items = body["items"]
    assert isinstance(items, list)
    left = {one["asset"]: int(one["available_units"]) for one in items if int(one["available_units"])}
    deposited = {LTC.coin.id: DEPOSITED[LTC.id], EVM.coin.id: DEPOSITED[EVM.id]}
    assert left == {asset: units - ordered[asset] for asset, units in deposited.items()}
    async with connected(EmbeddedDatabase(made.directory / "data" / "database").url) as connection:
        assert (await audit(connection)).faults == ()


@dataclass
class Paid:
    """What the chains hold at the end."""

    float_units: dict[str, int]
    spends: list[str]
    """Litecoin transactions in blocks that spent from the float."""
    nonce: int
    """Transactions of the float's owner in blocks, on EVM."""


async def on_chain(made: Town, shop: Shop) -> Paid:
    """Every destination got what was ordered, to the unit. Each is somebody's fresh address: twice would show here."""
    wanted: dict[str, Counter[str]] = {LTC.id: Counter(), EVM.id: Counter()}
    for payout in shop.ordered.values():
        for line in payout.lines:
            wanted[payout.network][line.destination] += line.units
    vault = plan_vault(made.plan.owners, made.plan.threshold).vault
    contract = float_of(made.plan.float_owner, vault)
    assert differing(wanted[LTC.id], await litecoin_balances(made.litecoin, wanted[LTC.id])) == {}
    assert differing(wanted[EVM.id], await evm_balances(made.evm, wanted[EVM.id])) == {}
    here = await litecoin_balances(made.litecoin, [made.plan.litecoin_float])
    return Paid(
        {LTC.id: here[made.plan.litecoin_float], EVM.id: (await evm_balances(made.evm, [contract]))[contract]},
        await spends_of(made.litecoin, made.plan.litecoin_float),
        await evm_nonce(made.evm, made.plan.float_owner),
    )


def said_once(journal: list[Entry], shop: Shop) -> None:
    """The journal took on every payout exactly once, refused none and stopped nothing."""
    assert Counter(one.body.payout for one in journal if isinstance(one.body, Accepted)) == Counter(shop.ordered.keys())
    assert [one.body for one in journal if isinstance(one.body, Refused | Stopped)] == []


def nothing_else_left(journal: list[Entry], paid: Paid) -> None:
    """What left the floats is what was paid and its fees; each spend in a block is one that was journaled, once."""
    signed = {one.body.transaction for one in journal if isinstance(one.body, Signed)}
    mined = [one.body for one in journal if isinstance(one.body, Mined)]
    purposes = {one.seq: one.body.purpose for one in journal if isinstance(one.body, Reserved)}
    of_float = [one.transaction for one in mined if purposes[one.reservation] not in GAS_PURPOSES]
    assert Counter(paid.spends) == Counter(one for one in of_float if not one.startswith("0x"))
    assert {one.transaction for one in mined} <= signed
    assert paid.nonce == len([one for one in of_float if one.startswith("0x")])
    flows: Counter[str] = Counter()
    for entry in journal:
        match entry.body:
            case Funding(network=network, asset=asset, units=units) if asset.endswith("/slip44:1"):
                flows[network] += units
            case Accepted(intent=intent):
                payout = read_intent(intent.document.encode())
                assert isinstance(payout, Payout)
                flows[payout.network] -= payout.lines_units
            case Mined(transaction=transaction, fee_units=units) if not transaction.startswith("0x"):
                flows[LTC.id] -= units
            case _:
                pass
    assert dict(flows) == paid.float_units


def no_limit_was_exceeded(journal: list[Entry]) -> None:
    """Burst and rate, over every window, across all restarts."""
    for asset, symbol, unit in ((LTC.coin.id, "rLTC", COIN), (EVM.coin.id, "ETH", ETHER)):
        spent = []
        for entry in journal:
            if isinstance(entry.body, Accepted):
                payout = read_intent(entry.body.intent.document.encode())
                assert isinstance(payout, Payout)
                if payout.asset == asset:
                    spent.append((entry.written_at, payout.lines_units))
        burst, per_day = (int(float(one) * 10_000) * unit // 10_000 for one in BUCKETS[symbol])
        assert over_limit(spent, burst, per_day, SLACK_MS) == 0, symbol
        assert sum(units for _, units in spent) > burst, "the load never reached the limit: this shows nothing"
