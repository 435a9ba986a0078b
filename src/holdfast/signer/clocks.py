"""The signer's clocks: the boot clock measures leases, the wall clock only ever counts beside the watchtower's."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Protocol

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Clocks(Protocol):
    """What the signer asks of its machine."""

    def boot_ms(self) -> int:
        """Milliseconds since the machine's boot, sleep included; never set, never backwards within one boot."""

    def boot_id(self) -> str:
        """Which boot it is."""

    def wall_ms(self) -> int:
        """Milliseconds since 1970, as the machine believes."""


class MachineClocks:
    """The real ones (Linux: CLOCK_BOOTTIME)."""

    def boot_ms(self) -> int:
        """See `Clocks`."""
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000

    def boot_id(self) -> str:
        """See `Clocks`."""
        return _BOOT_ID.read_text(encoding="ascii").strip()

    def wall_ms(self) -> int:
        """See `Clocks`."""
        return time.time_ns() // 1_000_000
