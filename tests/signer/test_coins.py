"""Coin selection: whatever the coins and payments, what is built pays exactly that and costs what was asked."""

from itertools import combinations

import pytest
from hypothesis import assume, given, settings, strategies as st

from holdfast.core.bitcoin import Input, Output, Transaction, output_vbytes, vbytes
from holdfast.signer import coins as coins_room
from holdfast.signer.coins import (
    ADDED_MAX,
    CHAIN_MAX,
    INPUTS_MAX,
    Frame,
    NotEnough,
    Selection,
    Utxo,
    everything_to,
    replacement,
    select,
)

OWN = b"\x00\x14" + b"\x01" * 20
VAULT = b"\x00\x20" + b"\x02" * 32
coins = st.lists(
    st.builds(Utxo, st.integers(1, 10**9).map(lambda n: f"{n:064x}:0"), st.integers(1, 10**9), st.integers(0, 25)),
    max_size=30,
    unique_by=lambda coin: coin.outpoint,
)
payments = st.lists(
    st.builds(
        Output, st.binary(min_size=20, max_size=20).map(lambda key: b"\x00\x14" + key), st.integers(1_000, 10**8)
    ),
    min_size=1,
    max_size=20,
)
frames = st.builds(Frame, st.just(OWN), st.just(value=True), st.integers(1_000, 200_000))


def check(made: Selection, paid: list[Output], frame: Frame) -> None:
    outputs = list(made.transaction.outputs)
    if made.change_index is not None:
        change = outputs.pop(made.change_index)
        assert (change.script, change.units) == (OWN, made.change_units)
        assert not frame.is_dust(change)
    assert sorted(outputs, key=repr) == sorted(paid, key=repr)
    spent = sum(coin.units for coin in made.spent)
    assert spent == sum(one.units for one in made.transaction.outputs) + made.fee_units
    assert {one.outpoint for one in made.transaction.inputs} == {coin.outpoint for coin in made.spent}
    assert len(made.spent) <= INPUTS_MAX
    assert all(coin.depth < CHAIN_MAX for coin in made.spent)
    asked = frame.fee_units(vbytes(made.transaction, is_segwit=True))
    assert made.fee_units >= asked
    # More than asked only where the rest is not worth a coin of its own: it costs more to make and spend, or is dust.
    spare = 0 if made.change_index is not None else frame.fee_units(31) + max(frame.input_fee_units, 294) + 60
    assert made.fee_units - asked <= spare


@given(coins, payments, frames)
def test_a_selection_pays_exactly_what_was_asked_at_the_rate_that_was_asked(
    have: list[Utxo], paid: list[Output], frame: Frame
) -> None:
    made = select(have, paid, frame)
    if isinstance(made, Selection):
        check(made, paid, frame)
        assert made == select(list(reversed(have)), paid, frame)  # nothing is left to chance


@settings(max_examples=60)
@given(st.lists(st.integers(5_000, 10**7), min_size=1, max_size=6), st.integers(10_000, 10**7), frames)
def test_it_is_not_enough_only_when_no_choice_of_coins_is(values: list[int], units: int, frame: Frame) -> None:
    have = [Utxo(f"{number:064x}:0", value) for number, value in enumerate(values)]
    paid = [Output(VAULT, units)]
    possible = any(
        sum(coin.units for coin in chosen) >= units + frame.fee_units(vbytes(_bare(chosen, paid), is_segwit=True))
        for size in range(1, len(have) + 1)
        for chosen in combinations(have, size)
    )
    assert isinstance(select(have, paid, frame), Selection) == possible


