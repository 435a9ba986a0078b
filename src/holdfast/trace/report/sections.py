"""The report's sections as plain data: what the pages print and what a second program reads. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from holdfast.trace.model import End, Label, Reason, Step, Transfer
from holdfast.trace.report.classes import MEANINGS, Class, ask_of, credibility
from holdfast.trace.report.figures import classed
from holdfast.trace.report.material import Evidence, Material
from holdfast.trace.report.writing import Pen, fiat, moment, network_name, plural

POLICIES = ("fifo", "haircut", "least", "most")
Row = dict[str, object]

POLICY_TEXTS = (
    {"name": "poison", "rule": "Whatever touches it is tainted: the reach, no share.",
     "bias": "Over-counts without end; used here only to say what was reached.", "source": "upper bound of the reach"},
    {"name": "haircut", "rule": "Each transfer carries its proportion of what lies at the sender: the expected share.",
     "bias": "Spreads thin: small shares of many strangers' money.", "source": "Möser, Böhme, Breuker 2014"},
    {"name": "fifo", "rule": "What came first leaves first. The figures of the summary, ends and requests are these.",
     "bias": "English law; elsewhere a claim, not a fact: who buys in good faith may keep coins.",
     "source": "Clayton's Case 1816; Anderson, Shumailov, Ahmed 2018"},
    {"name": "least", "rule": "Clean money leaves first: the least that can have left a node so far.",
     "bias": "A bound of one step, not of the whole path.", "source": "lower bound"},
    {"name": "most", "rule": "Stolen money leaves first: the most that can have left a node so far.",
     "bias": "A bound of one step, not of the whole path.", "source": "upper bound"},
)  # fmt: skip


class Facts:
    """Look-ups that several sections need."""

    def __init__(self, material: Material) -> None:
        """Of one case."""
        self.material = material
        self.pen = Pen(material.assets)
        self._evidence = {one.id: one for one in material.evidence}
        self._sources: dict[tuple[str, str], set[str]] = defaultdict(set)
        for one in material.evidence:
            self._sources[one.request, one.sha256].add(one.source)
        self._names: dict[tuple[str, str], Label] = {}
        for label in sorted(material.labels, key=lambda label: (label.confidence, label.source, label.name)):
            self._names[label.network, label.address] = label
        for end in material.trace.ends:
            if end.label is not None:
                self._names[end.network, end.address] = end.label

    def name(self, network: str, address: str) -> str:
        """What a label calls it; empty without."""
        label = self._names.get((network, address)) or self._names.get(("eip155:*", address))
        return label.name if label else ""

    def reliability(self, evidence_id: str) -> str:
        """Admiralty's letter of what shows a transfer."""
        one = self._evidence.get(evidence_id)
        if one is None:
            return "F"
        if one.source.startswith("explorer:"):
            return "C"
        if one.source.startswith("file:"):
            return "F"
        return "A" if len(self._sources[one.request, one.sha256]) > 1 else "B"

    def grade(self, step: Step) -> str:
        """`B2`: reliability of the source, credibility of the step."""
        return f"{self.reliability(step.transfer.evidence)}{credibility(step.confidence)}"


def amounts(facts: Facts) -> list[Row]:
    """What was stolen, by asset."""
    units: Counter[str] = Counter()
    worth: dict[str, int | None] = {}
    prices = facts.material.prices
    for theft in facts.material.trace.thefts:
        units[theft.asset] += theft.units
        cents = prices.cents(theft.asset, theft.units, facts.pen.asset(theft.asset).decimals, theft.time)
        before = worth.get(theft.asset, 0)
        worth[theft.asset] = None if cents is None or before is None else before + cents
    return [
        {"asset": asset, "symbol": facts.pen.asset(asset).symbol, "units": str(total),
         "text": facts.pen.exact(asset, total), "worth": fiat(worth[asset], prices.currency)}
        for asset, total in sorted(units.items())
    ]  # fmt: skip


