"""Whether the vault on chain still holds what merchants are entitled to: from the journal and own nodes alone.

The platform's ledger counts for nothing here. It is the net under the looks at transactions: whatever way money
left the vault, the sum that lies there tells.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from holdfast.chains.port import Node
from holdfast.chains.vault_reads import AgreeingVaultNodes, Places as VaultPlaces
from holdfast.core.errors import HoldfastError
from holdfast.core.money import AssetId
from holdfast.core.networks import EvmNetwork
from holdfast.core.tower_status import Alarm
from holdfast.policy.record import Record
from holdfast.watchtower.matching import Role
from holdfast.watchtower.verifying import Verifier
from holdfast.watchtower.watch import Watch

LOOKS = 2
"""A gap is one that is seen so many times in a row, at the same journal."""


@dataclass(slots=True)
class Reconciler:
    """One network."""

    watch: Watch
    verifier: Verifier
    reader: Node
    vault: AgreeingVaultNodes
    seconds: float
    _seen: dict[AssetId, tuple[int, int]] = field(default_factory=dict)
    """By asset: the head's number at which a gap was seen, and how often."""

    async def run(self) -> None:
        """Compare until cancelled."""
        while True:
            await asyncio.sleep(self.seconds)
            try:
                await self.compare()
            except HoldfastError as error:
                self.watch.log(
                    "not_reconciled", level="warning", network=self.watch.network.id, detail=str(error)[:300]
                )

    async def compare(self) -> None:
        """Compare once; a gap that stays freezes its asset. Raises what nodes raise."""
        watch, tower = self.watch, self.watch.tower
        if self.verifier.news or tower.eyes.networks[watch.network.id].fault:
            return  # what is not read yet is no gap
        async with watch.lock:
            seq, owed, places = watch.fold.record.head.seq, owed_on(watch.fold.record, watch.network.id), self._places()
        held = await self.vault.lying(await self.reader.tip(), places)
        if held is None:
            return
        async with watch.lock:
            for asset, missing in gaps(owed, held).items():
                before, times = self._seen.get(asset, (seq, 0))
                self._seen[asset] = (seq, times + 1 if before == seq else 1)
                if self._seen[asset][1] == LOOKS:
                    reason = f"the vault holds {missing} units of {asset} less than merchants are entitled to"
                    tower.eyes.alarm(Alarm(tower.now_ms(), "vault-short", asset, reason))
                    watch.log("alarm", level="error", kind="vault-short", scope=asset, detail=reason)
                    tower.store.stop(asset, f"{reason}, at entry {seq}", tower.now_ms())
            self._seen = {asset: one for asset, one in self._seen.items() if asset in gaps(owed, held)}

    async def close(self) -> None:
        """Close the connections."""
        await self.vault.close()

    def _places(self) -> VaultPlaces:
        ground, sources = self.watch.places.ground, self.watch.sources
        if isinstance(self.watch.network, EvmNetwork):
            addresses = [each for each, role in ground.addresses.items() if role is Role.VAULT]
            return VaultPlaces(addresses=addresses, tokens=sources.tokens)
        outputs = {**sources.found, **ground.outpoints}
        return VaultPlaces([each for each, at in outputs.items() if ground.addresses.get(at) is Role.VAULT])


def owed_on(record: Record, network: str) -> dict[AssetId, int]:
    """What merchants may still take, by asset. Who is below zero makes nobody else's money less."""
    owed: dict[AssetId, int] = {}
    for (_, asset), units in record.entitlements.items():
        if asset.startswith(f"{network}/"):
            owed[AssetId(asset)] = owed.get(AssetId(asset), 0) + max(0, units)
    return owed


def gaps(owed: Mapping[AssetId, int], held: Mapping[tuple[str, AssetId], int]) -> dict[AssetId, int]:
    """By asset: how much less lies there than is owed."""
    lying: dict[AssetId, int] = {}
    for (_, asset), units in held.items():
        lying[asset] = lying.get(asset, 0) + units
    return {asset: units - lying.get(asset, 0) for asset, units in owed.items() if units > lying.get(asset, 0)}
