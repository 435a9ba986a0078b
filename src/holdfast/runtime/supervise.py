"""Runs zones as processes: starts them, starts them again when they die, stops them all, and leaves nothing behind.

A zone dies with its supervisor, whatever kills that one (Linux: PR_SET_PDEATHSIG). It never looks into a zone.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import structlog

from holdfast.core.errors import Unavailable

BACKOFF_SECONDS_MIN = 0.25
BACKOFF_SECONDS_MAX = 30.0
SETTLED_SECONDS = 60.0
"""A zone that lived as long starts again without waiting."""
STOP_SECONDS_MAX = 5.0
"""How long a zone may take to end cleanly before it is killed."""

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36

log = structlog.get_logger()


class ZoneUnstartable(Unavailable):
    """A zone's process could not be started. Reinstall Holdfast into its own Python environment."""

    code = "zone-unstartable"
    retry = False


@dataclass(frozen=True, slots=True)
class Zone:
    """One zone, and the command that is its process."""

    name: str
    argv: tuple[str, ...]


@dataclass(slots=True)
class _Running:
    zone: Zone
    process: asyncio.subprocess.Process | None = None
    restarts: int = 0


@dataclass(slots=True)
class Supervisor:
    """Keeps zones running until it is told to stop."""

    zones: Sequence[Zone]
    on_start: Callable[[str, int], None] = lambda _name, _pid: None
    """Called with a zone's name and process id, each time it is started."""
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _killing: asyncio.Event = field(default_factory=asyncio.Event)
    _running: list[_Running] = field(default_factory=list)

    async def run(self) -> None:
        """Run the zones until `stop` is called; all of their processes are gone when it returns.

        Raises `ZoneUnstartable`.
        """
        _adopt_orphans()
        self._running = [_Running(zone) for zone in self.zones]
        try:
            async with asyncio.TaskGroup() as tasks:
                for running in self._running:
                    tasks.create_task(self._keep(running))
        except* ZoneUnstartable as group:
            raise group.exceptions[0] from None
        finally:
            for running in self._running:
                _clear(running.process)

    def stop(self) -> None:
        """Ask every zone to end, the last one first; called a second time, kill them."""
        if self.stopping.is_set():
            self._killing.set()
            for running in self._running:
                _clear(running.process)
            return
        self.stopping.set()
        for running in reversed(self._running):
            if running.process is not None and running.process.returncode is None:
                with suppress(ProcessLookupError):
                    running.process.terminate()

    async def _keep(self, running: _Running) -> None:
        backoff = BACKOFF_SECONDS_MIN
        clock = asyncio.get_running_loop()
        while not self.stopping.is_set():
            started = clock.time()
            process = running.process = await self._start(running)
            await self._wait(process)
            _clear(process)
            if self.stopping.is_set():
                return
            running.restarts += 1
            lived = clock.time() - started
            backoff = BACKOFF_SECONDS_MIN if lived >= SETTLED_SECONDS else min(backoff * 2, BACKOFF_SECONDS_MAX)
            log.warning("zone_died", name=running.zone.name, status=process.returncode, restart_in=backoff)
            with suppress(TimeoutError):
                await asyncio.wait_for(self.stopping.wait(), backoff)

    async def _start(self, running: _Running) -> asyncio.subprocess.Process:
        parent = os.getpid()
        try:
            process = await asyncio.create_subprocess_exec(
                *running.zone.argv,
                stdin=asyncio.subprocess.DEVNULL,
                start_new_session=True,  # a terminal's Ctrl-C reaches only the supervisor, which knows the order
                preexec_fn=lambda: _die_with(parent),
            )
        except OSError as error:
            raise ZoneUnstartable(f"{running.zone.name}: {error}") from None
        log.info("zone_started", name=running.zone.name, pid=process.pid)
        self.on_start(running.zone.name, process.pid)
        if self.stopping.is_set():
            process.terminate()
        return process

    async def _wait(self, process: asyncio.subprocess.Process) -> None:
        """Until the process has ended; once stopping, for no longer than `STOP_SECONDS_MAX`."""
        ended = asyncio.ensure_future(process.wait())
        asked = asyncio.ensure_future(self.stopping.wait())
        await asyncio.wait({ended, asked}, return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            await asyncio.wait({ended}, timeout=STOP_SECONDS_MAX)
        if not ended.done():
            log.warning("zone_killed", pid=process.pid, after_seconds=STOP_SECONDS_MAX)
            _clear(process)
        asked.cancel()
        await ended


def refuse_optimised() -> None:
    """End a process that runs under `python -O`: assertions guard money here."""
    if sys.flags.optimize:
        sys.exit("holdfast: refusing to run under python -O: assertions must stay on. Run it without -O.")


def _clear(process: asyncio.subprocess.Process | None) -> None:
    """Kill what is left of a zone's session, so that a restart finds its port free, and reap it."""
    if process is None:
        return
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    if process.returncode is None:
        return
    with suppress(ChildProcessError):
        while os.waitpid(-process.pid, os.WNOHANG)[0]:
            pass


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        _LIBC.prctl(option, value, 0, 0, 0)


def _die_with(parent: int) -> None:
    """In the new process, before it becomes the zone: end when the supervisor does, even if it was just killed."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)


def _adopt_orphans() -> None:
    """A zone's own children come to us when it dies, so that they can be reaped."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


_LIBC = ctypes.CDLL(None, use_errno=True)