def thefts(facts: Facts) -> list[Row]:
    """Section 2."""
    prices, rows = facts.material.prices, []
    for place, theft in enumerate(facts.material.trace.thefts, start=1):
        cents = prices.cents(theft.asset, theft.units, facts.pen.asset(theft.asset).decimals, theft.time)
        rows.append({
            "id": f"T{place:02d}", **_moved(facts, theft), "units": str(theft.units),
            "exact": facts.pen.exact(theft.asset, theft.units), "worth": fiat(cents, prices.currency),
        })  # fmt: skip
    return rows


def hops(facts: Facts) -> list[Row]:
    """Section 4: what each hop carried, by asset and policy."""
    sums: dict[tuple[int, str], Counter[str]] = defaultdict(Counter)
    counts: Counter[tuple[int, str]] = Counter()
    for step in facts.material.trace.steps:
        key = step.hop, step.transfer.asset
        sums[key].update(step.carried)
        counts[key] += 1
    return [
        {"hop": hop, "asset": asset, "symbol": facts.pen.asset(asset).symbol, "steps": counts[hop, asset],
         **{policy: facts.pen.short(asset, sums[hop, asset][policy]) for policy in POLICIES}}
        for hop, asset in sorted(sums)
    ]  # fmt: skip


def flow(facts: Facts, steps: Iterable[Step]) -> list[Row]:
    """Steps with everything that the pages say of them."""
    return [
        {"id": step.id, "hop": step.hop, **_moved(facts, step.transfer), "reason": step.reason.value, "of": step.of,
         "grade": facts.grade(step), "confidence": step.confidence, "why": step.why,
         **{policy: facts.pen.short(step.transfer.asset, step.carried.get(policy, 0)) for policy in POLICIES}}
        for step in steps
    ]  # fmt: skip


def _moved(facts: Facts, transfer: Transfer) -> Row:
    return {
        "network": network_name(transfer.network), "height": transfer.height, "time": moment(transfer.time),
        "transaction": transfer.transaction, "source": transfer.source, "target": transfer.target,
        "source_name": facts.name(transfer.network, transfer.source),
        "target_name": facts.name(transfer.network, transfer.target),
        "symbol": facts.pen.asset(transfer.asset).symbol, "amount": facts.pen.short(transfer.asset, transfer.units),
        "evidence": transfer.evidence,
    }  # fmt: skip


