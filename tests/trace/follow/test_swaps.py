"""Swaps, wrapping and money passed on inside one transaction: by everybody's net change, exchange unknown."""

from hypothesis import given, settings, strategies as st
from tests.trace.follow.worlds import ETH, NOBODY, Known, World, balances, end_at, lies, token

from holdfast.trace.follow.engine import follow
from holdfast.trace.follow.options import Options
from holdfast.trace.model import EndKind, LabelKind, Reason
from holdfast.trace.reading import ListedTransfers

ZERO = "0x0000000000000000000000000000000000000000"
USDX, LP = token("0xUSDX"), token("0xPool")


def test_a_swap_through_a_router_comes_back_as_the_other_asset() -> None:
    world = World()
    theft = world.pay("victim", "thief", 100)
    world.transaction(("thief", "router", 100, ETH), ("router", "pool", 100, ETH), ("pool", "thief", 2500, USDX))
    world.pay("thief", "next", 2500, asset=USDX)
    trace = follow(ListedTransfers(world.rows), Known(pool=LabelKind.DEX, router=LabelKind.DEX), [theft])
    assert [step.reason for step in trace.steps] == [Reason.THEFT, Reason.SWAP, Reason.SWAP, Reason.DIRECT]
    assert lies(trace, "next") == 2500
    (crossing,) = trace.crossings
    assert (crossing.gave[ETH]["fifo"], crossing.got[USDX]["fifo"]) == (100, 2500)
    assert trace.steps[2].after == crossing.into
    assert "net change" in trace.steps[2].why
    assert not balances(trace)


def test_a_pool_that_pays_before_it_is_paid_is_the_same_swap() -> None:
    world = World()
    theft = world.pay("victim", "thief", 100)
    world.transaction(("pool", "thief", 2500, USDX), ("thief", "pool", 100, ETH))
    trace = follow(ListedTransfers(world.rows), NOBODY, [theft])
    assert lies(trace, "thief") == 2500
    assert lies(trace, "pool") == 0


def test_only_the_stolen_share_of_what_went_in_is_stolen_of_what_came_out() -> None:
    world = World()
    world.pay("salary", "thief", 300)
    theft = world.pay("victim", "thief", 100)
    world.transaction(("thief", "pool", 200, ETH), ("pool", "thief", 1000, USDX))
    trace = follow(ListedTransfers(world.rows), NOBODY, [theft])
    swapped = end_at(trace, "thief")
    got = {end.asset: end.lies for end in trace.ends if end.address == "thief"}
    assert got[USDX] == {"haircut": 250, "fifo": 0, "most": 500, "least": 0}
    assert got[ETH] == {"haircut": 50, "fifo": 100, "most": 0, "least": 100}
    assert swapped.kind is EndKind.UNSPENT
    assert not balances(trace)


def test_proceeds_for_somebody_else_are_followed_there() -> None:
    world = World()
    theft = world.pay("victim", "thief", 100)
    world.transaction(("thief", "router", 100, ETH), ("router", "pool", 97, ETH), ("router", "collector", 3, ETH),
                      ("pool", "friend", 970, USDX))  # fmt: skip
    trace = follow(ListedTransfers(world.rows), NOBODY, [theft])
    assert lies(trace, "friend") == 970
    assert lies(trace, "collector") == 3
    assert trace.crossings[0].gave[ETH]["haircut"] == 97
    assert not balances(trace)


def test_two_pools_one_after_the_other_are_one_swap() -> None:
    world = World()
    theft = world.pay("victim", "thief", 100)
    mid = token("0xMID")
    world.transaction(("thief", "a", 100, ETH), ("a", "b", 50, mid), ("b", "thief", 2500, USDX))
    trace = follow(ListedTransfers(world.rows), NOBODY, [theft])
    assert {end.asset: end.lies["haircut"] for end in trace.ends if end.lies["haircut"]} == {USDX: 2500}
    assert not balances(trace)


def test_wrapping_is_one_for_one_and_certain() -> None:
    world = World()
    weth = token("0xWETH")
    theft = world.pay("victim", "thief", 100)
    world.transaction(("thief", "0xWETH", 100, ETH), (ZERO, "thief", 100, weth))
    world.pay("thief", "hop", 100, asset=weth)
    world.transaction(("hop", ZERO, 100, weth), ("0xWETH", "hop", 100, ETH))
    world.pay("hop", "last", 100)
    trace = follow(ListedTransfers(world.rows), Known(**{"0xWETH": LabelKind.DEX}), [theft])
    assert lies(trace, "last") == 100
    wraps = [step for step in trace.steps if step.reason is Reason.WRAP]
    assert [step.confidence for step in wraps] == [100] * 4
    assert not balances(trace)


def test_wrapping_that_no_export_lists_is_implied_and_says_so() -> None:
    world = World()
    contract = "0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2"
    weth = token(contract)
    theft = world.pay("victim", "thief", 100)
    world.pay("thief", contract, 100)
    world.pay("thief", "hop", 100, asset=weth)
    world.pay("hop", contract, 100, asset=weth)
    world.pay("hop", "last", 100)
    trace = follow(ListedTransfers(world.rows), Known(**{contract: LabelKind.DEX}), [theft])
    assert lies(trace, "last") == 100
    assert sum("implied" in step.transfer.memo for step in trace.steps) == 2
    assert not balances(trace)


