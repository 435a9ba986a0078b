"""What happened, written in the transaction that made it happen, and read in one order that never changes.

The source of webhooks, `GET /v1/events` and live pages. A reader stops before transactions that are still open:
sequence numbers become visible out of order, so a reader that went by them alone would skip events.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row

from holdfast.core.errors import NotFound
from holdfast.core.ids import new_id
from holdfast.payments.rows import there


class EventNotFound(NotFound):
    """There is no event with this id here. Start without `after`, or from an id that `GET /v1/events` gave."""

    code = "event-not-found"


class EventType(StrEnum):
    """Everything that is told to merchants."""

    INVOICE_CREATED = "invoice.created"
    INVOICE_PROCESSING = "invoice.processing"
    INVOICE_SETTLED = "invoice.settled"
    INVOICE_EXPIRED = "invoice.expired"
    INVOICE_INVALID = "invoice.invalid"
    INVOICE_REOPENED = "invoice.reopened"
    """It went back to `new`: its payment left the chain."""
    INVOICE_UPDATED = "invoice.updated"
    """The same state, another amount paid or another reason."""
    DEPOSIT_SEEN = "deposit.seen"
    DEPOSIT_CONFIRMED = "deposit.confirmed"
    DEPOSIT_REORGED = "deposit.reorged"
    DEPOSIT_HELD = "deposit.held"
    DEPOSIT_RETURNED = "deposit.returned"
    PAYOUT_RESERVED = "payout.reserved"
    """It was ordered, or has the approvals that it waited for."""
    PAYOUT_AWAITING_APPROVAL = "payout.awaiting-approval"
    PAYOUT_SIGNED = "payout.signed"
    PAYOUT_BROADCAST = "payout.broadcast"
    """Told again where a transaction with a higher fee took the first one's place."""
    PAYOUT_CONFIRMED = "payout.confirmed"
    PAYOUT_REFUSED = "payout.refused"
    PAYOUT_ABANDONED = "payout.abandoned"
    PAYOUT_FAILED = "payout.failed"
    PAYOUTS_FROZEN = "payouts.frozen"
    """Payouts of a scope that the merchant is in stand still; payments in go on."""
    PAYOUTS_RESTORED = "payouts.restored"
    """They come back, step by step: `stage` says how far."""
    ATTENTION_OPENED = "attention.opened"
    ATTENTION_RESOLVED = "attention.resolved"


@dataclass(frozen=True, slots=True)
class News:
    """An event to be written."""

    merchant_id: str
    type: EventType
    subject: str
    """Id of the invoice, deposit or attention item that it is about."""
    data: dict[str, Any]
    """Its state after the event, as the API shows it; amounts are strings."""


