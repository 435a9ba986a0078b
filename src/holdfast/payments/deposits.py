"""Deposits: money seen arriving, as it is stored and read. It gets here by `arrivals` and moves by `crediting`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row

from holdfast.core.errors import NotFound
from holdfast.core.states import DepositState


class DepositNotFound(NotFound):
    """There is no such deposit here. Check the id, and that the key belongs to its merchant."""

    code = "deposit-not-found"


@dataclass(frozen=True, slots=True)
class Deposit:
    """Money seen arriving. Units are its asset's smallest."""

    id: str
    network: str
    key: str
    """What names the arrival on its network, the same whenever it is read again: `chains.port.Arrival.key`."""
    asset: str
    address: str
    merchant_id: str
    invoice_id: str | None
    units: int
    state: DepositState
    transaction: str | None
    block_height: int | None
    block_hash: str | None
    confirmations_required: int
    times_confirmed: int
    tariff_units: int
    """Of the last confirmation."""
    below_minimum: bool
    """Too little to be spent: shown, never credited."""
    held_for: str | None
    """Why screening or a person holds it."""
    seen_at: datetime
    paid_at: datetime
    """The earliest moment that it can be shown to have been made; lateness is judged by it."""
    confirmed_at: datetime | None


@dataclass(frozen=True, slots=True)
class DepositFilter:
    """Which deposits to list."""

    merchant_id: str
    invoice_id: str | None = None
    state: DepositState | None = None
    after: str | None = None
    """The last id of the page before; newest come first."""
    limit: int = 50


async def get(
    conn: AsyncConnection[Any], deposit_id: str, merchant_id: str | None = None, *, lock: bool = False
) -> Deposit:
    """One deposit. Raises `DepositNotFound`, also when it is another merchant's."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            f"""
            SELECT * FROM payments.deposits
            WHERE id = %(id)s AND (%(merchant)s::text IS NULL OR merchant_id = %(merchant)s)
            {"FOR NO KEY UPDATE" if lock else ""}
            """,  # noqa: S608  no input goes into the text
            {"id": deposit_id, "merchant": merchant_id},
        )
        row = await cursor.fetchone()
    if row is None:
        raise DepositNotFound(deposit_id[:60])
    return deposit_from(row)


async def page(conn: AsyncConnection[Any], wanted: DepositFilter) -> list[Deposit]:
    """A merchant's deposits, newest first."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            """
            SELECT * FROM payments.deposits WHERE merchant_id = %(merchant)s
              AND (%(invoice)s::text IS NULL OR invoice_id = %(invoice)s)
              AND (%(state)s::text IS NULL OR state = %(state)s)
              AND (%(after)s::text IS NULL OR id < %(after)s)
            ORDER BY id DESC LIMIT %(limit)s
            """,
            {
                "merchant": wanted.merchant_id,
                "invoice": wanted.invoice_id,
                "state": wanted.state,
                "after": wanted.after,
                "limit": wanted.limit,
            },
        )
        return [deposit_from(row) for row in await cursor.fetchall()]


def as_data(deposit: Deposit) -> dict[str, Any]:
    """A deposit as events and the API show it: amounts are strings of smallest units."""
    return {
        "id": deposit.id,
        "merchant_id": deposit.merchant_id,
        "invoice_id": deposit.invoice_id,
        "network": deposit.network,
        "asset": deposit.asset,
        "address": deposit.address,
        "units": str(deposit.units),
        "tariff_units": str(deposit.tariff_units),
        "state": deposit.state.value,
        "transaction": deposit.transaction,
        "block_height": deposit.block_height,
        "block_hash": deposit.block_hash,
        "confirmations_required": deposit.confirmations_required,
        "below_minimum": deposit.below_minimum,
        "held_for": deposit.held_for,
        "seen_at": deposit.seen_at,
        "paid_at": deposit.paid_at,
        "confirmed_at": deposit.confirmed_at,
    }


def deposit_from(row: DictRow) -> Deposit:
    """A deposit from its row."""
    return Deposit(
        **{
            **row,
            "units": int(row["units"]),
            "tariff_units": int(row["tariff_units"]),
            "state": DepositState(row["state"]),
        }
    )
