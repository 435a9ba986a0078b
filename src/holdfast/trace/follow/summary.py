"""A trace in a few lines: what was stolen, where it is now, per service and address, by every policy. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import msgspec

from holdfast.trace.follow.ledger import SHARES
from holdfast.trace.model import EndKind, Trace

_ORDER = (
    EndKind.SERVICE, EndKind.UNSPENT, EndKind.TIME, EndKind.OVERRULED, EndKind.UNREADABLE, EndKind.BELOW,
)  # fmt: skip


class Where(msgspec.Struct, frozen=True):
    """One line of where it is now: a service with all its addresses, or one address."""

    kind: EndKind
    name: str
    """The service's, or the address."""
    what: str
    """The label's kind; empty where there is none."""
    network: str
    asset: str
    addresses: tuple[str, ...]
    lies: dict[str, int]
    details: tuple[str, ...]


class Total(msgspec.Struct, frozen=True):
    """One asset, by policy: stolen + got = gave + all that lies at ends."""

    asset: str
    stolen: int
    got: dict[str, int]
    """Came out of swaps, bridges and chosen candidates."""
    gave: dict[str, int]
    ends: dict[str, dict[str, int]]
    """By kind of end, then policy."""


def where(trace: Trace) -> list[Where]:
    """Where it is now, the largest expected share first within each kind of end. What was too little is summed up."""
    lines: dict[tuple[EndKind, str, str, str, str], tuple[set[str], dict[str, int], dict[str, None]]] = {}
    for end in trace.ends:
        name = end.label.name if end.label is not None else end.address
        if end.kind is EndKind.BELOW:
            name = "in parts below the limit, and fees"
        what = str(end.label.kind) if end.label is not None else ""
        key = (end.kind, name, what, end.network, end.asset)
        addresses, lies, details = lines.setdefault(key, (set(), defaultdict(int), {}))
        addresses.add(end.address)
        for policy, units in end.lies.items():
            lies[policy] += units
        if end.detail:
            details[end.detail] = None
    found = [
        Where(kind, name, what, network, asset, tuple(sorted(addresses)), dict(lies), tuple(details)[:5])
        for (kind, name, what, network, asset), (addresses, lies, details) in lines.items()
    ]
    return sorted(
        found, key=lambda line: (_ORDER.index(line.kind), line.asset, -line.lies.get("haircut", 0), line.name)
    )


def totals(trace: Trace) -> list[Total]:
    """What was stolen and what became of it, by asset."""
    assets = dict.fromkeys(
        [*(theft.asset for theft in trace.thefts), *(end.asset for end in trace.ends),
         *(asset for crossing in trace.crossings for asset in (*crossing.gave, *crossing.got))]
    )  # fmt: skip
    return [_total(trace, asset) for asset in assets]


def _total(trace: Trace, asset: str) -> Total:
    ends: dict[str, dict[str, int]] = {}
    for end in trace.ends:
        if end.asset == asset:
            by = ends.setdefault(end.kind, dict.fromkeys((policy.value for policy in SHARES), 0))
            for policy, units in end.lies.items():
                by[policy] = by.get(policy, 0) + units
    return Total(
        asset,
        sum(theft.units for theft in trace.thefts if theft.asset == asset),
        _summed(crossing.got.get(asset, {}) for crossing in trace.crossings),
        _summed(crossing.gave.get(asset, {}) for crossing in trace.crossings),
        ends,
    )


def _summed(amounts: Iterable[dict[str, int]]) -> dict[str, int]:
    found = dict.fromkeys((policy.value for policy in SHARES), 0)
    for each in amounts:
        for policy in found:
            found[policy] += each.get(policy, 0)
    return found
