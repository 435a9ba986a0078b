"""What does not fit, although every rule allows it: told to people, stops nothing. Pure.

It compares with what the journal itself shows, so it learns what is usual here, and says nothing before it knows it.
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, field

from holdfast.core.journal import Accepted, Entry, Reserved
from holdfast.core.tower_status import Alarm
from holdfast.policy.record import Record, payout_of

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
HOURS_KEPT = 28 * 24
HOURS_KNOWN_MIN = 24
"""Before so many hours no rate is unusual."""
RATE_TIMES = 3
"""Above so many times the busiest hour before."""
PAYOUTS_KNOWN_MIN = 200
DAYS_KNOWN_MIN = 14
"""Before so many days and payouts no hour of the day is unusual."""
FEES_KEPT, FEES_KNOWN_MIN, FEE_TIMES = 50, 10, 5
NEW_PARTS = 4
"""A first payment to somebody of more than one part in so many of the largest payout is large."""


@dataclass(slots=True)
class Habits:
    """What is usual."""

    hours: dict[str, dict[int, int]] = field(default_factory=lambda: defaultdict(dict))
    """By asset: units ordered in each hour."""
    clock: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    """By hour of the day (UTC): payouts."""
    first_ms: int = 0
    fees: dict[str, deque[int]] = field(default_factory=lambda: defaultdict(lambda: deque(maxlen=FEES_KEPT)))
    """By network: what the newest transactions were ready to pay."""

    def take(self, entry: Entry, record: Record, now_ms: int) -> list[Alarm]:
        """Learn from an entry that has come at this moment; what about it does not fit."""
        match entry.body:
            case Accepted() as accepted:
                return self._ordered(accepted, record, now_ms)
            case Reserved() as reserved if reserved.replaces is None:
                return self._paid(reserved, now_ms)
            case _:
                return []

    def _ordered(self, accepted: Accepted, record: Record, now_ms: int) -> list[Alarm]:
        payout, alarms = payout_of(accepted), []
        self.first_ms = self.first_ms or now_ms
        hour, hours = now_ms // HOUR_MS, self.hours[payout.asset]
        hours[hour] = hours.get(hour, 0) + payout.lines_units
        before = [units for each, units in hours.items() if each != hour]
        if now_ms - self.first_ms >= HOURS_KNOWN_MIN * HOUR_MS and before and hours[hour] > RATE_TIMES * max(before):
            text = f"more than {RATE_TIMES} times the busiest hour before was ordered since {hour * HOUR_MS} ms"
            alarms.append(Alarm(now_ms, "rate", payout.asset, text))
        for old in [each for each in hours if each <= hour - HOURS_KEPT]:
            del hours[old]
        of_day, known = hour % 24, sum(self.clock.values())
        is_known = known >= PAYOUTS_KNOWN_MIN and now_ms - self.first_ms >= DAYS_KNOWN_MIN * DAY_MS
        if is_known and not self.clock[of_day]:
            text = f"the first payout ever between {of_day}:00 and {of_day + 1}:00 UTC, by {payout.merchant}"
            alarms.append(Alarm(now_ms, "hour", payout.merchant, text))
        self.clock[of_day] += 1
        return alarms + self._strangers(accepted, record, now_ms)

    def _strangers(self, accepted: Accepted, record: Record, now_ms: int) -> list[Alarm]:
        payout = payout_of(accepted)
        if not record.policies.taken or payout.asset not in record.policies.taken[-1][0].assets:
            return []
        largest = record.policies.taken[-1][0].assets[payout.asset].payout_max_units
        return [
            Alarm(now_ms, "destination", payout.merchant, f"{line.units} of {payout.asset} to new {line.destination}")
            for line in payout.lines
            if NEW_PARTS * line.units > largest
            and (payout.merchant, payout.network, line.destination) not in record.destinations
        ]

    def _paid(self, reserved: Reserved, now_ms: int) -> list[Alarm]:
        fees, alarms = self.fees[reserved.network], []
        usual = sorted(fees)[len(fees) // 2] if fees else 0
        if len(fees) >= FEES_KNOWN_MIN and reserved.fee_units > FEE_TIMES * usual:
            text = f"a fee of {reserved.fee_units}, where {usual} is usual"
            alarms.append(Alarm(now_ms, "fee", reserved.network, text))
        fees.append(reserved.fee_units)
        return alarms
