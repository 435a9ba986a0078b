"""Every state that a person sees is reached only by the tables."""

from itertools import product

import pytest

from holdfast.core.states import (
    DEPOSIT_MOVES,
    INVOICE_MOVES,
    LINE_MOVES,
    PAYOUT_MOVES,
    STANDING_ORDER_MOVES,
    DepositState,
    InvoiceState,
    LineState,
    PayoutState,
    StandingOrderState,
    TransitionForbidden,
    move_deposit,
    move_invoice,
    move_line,
    move_payout,
    move_standing_order,
)


@pytest.mark.parametrize(("now", "then"), list(product(InvoiceState, InvoiceState)))
def test_an_invoice_moves_as_its_table_says_or_not_at_all(now: InvoiceState, then: InvoiceState) -> None:
    if now is then or then in INVOICE_MOVES[now]:
        assert move_invoice(now, then) is then
    else:
        with pytest.raises(TransitionForbidden):
            move_invoice(now, then)


@pytest.mark.parametrize(("now", "then"), list(product(DepositState, DepositState)))
def test_a_deposit_moves_as_its_table_says_or_not_at_all(now: DepositState, then: DepositState) -> None:
    if now is then or then in DEPOSIT_MOVES[now]:
        assert move_deposit(now, then) is then
    else:
        with pytest.raises(TransitionForbidden):
            move_deposit(now, then)


@pytest.mark.parametrize(("now", "then"), list(product(PayoutState, PayoutState)))
def test_a_payout_moves_as_its_table_says_or_not_at_all(now: PayoutState, then: PayoutState) -> None:
    if now is then or then in PAYOUT_MOVES[now]:
        assert move_payout(now, then) is then
    else:
        with pytest.raises(TransitionForbidden):
            move_payout(now, then)


@pytest.mark.parametrize(("now", "then"), list(product(LineState, LineState)))
def test_a_line_moves_as_its_table_says_or_not_at_all(now: LineState, then: LineState) -> None:
    if now is then or then in LINE_MOVES[now]:
        assert move_line(now, then) is then
    else:
        with pytest.raises(TransitionForbidden):
            move_line(now, then)


@pytest.mark.parametrize(("now", "then"), list(product(StandingOrderState, StandingOrderState)))
def test_a_standing_order_moves_as_its_table_says_or_not_at_all(
    now: StandingOrderState, then: StandingOrderState
) -> None:
    if now is then or then in STANDING_ORDER_MOVES[now]:
        assert move_standing_order(now, then) is then
    else:
        with pytest.raises(TransitionForbidden):
            move_standing_order(now, then)


def test_what_was_signed_can_be_paid_or_lost_on_chain_and_never_refused() -> None:
    for state in (PayoutState.SIGNED, PayoutState.BROADCAST):
        assert PayoutState.REFUSED not in PAYOUT_MOVES[state]
        assert PayoutState.RESERVED not in PAYOUT_MOVES[state]


def test_what_is_over_stays_over() -> None:
    ends = (PayoutState.REFUSED, PayoutState.ABANDONED, PayoutState.FAILED)
    assert all(PAYOUT_MOVES[state] == frozenset() for state in ends)
    # What the vault paid is as final as its block; what the float paid, by the signer's word, is over.
    assert PAYOUT_MOVES[PayoutState.CONFIRMED] == {PayoutState.BROADCAST}


def test_money_that_was_returned_or_is_held_is_never_credited_by_a_detour() -> None:
    assert DEPOSIT_MOVES[DepositState.RETURNED] == frozenset()
    assert DepositState.CONFIRMED not in DEPOSIT_MOVES[DepositState.REORGED]
