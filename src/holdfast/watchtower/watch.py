"""Looks at one network again and again, on the watchtower's own nodes, and ends the lease at the first mismatch.

Each node is looked at for itself: one that shows a theft is believed, all must show that there is none.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from holdfast.chains.outgoing import Look, Lookout, Outgoing, Sources
from holdfast.core.errors import HoldfastError
from holdfast.core.journal import Entry
from holdfast.core.networks import Network
from holdfast.core.tower_status import Alarm, NetworkSeen
from holdfast.watchtower.answers import Tower
from holdfast.watchtower.fold import Fold
from holdfast.watchtower.ground import Places
from holdfast.watchtower.matching import Mismatch, Role, judge

Log = Callable[..., None]
_UNSEEN = "not looked at yet"
_LEARNED_AT_ONCE = 500
"""Entries between two moments in which others may go on."""


@dataclass(slots=True)
class Watch:
    """One network."""

    network: Network
    lookouts: tuple[Lookout, ...]
    tower: Tower
    fold: Fold
    lock: asyncio.Lock
    """Behind which requests are answered: store and record are used by one at a time."""
    log: Log
    milliseconds: int
    accounts: tuple[str, ...] = ()
    sources: Sources = field(default_factory=Sources)
    news: deque[Entry] = field(default_factory=deque)
    places: Places = field(init=False)
    _found: int = 0
    _nodes: dict[str, tuple[int, str]] = field(default_factory=dict)
    """When each node was last looked at in full, and its fault."""

    def __post_init__(self) -> None:
        self.places = Places(self.network, self.sources, self.accounts)
        self.fold.listeners.append(self.news)
        self._see(NetworkSeen(self.network.id, 0, 0, _UNSEEN))

    async def run(self) -> None:
        """Look until cancelled: at each node by itself, so that one that is slow hides nothing that another shows."""
        tasks = [asyncio.ensure_future(self._run(one)) for one in self.lookouts]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def height(self) -> int:
        """Up to here every node's blocks were looked through; -1: nothing yet."""
        return min((one.trail.height for one in self.lookouts), default=-1)

    async def look(self, lookout: Lookout) -> None:
        """One look at one node; whatever does not match has ended the lease once this returns."""
        await self.learn()
        begun_ms, look = self.tower.now_ms(), await self._look_at(lookout)
        if len(self.sources.found) != self._found:
            self._found = len(self.sources.found)
            self.places.reach()
        async with self.lock:
            await self.learn_now()
            told = lookout.told()
            for mismatch in judge(self.fold.record, self.places.ground, told, self.sources.found):
                self._stop(mismatch)
            for mismatch in () if isinstance(look, HoldfastError) else self._counts(look, told):
                self._stop(mismatch)
            fault = self._fault(lookout, look)
        before = self._nodes.get(lookout.name, (0, ""))
        self._nodes[lookout.name] = (before[0] if fault else begun_ms, fault)
        self._see(self._seen(begun_ms))

    async def learn(self) -> None:
        """Watch what new entries bring, and let others go on meanwhile."""
        while self.news:
            async with self.lock:
                await self.learn_now(_LEARNED_AT_ONCE)
            await asyncio.sleep(0)

    async def learn_now(self, count_max: int = 10**9) -> None:
        """The same, for who holds the lock."""
        while self.news and count_max:
            self.places.learn(self.news.popleft(), self.fold.record)
            count_max -= 1

    def begin(self, height: int | None) -> None:
        """Read blocks from this height on; None: from a few below the newest."""
        for one in self.lookouts:
            one.trail.start_height = height

    async def close(self) -> None:
        """Close the connections."""
        for one in self.lookouts:
            await one.close()

    def _seen(self, now_ms: int) -> NetworkSeen:
        """What all nodes together show: the oldest look counts, and any fault."""
        looked, faults = [], []
        for one in self.lookouts:
            looked_ms, fault = self._nodes.get(one.name, (0, _UNSEEN))
            if not fault and now_ms - looked_ms >= self.tower.eyes.blind_ms:
                fault = "it does not answer"
            looked.append(looked_ms)
            faults += [f"{one.name}: {fault}"] if fault else []
        return NetworkSeen(self.network.id, max(0, self.height), min(looked), "; ".join(faults)[:600])

    async def _run(self, lookout: Lookout) -> None:
        while True:
            begun = time.monotonic()
            await self.look(lookout)
            await asyncio.sleep(max(0.0, begun + self.milliseconds / 1000 - time.monotonic()))

    async def _look_at(self, lookout: Lookout) -> Look | HoldfastError:
        try:
            return await lookout.look(self.sources)
        except HoldfastError as error:
            return error

    def _fault(self, lookout: Lookout, look: Look | HoldfastError) -> str:
        """Why this look does not count; empty: it does."""
        expected = self.fold.record.heights.get(self.network.id, 0)
        if isinstance(look, HoldfastError):
            return f"{look.code}: {look.detail}"[:250]
        if not look.is_whole:
            return f"reads blocks up to {lookout.trail.height} of {look.tip.height}"
        if look.tip.height < expected:
            return f"at height {look.tip.height}, the journal names {expected}"
        height = min(one.trail.height for one in self.lookouts if one.trail.recent)
        hashes = {one.trail.recent[height] for one in self.lookouts if height in one.trail.recent}
        return "" if len(hashes) == 1 else f"the nodes tell different blocks at height {height}"

    def _counts(self, look: Look, told: list[Outgoing]) -> list[Mismatch]:
        """Nonces that are used, for which the journal orders nothing and no node shows a transaction."""
        record, ground, found = self.fold.record, self.places.ground, []
        shown = {one.source for one in told}
        for account, used in look.used.items():
            role = ground.addresses.get(account, Role.OLD_FLOAT)
            holder = record.floats[self.network.id].address if role is Role.FLOAT else account
            expected = record.nonces.get(holder, 0)
            if used > expected and f"{account}:{expected}" not in shown and role is not Role.OLD_FLOAT:
                detail = f"nonce {expected} of {account} is used, and the journal orders nothing for it"
                found.append(Mismatch(role, "", detail))
        return found

    def _stop(self, mismatch: Mismatch) -> None:
        tower, scope, now_ms = self.tower, self.network.id, self.tower.now_ms()
        transactions = (mismatch.transaction,) if mismatch.transaction else ()
        alarm = Alarm(now_ms, f"{mismatch.role.replace(' ', '-')}-spent", scope, mismatch.detail, transactions)
        if tower.eyes.alarm(alarm):
            self.log("alarm", level="error", **msgspec.structs.asdict(alarm))
        if mismatch.role is not Role.OLD_FLOAT and not tower.store.is_stopped_for(scope, mismatch.detail):
            tower.store.stop(scope, mismatch.detail, now_ms)
            self.log("stopped_scope", level="error", scope=scope, reason=mismatch.detail, transactions=transactions)

    def _see(self, seen: NetworkSeen) -> None:
        before = self.tower.eyes.networks.get(self.network.id)
        self.tower.eyes.networks[self.network.id] = seen
        if before is None or before.fault != seen.fault:
            level = "warning" if seen.fault else "info"
            self.log("sees", level=level, network=seen.network, height=seen.height, fault=seen.fault)
