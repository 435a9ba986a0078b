"""From a trace to a picture: swaps folded into whoever swapped, chains and services drawn as one, the rest ranked.

Pure. No threshold decides here but the count of things that a reader is shown first; everything else is structure.
"""

from __future__ import annotations

from collections import defaultdict

from holdfast.trace.model import End, Label, Movement, Step, Trace
from holdfast.trace.pictures.amounts import Words, asset_of
from holdfast.trace.pictures.grouping import grouped
from holdfast.trace.pictures.model import Link, Node, Picture
from holdfast.trace.pictures.passages import Key, passages
from holdfast.trace.pictures.ranking import ranked
from holdfast.trace.pictures.worth import parts_of, worth_of
from holdfast.trace.taint import Policy

THINGS_MAX = 59
"""People read pictures of under 60 things; nodes and lines count alike."""


def picture(trace: Trace, words: Words | None = None, things_max: int = THINGS_MAX) -> Picture:
    """A trace as a picture. `things_max`: how many nodes and lines are shown first."""
    said = words or Words()
    steps = tuple(trace.steps)
    drawing = _Drawing(trace, said)
    links = drawing.links()
    groups, nodes = grouped(drawing.nodes(), links)
    rates = worth_of(trace, said.prices)
    parts = {policy.value: tuple(parts_of(step, rates, policy) for step in steps) for policy in Policy}
    rank, first = ranked(nodes, links, parts[said.policy.value], things_max)
    fees: dict[str, int] = defaultdict(int)
    for place in drawing.fee_steps:
        fees[steps[place].transfer.asset] += steps[place].carried.get(said.policy, 0)
    mentioned = {transfer.asset for transfer in (*(step.transfer for step in steps), *trace.thefts)}
    mentioned |= {end.asset for end in trace.ends}
    return Picture(
        nodes=nodes,
        groups=groups,
        links=links,
        steps=steps,
        parts=parts,
        assets={asset: asset_of(said, asset) for asset in sorted(mentioned)},
        rank=rank,
        first=first,
        fees=dict(fees),
        fee_steps=tuple(drawing.fee_steps),
    )


class _Drawing:
    """Addresses and transactions as nodes, in the order in which the money came to them."""

    def __init__(self, trace: Trace, words: Words) -> None:
        self._steps, self._words = trace.steps, words
        self._passages = passages(trace.steps)
        self._robbed = {(transfer.network, transfer.source) for transfer in trace.thefts}
        self._ends: dict[Key, list[End]] = defaultdict(list)
        for end in trace.ends:
            self._ends[end.network, end.address].append(end)
        self._ids: dict[Key, str] = {}
        self._inside: dict[Key, list[int]] = defaultdict(list)
        self._seen: dict[Key, int] = {}
        self._transactions = {
            (step.transfer.network, step.transfer.target if moved is Movement.INPUT else step.transfer.source)
            for step in trace.steps
            if (moved := step.transfer.movement) in (Movement.INPUT, Movement.OUTPUT)
        }
        self.fee_steps: list[int] = []

    def links(self) -> tuple[Link, ...]:
        """Each step that went from one node to another."""
        found = []
        for place, passage in enumerate(self._passages):
            step = self._steps[place]
            if step.transfer.movement is Movement.FEE:
                self.fee_steps.append(place)
                continue
            source = self._id(passage.source, step)
            if passage.source == passage.target:
                self._inside[passage.source].append(place)
                continue
            found.append(Link(source, self._id(passage.target, step), place, passage.via))
        return tuple(found)

    def nodes(self) -> dict[str, Node]:
        """Every node that a link or an end names; to be asked after `links`."""
        for key, ends in self._ends.items():
            if key not in self._ids:
                self._ids[key] = f"n{len(self._ids)}"
                self._seen[key] = max((end.label.stated_at for end in ends if end.label), default=0)
        return {name: self._node(key, name) for key, name in self._ids.items()}

    def _id(self, key: Key, step: Step) -> str:
        self._seen.setdefault(key, step.transfer.time)
        return self._ids.setdefault(key, f"n{len(self._ids)}")

    def _node(self, key: Key, name: str) -> Node:
        label = self._label(key)
        kind = label.kind.value if label else "address"
        if key in self._robbed:
            kind = "origin"
        elif key in self._transactions:
            kind = "transaction"
        ends, inside = tuple(self._ends.get(key, ())), tuple(self._inside.get(key, ()))
        return Node(name, key[0], key[1], kind, label, ends, inside)

    def _label(self, key: Key) -> Label | None:
        """The end's own label, else the surest service, else the surest of all."""
        for end in self._ends.get(key, ()):
            if end.label is not None:
                return end.label
        names, at = self._words.names, self._seen[key]
        if names is None or key in self._transactions:
            return None
        return names.service(*key, at) or next(iter(names.labels(*key, at)), None)
