"""Real networks between the zones of a drill, for faults that pull a cable: packets are lost, and nobody is told.

Signer, watchtower and incident process each get a network namespace of their own, which only a process of ours keeps:
when that ends, however it ends, nothing of it is left. Every line of such a zone is a pair of virtual interfaces, and
a line is pulled by taking the outer one down. The platform stays where the drill itself is.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from ipaddress import IPv4Address

from holdfast.core.errors import Unavailable
from holdfast.drill.places import TrustZone
from holdfast.runtime.supervise import die_with_parent

NODES = "nodes"
CABLES: Mapping[TrustZone, tuple[str, ...]] = {
    TrustZone.SIGNER: (NODES, "watchtower", "platform"),
    TrustZone.WATCHTOWER: (NODES, "platform"),
    TrustZone.INCIDENT: (NODES, "watchtower", "platform"),
}
"""What each zone in a network of its own is connected with. Of two such zones it is the one that dials."""
LINES = {
    "signer-watchtower": (TrustZone.SIGNER, "watchtower"),
    "signer-platform": (TrustZone.SIGNER, "platform"),
    "platform-watchtower": (TrustZone.WATCHTOWER, "platform"),
    "incident-watchtower": (TrustZone.INCIDENT, "watchtower"),
    "incident-platform": (TrustZone.INCIDENT, "platform"),
}
"""Every line between two zones, and the cable that is pulled for it."""
_FIRST = int(IPv4Address("10.128.0.0"))
_SUBNETS, _ADDRESSES = 1 << 17, 64
"""Of 10.128.0.0/9, one part for each drill that may run beside this one."""
_KEEPER = "ip link set lo up && echo up && exec sleep infinity"


class NetworkNotMade(Unavailable):
    """A network namespace of a drill could not be made. Read in the detail what the system said."""

    code = "drill-network-not-made"
    retry = False


@dataclass(frozen=True, slots=True)
class Cable:
    """One line of a zone. Addresses are of its two ends: of the drill's, and of the zone's own."""

    interface: str
    host: str
    own: str

    async def pull(self) -> None:
        """Whatever is sent is lost from now on, in both directions."""
        await _run("ip", "link", "set", self.interface, "down")

    async def plug(self) -> None:
        """It passes again; what was open may go on."""
        await _run("ip", "link", "set", self.interface, "up")


@dataclass(slots=True)
class Cables:
    """The networks of one drill; empty where zones share the machine's."""

    keepers: dict[TrustZone, subprocess.Popen[bytes]] = field(default_factory=dict)
    by_end: dict[tuple[TrustZone, str], Cable] = field(default_factory=dict)

    def within(self, zone: TrustZone) -> tuple[str, ...]:
        """What to put before a command so that it runs in the zone's network."""
        keeper = self.keepers.get(zone)
        return () if keeper is None else ("nsenter", f"--net=/proc/{keeper.pid}/ns/net", "--")

    def host(self, zone: TrustZone, line: str) -> str:
        """Where the zone finds the drill's end of this line."""
        cable = self.by_end.get((zone, line))
        return "127.0.0.1" if cable is None else cable.host

    def own(self, zone: TrustZone, line: str) -> str:
        """Where others find the zone on this line."""
        cable = self.by_end.get((zone, line))
        return "127.0.0.1" if cable is None else cable.own


@asynccontextmanager
async def connected(*, is_wanted: bool) -> AsyncIterator[Cables]:
    """A network for each zone of `CABLES`, or none. Raises `NetworkNotMade`."""
    made = Cables()
    try:
        if is_wanted:
            for zone in CABLES:
                made.keepers[zone] = await asyncio.to_thread(_keeper)
            for number, (zone, line) in enumerate((zone, line) for zone, lines in CABLES.items() for line in lines):
                made.by_end[zone, line] = await _cable(number, made.keepers[zone].pid)
        yield made
    finally:
        for keeper in made.keepers.values():
            keeper.kill()
            await asyncio.to_thread(keeper.wait)


@cache
def not_run() -> str:
    """Why no cable can be pulled on this host; empty: it can."""
    missing = [name for name in ("ip", "unshare", "nsenter") if shutil.which(name) is None]
    if os.geteuid() != 0 or missing:
        return f"{', '.join(missing)} is not installed" if missing else "it needs root"
    words = ("unshare", "--net", "ip", "link", "add", "type", "veth")
    tried = subprocess.run(words, capture_output=True, check=False)  # noqa: S603  our own words
    return tried.stderr.decode(errors="replace").strip()[-200:] if tried.returncode else ""


def _keeper() -> subprocess.Popen[bytes]:
    """A process in a network namespace of its own, with nothing in it but a loopback."""
    words = ("unshare", "--net", "--", "sh", "-c", _KEEPER)
    process = subprocess.Popen(  # noqa: S603  our own words
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        preexec_fn=partial(die_with_parent, os.getpid(), signal.SIGKILL),  # noqa: PLW1509  no thread holds a lock
    )  # fmt: skip
    assert process.stdout is not None  # noqa: S101  it was asked for
    with process.stdout as said:
        if said.readline() != b"up\n":
            raise NetworkNotMade(f"it ended with {process.wait()}")
    return process


async def _cable(number: int, pid: int) -> Cable:
    first = _FIRST + os.getpid() % _SUBNETS * _ADDRESSES + 4 * number
    outer, inner = f"hf{os.getpid():x}o{number}", f"hf{os.getpid():x}i{number}"
    made = Cable(outer, str(IPv4Address(first + 1)), str(IPv4Address(first + 2)))
    await _run("ip", "link", "add", outer, "type", "veth", "peer", "name", inner, "netns", str(pid))
    within = ("nsenter", f"--net=/proc/{pid}/ns/net", "--")
    for before, name, address in (((), outer, made.host), (within, inner, made.own)):
        await _run(*before, "ip", "address", "add", f"{address}/30", "dev", name)
        await _run(*before, "ip", "link", "set", name, "up")
    return made


async def _run(*words: str) -> None:
    done = await asyncio.to_thread(subprocess.run, words, capture_output=True, check=False)
    if done.returncode:
        raise NetworkNotMade(f"{' '.join(words)}: {done.stderr.decode(errors='replace').strip()[-200:]}")
