"""The whole report as one document: `report.json`. The pages lay it out and add no word of the case. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import msgspec

from holdfast.trace.model import Step
from holdfast.trace.report import sections
from holdfast.trace.report.classes import CREDIBILITY, RELIABILITY, Class, ask_of
from holdfast.trace.report.figures import classed, figures
from holdfast.trace.report.material import Material
from holdfast.trace.report.requests import Request, totals
from holdfast.trace.report.sections import Facts, Row
from holdfast.trace.report.statement import Party
from holdfast.trace.report.writing import Pen, fiat, listed, moment, network_name, plural

FORMAT = "holdfast report 1"
HOP_STEPS_MAX = 8
"""Steps of a hop that the pages' section 4 shows: the largest. All of them are in the annex."""
ANNEX_STEPS_MAX = 2_000
"""More are in the bundle's flow.csv only: nobody reads so many on paper."""
HOPS_SHOWN_MAX = 25
GLOSSARY = (
    ("taint", "how much of what a transfer moved is stolen, by a stated rule"),
    ("hop", "how many transfers away from the theft"),
    ("step", "one transfer of the trace, with the reason why it was taken"),
    ("end", "an address at which the trace goes no further"),
    ("service", "an address where many people's money mixes: exchange, bridge, mixer, swap service"),
    ("deposit address", "an address at an exchange that belongs to one customer of it"),
    ("candidate", "a step that amount and time suggest: one of several, never a fact"),
    ("label", "what somebody says of an address: a claim with its source"),
    ("evidence id", "the number of the raw reply that shows a transfer, in the bundle's evidence folder"),
    ("FIFO", "first in, first out: what came first leaves first"),
    ("haircut", "each transfer carries its proportion of what is stolen"),
    ("RFC 3161 timestamp", "a third party's signature that the manifest existed at a moment"),
)


def compose(material: Material, requests: Sequence[Request], extra: Mapping[str, object]) -> Row:
    """The document. `extra`: what the bundle adds (forms, timestamp's state)."""
    facts = Facts(material)
    shown, rest = _shown(material.trace.steps)
    return {
        "format": FORMAT, "case": material.name, "made_at": material.made_at, "made": moment(material.made_at),
        "currency": material.prices.currency,
        "summary": summary(facts, requests),
        "amounts": sections.amounts(facts),
        "reporter": _party(material.statement.reporter), "authority": _party(material.statement.authority),
        "account": material.statement.summary,
        "thefts": sections.thefts(facts),
        "method": sections.method(facts),
        "hops": sections.hops(facts),
        "flow": [{"hop": hop, "steps": sections.flow(facts, steps), "more": more} for hop, steps, more in shown],
        "annex_flow": sections.flow(facts, rest), "steps": len(material.trace.steps),
        "ends": sections.ends(facts),
        "links": sections.links(facts),
        "scale": {"reliability": [{"grade": grade, "meaning": text} for grade, text in RELIABILITY.items()],
                  "credibility": [{"grade": str(grade), "meaning": text, "from": least}
                                  for least, grade, text in CREDIBILITY]
                  + [{"grade": "6", "meaning": "truth cannot be judged", "from": -1}]},
        **sections.unknown(facts),
        "requests": [
            {"number": one.number, "addressee": one.addressee, "class": one.kind.value, "files": one.slug,
             "lines": len(one.lines), "amounts": totals(one, facts.pen), "send_by": moment(one.ask.send_by),
             "answer_by": moment(one.ask.answer_by)}
            for one in requests
        ],
        "pictures": sorted(material.pictures),
        "glossary": [{"word": word, "meaning": meaning} for word, meaning in GLOSSARY],
        "figures": {name: str(value) for name, value in
                    figures(material, [(one.number, [line.end for line in one.lines]) for one in requests]).items()},
        **extra,
    }  # fmt: skip


def _shown(steps: Sequence[Step]) -> tuple[list[tuple[int, list[Step], int]], list[Step]]:
    """The largest steps of each hop for section 4; all steps for the annex, where section 4 does not have them all."""
    by_hop: dict[int, list[Step]] = defaultdict(list)
    for step in steps:
        by_hop[step.hop].append(step)
    shown = []
    for hop in sorted(by_hop)[:HOPS_SHOWN_MAX]:
        largest = sorted(by_hop[hop], key=lambda step: (-step.carried.get("fifo", 0), step.id))[:HOP_STEPS_MAX]
        shown.append((hop, sorted(largest, key=lambda step: step.id), len(by_hop[hop]) - len(largest)))
    if all(more == 0 for _, _, more in shown) and len(by_hop) <= HOPS_SHOWN_MAX:
        return shown, []
    return shown, list(steps[:ANNEX_STEPS_MAX])


