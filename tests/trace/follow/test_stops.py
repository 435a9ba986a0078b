"""Where following ends: services by label and by their customers, limits of value and time, people's decisions."""

from tests.trace.follow.worlds import ETH, NOBODY, Known, World, balances, end_at, kinds, lies

from holdfast.trace.follow.engine import follow
from holdfast.trace.follow.options import Decision, Options, Overrule
from holdfast.trace.model import EndKind, LabelKind, Reason
from holdfast.trace.reading import ListedTransfers


def test_a_labelled_service_ends_it() -> None:
    world = World()
    theft = world.pay("victim", "thief", 100)
    world.pay("thief", "bourse", 100)
    world.pay("bourse", "stranger", 100)
    trace = follow(ListedTransfers(world.rows), Known(bourse=LabelKind.EXCHANGE), [theft])
    assert [step.transfer.target for step in trace.steps] == ["thief", "bourse"]
    end = end_at(trace, "bourse")
    assert end.kind is EndKind.SERVICE
    assert end.label is not None
    assert end.lies["haircut"] == 100
    assert "Bourse (exchange), says this test" in end.detail


def test_an_address_that_strangers_pay_is_plainly_a_service() -> None:
    world = World()
    for number in range(100):
        world.pay(f"stranger{number}", "unnamed", 1000)
    theft = world.pay("victim", "thief", 100)
    world.pay("thief", "unnamed", 100)
    world.pay("unnamed", "somebody", 50)
    trace = follow(ListedTransfers(world.rows), NOBODY, [theft])
    assert end_at(trace, "unnamed").kind is EndKind.SERVICE
    assert "100 strangers" in end_at(trace, "unnamed").detail
    assert all(step.transfer.target != "somebody" for step in trace.steps)


def test_dust_from_strangers_makes_nobody_a_service() -> None:
    world = World()
    theft = world.pay("victim", "thief", 10**9)
    for number in range(150):
        world.pay(f"stranger{number}", "hop", 3)
    world.pay("thief", "hop", 10**9)
    world.pay("hop", "next", 10**9)
    trace = follow(ListedTransfers(world.rows), NOBODY, [theft])
    assert lies(trace, "next") > 10**9 - 500


def test_many_victims_do_not_make_the_thief_a_service() -> None:
    world = World()
    thefts = [world.pay(f"victim{number}", "thief", 100) for number in range(200)]
    world.pay("thief", "hop", 20_000)
    trace = follow(ListedTransfers(world.rows), NOBODY, thefts)
    assert lies(trace, "hop") == 20_000


def test_what_is_below_the_limit_is_not_followed_but_counted() -> None:
    world = World()
    theft = world.pay("victim", "thief", 1_000_000)
    world.pay("thief", "crumb", 99)
    world.pay("thief", "main", 999_901)
    trace = follow(ListedTransfers(world.rows), NOBODY, [theft], Options(least={ETH: 100}))
    assert [step.transfer.target for step in trace.steps] == ["thief", "main"]
    assert trace.skipped == {"below the limit": 1}
    assert end_at(trace, "thief").lies["haircut"] == 99
    assert end_at(trace, "thief").kind is EndKind.BELOW
    assert not balances(trace)


def test_what_moves_after_the_time_limit_is_told_as_such() -> None:
    world = World()
    theft = world.pay("victim", "thief", 100)
    world.pay("thief", "later", 100)
    trace = follow(ListedTransfers(world.rows), NOBODY, [theft], Options(until=theft.time))
    assert kinds(trace) == {"thief": EndKind.TIME}


