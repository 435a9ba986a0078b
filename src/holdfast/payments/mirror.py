"""The signer's journal, mirrored: each entry stored once, and acted upon in the transaction that stores it.

That the entries follow from one another is checked, and nothing else: they say what the signer did. Stored entries are
never changed (the servers' role cannot), so an entry that contradicts one is a second history and calls a person.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any, assert_never

import msgspec
import structlog
from psycopg import AsyncConnection
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool

from holdfast.core import journal as j
from holdfast.core.errors import Conflict
from holdfast.core.journal import Body, Entry, Head, StoredEntry, read_entries
from holdfast.core.leases import SignedLease
from holdfast.ledger import LedgerRaced
from holdfast.payments import attention, journal_effects
from holdfast.payments.attention import Ask
from holdfast.payments.signer_documents import digest_of
from holdfast.payments.signer_messages import JournalPost
from holdfast.payments.standing import AttentionReason
from holdfast.runtime import metrics

TRIES_MAX = 10
"""A balance may be taken by another transaction meanwhile; then all of it is done again."""

Pool = AsyncConnectionPool[AsyncConnection[Any]]

log = structlog.get_logger()


class JournalGap(Conflict):
    """The entries do not follow what is mirrored here. Send those after `journal_seq`."""

    code = "journal-gap"

    def __init__(self, journal_seq: int) -> None:
        super().__init__("", journal_seq=journal_seq)
        self.journal_seq = journal_seq


class MirrorForked(Conflict):
    """An entry differs from the one that is mirrored under its number: there are two histories. Stop the signer and call the officers."""  # noqa: E501  one docstring, two sentences

    code = "mirror-forked"


class ReceiptForOther(Conflict):
    """The watchtower's receipt is for other entries than these. Send the receipt for the last entry, or none."""

    code = "receipt-for-other"


async def mirror(pool: Pool, post: JournalPost, now: datetime) -> int:
    """Take new entries; the number of the newest that is mirrored then. Sent again, they change nothing.

    Raises `JournalGap`, `MirrorForked`, `JournalBroken`, `ReceiptForOther`, `LedgerRaced`.
    """
    try:
        for _ in range(TRIES_MAX - 1):
            try:
                return await _mirror(pool, post, now)
            except LedgerRaced as raced:
                log.warning("mirror_raced", detail=str(raced))
        return await _mirror(pool, post, now)
    except MirrorForked as forked:
        async with pool.connection() as conn, conn.transaction():
            ask = Ask(None, AttentionReason.JOURNAL_FORKED, "signer", {"detail": forked.detail})
            await attention.ask(conn, [ask], now)
        raise


async def head(conn: AsyncConnection[Any]) -> Head:
    """Where the mirrored journal stands."""
    cursor = await conn.execute("SELECT seq, hash FROM payments.journal ORDER BY seq DESC LIMIT 1")
    row = await cursor.fetchone()
    return Head() if row is None else Head(*row)


async def stored(conn: AsyncConnection[Any], after: int, limit: int) -> list[StoredEntry]:
    """Mirrored entries behind `after`, oldest first."""
    cursor = await conn.execute(
        "SELECT document, hash FROM payments.journal WHERE seq > %s ORDER BY seq LIMIT %s", (after, limit)
    )
    return [StoredEntry(*row) for row in await cursor.fetchall()]


async def newest_receipt(conn: AsyncConnection[Any]) -> SignedLease | None:
    """The watchtower's word for the newest entry that it has one for."""
    cursor = await conn.execute("SELECT lease FROM payments.journal_receipts ORDER BY seq DESC LIMIT 1")
    row = await cursor.fetchone()
    return None if row is None else msgspec.convert(row[0], SignedLease)


