"""Class D: the same order of services and assets, against how often strangers would show it. Pure, by a seed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from holdfast.trace.link.incident import Incident, Node, by_network
from holdfast.trace.link.services import STRANGERS_LEAST, Surroundings
from holdfast.trace.link.words import Evidence, Link
from holdfast.trace.model import Reason, Step
from holdfast.trace.reading import place

Route: TypeAlias = tuple[str, ...]
"""Services in the order in which the loot passed them, each with the asset: `Uniswap(eip155:1/slip44:60)`."""

SERVICES_LEAST = 2
"""One service is class E: everybody uses it. An order needs two."""
DRAWS = 999
RARE = 10
"""Of 1,000 draws (the observed one counted) at most this many may share as much: one in a hundred."""
_ROUTES_MOST = 50
"""Orders that are kept of one address; a theft that was split further shows the same orders again."""
_LENGTH_MOST = 6
_CONFIDENCE = 40
"""Of a likeness: under the balance of probabilities, so that it never links."""

_ELSE = (
    "a launderer whom several thieves pay",
    "a habit of the time: services that were cheap, open or fashionable just then",
    "advice that circulates: a published way of laundering",
)


@dataclass(slots=True)
class _Passage:
    """Where which orders have come to so far."""

    at: dict[Node, set[Route]] = field(default_factory=dict)
    inside: dict[str, set[Route]] = field(default_factory=dict)
    """By service: orders that went in and may come out on another network."""
    swapped: dict[tuple[str, str], set[Route]] = field(default_factory=dict)
    """By network and transaction: orders that went into a service there."""

    def add(self, node: Node, found: set[Route]) -> None:
        known = self.at.setdefault(node, set())
        known.update(sorted(found)[: max(0, _ROUTES_MOST - len(known))])


def routes(incident: Incident, around: Surroundings) -> frozenset[Route]:
    """Orders of at least two services on the way of the loot."""
    passage = _Passage({(each.network, each.target): {()} for each in incident.trace.thefts})
    for step in sorted(incident.trace.steps, key=lambda each: place(each.transfer)):
        _follow(step, passage, around)
    return frozenset(route for found in passage.at.values() for route in found if len(route) >= SERVICES_LEAST)


def _follow(step: Step, passage: _Passage, around: Surroundings) -> None:
    transfer = step.transfer
    source, target = (transfer.network, transfer.source), (transfer.network, transfer.target)
    swap = transfer.network, transfer.transaction
    into = around.service(target, transfer.time)
    if into is not None:
        here = f"{into.name}({transfer.asset})"
        before = passage.at.get(source, set())
        after = {route if route[-1:] == (here,) else (*route, here) for route in before if len(route) < _LENGTH_MOST}
        passage.add(target, after)
        passage.inside.setdefault(into.name, set()).update(after)
        passage.swapped.setdefault(swap, set()).update(after)
    elif step.reason in {Reason.SWAP, Reason.WRAP}:
        passage.add(target, passage.swapped.get(swap, set()))
    elif step.reason in {Reason.BRIDGE, Reason.CANDIDATE, Reason.MIXER}:
        out_of = around.service(source, transfer.time)
        passage.add(target, passage.inside.get(out_of.name, set()) if out_of is not None else set())
    elif step.reason is not Reason.THEFT:
        passage.add(target, passage.at.get(source, set()))


def _name(part: str) -> str:
    return part.rpartition("(")[0]


def popularity(incidents: Sequence[Incident], around: Surroundings) -> dict[str, int]:
    """By service, how many strangers' addresses use it in the stores: the base rate that a route is measured by."""
    named: dict[Node, str] = {}
    payers: dict[Node, set[str]] = {}
    for incident in incidents:
        for transfer in (step.transfer for step in incident.trace.steps):
            node = transfer.network, transfer.target
            label = around.service(node, transfer.time)
            if label is not None:
                named[node] = label.name
                payers.setdefault(node, set()).add(transfer.source)
    found: dict[str, int] = dict.fromkeys(named.values(), 0)
    for network, addresses in by_network(named).items():
        degrees = [incident.transfers.degrees(network, addresses) for incident in incidents]
        for address in addresses:
            sources = max(of[address].sources for of in degrees)
            found[named[network, address]] += max(0, sources - len(payers[network, address]))
    return found


def rare_routes(
    incidents: Sequence[Incident], around: Surroundings, seed: int
) -> tuple[list[Link], list[str], list[str]]:
    """Class D links, what is shared and not rare, and what could not be tested."""
    one, other = (routes(incident, around) for incident in incidents)
    shared = sorted(one & other)
    if not shared:
        return [], [], []
    used = popularity(incidents, around)
    unknown = sorted({name for route in shared for name in map(_name, route) if not used[name]})
    if unknown or sum(used.values()) < STRANGERS_LEAST:
        who = ", ".join(unknown) or "these services"
        return [], [], [f"{len(shared)} shared orders of services: no strangers of {who} are stored to measure them by"]
    as_many = _as_rare([one, other], used, shared, seed)
    figures = f"in {as_many} of {DRAWS} draws strangers with as many routes shared orders as rare"
    longest = max(shared, key=len)
    text = f"{len(shared)} shared orders of services, the longest {' > '.join(longest)}; {figures}"
    if (as_many + 1) * 1_000 > RARE * (DRAWS + 1):
        return [], [text], []
    return [Link("", Evidence.ROUTE, text, _ELSE, _CONFIDENCE)], [], []


def _as_rare(observed: Sequence[frozenset[Route]], used: Mapping[str, int], shared: Sequence[Route], seed: int) -> int:
    """In how many draws strangers share orders that are together as rare.

    They take routes of the same lengths, each service by how many use it. How rare shared orders are is the sum of
    their surprise (minus the logarithm of the chance of each): what everybody passes adds next to nothing.
    """
    random = np.random.default_rng(seed)
    names = {name: number for number, name in enumerate(sorted(used))}
    weights = np.array([used[name] + 1 for name in names], dtype=np.float64)
    weights /= weights.sum()
    surprise = -np.log(weights)

    def total(routes_: Iterable[tuple[int, ...]]) -> float:
        return float(sum(surprise[list(route)].sum() for route in routes_))

    least = total(tuple(names[_name(part)] for part in route) for route in shared)
    count = 0
    for _ in range(DRAWS):
        drawn = [
            {tuple(random.choice(len(names), size=len(route), p=weights).tolist()) for route in sorted(side)}
            for side in observed
        ]
        count += total(drawn[0] & drawn[1]) >= least
    return count
