"""A whole platform on test networks, with everything around it that a drill needs: payers, a thief's addresses, nodes.

Every zone is a process under its own user, with its own nodes behind its own proxies. The drill's process is outside of
them all: it mines, pays as payers pay, orders as honest merchants order, and looks.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random  # noqa: TID251  seeded: a drill must be repeatable
from typing import Any

import httpx
from coincurve import PublicKey
from psycopg import AsyncConnection

from holdfast.chains.bitcoin_scripts import address_of as script_address
from holdfast.chains.evm_contracts import float_of, plan_vault
from holdfast.chains.local_process import NodeBinaryMissing
from holdfast.chains.localnet import AnvilNode, RegtestNode, anvil_binary, free_ports
from holdfast.chains.rpc import Credentials
from holdfast.client import AsyncHoldfast, Payout, PayoutOrder, PayTo
from holdfast.core.evm_transactions import address_of
from holdfast.core.money import parse_units
from holdfast.core.networks import BitcoinNetwork, known_network
from holdfast.core.tower_status import StopShown, TowerStatus
from holdfast.drill.chain import Outside
from holdfast.drill.faults import small_disk
from holdfast.drill.measure import DECIMALS, SYMBOLS, Flows, Purses
from holdfast.drill.places import Places, TrustZone, as_zone, not_run, trust_zone
from holdfast.drill.processes import ZoneProcess, mortal
from holdfast.drill.proxies import Link, NodeProxy
from holdfast.drill.rewiring import moved, rewire
from holdfast.drill.template import PORTS, TOWER, WITNESSES, Facts, Template, client_of
from holdfast.drill.tower import status
from holdfast.drill.waiting import DrillStuck, until
from holdfast.faces.cli.serve import OWN_FILES, ZoneName, argv_of
from holdfast.runtime.embedded_database import EmbeddedDatabase

CommandOf = Callable[[ZoneName, Path], Sequence[str]]
"""The command that is a zone's process, from its configuration: a test puts a weakened build in its place."""
_DECISIONS = """
    SELECT key, waiting_rule FROM payments.payouts WHERE key = ANY(%s) AND waiting_rule IS NOT NULL
    UNION ALL
    SELECT subject, coalesce(document::jsonb->'body'->>'rule', kind) FROM payments.journal
    WHERE subject = ANY(%s) AND kind IN ('accepted', 'refused', 'abandoned')
"""
BLOCK_SECONDS = 0.7
FIRST_WITNESS = 8
"""So far behind the first port are those of the zones' Litecoin nodes, two for each."""
LOOK_SECONDS = 0.1
SETTLE_BLOCKS = 4


@dataclass(frozen=True, slots=True)
class Event:
    """A line of a drill's timeline."""

    at_ms: int
    """Milliseconds since 1970."""
    who: str
    what: str


