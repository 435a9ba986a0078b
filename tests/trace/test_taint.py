"""Taint: what was stolen is all somewhere, to the unit, whatever the policy; and the compiled loops agree with plain
Python."""

from collections import deque

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from holdfast.trace.flows import UNITS_MAX, FlowsMalformed, flows_of
from holdfast.trace.taint import Policy, Taint, TheftUnknown, spread

NODES = 6
Row = tuple[int, int, int]
units = st.one_of(st.integers(0, 50), st.integers(0, 2**70), st.integers(0, UNITS_MAX - 1))
rows = st.lists(st.tuples(st.integers(0, NODES - 1), st.integers(0, NODES - 1), units), min_size=1, max_size=40)


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[Row], list[int], list[bool], int]:
    transfers = draw(rows)
    thefts = draw(st.sets(st.integers(0, len(transfers) - 1), min_size=1, max_size=3))
    stops = draw(st.lists(st.booleans(), min_size=NODES, max_size=NODES))
    return transfers, sorted(thefts), stops, draw(st.sampled_from([1, 1, 7, 2**65]))


def found(case: tuple[list[Row], list[int], list[bool], int], policy: Policy) -> Taint:
    transfers, thefts, stops, least = case
    return spread(flows_of(transfers, NODES), thefts, policy, stops=np.array(stops), least_units=least)


@settings(deadline=None)
@given(cases(), st.sampled_from([Policy.HAIRCUT, Policy.FIFO, Policy.MOST, Policy.LEAST]))
def test_what_was_stolen_lies_somewhere_or_was_cut_to_the_unit(
    case: tuple[list[Row], list[int], list[bool], int], policy: Policy
) -> None:
    taint = found(case, policy)
    stolen = sum(case[0][row][2] for row in case[1])
    assert sum(taint.lies().values()) + taint.cut_units == stolen
    assert all(0 < carried <= case[0][row][2] for row, carried in taint.moved().items())


@settings(deadline=None)
@given(cases(), st.sampled_from([Policy.HAIRCUT, Policy.MOST, Policy.LEAST]))
def test_the_compiled_sums_are_those_of_plain_python(
    case: tuple[list[Row], list[int], list[bool], int], policy: Policy
) -> None:
    transfers, thefts, stops, least = case
    lies, taint, moved, cut = [0] * NODES, [0] * NODES, {}, 0
    for row, (source, target, amount) in enumerate(transfers):
        carried = 0
        if row in thefts:
            carried = amount
        elif not stops[source] and taint[source]:
            carried = {
                Policy.HAIRCUT: taint[source] * amount // max(1, lies[source]),
                Policy.MOST: min(taint[source], amount),
                Policy.LEAST: max(0, amount - (lies[source] - taint[source])),
            }[policy]
            carried = taint[source] if amount >= lies[source] else carried
        if not stops[source]:
            lies[source] = max(0, lies[source] - amount)
            taint[source] -= 0 if row in thefts else carried
            if row in thefts and taint[source] > lies[source]:
                cut, taint[source] = cut + taint[source] - lies[source], lies[source]
        lies[target] += amount
        if carried and (carried >= least or row in thefts):
            taint[target], moved[row] = taint[target] + carried, carried
        else:
            cut += carried
    got = found(case, policy)
    assert got.moved() == moved
    assert got.lies() == {node: units for node, units in enumerate(taint) if units}
    assert got.cut_units == cut


