"""Shapes of laundering in the steps of a trace: change, CoinJoins, peel chains. Pure; amounts never depend on them.

Change (Bitcoin family), each rule by its name, from the literature on address clustering:

own address      the output pays an address whose outputs the transaction spends
only fresh one   one output's address was never paid before, all others' were (Meiklejohn et al. 2013)
not round        of two outputs one is a round sum, as people pay; the other is not
not needed       the output is smaller than every input, and without it the smallest input had been needless

A transaction with three or more equal outputs from as many payers is a CoinJoin: nothing in it is called change, and a
step to one of n equal outputs is one of n.

Peel chain: a holding goes on in one big remainder, a small part is peeled off, and so on, hop after hop, each within
the gap. The remainder is at least half: else nobody can say which part goes on. Plain moves between peels belong to it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from holdfast.trace.follow.drafts import Draft
from holdfast.trace.follow.options import Options
from holdfast.trace.follow.words import share, span
from holdfast.trace.model import Chain, Movement, Reason, Transfer
from holdfast.trace.reading import place

EQUALS = 3
"""Equal outputs that make a CoinJoin: two happen by chance when somebody pays twice the same."""
ROUND = 100_000
"""A sum is round that is a multiple of it (a thousandth of a coin of eight decimals)."""
CLOSE = 3
"""A hop is ambiguous where the second largest part is at least a third of the largest."""


@dataclass(frozen=True, slots=True)
class Change:
    """Which output is change, by which rule, how surely."""

    row: Transfer
    rule: str
    sure: int


def coinjoin(rows: Sequence[Transfer]) -> dict[int, int]:
    """Amounts of a CoinJoin's equal outputs and how many there are of each; empty: it is none."""
    payers = {row.source for row in rows if row.movement is Movement.INPUT}
    counts = Counter(row.units for row in rows if row.movement is Movement.OUTPUT and row.units)
    return {units: count for units, count in counts.items() if EQUALS <= count <= len(payers)}


def change(rows: Sequence[Transfer], was_paid: Callable[[Transfer], bool]) -> Change | None:
    """A transaction's change, by the surest rule that tells exactly one. `was_paid`: an output's address, before."""
    inputs = [row for row in rows if row.movement is Movement.INPUT]
    outputs = [row for row in rows if row.movement is Movement.OUTPUT and row.units]
    if len(outputs) < 2 or not inputs or coinjoin(rows):
        return None
    payers = {row.source for row in inputs}
    smallest, fee = min(row.units for row in inputs), sum(r.units for r in inputs) - sum(r.units for r in outputs)
    fresh = [row for row in outputs if not was_paid(row)]
    rules = (
        ("own address", 95, [row for row in outputs if row.target in payers]),
        ("only fresh one", 70, fresh if len(fresh) == 1 else []),
        ("not round", 60, [row for row in outputs if row.units % ROUND] if len(outputs) == 2 else []),
        ("not needed", 60, [row for row in outputs if len(inputs) > 1 and row.units + fee < smallest]),
    )
    for rule, sure, found in rules:
        if len(found) == 1:
            return Change(found[0], rule, sure)
    return None


def mark_outputs(drafts: Sequence[Draft], whole: Callable[[Transfer], Sequence[Transfer]],
                 was_paid: Callable[[Transfer], bool]) -> None:  # fmt: skip
    """Say of steps of the Bitcoin family which are change, and which are one of a CoinJoin's."""
    by_transaction: dict[tuple[str, str], list[Draft]] = defaultdict(list)
    for draft in drafts:
        if draft.row.movement is Movement.OUTPUT and draft.reason is Reason.DIRECT:
            by_transaction[draft.row.network, draft.row.transaction].append(draft)
    for found in by_transaction.values():
        rows = whole(found[0].row)
        equal = coinjoin(rows)
        told = change(rows, was_paid)
        for draft in found:
            count = equal.get(draft.row.units)
            if count:
                draft.reason, draft.of, draft.sure = Reason.MIXER, count, 100 // count
                draft.why = f"One of {count} equal outputs of a CoinJoin."
            elif told is not None and told.row == draft.row:
                draft.reason = Reason.CHANGE
                draft.why = f"Change, by the rule “{told.rule}” (sure to {told.sure} of 100)."


