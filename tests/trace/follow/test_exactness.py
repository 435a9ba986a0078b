"""Following is exact: the answers of the compiled kernels on one asset, and nothing lost or made across assets."""

from hypothesis import given, settings, strategies as st
from tests.trace.follow.worlds import ETH, Known, World, balances

from holdfast.trace.flows import flows_of
from holdfast.trace.follow.engine import follow
from holdfast.trace.follow.options import Options
from holdfast.trace.model import LabelKind
from holdfast.trace.reading import ListedTransfers
from holdfast.trace.taint import Policy, spread

NODES = "abcdef"
Row = tuple[int, int, int]
units = st.one_of(st.integers(1, 50), st.integers(1, 2**70))
pairs = st.tuples(st.integers(0, 5), st.integers(0, 5)).filter(lambda pair: pair[0] != pair[1])
moves = st.lists(st.tuples(pairs, units), min_size=1, max_size=40)
ALL = tuple(Policy)


@settings(deadline=None, max_examples=200)
@given(moves, st.data())
def test_on_one_asset_it_says_what_the_compiled_kernels_say(
    rows: list[tuple[tuple[int, int], int]], data: st.DataObject
) -> None:
    thefts = sorted(data.draw(st.sets(st.integers(0, len(rows) - 1), min_size=1, max_size=3)))
    services = data.draw(st.sets(st.sampled_from(NODES), max_size=2))
    world = World()
    for (source, target), amount in rows:
        world.pay(NODES[source], NODES[target], amount)
    names = Known(**dict.fromkeys(services, LabelKind.EXCHANGE))
    trace = follow(
        ListedTransfers(world.rows), names, [world.rows[at] for at in thefts],
        Options(by=ALL, least={ETH: 1}, past_unshown=False),
    )  # fmt: skip
    flows = flows_of([(source, target, amount) for (source, target), amount in rows], len(NODES))
    stops = [node in services for node in NODES]
    import numpy as np

    for policy in ALL:
        expected = spread(flows, thefts, policy, stops=np.array(stops))
        got = {step.transfer.height - 1: step.carried[policy.value] for step in trace.steps}
        assert {row: carried for row, carried in got.items() if carried} == expected.moved(), policy
        if policy is not Policy.POISON:
            lies = {NODES.index(end.address): 0 for end in trace.ends}
            for end in trace.ends:
                if "second time" not in end.detail:
                    lies[NODES.index(end.address)] += end.lies.get(policy.value, 0)
            assert {node: amount for node, amount in lies.items() if amount} == expected.lies(), policy
    assert not balances(trace)
