"""All that the watchtower does by itself, beside answering: it begins where it stood, and looks at every network."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress

import msgspec

from holdfast.chains.outgoing import Sources
from holdfast.core.errors import HoldfastError
from holdfast.core.leases import ENTRIES_MAX
from holdfast.core.networks import network_by_id
from holdfast.watchtower.answers import Tower
from holdfast.watchtower.fold import Fold
from holdfast.watchtower.nodes import open_lookouts, tokens
from holdfast.watchtower.settings import TowerSettings
from holdfast.watchtower.watch import Log, Watch

BLOCKS_AGAIN = 10
"""Read once more after a restart, since the chain may have changed meanwhile."""
_KEPT_SECONDS = 5


class Kept(msgspec.Struct, frozen=True):
    """What is remembered across restarts beside the store. Without it more blocks are read again, and no fewer."""

    heights: dict[str, int] = {}
    """By network: up to which block it was looked through."""


class Guard:
    """The looks at all networks of the settings."""

    def __init__(self, tower: Tower, fold: Fold, settings: TowerSettings, lock: asyncio.Lock, log: Log) -> None:
        """Opens the nodes and reads the tower's own journal. Raises `NetworkUnknown`, `NodeUrlMalformed`."""
        self.fold = fold
        self._tower, self._log = tower, log
        self._path = settings.data_file.with_name(f"{settings.data_file.name}.places")
        self.watches = [
            Watch(
                network := network_by_id(name), open_lookouts(network, access), tower, fold, lock, log,
                settings.watch_milliseconds, access.accounts, Sources(tokens=tokens(network, access)),
            )
            for name, access in settings.networks.items()
        ]  # fmt: skip

        while entries := tower.store.entries(fold.record.head.seq, ENTRIES_MAX):
            fold.restore(entries)

    async def run(self) -> None:
        """Look until cancelled. Raises what no look survives: the store's errors."""
        kept = self._kept()
        for watch in self.watches:
            height = kept.heights.get(watch.network.id, self.fold.lowest.get(watch.network.id))
            watch.begin(None if height is None else max(0, height - BLOCKS_AGAIN))
        tasks = [asyncio.ensure_future(each) for each in (*(watch.run() for watch in self.watches), self._keep())]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def close(self) -> None:
        """Close the nodes' connections."""
        for watch in self.watches:
            with suppress(HoldfastError):
                await watch.close()

    def _kept(self) -> Kept:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Kept)
        except (OSError, msgspec.DecodeError):
            return Kept()

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(_KEPT_SECONDS)
            heights = {str(watch.network.id): watch.height for watch in self.watches if watch.height >= 0}
            text = msgspec.json.encode(Kept(heights))
            new = self._path.with_suffix(".new")
            try:
                new.write_bytes(text)
                os.replace(new, self._path)
            except OSError as error:
                self._log("places_not_kept", level="warning", detail=str(error))
