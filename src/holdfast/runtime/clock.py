"""Time as an argument: whoever needs it takes a `Clock`, so that a test or a replay can own it.

It never compares two machines' clocks; `holdfast doctor` does.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where a process takes its time from."""

    def now(self) -> datetime:
        """The present moment, aware, in UTC. May jump when the machine's clock is set."""

    def monotonic(self) -> float:
        """Seconds since some moment in the past; never goes back. For measuring, not for dates."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """The present moment, aware, in UTC."""
        return datetime.now(UTC)  # noqa: TID251  the one place where a process reads the machine's clock

    def monotonic(self) -> float:
        """Seconds of CLOCK_MONOTONIC."""
        return time.monotonic()


SYSTEM_CLOCK: Clock = SystemClock()
