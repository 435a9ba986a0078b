"""The platform that every drill begins with, made once and copied: chains with a past, merchants with balances.

Making it takes some twenty seconds of real nodes and real zones; a copy takes one. Nothing in it is prepared by hand:
the same commands and the same SDK as anybody's have brought it where it is.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec

from holdfast.chains.localnet import AnvilNode, RegtestNode, anvil, free_ports, litecoin_regtest
from holdfast.client import AsyncHoldfast, PayoutOrder, PayTo, Pin
from holdfast.core.networks import known_network
from holdfast.core.orders import Genesis, read_order
from holdfast.drill.places import Places, TrustZone
from holdfast.drill.processes import ZoneProcess
from holdfast.drill.tower import status
from holdfast.drill.waiting import until
from holdfast.faces.cli import set_up
from holdfast.faces.cli.demo import command
from holdfast.faces.cli.demo_money_out import key_of
from holdfast.faces.cli.local_setup import LOCALNET_DIR, Localnet, read_localnet, token_address
from holdfast.faces.cli.localnet import prepare
from holdfast.faces.cli.serve import OWN_FILES, ZoneName, argv_of
from holdfast.faces.cli.zones import SIGNER_DIR, WATCHTOWER_DIR
from holdfast.runtime.secret_files import read_secret
from holdfast.vault import documents

PORTS = 16
LITECOIN, ANVIL, TOWER = 3, 4, 6
"""So far behind the first port are those of the nodes and the watchtower."""
READY = (0, 1, 2, 5)
"""And those where the platform's processes say how they are."""
FACTS_FILE = "facts.json"
MERCHANTS = ("shop", "mallory")
"""An honest one, and one that an attacker may be."""
DEPOSITED = {"rLTC": {"shop": 120, "mallory": 60}, "ETH": {"shop": 30, "mallory": 12},
             "USDT": {"shop": 9_000, "mallory": 4_000}}  # fmt: skip
"""Whole coins: more than the float holds where a thief should find the float's limits first."""
PAID = {"rLTC": "1.5", "ETH": "0.05", "USDT": "25"}
"""What the shop has paid out already, of each asset: genuine intents that an attacker can find."""
DELAYS = {"loosening_seconds": 4, "key_change_seconds": 4, "recovery_seconds": 8, "ageing_seconds": 2,
          "restore_soak_seconds": 1}  # fmt: skip
WITNESSES = ("platform", "signer", "watchtower")
"""Zones with a Litecoin node of their own."""


class Enrolled(msgspec.Struct, frozen=True):
    """A merchant of the template."""

    name: str
    merchant: str
    key: str
    root_fingerprint: str


class Facts(msgspec.Struct, frozen=True):
    """What a copy must know of the platform in it."""

    port: int
    plan: Localnet
    merchants: dict[str, Enrolled]
    assets: dict[str, str]
    """CAIP-19 id by symbol."""
    deposits: dict[str, dict[str, str]]
    """Addresses of the vault that were paid to: by symbol and merchant."""
    paid_to: dict[str, str]
    """Where the shop's payouts went, by symbol."""
    float_vault: str = ""
    """Where the Litecoin float may always pay back to."""
    journal_seq: int = 0
    """The newest entry of the signer's journal."""


@dataclass(frozen=True, slots=True)
class Template:
    """A platform at rest."""

    places: Places
    facts: Facts

    def copy(self, root: Path) -> Places:
        """The same platform, once more, each zone's part its own user's."""
        shutil.copytree(self.places.root, root, symlinks=True)
        places = Places(root)
        places.logs.mkdir()
        places.give()
        return places


def reword(text: str) -> str:
    """The test policy with delays that a drill can wait out."""
    for name, seconds in DELAYS.items():
        text = re.sub(rf"^{name} = \d+", f"{name} = {seconds}", text, flags=re.MULTILINE)
    return text