@dataclass(slots=True)
class World:
    """The platform under attack. See the package's docstring for what a scenario does with it."""

    places: Places
    facts: Facts
    seed: int
    draw: Random
    outside: Outside
    purses: Purses
    proxies: dict[tuple[TrustZone, str], NodeProxy]
    """By zone and `litecoin` or `anvil`."""
    links: dict[str, Link]
    """`signer-watchtower`, `signer-platform`."""
    zones: dict[ZoneName, ZoneProcess]
    witnesses: dict[str, RegtestNode]
    """Litecoin nodes of the zones."""
    shop: AsyncHoldfast
    mallory: AsyncHoldfast
    flows: Flows = field(default_factory=Flows)
    events: list[Event] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    seen: dict[str, int] = field(default_factory=dict)
    """The last moment, milliseconds since 1970, at which each transaction was not waiting for a block yet."""
    told: TowerStatus | None = None
    """What the watchtower said last."""
    is_mining: bool = True
    blocks: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Whoever holds it, for that long the rhythm makes no blocks."""
    tell: Callable[[Event], None] = lambda _: None
    """Hears every line of the timeline as it is written."""

    # --- what a scenario says

    def event(self, who: str, what: str) -> None:
        """Put a line into the timeline."""
        event = Event(now_ms(), who, what)
        self.events.append(event)
        self.tell(event)

    def note(self, text: str) -> None:
        """Put a line into the report."""
        self.notes.append(text)

    def require(self, is_so: object, what: str) -> None:
        """What must be so; if it is not, the drill fails, whatever was lost."""
        self.event("drill", f"{'so' if is_so else 'NOT SO'}: {what}")
        if not is_so:
            self.failures.append(what)

    # --- what honest people do

    @property
    def thief(self) -> dict[str, str]:
        """Where the attacker wants money, by symbol: addresses that were never used."""
        return self.purses.thief

    async def address(self, symbol: str) -> str:
        """Somebody's fresh address for a payout, from which nobody ever spends: what is there, has arrived."""
        if symbol == "rLTC":
            return script_address(self.outside.litecoin.network, b"\x00\x14" + self.draw.randbytes(20))
        return address_of(PublicKey.from_secret(self.draw.randbytes(32)))

    async def order(self, merchant: AsyncHoldfast, symbol: str, amount: str, to: str | None = None) -> Payout:
        """An honest payout, signed by the merchant's own SDK; what arrives there is no loss."""
        destination = to or await self.address(symbol)
        order = PayoutOrder(asset=self.facts.assets[symbol], lines=[PayTo(destination, amount)])
        made = await merchant.payouts.create(order)
        units = parse_units(amount, DECIMALS[symbol])
        self.flows.ordered[symbol][destination] = self.flows.ordered[symbol].get(destination, 0) + units
        return made

    async def pay(self, symbol: str, address: str, units: int, *, is_verified: bool = True) -> str:
        """Pay as a payer does. `is_verified`: the SDK derived this address, so it is the vault's."""
        # A payer who is told to stop half way has paid all the same: what is counted is what is sent.
        return await asyncio.shield(self._pay(symbol, address, units, is_verified=is_verified))

    async def _pay(self, symbol: str, address: str, units: int, *, is_verified: bool) -> str:
        made = await self.outside.pay(symbol, address, units)
        if is_verified:
            self.purses.vault[symbol].add(address)
            self.flows.deposited[symbol] += units
        else:
            self.flows.misdirected.add(address)
        return made

    # --- faults

    async def kill(self, name: ZoneName) -> None:
        """kill -9; it stays away until `up`."""
        self.event("drill", f"kill -9 {name}")
        await self.zones[name].kill()

    def up(self, name: ZoneName) -> None:
        """Start a zone again."""
        self.event("drill", f"{name} is started again")
        self.zones[name].up()

    # --- looking

    def nodes_of(self, zone: TrustZone) -> dict[str, Any]:
        """URLs of a zone's own nodes, as its settings have them: `litecoin` and `anvil`."""
        return {name: f"http://127.0.0.1:{self.proxies[zone, name].port}" for name in ("litecoin", "anvil")}

    async def until(self, is_so: Callable[[], Awaitable[bool]], otherwise: str, *, seconds: float = 45.0) -> bool:
        """Wait for it; a requirement that is not met in time fails the drill. Whether it came to be so."""
        try:
            await until(is_so, otherwise, seconds=seconds)
        except DrillStuck:
            self.require(False, otherwise)  # noqa: FBT003  it is not so
            return False
        return True

    async def settle(self, blocks: int = SETTLE_BLOCKS) -> None:
        """Blocks, until what waits now is final for everybody."""
        for _ in range(blocks):
            await self.outside.mine()
            await asyncio.sleep(BLOCK_SECONDS / 2)

    @property
    def stops(self) -> tuple[StopShown, ...]:
        """Every freeze, oldest first."""
        return () if self.told is None else self.told.stops

    def frozen(self) -> set[str]:
        """Scopes in which the watchtower lets nothing go out now."""
        return set() if self.told is None else set(self.told.frozen)

    async def decisions(self, payouts: Sequence[str]) -> dict[str, str]:
        """What the signer's journal says of these payouts: `accepted`, the rule that refused it, or what it waits for.

        One that the signer has not looked at is not in it.
        """
        said = await self.rows(_DECISIONS, list(payouts), list(payouts))
        return {str(name): str(rule) for name, rule in said}

    async def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """What the platform's database holds: for the drill's own eyes."""
        url = EmbeddedDatabase(self.places.of(TrustZone.PLATFORM) / "data" / "database").owner_url
        async with await AsyncConnection.connect(url, autocommit=True) as connection:
            cursor = await connection.execute(query.encode(), values)
            return await cursor.fetchall()

    def ready(self) -> None:
        """The zones' logs up to here are of the start."""
        self.event("drill", "every zone answers")


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def default_command(name: ZoneName, config: Path) -> Sequence[str]:
    """The zone as anybody runs it."""
    return argv_of(name, config)


