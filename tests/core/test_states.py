"""Every state that a person sees is reached only by the tables."""

from itertools import product

import pytest

from holdfast.core.states import (
    DEPOSIT_MOVES,
    INVOICE_MOVES,
    DepositState,
    InvoiceState,
    TransitionForbidden,
    move_deposit,
    move_invoice,
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


def test_money_that_was_returned_or_is_held_is_never_credited_by_a_detour() -> None:
    assert DEPOSIT_MOVES[DepositState.RETURNED] == frozenset()
    assert DepositState.CONFIRMED not in DEPOSIT_MOVES[DepositState.REORGED]