def made(root: Path) -> Template:
    """The one that was made there before. Raises `FileNotFoundError`."""
    return Template(Places(root), msgspec.json.decode((root / FACTS_FILE).read_bytes(), type=Facts))


async def make(root: Path) -> Template:
    """Make it in a directory that is not there yet. Raises whatever nodes, zones and commands raise."""
    shop = root.with_name("shop")
    port = free_ports(PORTS)
    plan = set_up.Plan(
        directory=shop, networks=("litecoin-regtest", "anvil"), is_local=True, officers=3, threshold=2,
        officer_files=(), passphrase=secrets.token_urlsafe(24), database_url=None, port=port, reword=reword,
    )  # fmt: skip
    await asyncio.to_thread(set_up.make, plan, lambda *_: None)
    local, data = read_localnet(shop), shop / LOCALNET_DIR
    async with (
        litecoin_regtest(data / "litecoin", local.litecoin_port) as litecoin,
        anvil(data / "anvil", local.anvil_port) as evm,
    ):
        await prepare(litecoin, evm, local)
        async with _serving(shop, port):
            facts = await _live(_Young(shop, port, local, litecoin, evm))
        await litecoin.flush()
    places = Places(root)
    await asyncio.to_thread(_arrange, shop, places)
    genesis = read_order(documents.read(places.of(TrustZone.SIGNER) / "genesis.json").document.encode())
    assert isinstance(genesis, Genesis)  # noqa: S101  `init` wrote it
    back = next(one.vault for one in genesis.floats if one.network == known_network("litecoin-regtest").id)
    facts = msgspec.structs.replace(facts, float_vault=back)
    (root / FACTS_FILE).write_bytes(msgspec.json.encode(facts))
    return Template(places, facts)


@dataclass(frozen=True, slots=True)
class _Young:
    """The platform while it is made."""

    shop: Path
    port: int
    plan: Localnet
    litecoin: RegtestNode
    evm: AnvilNode

    async def mine(self) -> None:
        await asyncio.gather(self.litecoin.mine(), self.evm.mine())


@asynccontextmanager
async def _serving(shop: Path, port: int) -> AsyncIterator[None]:
    import httpx

    names = [name for name in ZoneName if name not in OWN_FILES or (shop / OWN_FILES[name]).exists()]
    zones = {name: ZoneProcess(name, argv_of(name, shop / "holdfast.toml"), shop / f"{name}.log") for name in names}
    for zone in zones.values():
        zone.up()
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:

            async def is_ready() -> bool:
                try:
                    return (await http.get("/ready")).is_success
                except httpx.TransportError:
                    return False

            await until(is_ready, "the template's platform did not start")
        yield
    finally:
        await asyncio.gather(*(zone.stop() for name, zone in zones.items() if name is not ZoneName.DATABASE))
        await zones[ZoneName.DATABASE].stop()


async def _live(young: _Young) -> Facts:
    """Enrol the merchants, let them be paid, and let the shop pay out once of each asset."""
    enrolled = {}
    for name in MERCHANTS:
        said = json.loads(await command("merchant", "enrol", name, "--config", str(young.shop / "holdfast.toml")))
        enrolled[name] = Enrolled(name, said["merchant"], said["key"], said["root_fingerprint"])
    clients = {name: client_of(young.shop, young.port, one) for name, one in enrolled.items()}
    async with clients["shop"] as shop, clients["mallory"] as mallory:
        assets = {asset.symbol: asset.id for network in await shop.networks() for asset in network.assets}
        deposits = await _deposit(young, {"shop": shop, "mallory": mallory}, assets)
        paid_to = await _pay_out(young, shop, assets)
    told = await asyncio.to_thread(status, young.port + TOWER)
    seq = 0 if told is None else told.seq
    return Facts(young.port, young.plan, enrolled, assets, deposits, paid_to, journal_seq=seq)


