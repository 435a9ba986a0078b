"""Invoices: requests for payment, as they are stored and read. Making one is `invoicing`, paying one `arrivals`.

Only `restanding` and `mark` change an invoice after it is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import msgspec
import structlog
from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row

from holdfast.core.errors import BadInput, NotFound
from holdfast.core.money import format_units
from holdfast.core.states import InvoiceReason, InvoiceState, move_invoice
from holdfast.payments import events
from holdfast.payments.standing import Terms
from holdfast.runtime import metrics

log = structlog.get_logger()


class InvoiceNotFound(NotFound):
    """There is no such invoice here. Check the id, and that the key belongs to its merchant."""

    code = "invoice-not-found"


class InvoiceMarkInvalid(BadInput):
    """An invoice can be marked as settled or as invalid only. Send one of these two states."""

    code = "invoice-mark-invalid"


@dataclass(frozen=True, slots=True)
class Invoice:
    """A request for payment. Units are the price's smallest."""

    id: str
    merchant_id: str
    reference: str | None
    price_units: int
    price_currency: str
    """ISO 4217 code, or a CAIP-19 asset id."""
    price_decimals: int
    assets: tuple[str, ...]
    """CAIP-19 ids that the payer may choose among."""
    state: InvoiceState
    reason: InvoiceReason | None
    paid_units: int
    """Value of all that was seen and counts."""
    confirmed_units: int
    terms: Terms
    description: str | None
    metadata: dict[str, Any]
    redirect_url: str | None
    created_at: datetime
    expires_at: datetime
    monitored_until: datetime
    settled_at: datetime | None
    request_id: str | None = None
    """The HTTP request that made it, so that what every zone logs about it can be found together."""


@dataclass(frozen=True, slots=True)
class Quote:
    """How an invoice can be paid in one asset, until `valid_until`."""

    invoice_id: str
    asset: str
    version: int
    network: str
    address: str
    index: int
    due_units: int
    """What the whole price costs, in the asset's smallest units; `standing.due_left` gives what is still missing."""
    rate: dict[str, Any] | None
    created_at: datetime
    valid_until: datetime


@dataclass(frozen=True, slots=True)
class Filter:
    """Which invoices to list."""

    merchant_id: str
    states: Sequence[InvoiceState] = ()
    """Empty: all."""
    reference: str | None = None
    after: str | None = None
    """The last id of the page before; newest come first."""
    limit: int = 50


async def get(
    conn: AsyncConnection[Any], invoice_id: str, merchant_id: str | None = None, *, lock: bool = False
) -> Invoice:
    """One invoice. Raises `InvoiceNotFound`, also when it is another merchant's (None: whoever asks may see it).

    `lock`: nobody else changes it until the transaction ends.
    """
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            f"""
            SELECT * FROM payments.invoices
            WHERE id = %(id)s AND (%(merchant)s::text IS NULL OR merchant_id = %(merchant)s)
            {"FOR NO KEY UPDATE" if lock else ""}
            """,  # noqa: S608  no input goes into the text
            {"id": invoice_id, "merchant": merchant_id},
        )
        row = await cursor.fetchone()
    if row is None:
        raise InvoiceNotFound(invoice_id[:60])
    return invoice_from(row)


async def page(conn: AsyncConnection[Any], wanted: Filter) -> list[Invoice]:
    """A merchant's invoices, newest first.

    Several states are merged from one index scan each: a filter over the whole list would read all that it skips.
    """
    values = {
        "merchant": wanted.merchant_id,
        "states": [state.value for state in wanted.states],
        "reference": wanted.reference,
        "after": wanted.after,
        "limit": wanted.limit,
    }
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_BY_REFERENCE if wanted.reference else _BY_STATE if wanted.states else _ALL, values)
        return [invoice_from(row) for row in await cursor.fetchall()]


_AFTER = "(%(after)s::text IS NULL OR id < %(after)s)"
_ALL = f"SELECT * FROM payments.invoices WHERE merchant_id = %(merchant)s AND {_AFTER} ORDER BY id DESC LIMIT %(limit)s"  # noqa: S608  constants
_BY_STATE = f"""
    SELECT page.* FROM unnest(%(states)s::text[]) AS wanted
    CROSS JOIN LATERAL (
        SELECT * FROM payments.invoices WHERE merchant_id = %(merchant)s AND state = wanted AND {_AFTER}
        ORDER BY id DESC LIMIT %(limit)s
    ) AS page ORDER BY page.id DESC LIMIT %(limit)s
"""  # noqa: S608  constants
_BY_REFERENCE = f"""
    SELECT * FROM payments.invoices WHERE merchant_id = %(merchant)s AND reference = %(reference)s
      AND (cardinality(%(states)s::text[]) = 0 OR state = ANY(%(states)s)) AND {_AFTER} LIMIT %(limit)s
"""  # noqa: S608  constants