async def _mirror(pool: Pool, post: JournalPost, now: datetime) -> int:
    async with pool.connection() as conn, conn.transaction():
        await conn.execute("SELECT pg_advisory_xact_lock(hashtextextended('holdfast journal', 0))")
        standing = await head(conn)
        fresh = await _fresh(conn, post, standing)
        # Thousands of entries take a while to check; other requests are answered meanwhile.
        entries = await asyncio.to_thread(read_entries, standing, fresh)
        newest = j.head_of(entries[-1]) if entries else standing
        await _store(conn, entries, now)
        await _store_receipt(conn, post.lease, newest, now)
        await journal_effects.act(conn, entries, post.waiting, now)
    metrics.JOURNAL_SEQ.set(newest.seq)
    if entries:
        log.info("journal_mirrored", entries=len(entries), seq=newest.seq)
    return newest.seq


async def _fresh(conn: AsyncConnection[Any], post: JournalPost, standing: Head) -> Sequence[StoredEntry]:
    """The entries that are not here yet. Raises `JournalGap`, `MirrorForked`."""
    if post.after > standing.seq or post.after < 0:
        raise JournalGap(standing.seq)
    known = min(standing.seq - post.after, len(post.entries))
    if known:
        cursor = await conn.execute(
            "SELECT hash FROM payments.journal WHERE seq > %s AND seq <= %s ORDER BY seq",
            (post.after, post.after + known),
        )
        mirrored = [row[0] for row in await cursor.fetchall()]
        for place, (ours, theirs) in enumerate(zip(mirrored, post.entries, strict=False), post.after + 1):
            if ours != theirs.hash:
                raise MirrorForked(f"entry {place}: {ours[:16]} here, {theirs.hash[:16]} there")
    return post.entries[known:]


async def _store(conn: AsyncConnection[Any], entries: Sequence[Entry], now: datetime) -> None:
    if not entries:
        return
    await conn.execute(
        """
        INSERT INTO payments.journal (seq, hash, kind, network, subject, document, mirrored_at)
        SELECT *, %s FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[])
        """,
        (
            now,
            [entry.seq for entry in entries],
            [entry.stored.hash for entry in entries],
            [kind_of(entry.body) for entry in entries],
            [getattr(entry.body, "network", None) for entry in entries],
            [subject_of(entry.body) for entry in entries],
            [entry.stored.document for entry in entries],
        ),
    )


async def _store_receipt(conn: AsyncConnection[Any], lease: SignedLease | None, newest: Head, now: datetime) -> None:
    """Keep the receipt, if it is for what is mirrored now. Raises `ReceiptForOther`."""
    if lease is None or newest.seq == 0:
        return
    witnessed = lease.lease.witnessed
    if witnessed.seq > newest.seq:
        return  # it covers entries that are still to come; a later one comes with them
    cursor = await conn.execute("SELECT hash FROM payments.journal WHERE seq = %s", (witnessed.seq,))
    row = await cursor.fetchone()
    if row is None or row[0] != witnessed.hash:
        raise ReceiptForOther(f"entry {witnessed.seq}")
    await conn.execute(
        "INSERT INTO payments.journal_receipts VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
        (witnessed.seq, Jsonb(msgspec.to_builtins(lease)), now),
    )


def kind_of(body: Body) -> str:
    """The entry's kind as its document has it."""
    return str(type(body).__struct_config__.tag)


def subject_of(body: Body) -> str | None:  # noqa: C901  one line a kind of entry
    """What an entry is about, to find it by."""
    match body:
        case j.Ordered():
            return digest_of(body.order.document)
        case j.PolicyTaken() | j.CertificateTaken():
            return digest_of(body.document)
        case j.VetoTaken():
            return digest_of(body.veto.document)
        case j.RecoveryTaken():
            return digest_of(body.recovery.document)
        case j.Deposit() | j.DepositGone() | j.Funding() | j.FundingGone():
            return body.key
        case j.Refused() | j.Accepted() | j.Abandoned():
            return body.payout
        case j.Signed() | j.Mined():
            return str(body.reservation)
        case j.Stopped():
            return body.scope
        case j.Reserved() | j.Started() | j.Clock():
            return None
        case _ as never:
            assert_never(never)
