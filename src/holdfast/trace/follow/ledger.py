"""How much of what lies at one place is the theft's, by all five policies at once: the arithmetic of `taint`, per move.

Exact: what a draw takes of the theft is what a delivery brings. Sums are Python's integers, so that nothing overflows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from holdfast.trace.taint import Policy

SHARES = (Policy.HAIRCUT, Policy.FIFO, Policy.MOST, Policy.LEAST)
"""The policies that say amounts; poison only says what was reached."""
_SUMS = (*(policy.value for policy in SHARES), "suspect")


@dataclass(slots=True)
class Packet:
    """What one transfer moves: all of it, and how much of that is the theft's."""

    units: int
    poison: int = 0
    """All of it, or nothing."""
    haircut: int = 0
    fifo: int = 0
    most: int = 0
    least: int = 0
    suspect: int = 0
    """Like haircut, but what a mostly stolen address sends beyond what is known to have come counts too: see `Ledger`.
    It decides what is followed and is no amount of the theft."""
    parcels: list[tuple[int, bool]] = field(default_factory=list)
    """Where some is stolen: in what order it left (units, whether stolen). Empty: see `fifo`, stolen first."""

    @property
    def is_tainted(self) -> bool:
        """Whether any policy reaches it."""
        return bool(self.poison or self.haircut or self.fifo or self.most or self.least)

    def by(self, policy: Policy) -> int:
        """How much by one policy."""
        return int(getattr(self, policy.value))

    def carried(self) -> dict[str, int]:
        """By policy, as a step says it."""
        return {"poison": self.poison, "haircut": self.haircut, "fifo": self.fifo, "most": self.most,
                "least": self.least}  # fmt: skip

    def part(self, units: int, of: int) -> Packet:
        """That many of `of` units, in proportion; what is left is taken off. FIFO: stolen first in what remains."""
        found = Packet(units, units if self.poison else 0)
        for name in _SUMS:
            whole = getattr(self, name)
            taken = whole if units >= of else whole * units // of
            setattr(found, name, taken)
            setattr(self, name, whole - taken)
        self.units -= units
        self.poison, self.parcels = (self.units if self.poison else 0), []
        return found

    def scaled(self, units: int) -> Packet:
        """The same shares of another asset: what came for it."""
        found = Packet(units, units if self.poison else 0)
        for name in _SUMS:
            setattr(found, name, getattr(self, name) * units // self.units if self.units else 0)
        return found


def stolen(units: int) -> Packet:
    """All of it is the theft's."""
    return Packet(units, units, units, units, units, units, units, [(units, True)])


def together(packets: Iterable[Packet]) -> Packet:
    """What several transfers brought, in this order."""
    found = Packet(0)
    for each in packets:
        found.units += each.units
        found.poison += each.poison
        for name in _SUMS:
            setattr(found, name, getattr(found, name) + getattr(each, name))
        found.parcels += _parcels(each)
    return found


def _parcels(packet: Packet) -> list[tuple[int, bool]]:
    if packet.parcels:
        return packet.parcels
    clean = packet.units - packet.fifo
    return [each for each in ((packet.fifo, True), (clean, False)) if each[0]]


@dataclass(slots=True)
class Ledger:
    """What lies at one place, of one asset.

    No source shows everything: an address can send more than is known to have come. What is known says whose it is:
    where at least half of it was stolen, more likely than not the rest is the same hand's. So it is followed, as a
    suspicion: it adds nothing to any amount.
    """

    lies: int = 0
    is_reached: bool = False
    """By poison: for ever."""
    haircut: int = 0
    fifo: int = 0
    most: int = 0
    least: int = 0
    suspect: int = 0
    came: int = 0
    """All that is known to have come."""
    came_suspect: int = 0
    is_own: bool = False
    """Known from an earlier run to be mostly stolen, all in all."""
    missed: int = 0
    """Sent beyond what was known to have come, before it was clear whose this is."""
    queue: deque[tuple[int, bool]] = field(default_factory=deque)
    """Parcels in the order of arrival; empty while none is stolen."""

    @property
    def is_tainted(self) -> bool:
        """Whether any policy has something here."""
        return bool(self.is_reached or self.haircut or self.fifo or self.most or self.least)

    @property
    def is_mostly_stolen(self) -> bool:
        """At least half of all that is known to have come."""
        return self.came_suspect > 0 and 2 * self.came_suspect >= self.came

    def unshown(self, units: int) -> int:
        """How much of a transfer of so many is suspect because nobody saw it come."""
        return units - self.lies if units > self.lies and (self.is_own or self.is_mostly_stolen) else 0

    def by(self, policy: Policy) -> int:
        """How much of the theft lies here."""
        return int(self.is_reached) if policy is Policy.POISON else int(getattr(self, policy.value))

    def amounts(self) -> dict[str, int]:
        """By policy that says amounts."""
        return {policy.value: self.by(policy) for policy in SHARES}

    def draw(self, units: int) -> Packet:
        """What a transfer of so many takes away. More than lies here is earlier money: clean."""
        if not self.is_tainted:
            self.lies = max(0, self.lies - units)
            return Packet(units)
        before = self.lies
        packet = Packet(units, units if self.is_reached else 0)
        packet.suspect = self.suspect * units // before if units < before else self.suspect
        self.suspect -= packet.suspect
        unshown = self.unshown(units)
        packet.suspect += unshown
        self.missed += 0 if unshown else max(0, units - before)
        if units >= before:
            packet.haircut, packet.most, packet.least = self.haircut, self.most, self.least
        else:
            packet.haircut = self.haircut * units // before
            packet.most = min(self.most, units)
            packet.least = max(0, units - (before - self.least))
        packet.parcels = self._first(units)
        packet.fifo = sum(part for part, is_stolen in packet.parcels if is_stolen)
        self.haircut -= packet.haircut
        self.most -= packet.most
        self.least -= packet.least
        self.fifo -= packet.fifo
        self.lies = max(0, before - units)
        if not self.fifo:
            self.queue.clear()
        return packet

    def take(self, packet: Packet) -> None:
        """What a transfer brings."""
        if packet.fifo:
            if not self.fifo and self.lies:
                self.queue.append((self.lies, False))
            for part, is_stolen in _parcels(packet):
                self._append(part, is_stolen=is_stolen)
        elif self.fifo:
            self._append(packet.units, is_stolen=False)
        self.lies += packet.units
        self.came += packet.units
        self.came_suspect += packet.suspect
        self.suspect += packet.suspect
        self.is_reached |= bool(packet.poison)
        self.haircut += packet.haircut
        self.fifo += packet.fifo
        self.most += packet.most
        self.least += packet.least

    def arrive(self, units: int) -> None:
        """Clean money comes."""
        if self.fifo:
            self._append(units, is_stolen=False)
        self.lies += units
        self.came += units

    def rob(self, units: int) -> dict[str, int]:
        """A theft takes so many from here. By policy: how much of it had been stolen before (it is stolen anew)."""
        parts = self._first(units)
        again = {"fifo": sum(part for part, is_stolen in parts if is_stolen)}
        self.fifo -= again["fifo"]
        if not self.fifo:
            self.queue.clear()
        self.lies = max(0, self.lies - units)
        self.suspect = min(self.suspect, self.lies)
        for policy in (Policy.HAIRCUT, Policy.MOST, Policy.LEAST):
            again[policy.value] = max(0, self.by(policy) - self.lies)
            setattr(self, policy.value, self.by(policy) - again[policy.value])
        return again

    def _append(self, units: int, *, is_stolen: bool) -> None:
        if self.queue and self.queue[-1][1] == is_stolen:
            units += self.queue.pop()[0]
        self.queue.append((units, is_stolen))

    def _first(self, units: int) -> list[tuple[int, bool]]:
        taken: list[tuple[int, bool]] = []
        left = units
        while left and self.queue:
            part, is_stolen = self.queue.popleft()
            if part > left:
                self.queue.appendleft((part - left, is_stolen))
                part = left
            taken.append((part, is_stolen))
            left -= part
        if left:
            taken.append((left, False))
        return taken
