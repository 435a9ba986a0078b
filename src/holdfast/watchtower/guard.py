"""All that the watchtower does by itself, beside answering: it begins where it stood, and looks at every network."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from contextlib import suppress

import msgspec

from holdfast.chains.outgoing import Sources
from holdfast.chains.own_nodes import listed_tokens
from holdfast.core.errors import HoldfastError
from holdfast.core.journal import Entry
from holdfast.core.leases import ENTRIES_MAX
from holdfast.core.networks import network_by_id
from holdfast.core.orders import EVERYTHING
from holdfast.core.tower_status import Alarm
from holdfast.watchtower.answers import Tower
from holdfast.watchtower.fold import Fold
from holdfast.watchtower.habits import Habits
from holdfast.watchtower.nodes import open_lookouts, open_readers, open_vault
from holdfast.watchtower.reconciling import Reconciler
from holdfast.watchtower.settings import TowerSettings
from holdfast.watchtower.verifying import Verifier
from holdfast.watchtower.watch import Log, Watch

BLOCKS_AGAIN = 10
"""Read once more after a restart, since the chain may have changed meanwhile."""
_KEPT_SECONDS = 5


class Kept(msgspec.Struct, frozen=True):
    """What is remembered across restarts beside the store. Without it more blocks are read again, and no fewer."""

    heights: dict[str, int] = {}
    """By network: up to which block it was looked through."""
    verified: dict[str, int] = {}
    """By network: entries up to here were found on its chain."""


class Guard:
    """The looks at all networks of the settings."""

    def __init__(self, tower: Tower, fold: Fold, settings: TowerSettings, lock: asyncio.Lock, log: Log) -> None:
        """Opens the nodes and reads the tower's own journal. Raises `NetworkUnknown`, `NodeUrlMalformed`."""
        self.fold = fold
        self._tower, self._log = tower, log
        self._silence_ms = settings.silence_seconds * 1_000
        self._habits, self._news = Habits(), deque[Entry]()
        self._path = settings.data_file.with_name(f"{settings.data_file.name}.places")
        self.watches = [
            Watch(
                network := network_by_id(name), open_lookouts(network, access), tower, fold, lock, log,
                settings.watch_milliseconds, access.accounts, Sources(tokens=listed_tokens(network, access.tokens)),
            )
            for name, access in settings.networks.items()
        ]  # fmt: skip

        kept = self._kept()
        self.verifiers = [
            Verifier(
                network := network_by_id(name), *open_readers(network, access),
                listed_tokens(network, access.tokens), tower, fold,
                lock, log, after=kept.verified.get(name, 0),
            )
            for name, access in settings.networks.items()
        ]  # fmt: skip
        self.reconcilers = [
            Reconciler(
                watch, verifier, verifier.reader,
                open_vault(watch.network, settings.networks[str(watch.network.id)], ""), settings.reconcile_seconds,
            )
            for watch, verifier in zip(self.watches, self.verifiers, strict=True)
        ]  # fmt: skip
        while entries := tower.store.entries(fold.record.head.seq, ENTRIES_MAX):
            fold.restore(entries)
        fold.listeners.append(self._news)  # what is held already is no news

    async def run(self) -> None:
        """Look until cancelled. Raises what no look survives: the store's errors."""
        kept = self._kept()
        for watch in self.watches:
            height = kept.heights.get(watch.network.id, self.fold.lowest.get(watch.network.id))
            watch.begin(None if height is None else max(0, height - BLOCKS_AGAIN))
        jobs = [
            *(one.run() for one in self.watches),
            *(one.run() for one in self.verifiers),
            *(one.run() for one in self.reconcilers),
            self._keep(),
            self._mind(),
        ]
        tasks = [asyncio.ensure_future(job) for job in jobs]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def close(self) -> None:
        """Close the nodes' connections."""
        closings = [*(one.close() for one in self.watches), *(one.close() for one in self.verifiers)]
        for closing in (*closings, *(one.close() for one in self.reconcilers)):
            with suppress(HoldfastError):
                await closing

    async def _mind(self) -> None:
        """Tell what is unusual, and that nobody asks for a lease any more."""
        quiet_since = self._tower.now_ms()
        while True:
            await asyncio.sleep(1)
            now_ms = self._tower.now_ms()
            alarms = [each for entry in self._drained() for each in self._habits.take(entry, self.fold.record, now_ms)]
            last_ms = max(self._tower.eyes.lease_ms, quiet_since)
            if self._silence_ms and now_ms - last_ms > self._silence_ms and self.fold.record.head.seq:
                alarms.append(Alarm(now_ms, "silence", EVERYTHING, f"no lease was granted since {last_ms} ms"))
            for alarm in alarms:
                if self._tower.eyes.alarm(alarm):
                    self._log("alarm", level="warning", **msgspec.structs.asdict(alarm))

    def _drained(self) -> list[Entry]:
        entries = []
        while self._news:
            entries.append(self._news.popleft())
        return entries

    def _kept(self) -> Kept:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Kept)
        except (OSError, msgspec.DecodeError):
            return Kept()

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(_KEPT_SECONDS)
            heights = {str(watch.network.id): watch.height for watch in self.watches if watch.height >= 0}
            verified = {str(one.network.id): one.verified for one in self.verifiers}
            text = msgspec.json.encode(Kept(heights, verified))
            new = self._path.with_suffix(".new")
            try:
                new.write_bytes(text)
                os.replace(new, self._path)
            except OSError as error:
                self._log("places_not_kept", level="warning", detail=str(error))