@settings(deadline=None)
@given(cases())
def test_the_compiled_queue_is_that_of_plain_python(case: tuple[list[Row], list[int], list[bool], int]) -> None:
    transfers, thefts, stops, least = case
    queues: list[deque[list[int]]] = [deque() for _ in range(NODES)]
    held, moved = [0] * NODES, {}
    for row, (source, target, amount) in enumerate(transfers):
        # All that can be taken is what lay there: not what a payer puts to himself.
        left, carried, own = amount, 0, sum(parcel[0] for parcel in queues[source])
        while left:
            if own and not stops[source]:
                parcel = queues[source][0]
                part, dirty = min(left, own, parcel[0]), bool(parcel[1]) or row in thefts
                own -= part
                parcel[0] -= part
                if not parcel[0]:
                    queues[source].popleft()
                held[source] -= part if parcel[1] else 0
            else:
                part, dirty = left, row in thefts
            left -= part
            dirty = dirty and (part >= least or row in thefts)
            carried += part if dirty else 0
            if stops[target]:
                continue
            if queues[target] and bool(queues[target][-1][1]) == dirty:
                queues[target][-1][0] += part
            else:
                queues[target].append([part, int(dirty)])
        if carried:
            moved[row] = carried
            held[target] += carried
    got = found(case, Policy.FIFO)
    assert got.moved() == moved
    assert got.lies() == {node: units for node, units in enumerate(held) if units}


@settings(deadline=None)
@given(cases())
def test_no_policy_carries_more_than_most_or_reaches_beyond_poison(
    case: tuple[list[Row], list[int], list[bool], int],
) -> None:
    transfers, thefts, stops, _ = case
    whole = (transfers, thefts[:1], stops, 1)
    reach = set(found(whole, Policy.POISON).moved())
    for policy in (Policy.HAIRCUT, Policy.FIFO, Policy.MOST, Policy.LEAST):
        assert set(found(whole, policy).moved()) <= reach


def test_clayton_pays_out_what_came_in_first() -> None:
    # 0 is the victim, 9 clean: five clean, then ten stolen, reach 2; eight leave it.
    flows = flows_of([(3, 2, 5), (0, 2, 10), (2, 4, 8), (2, 5, 7)], NODES)
    taint = spread(flows, [1], Policy.FIFO)
    assert taint.moved() == {1: 10, 2: 3, 3: 7}
    assert taint.lies() == {4: 3, 5: 7}
    assert spread(flows, [1], Policy.HAIRCUT).moved() == {1: 10, 2: 5, 3: 5}
    assert spread(flows, [1], Policy.MOST).moved() == {1: 10, 2: 8, 3: 2}
    assert spread(flows, [1], Policy.LEAST).moved() == {1: 10, 2: 3, 3: 7}
    assert spread(flows, [1], Policy.POISON).moved() == {1: 10, 2: 8, 3: 7}


def test_who_pays_himself_more_than_he_is_known_to_have_is_done_with_at_once() -> None:
    flows = flows_of([(0, 1, 3), (1, 1, UNITS_MAX - 1), (1, 2, 3)], NODES)
    for policy in (Policy.HAIRCUT, Policy.FIFO, Policy.MOST, Policy.LEAST):
        assert sum(spread(flows, [0], policy).lies().values()) == 3
    assert spread(flows, [0], Policy.FIFO).moved() == {0: 3, 1: 3, 2: 3}


def test_a_service_keeps_what_came_to_it() -> None:
    flows = flows_of([(0, 1, 10), (1, 2, 10), (2, 3, 10)], NODES)
    stops = np.array([False, False, True, False, False, False])
    for policy in (Policy.HAIRCUT, Policy.FIFO, Policy.MOST, Policy.LEAST):
        assert spread(flows, [0], policy, stops=stops).lies() == {2: 10}


@pytest.mark.parametrize("thefts", [[1, 0], [0, 0], [2], [-1]])
def test_a_theft_that_is_no_row_is_refused(thefts: list[int]) -> None:
    with pytest.raises(TheftUnknown):
        spread(flows_of([(0, 1, 1), (1, 2, 1)], NODES), thefts, Policy.HAIRCUT)


@pytest.mark.parametrize("bad", [(0, NODES, 1), (-1, 0, 1), (0, 1, UNITS_MAX), (0, 1, -1)])
def test_a_row_that_cannot_be_is_refused(bad: Row) -> None:
    with pytest.raises(FlowsMalformed):
        flows_of([bad], NODES)
