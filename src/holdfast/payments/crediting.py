"""What deposits move in the ledger: the credit when they are confirmed, its reversal when they are reorganised away.

Every transfer's key contains the deposit and how often it was confirmed, so nothing moves twice, in whatever order a
chain tells and takes back. Always in the transaction that changes the deposit's state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection

from holdfast import ledger
from holdfast.core.errors import Conflict
from holdfast.core.money import AssetId
from holdfast.core.states import DepositState, move_deposit
from holdfast.ledger import Account, LedgerRaced, Refused, Rule, Transfer
from holdfast.payments import paying
from holdfast.payments.deposits import Deposit
from holdfast.payments.paying import income, merchant, receivable, vault


class CreditRefused(Conflict):
    """The ledger refused a transfer that a deposit needs. Nothing was changed; read the rule that the detail names."""

    code = "credit-refused"


def tariff_units(units: int, basis_points: int) -> int:
    """The company's part of a deposit, rounded down: the rest of a unit is the merchant's."""
    return units * basis_points // 10_000


async def confirm(conn: AsyncConnection[Any], deposits: Sequence[Deposit], now: datetime) -> list[Deposit]:
    """Credit deposits that have their confirmations; the deposits as they are then. Raises `CreditRefused`.

    What the merchant owes is repaid first.
    """
    tariffs = await _tariffs(conn, {deposit.merchant_id for deposit in deposits})
    confirmed = [
        replace(
            deposit,
            state=move_deposit(deposit.state, DepositState.CONFIRMED),
            times_confirmed=deposit.times_confirmed + 1,
            tariff_units=tariff_units(deposit.units, tariffs[deposit.merchant_id]),
            held_for=None,
            confirmed_at=now,
        )
        for deposit in deposits
    ]
    owed = {debt: -(await ledger.balance(conn, debt)).posted for debt in {_debt_of(each) for each in confirmed}}
    lacking = await _lacking(conn, {debt.asset for debt, units in owed.items() if units})
    transfers: list[Transfer] = []
    for deposit in confirmed:
        repaid = min(owed[_debt_of(deposit)], deposit.units - deposit.tariff_units)
        owed[_debt_of(deposit)] -= repaid
        transfers += credit_transfers(deposit, repaid)
        if repaid:
            key = f"deposit:{deposit.id}:{deposit.times_confirmed}"
            transfers += paying.unbear(key, deposit.asset, repaid, lacking[deposit.asset], deposit.id)
            lacking[deposit.asset] -= min(repaid, lacking[deposit.asset])
    await _post(conn, transfers)
    return confirmed


async def reverse(conn: AsyncConnection[Any], deposits: Sequence[Deposit]) -> list[tuple[Deposit, int]]:
    """Take confirmed deposits' credit back: from the merchant what he has; the rest he owes, and the company bears.

    Returns the deposits as they are then, with the units that are owed because of each.
    Raises `CreditRefused`, and `LedgerRaced` where a balance changed in the meantime: run the transaction again.
    """
    purses = {merchant(each.asset, each.merchant_id) for each in deposits}
    left = {purse: (await ledger.balance(conn, purse)).available for purse in purses}
    claims = {each.asset: (await ledger.balance(conn, paying.claim(each.asset))).available for each in deposits}
    transfers: list[Transfer] = []
    reversed_: list[tuple[Deposit, int]] = []
    for deposit in deposits:
        purse, net = merchant(deposit.asset, deposit.merchant_id), deposit.units - deposit.tariff_units
        taken = max(0, min(net, left[purse]))
        left[purse] -= taken
        transfers += reversal_transfers(deposit, taken)
        key = f"reorg:{deposit.id}:{deposit.times_confirmed}"
        transfers += paying.bear(key, deposit.asset, net - taken, claims[deposit.asset], deposit.id)
        claims[deposit.asset] -= min(net - taken, claims[deposit.asset])
        reversed_.append((_gone(deposit), net - taken))
    await _post(conn, transfers)
    return reversed_


def credit_transfers(deposit: Deposit, repaid: int) -> list[Transfer]:
    """The transfers of one confirmation, `repaid` units of which go to what the merchant owes."""
    key = f"deposit:{deposit.id}:{deposit.times_confirmed}"
    lying, purse = vault(deposit.asset), merchant(deposit.asset, deposit.merchant_id)
    return _moving(
        (key, lying, purse, deposit.units - deposit.tariff_units, deposit.id, "deposit"),
        (f"{key}:tariff", lying, income(deposit.asset), deposit.tariff_units, deposit.id, "tariff"),
        (f"{key}:repaid", purse, _debt_of(deposit), repaid, deposit.id, "repayment"),
    )


def reversal_transfers(deposit: Deposit, taken: int) -> list[Transfer]:
    """The transfers that take one confirmation back, `taken` units of it from the merchant's balance."""
    key = f"reorg:{deposit.id}:{deposit.times_confirmed}"
    lying, purse = vault(deposit.asset), merchant(deposit.asset, deposit.merchant_id)
    owed = deposit.units - deposit.tariff_units - taken
    return _moving(
        (key, purse, lying, taken, deposit.id, "reorg"),
        (f"{key}:owed", _debt_of(deposit), lying, owed, deposit.id, "reorg-owed"),
        (f"{key}:tariff", income(deposit.asset), lying, deposit.tariff_units, deposit.id, "reorg-tariff"),
    )


async def _lacking(conn: AsyncConnection[Any], assets: set[AssetId]) -> dict[str, int]:
    """What the vault lacks of each asset."""
    return {asset: -(await ledger.balance(conn, paying.deficit(asset))).posted for asset in sorted(assets)}


def _debt_of(deposit: Deposit) -> Account:
    return receivable(deposit.asset, deposit.merchant_id)


def _gone(deposit: Deposit) -> Deposit:
    state = move_deposit(deposit.state, DepositState.REORGED)
    return replace(deposit, state=state, block_height=None, block_hash=None, confirmed_at=None)


def _moving(*drafts: tuple[str, Account, Account, int, str, str]) -> list[Transfer]:
    """The transfers that move something: a transfer of nothing is none."""
    return [Transfer(*draft) for draft in drafts if draft[3] > 0]


async def _post(conn: AsyncConnection[Any], transfers: Sequence[Transfer]) -> None:
    """Post all at once, as the ledger asks: it locks accounts in one order within a call."""
    for transfer, outcome in zip(transfers, await ledger.post(conn, transfers), strict=True):
        if isinstance(outcome, Refused):
            if outcome.rule is Rule.BALANCE_TOO_LOW:
                raise LedgerRaced(f"{transfer.key}: the balance was read before a payout took from it")
            raise CreditRefused(f"{transfer.key}: {outcome.rule}")


async def _tariffs(conn: AsyncConnection[Any], merchant_ids: set[str]) -> dict[str, int]:
    cursor = await conn.execute(
        "SELECT id, tariff_basis_points FROM payments.merchants WHERE id = ANY(%s)", (list(merchant_ids),)
    )
    return {row[0]: row[1] for row in await cursor.fetchall()}