def ends(facts: Facts) -> list[Row]:
    """Section 5: one group a class, each with its ends."""
    groups: dict[Class, list[Row]] = {}
    totals: dict[Class, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for place, (end, kind) in enumerate(classed(facts.material), start=1):
        groups.setdefault(kind, []).append(_end(facts, end, kind, place))
        totals[kind][end.asset].update(end.lies)
    return [
        {"class": kind.value, "meaning": MEANINGS[kind], "count": plural(len(rows), "end"), "ends": rows,
         "totals": [{"symbol": facts.pen.asset(asset).symbol,
                     **{policy: facts.pen.short(asset, sums[policy]) for policy in POLICIES}}
                    for asset, sums in sorted(totals[kind].items())]}
        for kind, rows in groups.items()
    ]  # fmt: skip


def _end(facts: Facts, end: End, kind: Class, place: int) -> Row:
    ask, label = ask_of(end, kind, facts.material.made_at), end.label
    balance = facts.material.balances.get((end.network, end.address, end.asset))
    return {
        "id": f"N{place:03d}", "network": network_name(end.network), "address": end.address, "asset": end.asset,
        "symbol": facts.pen.asset(end.asset).symbol,
        **{policy: facts.pen.short(end.asset, end.lies.get(policy, 0)) for policy in POLICIES},
        "label": f"{label.name} ({label.kind.value})" if label else "",
        "label_source": f"{label.source}, confidence {label.confidence}" if label else "", "why": end.detail,
        "balance": f"{facts.pen.exact(end.asset, balance.units)} at block {balance.height:,} ({balance.source})"
                   if balance else "",
        "ask": ask.what, "whom": ask.whom, "send_by": moment(ask.send_by), "answer_by": moment(ask.answer_by),
        "ask_why": ask.why,
    }  # fmt: skip


def method(facts: Facts) -> Row:
    """Section 3: policies, cut-offs, software, heights, nodes."""
    material = facts.material
    heights: dict[str, list[int]] = defaultdict(list)
    for transfer in (*material.transfers, *material.trace.thefts):
        heights[transfer.network].append(transfer.height)
    return {
        "policies": POLICY_TEXTS,
        "options": [{"name": name, "value": value} for name, value in sorted(material.options.items())],
        "software": {"name": material.software.name, "version": material.software.version,
                     "sha256": material.software.sha256},
        "heights": [{"network": network_name(network), "id": network, "first": f"{min(seen):,}",
                     "last": f"{max(seen):,}", "transfers": f"{len(seen):,}"}
                    for network, seen in sorted(heights.items())],
        "nodes": _nodes(material.evidence),
        "sources": list(material.sources),
        "skipped": [{"why": why, "count": f"{count:,}"} for why, count in sorted(material.trace.skipped.items())],
        "refused": [{"why": why, "count": f"{count:,}"} for why, count in sorted(material.refused.items())],
        "overruled": [{"what": one.what, "decision": one.decision, "by": one.by, "at": moment(one.at), "why": one.why}
                      for one in material.overruled],
    }  # fmt: skip


def _nodes(evidence: Sequence[Evidence]) -> list[Row]:
    found: dict[tuple[str, str, str], list[Evidence]] = defaultdict(list)
    for one in evidence:
        found[one.network, one.source, one.version].append(one)
    return [
        {"network": network_name(network), "source": source, "version": version, "replies": f"{len(replies):,}",
         "first": moment(min(one.time for one in replies)), "last": moment(max(one.time for one in replies)),
         "height": f"{max(one.height for one in replies):,}"}
        for (network, source, version), replies in sorted(found.items())
    ]  # fmt: skip


def links(facts: Facts) -> list[Row]:
    """Section 6."""
    return [
        {"incident": one.incident, "verdict": one.verdict, "classes": list(one.classes), "facts": list(one.facts),
         "alternatives": list(one.alternatives), "expected": one.expected}
        for one in facts.material.links
    ]  # fmt: skip


def unknown(facts: Facts) -> Mapping[str, list[str]]:
    """Section 8: what speaks against it, and what is not known."""
    material, trace = facts.material, facts.material.trace
    gaps = [*material.statement.unknown, *trace.stopped]
    bare = sum(1 for step in trace.steps if facts.reliability(step.transfer.evidence) == "F")
    if bare:
        gaps.append(f"{plural(bare, 'step')} of {len(trace.steps):,} rest on files and not on a node's own reply: the "
                    "bundle has no raw reply for them.")  # fmt: skip
    single = sum(1 for step in trace.steps if facts.reliability(step.transfer.evidence) == "B")
    if single:
        gaps.append(f"{plural(single, 'step')} of {len(trace.steps):,} rest on the reply of one node alone.")
    candidates = [step for step in trace.steps if step.reason in (Reason.CANDIDATE, Reason.MIXER)]
    if candidates:
        gaps.append(f"{plural(len(candidates), 'step')} are candidates by amount and time: one of up to "
                    f"{max(step.of for step in candidates)}; at most one of each set is true.")  # fmt: skip
    unnamed = sum(1 for end in trace.ends if end.label is None)
    gaps.append(f"{plural(unnamed, 'end')} of {len(trace.ends):,} have no label: who controls them is not known.")
    gaps.append("Who did it is not told by a chain. Where this report names anybody, it quotes a label's source.")
    against = list(material.statement.exculpatory)
    innocent = sum(1 for step in trace.steps if step.carried.get("haircut", 0) * 2 < step.transfer.units)
    if innocent:
        against.append(f"In {plural(innocent, 'step')} of {len(trace.steps):,} less than half of what moved was stolen "
                       "by haircut: the rest may be the honest money of others.")  # fmt: skip
    against.append("Holders of addresses reached here may have received the money in good faith, as payment for goods "
                   "or at an exchange. To have held it is no proof of knowing where it came from.")  # fmt: skip
    return {"exculpatory": against, "unknown": gaps}
