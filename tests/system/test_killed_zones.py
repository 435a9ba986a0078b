"""kill -9 of any process, at any moment, under load: nothing is lost, and nothing is credited twice."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from random import Random

import pytest
from aiohttp import web

from fixtures_cli import holdfast
from holdfast.chains.localnet import AnvilNode, RegtestNode, anvil, free_ports, litecoin_regtest
from holdfast.client import (
    AsyncHoldfast,
    Invoice,
    NewInvoice,
    Pin,
    PlatformRefused,
    PlatformUnreachable,
    verify_webhook,
)
from holdfast.core.states import DepositState, InvoiceState
from holdfast.faces.cli.local_setup import read_localnet
from holdfast.faces.cli.localnet import prepare
from holdfast.ledger import audit
from holdfast.runtime.config import read_secret
from holdfast.runtime.database import connected
from holdfast.runtime.embedded_database import EmbeddedDatabase

pytestmark = [pytest.mark.node, pytest.mark.slow, pytest.mark.xdist_group("system")]

KILLS = 14
PAUSE_SECONDS = 1.2
CALLERS = 4
ZONES = {"api": "holdfast.faces.api.main", "follower": " follower ", "courier": " courier ", "postgres": "postgres -D "}


@dataclass
class Load:
    """What was asked, paid and heard."""

    litecoin: RegtestNode
    evm: AnvilNode
    invoices: dict[str, Invoice] = field(default_factory=dict)
    """By the idempotency key under which each was asked for."""
    paid: Counter[str] = field(default_factory=Counter)
    """Units paid on chain, by asset."""
    paid_at: Counter[str] = field(default_factory=Counter)
    """The same by address: it names a payment that is missing or counted twice."""
    secret: str = ""
    heard: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    payer: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def hear(self, request: web.Request) -> web.Response:
        body = await request.read()
        event = verify_webhook(body, request.headers, [self.secret], datetime.now(UTC))
        if len(self.heard) % 7 == 0 and event.id not in self.refused:
            self.refused.add(event.id)  # the shop fails now and then: each event once at most
            return web.Response(status=500)
        self.heard.add(event.id)
        return web.Response(status=204)

    async def call(self, client: AsyncHoldfast, caller: int, asset: str) -> None:
        """Make an invoice, whatever dies meanwhile, and pay it; again and again."""
        for number in count():
            if self.stopping.is_set():
                return
            key = f"order-{caller}-{number}"
            invoice = await self.insist(client, key, asset)
            self.invoices[key] = invoice
            quote = invoice.quotes[0]
            units = int(quote.due_units)
            if asset.startswith("bip122"):
                await self.litecoin.send(quote.address, units)
            else:
                async with self.payer:  # one account, one nonce after another
                    await self.evm.send(quote.address, units)
            self.paid[asset] += units
            self.paid_at[quote.address] += units

    async def insist(self, client: AsyncHoldfast, key: str, asset: str) -> Invoice:
        """The same request under the same key until there is an answer."""
        while True:
            try:
                return await client.create_invoice(
                    NewInvoice(amount="3.00", currency="EUR", asset=asset, reference=key), idempotency_key=key
                )
            except PlatformUnreachable:
                await asyncio.sleep(0.1)
            except PlatformRefused as refused:
                if not refused.may_retry:
                    raise
                await asyncio.sleep(0.1)

    async def mine(self) -> None:
        """Blocks, steadily."""
        while not self.stopping.is_set():
            await asyncio.gather(self.litecoin.mine(), self.evm.mine())
            await asyncio.sleep(0.4)


def processes(directory: Path, words: str) -> list[int]:
    """Processes of this set-up, by a part of their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if str(directory) in line and words in line:
                found.append(int(entry.name))
    return sorted(found)