@asynccontextmanager
async def opened(
    template: Template,
    root: Path,
    *,
    seed: int,
    command_of: CommandOf = default_command,
    full_disk: TrustZone | None = None,
) -> AsyncIterator[World]:
    """A running copy of the template's platform; everything of it is gone when the context ends.

    `full_disk`: whose directory lies on a small disk. Raises `DrillStuck`, `NodeBinaryMissing`, `LocalNodeFailed`.
    """
    began = [Event(now_ms(), "drill", "the platform is copied")]
    places = await asyncio.to_thread(template.copy, root)
    facts = moved(places, template.facts, free_ports(PORTS))
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(small_disk(places, full_disk))
        outside, witnesses = await _nodes(stack, places, facts)
        began.append(Event(now_ms(), "drill", "nodes answer; zones are started"))
        proxies, links = await _wires(stack, outside, witnesses, facts)
        rewire(places, facts, proxies, links)
        zones = _zones(places, command_of)
        stack.push_async_callback(_stop_all, zones)
        for zone in zones.values():
            zone.up()
        shop, mallory = (client_of(places.root, facts.port, facts.merchants[name]) for name in ("shop", "mallory"))
        await stack.enter_async_context(shop)
        await stack.enter_async_context(mallory)
        draw = Random(seed)  # noqa: S311  the same drill for the same seed
        purses = _purses(facts, draw)
        world = World(
            places, facts, seed, draw, outside, purses, proxies, links, zones, witnesses, shop, mallory
        )  # fmt: skip
        world.events += began
        await _ready(world)
        async with _around(world):
            yield world


async def _nodes(stack: AsyncExitStack, places: Places, facts: Facts) -> tuple[Outside, dict[str, RegtestNode]]:
    found = shutil.which("litecoind")
    if found is None:
        raise NodeBinaryMissing("litecoind is not on the PATH (Debian: apt-get install litecoind)")
    program = str(mortal(Path(found), places.nodes))
    network = known_network("litecoin-regtest")
    assert isinstance(network, BitcoinNetwork)  # noqa: S101  by the table's own row
    # None of the ports that the system gives to connections: one of those may be taken before a node has it.
    own = RegtestNode(
        program, network, places.nodes / "outside", facts.plan.litecoin_port, peer_port=facts.port + PORTS - 1
    )
    witnesses = {
        name: RegtestNode(program, network, places.nodes / name, port, peer_port=port + 1)
        for name, port in zip(WITNESSES, range(facts.port + FIRST_WITNESS, facts.port + PORTS - 1, 2), strict=False)
    }
    evm = AnvilNode(mortal(anvil_binary(), places.nodes), places.nodes / "evm", port=facts.plan.anvil_port)
    nodes: list[RegtestNode | AnvilNode] = [own, evm, *witnesses.values()]
    for node in nodes:
        stack.push_async_callback(node.kill)
    await asyncio.gather(*(node.start() for node in nodes))
    await evm.set_automine(on=False)
    for witness in witnesses.values():
        await witness.join(own)
    return Outside(own, evm, facts.plan.token), witnesses


async def _wires(
    stack: AsyncExitStack, outside: Outside, witnesses: dict[str, RegtestNode], facts: Facts
) -> tuple[dict[tuple[TrustZone, str], NodeProxy], dict[str, Link]]:
    proxies = {}
    # The incident process has no node of its own here: it looks through the watchtower's, by a proxy of its own.
    behind = {TrustZone(name): node for name, node in witnesses.items()}
    behind[TrustZone.INCIDENT] = behind[TrustZone.WATCHTOWER]
    for zone, node in behind.items():
        proxies[zone, "litecoin"] = NodeProxy(node.rpc_url, Credentials(cookie_file=node.cookie_file))
        proxies[zone, "anvil"] = NodeProxy(outside.evm.rpc_url, Credentials())
    links = {"signer-watchtower": Link(facts.port + TOWER), "signer-platform": Link(facts.port)}
    wires: list[NodeProxy | Link] = [*proxies.values(), *links.values()]
    for one in wires:
        await one.start()
        stack.push_async_callback(one.stop)
    return proxies, links