async def quotes(conn: AsyncConnection[Any], invoice_ids: Sequence[str]) -> dict[str, list[Quote]]:
    """Every quote of these invoices, in all versions, oldest first; an empty list where there is none."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            "SELECT * FROM payments.quotes WHERE invoice_id = ANY(%s) ORDER BY asset, version", (list(invoice_ids),)
        )
        found: dict[str, list[Quote]] = {invoice_id: [] for invoice_id in invoice_ids}
        for row in await cursor.fetchall():
            found[row["invoice_id"]].append(quote_from(row))
    return found


def newest(quoted: Sequence[Quote]) -> list[Quote]:
    """The newest version of each asset's quote."""
    return list({quote.asset: quote for quote in sorted(quoted, key=lambda each: each.version)}.values())


async def mark(
    conn: AsyncConnection[Any], invoice_id: str, state: InvoiceState, now: datetime, merchant_id: str | None = None
) -> Invoice:
    """A person says that an invoice is settled, or invalid; what arrives later changes it no more.

    The caller checks the person's scope. Raises `InvoiceNotFound`, `TransitionForbidden`.
    """
    invoice = await get(conn, invoice_id, merchant_id, lock=True)
    if state not in (InvoiceState.SETTLED, InvoiceState.INVALID):
        raise InvoiceMarkInvalid(state)
    move_invoice(invoice.state, state)
    marked = replace(
        invoice,
        state=state,
        reason=InvoiceReason.MARKED,
        settled_at=invoice.settled_at or now if state is InvoiceState.SETTLED else None,
    )
    if (marked.state, marked.reason) != (invoice.state, invoice.reason):
        await store_standing(conn, [(invoice, marked)], now)
    return marked


EVENT_OF: dict[InvoiceState, events.EventType] = {
    InvoiceState.NEW: events.EventType.INVOICE_REOPENED,
    InvoiceState.PROCESSING: events.EventType.INVOICE_PROCESSING,
    InvoiceState.SETTLED: events.EventType.INVOICE_SETTLED,
    InvoiceState.EXPIRED: events.EventType.INVOICE_EXPIRED,
    InvoiceState.INVALID: events.EventType.INVOICE_INVALID,
}


async def store_standing(conn: AsyncConnection[Any], moves: Sequence[tuple[Invoice, Invoice]], now: datetime) -> None:
    """Write where invoices stand now, and tell. Pairs of before (locked by the caller) and after."""
    if not moves:
        return
    after = [then for _, then in moves]
    await conn.execute(
        """
        UPDATE payments.invoices AS invoice
        SET state = new.state, reason = new.reason, paid_units = new.paid, confirmed_units = new.confirmed,
            settled_at = new.settled_at
        FROM unnest(%s::text[], %s::text[], %s::text[], %s::numeric[], %s::numeric[], %s::timestamptz[])
             AS new (id, state, reason, paid, confirmed, settled_at)
        WHERE invoice.id = new.id
        """,
        (
            [invoice.id for invoice in after],
            [invoice.state.value for invoice in after],
            [invoice.reason.value if invoice.reason else None for invoice in after],
            [invoice.paid_units for invoice in after],
            [invoice.confirmed_units for invoice in after],
            [invoice.settled_at for invoice in after],
        ),
    )
    await events.emit(conn, [_news(before, then) for before, then in moves], now)
    for before, then in moves:
        if before.state is not then.state:
            metrics.INVOICES.labels(then.state.value).inc()
            log.info("invoice_moved", invoice=then.id, state=then.state, reason=then.reason, request_id=then.request_id)


def _news(before: Invoice, then: Invoice) -> events.News:
    kind = events.EventType.INVOICE_UPDATED if before.state is then.state else EVENT_OF[then.state]
    return events.News(then.merchant_id, kind, then.id, as_data(then))


def as_data(invoice: Invoice) -> dict[str, Any]:
    """An invoice as events and the API show it: amounts are decimal strings, times are RFC 3339."""
    return {
        "id": invoice.id,
        "merchant_id": invoice.merchant_id,
        "reference": invoice.reference,
        "price": {
            "amount": format_units(invoice.price_units, invoice.price_decimals),
            "currency": invoice.price_currency,
        },
        "assets": list(invoice.assets),
        "state": invoice.state.value,
        "reason": invoice.reason.value if invoice.reason else None,
        "paid": format_units(invoice.paid_units, invoice.price_decimals),
        "confirmed": format_units(invoice.confirmed_units, invoice.price_decimals),
        "description": invoice.description,
        "metadata": invoice.metadata,
        "redirect_url": invoice.redirect_url,
        "created_at": invoice.created_at,
        "expires_at": invoice.expires_at,
        "monitored_until": invoice.monitored_until,
        "settled_at": invoice.settled_at,
    }


def invoice_from(row: DictRow) -> Invoice:
    """An invoice from its row."""
    return Invoice(
        **{
            **row,
            "price_units": int(row["price_units"]),
            "paid_units": int(row["paid_units"]),
            "confirmed_units": int(row["confirmed_units"]),
            "assets": tuple(row["assets"]),
            "state": InvoiceState(row["state"]),
            "reason": InvoiceReason(row["reason"]) if row["reason"] else None,
            "terms": msgspec.convert(row["terms"], Terms),
        }
    )


def quote_from(row: DictRow) -> Quote:
    """A quote from its row."""
    return Quote(**{**row, "due_units": int(row["due_units"])})
