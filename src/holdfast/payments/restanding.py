"""Brings invoices to where their deposits say they stand: reads the facts, asks `standing`, writes and tells.

The only caller of `standing`; it never judges by itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import dict_row

from holdfast.core.states import INVOICE_MOVES, InvoiceState, move_invoice
from holdfast.payments import attention, invoices
from holdfast.payments.attention import Ask
from holdfast.payments.deposits import Deposit, deposit_from
from holdfast.payments.invoices import Invoice, Quote
from holdfast.payments.standing import AttentionReason, DepositFacts, InvoiceFacts, QuoteFacts, Standing, standing


async def restand(
    conn: AsyncConnection[Any], invoice_ids: Iterable[str], now: datetime, news: Collection[str] = ()
) -> list[Invoice]:
    """Judge these invoices anew; those that changed. `news`: ids of deposits that have just come, to be asked about."""
    wanted = sorted(set(invoice_ids))
    if not wanted:
        return []
    before = await _locked(conn, wanted)
    quoted = await invoices.quotes(conn, wanted)
    paid = await _deposits(conn, wanted)
    read = await _read_through(conn, {quote.network for each in quoted.values() for quote in each})
    moves, asks = [], []
    for invoice in before:
        mine = quoted[invoice.id]
        is_read = now >= invoice.expires_at and all(_is_after(read.get(each.network), invoice) for each in mine)
        stands = standing(_facts(invoice, is_read=is_read), _quote_facts(mine), _deposit_facts(paid[invoice.id]))
        after = _moved(invoice, stands, now)
        if after != invoice:
            moves.append((invoice, after))
        asks += _asks(invoice, after, stands, news)
    await invoices.store_standing(conn, moves, now)
    await attention.ask(conn, asks, now)
    return [after for _, after in moves]


async def expire(conn: AsyncConnection[Any], now: datetime, limit: int = 500) -> list[Invoice]:
    """Judge invoices whose time has run out, as far as the networks that they may be paid on have been read since.

    An invoice whose network is in trouble waits: the payment may be in a block that we have not read.
    """
    cursor = await conn.execute(
        """
        SELECT invoice.id FROM payments.invoices AS invoice
        WHERE invoice.state = 'new' AND invoice.expires_at <= %(now)s
          AND NOT EXISTS (
            SELECT FROM payments.quotes AS quote
            LEFT JOIN payments.cursors AS cursor ON cursor.network = quote.network
            WHERE quote.invoice_id = invoice.id
              AND (cursor.read_through IS NULL OR cursor.read_through < invoice.expires_at))
        ORDER BY invoice.expires_at LIMIT %(limit)s
        """,
        {"now": now, "limit": limit},
    )
    return await restand(conn, [row[0] for row in await cursor.fetchall()], now)


def _facts(invoice: Invoice, *, is_read: bool) -> InvoiceFacts:
    return InvoiceFacts(
        id=invoice.id,
        state=invoice.state,
        reason=invoice.reason,
        price_units=invoice.price_units,
        terms=invoice.terms,
        expires_at=invoice.expires_at,
        monitored_until=invoice.monitored_until,
        read_through_expiry=is_read,
    )


def _quote_facts(quoted: Sequence[Quote]) -> list[QuoteFacts]:
    return [QuoteFacts(each.asset, each.due_units, each.created_at, each.valid_until) for each in quoted]


def _deposit_facts(deposits: Sequence[Deposit]) -> list[DepositFacts]:
    return [
        DepositFacts(
            id=each.id,
            asset=each.asset,
            units=each.units,
            state=each.state,
            paid_at=each.paid_at,
            was_confirmed=each.times_confirmed > 0,
            below_minimum=each.below_minimum,
        )
        for each in deposits
    ]


def _moved(invoice: Invoice, stands: Standing, now: datetime) -> Invoice:
    state = next_state(invoice.state, stands.state)
    settled_at = invoice.settled_at
    if state is not InvoiceState.SETTLED:
        settled_at = None
    elif settled_at is None:
        settled_at = now
    return replace(
        invoice,
        state=state,
        reason=stands.reason,
        paid_units=stands.paid_units,
        confirmed_units=stands.confirmed_units,
        settled_at=settled_at,
    )


def next_state(now: InvoiceState, then: InvoiceState) -> InvoiceState:
    """Where an invoice goes at once on its way to `then`.

    A settled invoice whose payment left the chain after its time goes back to `new` first, so that whoever delivered
    is told; the next look at what has run out takes it to `expired`.
    """
    if now is InvoiceState.SETTLED and then not in INVOICE_MOVES[now] and then is not now:
        then = InvoiceState.NEW
    return move_invoice(now, then)


def _asks(before: Invoice, after: Invoice, stands: Standing, news: Collection[str]) -> list[Ask]:
    """What a person should look at because of what has just changed: not again what has been resolved."""
    fresh = set(news)
    if after.paid_units != before.paid_units or after.state is not before.state:
        fresh.add(after.id)
    detail = {
        "invoice": after.id,
        "state": after.state.value,
        "price_units": str(after.price_units),
        "paid_units": str(after.paid_units),
    }
    return [
        Ask(after.merchant_id, reason, subject, detail)
        for subject, reason in sorted(stands.attention)
        if subject in fresh and not (reason is AttentionReason.OVERPAID and after.paid_units == before.paid_units)
    ]


def _is_after(read_through: datetime | None, invoice: Invoice) -> bool:
    return read_through is not None and read_through >= invoice.expires_at


async def _locked(conn: AsyncConnection[Any], invoice_ids: Sequence[str]) -> list[Invoice]:
    """In order of id, so that two followers never wait for each other in a circle.

    NO KEY: a deposit that has just been stored holds its invoice's key, and another network's may hold it too.
    """
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            "SELECT * FROM payments.invoices WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE", (list(invoice_ids),)
        )
        return [invoices.invoice_from(row) for row in await cursor.fetchall()]


async def _deposits(conn: AsyncConnection[Any], invoice_ids: Sequence[str]) -> dict[str, list[Deposit]]:
    found: dict[str, list[Deposit]] = {invoice_id: [] for invoice_id in invoice_ids}
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            "SELECT * FROM payments.deposits WHERE invoice_id = ANY(%s) ORDER BY id", (list(invoice_ids),)
        )
        for row in await cursor.fetchall():
            found[row["invoice_id"]].append(deposit_from(row))
    return found


async def _read_through(conn: AsyncConnection[Any], networks: set[str]) -> dict[str, datetime]:
    """Up to when each network has been read."""
    cursor = await conn.execute(
        "SELECT network, read_through FROM payments.cursors WHERE network = ANY(%s) AND read_through IS NOT NULL",
        (list(networks),),
    )
    return {row[0]: row[1] for row in await cursor.fetchall()}
