"""The queue of what needs a person: nothing that arrives is dropped, whoever cannot decide it asks here.

One open item per (subject, reason). It never decides anything itself.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb

from holdfast.core.errors import Conflict, NotFound
from holdfast.core.ids import new_id
from holdfast.payments import events
from holdfast.payments.standing import AttentionReason


class AttentionItemNotFound(NotFound):
    """There is no such item in the attention queue. Read `GET /v1/attention` again."""

    code = "attention-item-not-found"


class AttentionItemResolved(Conflict):
    """Somebody has already resolved this item. Read it again to see who and how."""

    code = "attention-item-resolved"


@dataclass(frozen=True, slots=True)
class Ask:
    """Something to put before a person."""

    merchant_id: str | None
    """None: it concerns the operator alone."""
    reason: AttentionReason
    subject: str
    """Id of the invoice, deposit or address, or the network, that it is about."""
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Item:
    """One item of the queue."""

    id: str
    merchant_id: str | None
    reason: AttentionReason
    subject: str
    detail: dict[str, Any]
    created_at: datetime
    resolved_at: datetime | None
    resolution: str | None
    resolved_by: str | None


@dataclass(frozen=True, slots=True)
class Resolution:
    """What a person decided, in his words, and who he is (an API key's id or a name)."""

    text: str
    by: str


async def ask(conn: AsyncConnection[Any], asks: Sequence[Ask], now: datetime) -> list[Item]:
    """Open an item for each; one that is open already stays as it is. Returns the new ones."""
    opened: list[Item] = []
    async with conn.cursor(row_factory=dict_row) as cursor:
        for each in sorted(asks, key=lambda one: (one.subject, one.reason)):
            await cursor.execute(
                """
                INSERT INTO payments.attention (id, merchant_id, reason, subject, detail, created_at)
                VALUES (%s, %s, %s, %s, %s, %s)
                ON CONFLICT (subject, reason) WHERE resolved_at IS NULL DO NOTHING
                RETURNING *
                """,
                (
                    new_id("att", int(now.timestamp() * 1000), secrets.token_bytes(10)),
                    each.merchant_id,
                    each.reason,
                    each.subject,
                    Jsonb(each.detail),
                    now,
                ),
            )
            opened += [_item(row) for row in await cursor.fetchall()]
    await _tell(conn, opened, events.EventType.ATTENTION_OPENED, now)
    return opened


async def page(
    conn: AsyncConnection[Any], merchant_id: str | None, *, after: str | None = None, limit: int = 50
) -> list[Item]:
    """Open items, newest first: one merchant's, or with None everybody's. `after`: the last id of the page before."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            """
            SELECT * FROM payments.attention
            WHERE resolved_at IS NULL AND (%(merchant)s::text IS NULL OR merchant_id = %(merchant)s)
              AND (%(after)s::text IS NULL OR id < %(after)s)
            ORDER BY id DESC LIMIT %(limit)s
            """,
            {"merchant": merchant_id, "after": after, "limit": limit},
        )
        return [_item(row) for row in await cursor.fetchall()]


async def get(conn: AsyncConnection[Any], item_id: str, merchant_id: str | None = None) -> Item:
    """One item, open or resolved. Raises `AttentionItemNotFound`, also when it is another merchant's."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            """
            SELECT * FROM payments.attention
            WHERE id = %(id)s AND (%(merchant)s::text IS NULL OR merchant_id = %(merchant)s)
            """,
            {"id": item_id, "merchant": merchant_id},
        )
        row = await cursor.fetchone()
    if row is None:
        raise AttentionItemNotFound(item_id)
    return _item(row)


async def resolve(
    conn: AsyncConnection[Any], item_id: str, resolution: Resolution, now: datetime, merchant_id: str | None = None
) -> Item:
    """Close an item with what a person decided. Raises `AttentionItemNotFound`, `AttentionItemResolved`."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            """
            UPDATE payments.attention SET resolved_at = %(now)s, resolution = %(text)s, resolved_by = %(by)s
            WHERE id = %(id)s AND resolved_at IS NULL AND (%(merchant)s::text IS NULL OR merchant_id = %(merchant)s)
            RETURNING *
            """,
            {"id": item_id, "now": now, "text": resolution.text, "by": resolution.by, "merchant": merchant_id},
        )
        row = await cursor.fetchone()
    if row is None:
        there = await get(conn, item_id, merchant_id)
        raise AttentionItemResolved(f"by {there.resolved_by}")
    item = _item(row)
    await _tell(conn, [item], events.EventType.ATTENTION_RESOLVED, now)
    return item


async def resolve_about(
    conn: AsyncConnection[Any], subject: str, reason: AttentionReason, resolution: Resolution, now: datetime
) -> None:
    """Close what is open about a subject for a reason, because it was decided elsewhere."""
    cursor = await conn.execute(
        "SELECT id FROM payments.attention WHERE subject = %s AND reason = %s AND resolved_at IS NULL",
        (subject, reason),
    )
    for row in await cursor.fetchall():
        await resolve(conn, row[0], resolution, now)


def _item(row: DictRow) -> Item:
    return Item(**{**row, "reason": AttentionReason(row["reason"])})


async def _tell(conn: AsyncConnection[Any], items: Sequence[Item], kind: events.EventType, now: datetime) -> None:
    """Tell the merchants; what concerns the operator alone is no merchant's event."""
    news = [
        events.News(item.merchant_id, kind, item.id, as_data(item)) for item in items if item.merchant_id is not None
    ]
    await events.emit(conn, news, now)


def as_data(item: Item) -> dict[str, Any]:
    """An item as events and the API show it."""
    return {
        "id": item.id,
        "merchant_id": item.merchant_id,
        "reason": item.reason.value,
        "subject": item.subject,
        "detail": item.detail,
        "created_at": item.created_at,
        "resolved_at": item.resolved_at,
        "resolution": item.resolution,
        "resolved_by": item.resolved_by,
    }