def _bare(chosen: tuple[Utxo, ...], paid: list[Output]) -> Transaction:
    return Transaction(tuple(Input(coin.outpoint) for coin in chosen), tuple(paid))


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(100, 10**6), st.integers(0, 25)), min_size=1, max_size=12),
    st.integers(1_000, 4 * 10**6),
    frames,
    st.integers(1, 5),
)
def test_where_only_so_many_coins_may_be_spent_the_best_of_them_are_tried(
    values: list[tuple[int, int]], units: int, frame: Frame, most: int
) -> None:
    have = [Utxo(f"{number:064x}:0", value, depth) for number, (value, depth) in enumerate(values)]
    usable = [coin for coin in have if coin.units > frame.input_fee_units and coin.depth < CHAIN_MAX]
    paid = [Output(VAULT, units)]
    possible = any(
        sum(coin.units for coin in chosen) >= units + frame.fee_units(vbytes(_bare(chosen, paid), is_segwit=True))
        for size in range(1, most + 1)
        for chosen in combinations(usable, size)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coins_room, "INPUTS_MAX", most)
        made = select(have, paid, frame)
    assert isinstance(made, Selection) == possible
    if isinstance(made, Selection):
        assert len(made.spent) <= most


def test_a_crowd_of_small_coins_does_not_stand_before_change_that_waits() -> None:
    """Anybody can send small coins to the float."""
    frame = Frame(OWN, is_segwit=True, fee_per_kvb=1_000)
    crowd = [Utxo(f"{number:064x}:0", 1_000) for number in range(INPUTS_MAX)]
    made = select([*crowd, Utxo("ab" * 32 + ":0", 10**9, depth=1)], [Output(VAULT, 10**8)], frame)
    assert isinstance(made, Selection)
    assert len(made.spent) == 1


@settings(max_examples=150)
@given(st.lists(st.integers(2_000, 10**6), min_size=1, max_size=8), frames, st.data())
def test_where_some_coins_fit_exactly_nothing_is_changed(values: list[int], frame: Frame, data: st.DataObject) -> None:
    have = [Utxo(f"{number:064x}:0", value + frame.input_fee_units) for number, value in enumerate(values)]
    chosen = data.draw(st.lists(st.sampled_from(have), min_size=1, unique=True))
    worth = sum(coin.units - frame.input_fee_units for coin in chosen)
    spare = data.draw(st.integers(0, frame.fee_units(output_vbytes(OWN)) + frame.input_fee_units))
    units = worth - frame.fee_units(vbytes(Transaction((), (Output(VAULT, 1),)), is_segwit=True)) - spare
    assume(units > 1_000)
    made = select(have, [Output(VAULT, units)], frame)
    assert isinstance(made, Selection)
    assert made.change_index is None
    check(made, [Output(VAULT, units)], frame)


@given(coins, payments, frames)
def test_change_is_worth_more_than_it_costs_to_spend(have: list[Utxo], paid: list[Output], frame: Frame) -> None:
    made = select(have, paid, frame)
    if isinstance(made, Selection) and made.change_index is not None:
        assert made.change_units > frame.input_fee_units


@pytest.mark.parametrize(
    ("script", "least"),
    [
        (OWN, 294),
        (VAULT, 330),
        (b"\x76\xa9\x14" + bytes(20) + b"\x88\xac", 546),
        (b"\xa9\x14" + bytes(20) + b"\x87", 540),
    ],
)
def test_dust_is_what_nodes_call_dust(script: bytes, least: int) -> None:
    frame = Frame(OWN, is_segwit=True, fee_per_kvb=1_000)
    assert frame.is_dust(Output(script, least - 1))
    assert not frame.is_dust(Output(script, least))
    assert Frame(OWN, is_segwit=True, fee_per_kvb=1_000, dust_units=10**6).is_dust(Output(script, 10**6 - 1))


def test_coins_that_fit_exactly_leave_no_change() -> None:
    frame = Frame(OWN, is_segwit=True, fee_per_kvb=10_000)
    exact = 50_000 + frame.fee_units(vbytes(_bare((Utxo("ab" * 32 + ":0", 0),), [Output(VAULT, 1)]), is_segwit=True))
    have = [Utxo("ab" * 32 + ":0", exact), Utxo("cd" * 32 + ":0", 900_000)]
    made = select(have, [Output(VAULT, 50_000)], frame)
    assert isinstance(made, Selection)
    assert (made.change_index, [coin.units for coin in made.spent]) == (None, [exact])


