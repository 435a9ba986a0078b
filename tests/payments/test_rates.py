"""A rate is what enough sources agree on, lately; otherwise there is none."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, strategies as st

from holdfast.core.errors import HoldfastError
from holdfast.payments.rates import (
    SCALE,
    FixedRates,
    MedianRates,
    Observation,
    Rate,
    RateMalformed,
    RateRules,
    RatesDisagree,
    RateSourceFailed,
    RateStale,
    RateUnavailable,
    agree,
    due_units,
    parse_price,
    price_text,
)

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
RULES = RateRules(sources_min=3, max_age=timedelta(minutes=2), band_basis_points=200)


def seen(*prices: int, age_seconds: int = 0) -> list[Observation]:
    at = NOW - timedelta(seconds=age_seconds)
    return [Observation(f"s{place}", price * SCALE, at) for place, price in enumerate(prices)]


class FakeClock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()


class FakeSource:
    """A source that says what the test wants: the port, without a network."""

    def __init__(self, name: str, price: int | HoldfastError | None) -> None:
        self.name, self.said, self.asked = name, price, 0

    async def price(self, symbol: str, currency: str) -> int | None:
        self.asked += 1
        if isinstance(self.said, HoldfastError):
            raise self.said
        return self.said


@pytest.mark.parametrize(
    ("prices", "rate"),
    [((100, 101, 102), 101), ((100, 100, 101, 101), 100), ((100, 101, 500), None), ((100, 101, 100, 500), 100)],
)
def test_the_rate_is_the_median_of_those_that_lie_near_it(prices: tuple[int, ...], rate: int | None) -> None:
    if rate is None:
        with pytest.raises(RatesDisagree):
            agree(seen(*prices), RULES, NOW)
    else:
        assert agree(seen(*prices), RULES, NOW)[0] == rate * SCALE


def test_a_source_outside_the_band_does_not_count_and_is_not_named() -> None:
    _, counted = agree(seen(100, 101, 100, 103), RULES, NOW)
    assert [one.source for one in counted] == ["s0", "s1", "s2"]


def test_too_few_sources_make_no_rate() -> None:
    with pytest.raises(RateUnavailable):
        agree(seen(100, 100), RULES, NOW)


def test_old_answers_make_no_rate() -> None:
    assert agree(seen(100, 100, 100, age_seconds=120), RULES, NOW)
    with pytest.raises(RateStale):
        agree(seen(100, 100, 100, age_seconds=121), RULES, NOW)


@given(st.lists(st.integers(1, 10**9), min_size=3, max_size=9))
def test_one_liar_among_honest_sources_moves_the_rate_no_further_than_the_band(prices: list[int]) -> None:
    try:
        rate, counted = agree(seen(*prices), RULES, NOW)
    except RatesDisagree:
        return
    assert len(counted) >= 3
    assert min(one.value for one in counted) <= rate <= max(one.value for one in counted)


@given(st.integers(1, 10**12), st.integers(0, 8), st.integers(1, 10**24), st.integers(0, 18))
def test_what_is_due_is_worth_at_least_the_price_and_less_than_one_unit_more(
    price: int, price_decimals: int, value: int, decimals: int
) -> None:
    rate = Rate(asset="X", currency="EUR", value=value, sources=[], at=NOW)
    due = due_units(price, price_decimals, rate, decimals)
    wanted = price * SCALE * 10**decimals
    assert due * value * 10**price_decimals >= wanted
    assert (due - 1) * value * 10**price_decimals < wanted


@pytest.mark.parametrize(
    ("text", "value"),
    [("85", 85 * SCALE), ("85.31", 8531 * SCALE // 100), ("1e-05", SCALE // 100_000), ("1.5E3", 1500 * SCALE),
     ("0.0000000000015", 1), ("61234.123456789012345", 61234123456789012)],
)  # fmt: skip
def test_prices_are_read_from_their_digits(text: str, value: int) -> None:
    assert parse_price(text) == value


@pytest.mark.parametrize("text", ["", "0", "0.0", "-1", "NaN", "Infinity", "1,5", "1e999", "0x10", "٣", "1e-99"])
def test_what_is_no_price_is_refused(text: str) -> None:
    with pytest.raises(RateMalformed):
        parse_price(text)


@given(st.integers(1, 10**30))
def test_a_shown_price_is_the_kept_price(value: int) -> None:
    assert parse_price(price_text(value)) == value


async def test_sources_that_fail_are_left_out_while_enough_answer() -> None:
    sources = [FakeSource(name, 100 * SCALE) for name in "abc"]
    broken = [FakeSource("d", RateSourceFailed("down")), FakeSource("e", None)]
    rate = await MedianRates([*sources, *broken], RULES, {}, FakeClock()).rate("LTC", "EUR")
    assert rate.value == 100 * SCALE
    assert rate.sources == ["a 100", "b 100", "c 100"]


async def test_when_sources_go_silent_the_last_rate_is_used_until_it_is_too_old_and_then_nothing() -> None:
    clock, sources = FakeClock(), [FakeSource(name, 100 * SCALE) for name in "abc"]
    rates = MedianRates(sources, RULES, {}, clock)
    assert (await rates.rate("LTC", "EUR")).at == NOW
    sources[2].said = RateSourceFailed("down")
    clock.at += timedelta(seconds=119)
    assert (await rates.rate("LTC", "EUR")).at == NOW
    clock.at += timedelta(seconds=2)
    with pytest.raises(RateStale):
        await rates.rate("LTC", "EUR")


async def test_sources_are_not_asked_again_for_every_invoice() -> None:
    clock, sources = FakeClock(), [FakeSource(name, 100 * SCALE) for name in "abc"]
    rates = MedianRates(sources, RULES, {}, clock)
    for _ in range(10):
        await rates.rate("LTC", "EUR")
    assert [source.asked for source in sources] == [1, 1, 1]
    clock.at += timedelta(seconds=40)
    await rates.rate("LTC", "EUR")
    assert [source.asked for source in sources] == [2, 2, 2]


async def test_a_test_coin_has_the_price_that_was_chosen_for_it() -> None:
    asked = []

    class Names(FakeSource):
        async def price(self, symbol: str, currency: str) -> int | None:
            asked.append((symbol, currency))
            return SCALE

    rates = MedianRates([Names(name, None) for name in "abc"], RULES, {"rLTC": "LTC"}, FakeClock())
    assert (await rates.rate("rLTC", "EUR")).asset == "rLTC"
    assert set(asked) == {("LTC", "EUR")}


async def test_fixed_rates_know_only_what_was_written_down() -> None:
    rates = FixedRates({("LTC", "EUR"): 85 * SCALE}, FakeClock())
    assert (await rates.rate("LTC", "EUR")).sources == ["fixed"]
    with pytest.raises(RateUnavailable):
        await rates.rate("LTC", "USD")
