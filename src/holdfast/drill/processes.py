"""The zones of a drill as processes that are started again whenever they end, until somebody keeps them down."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from holdfast.runtime.supervise import die_with_parent

RESTART_SECONDS = 0.2
STOP_SECONDS = 10.0


def mortal(program: Path, directory: Path) -> Path:
    """The same program, which dies when we do, however we do: a node that outlived its drill would go on writing."""
    script = directory / program.name
    script.write_text(f'#!/bin/sh\nexec setpriv --pdeathsig=KILL -- "{program}" "$@"\n', encoding="utf-8")
    script.chmod(0o700)
    return script


class ZoneProcess:
    """One process of a zone."""

    def __init__(self, name: str, argv: Sequence[str], log: Path) -> None:
        """`argv`: the whole command, with whatever makes it run as its user."""
        self.name, self.starts = name, 0
        self._argv, self._log = tuple(argv), log
        self._process: subprocess.Popen[bytes] | None = None
        self._keeper: asyncio.Task[None] | None = None

    def up(self) -> None:
        """Start it, and again whenever it ends."""
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep())

    @property
    def pid(self) -> int | None:
        """The id of its session while it runs."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    async def kill(self) -> None:
        """kill -9, with all of its children; it stays away until `up`."""
        await self._away(signal.SIGKILL)

    async def stop(self) -> None:
        """End it in order; it stays away until `up`."""
        await self._away(signal.SIGTERM)

    async def _keep(self) -> None:
        while True:
            self._start()
            while self.pid is not None:  # noqa: ASYNC110  a process that ends sets no event
                await asyncio.sleep(0.05)
            self._clear()
            await asyncio.sleep(RESTART_SECONDS)

    def _start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  our own command line
                self._argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/",
                preexec_fn=partial(die_with_parent, os.getpid(), signal.SIGKILL),  # noqa: PLW1509  no thread holds a lock
            )  # fmt: skip
        self.starts += 1

    async def _away(self, how: signal.Signals) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeper
            self._keeper = None
        process = self._process
        if process is None:
            return
        if process.poll() is None and how is signal.SIGTERM:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(process.wait, STOP_SECONDS)
        self._clear()
        await asyncio.to_thread(process.wait)
        self._process = None

    def _clear(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