def test_final_coins_are_spent_before_change_that_waits_for_a_block() -> None:
    frame = Frame(OWN, is_segwit=True, fee_per_kvb=1_000)
    have = [Utxo("ab" * 32 + ":0", 10**9, depth=1), Utxo("cd" * 32 + ":0", 10**6)]
    made = select(have, [Output(VAULT, 10**5)], frame)
    assert isinstance(made, Selection)
    assert [coin.depth for coin in made.spent] == [0]
    deep = select([Utxo("ab" * 32 + ":0", 10**9, depth=CHAIN_MAX)], [Output(VAULT, 10**5)], frame)
    assert isinstance(deep, NotEnough)


@given(coins, payments, frames, st.integers(2, 20), st.integers(0, 5))
def test_a_replacement_keeps_every_coin_and_payment_and_pays_enough_more(
    have: list[Utxo], paid: list[Output], frame: Frame, times: int, count: int
) -> None:
    made = select(have, paid, frame)
    if not isinstance(made, Selection):
        return
    dearer = Frame(OWN, is_segwit=True, fee_per_kvb=frame.fee_per_kvb * times)
    spare = [Utxo("ff" * 32 + f":{place}", 10**7) for place in range(count)]
    again = replacement((made.transaction, made.change_index, made.fee_units), made.spent, dearer, spare)
    if again is None:
        return
    before = {one.outpoint for one in made.transaction.inputs}
    after = {one.outpoint for one in again.transaction.inputs}
    assert before <= after
    assert after - before <= {one.outpoint for one in spare[:ADDED_MAX]}
    outputs = [one for place, one in enumerate(again.transaction.outputs) if place != again.change_index]
    assert sorted(outputs, key=repr) == sorted(paid, key=repr)
    assert again.fee_units >= made.fee_units + vbytes(again.transaction, is_segwit=True)  # BIP 125, rules 3 and 4


def test_a_replacement_adds_a_coin_only_where_change_does_not_reach_and_the_rate_has_risen() -> None:
    paid = [Output(VAULT, 99_700)]
    spent = [Utxo("aa" * 32 + ":0", 100_000)]
    made = select(spent, paid, Frame(OWN, is_segwit=True, fee_per_kvb=1_000))
    assert isinstance(made, Selection)
    assert made.change_index is None
    before, spare = (made.transaction, made.change_index, made.fee_units), [Utxo("bb" * 32 + ":0", 10**6)]
    assert replacement(before, made.spent, Frame(OWN, is_segwit=True, fee_per_kvb=1_000), spare) is None
    dearer = Frame(OWN, is_segwit=True, fee_per_kvb=50_000)
    assert replacement(before, made.spent, dearer) is None
    again = replacement(before, made.spent, dearer, spare)
    assert again is not None
    assert [one.outpoint for one in again.spent] == ["aa" * 32 + ":0", "bb" * 32 + ":0"]
    check(again, paid, dearer)


@given(coins, frames)
def test_everything_goes_to_one_place_less_the_fee(have: list[Utxo], frame: Frame) -> None:
    made = everything_to(have, VAULT, frame)
    if isinstance(made, Selection):
        assert all(coin.units > frame.input_fee_units and coin.depth < CHAIN_MAX for coin in made.spent)
        assert made.change_index is None
        assert everything_to(have, OWN, frame).change_index == 0  # type: ignore[union-attr]  # it is possible there too
        [output] = made.transaction.outputs
        assert output.script == VAULT
        assert output.units + made.fee_units == sum(coin.units for coin in made.spent)
        assert made.fee_units == frame.fee_units(vbytes(made.transaction, is_segwit=True))