@dataclass(frozen=True, slots=True)
class Event:
    """An event as it was written. `id` never changes; `(made_by, seq)` is its place in the order."""

    id: str
    merchant_id: str
    type: EventType
    subject: str
    data: dict[str, Any]
    created_at: datetime
    made_by: int
    seq: int


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the order of all events; `START` is before the first."""

    made_by: int
    seq: int


START = Place(0, 0)


async def emit(conn: AsyncConnection[Any], news: Sequence[News], now: datetime) -> list[str]:
    """Write events, and a delivery for every endpoint that wants them, within the caller's transaction.

    Three statements however many events. Returns the ids in the order given.
    """
    if not news:
        return []
    stamp = int(now.timestamp() * 1000)
    ids = [new_id("evt", stamp, secrets.token_bytes(10)) for _ in news]
    rows = [
        {"id": event_id, "merchant_id": each.merchant_id, "type": each.type, "subject": each.subject, "data": each.data}
        for event_id, each in zip(ids, news, strict=True)
    ]
    async with conn.cursor() as cursor:
        await cursor.execute(
            """
            INSERT INTO payments.events (id, merchant_id, type, subject, data, created_at)
            SELECT id, merchant_id, type, subject, data, %s
            FROM ROWS FROM (json_to_recordset(%s::json)
                AS (id text, merchant_id text, type text, subject text, data jsonb))
                WITH ORDINALITY AS new (id, merchant_id, type, subject, data, place)
            ORDER BY place
            RETURNING seq, id, merchant_id, type
            """,
            (now, msgspec.json.encode(rows).decode()),
        )
        written = await cursor.fetchall()
        await cursor.execute(
            """
            SELECT id, merchant_id, types FROM payments.webhook_endpoints
            WHERE merchant_id = ANY(%s) AND disabled_at IS NULL
            ORDER BY id FOR KEY SHARE  -- none is deleted before its deliveries are written
            """,
            (list({each.merchant_id for each in news}),),
        )
        endpoints = await cursor.fetchall()
        wanted = [
            (endpoint_id, seq)
            for seq, _, merchant_id, kind in written
            for endpoint_id, owner, types in endpoints
            if owner == merchant_id and (not types or kind in types)
        ]
        if wanted:
            await cursor.execute(
                """
                INSERT INTO payments.deliveries (id, endpoint_id, event_seq, state, next_at, created_at)
                SELECT id, endpoint_id, event_seq, 'waiting', %(now)s, %(now)s
                FROM unnest(%(ids)s::text[], %(endpoints)s::text[], %(seqs)s::bigint[])
                     AS new (id, endpoint_id, event_seq)
                """,
                {
                    "now": now,
                    "ids": [new_id("dlv", stamp, secrets.token_bytes(10)) for _ in wanted],
                    "endpoints": [endpoint_id for endpoint_id, _ in wanted],
                    "seqs": [seq for _, seq in wanted],
                },
            )
    return ids


async def page(
    conn: AsyncConnection[Any], merchant_id: str, *, after: str | None = None, limit: int = 50
) -> list[Event]:
    """A merchant's events, oldest first, after the event with this id. Raises `EventNotFound`.

    Whoever comes back with the last id that it got misses nothing, however many transactions were committing meanwhile.
    """
    start = START if after is None else await place_of(conn, after, merchant_id)
    return await _read(conn, "merchant_id = %(only)s", start, limit, merchant_id)


async def since(conn: AsyncConnection[Any], after: Place, limit: int = 500) -> list[Event]:
    """Everybody's events after a place in the order: for processes of the platform that follow along."""
    return await _read(conn, "true", after, limit)


async def about(conn: AsyncConnection[Any], subject: str, after: Place = START, limit: int = 50) -> list[Event]:
    """Events about one thing, oldest first: what a live page shows."""
    return await _read(conn, "subject = %(only)s", after, limit, subject)


async def latest(conn: AsyncConnection[Any]) -> Place:
    """The place after which everything is still to come: where a new follower of events begins."""
    cursor = await conn.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::numeric - 1")
    row = there(await cursor.fetchone())
    return Place(int(row[0]), 2**63 - 1)


async def place_of(conn: AsyncConnection[Any], event_id: str, merchant_id: str) -> Place:
    """Where a merchant's event stands in the order. Raises `EventNotFound`."""
    cursor = await conn.execute(
        "SELECT made_by::text, seq FROM payments.events WHERE id = %s AND merchant_id = %s", (event_id, merchant_id)
    )
    row = await cursor.fetchone()
    if row is None:
        raise EventNotFound(event_id)
    return Place(int(row[0]), row[1])


def place(event: Event) -> Place:
    """Where an event stands in the order."""
    return Place(event.made_by, event.seq)


async def _read(
    conn: AsyncConnection[Any], condition: str, after: Place, limit: int, only: str | None = None
) -> list[Event]:
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            f"""
            SELECT id, merchant_id, type, subject, data, created_at, made_by::text AS made_by_text, seq
            FROM payments.events
            WHERE {condition} AND (made_by, seq) > (%(made_by)s::text::xid8, %(seq)s)
              AND made_by < pg_snapshot_xmin(pg_current_snapshot())
            ORDER BY made_by, seq LIMIT %(limit)s
            """,  # noqa: S608  the condition is one of the three literals above
            {"only": only, "made_by": str(after.made_by), "seq": after.seq, "limit": limit},
        )
        return [_event(row) for row in await cursor.fetchall()]


def _event(row: DictRow) -> Event:
    made_by = int(row.pop("made_by_text"))
    return Event(**{**row, "type": EventType(row["type"]), "made_by": made_by})
