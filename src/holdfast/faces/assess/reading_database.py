"""Reads what the platform's database says for an assessment. In one snapshot, and it changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg import AsyncConnection

from holdfast.core.errors import HoldfastError
from holdfast.core.journal import Entry, Ordered, read_entries
from holdfast.core.orders import Genesis, Reanchor, RotateFloat, read_order
from holdfast.faces.assess.inventory import OFFICERS_KEYS, Books
from holdfast.payments import api_keys, merchants, mirror, reconciling, standing_orders
from holdfast.payments.api_keys import ApiKey
from holdfast.payments.merchants import Merchant
from holdfast.payments.standing_orders import StandingOrder
from holdfast.policy.record import Record

PAGE = 500
ENTRIES_AT_ONCE = 2_000


async def read_books(conn: AsyncConnection[Any]) -> Books:
    """Keys, merchants, standing orders, the newest reconciliations and the mirrored journal."""
    people = await _merchants(conn)
    keys = await _keys(conn, None)
    orders: list[StandingOrder] = []
    for one in people:
        keys += await _keys(conn, one.id)
        orders += await standing_orders.page(conn, one.id, limit=PAGE)
    record, dates, error = await _record(conn)
    return Books(
        api_keys=tuple(keys),
        merchants=tuple(people),
        standing_orders=tuple(orders),
        reconciliations=tuple(await reconciling.newest(conn)),
        record=record,
        key_dates=tuple(sorted(dates.items())),
        journal_error=error,
    )


async def _merchants(conn: AsyncConnection[Any]) -> list[Merchant]:
    found: list[Merchant] = []
    while page := await merchants.page(conn, after=found[-1].id if found else None, limit=PAGE):
        found += page
    return found


async def _keys(conn: AsyncConnection[Any], merchant: str | None) -> list[ApiKey]:
    found: list[ApiKey] = []
    while page := await api_keys.page(conn, merchant, after=found[-1].id if found else None, limit=PAGE):
        found += page
    return found


async def _record(conn: AsyncConnection[Any]) -> tuple[Record, dict[str, int], str]:
    """The journal folded, since when each key counts, and why it cannot be followed (empty: it can)."""
    record, dates = Record(), dict[str, int]()
    try:
        while stored := await mirror.stored(conn, record.head.seq, ENTRIES_AT_ONCE):
            entries = read_entries(record.head, stored)
            for entry in entries:
                record.apply(entry)
            _date(dates, entries)
    except (HoldfastError, KeyError, IndexError) as error:
        return Record(), {}, f"after entry {record.head.seq}: {type(error).__name__} {error}"[:200]
    return record, dates, ""


def _date(dates: dict[str, int], entries: Sequence[Entry]) -> None:
    for entry in entries:
        if not isinstance(entry.body, Ordered):
            continue
        order = read_order(entry.body.order.document.encode())
        if isinstance(order, Genesis):
            dates |= dict.fromkeys(("journal key", "lease key", OFFICERS_KEYS), order.created_at)
            dates |= {f"float key of {one.network}": order.created_at for one in order.floats}
        elif isinstance(order, RotateFloat):
            dates[f"float key of {order.float.network}"] = entry.body.at
        elif isinstance(order, Reanchor):
            dates["lease key"] = entry.body.at
