"""What amounts of different assets are worth next to each other, so that a picture's widths can be compared.

Rates come from the caller's prices, else from what the thief was given himself: every swap and bridge of the trace says
how much of one asset became how much of another. Exact fractions; nothing here is a valuation.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from fractions import Fraction

from holdfast.trace.model import Reason, Step, Trace
from holdfast.trace.taint import Policy

PARTS = 10**9
"""A theft's worth is so many parts, whatever was stolen."""
CONVERSIONS = frozenset({Reason.SWAP, Reason.WRAP, Reason.BRIDGE, Reason.CANDIDATE, Reason.MIXER})
PRICED_UNITS = 10**18


def legs_into(steps: Sequence[Step]) -> dict[str, tuple[Step, ...]]:
    """By the id of each step that came out of a swap, a bridge or the like: the steps that went in."""
    by_id = {step.id: step for step in steps}
    of_transaction: dict[tuple[str, str], list[Step]] = defaultdict(list)
    for step in steps:
        if step.reason not in CONVERSIONS:
            of_transaction[step.transfer.network, step.transfer.transaction].append(step)
    found = {}
    for step in steps:
        if step.reason not in CONVERSIONS:
            continue
        named = tuple(by_id[each] for each in step.after if each in by_id)
        moved = step.transfer
        beside = of_transaction[moved.network, moved.transaction]
        found[step.id] = named or tuple(each for each in beside if each.transfer.asset != moved.asset)
    return found


def worth_of(trace: Trace, prices: Mapping[str, int] | None = None) -> dict[str, Fraction]:
    """By asset: how many parts (of `PARTS`) of the theft one smallest unit is worth."""
    stolen: dict[str, int] = defaultdict(int)
    for transfer in trace.thefts:
        stolen[transfer.asset] += transfer.units
    rates = {asset: Fraction(price, PRICED_UNITS) for asset, price in (prices or {}).items() if price > 0}
    pairs = _pairs(trace)
    if not rates and stolen:
        rates[max(stolen, key=lambda asset: (_mentions(trace, asset), asset))] = Fraction(1)
    _spread(rates, pairs)
    _fill(rates, pairs, stolen)
    whole = sum((rates[asset] * units for asset, units in stolen.items()), Fraction())
    return {asset: rate * PARTS / whole for asset, rate in rates.items()} if whole else rates


def _mentions(trace: Trace, asset: str) -> int:
    return sum(step.transfer.asset == asset for step in trace.steps)


def _pairs(trace: Trace) -> dict[tuple[str, str], tuple[int, int]]:
    """How much of one asset became how much of another, over the whole trace, as whole transfers moved it."""
    given: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    by_id = {step.id: step for step in trace.steps}
    for out, legs in legs_into(trace.steps).items():
        came = by_id[out]
        for leg in legs:
            sums = given[leg.transfer.asset, came.transfer.asset]
            sums[0] += leg.carried.get(Policy.HAIRCUT, 0)
            sums[1] += came.carried.get(Policy.HAIRCUT, 0) if leg is legs[0] else 0
    return {pair: (gave, got) for pair, (gave, got) in given.items() if gave and got and pair[0] != pair[1]}


def _spread(rates: dict[str, Fraction], pairs: Mapping[tuple[str, str], tuple[int, int]]) -> None:
    """Give a rate to every asset that was exchanged, in any number of steps, with one that has a rate."""
    is_new = True
    while is_new:
        is_new = False
        for (sold, bought), (gave, got) in sorted(pairs.items()):
            if sold in rates and bought not in rates:
                rates[bought] = rates[sold] * gave / got
                is_new = True
            elif bought in rates and sold not in rates:
                rates[sold] = rates[bought] * got / gave
                is_new = True


def _fill(
    rates: dict[str, Fraction], pairs: Mapping[tuple[str, str], tuple[int, int]], stolen: Mapping[str, int]
) -> None:
    """Stolen assets that nothing relates to the others count as much as the others do on average."""
    for asset in sorted(stolen):
        if asset in rates or not stolen[asset]:
            continue
        known = [rates[each] * units for each, units in stolen.items() if each in rates]
        average = sum(known, Fraction()) / len(known) if known else Fraction(1)
        rates[asset] = average / stolen[asset]
        _spread(rates, pairs)


def parts_of(step: Step, rates: Mapping[str, Fraction], policy: Policy) -> int:
    """How many parts of the theft a step carried under a policy, cut."""
    rate = rates.get(step.transfer.asset)
    return int(rate * step.carried.get(policy, 0)) if rate else 0
