"""Runs zones as processes: starts them, starts them again when they die, stops them all, and leaves nothing behind.

A zone dies with its supervisor, whatever kills that one (Linux: PR_SET_PDEATHSIG). It never looks into a zone.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import structlog

from holdfast.core.errors import HoldfastError, Unavailable

BACKOFF_SECONDS_MIN = 0.25
BACKOFF_SECONDS_MAX = 30.0
SETTLED_SECONDS = 60.0
"""A zone that lived as long starts again at once."""
STOP_SECONDS_MAX = 5.0
"""How long a zone may take to end cleanly before it is killed."""
GONE_CHECKS_MAX = 200
"""How often to look, 10 ms apart, whether killed processes are gone; one in an uninterruptible call may stay."""

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
    ready: Callable[[], Awaitable[None]] | None = None
    """Returns when zones that stand on this one may start. Zones with it start before, and stop after, the others."""


@dataclass(slots=True)
class _Running:
    zone: Zone
    process: asyncio.subprocess.Process | None = None
    is_gone: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class Supervisor:
    """Keeps zones running until it is told to stop."""

    zones: Sequence[Zone]
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _running: list[_Running] = field(default_factory=list)
    _killing: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Run the zones until `stop` is called; all of their processes are gone when it returns.

        Raises `ZoneUnstartable`, and whatever a zone's `ready` raises.
        """
        _adopt_orphans()
        self._running = [_Running(zone) for zone in self.zones]
        try:
            async with asyncio.TaskGroup() as tasks:
                for running in sorted(self._running, key=lambda one: one.zone.ready is None):
                    tasks.create_task(self._keep(running))
                    if running.zone.ready is not None and not await self._unless_stopping(running.zone.ready()):
                        return
        except* HoldfastError as group:
            raise _first(group) from None
        finally:
            for running in self._running:
                _clear(running.process)

    def stop(self) -> None:
        """Ask every zone to end, those that others stand on last; called a second time, kill them all."""
        if self.stopping.is_set():
            self._killing.set()
            for running in self._running:
                _clear(running.process)
        self.stopping.set()

    async def _keep(self, running: _Running) -> None:
        backoff = BACKOFF_SECONDS_MIN
        clock = asyncio.get_running_loop()
        while not self.stopping.is_set():
            started = clock.time()
            process = running.process = await _start(running.zone)
            ended = asyncio.ensure_future(process.wait())
            if not await self._unless_stopping(asyncio.shield(ended)):
                await self._end(running, process, ended)
                break
            _clear(process)
            backoff = BACKOFF_SECONDS_MIN if clock.time() - started >= SETTLED_SECONDS else backoff * 2
            backoff = min(backoff, BACKOFF_SECONDS_MAX)
            log.warning("zone_died", name=running.zone.name, status=process.returncode, restart_in_seconds=backoff)
            await _gone(process.pid)
            running.process = None  # its id may be another's soon: nobody may be sent a signal by it any more
            await self._unless_stopping(asyncio.sleep(backoff))
        running.is_gone.set()

    async def _end(self, running: _Running, process: asyncio.subprocess.Process, ended: asyncio.Future[int]) -> None:
        """Let the process end cleanly, after those that stand on it; kill it when that takes too long."""
        if running.zone.ready is not None:
            upper = [one.is_gone.wait() for one in self._running if one.zone.ready is None and one.process is not None]
            await asyncio.gather(*upper)
        if not self._killing.is_set():
            with suppress(ProcessLookupError):
                process.terminate()
            await asyncio.wait({ended}, timeout=STOP_SECONDS_MAX)
        if not ended.done():
            log.warning("zone_killed", name=running.zone.name, after_seconds=STOP_SECONDS_MAX)
        _clear(process)
        await ended
        await _gone(process.pid)
        running.process = None
        log.info("zone_stopped", name=running.zone.name, status=process.returncode)

    async def _unless_stopping(self, awaitable: Awaitable[object]) -> bool:
        """Wait for it, but no longer than until `stop`; whether it was done by then."""
        wanted = asyncio.ensure_future(awaitable)
        asked = asyncio.ensure_future(self.stopping.wait())
        try:
            await asyncio.wait({wanted, asked}, return_when=asyncio.FIRST_COMPLETED)
            if wanted.done():
                wanted.result()
                return not self.stopping.is_set()
            return False
        finally:
            wanted.cancel()
            asked.cancel()


def refuse_optimised() -> None:
    """End a process that runs under `python -O`: assertions guard money here."""
    if sys.flags.optimize:
        sys.exit("holdfast: refusing to run under python -O: assertions must stay on. Run it without -O.")


async def _start(zone: Zone) -> asyncio.subprocess.Process:
    parent = os.getpid()
    try:
        process = await asyncio.create_subprocess_exec(
            *zone.argv,
            stdin=asyncio.subprocess.DEVNULL,
            start_new_session=True,  # a terminal's Ctrl-C reaches only the supervisor, which knows the order
            preexec_fn=lambda: die_with_parent(parent),
        )
    except OSError as error:
        raise ZoneUnstartable(f"{zone.name}: {error}") from None
    log.info("zone_started", name=zone.name, pid=process.pid)
    return process


def _first(group: BaseExceptionGroup[HoldfastError]) -> HoldfastError:
    """The first of the errors that ended the zones together."""
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


def _clear(process: asyncio.subprocess.Process | None) -> None:
    """Kill what is left of a zone's session, so that a restart finds its port free."""
    if process is not None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


async def _gone(session: int) -> None:
    """Until nothing is left of a dead zone's session: its orphans became our children and are reaped here."""
    for _ in range(GONE_CHECKS_MAX):
        with suppress(ChildProcessError):
            while os.waitpid(-session, os.WNOHANG)[0]:  # noqa: ASYNC222  WNOHANG returns at once
                pass
        try:
            os.killpg(session, 0)
        except ProcessLookupError:
            return
        await asyncio.sleep(0.01)


def die_with_parent(parent: int, number: signal.Signals = signal.SIGTERM) -> None:
    """Have this process sent a signal once its parent is gone (Linux); end it where that has happened already.

    To be called in the new process: as `preexec_fn`.
    """
    _prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        os._exit(1)


def _adopt_orphans() -> None:
    """A zone's own children come to us when it dies, so that they can be reaped."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        _LIBC.prctl(option, value, 0, 0, 0)


_LIBC = ctypes.CDLL(None, use_errno=True)
