"""Between which addresses each step is drawn: a transaction that one address paid is that address; so is a swap."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from holdfast.trace.model import Movement, Reason, Step
from holdfast.trace.pictures.worth import CONVERSIONS, legs_into

Key = tuple[str, str]
"""Network and address; network and transaction where several addresses paid it."""
_AT_ONCE = frozenset({Reason.SWAP, Reason.WRAP})


@dataclass(frozen=True, slots=True)
class Passage:
    """What a step is drawn as."""

    source: Key
    target: Key
    via: tuple[int, ...] = ()
    """Places of the steps that led into it."""


def passages(steps: Sequence[Step]) -> list[Passage]:
    """One for each step. Those whose source is their target happened inside one address."""
    found = _Inputs(steps)
    place_of = {step.id: place for place, step in enumerate(steps)}
    drawn = [found.plain(step) for step in steps]
    for name, legs in legs_into(steps).items():
        if not legs:
            continue
        came, places = place_of[name], tuple(place_of[leg.id] for leg in legs)
        payers = {drawn[place].source for place in places}
        if steps[came].reason in _AT_ONCE and len(payers) == 1:
            payer = payers.pop()
            for place in places:
                drawn[place] = Passage(payer, payer, drawn[place].via)
            drawn[came] = Passage(payer, drawn[came].target, places)
        elif steps[came].reason in CONVERSIONS:
            drawn[came] = Passage(drawn[places[0]].target, drawn[came].target, places)
    return drawn


class _Inputs:
    """Which addresses paid each transaction of the Bitcoin family."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._places: dict[Key, list[int]] = defaultdict(list)
        self._payers: dict[Key, set[str]] = defaultdict(set)
        for place, step in enumerate(steps):
            moved = step.transfer
            if moved.movement is Movement.INPUT:
                self._places[moved.network, moved.target].append(place)
                self._payers[moved.network, moved.target].add(moved.source)

    def plain(self, step: Step) -> Passage:
        """A step by its own transfer."""
        moved = step.transfer
        source, target = (moved.network, moved.source), (moved.network, moved.target)
        if moved.movement is Movement.INPUT:
            return Passage(source, self._owner(target))
        if moved.movement in (Movement.OUTPUT, Movement.FEE):
            return Passage(self._owner(source), target, tuple(self._places[source]))
        return Passage(source, target)

    def _owner(self, transaction: Key) -> Key:
        payers = self._payers[transaction]
        return (transaction[0], next(iter(payers))) if len(payers) == 1 else transaction
