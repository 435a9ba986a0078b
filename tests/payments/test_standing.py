"""Where an invoice stands: the rules as tables, and what must hold for any deposits in any order."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given, strategies as st

from holdfast.core.states import DepositState, InvoiceReason, InvoiceState, move_invoice
from holdfast.payments.restanding import next_state
from holdfast.payments.standing import (
    AttentionReason,
    DepositFacts,
    InvoiceFacts,
    LateRule,
    QuoteFacts,
    Standing,
    Terms,
    due_left,
    quote_for,
    standing,
)

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
EXPIRY = NOW + timedelta(minutes=15)
MONITORED = EXPIRY + timedelta(days=1)
PRICE = 10_000
LTC, BTC = "ltc", "btc"
QUOTES = [QuoteFacts(LTC, 200_000_000, NOW, EXPIRY), QuoteFacts(BTC, 300_001, NOW, EXPIRY)]
SEEN, CONFIRMED, REORGED, HELD = DepositState.SEEN, DepositState.CONFIRMED, DepositState.REORGED, DepositState.HELD
LATE = EXPIRY + timedelta(minutes=1)
TOO_LATE = MONITORED + timedelta(minutes=1)


def invoice(**changes: object) -> InvoiceFacts:
    plain = InvoiceFacts("inv", InvoiceState.NEW, None, PRICE, Terms(), EXPIRY, MONITORED, read_through_expiry=False)
    return replace(plain, **changes)


def paid(units: int, state: DepositState = CONFIRMED, **changes: object) -> DepositFacts:
    plain = DepositFacts("dep", LTC, units, state, NOW, was_confirmed=state is CONFIRMED)
    return replace(plain, **changes)


def stands(deposits: list[DepositFacts], quotes: list[QuoteFacts] = QUOTES, **changes: object) -> Standing:
    return standing(invoice(**changes), quotes, deposits)


def told(result: Standing) -> tuple[str, str | None]:
    return result.state.value, result.reason.value if result.reason else None


ALL = 200_000_000

TABLE = {
    "nothing paid": ([], {}, ("new", None)),
    "nothing paid, read past its expiry": ([], {"read_through_expiry": True}, ("expired", None)),
    "seen in full": ([paid(ALL, SEEN)], {}, ("processing", None)),
    "seen in full, read past its expiry": ([paid(ALL, SEEN)], {"read_through_expiry": True}, ("processing", None)),
    "held in full": ([paid(ALL, HELD)], {}, ("processing", None)),
    "confirmed in full": ([paid(ALL)], {}, ("settled", None)),
    "a unit short": ([paid(ALL - 1)], {}, ("new", "underpaid")),
    "a unit short, read past its expiry": ([paid(ALL - 1)], {"read_through_expiry": True}, ("expired", "underpaid")),
    "two halves": ([paid(ALL // 2), paid(ALL // 2)], {}, ("settled", None)),
    "half confirmed, half seen": ([paid(ALL // 2), paid(ALL // 2, SEEN)], {}, ("processing", None)),
    "half in each of two assets": ([paid(ALL // 2), paid(150_001, asset=BTC)], {}, ("settled", None)),
    "too much": ([paid(ALL + 20_000)], {}, ("settled", "overpaid")),
    "too much is seen": ([paid(ALL + 20_000, SEEN)], {}, ("processing", "overpaid")),
    "confirmed, then reorganised away": ([paid(ALL, REORGED, was_confirmed=True)], {}, ("new", "reorged")),
    "reorganised, then seen again": ([paid(ALL, SEEN, was_confirmed=True)], {}, ("processing", "reorged")),
    "reorganised, then confirmed again": ([paid(ALL, was_confirmed=True)], {}, ("settled", None)),
    "replaced by one that pays the same": ([paid(ALL, REORGED), paid(ALL, SEEN)], {}, ("processing", None)),
    "double-spent": ([paid(ALL, REORGED)], {}, ("new", "reorged")),
    "dust": ([paid(ALL, below_minimum=True)], {}, ("new", None)),
    "an asset that was not quoted": ([paid(ALL, asset="doge")], {}, ("new", None)),
    "marked invalid, then paid": (
        [paid(ALL)],
        {"state": InvoiceState.INVALID, "reason": InvoiceReason.MARKED},
        ("invalid", "marked"),
    ),
    "marked settled, never paid": (
        [],
        {"state": InvoiceState.SETTLED, "reason": InvoiceReason.MARKED, "read_through_expiry": True},
        ("settled", "marked"),
    ),
}


@pytest.mark.parametrize("case", TABLE, ids=str)
def test_an_invoice_stands_where_its_deposits_say(case: str) -> None:
    deposits, changes, expected = TABLE[case]
    assert told(stands(deposits, **changes)) == expected


@pytest.mark.parametrize(
    ("terms", "units", "expected"),
    [
        (Terms(underpaid_basis_points=100), ALL * 99 // 100, ("settled", None)),
        (Terms(underpaid_basis_points=100), ALL * 99 // 100 - 20_000, ("new", "underpaid")),
        (Terms(underpaid_units=5), ALL - 5 * 20_000, ("settled", None)),
        (Terms(underpaid_units=5), ALL - 6 * 20_000, ("new", "underpaid")),
        (Terms(underpaid_units=5, underpaid_basis_points=10), ALL - 10 * 20_000, ("settled", None)),
        (Terms(overpaid_basis_points=100), ALL * 101 // 100, ("settled", None)),
        (Terms(overpaid_basis_points=100), ALL * 101 // 100 + 20_000, ("settled", "overpaid")),
        (Terms(overpaid_units=5), ALL + 5 * 20_000, ("settled", None)),
        (Terms(underpaid_basis_points=10_000), 1, ("new", "underpaid")),
    ],
)
def test_tolerances_forgive_what_they_say_and_no_more(
    terms: Terms, units: int, expected: tuple[str, str | None]
) -> None:
    assert told(stands([paid(units)], terms=terms)) == expected


@pytest.mark.parametrize(
    ("rule", "paid_at", "expected", "asks"),
    [
        (LateRule.SETTLE, LATE, ("settled", "late"), set()),
        (LateRule.CREDIT, LATE, ("expired", "late"), set()),
        (LateRule.ATTENTION, LATE, ("expired", "late"), {("dep", AttentionReason.LATE)}),
        (LateRule.SETTLE, TOO_LATE, ("expired", "late"), {("dep", AttentionReason.AFTER_MONITORING)}),
        (LateRule.CREDIT, TOO_LATE, ("expired", "late"), {("dep", AttentionReason.AFTER_MONITORING)}),
    ],
)
def test_a_late_payment_does_what_the_merchants_rule_says(
    rule: LateRule, paid_at: datetime, expected: tuple[str, str], asks: set[tuple[str, AttentionReason]]
) -> None:
    result = stands([paid(ALL, paid_at=paid_at)], terms=Terms(late=rule), read_through_expiry=True)
    assert (told(result), set(result.attention)) == (expected, asks)


def test_a_late_extra_does_not_make_a_settled_invoice_late() -> None:
    deposits = [paid(ALL, id="a"), paid(1, id="b", paid_at=LATE)]
    assert told(stands(deposits, terms=Terms(late=LateRule.SETTLE, overpaid_units=1))) == ("settled", None)


def test_a_payment_is_valued_by_the_quote_in_force_when_it_was_made() -> None:
    dearer = QuoteFacts(LTC, 2 * ALL, NOW + timedelta(minutes=10), EXPIRY)
    cheaper = QuoteFacts(LTC, ALL, NOW, NOW + timedelta(minutes=10))
    at_first = paid(ALL, paid_at=NOW + timedelta(minutes=9))
    later = paid(ALL, paid_at=NOW + timedelta(minutes=11))
    assert stands([at_first], [dearer, cheaper]).paid_units == PRICE
    assert stands([later], [dearer, cheaper]).paid_units == PRICE // 2


def test_a_payment_after_its_quote_ran_out_is_late_although_the_invoice_is_open() -> None:
    quotes = [QuoteFacts(LTC, ALL, NOW, NOW + timedelta(minutes=5))]
    result = stands([paid(ALL, paid_at=NOW + timedelta(minutes=6))], quotes)
    assert (told(result), set(result.attention)) == (("new", "late"), {("dep", AttentionReason.LATE)})


def test_whatever_cannot_be_decided_is_put_before_a_person() -> None:
    assert stands([paid(ALL + 20_000)]).attention == {("inv", AttentionReason.OVERPAID)}
    assert stands([paid(ALL // 2)], read_through_expiry=True).attention == {("inv", AttentionReason.UNDERPAID)}
    assert stands([paid(1, asset="doge")]).attention == {("dep", AttentionReason.ASSET_NOT_QUOTED)}
    marked = {"state": InvoiceState.INVALID, "reason": InvoiceReason.MARKED}
    assert stands([paid(1)], **marked).attention == {("dep", AttentionReason.AFTER_MARK)}


deposits = st.builds(
    DepositFacts,
    id=st.uuids().map(str),
    asset=st.sampled_from([LTC, BTC, "doge"]),
    units=st.integers(1, 3 * ALL),
    state=st.sampled_from(list(DepositState)),
    paid_at=st.sampled_from([NOW, EXPIRY, LATE, MONITORED, TOO_LATE]),
    was_confirmed=st.booleans(),
    below_minimum=st.booleans(),
)
terms = st.builds(
    Terms,
    underpaid_basis_points=st.integers(0, 500),
    underpaid_units=st.integers(0, 50),
    overpaid_basis_points=st.integers(0, 500),
    overpaid_units=st.integers(0, 50),
    late=st.sampled_from(LateRule),
)
invoices = st.builds(invoice, terms=terms, price_units=st.integers(1, 10**9), read_through_expiry=st.booleans())


@given(invoices, st.lists(deposits, max_size=6), st.randoms(use_true_random=False))
def test_the_order_in_which_deposits_are_read_changes_nothing(
    facts: InvoiceFacts, some: list[DepositFacts], shuffler: object
) -> None:
    other = list(some)
    shuffler.shuffle(other)  # type: ignore[attr-defined]  hypothesis' own seeded Random
    assert standing(facts, QUOTES, some) == standing(facts, list(reversed(QUOTES)), other)


@given(invoices, st.lists(deposits, max_size=6))
def test_money_counts_only_while_it_is_there(facts: InvoiceFacts, some: list[DepositFacts]) -> None:
    result = standing(facts, QUOTES, some)
    assert 0 <= result.confirmed_units <= result.paid_units
    gone = [replace(each, state=REORGED) for each in some]
    without = standing(facts, QUOTES, gone)
    assert (without.paid_units, without.confirmed_units) == (0, 0)
    assert without.state in (InvoiceState.NEW, InvoiceState.EXPIRED)


@given(invoices, st.lists(deposits, max_size=6), deposits)
def test_more_money_never_makes_an_invoice_less_paid(
    facts: InvoiceFacts, some: list[DepositFacts], more: DepositFacts
) -> None:
    before, after = standing(facts, QUOTES, some), standing(facts, QUOTES, [*some, more])
    assert after.paid_units >= before.paid_units
    if before.state is InvoiceState.SETTLED:
        assert after.state is InvoiceState.SETTLED


@given(invoices, st.lists(deposits, max_size=6))
def test_it_is_settled_exactly_when_the_confirmed_value_reaches_the_price_less_what_is_forgiven(
    facts: InvoiceFacts, some: list[DepositFacts]
) -> None:
    result = standing(facts, QUOTES, some)
    value = Fraction(0)
    for each in some:
        quote = quote_for(QUOTES, each.asset, each.paid_at)
        late = each.paid_at > EXPIRY
        counts = not late or (facts.terms.late is LateRule.SETTLE and each.paid_at <= MONITORED)
        if each.state is CONFIRMED and quote is not None and not each.below_minimum and counts:
            value += Fraction(each.units * facts.price_units, quote.due_units)
    forgiven = max(facts.price_units * facts.terms.underpaid_basis_points // 10_000, facts.terms.underpaid_units)
    assert (result.state is InvoiceState.SETTLED) == (value >= max(1, facts.price_units - forgiven))


@given(invoices, st.lists(st.lists(deposits, max_size=4), max_size=6))
def test_every_change_is_a_legal_move(facts: InvoiceFacts, history: list[list[DepositFacts]]) -> None:
    state = InvoiceState.NEW
    for read, some in enumerate(history):
        is_read = facts.read_through_expiry and read >= len(history) // 2
        wanted = standing(replace(facts, state=state, read_through_expiry=is_read), QUOTES, some)
        state = move_invoice(state, next_state(state, wanted.state))


@given(st.integers(1, 10**9), st.integers(1, 10**20), st.integers(1, 10**20), st.data())
def test_paying_what_is_left_in_another_asset_always_settles(
    price: int, due_one: int, due_other: int, data: st.DataObject
) -> None:
    quotes = [QuoteFacts(LTC, due_one, NOW, EXPIRY), QuoteFacts(BTC, due_other, NOW, EXPIRY)]
    first = paid(data.draw(st.integers(1, due_one)), id="a")
    facts = invoice(price_units=price)
    so_far = standing(facts, quotes, [first])
    left = due_left(price, so_far.paid_units, due_other)
    rest = [paid(left, id="b", asset=BTC)] if left else []
    assert standing(facts, quotes, [first, *rest]).state is InvoiceState.SETTLED
