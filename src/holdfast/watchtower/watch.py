"""Looks at one network again and again, on the watchtower's own nodes, and ends the lease at the first mismatch.

Each node is looked at for itself: one that shows a theft is believed, all must show that there is none.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
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
    _judged: set[tuple[str, str | None]] = field(default_factory=set)
    """Mismatches that are dealt with: transaction and block."""

    def __post_init__(self) -> None:
        self.places = Places(self.network, self.sources, self.accounts)
        self.fold.listeners.append(self.news)
        self._see(NetworkSeen(self.network.id, 0, 0, "not looked at yet"))

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            begun = time.monotonic()
            await self.look()
            await asyncio.sleep(max(0.0, begun + self.milliseconds / 1000 - time.monotonic()))

    @property
    def height(self) -> int:
        """Up to here every node's blocks were looked through; -1: nothing yet."""
        return min((one.trail.height for one in self.lookouts), default=-1)

    async def look(self) -> None:
        """One look at all nodes; whatever does not match has ended the lease once this returns."""
        await self.learn()
        begun_ms = self.tower.now_ms()
        looks = await asyncio.gather(*(self._look_at(one) for one in self.lookouts))
        told = [each for one in self.lookouts for each in one.told()]
        if len(self.sources.found) != self._found:
            self._found = len(self.sources.found)
            self.places.reach()
        async with self.lock:
            await self.learn_now()
            mismatches = judge(self.fold.record, self.places.ground, told, self.sources.found)
            for mismatch in [*mismatches, *self._counts(looks, told)]:
                self._stop(mismatch)
            fault = self._fault(looks)
        before = self.tower.eyes.networks[self.network.id]
        self._see(NetworkSeen(self.network.id, max(0, self.height), before.looked_ms if fault else begun_ms, fault))

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

    async def _look_at(self, lookout: Lookout) -> Look | HoldfastError:
        try:
            return await lookout.look(self.sources)
        except HoldfastError as error:
            return error

    def _fault(self, looks: Iterable[Look | HoldfastError]) -> str:
        """Why this look does not count; empty: it does."""
        expected = self.fold.record.heights.get(self.network.id, 0)
        for one, look in zip(self.lookouts, looks, strict=True):
            if isinstance(look, HoldfastError):
                return f"{one.name}: {look.code}: {look.detail}"[:300]
            if not look.is_whole:
                return f"{one.name}: reads blocks up to {one.trail.height} of {look.tip.height}"
            if look.tip.height < expected:
                return f"{one.name}: at height {look.tip.height}, the journal names {expected}"
        hashes = {one.trail.recent.get(self.height, "") for one in self.lookouts}
        return "" if len(hashes) == 1 else f"the nodes tell different blocks at height {self.height}"

    def _counts(self, looks: Iterable[Look | HoldfastError], told: list[Outgoing]) -> list[Mismatch]:
        """Nonces that are used, for which the journal orders nothing and no node shows a transaction."""
        record, ground, found = self.fold.record, self.places.ground, []
        shown = {one.source for one in told}
        for look in looks:
            for account, used in () if isinstance(look, HoldfastError) else look.used.items():
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
