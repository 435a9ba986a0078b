"""Every number that the report prints, by name, in whole units. The second program derives them anew. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from holdfast.trace.model import End
from holdfast.trace.report.classes import Class, class_of
from holdfast.trace.report.material import Material
from holdfast.trace.report.writing import Pen


def classed(material: Material) -> list[tuple[End, Class]]:
    """The ends with what can be done about them: urgent first, then by what lies there, largest first."""
    order = {kind: place for place, kind in enumerate(Class)}
    pairs = [(end, class_of(end, material.statement.frozen)) for end in material.trace.ends]
    return sorted(
        pairs, key=lambda pair: (order[pair[1]], pair[0].asset, -pair[0].lies.get("fifo", 0), pair[0].network,
                                 pair[0].address, pair[0].kind.value)
    )  # fmt: skip


def figures(material: Material, requests: Sequence[tuple[str, Sequence[End]]]) -> dict[str, int]:  # noqa: C901  one loop a kind of figure
    """All of them. `requests`: number and ends of each."""
    trace = material.trace
    found: Counter[str] = Counter()
    found["thefts"], found["steps"], found["ends"] = len(trace.thefts), len(trace.steps), len(trace.ends)
    for theft in trace.thefts:
        found[f"stolen/{theft.asset}"] += theft.units
    for step in trace.steps:
        for policy, units in step.carried.items():
            found[f"hop/{step.hop}/{step.transfer.asset}/{policy}"] += units
    for end, kind in classed(material):
        for policy, units in end.lies.items():
            found[f"class/{kind.value}/{end.asset}/{policy}"] += units
            found[f"lies/{end.asset}/{policy}"] += units
    for number, ends in requests:
        for end in ends:
            for policy, units in end.lies.items():
                found[f"request/{number}/{end.asset}/{policy}"] += units
    found.update(_worth(material))
    return dict(sorted(found.items()))


def _worth(material: Material) -> Counter[str]:
    """What was stolen in hundredths of the currency, at each block's time; an asset without a price is left out."""
    pen, worth = Pen(material.assets), Counter[str]()
    for theft in material.trace.thefts:
        cents = material.prices.cents(theft.asset, theft.units, pen.asset(theft.asset).decimals, theft.time)
        if cents is not None:
            worth[f"worth/{theft.asset}"] += cents
    return worth
