"""Classes E and F: the same services, the same hours. Shown, so that nobody counts them; worth nothing alone. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from math import log2, sqrt

from holdfast.trace.link.incident import Held, Incident, Node
from holdfast.trace.link.services import Surroundings
from holdfast.trace.link.words import Evidence, Link

_HOURS = 24
MOVES_LEAST = 50
"""Fewer moves than about two an hour of the day show no rhythm, only where they happened to fall."""
CONTROLS_LEAST = 19
"""Pairs with a control that are needed before the closest of all can be called closer than one in twenty."""


def common_services(incidents: Sequence[Incident], around: Surroundings) -> list[Link]:
    """Class E: services that both used, by name."""
    one, other = (_services(incident, around) for incident in incidents)
    names = sorted(one & other)
    if not names:
        return []
    why = f"both used {', '.join(names[:20])}" + (f" and {len(names) - 20} more" if len(names) > 20 else "")
    return [Link("", Evidence.SERVICE, why, ("everybody uses them",), 0)]


def _services(incident: Incident, around: Surroundings) -> set[str]:
    found = set()
    for step in incident.trace.steps:
        label = around.service((step.transfer.network, step.transfer.target), step.transfer.time)
        if label is not None:
            found.add(label.name)
    return found


def hours(incident: Incident, held: dict[Node, Held]) -> list[int]:
    """Moves out of the thief's addresses by hour of the day (UTC)."""
    counts = [0] * _HOURS
    for step in incident.trace.steps:
        if (step.transfer.network, step.transfer.source) in held:
            counts[step.transfer.time // 3600 % _HOURS] += 1
    return counts


def distance(one: Sequence[int], other: Sequence[int]) -> int:
    """Jensen-Shannon distance of two histograms in thousandths: 0 the same, 1000 nothing in common.

    Lin 1991, base 2; the square root is a metric (Endres and Schindelin 2003).
    """
    total_one, total_other = sum(one), sum(other)
    if not total_one or not total_other:
        return 1_000
    pairs = [(a / total_one, b / total_other) for a, b in zip(one, other, strict=True)]
    divergence = sum(_term(a, (a + b) / 2) / 2 + _term(b, (a + b) / 2) / 2 for a, b in pairs)
    return round(1_000 * sqrt(max(divergence, 0)))


def _term(part: float, mean: float) -> float:
    return part * log2(part / mean) if part > 0 else 0


def same_rhythm(pair: Sequence[Sequence[int]], controls: Sequence[Sequence[int]]) -> tuple[list[Link], list[str]]:
    """Class F, where the two are closer than either is to nineteen of twenty strangers; and what was not tested."""
    if min(sum(each) for each in pair) < MOVES_LEAST:
        return [], [f"rhythm: fewer than {MOVES_LEAST} moves"]
    between = distance(pair[0], pair[1])
    strange = [distance(each, control) for each in pair for control in controls if sum(control) >= MOVES_LEAST]
    if len(strange) < CONTROLS_LEAST:
        return [], [f"rhythm: distance {between} of 1000, {len(strange)} of {CONTROLS_LEAST} comparisons with controls"]
    closer = sum(each <= between for each in strange)
    why = f"distance of the hours of the day {between} of 1000; {closer} of {len(strange)} strangers are as close"
    if (closer + 1) * 20 > len(strange) + 1:
        return [], [f"rhythm: {why}: no likeness"]
    return [Link("", Evidence.RHYTHM, why, ("thieves of one time zone", "working hours of the same services"), 0)], []
