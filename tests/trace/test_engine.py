"""Bulk passes over numbered transfers: the same answers as the small ones, whatever the files they lie in."""

from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from holdfast.trace.engine.passes import HopsImpossible, clusters, reach, taint
from holdfast.trace.engine.stored import NumberedUnreadable, Stored, Writer
from holdfast.trace.flows import flows_of
from holdfast.trace.taint import Policy, spread

NODES = 8
Row = tuple[int, int, int]
rows = st.lists(
    st.tuples(st.integers(0, NODES - 1), st.integers(0, NODES - 1), st.integers(0, 2**70)), min_size=1, max_size=40
)
in_a_new_folder = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def stored(directory: Path, transfers: list[Row], cut: int) -> Stored:
    """In two files, the first of `cut` rows."""
    writer = Writer(directory, is_wide=True)
    writer.append(flows_of(transfers[:cut], NODES))
    writer.append(flows_of(transfers[cut:], NODES))
    return writer.close()


def plainly(transfers: list[Row], theft: int, hops: int, stops: list[bool]) -> dict[int, int]:
    """By row within so many hops of the theft, the fewest hops that lead to it: rounds over everything."""
    found, reached = {theft: 0}, {theft}
    for hop in range(1, hops + 1):
        more = {
            row
            for row, (source, _, _) in enumerate(transfers)
            if any(before < row and transfers[before][1] == source and not stops[source] for before in reached)
        }
        found = {**dict.fromkeys(more, hop), **found}
        reached |= more
    return {row: hop for row, hop in found.items() if row != theft}


@in_a_new_folder
@given(rows, st.data())
def test_taint_of_stored_transfers_is_that_of_the_same_ones_in_memory(
    tmp_path: Path, transfers: list[Row], data: st.DataObject
) -> None:
    theft = data.draw(st.integers(0, len(transfers) - 1))
    kept = stored(tmp_path, transfers, data.draw(st.integers(0, len(transfers))))
    for policy in Policy:
        there, here = taint(kept, [theft], policy), spread(flows_of(transfers, NODES), [theft], policy)
        assert (there.moved(), there.lies(), there.cut_units) == (here.moved(), here.lies(), here.cut_units)


@in_a_new_folder
@given(rows, st.data())
def test_clusters_are_the_connected_components_that_another_library_finds(
    tmp_path: Path, transfers: list[Row], data: st.DataObject
) -> None:
    found = clusters(stored(tmp_path, transfers, data.draw(st.integers(0, len(transfers)))))
    graph = nx.Graph([(source, target) for source, target, _ in transfers])
    graph.add_nodes_from(range(NODES))
    for component in nx.connected_components(graph):
        assert {int(found[node]) for node in component} == {min(component)}


@in_a_new_folder
@given(rows, st.lists(st.booleans(), min_size=NODES, max_size=NODES), st.integers(1, 5), st.data())
def test_a_reach_goes_forwards_in_time_and_not_through_services(
    tmp_path: Path, transfers: list[Row], stops: list[bool], hops: int, data: st.DataObject
) -> None:
    theft = data.draw(st.integers(0, len(transfers) - 1))
    kept = stored(tmp_path, transfers, data.draw(st.integers(0, len(transfers))))
    found = reach(kept, [theft], hops, stops=np.array(stops))
    assert dict(zip(found.rows.tolist(), found.hops.tolist(), strict=True)) == plainly(transfers, theft, hops, stops)


@pytest.mark.parametrize(("theft", "hops"), [(0, 0), (3, 1), (-1, 1), (0, 251)])
def test_a_reach_from_nowhere_is_refused(tmp_path: Path, theft: int, hops: int) -> None:
    with pytest.raises(HopsImpossible):
        reach(stored(tmp_path, [(0, 1, 1), (1, 2, 1), (2, 3, 1)], 1), [theft], hops)


def test_transfers_that_were_not_finished_are_not_read(tmp_path: Path) -> None:
    Writer(tmp_path).append(flows_of([(0, 1, 1)], NODES))
    with pytest.raises(NumberedUnreadable):
        Stored(tmp_path)


def test_a_file_that_is_gone_or_damaged_is_said(tmp_path: Path) -> None:
    kept = stored(tmp_path, [(0, 1, 1), (1, 2, 1)], 1)
    kept.files[1].write_bytes(b"PAR1 and then nothing")
    with pytest.raises(NumberedUnreadable):
        kept.flows()


def test_amounts_that_need_two_words_are_refused_where_one_was_said(tmp_path: Path) -> None:
    with pytest.raises(NumberedUnreadable):
        Writer(tmp_path).append(flows_of([(0, 1, 2**64)], NODES))