@asynccontextmanager
async def serving(directory: Path) -> AsyncIterator[subprocess.Popen[bytes]]:
    with (directory / "serve.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: ASYNC220, S603  returns at once; our own command
            [sys.executable, "-m", "holdfast", "serve", "--config", str(directory / "holdfast.toml")],
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            assert await asyncio.to_thread(process.wait, 40) == 0
        finally:
            process.kill()


@asynccontextmanager
async def listening(load: Load) -> AsyncIterator[str]:
    application = web.Application()
    application.router.add_post("/hook", load.hear)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    finally:
        await runner.cleanup()


async def eventually(left: Callable[[], Awaitable[Collection[str]]], seconds: float = 60) -> None:
    """Wait until nothing is left."""
    remaining: Collection[str] = ()
    try:
        async with asyncio.timeout(seconds):
            while remaining := await left():  # noqa: ASYNC110  other processes make it empty
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise AssertionError(f"{len(remaining)} left: {sorted(remaining)[:5]}") from None


async def kill_at_random(directory: Path, draw: Random) -> Counter[str]:
    """SIGKILL one process after another, every zone in turn and in no order."""
    killed: Counter[str] = Counter()
    order = [zone for _ in range(KILLS) for zone in draw.sample(sorted(ZONES), len(ZONES))][:KILLS]
    for zone in order:
        await asyncio.sleep(draw.uniform(PAUSE_SECONDS / 2, PAUSE_SECONDS * 1.5))
        for pid in processes(directory, ZONES[zone])[:1]:
            os.kill(pid, signal.SIGKILL)
            killed[zone] += 1
    return killed


async def test_kill_9_of_any_process_loses_nothing_and_credits_nothing_twice(tmp_path: Path) -> None:
    directory, draw = tmp_path / "shop", Random(20230722)  # noqa: S311  the same order of kills on every run
    port = free_ports(7)
    assert holdfast("init", "--local", directory, "--port", str(port)).code == 0
    plan = read_localnet(directory)
    data = directory / "localnet"
    async with (
        litecoin_regtest(data / "litecoin", plan.litecoin_port) as litecoin,
        anvil(data / "anvil", plan.anvil_port) as evm,
        serving(directory),
    ):
        await prepare(litecoin, evm, plan)
        await evm.mine(30)
        enrolled = await asyncio.to_thread(enrol, directory)
        load = Load(litecoin, evm)
        pin = Pin(root_fingerprint=enrolled["root_fingerprint"], key=bytes.fromhex(enrolled["key"]))
        api_key = read_secret(Path(enrolled["api_key_file"]))
        async with AsyncHoldfast(f"http://127.0.0.1:{port}", api_key, pin) as client, listening(load) as url:
            load.secret = (await client.create_webhook_endpoint(url, allow_private=True)).secret or ""
            assets = {asset.symbol: asset.id for network in await client.networks() for asset in network.assets}
            async with asyncio.TaskGroup() as tasks:
                for caller in range(CALLERS):
                    tasks.create_task(load.call(client, caller, assets["ETH" if caller % 2 else "rLTC"]))
                tasks.create_task(load.mine())
                killed = await kill_at_random(directory, draw)
                load.stopping.set()
            assert set(killed) == set(ZONES), killed
            await everything_is_there(client, load)
            async with connected(EmbeddedDatabase(directory / "data" / "database").url) as connection:
                assert (await audit(connection)).faults == ()
    for words in ZONES.values():
        assert processes(directory, words) == []


def enrol(directory: Path) -> dict[str, str]:
    """A merchant, once the API answers."""
    for _ in range(100):
        done = holdfast("merchant", "enrol", "shop", "--config", directory / "holdfast.toml", "--json")
        if done.code == 0:
            found: dict[str, str] = json.loads(done.out)
            return found
        assert "api-unreachable" in done.err, done.err
    raise AssertionError(done.err)


async def everything_is_there(client: AsyncHoldfast, load: Load) -> None:
    """Every acknowledged invoice is settled; what was paid is what was credited; every event was heard."""

    async def unsettled() -> list[str]:
        await asyncio.gather(load.litecoin.mine(), load.evm.mine())
        found = [await client.invoice(one.id) for one in load.invoices.values()]
        return [f"{one.id} {one.state} {one.paid}" for one in found if one.state is not InvoiceState.SETTLED]

    await eventually(unsettled)
    assert len({invoice.id for invoice in load.invoices.values()}) == len(load.invoices) > 20
    credited: Counter[str] = Counter()
    credited_at: Counter[str] = Counter()
    after = None
    while True:
        page = await client.deposits(after=after, limit=200)
        for deposit in page.items:
            assert deposit.state is DepositState.CONFIRMED
            credited[deposit.asset] += int(deposit.units)
            credited_at[deposit.address] += int(deposit.units)
        if (after := page.next) is None:
            break
    assert credited_at == load.paid_at
    assert credited == load.paid
    assert {one.asset: int(one.available_units) for one in (await client.balances()).items} == dict(load.paid)

    events: set[str] = set()
    last = None
    while page_of_events := (await client.events(after=last, limit=200)).items:
        events |= {event.id for event in page_of_events}
        last = page_of_events[-1].id

    async def unheard() -> set[str]:
        return events - load.heard

    await eventually(unheard, 90)