def _party(party: Party) -> list[Row]:
    """Its fields by name; an empty value is a person's to fill."""
    return [{"name": name.capitalize(), "value": value} for name, value in msgspec.structs.asdict(party).items()]


def summary(facts: Facts, requests: Sequence[Request]) -> list[str]:
    """Ten lines for who reads no further."""
    material, trace, pen = facts.material, facts.material.trace, facts.pen
    stolen = Counter[str]()
    for theft in trace.thefts:
        stolen[theft.asset] += theft.units
    first, last = _span(facts)
    networks = sorted({network_name(step.transfer.network) for step in trace.steps})
    hops = max((step.hop for step in trace.steps), default=0)
    worth = _worth(facts)
    lines = [
        f"Taken: {_sums(pen, stolen)} in {plural(len(trace.thefts), 'transfer')}, the first on {first}"
        f"{f'; worth {worth} at the time of the blocks' if worth else ''}.",
        f"Followed: {plural(len(trace.steps), 'step')} over {plural(hops, 'hop')} on {listed(networks) or 'no network'}"
        f", until {last}; {plural(len(trace.ends), 'end')}. Amounts below count first in, first out (section 3).",
    ]
    by_class: dict[Class, Counter[str]] = defaultdict(Counter)
    where: dict[Class, set[str]] = defaultdict(set)
    places: Counter[Class] = Counter()
    for end, kind in classed(material):
        by_class[kind][end.asset] += end.lies.get("fifo", 0)
        places[kind] += 1
        where[kind] |= {ask_of(end, kind, 0).whom} - {""}

    def says(title: str, kinds: tuple[Class, ...]) -> str:
        sums: Counter[str] = Counter()
        for kind in kinds:
            sums.update(by_class[kind])
        names = sorted(set().union(*(where[kind] for kind in kinds)))
        count = sum(places[kind] for kind in kinds)
        at = f" at {plural(count, 'address', 'addresses')}" if count else ""
        return f"{title}: {_sums(pen, sums) if count else 'nothing'}{at}{f' ({_few(names)})' if names else ''}."

    lines += [
        says("Freezable now by a token's issuer", (Class.FREEZABLE,)),
        says("At exchanges and payment companies", (Class.DEPOSIT,)),
        says("At swap services, bridges and other services", (Class.SWAPPER, Class.BRIDGE, Class.SERVICE)),
        says("In mixers", (Class.MIXER,)),
        says("Lying where nobody can freeze it, or frozen already", (Class.DORMANT, Class.FROZEN)),
        says("Not followed further", (Class.OPEN,)),
        f"Links to other incidents: {_links(facts)}",
        f"Asked: {plural(len(requests), 'request')} to {_few([one.addressee for one in requests]) or 'nobody'}; send "
        f"{f'by {moment(requests[0].ask.send_by)}' if requests else 'nothing'}. Unknowns: section 8.",
    ]
    return lines


def _span(facts: Facts) -> tuple[str, str]:
    trace = facts.material.trace
    times = [theft.time for theft in trace.thefts]
    later = [step.transfer.time for step in trace.steps] or times
    return moment(min(times, default=0)) or "an unknown day", moment(max(later, default=0)) or "an unknown day"


def _worth(facts: Facts) -> str:
    """Of all thefts together; empty where one asset has no price."""
    material, total = facts.material, 0
    for theft in material.trace.thefts:
        decimals = facts.pen.asset(theft.asset).decimals
        cents = material.prices.cents(theft.asset, theft.units, decimals, theft.time)
        if cents is None:
            return ""
        total += cents
    return fiat(total, material.prices.currency) if material.trace.thefts else ""


def _links(facts: Facts) -> str:
    found = [one for one in facts.material.links if one.verdict != "nothing"]
    if not found:
        return "none found." if facts.material.links else "none were looked for."
    return "; ".join(f"{one.verdict} to {one.incident} (class {', '.join(one.classes)})" for one in found[:3]) + "."


def _sums(pen: Pen, units: Counter[str]) -> str:
    """The largest three by name, and how many more."""
    named = [pen.short(asset, total) + " " + pen.asset(asset).symbol for asset, total in sorted(units.items())]
    return _few(named, 4)


def _few(words: list[str], most: int = 4) -> str:
    """The first of them, and how many more."""
    return listed(words) if len(words) <= most else listed([*words[: most - 1], f"{len(words) - most + 1} more"])
