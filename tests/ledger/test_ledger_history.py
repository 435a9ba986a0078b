"""Reading a page of history costs what the page costs, however busy the account is."""

from collections.abc import Iterator
from typing import Any

from psycopg import AsyncConnection

from holdfast.core.money import AssetId
from holdfast.ledger import Account, AccountKind, Transfer, books, history, post

COIN = AssetId("a/slip44:1")
VAULT, SHOP = Account(AccountKind.VAULT, COIN), Account(AccountKind.MERCHANT, COIN, "mer_1")
TRANSFERS = 4000
LIMIT = 20


async def test_a_page_of_a_busy_account_reads_no_more_rows_than_it_shows(connection: AsyncConnection) -> None:
    await post(connection, [Transfer(f"k{n}", VAULT, SHOP, 1, "x", "deposit") for n in range(TRANSFERS)])
    middle = (await history(connection, SHOP, limit=TRANSFERS))[TRANSFERS // 2].seq
    for before in (books.SEQ_MAX, middle):
        values = {"code": SHOP.code, "before": before, "limit": LIMIT}
        cursor = await connection.execute(b"EXPLAIN (ANALYZE, FORMAT JSON) " + books.HISTORY, values)
        row = await cursor.fetchone()
        assert row is not None
        assert max(rows_of(row[0][0]["Plan"])) <= LIMIT


async def test_pages_follow_each_other_without_gap_or_overlap(connection: AsyncConnection) -> None:
    await post(connection, [Transfer(f"k{n}", VAULT, SHOP, 1, "x", "deposit") for n in range(53)])
    told: list[str] = []
    before = None
    while page := await history(connection, SHOP, before=before, limit=10):
        told += [entry.key for entry in page]
        before = page[-1].seq
    assert told == [f"k{n}" for n in reversed(range(53))]


def rows_of(plan: dict[str, Any]) -> Iterator[float]:
    """How many rows each step of a plan handed on."""
    yield plan["Actual Rows"]
    for part in plan.get("Plans", ()):
        yield from rows_of(part)
