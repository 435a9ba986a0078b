"""From an unauthorised transaction at a node to the end of the lease, with ten thousand outputs watched.

Node, outputs, thefts and store are real: each theft is signed with the float's key and handed to the node, and the time
ends when the stop is on the disk. The watchtower looks as often as its default says.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter, time_ns

from coincurve import PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from holdfast.chains.bitcoin_scripts import address_of, script_of
from holdfast.chains.localnet import RegtestNode, free_ports, litecoin_regtest
from holdfast.chains.outflow import OutflowNode
from holdfast.chains.outflow_agreement import Access, open_outflow
from holdfast.chains.rpc import Credentials
from holdfast.chains.zone_settings import NodeAccess
from holdfast.core import bitcoin
from holdfast.core.networks import BitcoinNetwork, known_network
from holdfast.core.orders import FloatKey
from holdfast.watchtower.answers import Tower
from holdfast.watchtower.fold import Fold
from holdfast.watchtower.nodes import open_lookouts
from holdfast.watchtower.settings import WatchedNetwork
from holdfast.watchtower.store import Store
from holdfast.watchtower.watch import Log, Watch

OUTPUTS, OUTPUTS_EACH = 10_000, 500
THEFTS_MIN = 100
UNITS, FEE_UNITS = 100_000, 200_000
LOOK_MILLISECONDS = 200
BOUND_MILLISECONDS = 1_000


@dataclass
class _Thief:
    """The float's key, outside the signer."""

    node: RegtestNode
    network: BitcoinNetwork
    key: PrivateKey = field(default_factory=PrivateKey)

    @property
    def script(self) -> bytes:
        return bitcoin.key_script(self.key.public_key.format(), is_segwit=True)

    @property
    def address(self) -> str:
        return address_of(self.network, self.script)

    def sign(self, outpoint: str, units: int, outputs: Sequence[bitcoin.Output]) -> bitcoin.Signed:
        transaction = bitcoin.Transaction((bitcoin.Input(outpoint),), tuple(outputs))
        digests = bitcoin.digests(transaction, self.script, [units])
        signatures = [self.key.sign(digest, hasher=None) for digest in digests]
        return bitcoin.assemble(transaction, self.key.public_key.format(), signatures, is_segwit=True)

    async def split(self, watch: Watch) -> list[str]:
        """`OUTPUTS` outputs at the float, in blocks; the watchtower is shown them."""
        each = OUTPUTS_EACH * UNITS + 10 * FEE_UNITS
        for _ in range(OUTPUTS // OUTPUTS_EACH):
            await self.node.send(self.address, each)
        await self.node.mine(1)
        await watch.look(watch.lookouts[0])
        outpoints = []
        for coin in list(watch.sources.found):
            made = self.sign(coin, each, [bitcoin.Output(self.script, UNITS)] * OUTPUTS_EACH)
            await self.node.mine_only([made.raw.hex()])
            outpoints += [f"{made.txid}:{place}" for place in range(OUTPUTS_EACH)]
        return outpoints


async def run(directory: Path, seconds: float) -> dict[str, object]:
    """The figures, over at least `THEFTS_MIN` thefts and about `seconds`."""
    network = known_network("litecoin-regtest")
    if not isinstance(network, BitcoinNetwork):
        raise TypeError(network.name)
    stopped: dict[str, asyncio.Event] = {}

    def log(event: str, **facts: object) -> None:
        named = facts.get("transactions")
        if event == "stopped_scope" and isinstance(named, tuple):
            for each in named:
                stopped.setdefault(each, asyncio.Event()).set()

    async with litecoin_regtest(directory / "litecoin", free_ports(2)) as node, _watch(directory, node, log) as watch:
        thief, outside = _Thief(node, network), open_outflow(network, [_access(node)])
        watch.places.floats([FloatKey(network.id, thief.key.public_key.format().hex(), thief.address, thief.address)])
        outpoints = await thief.split(watch)
        await watch.look(watch.lookouts[0])
        if len(watch.sources.outpoints) < OUTPUTS:
            raise AssertionError(f"only {len(watch.sources.outpoints)} outputs are watched")
        away = bitcoin.Output(script_of(network, await node.new_address()), UNITS - FEE_UNITS // 10)
        looking = asyncio.create_task(watch.run())
        waits: list[float] = []
        begun = perf_counter()
        while len(waits) < THEFTS_MIN or perf_counter() - begun < seconds:
            theft = thief.sign(outpoints[len(waits)], UNITS, [away])
            waits.append(await _until_stopped(outside, theft, stopped))
            await asyncio.sleep(len(waits) % 20 / 100)  # so that thefts fall at every moment between two looks
        looking.cancel()
        await outside.close()
        watched = len(watch.sources.outpoints)
    waits.sort()
    p99 = waits[int(len(waits) * 0.99)]
    return {
        "watched_outputs": watched,
        "thefts": len(waits),
        "look_every_milliseconds": LOOK_MILLISECONDS,
        "stop_recorded_p50_milliseconds": round(waits[len(waits) // 2], 1),
        "stop_recorded_p99_milliseconds": round(p99, 1),
        "stop_recorded_bound_milliseconds": BOUND_MILLISECONDS,
        "p99_to_bound_ratio": round(p99 / BOUND_MILLISECONDS, 3),
    }


async def _until_stopped(outside: OutflowNode, theft: bitcoin.Signed, stopped: dict[str, asyncio.Event]) -> float:
    """Milliseconds from handing over a theft to its stop."""
    seen, started = stopped.setdefault(theft.txid, asyncio.Event()), perf_counter()
    await outside.send(theft.raw)
    await asyncio.wait_for(seen.wait(), 30)
    return (perf_counter() - started) * 1_000


def _access(node: RegtestNode) -> Access:
    access = node.access()
    return Access(access.url, Credentials(access.cookie_file))


@asynccontextmanager
async def _watch(directory: Path, node: RegtestNode, log: Log) -> AsyncIterator[Watch]:
    access, network = node.access(), known_network("litecoin-regtest")
    settings = WatchedNetwork(nodes=(NodeAccess(url=access.url, cookie_file=access.cookie_file),))
    store, fold = Store(directory / "tower.sqlite", "0" * 64), Fold("0" * 64)
    tower = Tower(store, Ed25519PrivateKey.generate(), "0" * 64, (), 5_000, lambda: time_ns() // 1_000_000, fold=fold)
    watch = Watch(network, open_lookouts(network, settings), tower, fold, asyncio.Lock(), log, LOOK_MILLISECONDS)
    watch.begin(None)
    try:
        yield watch
    finally:
        await watch.close()
        store.close()
