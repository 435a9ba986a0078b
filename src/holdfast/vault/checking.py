"""The checking machine put together: its own settings, its own nodes, its own memory. It talks to nobody else.

Its settings name the quorum's root fingerprint, the officers' public files and the nodes. Evidence and drafts come as
files; what it writes goes to the officers' signing devices.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from holdfast.chains.agreement import AgreeingNodes
from holdfast.chains.outflow_agreement import open_outflow
from holdfast.chains.own_nodes import accesses, open_reader
from holdfast.chains.safe_reads import SafeReads
from holdfast.chains.zone_settings import NodeAccess, read_settings
from holdfast.core.errors import BadInput, Conflict
from holdfast.core.journal import StoredEntry
from holdfast.core.money import Asset, AssetId
from holdfast.core.networks import EvmNetwork, Network, network_by_id
from holdfast.core.orders import EVERYTHING
from holdfast.core.tower_status import TowerStatus
from holdfast.policy.document import AssetPolicy, Policy
from holdfast.policy.people import Times
from holdfast.vault.drafts import OfficersVault
from holdfast.vault.evidence import Evidence, read_evidence
from holdfast.vault.looking import Eyes, SettlementBlocked, tokens_of
from holdfast.vault.officers import OfficerPublic
from holdfast.vault.settling import Bench, Memory


class CheckingSettingsWrong(BadInput):
    """A line of the checking machine's settings cannot be used. Correct the one that the detail names."""

    code = "checking-settings-wrong"


class AssetNotInPolicy(Conflict):
    """No policy in force has this asset, so nothing of it was ever paid out. Check the asset's id."""

    code = "asset-not-in-policy"


class CheckingNetwork(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A network that is looked at here."""

    nodes: Annotated[tuple[NodeAccess, ...], Meta(min_length=1)]
    birth_height: Annotated[int, Meta(ge=0)] = 0
    """No money came to vault or float before this block: where looking begins."""


class CheckingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The file `checking.toml`. Paths are relative to its directory."""

    root_fingerprint: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    """Of the quorum, obtained out of band."""
    officers: Annotated[tuple[Path, ...], Meta(min_length=1)]
    """Each officer's public file."""
    threshold: Annotated[int, Meta(ge=1)]
    memory_file: Path = Path("checked.json")
    """What this machine remembers; an officer's own record."""
    watchtower: str | None = None
    """`HOST:PORT`: nothing is settled that it shows as frozen, or while it is silent. None: the journal alone tells."""
    networks: dict[str, CheckingNetwork]
    """By CAIP-2 id."""


def load(path: Path) -> CheckingSettings:
    """The settings in a file. Raises `CheckingSettingsWrong`."""
    settings = read_settings(path, CheckingSettings, CheckingSettingsWrong)
    return msgspec.structs.replace(settings, memory_file=path.absolute().parent / settings.memory_file)


@asynccontextmanager
async def open_bench(
    settings: CheckingSettings, asset: str, stored: Sequence[StoredEntry], memory: Memory, now: int
) -> AsyncIterator[tuple[Bench, Asset]]:
    """A bench for one asset, its evidence checked and proved on this machine's nodes. `now`: seconds since 1970.

    Raises `EvidenceFalse`, `EvidenceRolledBack`, `EvidenceUnproved`, `SettlementBlocked`, `AssetNotInPolicy`, ...
    """
    evidence = read_evidence(stored, settings.root_fingerprint, memory.seen)
    policies = evidence.record.policies.in_force(Times(now, now))
    network = network_by_id(asset.partition("/")[0])
    if not policies or any(asset not in policy.assets for policy in policies) or network.id not in settings.networks:
        raise AssetNotInPolicy(asset[:120])
    bench = _bench(settings, network, evidence, policies, memory)
    try:
        await bench.look()
        memory.seq, memory.head = evidence.record.head.seq, evidence.record.head.hash
        yield bench, _asset(asset, policies[0].assets[asset])
    finally:
        await bench.eyes.reader.close()
        await bench.eyes.outflow.close()
        if bench.safe_reads is not None:
            await bench.safe_reads.close()


def refuse_frozen(status: TowerStatus, asset: str) -> None:
    """Nothing is settled where somebody has frozen payouts, also where the signer has not written it down.

    Raises `SettlementBlocked`. Its word is taken for stopping alone: the rest is checked as ever.
    """
    frozen = sorted({EVERYTHING, asset, asset.partition("/")[0]} & {*status.frozen})
    if frozen:
        why = [stop.reason for stop in status.stops if stop.scope in frozen and not stop.ended]
        raise SettlementBlocked(f"frozen at the watchtower: {', '.join(frozen)}: {'; '.join(why)}"[:400])


def _bench(
    settings: CheckingSettings, network: Network, evidence: Evidence, policies: Sequence[Policy], memory: Memory
) -> Bench:
    people = tuple(msgspec.json.decode(path.read_bytes(), type=OfficerPublic) for path in settings.officers)
    vault, mine = OfficersVault(network, people, settings.threshold), settings.networks[network.id]
    found = accesses(network, mine.nodes)
    assets = [_asset(name, limits) for name, limits in policies[0].assets.items() if name.startswith(f"{network.id}/")]
    is_evm = isinstance(network, EvmNetwork)
    eyes = Eyes(
        network=network,
        reader=AgreeingNodes([open_reader(network, access) for access in found]),
        outflow=open_outflow(network, found),
        tokens=tokens_of(assets),
        descriptor="" if is_evm else vault.descriptor,
        safe=vault.safe.address if is_evm else "",
        birth_height=mine.birth_height,
    )
    first = found[0]
    reads = SafeReads(first.url, vault.safe.address, name=first.name, credentials=first.credentials) if is_evm else None
    return Bench(eyes, vault, evidence, policies, memory, reads)


def _asset(name: str, limits: AssetPolicy) -> Asset:
    return Asset(AssetId(name), limits.symbol, limits.decimals)
