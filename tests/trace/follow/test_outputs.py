"""The Bitcoin family: outputs through transactions, fees last, change, CoinJoins, blocks whose times go back."""

from hypothesis import given, settings, strategies as st
from tests.trace.follow.worlds import BTC, NOBODY, Known, World, balances, end_at, lies

from holdfast.trace.flows import flows_of
from holdfast.trace.follow.engine import follow
from holdfast.trace.follow.options import Options
from holdfast.trace.model import FEES, EndKind, LabelKind, Movement, Reason, Transfer
from holdfast.trace.reading import ListedTransfers
from holdfast.trace.taint import Policy, spread


def stolen_output(world: World, units: int = 1000, address: str = "thief") -> Transfer:
    return world.spend([("v:0", "victim", units)], [(address, units)], id_="theft")[-1]


def test_it_goes_by_outputs_not_by_addresses() -> None:
    world = World()
    theft = stolen_output(world)
    world.spend([("x:0", "somebody", 500)], [("thief", 500)], id_="other")
    world.spend([("other:0", "thief", 500)], [("shop", 500)])
    world.spend([("theft:0", "thief", 1000)], [("hop", 990)], id_="move")
    trace = follow(ListedTransfers(world.rows), NOBODY, [theft])
    assert lies(trace, "hop") == 990
    assert lies(trace, "shop") == 0
    assert lies(trace, FEES) == 10
    assert [step.transfer.movement for step in trace.steps] == [Movement.OUTPUT, Movement.INPUT, Movement.OUTPUT]
    assert not balances(trace)


def test_inputs_mix_and_the_fee_is_paid_last() -> None:
    world = World()
    theft = stolen_output(world)
    clean = world.spend([("x:0", "somebody", 1000)], [("thief", 1000)], id_="clean")
    assert clean
    world.spend([("theft:0", "thief", 1000), ("clean:0", "thief", 1000)], [("a", 1200), ("b", 700)], id_="mix")
    trace = follow(ListedTransfers(world.rows), NOBODY, [theft])
    assert end_at(trace, "a").lies == {"haircut": 600, "fifo": 1000, "most": 1000, "least": 200}
    assert end_at(trace, "b").lies == {"haircut": 350, "fifo": 0, "most": 0, "least": 700}
    assert end_at(trace, FEES).lies == {"haircut": 50, "fifo": 0, "most": 0, "least": 100}


def test_a_deposit_at_an_exchange_ends_it() -> None:
    world = World()
    theft = stolen_output(world)
    world.spend([("theft:0", "thief", 1000)], [("bourse", 1000)], id_="in")
    world.spend([("in:0", "bourse", 1000)], [("customer", 1000)])
    trace = follow(ListedTransfers(world.rows), Known(bourse=LabelKind.EXCHANGE), [theft])
    assert end_at(trace, "bourse").kind is EndKind.SERVICE
    assert lies(trace, "customer") == 0


def test_block_times_that_go_back_lose_nothing() -> None:
    world = World()
    theft = world.spend([("v:0", "victim", 1000)], [("a", 600), ("b", 400)], id_="theft", time=1000)[1:]
    world.spend([("theft:1", "b", 400)], [("c", 400)], id_="late", time=2000)
    world.spend([("theft:0", "a", 600), ("late:0", "c", 400)], [("d", 1000)], id_="both", time=1500)
    trace = follow(ListedTransfers(world.rows), NOBODY, theft)
    assert lies(trace, "d") == 1000
    assert not balances(trace)


def test_change_to_an_own_address_is_told() -> None:
    world = World()
    theft = stolen_output(world, 10_000_000)
    world.spend([("theft:0", "thief", 10_000_000)], [("shop", 3_000_000), ("thief", 6_999_000)], id_="pay")
    trace = follow(ListedTransfers(world.rows), NOBODY, [theft])
    told = {step.transfer.target: step for step in trace.steps}
    assert told["thief"].reason is Reason.CHANGE
    assert "own address" in told["thief"].why
    assert told["shop"].reason is Reason.DIRECT


def test_the_only_fresh_output_is_change() -> None:
    world = World()
    theft = stolen_output(world, 10_000_000)
    world.spend([("y:0", "somebody", 5)], [("shop", 5)])
    world.spend([("theft:0", "thief", 10_000_000)], [("shop", 3_123_456), ("fresh", 6_876_000)], id_="pay")
    trace = follow(ListedTransfers(world.rows), NOBODY, [theft])
    told = next(step for step in trace.steps if step.transfer.target == "fresh")
    assert (told.reason, "only fresh one" in told.why) == (Reason.CHANGE, True)