def _zones(places: Places, command_of: CommandOf) -> dict[ZoneName, ZoneProcess]:
    zones = {}
    for name in ZoneName:
        zone = trust_zone(name)
        config = places.root / OWN_FILES[name] if name in OWN_FILES else places.config
        if config.exists():
            argv = (*as_zone(zone), *command_of(name, config))
            zones[name] = ZoneProcess(name, argv, places.logs / f"{name}.log")
    return zones


async def _stop_all(zones: dict[ZoneName, ZoneProcess]) -> None:
    """Nothing of it is needed any more, so nobody is waited for; the database ends in order, to leave no memory."""
    await asyncio.gather(*(zone.kill() for name, zone in zones.items() if name is not ZoneName.DATABASE))
    await zones[ZoneName.DATABASE].stop()


def _purses(facts: Facts, draw: Random) -> Purses:
    vault = plan_vault(facts.plan.owners, facts.plan.threshold).vault
    contract = float_of(facts.plan.float_owner, vault)
    network = known_network("litecoin-regtest")
    assert isinstance(network, BitcoinNetwork)  # noqa: S101  by the table's own row
    thief = {"rLTC": script_address(network, b"\x00\x14" + draw.randbytes(20))}
    thief |= {symbol: address_of(PublicKey.from_secret(draw.randbytes(32))) for symbol in ("ETH", "USDT")}
    deposits = {symbol: set(facts.deposits[symbol].values()) for symbol in SYMBOLS}
    deposits["ETH"].add(vault)
    deposits["USDT"].add(vault)
    deposits["rLTC"].add(facts.float_vault)
    floats = {"rLTC": {facts.plan.litecoin_float}, "ETH": {contract}, "USDT": {contract}}
    return Purses(deposits, floats, {facts.plan.float_owner, facts.plan.gas_account}, thief)


async def _ready(world: World) -> None:
    """Until the platform answers, the signer works, and everybody knows everybody."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{world.facts.port}", trust_env=False) as http:

        async def answers() -> bool:
            try:
                return (await http.get("/ready")).is_success
            except httpx.TransportError:
                return False

        await until(answers, "the platform did not start")
    world.event("drill", "the platform answers")

    async def signs() -> bool:
        told = await asyncio.to_thread(status, world.facts.port + TOWER)
        return told is not None and told.seq > world.facts.journal_seq and not told.frozen

    await until(signs, "the signer did not begin, or the watchtower does not see a network")
    world.notes += [f"NOT RUN: {what}" for what in not_run()]
    world.ready()


@asynccontextmanager
async def _around(world: World) -> AsyncIterator[None]:
    """Blocks on a rhythm, and eyes on the mempools and on the watchtower."""
    tasks = [asyncio.create_task(one(world)) for one in (_mine, _look, _listen)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task


async def _mine(world: World) -> None:
    while True:
        await asyncio.sleep(BLOCK_SECONDS)
        if world.is_mining:
            async with world.blocks:
                await world.outside.mine()


async def _look(world: World) -> None:
    looked = now_ms()
    while True:
        began = now_ms()
        for one in await world.outside.waiting():
            world.seen.setdefault(one, looked)
        looked = began
        await asyncio.sleep(LOOK_SECONDS)


async def _listen(world: World) -> None:
    """What the watchtower says, as soon as it says it."""
    while True:
        told = await asyncio.to_thread(status, world.facts.port + TOWER)
        if told is not None:
            known = {one.id for one in world.stops}
            for one in told.stops:
                if one.id not in known:
                    world.event(one.by, f"freezes {one.scope}: {one.reason}")
            alarms = 0 if world.told is None else len(world.told.alarms)
            for alarm in told.alarms[alarms:]:
                world.event("watchtower", f"alarm {alarm.kind}, {alarm.scope}: {alarm.detail}")
            world.told = told
        await asyncio.sleep(LOOK_SECONDS)
