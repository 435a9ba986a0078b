"""Amounts as text: exact both ways, and anything ambiguous refused."""

import pytest
from hypothesis import given, strategies as st

from holdfast.core.money import (
    UNITS_MAX,
    AmountMalformed,
    AmountOutOfRange,
    AmountTooPrecise,
    format_units,
    parse_units,
)


@given(st.integers(0, UNITS_MAX), st.integers(0, 36))
def test_what_is_written_is_read_back_exactly(units: int, decimals: int) -> None:
    assert parse_units(format_units(units, decimals), decimals) == units


@pytest.mark.parametrize(
    ("units", "decimals", "text"),
    [(0, 0, "0"), (0, 2, "0.00"), (1, 8, "0.00000001"), (-5, 2, "-0.05"), (1250, 2, "12.50"), (7, 0, "7")],
)
def test_amounts_have_all_their_places(units: int, decimals: int, text: str) -> None:
    assert format_units(units, decimals) == text


def test_the_largest_amount_of_any_chain_loses_no_digit() -> None:
    assert format_units(UNITS_MAX, 18).replace(".", "") == str(UNITS_MAX)


@pytest.mark.parametrize("text", ["12.50", "12.5", "12.500"])
def test_zeros_at_the_end_change_nothing(text: str) -> None:
    assert parse_units(text, 2) == 1250


@pytest.mark.parametrize(
    "text",
    ["", " 1", "1 ", "+1", "-1", "1,5", "1.", ".5", "01", "1e3", "0x1", "1_000", "NaN", "٣", "1.5.0", "1" * 79, "\x00"],
)
def test_what_could_be_misread_is_refused(text: str) -> None:
    with pytest.raises(AmountMalformed):
        parse_units(text, 2)


def test_a_digit_that_would_be_lost_is_refused() -> None:
    with pytest.raises(AmountTooPrecise):
        parse_units("0.001", 2)


def test_more_than_a_chain_can_count_is_refused() -> None:
    with pytest.raises(AmountOutOfRange):
        parse_units(str(UNITS_MAX + 1), 0)
