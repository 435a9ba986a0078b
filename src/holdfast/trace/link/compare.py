"""Incidents compared, pair by pair: services out first, then what is left of each class, then a verdict. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import msgspec

from holdfast.core.errors import BadInput
from holdfast.trace.link.incident import Held, Incident, Node, edges, held, victims
from holdfast.trace.link.infrastructure import shared_infrastructure
from holdfast.trace.link.meetings import Side, comingled, direct
from holdfast.trace.link.rhythm import common_services, hours, same_rhythm
from holdfast.trace.link.routes import rare_routes
from holdfast.trace.link.services import Surroundings, public
from holdfast.trace.link.shuffles import SHUFFLES, overlap
from holdfast.trace.link.words import (
    LIKELIER_THAN_NOT,
    LINKING,
    Comparison,
    Evidence,
    Link,
    Linking,
    Removal,
    Removed,
    Verdict,
)

SEED = 20_230_722
"""Of the shuffles, unless another is asked for: the same cases give the same figures."""
_ROUNDS_MOST = 10
"""Taking a service out shortens both traces, which can only uncover more services; it ends long before this."""


class TooFewCases(BadInput):
    """A comparison needs two different cases. Give at least two, each with a name of its own."""

    code = "too-few-cases"


@dataclass(frozen=True, slots=True)
class Asked:
    """How to compare."""

    controls: tuple[Incident, ...] = ()
    """Thefts known to be strangers', to measure rhythm by."""
    seed: int = SEED
    shuffles: int = SHUFFLES


def compare_all(incidents: Sequence[Incident], asked: Asked | None = None, program: str = "") -> Linking:
    """Every pair. Raises `TooFewCases`."""
    names = [incident.name for incident in incidents]
    if len(set(names)) < max(2, len(names)):
        raise TooFewCases(", ".join(names))
    pairs = tuple(compare(one, other, asked) for one, other in combinations(incidents, 2))
    return Linking(tuple(names), pairs, program)


def compare(one: Incident, other: Incident, asked: Asked | None = None) -> Comparison:
    """Two incidents: links by class, what was taken out, chance, verdict."""
    asked = asked or Asked()
    pair = (one, other)
    around = Surroundings(pair)
    out, sides = _without_services(pair, around)
    touched = [_touched(incident) for incident in pair]
    naive = overlap(pair, frozenset(), asked.seed, asked.shuffles)
    rest = overlap(pair, frozenset(out), asked.seed, asked.shuffles)
    own = frozenset(node for side in sides for node in side.held)
    links = [*direct(*sides, around), *comingled(*sides, around)]
    infrastructure, common = shared_infrastructure(sides[0], sides[1], around, own)
    rare, usual, untested = rare_routes(pair, around, asked.seed)
    rhythm, unheard = same_rhythm(
        [hours(side.incident, dict(side.held)) for side in sides],
        [hours(control, held(control)) for control in asked.controls],
    )
    links += [*infrastructure, *rare, *common_services(pair, around), *rhythm]
    links.sort(key=lambda link: (link.evidence, -link.confidence, link.network, link.addresses))
    links = [msgspec.structs.replace(link, id=f"L{number:02d}") for number, link in enumerate(links, 1)]
    both = [entry for node, entry in sorted(out.items()) if all(node in nodes for nodes in touched)]
    unknown = [f"order of services not rare: {text}" for text in usual] + untested + unheard
    verdict = judge(links)
    return Comparison(
        cases=(one.name, other.name),
        verdict=verdict,
        sentence=sentence(verdict, links, (one.name, other.name)),
        links=tuple(links),
        removed=(*both, *common),
        naive=naive,
        overlap=rest,
        untested=(*unknown, *_doubtful(both), *_unseen(links, around, own)),
    )


def _without_services(pair: Sequence[Incident], around: Surroundings) -> tuple[dict[Node, Removed], tuple[Side, Side]]:
    """Both thieves' addresses once services are out: what lay only behind a service goes with it."""
    out: dict[Node, Removed] = {}
    robbed = frozenset[Node]().union(*(victims(incident) for incident in pair))
    holdings: list[dict[Node, Held]] = [held(incident, robbed) for incident in pair]
    for _ in range(_ROUNDS_MOST):
        found = {node: entry for node, entry in public(around, holdings).items() if node not in out}
        if not found:
            break
        out |= found
        holdings = [held(incident, out.keys() | robbed) for incident in pair]
    return out, (Side(pair[0], holdings[0]), Side(pair[1], holdings[1]))


def _touched(incident: Incident) -> set[Node]:
    return {
        (each.network, address) for each in edges(incident) for address in (each.source, each.target)
    } | set(incident.addresses)  # fmt: skip


def _doubtful(both: Sequence[Removed]) -> list[str]:
    """Fronts that are shared: a thief's own purse that only feeds a bridge looks the same."""
    return [
        f"{each.address}: a service's front, or a purse that both used; read its whole history, and vouch for it or not"
        for each in both
        if each.removal is Removal.FRONT
    ]


def _unseen(links: Sequence[Link], around: Surroundings, own: frozenset[Node]) -> list[str]:
    """Addresses that link and of which the stores show nothing but the thefts: a service would look the same."""
    found = []
    for link in links:
        if link.evidence not in LINKING:
            continue
        for address in link.addresses:
            near = around.of((link.network, address))
            whom = {(e.network, e.source) for e in near.arriving} | {(e.network, e.target) for e in near.leaving}
            if whom <= own:
                found.append(
                    f"{link.id}: of {address} no transfer beside the thefts' is stored; read its whole history"
                )
    return found


def judge(links: Sequence[Link]) -> Verdict:
    """Linked needs one of A to C that is likelier than not; a rare route alone likens; E and F alone are nothing."""
    classes = {link.evidence for link in links if link.confidence >= LIKELIER_THAN_NOT}
    if classes & LINKING:
        return Verdict.LINKED
    weak = {link.evidence for link in links}
    return Verdict.SIMILAR if weak & (LINKING | {Evidence.ROUTE}) else Verdict.NOTHING


def sentence(verdict: Verdict, links: Sequence[Link], cases: tuple[str, str]) -> str:
    """The verdict in words that claim no more than it does."""
    between = f"{cases[0]} and {cases[1]}"
    if verdict is Verdict.NOTHING:
        return f"What was looked at shows nothing that {between} share and strangers would not."
    counts: Mapping[str, int] = {
        each: sum(link.evidence is each for link in links) for each in Evidence if each is not Evidence.SERVICE
    }
    found = ", ".join(f"{count} of class {each}" for each, count in counts.items() if count)
    if verdict is Verdict.SIMILAR:
        return f"{between} are similar ({found}); that is consistent with one hand and with two."
    return f"{between} are linked ({found}): consistent with one hand behind both, or with one launderer for both."


__all__ = ["SEED", "Asked", "Removal", "TooFewCases", "compare", "compare_all", "judge", "sentence"]
