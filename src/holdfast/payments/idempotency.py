"""One `Idempotency-Key`, one answer: the key is claimed and answered in the transaction that does the work.

Never a way to do something twice: a claim that is not answered is rolled back with everything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg import AsyncConnection

from holdfast.core.errors import Conflict

KEPT_FOR = timedelta(days=7)
"""Answers are kept so long; the same key may be used for something else afterwards."""


class IdempotencyKeyReused(Conflict):
    """This Idempotency-Key was sent before with another request. Use a new key for a new request."""

    code = "idempotency-key-reused"


@dataclass(frozen=True, slots=True)
class Claim:
    """A request that wants to be done once."""

    caller: str
    """Merchant id, or `operator`."""
    key: str
    request_hash: bytes
    """SHA-256 of method, path and body."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request was answered with."""

    status: int
    response: bytes


async def claim(
    conn: AsyncConnection[Any], claims: Sequence[Claim], now: datetime, answers: Sequence[Answer] = ()
) -> list[Answer | IdempotencyKeyReused | None]:
    """For each: None, it is yours to do now and to `answer`; or the answer it got before; or another request's key.

    `answers`: where they are known beforehand, one for each claim; they are kept at once, so that nothing is left to
    `answer`, and those of requests that fail after all are given back by `release`.

    Waits for a concurrent transaction that has claimed the same key. Two equal claims in one call: the second one gets
    None too, so the caller must not pass it on twice (`GroupCommit` keys its batch by the claim).
    """
    known = answers or [Answer(0, b"")] * len(claims)
    ordered = sorted(
        {(each.caller, each.key): (each, answer) for each, answer in zip(claims, known, strict=True)}.items(),
        key=lambda named: named[0],
    )
    mine: set[tuple[str, str]] = set()
    before: dict[tuple[str, str], tuple[bytes, int, bytes]] = {}
    cursor = await conn.execute(
        """
        INSERT INTO payments.idempotency (caller, key, request_hash, status, response, created_at)
        SELECT *, %s FROM unnest(%s::text[], %s::text[], %s::bytea[], %s::integer[], %s::bytea[])
        ON CONFLICT (caller, key) DO NOTHING RETURNING caller, key
        """,
        (
            now,
            [caller for (caller, _), _ in ordered],
            [key for (_, key), _ in ordered],
            [each.request_hash for _, (each, _) in ordered],
            [answer.status for _, (_, answer) in ordered],
            [answer.response for _, (_, answer) in ordered],
        ),
    )
    mine = {(row[0], row[1]) for row in await cursor.fetchall()}
    if len(mine) < len(ordered):
        cursor = await conn.execute(
            """
            SELECT caller, key, request_hash, status, response FROM payments.idempotency
            WHERE (caller, key) IN (SELECT * FROM unnest(%s::text[], %s::text[]))
            """,
            ([caller for (caller, _), _ in ordered], [key for (_, key), _ in ordered]),
        )
        before = {(row[0], row[1]): (bytes(row[2]), row[3], bytes(row[4])) for row in await cursor.fetchall()}
    return [_outcome(each, mine, before) for each in claims]


def _outcome(
    each: Claim, mine: set[tuple[str, str]], before: dict[tuple[str, str], tuple[bytes, int, bytes]]
) -> Answer | IdempotencyKeyReused | None:
    if (each.caller, each.key) in mine:
        return None
    request_hash, status, response = before[(each.caller, each.key)]
    return Answer(status, response) if request_hash == each.request_hash else IdempotencyKeyReused(each.key[:80])


async def find(conn: AsyncConnection[Any], wanted: Claim) -> Answer | IdempotencyKeyReused | None:
    """The answer that a request got before, if it was; reading only, to save work before `claim`."""
    cursor = await conn.execute(
        "SELECT request_hash, status, response FROM payments.idempotency WHERE caller = %s AND key = %s",
        (wanted.caller, wanted.key),
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    return (
        Answer(row[1], bytes(row[2])) if bytes(row[0]) == wanted.request_hash else IdempotencyKeyReused(wanted.key[:80])
    )


async def answer(conn: AsyncConnection[Any], answers: Sequence[tuple[Claim, Answer]]) -> None:
    """Keep the answers of claimed requests, in the same transaction."""
    if not answers:
        return
    await conn.execute(
        """
        UPDATE payments.idempotency AS kept SET status = new.status, response = new.response
        FROM unnest(%s::text[], %s::text[], %s::integer[], %s::bytea[]) AS new (caller, key, status, response)
        WHERE kept.caller = new.caller AND kept.key = new.key
        """,
        (
            [each.caller for each, _ in answers],
            [each.key for each, _ in answers],
            [given.status for _, given in answers],
            [given.response for _, given in answers],
        ),
    )


async def release(conn: AsyncConnection[Any], claims: Sequence[Claim]) -> None:
    """Give claims back whose requests failed, so that they may be tried again, in the transaction that made them."""
    if claims:
        await conn.execute(
            """
            DELETE FROM payments.idempotency
            WHERE (caller, key) IN (SELECT * FROM unnest(%s::text[], %s::text[]))
            """,
            ([each.caller for each in claims], [each.key for each in claims]),
        )


async def forget_old(conn: AsyncConnection[Any], now: datetime, limit: int = 10_000) -> int:
    """Delete answers that are old enough. Returns how many."""
    cursor = await conn.execute(
        """
        DELETE FROM payments.idempotency WHERE (caller, key) IN (
            SELECT caller, key FROM payments.idempotency WHERE created_at < %s ORDER BY created_at LIMIT %s)
        """,
        (now - KEPT_FOR, limit),
    )
    return cursor.rowcount
