"""What could be seen from outside while something was broken: the report says it, whether anything was lost or not."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx

from holdfast.drill.template import READY, TOWER
from holdfast.drill.tower import status

if TYPE_CHECKING:
    from holdfast.drill.world import World

LOOK_SECONDS = 0.25
LEASE_SECONDS = 3
"""A lease that is older was not renewed: signers ask for one all the time."""
_WHO = dict(zip(READY, ("api", "follower", "courier", "broadcaster"), strict=True))


@dataclass(slots=True)
class Seen:
    """By what it was: how often it was seen."""

    looks: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    once: list[str] = field(default_factory=list)
    """What is no state but happened."""

    def __str__(self) -> str:
        """For the report."""
        counted = [f"{what} ({count} of {self.looks} looks)" for what, count in sorted(self.counts.items())]
        return "; ".join([*counted, *self.once]) or "nothing"

    def add(self, what: str) -> None:
        """It is so now."""
        self.counts[what] = self.counts.get(what, 0) + 1


@asynccontextmanager
async def watched(world: World) -> AsyncIterator[Seen]:
    """Look until the context ends, as often as `LOOK_SECONDS` says; complete afterwards."""
    seen, starts = Seen(), {name: zone.starts for name, zone in world.zones.items()}
    stops, alarms = len(world.stops), 0 if world.told is None else len(world.told.alarms)
    events = len(world.events)
    task = asyncio.create_task(_look(world, seen))
    try:
        yield seen
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        seen.once += [f"{one.by} froze {one.scope}: {one.reason}" for one in world.stops[stops:]]
        new = () if world.told is None else world.told.alarms[alarms:]
        seen.once += [f"alarm {kind}" for kind in sorted({one.kind for one in new})]
        refused = [event.what for event in world.events[events:] if event.who == "payer"]
        seen.once += [f"{what} ({count} times)" for what, count in sorted(Counter(refused).items())]
        again = {name: zone.starts - starts[name] for name, zone in world.zones.items()}
        seen.once += [f"{name} was started {count} times" for name, count in again.items() if count > 0]


async def _look(world: World, seen: Seen) -> None:
    async with httpx.AsyncClient(timeout=1, trust_env=False) as http:
        while True:
            seen.looks += 1
            await asyncio.gather(_platform(world, http, seen), _tower(world, seen))
            await asyncio.sleep(LOOK_SECONDS)


async def _platform(world: World, http: httpx.AsyncClient, seen: Seen) -> None:
    async def one(more: int, name: str) -> None:
        try:
            answer = await http.get(f"http://127.0.0.1:{world.facts.port + more}/ready")
        except httpx.TransportError:
            seen.add(f"{name} does not answer")
        else:
            if not answer.is_success:
                seen.add(f"{name} is not ready")

    await asyncio.gather(*(one(more, name) for more, name in _WHO.items()))
    with suppress(httpx.HTTPError, ValueError, KeyError):
        told = (await http.get(f"http://127.0.0.1:{world.facts.port}/v1/status")).json()
        if any(not one["works"] or one["is_silent"] for one in told["payouts"]):
            seen.add("the status page says that payouts wait")


async def _tower(world: World, seen: Seen) -> None:
    told = await asyncio.to_thread(status, world.facts.port + TOWER)
    if told is None:
        seen.add("watchtower does not answer")
        return
    if told.now_ms - told.lease_ms > LEASE_SECONDS * 1000:
        seen.add("no lease is granted")
    for network in told.networks:
        if network.fault:
            seen.add(f"watchtower does not see {network.network}")