# --- peel chains --------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Hop:
    remainder: Draft
    peels: list[Draft]
    """Each of them smaller."""
    is_ambiguous: bool


def chains(drafts: Sequence[Draft], options: Options) -> list[Chain]:
    """Peel chains among steps; their steps get the reason and a sentence."""
    order = sorted((each for each in drafts if each.reason in _OPEN), key=lambda each: place(each.row))
    leaving: dict[tuple[str, ...], list[Draft]] = defaultdict(list)
    for each in order:
        leaving[_from(each.row)].append(each)
    used: set[str] = set()
    found = []
    for first in order:
        if first.id in used or first.row.movement is Movement.INPUT:
            continue
        hops, ended = _walk(first, leaving, used, options)
        while hops and not hops[-1].peels:  # plain moves at its end are no part of it
            hops.pop()
        if sum(bool(hop.peels) for hop in hops) >= options.peel_hops:
            found.append(_told(first, hops, ended))
            used.update(each.id for hop in hops for each in (hop.remainder, *hop.peels))
    return found


_OPEN = frozenset({Reason.THEFT, Reason.DIRECT, Reason.CHANGE, Reason.SWAP, Reason.BRIDGE, Reason.WRAP})


def _from(row: Transfer) -> tuple[str, ...]:
    """What it spends: an output, or an address's holding of an asset; of outputs: their transaction."""
    if row.movement is Movement.INPUT:
        return row.network, row.outpoint
    return row.network, row.source, row.asset


def _walk(
    first: Draft, leaving: dict[tuple[str, ...], list[Draft]], used: set[str], options: Options
) -> tuple[list[_Hop], str]:
    hops: list[_Hop] = []
    seen = {first.row.target}
    now = first
    while True:
        parts = _parts(now, leaving)
        if not parts:
            return hops, "the remainder was not moved on"
        big = max(parts, key=lambda each: (each.row.units, each.id))
        peels = [each for each in parts if each is not big]
        whole = sum(each.row.units for each in parts)
        gap = big.row.time - now.row.time
        if gap > options.peel_gap_seconds:
            return hops, f"the remainder rested {span(gap)}, longer than the gap"
        if len(parts) > 2 or 2 * big.row.units < whole:
            return hops, f"it went on in {len(parts)} parts, the largest {share(big.row.units, whole)}"
        if whole > now.row.units:
            return hops, "money from elsewhere went on with it"
        if big.id in used or big.row.target in seen:
            return hops, "the remainder came where it had been"
        if big.reason is Reason.CHANGE and big.row.target == now.row.target:
            return hops, "the remainder came back to its own address"
        hops.append(_Hop(big, peels, is_ambiguous=any(CLOSE * each.row.units >= big.row.units for each in peels)))
        seen.add(big.row.target)
        now = big


def _parts(now: Draft, leaving: dict[tuple[str, ...], list[Draft]]) -> list[Draft]:
    """What became of what came, largest first: both parts of it and nothing else."""
    row = now.row
    if row.movement is Movement.OUTPUT:
        spent = leaving.get((row.network, row.outpoint), [])
        return leaving.get((row.network, spent[0].row.target, row.asset), []) if spent else []
    return [each for each in leaving.get((row.network, row.target, row.asset), []) if place(each.row) > place(row)]


def _told(first: Draft, hops: list[_Hop], ended: str) -> Chain:
    times = [first.row.time, *(hop.remainder.row.time for hop in hops)]
    gap = max(later - earlier for earlier, later in pairwise(times))
    for at, hop in enumerate(hops, start=1):
        units, peeled = hop.remainder.row.units, sum(each.row.units for each in hop.peels)
        for each, what in ((hop.remainder, "the remainder"), *((peel, "peeled off") for peel in hop.peels)):
            old = each.why
            each.why = (
                f"Hop {at} of {len(hops)} of a peel chain, {what}:"
                f" {share(units, units + peeled)} went on, {share(peeled, units + peeled)} was peeled off. {old}"
            ).strip()
            each.reason = Reason.PEEL
    return Chain(
        tuple(hop.remainder.id for hop in hops), tuple(peel.id for hop in hops for peel in hop.peels), gap,
        sum(hop.is_ambiguous for hop in hops), ended,
    )  # fmt: skip
