"""One platform for all drills of a test run, and a way to play one of them against it."""

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from holdfast.drill.faults import Fault
from holdfast.drill.playing import Options, Verdict, play
from holdfast.drill.scenario import scenario
from holdfast.drill.template import Template, made, make
from holdfast.faces.cli.serve import ZoneName, argv_of

WEAKENED = Path(__file__).with_name("weakened_zone.py")
SEED = 7

Play = Callable[..., Awaitable[Verdict]]


@pytest.fixture(scope="session")
def drill_directory() -> Iterator[Path]:
    """A directory through which every zone's user can pass: pytest's own is closed to them."""
    directory = Path(tempfile.mkdtemp(prefix="hf-"))
    directory.chmod(0o711)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def template(drill_directory: Path) -> Template:
    """The platform that every drill begins with; HOLDFAST_DRILL_TEMPLATE names a directory that has one already."""
    if (ready := os.environ.get("HOLDFAST_DRILL_TEMPLATE")) is not None:
        return made(Path(ready))
    return asyncio.run(make(drill_directory / "template"))


@pytest.fixture
def drill(template: Template, drill_directory: Path) -> Play:
    """Play a drill by name; `without`: the guard that is missing in its zones, `fault`: what breaks in the middle."""

    async def played(name: str, *, without: str | None = None, fault: Fault | None = None) -> Verdict:
        command_of = argv_of if without is None else partial(weakened, without)
        options = Options(out=drill_directory, seed=SEED, command_of=command_of, fault=fault)
        return await play(scenario(name), template, options)

    return played


def weakened(guard: str, name: ZoneName, config: Path) -> Sequence[str]:
    """The zone's command in a build without this guard; the platform's zones have no guard to lose."""
    python, _, *rest = argv_of(name, config)
    if name not in (ZoneName.SIGNER, ZoneName.WATCHTOWER):
        return argv_of(name, config)
    assert python == sys.executable
    return (python, str(WEAKENED), guard, *rest)
