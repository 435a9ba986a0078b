"""What every rule allows and what does not fit all the same: told once it is known what is usual, and not before."""

import pytest

from fixtures_policy import ADDRESS, MERCHANT, OTHER, Books
from fixtures_signer import COIN, ETHER, EVM, LTC, fresh_address
from holdfast.core import journal as j
from holdfast.core.intents import Line
from holdfast.core.tower_status import Alarm
from holdfast.watchtower.habits import (
    DAY_MS,
    DAYS_KNOWN_MIN,
    FEES_KEPT,
    FEES_KNOWN_MIN,
    HOUR_MS,
    HOURS_KEPT,
    PAYOUTS_KNOWN_MIN,
    Habits,
)

START_MS = 20_000 * DAY_MS
SMALL, LARGE = ETHER, 13 * ETHER
"""Below and above a quarter of the largest payout that the policy allows, which is 50."""


class Days:
    """A journal, and what the habits say of each entry when it comes."""

    def __init__(self, books: Books) -> None:
        self.books, self.habits = books, Habits()

    def pay(self, at_ms: int, units: int = SMALL, to: str = ADDRESS, asset: str = EVM.coin.id) -> list[str]:
        network = asset.partition("/")[0]
        intent = self.books.payout(network=network, asset=asset, lines=(Line(to, units),))
        self.books.accept(self.books.proposal(intent))
        return self.told(at_ms)

    def reserve(self, fee: int, at_ms: int = START_MS, **more: object) -> list[str]:
        facts: dict[str, object] = {
            "network": EVM.id, "asset": EVM.coin.id, "purpose": "payout", "account": "0x" + "f1" * 20, "payouts": (),
            "transaction": "00", "inputs": (), "nonce": self.books.record.nonces.get("0x" + "f1" * 20, 0),
            "out_units": 0, "change_index": None, "change_units": 0, "fee_units": fee, "extra_fee_units": fee,
            "replaces": None, "refill_seconds": 0, **more,
        }  # fmt: skip
        self.books.add(j.Reserved(**facts))  # type: ignore[arg-type]  # the facts of a reservation
        return self.told(at_ms)

    def told(self, at_ms: int) -> list[str]:
        self.alarms: list[Alarm] = self.habits.take(self.books.entries[-1], self.books.record, at_ms)
        return [alarm.kind for alarm in self.alarms]


@pytest.fixture
def days() -> Days:
    found = Days(Books().ready())
    # ADDRESS is nobody new, so that only what a test is about is told.
    found.books.record.destinations[MERCHANT, EVM.id, ADDRESS] = found.books.now
    return found


def test_an_hour_with_more_than_three_times_the_busiest_before_is_told_after_a_day(days: Days) -> None:
    assert days.pay(START_MS, 2 * ETHER) == []
    assert days.pay(START_MS + 24 * HOUR_MS, 6 * ETHER) == []
    [rate] = days.pay(START_MS + 24 * HOUR_MS + 1, ETHER)
    assert rate == "rate"
    assert days.alarms[0].scope == EVM.coin.id


def test_on_the_first_day_no_rate_is_unusual(days: Days) -> None:
    assert days.pay(START_MS, ETHER) == []
    assert days.pay(START_MS + 24 * HOUR_MS - 1, 12 * ETHER) == []


def test_each_asset_has_a_rate_of_its_own(days: Days) -> None:
    assert days.pay(START_MS, ETHER) == []
    assert days.pay(START_MS + 30 * HOUR_MS, 9 * COIN, fresh_address(LTC), LTC.coin.id) == []
    assert days.pay(START_MS + 30 * HOUR_MS, 4 * ETHER) == ["rate"]


def test_a_busy_hour_is_forgotten_after_four_weeks(days: Days) -> None:
    days.pay(START_MS, 12 * ETHER)
    assert days.pay(START_MS + (HOURS_KEPT - 1) * HOUR_MS, 4 * ETHER) == [], "the busy hour is remembered"
    assert days.pay(START_MS + (HOURS_KEPT + 1) * HOUR_MS, 12 * ETHER) == []
    assert days.pay(START_MS + (HOURS_KEPT + 2) * HOUR_MS, 12 * ETHER + 1) == []
    assert len(days.habits.hours[EVM.coin.id]) == 3


def test_the_first_payout_at_an_hour_of_the_day_is_told_once_enough_is_known(days: Days) -> None:
    step = DAYS_KNOWN_MIN * DAY_MS // PAYOUTS_KNOWN_MIN
    for number in range(PAYOUTS_KNOWN_MIN):
        at = START_MS + number * step
        assert days.pay(at - at % DAY_MS + 9 * HOUR_MS, 1) == []
    later = START_MS + (DAYS_KNOWN_MIN + 1) * DAY_MS
    assert days.pay(later + 9 * HOUR_MS, 1) == []
    assert days.pay(later + 3 * HOUR_MS, 1) == ["hour"]
    assert days.alarms[0].scope == MERCHANT
    assert days.pay(later + 3 * HOUR_MS, 1) == [], "it is known now"


@pytest.mark.parametrize(
    ("payouts", "past_ms"), [(PAYOUTS_KNOWN_MIN - 1, DAYS_KNOWN_MIN * DAY_MS), (PAYOUTS_KNOWN_MIN, DAY_MS)]
)
def test_with_few_days_or_payouts_no_hour_is_unusual(days: Days, payouts: int, past_ms: int) -> None:
    for _ in range(payouts):
        days.pay(START_MS + 9 * HOUR_MS, 1)
    assert days.pay(START_MS + past_ms + 12 * HOUR_MS, 1) == []


def test_a_large_sum_to_somebody_new_is_told_and_a_small_one_is_not(days: Days) -> None:
    assert days.pay(START_MS, LARGE, OTHER) == ["destination"]
    assert OTHER in days.alarms[0].detail
    assert days.alarms[0].scope == MERCHANT
    assert days.pay(START_MS, SMALL, OTHER) == []
    assert days.pay(START_MS, LARGE) == [], "he was paid before"


def test_a_fee_above_five_times_the_usual_one_is_told(days: Days) -> None:
    assert [days.reserve(100) for _ in range(FEES_KNOWN_MIN)] == [[]] * FEES_KNOWN_MIN
    assert days.reserve(500) == []
    assert days.reserve(501) == ["fee"]
    assert days.alarms[0].scope == EVM.id


def test_before_ten_transactions_no_fee_is_unusual_and_a_replacement_never_is(days: Days) -> None:
    assert [days.reserve(1) for _ in range(FEES_KNOWN_MIN - 1)] == [[]] * (FEES_KNOWN_MIN - 1)
    assert days.reserve(10**9) == []
    assert days.reserve(10**9) == ["fee"]
    first = days.books.entries[-1].seq
    facts = {"nonce": days.books.record.nonces["0x" + "f1" * 20] - 1, "extra_fee_units": 10**9}
    assert days.reserve(2 * 10**9, replaces=first, **facts) == []


def test_what_is_usual_is_what_the_newest_fees_were(days: Days) -> None:
    for _ in range(FEES_KEPT + 10):
        days.reserve(1)
    assert days.reserve(100) == ["fee"]
    for _ in range(FEES_KEPT // 2):
        days.reserve(100)
    assert days.reserve(100) == [], "half of the newest were like it, though not half of all"


def test_what_is_no_payout_is_not_unusual(days: Days) -> None:
    days.books.deposit(10**6 * ETHER)
    assert days.told(START_MS) == []
