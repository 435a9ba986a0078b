"""Token buckets: over any time T no more than `burst + rate * T` goes out, however the time is cut into windows.

A bucket is kept as what is used, which drains with time, scaled by a day's seconds so that nothing is ever rounded.
Limits are never refunded. Time is the journal's refill time, not anybody's clock.
"""

from __future__ import annotations

from dataclasses import dataclass

DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Limit:
    """So much at once, and so much more per day, in an asset's smallest units."""

    burst_units: int
    per_day_units: int

    def bound_units(self, seconds: int) -> int:
        """Most that can go out in any window of this length, rounded up."""
        return self.burst_units - (-self.per_day_units * seconds // DAY_SECONDS)

    def divided(self, by: int) -> Limit:
        """A part of it, rounded down."""
        return Limit(self.burst_units // by, self.per_day_units // by)


@dataclass(frozen=True, slots=True)
class Usage:
    """What of a bucket is used."""

    scaled: int = 0
    """Units * `DAY_SECONDS`, as of `at`."""
    at: int = 0
    """Refill time, seconds."""

    def drained(self, limit: Limit, now: int) -> Usage:
        """The same, once time has passed; a `now` that lies before changes nothing."""
        if now <= self.at:
            return self
        return Usage(max(0, self.scaled - limit.per_day_units * (now - self.at)), now)

    def left_units(self, limit: Limit, now: int) -> int:
        """What may still go out now; negative after a limit was tightened below what is used."""
        return (limit.burst_units * DAY_SECONDS - self.drained(limit, now).scaled) // DAY_SECONDS

    def charged(self, limit: Limit, units: int, now: int) -> Usage:
        """With `units` more used, whether they fit or not."""
        drained = self.drained(limit, now)
        return Usage(drained.scaled + units * DAY_SECONDS, drained.at)


@dataclass(frozen=True, slots=True)
class Anchor:
    """Three clocks at one moment, and the refill time that it was."""

    boot: str
    boot_seconds: int
    tower_seconds: int
    chain_seconds: int
    refill_seconds: int


@dataclass(frozen=True, slots=True)
class Reading:
    """Three clocks now."""

    boot: str
    """Id of the machine's boot."""
    boot_seconds: int
    tower_seconds: int
    chain_seconds: int


AGREE_SECONDS = 7_200
"""How far apart two clocks may lie over a restart and still agree: blocks' times may be two hours off."""


def refilled(anchor: Anchor, now: Reading) -> int:
    """The refill time at `now`: what the slowest of the three clocks allows since the anchor, and never backwards.

    Across a restart of the machine its own clock says nothing: then the other two must agree, or no time has passed.
    """
    tower = now.tower_seconds - anchor.tower_seconds
    chain = now.chain_seconds - anchor.chain_seconds
    if anchor.boot == now.boot:
        passed = min(now.boot_seconds - anchor.boot_seconds, tower, chain)
    else:
        passed = min(tower, chain) if abs(tower - chain) <= AGREE_SECONDS else 0
    return anchor.refill_seconds + max(0, passed)
