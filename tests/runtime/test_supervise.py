"""The supervisor, with real processes and real signals."""

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from holdfast.runtime import supervise
from holdfast.runtime.supervise import Supervisor, Zone, ZoneUnstartable

PROGRAM = Path(__file__).with_name("zone_process.py")


def zone(name: str, how: str, directory: Path) -> Zone:
    return Zone(name, (sys.executable, str(PROGRAM), how, str(directory / name)))


def pids(directory: Path) -> list[int]:
    return [int(path.stem) for path in directory.rglob("*.pid")]


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  other processes set no events here
            await asyncio.sleep(0.01)


@asynccontextmanager
async def running(supervisor: Supervisor) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(supervisor.run())
    try:
        yield task
    finally:
        supervisor.stop()
        await asyncio.wait_for(task, 20)


async def test_a_zone_that_was_killed_is_started_again(tmp_path: Path) -> None:
    async with running(Supervisor([zone("a", "plain", tmp_path)])):
        await until(lambda: len(pids(tmp_path)) == 1)
        os.kill(pids(tmp_path)[0], signal.SIGKILL)
        await until(lambda: len(pids(tmp_path)) == 2)
    assert not any(is_alive(pid) for pid in pids(tmp_path))


async def test_a_zone_that_dies_at_once_is_started_ever_more_seldom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervise, "BACKOFF_SECONDS_MIN", 0.01)
    waits: list[float] = []
    sleep = asyncio.sleep

    async def short(seconds: float) -> None:
        if seconds >= 0.02:
            waits.append(seconds)
        await sleep(0.001)

    monkeypatch.setattr(supervise.asyncio, "sleep", short)
    async with running(Supervisor([zone("a", "dies", tmp_path)])):
        await until(lambda: len(waits) >= 4)
    assert waits[:4] == pytest.approx([0.02, 0.04, 0.08, 0.16])


async def test_what_a_killed_zone_leaves_running_is_ended_before_it_starts_again(tmp_path: Path) -> None:
    async with running(Supervisor([zone("a", "with-child", tmp_path)])):
        await until(lambda: len(pids(tmp_path)) == 2)
        child = pids(tmp_path / "a" / "child")[0]
        parent = next(pid for pid in pids(tmp_path) if pid != child)
        os.kill(parent, signal.SIGKILL)
        await until(lambda: not is_alive(child))
        await until(lambda: len(pids(tmp_path)) == 4)
        assert not exists(child), "a zombie is left"
    assert not any(is_alive(pid) for pid in pids(tmp_path))


async def test_orphans_of_a_zone_come_to_the_supervisor_to_be_reaped(tmp_path: Path) -> None:
    libc, is_reaper = ctypes.CDLL(None), ctypes.c_int(0)
    libc.prctl(36, 0, 0, 0, 0)
    async with running(Supervisor([zone("a", "plain", tmp_path)])):
        await until(lambda: len(pids(tmp_path)) == 1)
    assert libc.prctl(37, ctypes.byref(is_reaper), 0, 0, 0) == 0  # PR_GET_CHILD_SUBREAPER
    assert is_reaper.value == 1


async def test_a_zone_that_will_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "STOP_SECONDS_MAX", 0.2)
    async with running(Supervisor([zone("a", "stubborn", tmp_path)])):
        await until(lambda: len(pids(tmp_path)) == 1)
    assert not any(is_alive(pid) for pid in pids(tmp_path))


async def test_a_second_stop_kills_without_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "STOP_SECONDS_MAX", 3600)
    supervisor = Supervisor([zone("a", "stubborn", tmp_path)])
    async with running(supervisor) as task:
        await until(lambda: len(pids(tmp_path)) == 1)
        supervisor.stop()
        await asyncio.wait({task}, timeout=0.1)
        assert not task.done()
        supervisor.stop()
        await asyncio.wait_for(asyncio.shield(task), 20)
    assert not any(is_alive(pid) for pid in pids(tmp_path))


async def test_a_zone_that_others_stand_on_starts_first_and_stops_last(tmp_path: Path) -> None:
    order: list[str] = []

    async def ready() -> None:
        await until(lambda: len(pids(tmp_path / "ground")) == 1)
        order.append("ready" if not pids(tmp_path / "upper") else "too late")

    ground = Zone("ground", zone("ground", "tells-when-stopped", tmp_path).argv, ready=ready)
    async with running(Supervisor([zone("upper", "slow-to-stop", tmp_path), ground])):
        await until(lambda: len(pids(tmp_path)) == 2)
    assert order == ["ready"]
    stopped = [int((tmp_path / name / "stopped").read_text()) for name in ("upper", "ground")]
    assert stopped == sorted(stopped)


async def test_a_zone_that_cannot_start_is_named(tmp_path: Path) -> None:
    with pytest.raises(ZoneUnstartable, match="nowhere"):
        await Supervisor([Zone("nowhere", (str(tmp_path / "nowhere"),)), zone("a", "plain", tmp_path)]).run()
    assert not any(is_alive(pid) for pid in pids(tmp_path))


async def test_no_zone_outlives_a_supervisor_that_was_killed(tmp_path: Path) -> None:
    argv = repr((sys.executable, str(PROGRAM), "plain", str(tmp_path / "a")))
    code = (
        "import asyncio; from holdfast.runtime.supervise import Supervisor, Zone;"
        f"asyncio.run(Supervisor([Zone('a', {argv}), Zone('b', {argv})]).run())"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)  # noqa: S603, ASYNC220  our own command
    await until(lambda: len(pids(tmp_path)) == 2)
    process.kill()
    process.wait()
    await until(lambda: not any(is_alive(pid) for pid in pids(tmp_path)))


def test_no_process_runs_without_its_assertions() -> None:
    code = "from holdfast.runtime.supervise import refuse_optimised; refuse_optimised()"
    done = subprocess.run([sys.executable, "-O", "-c", code], capture_output=True, text=True, check=False)  # noqa: S603  our own command
    assert done.returncode == 1
    assert "python -O" in done.stderr
