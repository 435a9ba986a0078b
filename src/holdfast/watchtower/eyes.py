"""What the watchtower has in mind beside the journal: what each network showed it, and what did not fit.

Written by the looks at the chains, read where leases are granted and by whoever asks for the status.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from holdfast.core.tower_status import ALARMS_SHOWN_MAX, Alarm, NetworkSeen, TowerStatus
from holdfast.watchtower.store import Store

BLIND_SECONDS = 15
"""How long leases cover a network that nobody looks at, unless the settings say otherwise."""


@dataclass(slots=True)
class Eyes:
    """What is seen now. Times are milliseconds since 1970 by the watchtower's clock."""

    networks: dict[str, NetworkSeen] = field(default_factory=dict)
    """Those that are to be watched."""
    blind_ms: int = BLIND_SECONDS * 1_000
    lease_ms: int = 0
    alarms: deque[Alarm] = field(default_factory=lambda: deque(maxlen=ALARMS_SHOWN_MAX))

    def blind(self, now_ms: int, expected: Iterable[str] = ()) -> tuple[str, ...]:
        """Networks that were not looked at for too long, or never are: nothing may leave there unwatched."""
        # A clock that was set back must not make an old look a new one.
        seen = self.networks.values()
        old = {one.network for one in seen if not 0 <= now_ms - one.looked_ms < self.blind_ms}
        return tuple(sorted(old | (set(expected) - self.networks.keys())))

    def alarm(self, alarm: Alarm) -> bool:
        """Remember it; False if the very same is remembered already."""
        if any((one.kind, one.scope, one.detail) == (alarm.kind, alarm.scope, alarm.detail) for one in self.alarms):
            return False
        self.alarms.append(alarm)
        return True


def status(store: Store, eyes: Eyes, blind: Iterable[str], now_ms: int) -> TowerStatus:
    """Everything that the watchtower tells of itself; `blind`: networks that it does not see."""
    standing = store.standing
    return TowerStatus(
        now_ms=now_ms,
        seq=standing.head.seq,
        head=standing.head.hash,
        policy=standing.policy,
        frozen=tuple(sorted({*store.frozen, *blind})),
        stages={scope: stage.value for scope, stage in store.stages.items()},
        stops=store.stops(),
        networks=tuple(eyes.networks.values()),
        lease_ms=eyes.lease_ms,
        alarms=tuple(eyes.alarms),
    )