def client_of(directory: Path, port: int, one: Enrolled) -> AsyncHoldfast:
    """A merchant's SDK with its key and the pinned fingerprint. `directory` has `merchants` and `officers`."""
    token = f"eip155:31337/erc20:{token_address().lower()}"
    api_key_file = directory / "merchants" / one.name / "api.key"
    signer = key_of(directory, {"api_key_file": str(api_key_file)}, {token: 6})
    pin = Pin(root_fingerprint=one.root_fingerprint, key=bytes.fromhex(one.key))
    return AsyncHoldfast(f"http://127.0.0.1:{port}", read_secret(api_key_file), pin, signer=signer)


async def _deposit(
    young: _Young, clients: Mapping[str, AsyncHoldfast], assets: Mapping[str, str]
) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {symbol: {} for symbol in DEPOSITED}
    payer = (await young.evm.accounts())[0]
    for symbol, shares in DEPOSITED.items():
        for name, whole in shares.items():
            address = (await clients[name].deposit_address(assets[symbol].partition("/")[0])).address
            found[symbol][name] = address
            if symbol == "rLTC":
                await young.litecoin.send(address, whole * 10**8)
            elif symbol == "ETH":
                await young.evm.send(address, whole * 10**18)
            else:
                for selector, target in (("40c10f19", payer), ("a9059cbb", address)):
                    data = f"0x{selector}{target[2:].lower():0>64}{whole * 10**6:064x}"
                    await young.evm.transact({"from": payer, "to": young.plan.token, "data": data})

    async def is_credited(name: str) -> bool:
        await young.mine()
        have = {one.symbol: int(one.available_units) for one in (await clients[name].balances()).items}
        return all(have.get(symbol, 0) > 0 for symbol in DEPOSITED)

    for name in clients:
        await until(partial(is_credited, name), f"{name}'s deposits were not credited", pause_seconds=0.3)
    return found


async def _pay_out(young: _Young, shop: AsyncHoldfast, assets: Mapping[str, str]) -> dict[str, str]:
    """One payout of each asset, to its end; where they went."""
    account = (await young.evm.accounts())[7]
    paid_to = {"rLTC": await young.litecoin.new_address(), "ETH": account, "USDT": account}
    made = [
        await shop.payouts.create(PayoutOrder(asset=assets[symbol], lines=[PayTo(paid_to[symbol], amount)]))
        for symbol, amount in PAID.items()
    ]

    async def is_done() -> bool:
        await young.mine()
        states = [(await shop.payouts.get(payout.id)).state for payout in made]
        return all(state == "confirmed" for state in states)

    await until(is_done, "the template's payouts were not confirmed", pause_seconds=0.3)
    return paid_to


def _arrange(shop: Path, places: Places) -> None:
    """From one directory for all to one for each zone; the nodes' chains once for each zone that has a node."""
    places.nodes.mkdir(parents=True)
    data = shop / LOCALNET_DIR
    (data / "anvil").rename(places.nodes / "evm")
    (data / "litecoin").rename(places.nodes / "outside")
    for witness in WITNESSES:
        # A node of a zone knows the chain and has no wallet.
        skipped = shutil.ignore_patterns("wallets", "*.log", ".cookie", "*.pid", "settings.json", ".lock", "peers.dat")
        shutil.copytree(places.nodes / "outside", places.nodes / witness, ignore=skipped)
    for name, zone in ((SIGNER_DIR, TrustZone.SIGNER), (WATCHTOWER_DIR, TrustZone.WATCHTOWER)):
        (shop / name).rename(places.of(zone))
    for one in OWN_FILES.values():
        if (shop / one).exists():
            (shop / one.parent).rename(places.root / one.parent.name)
    (shop / "officers").rename(places.officers)
    for name in ("checking.toml", "policy.toml", "policy.json"):
        (shop / name).rename(places.officers / name)
    (shop / "merchants").rename(places.root / "merchants")
    shutil.rmtree(data)
    for log in shop.glob("*.log"):
        log.unlink()
    shop.rename(places.of(TrustZone.PLATFORM))
