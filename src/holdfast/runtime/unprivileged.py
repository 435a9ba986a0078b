"""Runs a program that refuses to be root, where we are root: without an account of its own and without moving files.

A user namespace first: in it the program is `nobody` and has no rights over the machine, and its files stay ours.
Containers often forbid namespaces; there it becomes `nobody` outright, keeps the one right to reach files below our
directories, and owns its data. Never used where we are not root.
"""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path

from holdfast.core.errors import Unavailable

NOBODY = 65534
NAMESPACE = ("unshare", "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}", "--")
# A change of user clears the signal that `die_with_parent` asked for: setpriv asks again.
AS_NOBODY = (
    *("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--pdeathsig=INT"),
    *("--inh-caps=-all,+dac_override", "--ambient-caps=-all,+dac_override", "--bounding-set=-all,+dac_override"),
    *("--no-new-privs", "--"),
)


class RootNotDropped(Unavailable):
    """This host lets root start nothing without root's rights, and PostgreSQL refuses those. Run Holdfast as a user."""

    code = "root-not-dropped"
    retry = False


def prefix() -> tuple[str, ...]:
    """What to put before a command, so that it runs without root's rights. Raises `RootNotDropped`."""
    return _possible() if os.geteuid() == 0 else ()


def give(directory: Path) -> None:
    """Let the program own this directory and all in it, as servers of databases insist: after a change of host, too."""
    if os.geteuid() != 0:
        return
    owner = NOBODY if prefix() == AS_NOBODY else 0
    if directory.stat().st_uid == owner:
        return
    for parent, _, names in os.walk(directory):
        for name in names:
            os.chown(Path(parent, name), owner, owner, follow_symlinks=False)
        os.chown(parent, owner, owner)
    os.chown(directory, owner, owner)


def forget() -> None:
    """Try again, the next time, what this host allows."""
    _possible.cache_clear()


@cache
def _possible() -> tuple[str, ...]:
    said = ""
    for way in (NAMESPACE, AS_NOBODY):
        try:
            tried = subprocess.run([*way, "true"], capture_output=True, check=False)  # noqa: S603  constants above
        except FileNotFoundError as error:
            said = f"{error.filename} is not installed"
            continue
        if tried.returncode == 0:
            return way
        said = tried.stderr.decode(errors="replace").strip()
    raise RootNotDropped(said[-300:])