def test_a_mostly_stolen_address_is_followed_where_the_source_shows_too_little() -> None:
    world = World()
    theft = world.pay("victim", "thief", 100)
    world.pay("thief", "first", 100)
    world.pay("thief", "second", 40)  # nobody saw it come
    names = Known(second=LabelKind.EXCHANGE)
    trace = follow(ListedTransfers(world.rows), names, [theft])
    step = trace.steps[-1]
    assert step.transfer.target == "second"
    assert {policy: units for policy, units in step.carried.items() if units} == {"poison": 40}
    assert step.confidence <= 50
    assert "on suspicion" in step.why
    assert end_at(trace, "second").lies["haircut"] == 0
    assert not balances(trace)
    blind = follow(ListedTransfers(world.rows), names, [theft], Options(past_unshown=False))
    assert all(step.transfer.target != "second" for step in blind.steps)


def test_whose_an_address_is_may_turn_out_later() -> None:
    world = World()
    theft = world.pay("victim", "thief", 1000)
    world.pay("stranger", "hop", 30)
    world.pay("thief", "hop", 10)
    early = world.pay("hop", "early", 500)  # nobody saw it come
    world.pay("thief", "hop", 990)
    trace = follow(ListedTransfers(world.rows), NOBODY, [theft])
    assert early in [step.transfer for step in trace.steps]
    assert not balances(trace)


def test_a_mostly_honest_address_is_not_suspected() -> None:
    world = World()
    theft = world.pay("victim", "shop", 100)
    world.pay("customer", "shop", 900)
    world.pay("shop", "supplier", 1000)
    world.pay("shop", "wages", 500)
    trace = follow(ListedTransfers(world.rows), NOBODY, [theft])
    assert [step.transfer.target for step in trace.steps] == ["shop", "supplier"]


def overrule(decision: Decision, step: str = "", transaction: str = "") -> Overrule:
    return Overrule(decision, "A. Analyst", 1, "a reason", step=step, network="eip155:1", transaction=transaction)


def test_a_person_may_leave_a_step_and_what_it_carried_lies_there() -> None:
    world = World()
    theft = world.pay("victim", "thief", 100)
    world.pay("thief", "friend", 60)
    world.pay("friend", "far", 60)
    world.pay("thief", "hop", 40)
    before = follow(ListedTransfers(world.rows), NOBODY, [theft])
    chosen = next(step for step in before.steps if step.transfer.target == "friend")
    after = follow(ListedTransfers(world.rows), NOBODY, [theft], overrules=[overrule(Decision.LEAVE, chosen.id)])
    assert {step.transfer.target for step in after.steps} == {"thief", "friend", "hop"}
    told = next(step for step in after.steps if step.id == chosen.id)
    assert told.reason is Reason.OVERRULED
    assert "A. Analyst decided to leave it: a reason." in told.why
    assert end_at(after, "friend").kind is EndKind.OVERRULED
    assert not balances(after)
    kept = {step.id for step in before.steps} & {step.id for step in after.steps}
    assert len(kept) == 3  # ids survive


def test_a_person_may_look_past_a_service() -> None:
    world = World()
    theft = world.pay("victim", "thief", 100)
    paid = world.pay("thief", "bourse", 100)
    world.pay("bourse", "hop", 100)
    names = Known(bourse=LabelKind.EXCHANGE)
    decided = [overrule(Decision.FOLLOW, transaction=paid.transaction)]
    trace = follow(ListedTransfers(world.rows), names, [theft], overrules=decided)
    assert lies(trace, "hop") == 100


def test_a_person_may_follow_what_is_below_the_limit() -> None:
    world = World()
    theft = world.pay("victim", "thief", 1000)
    crumb = world.pay("thief", "crumb", 5)
    decided = [overrule(Decision.FOLLOW, transaction=crumb.transaction)]
    trace = follow(ListedTransfers(world.rows), NOBODY, [theft], Options(least={ETH: 100}), decided)
    assert lies(trace, "crumb") == 5


def test_it_stops_where_reading_would_take_too_much() -> None:
    world = World()
    theft = world.pay("victim", "hop0", 100)
    for number in range(50):
        world.pay(f"hop{number}", f"hop{number + 1}", 100)
    trace = follow(ListedTransfers(world.rows), NOBODY, [theft], Options(transfers_most=20))
    assert any("the most allowed" in each for each in trace.stopped)
    assert not balances(trace)
