"""How long payouts take, from the API call to the last broadcast, through every zone and real nodes.

One set-up as `init --local` makes it, its processes and chains on the same cores. Beside the mass payout stands what
the wallets of both nodes take for as many plain transactions, one by one.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from psycopg import AsyncConnection

from holdfast.chains.localnet import AnvilNode, RegtestNode, anvil, free_ports, litecoin_regtest
from holdfast.client import AsyncHoldfast, Payout, PayoutOrder, PayTo, Pin
from holdfast.core.evm import parse_address
from holdfast.faces.cli.demo import command, serving
from holdfast.faces.cli.demo_money_out import key_of
from holdfast.faces.cli.demo_story import wait_until
from holdfast.faces.cli.local_setup import read_localnet
from holdfast.faces.cli.localnet import prepare
from holdfast.runtime.config import read_secret
from holdfast.runtime.database import connected
from holdfast.runtime.embedded_database import EmbeddedDatabase

MASS = 1_000
"""Payouts of one line each, on each network, in one call."""
SINGLES = 40
LTC_UNITS, WEI = 100_000, 10**14
DEPOSIT_LTC, DEPOSIT_WEI = 20 * 10**8, 2 * 10**18
WAIT_SECONDS = 300
LTC, EVM = "bip122:530827f38f93b43ed12af0b3ad25a288", "eip155:31337"
ASSETS = {LTC: f"{LTC}/slip44:1", EVM: f"{EVM}/slip44:1"}


@dataclass(frozen=True, slots=True)
class Running:
    """A set-up with a merchant who has money."""

    client: AsyncHoldfast
    database: AsyncConnection
    litecoin: RegtestNode
    evm: AnvilNode


async def run(directory: Path, seconds: float) -> dict[str, object]:
    """The figures; `seconds` changes nothing: so many payouts are measured, however long they take."""
    async with _running(directory / "shop") as running:
        singles = await _singles(running)
        mass = await _mass(running)
        plain = await _plain(running)
    return {
        "single_payout_milliseconds": singles,
        "mass_payouts": 2 * MASS,
        **mass,
        "node_wallets_send_as_many_plain_transactions_seconds": plain,
    }


async def _singles(running: Running) -> dict[str, object]:
    """From the API call to the broadcast, one payout after the other."""
    found = []
    for number in range(SINGLES):
        started = perf_counter()
        made = await running.client.payouts.create(_order(EVM if number % 2 else LTC, number))
        await _until_broadcast(running, [made])
        found.append((perf_counter() - started) * 1000)
        if number % 10 == 0:  # change that waits for a block is spent again a few times only
            await asyncio.gather(running.litecoin.mine(), running.evm.mine())
    found.sort()
    return {"p50": round(found[len(found) // 2], 1), "p99": round(found[-1 - len(found) // 100], 1), "count": SINGLES}


async def _mass(running: Running) -> dict[str, object]:
    """A thousand payouts on each network, ordered at once."""
    await asyncio.gather(running.litecoin.mine(2), running.evm.mine(2))
    orders = [_order(network, 10_000 + number) for network in (LTC, EVM) for number in range(MASS)]
    started = perf_counter()
    made = await running.client.payouts.create_many(orders)
    ordered = perf_counter() - started
    refused = [one for one in made if not isinstance(one, Payout)]
    if refused:
        raise refused[0]
    await _until_broadcast(running, [one for one in made if isinstance(one, Payout)])
    total = perf_counter() - started
    await asyncio.gather(running.litecoin.mine(), running.evm.mine())
    return {
        "mass_signed_and_reserved_seconds": round(ordered, 2),
        "mass_api_call_to_last_broadcast_seconds": round(total, 2),
    }


async def _plain(running: Running) -> float:
    """What the nodes alone take for as many plain transactions, signed by themselves."""
    accounts = await running.evm.accounts()
    started = perf_counter()
    for number in range(MASS // 10):
        sent = {"from": accounts[number % 10], "to": accounts[0], "value": "0x1"}
        await running.evm.call("eth_sendTransaction", sent)
        await running.litecoin.send(await running.litecoin.new_address(), LTC_UNITS)
    return round((perf_counter() - started) * 10, 2)


def _order(network: str, number: int) -> PayoutOrder:
    to = parse_address(f"0x{number + 2**20:040x}") if network == EVM else _ltc_address(number)
    units = WEI if network == EVM else LTC_UNITS
    return PayoutOrder(asset=ASSETS[network], lines=[PayTo(to, units=units)], reference=f"bench {network[:6]} {number}")


def _ltc_address(number: int) -> str:
    from embit import bech32

    return str(bech32.encode("rltc", 0, number.to_bytes(20, "big")))


async def _until_broadcast(running: Running, payouts: Sequence[Payout]) -> None:
    """Wait until all of these have been broadcast."""
    ids = [payout.id for payout in payouts]
    query = "SELECT count(*) FROM payments.payouts WHERE id = ANY(%s) AND state IN ('broadcast', 'confirmed')"
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            row = await (await running.database.execute(query, (ids,))).fetchone()
            if row is not None and row[0] == len(ids):
                return
            await asyncio.sleep(0.005)


@asynccontextmanager
async def _running(directory: Path) -> AsyncIterator[Running]:
    port = free_ports(7)
    await command("init", "--local", str(directory), "--port", str(port))
    plan, data = read_localnet(directory), directory / "localnet"
    async with (
        litecoin_regtest(data / "litecoin", plan.litecoin_port) as litecoin,
        anvil(data / "anvil", plan.anvil_port) as evm,
    ):
        await prepare(litecoin, evm, plan)
        async with serving(directory, port):
            enrolled = json.loads(
                await command("merchant", "enrol", "shop", "--config", str(directory / "holdfast.toml"))
            )
            pin = Pin(root_fingerprint=enrolled["root_fingerprint"], key=bytes.fromhex(enrolled["key"]))
            api_key = read_secret(Path(enrolled["api_key_file"]))
            signer = key_of(directory, enrolled)
            url = f"http://127.0.0.1:{port}"
            async with (
                AsyncHoldfast(url, api_key, pin, signer=signer, timeout_seconds=120) as client,
                connected(EmbeddedDatabase(directory / "data" / "database").url) as database,
            ):
                await database.set_autocommit(True)
                running = Running(client, database, litecoin, evm)
                await _deposit(running)
                yield running


async def _deposit(running: Running) -> None:
    """Money for the merchant, final for platform and signer."""
    ltc, evm = [await running.client.deposit_address(network) for network in (LTC, EVM)]
    await running.litecoin.send(ltc.address, DEPOSIT_LTC)
    await running.evm.send(evm.address, DEPOSIT_WEI)
    await asyncio.gather(running.litecoin.mine(4), running.evm.mine(4))

    async def is_there() -> bool:
        items = (await running.client.balances()).items
        return len([one for one in items if int(one.available_units)]) == len(ASSETS)

    await wait_until(is_there, "the merchant's deposits were not confirmed")
