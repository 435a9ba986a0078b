"""Starts the whole platform of a drill, and everything that goes on around it: nodes, wires, zones, blocks, eyes."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from random import Random  # noqa: TID251  seeded: a drill must be repeatable

import httpx
from coincurve import PublicKey

from holdfast.chains.bitcoin_scripts import address_of as script_address
from holdfast.chains.evm_contracts import float_of, plan_vault
from holdfast.chains.local_process import NodeBinaryMissing
from holdfast.chains.localnet import AnvilNode, RegtestNode, anvil_binary, free_ports
from holdfast.chains.rpc import Credentials
from holdfast.core.evm_transactions import address_of
from holdfast.core.networks import BitcoinNetwork, known_network
from holdfast.drill import cables as networks
from holdfast.drill.cables import NODES, Cables
from holdfast.drill.chain import Outside
from holdfast.drill.faults import Fault, small_disk
from holdfast.drill.measure import SYMBOLS, Purses
from holdfast.drill.places import Places, TrustZone, as_zone, not_run, trust_zone
from holdfast.drill.processes import ZoneProcess, mortal
from holdfast.drill.proxies import Link, NodeProxy
from holdfast.drill.rewiring import moved, rewire
from holdfast.drill.template import PORTS, READY, TOWER, WITNESSES, Facts, Template, client_of
from holdfast.drill.tower import status
from holdfast.drill.waiting import until
from holdfast.drill.world import BLOCK_SECONDS, Event, World, now_ms
from holdfast.faces.cli.serve import OWN_FILES, ZoneName, argv_of

CommandOf = Callable[[ZoneName, Path], Sequence[str]]
"""The command that is a zone's process, from its configuration: a test puts a weakened build in its place."""
FIRST_WITNESS = 8
"""So far behind the first port are those of the zones' Litecoin nodes, two for each."""
LOOK_SECONDS = 0.1


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
    fault: Fault | None = None,
) -> AsyncIterator[World]:
    """A running copy of the template's platform; everything of it is gone when the context ends.

    `fault`: what will break, where something must be there for it: a small disk, networks of the zones' own.
    Raises `DrillStuck`, `NodeBinaryMissing`, `LocalNodeFailed`, `NetworkNotMade`.
    """
    began = [Event(now_ms(), "drill", "the platform is copied")]
    places = await asyncio.to_thread(template.copy, root)
    facts = moved(places, template.facts, free_ports(PORTS))
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(small_disk(places, fault.disk if fault is not None else None))
        apart = fault is not None and fault.cable is not None
        cables = await stack.enter_async_context(networks.connected(is_wanted=apart))
        outside, witnesses = await _nodes(stack, places, facts)
        began.append(Event(now_ms(), "drill", "nodes answer; zones are started"))
        proxies, links = await _wires(stack, outside, witnesses, facts, cables)
        rewire(places, facts, proxies, links)
        zones = _zones(places, command_of, cables)
        stack.push_async_callback(_stop_all, zones)
        for zone in zones.values():
            zone.up()
        shop, mallory = (client_of(places.root, facts.port, facts.merchants[name]) for name in ("shop", "mallory"))
        await stack.enter_async_context(shop)
        await stack.enter_async_context(mallory)
        draw = Random(seed)  # noqa: S311  the same drill for the same seed
        purses = _purses(facts, draw)
        world = World(
            places, facts, seed, draw, outside, purses, proxies, links, zones, witnesses, shop, mallory, cables
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
    stack: AsyncExitStack, outside: Outside, witnesses: dict[str, RegtestNode], facts: Facts, cables: Cables
) -> tuple[dict[tuple[TrustZone, str], NodeProxy], dict[str, Link]]:
    proxies = {}
    # The incident process has no node of its own here: it looks through the watchtower's, by a proxy of its own.
    behind = {TrustZone(name): node for name, node in witnesses.items()}
    behind[TrustZone.INCIDENT] = behind[TrustZone.WATCHTOWER]
    for zone, node in behind.items():
        host = cables.host(zone, NODES)
        proxies[zone, "litecoin"] = NodeProxy(node.rpc_url, Credentials(cookie_file=node.cookie_file), host=host)
        proxies[zone, "anvil"] = NodeProxy(outside.evm.rpc_url, Credentials(), host=host)
    signer, tower = TrustZone.SIGNER, cables.own(TrustZone.WATCHTOWER, NODES)
    links = {
        "signer-watchtower": Link(facts.port + TOWER, host=cables.host(signer, "watchtower"), to=tower),
        "signer-platform": Link(facts.port, host=cables.host(signer, "platform")),
    }
    links |= _more_links(facts, cables) if cables.keepers else {}
    wires: list[NodeProxy | Link] = [*proxies.values(), *links.values()]
    for one in wires:
        await one.start()
        stack.push_async_callback(one.stop)
    return proxies, links


def _more_links(facts: Facts, cables: Cables) -> dict[str, Link]:
    """What goes over the loopback where zones share a network, each at the port that it has there."""
    incident, tower = TrustZone.INCIDENT, facts.port + TOWER
    by_nodes, by_platform = (cables.own(TrustZone.WATCHTOWER, line) for line in (NODES, "platform"))
    links = {
        "drill-watchtower": Link(tower, tower, to=by_nodes),
        "platform-watchtower": Link(tower, to=by_platform),
        "incident-watchtower": Link(tower, tower, host=cables.host(incident, "watchtower"), to=by_nodes),
    }
    for more in READY:
        at = facts.port + more
        links[f"incident-platform-{more}"] = Link(at, at, host=cables.host(incident, "platform"))
    return links


def _zones(places: Places, command_of: CommandOf, cables: Cables) -> dict[ZoneName, ZoneProcess]:
    zones = {}
    for name in ZoneName:
        zone = trust_zone(name)
        config = places.root / OWN_FILES[name] if name in OWN_FILES else places.config
        if config.exists():
            argv = (*cables.within(zone), *as_zone(zone), *command_of(name, config))
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
