"""How often somebody may call: the generic cell rate algorithm (ITU-T I.371), one number for each caller.

In process and in memory: with several workers each has its share. It never waits and never stores anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field

MINUTE_MICROSECONDS = 60_000_000
CALLERS_MAX = 100_000
"""More than so many callers are not remembered at once; those that owe nothing are forgotten first."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a request may pass, and what its caller has left."""

    is_allowed: bool
    remaining: int
    wait_seconds: int
    """0, or how long until the next request may pass."""


@dataclass(slots=True)
class RateLimit:
    """So many requests a minute by each caller, all at once if he likes; 0: no limit."""

    per_minute: int
    _paid_until: dict[str, int] = field(default_factory=dict)
    """By caller: the moment, in microseconds of the monotonic clock, when all his requests are worked off."""

    def spend(self, who: str, now_microseconds: int) -> Verdict:
        """Count one request."""
        if self.per_minute == 0:
            return Verdict(is_allowed=True, remaining=0, wait_seconds=0)
        interval = MINUTE_MICROSECONDS // self.per_minute
        paid_until = max(self._paid_until.get(who, 0), now_microseconds) + interval
        room = MINUTE_MICROSECONDS - (paid_until - now_microseconds)
        if room < 0:
            return Verdict(is_allowed=False, remaining=0, wait_seconds=-(room // 1_000_000))
        if who not in self._paid_until and len(self._paid_until) >= CALLERS_MAX:
            self._forget(now_microseconds)
        self._paid_until[who] = paid_until
        return Verdict(is_allowed=True, remaining=room // interval, wait_seconds=0)

    def _forget(self, now_microseconds: int) -> None:
        self._paid_until = {who: until for who, until in self._paid_until.items() if until > now_microseconds}
        while len(self._paid_until) >= CALLERS_MAX:
            del self._paid_until[next(iter(self._paid_until))]