def test_of_a_coinjoin_nothing_is_change_and_each_output_is_one_of_n() -> None:
    world = World()
    theft = stolen_output(world, 130)
    inputs = [("theft:0", "thief", 130), *((f"x{n}:0", f"other{n}", 100) for n in range(3))]
    world.spend(inputs, [*((f"out{n}", 100) for n in range(4)), ("thief", 30)], id_="join")
    trace = follow(ListedTransfers(world.rows), NOBODY, [theft])
    outs = [step for step in trace.steps if step.transfer.target.startswith("out")]
    assert {(step.reason, step.of, step.confidence) for step in outs} == {(Reason.MIXER, 4, 25)}
    assert all(step.reason is not Reason.CHANGE for step in trace.steps)
    assert sum(lies(trace, f"out{n}") for n in range(4)) + lies(trace, "thief") == 130
    assert not balances(trace)


def test_a_peel_chain_is_followed_as_one() -> None:
    world = World()
    theft = stolen_output(world, 10_000_000)
    holding, at = "theft:0", "thief"
    left = 10_000_000
    for hop in range(6):
        left -= 500_000
        world.spend([(holding, at, left + 500_000)], [(f"bourse{hop}", 500_000), (f"hop{hop}", left)], id_=f"p{hop}")
        holding, at = f"p{hop}:1", f"hop{hop}"
    trace = follow(ListedTransfers(world.rows), NOBODY, [theft])
    (chain,) = trace.chains
    assert (len(chain.steps), len(chain.peels), chain.ambiguous) == (6, 6, 0)
    assert chain.ended == "the remainder was not moved on"
    by_id = {step.id: step for step in trace.steps}
    assert [by_id[step].transfer.target for step in chain.steps] == [f"hop{hop}" for hop in range(6)]
    assert by_id[chain.peels[2]].reason is Reason.PEEL
    assert "Hop 3 of 6" in by_id[chain.steps[2]].why


def test_a_peel_chain_ends_at_a_long_rest_and_counts_what_is_ambiguous() -> None:
    world = World()
    theft = world.pay("victim", "hop0", 10_000)
    left = 10_000
    for hop in range(5):
        peel = left * 4 // 10 if hop == 2 else left // 10
        rest = 30 * 86_400 if hop >= 4 else 0
        world.transaction((f"hop{hop}", f"peel{hop}", peel, "eip155:1/slip44:60"), time=1000 + hop * 600 + rest)
        left -= peel
        world.transaction((f"hop{hop}", f"hop{hop + 1}", left, "eip155:1/slip44:60"), time=1300 + hop * 600 + rest)
    trace = follow(ListedTransfers(world.rows), NOBODY, [theft])
    (chain,) = trace.chains
    assert (len(chain.steps), chain.ambiguous) == (4, 1)
    assert "rested 30 days, longer than the gap" in chain.ended
    assert chain.longest_gap == 1288  # from the theft to the first hop


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_through_transactions_it_says_what_the_compiled_kernels_say(data: st.DataObject) -> None:
    world = World()
    unspent = [(f"g{n}:0", f"own{n}", data.draw(st.integers(1, 2**66))) for n in range(4)]
    for _ in range(data.draw(st.integers(1, 8))):
        spent = data.draw(st.lists(st.sampled_from(unspent), min_size=1, max_size=3, unique=True))
        left = sum(units for _, _, units in spent)
        outputs = []
        for _ in range(data.draw(st.integers(1, 3))):
            units = data.draw(st.integers(1, left)) if left else 0
            left -= units
            outputs += [(f"a{data.draw(st.integers(0, 5))}", units)] if units else []
        rows = world.spend(spent, outputs)
        unspent = [each for each in unspent if each not in spent]
        unspent += [(row.outpoint, row.target, row.units) for row in rows if row.movement is Movement.OUTPUT]
        if not unspent:
            break
    thefts = data.draw(st.lists(st.sampled_from([r for r in world.rows if r.movement is Movement.INPUT]),
                                min_size=1, max_size=2, unique=True))  # fmt: skip
    trace = follow(ListedTransfers(world.rows), NOBODY, thefts,
                   Options(by=tuple(Policy), least={BTC: 1}, past_unshown=False))  # fmt: skip
    names: dict[str, int] = {}

    def node(row: Transfer, *, is_source: bool) -> int:
        is_output = (row.movement is Movement.INPUT) == is_source and row.movement is not Movement.FEE
        name = row.outpoint if is_output else FEES if row.target == FEES and not is_source else row.transaction
        return names.setdefault(name, len(names))

    flow = [(node(row, is_source=True), node(row, is_source=False), row.units) for row in world.rows]
    at = sorted(world.rows.index(theft) for theft in thefts)
    for policy in Policy:
        expected = spread(flows_of(flow, len(names)), at, policy)
        moved = {world.rows[row]: units for row, units in expected.moved().items() if world.rows[row].target != FEES}
        told = {step.transfer: step.carried[policy.value] for step in trace.steps if step.carried[policy.value]}
        assert told == moved, policy
    assert not balances(trace)
