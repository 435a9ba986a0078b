"""How long a page of a hundred thousand open invoices takes through the API, plain, filtered, and deep in the list."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import msgspec
from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from holdfast.faces.bench.front import ASSET, Front, front
from holdfast.faces.bench.load import Requests, measure, request
from holdfast.payments.standing import Terms
from holdfast.runtime.database import connected

INVOICES = 100_000
PAGE = 50
STATES = ("new", "processing", "settled")
"""Nine in ten are open; the others make the filter earn its index."""


async def run(directory: Path, seconds: float) -> dict[str, object]:
    """Milliseconds a page, one caller at a time, for each way to list."""
    figures: dict[str, object] = {"invoices": INVOICES, "page_size": PAGE}
    async with front(directory) as there:
        async with connected(there.database.owner_url) as conn:
            await _fill(conn, there.merchant_id)
            figures["index_scan_ms_limit"] = await _bare_page(conn, there.merchant_id)
        kinds = {
            "newest": "",
            "open": "&state=new",
            "two_states": "&state=processing&state=settled",
            "by_reference": "&reference=order-5000",
        }
        for name, query in kinds.items():
            figures[name] = await _measure(there, query, seconds / 5)
        figures["walked_to_the_end"] = await _measure(there, "&state=new", seconds / 5, walks=True)
    return figures


async def _measure(there: Front, query: str, seconds: float, *, walks: bool = False) -> dict[str, object]:
    pages = await _cursors(there, query) if walks else [""]

    def make(_: int) -> Requests:
        return _pages(there.key, query, pages)

    answers = await asyncio.to_thread(measure, there.port, make, connections=1, seconds=seconds)
    figures = answers.figures()
    return {name: figures[name] for name in ("p50_ms", "p99_ms", "requests")}


def _pages(key: str, query: str, cursors: list[str]) -> Iterator[bytes]:
    headers = {"Authorization": f"Bearer {key}"}
    while True:
        for cursor in cursors:
            yield request("GET", f"/v1/invoices?limit={PAGE}{query}{cursor}", headers)


async def _cursors(there: Front, query: str) -> list[str]:
    """Where pages begin from the newest to the oldest, a thousand of them spread over the list."""
    async with connected(there.database.owner_url) as conn:
        cursor = await conn.execute(
            """
            SELECT id FROM (SELECT id, row_number() OVER (ORDER BY id DESC) AS place FROM payments.invoices
                            WHERE merchant_id = %s AND state = 'new') AS listed WHERE place %% 90 = 0
            """,
            (there.merchant_id,),
        )
        return ["", *(f"&after={row[0]}" for row in await cursor.fetchall())]


async def _fill(conn: AsyncConnection, merchant_id: str) -> None:
    """Put invoices with a quote each where they would be after weeks."""
    await conn.execute(
        """
        INSERT INTO payments.invoices (id, merchant_id, reference, price_units, price_currency, price_decimals, assets,
            state, terms, metadata, created_at, expires_at, monitored_until)
        SELECT 'inv_' || lpad(to_hex(number), 26, '0'), %(merchant)s, 'order-' || number, 1250, 'EUR', 2,
            ARRAY[%(asset)s], CASE WHEN number %% 10 > 0 THEN 'new' WHEN number %% 20 > 0 THEN 'processing'
            ELSE 'settled' END, %(terms)s, '{}', now(), now() + interval '1 day', now() + interval '2 days'
        FROM generate_series(1, %(count)s) AS number
        """,
        {"merchant": merchant_id, "asset": ASSET, "terms": Jsonb(msgspec.to_builtins(Terms())), "count": INVOICES},
    )
    await conn.execute(
        """
        INSERT INTO payments.quotes (invoice_id, asset, network, address, index, due_units, created_at, valid_until)
        SELECT id, %s, split_part(%s, '/', 1), 'address of ' || id, 0, 14705883, now(), now() FROM payments.invoices
        """,
        (ASSET, ASSET),
    )
    await conn.execute("VACUUM ANALYZE payments.invoices, payments.quotes")


async def _bare_page(conn: AsyncConnection, merchant_id: str) -> float:
    """What PostgreSQL itself says a page's scan takes, in milliseconds."""
    cursor = await conn.execute(
        """
        EXPLAIN (ANALYZE, FORMAT JSON) SELECT * FROM payments.invoices
        WHERE merchant_id = %s AND state = 'new' ORDER BY id DESC LIMIT 51
        """,
        (merchant_id,),
    )
    row = await cursor.fetchone()
    return round(row[0][0]["Execution Time"], 3) if row else 0.0
