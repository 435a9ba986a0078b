"""Ids sort by the time they were made, and never collide by accident."""

import pytest
from hypothesis import given, strategies as st

from holdfast.core.ids import ENTROPY_BYTES, TIME_MS_MAX, new_id

ENTROPY = st.binary(min_size=ENTROPY_BYTES, max_size=ENTROPY_BYTES)
TIMES = st.integers(0, TIME_MS_MAX)


@given(TIMES, TIMES, ENTROPY, ENTROPY)
def test_ids_sort_by_time_whatever_their_entropy(first: int, second: int, one: bytes, other: bytes) -> None:
    if first < second:
        assert new_id("inv", first, one) < new_id("inv", second, other)


@given(TIMES, ENTROPY, ENTROPY)
def test_other_entropy_makes_another_id(now: int, one: bytes, other: bytes) -> None:
    assert (new_id("inv", now, one) == new_id("inv", now, other)) is (one == other)


def test_an_id_says_what_it_is_in_letters_that_nobody_mistakes() -> None:
    made = new_id("inv", 1_763_726_400_000, bytes(ENTROPY_BYTES))
    prefix, _, rest = made.partition("_")
    assert (prefix, len(rest)) == ("inv", 26)
    assert not set(rest) & set("ilou")


@pytest.mark.parametrize(("now", "entropy"), [(-1, bytes(10)), (TIME_MS_MAX + 1, bytes(10)), (0, bytes(9))])
def test_a_clock_or_entropy_that_cannot_be_stops_the_process(now: int, entropy: bytes) -> None:
    with pytest.raises(AssertionError):
        new_id("inv", now, entropy)
