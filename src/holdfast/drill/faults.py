"""Faults in the middle of a drill: a process, a node or a line gone, a disk full. Money stays safe, and it goes on.

`--fault kill:signer`, and so on: it comes a moment after the attack begins, stays for some seconds and is mended. What
was lost is measured as ever, and what was seen meanwhile stands in the report; besides, an invoice that is made after
the mending must be paid and accepted. A line is *cut* at its relay, which both sides notice at once, or *unplugged*
between real networks, where packets are lost and nobody is told.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from errno import ENOSPC
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.core.errors import BadInput
from holdfast.drill import cables
from holdfast.drill.places import UIDS, Places, TrustZone
from holdfast.drill.seen import watched
from holdfast.faces.cli.serve import ZoneName

if TYPE_CHECKING:
    from holdfast.drill.world import World

AFTER_SECONDS = 2.0
LASTS_SECONDS = 6.0
BALLAST = "ballast"
DISK_MEBIBYTES = 512
_CHUNK = 1 << 20


class FaultUnknown(BadInput):
    """There is no fault of that name. Take one that `holdfast drill --help` names."""

    code = "drill-fault-unknown"


@dataclass(frozen=True, slots=True)
class Fault:
    """What breaks, and how it is mended."""

    name: str
    breaks: Callable[[World], Awaitable[None]]
    mends: Callable[[World], Awaitable[None]]
    disk: TrustZone | None = None
    """Whose disk must be a small one."""
    cable: str | None = None
    """The line that is pulled: then zones have networks of their own."""

    @property
    def not_run(self) -> str:
        """Why this host cannot break it; empty: it can."""
        if self.disk is not None and os.geteuid() != 0:
            return "it needs root"
        return cables.not_run() if self.cable is not None else ""


def names() -> list[str]:
    """Every fault."""
    zones = [f"kill:{name.value}" for name in ZoneName]
    dark = [f"dark:{zone}" for zone in (TrustZone.PLATFORM, TrustZone.SIGNER, TrustZone.WATCHTOWER)]
    full = [f"full:{zone}" for zone in (TrustZone.PLATFORM, TrustZone.SIGNER, TrustZone.WATCHTOWER)]
    dead = [f"dead:{zone}" for zone in (TrustZone.PLATFORM, TrustZone.SIGNER, TrustZone.WATCHTOWER)]
    unplugged = [f"unplugged:{line}" for line in cables.LINES]
    return [*zones, *dark, *dead, "cut:signer-watchtower", "cut:signer-platform", *unplugged, *full]


def fault(name: str) -> Fault:
    """The fault of that name. Raises `FaultUnknown`."""
    if name not in names():
        raise FaultUnknown(name)
    kind, _, what = name.partition(":")
    if kind == "kill":
        return Fault(name, partial(_kill, ZoneName(what)), partial(_up, ZoneName(what)))
    if kind == "dark":
        zone = TrustZone(what)
        return Fault(name, partial(_dark, zone, is_dark=True), partial(_dark, zone, is_dark=False))
    if kind == "dead":
        return Fault(name, partial(_node_dies, what), partial(_node_lives, what))
    if kind == "unplugged":
        return Fault(name, partial(_pull, what), partial(_plug, what), cable=what)
    if kind == "cut":
        return Fault(name, partial(_cut, what), partial(_mend, what))
    return Fault(name, partial(_fill, TrustZone(what)), partial(_empty, TrustZone(what)), TrustZone(what))


@asynccontextmanager
async def breaking(world: World, one: Fault | None) -> AsyncIterator[None]:
    """The fault comes and goes while the attack is played; it is mended in any case."""
    if one is None:
        yield
        return
    task = asyncio.create_task(_come_and_go(world, one))
    try:
        yield
        await task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _come_and_go(world: World, one: Fault) -> None:
    await asyncio.sleep(AFTER_SECONDS)
    world.event("fault", one.name)
    async with watched(world) as seen:
        try:
            await one.breaks(world)
            await asyncio.sleep(LASTS_SECONDS)
        finally:
            await one.mends(world)
            world.event("fault", f"{one.name} is mended")
    world.event("fault", f"seen meanwhile: {seen}")
    world.note(f"fault in the middle of it: {one.name}, for {LASTS_SECONDS:g} s; seen meanwhile: {seen}")


async def _kill(name: ZoneName, world: World) -> None:
    await world.zones[name].kill()


async def _up(name: ZoneName, world: World) -> None:
    world.zones[name].up()


async def _dark(zone: TrustZone, world: World, *, is_dark: bool) -> None:
    for node in ("litecoin", "anvil"):
        world.proxies[zone, node].is_dark = is_dark


async def _cut(link: str, world: World) -> None:
    world.links[link].cut()


async def _mend(link: str, world: World) -> None:
    world.links[link].mend()


async def _node_dies(zone: str, world: World) -> None:
    await world.witnesses[zone].kill()


async def _node_lives(zone: str, world: World) -> None:
    node = world.witnesses[zone]
    await node.start()
    async with world.blocks:  # both are to have the same newest block
        await node.join(world.outside.litecoin)


async def _pull(line: str, world: World) -> None:
    await world.cables.by_end[cables.LINES[line]].pull()


async def _plug(line: str, world: World) -> None:
    await world.cables.by_end[cables.LINES[line]].plug()


async def _fill(zone: TrustZone, world: World) -> None:
    await asyncio.to_thread(_fill_up, world.places.of(zone) / BALLAST)


async def _empty(zone: TrustZone, world: World) -> None:
    (world.places.of(zone) / BALLAST).unlink(missing_ok=True)


def _fill_up(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        for size in (_CHUNK, 4_096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError as error:
                if error.errno != ENOSPC:
                    raise


@asynccontextmanager
async def small_disk(places: Places, zone: TrustZone | None) -> AsyncIterator[None]:
    """The zone's directory lies on a disk of its own, which can be filled; needs root. Raises `CalledProcessError`."""
    if zone is None or os.geteuid() != 0:
        yield
        return
    directory, uid = places.of(zone), UIDS[zone]
    kept = directory.with_name(f"{directory.name}.kept")
    directory.rename(kept)
    directory.mkdir(mode=0o700)
    options = f"size={DISK_MEBIBYTES}m,uid={uid},gid={uid},mode=0700"
    await asyncio.to_thread(_run, "mount", "-t", "tmpfs", "-o", options, "none", str(directory))
    try:
        await asyncio.to_thread(_run, "cp", "-a", f"{kept}/.", str(directory))
        yield
    finally:
        await asyncio.to_thread(_run, "umount", "--lazy", str(directory))


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)  # noqa: S603  our own words
