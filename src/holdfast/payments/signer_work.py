"""What waits for the signer: read at one moment, and how the signer's next question knows whether there is more.

What it has seen is named by a snapshot of the database, not by a number: whatever was not committed in that snapshot
is news, in whatever order transactions commit. It only reads; `mirror` takes the signer's answers.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import convert
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from holdfast.chains.evm_contracts import COIN
from holdfast.core.orders import SignedOrder, SignedWord
from holdfast.core.quorum import Signature
from holdfast.payments import held_payouts, payouts, signer_documents
from holdfast.payments.held_payouts import ScreenPayout
from holdfast.payments.hints import HintKind
from holdfast.payments.rows import there
from holdfast.payments.signer_documents import DocumentKind, SignerDocument
from holdfast.payments.signer_messages import (
    DepositHint,
    FlushHint,
    FundingHint,
    MinedHint,
    OrderedPayout,
    SignedDocument,
    WorkAnswer,
)

ITEMS_MAX = 1_000
_OLDEST, _NEWEST, _ANY = 500, 300, 200
"""Of hints: enough from each end, and some from anywhere, so that ones that are never answered block no others."""
FLUSH_MAX = 100
"""Addresses of one flush: some five million gas."""
_SNAPSHOT = re.compile(r"\d{1,19}:\d{1,19}:(\d{1,19}(,\d{1,19}){0,10000})?", re.ASCII)
_SLICE_SECONDS = 1.0
"""How long a wait goes on before it looks whether this process is ending."""

Pool = AsyncConnectionPool[AsyncConnection[Any]]


async def read_work(conn: AsyncConnection[Any], screen: ScreenPayout | None = None) -> WorkAnswer:
    """All that waits now, in a transaction of its own, but for payouts that screening keeps back."""
    async with conn.transaction():
        await conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        cursor = await conn.execute(
            "SELECT pg_current_snapshot()::text, (SELECT coalesce(max(seq), 0) FROM payments.journal)"
        )
        version, journal_seq = there(await cursor.fetchone())
        policies = await signer_documents.waiting(conn, DocumentKind.POLICY, ITEMS_MAX)
        orders = await signer_documents.waiting(conn, DocumentKind.ORDER, ITEMS_MAX)
        vetoes = await signer_documents.waiting(conn, DocumentKind.VETO, ITEMS_MAX)
        recoveries = await signer_documents.waiting(conn, DocumentKind.RECOVERY, ITEMS_MAX)
        return WorkAnswer(
            version=version,
            journal_seq=journal_seq,
            policies=[SignedDocument(one.document, tuple(one.signatures)) for one in policies],
            certificates=await _certificates(conn),
            orders=[SignedOrder(one.document, tuple(one.signatures)) for one in orders],
            vetoes=[_word(one) for one in vetoes],
            recoveries=[_word(one) for one in recoveries],
            payouts=await _payouts(conn, screen),
            deposits=await _deposits(conn),
            fundings=await _fundings(conn),
            mined=await _mined(conn),
            flushes=await _flushes(conn),
        )


async def await_news(pool: Pool, seen: str, seconds: float, is_closing: Callable[[], bool]) -> None:
    """Return once there is more than was seen, or the time is over, or the process is ending.

    `seen`: the `version` of an earlier answer; anything else has seen nothing.
    """
    if _SNAPSHOT.fullmatch(seen) is None:
        return
    async with pool.connection() as conn:
        await conn.set_autocommit(True)
        try:
            # Listening first: what commits after the look below is heard.
            await conn.execute("LISTEN holdfast_signer")
            while not await _is_news(conn, seen) and seconds > 0 and not is_closing():
                async for _ in conn.notifies(timeout=min(seconds, _SLICE_SECONDS), stop_after=1):
                    return
                seconds -= _SLICE_SECONDS
        finally:
            await conn.execute("UNLISTEN *")
            await conn.set_autocommit(False)


async def _is_news(conn: AsyncConnection[Any], seen: str) -> bool:
    cursor = await conn.execute(
        """
        SELECT EXISTS (
            SELECT FROM payments.signer_wakes
            WHERE made_by >= pg_snapshot_xmin(%(seen)s::pg_snapshot)
              AND NOT pg_visible_in_snapshot(made_by, %(seen)s::pg_snapshot)
        )
        """,
        {"seen": seen},
    )
    return bool(there(await cursor.fetchone())[0])


async def _certificates(conn: AsyncConnection[Any]) -> list[SignedDocument]:
    """Certificates that no entry has taken: each was verified when it was handed in."""
    cursor = await conn.execute(
        """
        SELECT document, signatures FROM payments.certificates WHERE journal_seq IS NULL
        ORDER BY created_at, merchant_id, version LIMIT %s
        """,
        (ITEMS_MAX,),
    )
    return [
        SignedDocument(bytes(document).decode(), tuple(convert(signatures, list[Signature])))
        for document, signatures in await cursor.fetchall()
    ]


async def _payouts(conn: AsyncConnection[Any], screen: ScreenPayout | None) -> list[OrderedPayout]:
    """Payouts that no entry has accepted or refused."""
    waiting = await payouts.waiting_for_signer(conn, ITEMS_MAX)
    held = {} if screen is None else await held_payouts.held(conn, waiting, screen)
    return [
        OrderedPayout(one.key, one.intent, one.approvals, one.slot, str(one.slot_units))
        for one in waiting
        if one.key not in held
    ]


async def _deposits(conn: AsyncConnection[Any]) -> list[DepositHint]:
    rows = await _open(conn, HintKind.DEPOSIT)
    found = [DepositHint(network, index, merchant, height) for _, network, height, index, merchant, _, _ in rows]
    return list(dict.fromkeys(found))


async def _fundings(conn: AsyncConnection[Any]) -> list[FundingHint]:
    rows = await _open(conn, HintKind.FUNDING)
    return list(dict.fromkeys(FundingHint(network, height) for _, network, height, *_ in rows))


async def _mined(conn: AsyncConnection[Any]) -> list[MinedHint]:
    rows = await _open(conn, HintKind.MINED)
    return [MinedHint(reservation, transaction, height) for _, _, height, _, _, reservation, transaction in rows]


async def _flushes(conn: AsyncConnection[Any]) -> list[FlushHint]:
    """Deposit addresses that hold something, the most first: for each asset those of one flush."""
    cursor = await conn.execute(
        """
        SELECT network, asset, array_agg(index ORDER BY index) FROM (
            SELECT *, row_number() OVER (PARTITION BY network, asset ORDER BY units DESC, index) AS place
            FROM payments.unflushed
        ) AS placed WHERE place <= %s GROUP BY network, asset ORDER BY network, asset
        """,
        (FLUSH_MAX,),
    )
    return [
        FlushHint(network, tuple(indexes), (asset.rpartition(":")[2] if "/erc20:" in asset else COIN,))
        for network, asset, indexes in await cursor.fetchall()
    ]


async def _open(conn: AsyncConnection[Any], kind: HintKind) -> Sequence[tuple[Any, ...]]:
    """Open hints of a kind, oldest first."""
    columns = "id, network, height, index, merchant_id, reservation, transaction"
    mine = "payments.signer_hints WHERE is_open AND kind = %(kind)s"
    cursor = await conn.execute(f"SELECT coalesce(max(id), 0) FROM {mine}", {"kind": kind})  # noqa: S608  our own words
    newest = int(there(await cursor.fetchone())[0])
    cursor = await conn.execute(
        f"""
        (SELECT {columns} FROM {mine} ORDER BY id LIMIT {_OLDEST})
        UNION (SELECT {columns} FROM {mine} ORDER BY id DESC LIMIT {_NEWEST})
        UNION (SELECT {columns} FROM {mine} AND id >= %(pivot)s ORDER BY id LIMIT {_ANY})
        ORDER BY id
        """,  # noqa: S608  our own words
        {"kind": kind, "pivot": secrets.randbelow(newest + 1)},
    )
    return await cursor.fetchall()


def _word(document: SignerDocument) -> SignedWord:
    return SignedWord(document.document, document.signatures[0].signature)
