"""The way back to normal after an attack: fresh float keys where they were stolen, then step by step by the quorum.

It is what the runbook (`holdfast restore`) asks people for, done at once by people who were waiting for it. The time is
the program's and the policy's, not people's: in a drill the soak time between steps is a second.
"""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from collections.abc import Sequence

import msgspec
from coincurve import PublicKey

from holdfast.chains.evm_contracts import float_of
from holdfast.chains.evm_deploy import deploy_float
from holdfast.core.errors import Unavailable
from holdfast.core.evm_transactions import address_of
from holdfast.core.networks import BitcoinNetwork, network_by_id
from holdfast.core.orders import CHECKS, STEPS, FloatKey, Restore, RotateFloat, Stage
from holdfast.drill import officers
from holdfast.drill.places import TrustZone, as_zone
from holdfast.drill.waiting import until
from holdfast.drill.world import World, now_ms
from holdfast.faces.cli.local_setup import ANVIL_KEY
from holdfast.faces.cli.serve import ZoneName
from holdfast.vault import orders
from holdfast.vault.officers import OfficerPublic

THRESHOLD = 2
SIGN_SECONDS = 1.5
"""How long an order is given to be taken before another one is signed."""
GAS_UNITS = 2 * 10**18
FUNDED = {"rLTC": 20 * 10**8, "ETH": 2 * 10**18}
"""What the company puts into the new floats: enough to show that they pay."""


class RotationFailed(Unavailable):
    """The signer's keys were not renewed, so nothing was restored. Read what the command said, in the detail."""

    code = "drill-rotation-failed"
    retry = False


async def restore(world: World) -> float | None:
    """Walk back to normal; seconds since the first freeze. None where nothing is frozen.

    Raises `DrillStuck`, `RotationFailed` and what the order's way raises.
    """
    if not world.stops or world.told is None or not world.told.stages:
        return None
    began = min(stop.received_ms for stop in world.stops)
    stolen = sorted({one.scope for one in world.stops if one.by in ("signer", "watchtower")})
    await _rotate(world, [one for one in stolen if ":" in one and "/" not in one])
    for stage in STEPS:
        await _step(world, tuple(sorted(world.told.stages)), stage)
    return round((now_ms() - began) / 1_000, 1)


async def _step(world: World, scopes: tuple[str, ...], stage: Stage) -> None:
    """Sign this step, and again as long as the one before has not lasted: an order counts from when it was signed."""

    async def is_taken() -> bool:
        if await _are(world, scopes, stage.value):
            return True
        wanted = Restore(scopes=scopes, stage=stage, at=now_ms() // 1_000, number=now_ms(), checked=CHECKS)
        await officers.order(world, wanted)
        return False

    await until(is_taken, f"the scopes did not become {stage.value}", pause_seconds=SIGN_SECONDS)
    world.event("officers", f"{', '.join(scopes)}: {stage.value}")


async def _are(world: World, scopes: Sequence[str], stage: str) -> bool:
    told = world.told
    return told is not None and {told.stages.get(scope, Stage.NORMAL.value) for scope in scopes} == {stage}


async def _rotate(world: World, networks: Sequence[str]) -> None:
    """Fresh float keys, their orders by the quorum, and the company's money at the new places."""
    if not networks:
        return
    await world.zones[ZoneName.SIGNER].kill()  # in the thief's hands or not: nobody waits for it
    keys = [await _renewed(world, network) for network in networks]
    await asyncio.gather(*(_placed(world, key) for key in keys))
    for key in keys:
        await officers.order(world, RotateFloat(key, now_ms()))
    world.zones[ZoneName.SIGNER].up()

    async def are_taken() -> bool:
        query = "SELECT count(*) FROM payments.signer_documents WHERE kind = 'order' AND journal_seq IS NULL"
        return await world.rows(query) == [(0,)]

    await until(are_taken, "the signer did not take the new float keys")
    world.event("officers", f"new float keys on {', '.join(networks)}")


async def _renewed(world: World, network: str) -> FloatKey:
    """The signer's next key for this network, as the officers compute its place."""
    made = await _command(world, "rotate", "float", network, "--dir", str(world.places.of(TrustZone.SIGNER)), "--json")
    files = sorted(world.places.officers.glob("officer-*.json"))
    people = [msgspec.json.decode(path.read_bytes(), type=OfficerPublic) for path in files]
    return orders.float_key(network_by_id(network), str(json.loads(made)["public_key"]), people, THRESHOLD)


async def _placed(world: World, key: FloatKey) -> None:
    """The company's money, and on EVM networks the contract, where the new float is."""
    if isinstance(network_by_id(key.network), BitcoinNetwork):
        await world.outside.pay("rLTC", key.address, FUNDED["rLTC"])
        return
    owner = address_of(PublicKey(bytes.fromhex(key.public_key)))
    await deploy_float(world.outside.evm.rpc_url, owner, key.vault, ANVIL_KEY)
    assert float_of(owner, key.vault) == key.address  # noqa: S101  both are computed from the same facts
    await world.outside.pay("ETH", owner, GAS_UNITS)
    await world.outside.pay("ETH", key.address, FUNDED["ETH"])


async def _command(world: World, *words: str) -> str:
    """One of our commands as the signer's own user; what it printed."""
    argv = (*as_zone(TrustZone.SIGNER), sys.executable, "-m", "holdfast", *words)
    process = await asyncio.create_subprocess_exec(*argv, stdout=PIPE, stderr=PIPE, cwd="/")
    out, said = await process.communicate()
    if process.returncode != 0:
        raise RotationFailed(said.decode(errors="replace").strip()[-400:])
    return out.decode()
