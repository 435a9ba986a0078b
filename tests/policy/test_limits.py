"""Token buckets: over any window no more than burst + rate * T, whatever the order and whatever the clocks say."""

import pytest
from hypothesis import given, strategies as st

from holdfast.policy.limits import AGREE_SECONDS, DAY_SECONDS, Anchor, Limit, Reading, Usage, refilled

limits = st.builds(Limit, st.integers(0, 10**24), st.integers(0, 10**24))
attempts = st.lists(st.tuples(st.integers(0, 100_000), st.integers(1, 10**24)), max_size=40)


def spend(limit: Limit, tries: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """What a bucket lets through: (time, units), for tries of (seconds after the last, units)."""
    usage, now, let = Usage(), 0, []
    for wait, units in tries:
        now += wait
        if usage.left_units(limit, now) >= units:
            usage = usage.charged(limit, units, now)
            let.append((now, units))
    return let


@given(limits, attempts)
def test_in_every_window_no_more_than_the_bound_goes_out(limit: Limit, tries: list[tuple[int, int]]) -> None:
    let = spend(limit, tries)
    for first in range(len(let)):
        for last in range(first, len(let)):
            out = sum(units for _, units in let[first : last + 1])
            assert out <= limit.bound_units(let[last][0] - let[first][0])


def test_a_full_bucket_refills_at_its_rate_and_no_further() -> None:
    limit = Limit(100, 2 * DAY_SECONDS)  # two units a second
    used = Usage().charged(limit, 100, 0)
    assert used.left_units(limit, 0) == 0
    assert used.left_units(limit, 10) == 20
    assert used.left_units(limit, 10_000) == 100


def test_just_before_and_just_after_midnight_there_is_one_burst_not_two() -> None:
    limit = Limit(100, 100)
    used = Usage().charged(limit, 100, DAY_SECONDS - 1)
    assert used.left_units(limit, DAY_SECONDS + 1) == 0


def test_a_clock_that_goes_back_refills_nothing() -> None:
    limit = Limit(100, DAY_SECONDS)
    used = Usage().charged(limit, 100, 1_000)
    assert used.left_units(limit, 10) == 0
    assert used.drained(limit, 10) == used


def test_a_limit_that_was_tightened_below_what_is_used_leaves_less_than_nothing() -> None:
    assert Usage().charged(Limit(100, 0), 90, 0).left_units(Limit(50, 0), 0) == -40


ANCHOR = Anchor("boot-1", 1_000, 5_000, 9_000, 300)


@pytest.mark.parametrize(
    ("reading", "passed"),
    [
        (Reading("boot-1", 1_060, 5_060, 9_060), 60),
        (Reading("boot-1", 1_060, 5_060 + 30 * DAY_SECONDS, 9_060 + 30 * DAY_SECONDS), 60),
        (Reading("boot-1", 1_060, 5_060, 9_000), 0),
        (Reading("boot-1", 1_060, 5_010, 9_060), 10),
        (Reading("boot-1", 1_060, 5_000 - 30 * DAY_SECONDS, 9_060), 0),
        (Reading("boot-1", 900, 5_060, 9_060), 0),
        (Reading("boot-2", 5, 8_600, 12_000), 3_000),
        (Reading("boot-2", 5, 5_000 + AGREE_SECONDS + 1, 9_000), 0),
        (Reading("boot-2", 5, 5_000, 9_000 + 30 * DAY_SECONDS), 0),
    ],
    ids=[
        "all three clocks agree", "watchtower and chain are a month ahead", "no block has come",
        "the watchtower is slow", "the watchtower is set back", "the boot clock cannot be", "after a restart two agree",
        "after a restart they do not agree", "after a restart the chain alone is ahead",
    ],
)  # fmt: skip
def test_limits_refill_by_the_slowest_clock(reading: Reading, passed: int) -> None:
    assert refilled(ANCHOR, reading) == 300 + passed


@given(st.integers(0, 2**40), st.integers(0, 2**40), st.integers(0, 2**40), st.sampled_from(["boot-1", "boot-2"]))
def test_refill_time_never_runs_backwards(boot: int, tower: int, chain: int, boot_id: str) -> None:
    assert refilled(ANCHOR, Reading(boot_id, boot, tower, chain)) >= ANCHOR.refill_seconds