def test_liquidity_in_and_out_keeps_the_share() -> None:
    world = World()
    theft = world.pay("victim", "thief", 100)
    world.pay("market", "thief", 2500, asset=USDX)
    world.transaction(("thief", "0xPool", 100, ETH), ("thief", "0xPool", 2500, USDX), (ZERO, "thief", 500, LP))
    trace = follow(ListedTransfers(world.rows), NOBODY, [theft])
    pool = {end.asset: end.lies for end in trace.ends if end.address == "thief"}
    assert pool[LP] == {"haircut": 250, "fifo": 250, "most": 500, "least": 0}  # each asset weighs the same
    assert not balances(trace)


def test_a_mint_by_another_contract_than_the_one_paid_is_a_guess_and_says_so() -> None:
    world = World()
    theft = world.pay("victim", "thief", 100)
    staked = token("0xStaked")
    world.transaction(("thief", "staking", 100, ETH), (ZERO, "thief", 96, staked))
    trace = follow(ListedTransfers(world.rows), Known(staking=LabelKind.DEX), [theft])
    assert lies(trace, "thief") == 96
    assert trace.steps[-1].confidence == 70
    assert "a guess" in trace.steps[-1].why


def test_a_receipt_for_a_plain_payment_is_no_swap() -> None:
    world = World()
    theft = world.pay("victim", "thief", 100)
    points = token("0xPoints")
    world.transaction(("thief", "friend", 100, ETH), (ZERO, "thief", 1, points))
    trace = follow(ListedTransfers(world.rows), NOBODY, [theft])
    assert lies(trace, "friend") == 100
    assert not trace.crossings


def test_who_only_passes_it_on_keeps_nothing_though_he_is_a_service() -> None:
    world = World()
    world.pay("other", "router", 10_000)
    theft = world.pay("victim", "thief", 100)
    world.transaction(("thief", "router", 100, ETH), ("router", "vault", 99, ETH))
    names = Known(router=LabelKind.BRIDGE, vault=LabelKind.BRIDGE)
    trace = follow(ListedTransfers(world.rows), names, [theft])
    assert (lies(trace, "vault"), lies(trace, "router")) == (99, 1)
    assert "within the same transaction" in trace.steps[-1].why


def test_the_order_in_which_a_file_tells_a_transaction_does_not_matter() -> None:
    world = World()
    theft = world.pay("victim", "thief", 100)
    world.transaction(("router", "vault", 99, ETH), ("thief", "router", 100, ETH))
    names = Known(router=LabelKind.BRIDGE, vault=LabelKind.BRIDGE)
    trace = follow(ListedTransfers(world.rows), names, [theft])
    assert (lies(trace, "vault"), lies(trace, "router")) == (99, 1)


def test_a_payment_to_many_in_one_transaction_reaches_them_all() -> None:
    world = World()
    theft = world.pay("victim", "thief", 90)
    world.transaction(("thief", "split", 90, ETH), *(("split", f"hop{n}", 30, ETH) for n in range(3)))
    trace = follow(ListedTransfers(world.rows), NOBODY, [theft])
    assert [lies(trace, f"hop{n}") for n in range(3)] == [30, 30, 30]


def test_what_a_refund_brings_back_was_not_swapped() -> None:
    world = World()
    theft = world.pay("victim", "thief", 100)
    world.transaction(("thief", "router", 100, ETH), ("router", "pool", 80, ETH), ("pool", "thief", 8, USDX),
                      ("router", "thief", 20, ETH))  # fmt: skip
    trace = follow(ListedTransfers(world.rows), NOBODY, [theft])
    assert {end.asset: end.lies["fifo"] for end in trace.ends} == {ETH: 20, USDX: 8}
    assert not balances(trace)


ASSETS = (ETH, USDX, LP)
people = st.sampled_from("abcde")
legs = st.tuples(people, people, st.integers(1, 1000), st.sampled_from(ASSETS)).filter(lambda leg: leg[0] != leg[1])


@settings(deadline=None, max_examples=300)
@given(st.lists(st.lists(legs, min_size=1, max_size=5), min_size=1, max_size=15), st.integers(1, 200), st.data())
def test_nothing_is_lost_or_made_whatever_is_swapped_for_whatever(
    transactions: list[list[tuple[str, str, int, str]]], least: int, data: st.DataObject
) -> None:
    world = World()
    for moves in transactions:
        world.transaction(*moves)
    thefts = data.draw(st.lists(st.sampled_from(world.rows), min_size=1, max_size=3, unique=True))
    services = data.draw(st.sets(st.sampled_from("abcde"), max_size=2))
    names = Known(**dict.fromkeys(services, LabelKind.DEX))
    trace = follow(ListedTransfers(world.rows), names, thefts, Options(least=dict.fromkeys(ASSETS, least)))
    assert not balances(trace)
    for step in trace.steps:
        assert all(0 <= carried <= step.transfer.units for carried in step.carried.values())
    again = follow(ListedTransfers(world.rows), names, thefts, Options(least=dict.fromkeys(ASSETS, least)))
    assert again == trace
