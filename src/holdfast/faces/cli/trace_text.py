"""A trace for people (where it is now, totals, what was left out) and for programs (JSON)."""

from __future__ import annotations

from typing import Any

import msgspec

from holdfast.core.money import format_units
from holdfast.faces.cli.trace_case import Found
from holdfast.trace.follow.summary import Total, Where, totals, where
from holdfast.trace.labels.where import where_is_it
from holdfast.trace.model import EndKind

_TITLES = {
    EndKind.SERVICE: "At services (ask them)", EndKind.UNSPENT: "Not moved on", EndKind.TIME: "Moved after the limit",
    EndKind.OVERRULED: "Left, as somebody decided", EndKind.UNREADABLE: "Not told by the source",
    EndKind.BELOW: "Too little to follow",
}  # fmt: skip
LINES_MOST = 40
"""More lines of where it is now are in the JSON only."""


def document(found: Found) -> dict[str, Any]:
    """The JSON of `holdfast trace --json`: integers of smallest units; the docs describe it."""
    trace = found.trace
    return {
        "case": found.case,
        "transfers": found.transfers,
        "stolen": msgspec.to_builtins(totals(trace)),
        "where": msgspec.to_builtins(where_is_it(trace)),
        "trace": msgspec.to_builtins(trace),
        "left_out": found.left_out,
        "labels_refused": found.refused_labels,
    }


def text(found: Found) -> str:
    """A page for people."""
    trace = found.trace
    lines = [
        f"{len(trace.thefts)} thefts, {len(trace.steps)} steps, {len(trace.chains)} peel chains,"
        f" {len(trace.crossings)} swaps and bridges, out of {found.transfers} transfers",
        "",
    ]
    for total in totals(trace):
        lines += _total(found, total)
    shown = [line for line in where(trace) if any(line.lies.values()) or line.kind is not EndKind.BELOW]
    kind = None
    for line in shown[:LINES_MOST]:
        if line.kind is not kind:
            kind = line.kind
            lines += ["", f"{_TITLES[kind]}:"]
        lines.append(_line(found, line))
    if len(shown) > LINES_MOST:
        lines.append(f"  and {len(shown) - LINES_MOST} more (--json has all)")
    if trace.stopped:
        lines += ["", "Had to stop:", *(f"  {each}" for each in trace.stopped)]
    counts = {**found.left_out, **{f"{why} (transfers)": count for why, count in trace.skipped.items()}}
    if counts:
        lines += ["", "Left out: " + ", ".join(f"{why} {count}" for why, count in sorted(counts.items()))]
    if found.case:
        lines += [
            "",
            f"Kept in {found.case}. A step can be overruled: holdfast trace overrule STEP --case {found.case}",
        ]
    return "\n".join(lines)


def _amount(found: Found, units: int, asset: str) -> str:
    fact = found.assets.get(asset)
    if fact is None:
        return f"{units} {asset}"
    return f"{format_units(units, fact.decimals)} {fact.symbol}{'' if fact.is_listed else ' (unlisted token)'}"


def _total(found: Found, total: Total) -> list[str]:
    lines = [f"{_amount(found, total.stolen, total.asset)} stolen"] if total.stolen else []
    came = total.got["haircut"]
    if came:
        lines.append(f"{_amount(found, came, total.asset)} came out of swaps and bridges (expected share)")
    gave = total.gave["haircut"]
    if gave:
        lines.append(f"  {_amount(found, gave, total.asset)} went into swaps and bridges")
    for kind, lies in total.ends.items():
        by = ", ".join(f"{policy} {_amount(found, units, total.asset)}" for policy, units in lies.items())
        lines.append(f"  {_TITLES[EndKind(kind)].lower()}: {by}")
    return lines


def _line(found: Found, line: Where) -> str:
    expected = _amount(found, line.lies.get("haircut", 0), line.asset)
    count = f", {len(line.addresses)} addresses" if len(line.addresses) > 1 else ""
    what = f" [{line.what}]" if line.what else ""
    return f"  {expected:>32}  {line.name}{what}{count}"
