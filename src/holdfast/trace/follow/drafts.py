"""What a run writes down on its way: steps, ends and crossings, before they are put into a trace."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from holdfast.trace.follow.ledger import Packet
from holdfast.trace.follow.options import Decision, Overrule
from holdfast.trace.model import Crossing, End, EndKind, Label, Reason, Transfer

Ident: TypeAlias = tuple[int, int, str, str, str, int, str]
EndKey: TypeAlias = tuple[str, str, str, EndKind]


def ident(row: Transfer) -> Ident:
    """What tells a transfer from every other of its transaction."""
    return row.height, row.order, row.source, row.target, row.asset, row.units, row.outpoint


def step_id(row: Transfer, of: str = "") -> str:
    """The same in every run. `of`: whose candidate it is, for one that is a candidate."""
    text = "\n".join((row.network, row.transaction, *map(str, ident(row)), of))
    return "E" + hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(slots=True)
class Draft:
    """A step; its sentence is written at the end."""

    id: str
    row: Transfer
    hop: int
    reason: Reason
    sure: int
    """Confidence in the rule that led here, 0 to 100."""
    carried: dict[str, int]
    of: int = 1
    why: str = ""
    after: tuple[str, ...] = ()
    suspect: int = 0


@dataclass(slots=True)
class _Rest:
    amounts: dict[str, int]
    label: Label | None
    details: dict[str, int]
    is_suspect: bool = False


@dataclass(slots=True)
class Notes:
    """All of it."""

    drafts: list[Draft] = field(default_factory=list)
    crossings: list[Crossing] = field(default_factory=list)
    skipped: dict[str, int] = field(default_factory=dict)
    stopped: dict[str, None] = field(default_factory=dict)
    """Sentences in order, each once."""
    ends: dict[EndKey, _Rest] = field(default_factory=dict)

    def end(
        self, key: EndKey, amounts: Mapping[str, int], detail: str = "", label: Label | None = None, *,
        is_reached: bool = False,
    ) -> None:  # fmt: skip
        """Some of it lies there. `is_reached`: it is told even where no policy has an amount."""
        rest = self.ends.setdefault(key, _Rest({}, label, {}))
        for policy, units in amounts.items():
            if policy != "poison":
                rest.amounts[policy] = rest.amounts.get(policy, 0) + units
        if key[3] in {EndKind.SERVICE, EndKind.UNSPENT, EndKind.TIME} and is_reached:
            rest.is_suspect = True
        if detail:
            rest.details[detail] = rest.details.get(detail, 0) + 1

    def skip(self, why: str) -> None:
        """One row is left out."""
        self.skipped[why] = self.skipped.get(why, 0) + 1

    def stop(self, sentence: str) -> None:
        """It had to stop somewhere."""
        self.stopped[sentence] = None

    def told(self) -> list[End]:
        """Ends with anything of it."""
        found = []
        for (network, address, asset, kind), rest in self.ends.items():
            if any(rest.amounts.values()) or rest.is_suspect:
                details = (each if count == 1 else f"{each} ({count} times)" for each, count in rest.details.items())
                found.append(End(network, address, asset, kind, rest.amounts, rest.label, "; ".join(details)))
        return found


class Overrules:
    """What people decided, looked up by transfer."""

    def __init__(self, overrules: tuple[Overrule, ...]) -> None:
        """The latest about a transfer counts."""
        self._by_step: dict[str, Overrule] = {}
        self._by_place: dict[tuple[str, str, int], Overrule] = {}
        for each in sorted(overrules, key=lambda overrule: overrule.at):
            if each.step:
                self._by_step[each.step] = each
            if each.transaction:
                self._by_place[each.network, each.transaction, each.order] = each
        self.used: set[Overrule] = set()

    def about(self, row: Transfer, step: str) -> Overrule | None:
        """None: nobody decided."""
        if not self._by_step and not self._by_place:
            return None
        places = (row.network, row.transaction, row.order), (row.network, row.transaction, -1)
        found = self._by_step.get(step) or self._by_place.get(places[0]) or self._by_place.get(places[1])
        if found is not None:
            self.used.add(found)
        return found

    def leaves(self, row: Transfer) -> bool:
        """Whether somebody said not to follow it."""
        found = self.about(row, step_id(row))
        return found is not None and found.decision is Decision.LEAVE


@dataclass(slots=True)
class Arrival:
    """Money that comes out somewhere else: when the run gets to that transfer, it carries this."""

    packet: Packet
    hop: int
    reason: Reason
    sure: int
    after: tuple[str, ...]
    why: str
    of: int = 1
