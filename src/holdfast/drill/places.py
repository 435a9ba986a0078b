"""Where everything of a drill's platform lies, whose it is, and what a host must allow for that.

Each trust zone has a directory that only its own user can enter. The users are bare numbers: nothing is added to the
machine. Without root there is one user for all, and the report says so.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path


class TrustZone(StrEnum):
    """Who can be owned."""

    PLATFORM = "platform"
    SIGNER = "signer"
    WATCHTOWER = "watchtower"
    INCIDENT = "incident"
    MERCHANT = "merchant"
    """The merchant whom the attacker is, or whose machine he has."""
    OFFICERS = "officers"
    """Some officers' own machines."""


FIRST_UID = 52_001
UIDS = {zone: FIRST_UID + number for number, zone in enumerate(TrustZone)}
_OF_PLATFORM = {"database", "api", "follower", "courier", "broadcaster"}


def trust_zone(process: str) -> TrustZone:
    """Whose user a process runs as, by its name for `holdfast serve`."""
    return TrustZone.PLATFORM if process in _OF_PLATFORM else TrustZone(process)


@dataclass(frozen=True, slots=True)
class Places:
    """The directories of one drill's platform."""

    root: Path

    def of(self, zone: TrustZone) -> Path:
        """A zone's own directory."""
        return self.root / zone.value

    @property
    def config(self) -> Path:
        """The platform's configuration."""
        return self.of(TrustZone.PLATFORM) / "holdfast.toml"

    @property
    def officers(self) -> Path:
        """Keystores of all officers, their passphrase, and the checking machine's settings."""
        return self.of(TrustZone.OFFICERS)

    @property
    def nodes(self) -> Path:
        """Data of the nodes."""
        return self.root / "nodes"

    @property
    def logs(self) -> Path:
        """What each process said."""
        return self.root / "logs"

    def merchant(self, name: str) -> Path:
        """A merchant's own directory."""
        return self.root / "merchants" / name

    def give(self) -> None:
        """Hand each zone its directory; nothing where we are not root."""
        if os.geteuid() != 0:
            return
        for zone in TrustZone:
            if zone is not TrustZone.MERCHANT and self.of(zone).exists():
                give(self.of(zone), UIDS[zone])
        give(self.merchant("mallory"), UIDS[TrustZone.MERCHANT])
        for passage in (self.root, self.root / "merchants"):
            passage.chmod(0o711)


def give(directory: Path, uid: int) -> None:
    """All of it to one user, and nobody else may enter."""
    for parent, _, names in os.walk(directory):
        for name in names:
            os.chown(Path(parent, name), uid, uid, follow_symlinks=False)
        os.chown(parent, uid, uid)
    directory.chmod(0o700)


def as_zone(zone: TrustZone) -> tuple[str, ...]:
    """What to put before a command so that it runs as the zone's own user; empty where the host does not let us."""
    return as_number(UIDS[zone]) if not not_run() else ()


def as_number(uid: int) -> tuple[str, ...]:
    """The same for any number."""
    drop = (
        *("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--pdeathsig=KILL"),
        *("--inh-caps=-all", "--no-new-privs", "--"),
    )
    hidden = _hidden()
    if hidden is None:
        return drop
    # Python itself lies where only root can go: in a mount namespace of its own the process sees that part, and
    # nothing else of what lies there.
    script = (
        'set -e; base=$1; hidden=$2; shift 2; open=$(mktemp -d); mount --bind "$base" "$open"; '
        'mount -t tmpfs -o mode=0711 none "$hidden"; mkdir -p "$base"; mount --move "$open" "$base"; '
        'rmdir "$open"; exec "$@"'
    )
    return ("unshare", "--mount", "--propagation", "private", "--", "sh", "-c", script, "sh", sys.base_prefix,
            str(hidden), *drop)  # fmt: skip


@cache
def not_run() -> tuple[str, ...]:
    """What of an honest drill this host does not allow, in words; empty: nothing is missing."""
    if os.geteuid() != 0:
        return ("users: zones share one user, because this is not run as root",)
    try:
        tried = subprocess.run([*as_number(FIRST_UID), sys.executable, "-c", ""], capture_output=True, check=False)  # noqa: S603  our own words
    except FileNotFoundError as error:
        return (f"users: {error.filename} is not installed",)
    return () if tried.returncode == 0 else (f"users: {tried.stderr.decode(errors='replace').strip()[-200:]}",)


@cache
def _hidden() -> Path | None:
    """The first directory on the way to Python that other users cannot pass."""
    way = Path(sys.base_prefix).resolve()
    for place in reversed([way, *way.parents]):
        if place.stat().st_mode & 0o005 != 0o005:
            return place
    return None
