"""Delivers webhooks: each endpoint has a queue of its own, so that a dead shop delays nobody else.

A delivery is claimed by moving its next attempt beyond the longest time that this one can take. Whoever is killed
meanwhile has lost nothing: it comes due again. So an event may come twice, under the same id, and never not at all.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import msgspec
import psycopg
import structlog
from psycopg import AsyncConnection
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from holdfast.core.errors import HoldfastError
from holdfast.payments import attention
from holdfast.payments.attention import Ask
from holdfast.payments.guarded_http import GuardedHttp, open_guarded_http
from holdfast.payments.standing import AttentionReason
from holdfast.payments.webhooks import Sealer, parse_key
from holdfast.runtime import metrics
from holdfast.runtime.clock import Clock
from holdfast.runtime.secret_files import read_secret
from holdfast.runtime.settings import Settings, WebhooksSettings
from holdfast.runtime.standard_webhooks import signed_headers

POLL_SECONDS = 0.2
DATABASE_WAIT_SECONDS = 1.0
PER_ENDPOINT = 8
"""Most deliveries at the same time to an endpoint that answers quickly; to all others one."""
QUICK_SECONDS = 2.0
BACKOFF_SECONDS = (5, 30, 120, 600, 1800, 3600, 10_800, 21_600)
"""Waits after the first failures; the last one is repeated until the delivery is given up."""
RETRY_AFTER_SECONDS_MAX = 86_400
RETRY_AFTER_LENGTH_MAX = 40
CLAIM_MARGIN_SECONDS = 5
"""What storing an outcome may take; after that the delivery comes due again, whoever had claimed it."""
ERROR_LENGTH_MAX = 200
GONE = 410

Pool = AsyncConnectionPool[AsyncConnection[Any]]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Claimed:
    """One attempt that is ours to make."""

    delivery_id: str
    attempts: int
    """This one included: whoever claims it later has another number, so a late answer changes nothing."""
    endpoint_id: str
    merchant_id: str
    url: str
    allow_private: bool
    secret: bytes = field(repr=False)
    old_secret: bytes | None = field(repr=False)
    event_id: str
    payload: bytes
    created_at: datetime
    request_id: str | None = None
    """The HTTP request that made the invoice that it is about."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of an attempt."""

    status: int | None
    error: str
    retry_after: str = ""

    @property
    def is_success(self) -> bool:
        """Whether the shop has taken it: any 2xx."""
        return self.status is not None and 200 <= self.status < 300


@dataclass(slots=True)
class Courier:
    """One courier process; any number of them may work on one database."""

    pool: Pool
    http: GuardedHttp
    settings: WebhooksSettings
    sealer: Sealer
    clock: Clock
    _busy: Counter[str] = field(default_factory=Counter)
    _quick: set[str] = field(default_factory=set)
    """Endpoints whose last answer was quick and good."""
    _poor: set[str] = field(default_factory=set)
    """Endpoints whose last attempt failed or took long; those in neither set have not been tried yet."""
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a place becomes free: there may be something to claim."""

    async def run(self, stopping: asyncio.Event) -> None:
        """Deliver until told to stop; attempts that are under way are ended first."""
        while not stopping.is_set():
            try:
                claimed = await self._claim()
            except psycopg.OperationalError as error:
                log.warning("database_away", error=str(error).splitlines()[:1])
                await _pause(stopping, DATABASE_WAIT_SECONDS)
                continue
            for one in claimed:
                self._start(one)
            if not claimed:
                self._wake.clear()
                await _pause(self._wake, POLL_SECONDS)
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _start(self, claimed: Claimed) -> None:
        self._busy[claimed.endpoint_id] += 1
        task = asyncio.create_task(self._deliver(claimed))
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # A fault of ours, on one delivery: it comes due again, and the others go on.
            log.error("attempt_broken", exc_info=error)

    async def _claim(self) -> list[Claimed]:
        """Take what is due, the same number from each endpoint at most, so that none waits behind another."""
        free = self.settings.concurrency - sum(self._busy.values())
        if free <= 0:
            return []
        known = self._quick | self._poor | set(self._busy)
        poor_free = self._poor_places() - sum(self._busy[endpoint] for endpoint in self._poor)
        rooms = {endpoint: self._room(endpoint, poor_free) for endpoint in known}
        now = self.clock.now()
        values = {
            "now": now,
            "until": now + timedelta(seconds=self.settings.timeout_seconds + CLAIM_MARGIN_SECONDS),
            "endpoints": list(rooms),
            "rooms": list(rooms.values()),
            "free": free,
            "poor": list(self._poor),
            "poor_free": max(0, poor_free),
        }
        async with self.pool.connection() as conn, conn.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(CLAIM, values)
            return [_claimed(row) for row in await cursor.fetchall()]

    def _poor_places(self) -> int:
        """Half of the places are always there for endpoints that answer, or may."""
        return max(1, self.settings.concurrency // 2)

    def _room(self, endpoint: str, poor_free: int) -> int:
        """How many more deliveries an endpoint may have now."""
        if endpoint in self._poor and poor_free <= 0:
            return 0
        return max(0, (PER_ENDPOINT if endpoint in self._quick else 1) - self._busy[endpoint])

    def _learn(self, endpoint: str, answer: Answer, seconds: float) -> None:
        is_quick = answer.is_success and seconds <= QUICK_SECONDS
        (self._quick.add if is_quick else self._quick.discard)(endpoint)
        (self._poor.discard if is_quick else self._poor.add)(endpoint)

    async def _deliver(self, claimed: Claimed) -> None:
        began = self.clock.monotonic()
        try:
            answer = await self._attempt(claimed)
            self._learn(claimed.endpoint_id, answer, self.clock.monotonic() - began)
            outcome = await self._settle(claimed, answer)
            metrics.DELIVERIES.labels(outcome).inc()
        except psycopg.OperationalError as error:
            # What came of it is not stored: it comes due again, under the same id.
            log.warning("database_away", delivery=claimed.delivery_id, error=str(error).splitlines()[:1])
        finally:
            self._busy[claimed.endpoint_id] -= 1
            if not self._busy[claimed.endpoint_id]:
                del self._busy[claimed.endpoint_id]
            self._wake.set()

    async def _attempt(self, claimed: Claimed) -> Answer:
        try:
            signing = [self.sealer.unseal(claimed.endpoint_id, claimed.secret)]
            if claimed.old_secret is not None:
                signing.append(self.sealer.unseal(claimed.endpoint_id, claimed.old_secret))
            headers = signed_headers(claimed.event_id, claimed.payload, signing, self.clock.now())
            headers |= {"Content-Type": "application/json", "User-Agent": "holdfast-webhooks"}
            allow_private = claimed.allow_private and self.settings.allow_private
            status, retry_after = await self.http.post(
                claimed.url, claimed.payload, headers, allow_private=allow_private
            )
        except HoldfastError as error:
            return Answer(None, error.code)
        except TimeoutError:
            return Answer(None, f"no answer within {self.settings.timeout_seconds} s")
        except aiohttp.ClientError as error:
            return Answer(None, type(error).__name__)
        return Answer(status, "" if 200 <= status < 300 else f"HTTP {status}", retry_after)

    async def _settle(self, claimed: Claimed, answer: Answer) -> str:
        """Store what came of an attempt; one word for it."""
        now = self.clock.now()
        next_at = now + wait_after(claimed.attempts, answer.retry_after, now)
        give_up_at = claimed.created_at + timedelta(hours=self.settings.give_up_after_hours)
        state = "delivered" if answer.is_success else "given-up" if next_at > give_up_at else "waiting"
        async with self.pool.connection() as conn, conn.transaction():
            await conn.execute(SETTLE, {
                "id": claimed.delivery_id, "attempts": claimed.attempts, "state": state, "status": answer.status,
                "error": answer.error[:ERROR_LENGTH_MAX] or None, "next_at": next_at, "now": now,
            })  # fmt: skip
            if state == "given-up":
                await self._ask(conn, claimed, AttentionReason.WEBHOOK_GIVEN_UP, now)
            if answer.status == GONE:
                await conn.execute(
                    "UPDATE payments.webhook_endpoints SET disabled_at = %s WHERE id = %s AND disabled_at IS NULL",
                    (now, claimed.endpoint_id),
                )
                await self._ask(conn, claimed, AttentionReason.WEBHOOK_ENDPOINT_GONE, now)
        about = {"delivery": claimed.delivery_id, "webhook": claimed.event_id, "request_id": claimed.request_id}
        if answer.is_success:
            log.info("delivered", attempts=claimed.attempts, **about)
        else:
            log.info("not_delivered", error=answer.error, attempts=claimed.attempts, **about)
        return state

    async def _ask(self, conn: AsyncConnection[Any], claimed: Claimed, reason: AttentionReason, now: datetime) -> None:
        detail = {"url": claimed.url, "event": claimed.event_id}
        await attention.ask(conn, [Ask(claimed.merchant_id, reason, claimed.endpoint_id, detail)], now)


async def run(settings: Settings, pool: Pool, clock: Clock, stopping: asyncio.Event) -> None:
    """The courier's part of its process, until told to stop."""
    sealer = Sealer(parse_key(read_secret(settings.webhooks.key_file)))
    async with open_guarded_http(settings.webhooks.timeout_seconds) as http:
        courier = Courier(pool, http, settings.webhooks, sealer, clock)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(courier.run(stopping))
            tasks.create_task(_count_waiting(pool, stopping))


def wait_after(attempts: int, retry_after: str, now: datetime) -> timedelta:
    """How long to wait after that many attempts: longer each time, and never all at the same moment.

    Between half and all of the step, at random; not before what the shop asks for in `Retry-After` (at most a day).
    """
    step = BACKOFF_SECONDS[min(attempts, len(BACKOFF_SECONDS)) - 1] * 1000
    milliseconds = step // 2 + secrets.randbelow(step // 2 + 1)
    return max(timedelta(milliseconds=milliseconds), _told(retry_after[:RETRY_AFTER_LENGTH_MAX], now))


def _told(retry_after: str, now: datetime) -> timedelta:
    """What a `Retry-After` asks for (RFC 9110, 10.2.3: seconds or a date); nothing, if it cannot be read."""
    if retry_after.isascii() and retry_after.isdecimal():
        return timedelta(seconds=min(int(retry_after), RETRY_AFTER_SECONDS_MAX))
    try:
        date = parsedate_to_datetime(retry_after)
        wait = date.replace(tzinfo=date.tzinfo or UTC) - now
    except (ValueError, OverflowError):  # a year or an hour beyond what a date can be
        return timedelta()
    return min(max(wait, timedelta()), timedelta(seconds=RETRY_AFTER_SECONDS_MAX))


async def _pause(event: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)


async def _count_waiting(pool: Pool, stopping: asyncio.Event) -> None:
    while not stopping.is_set():
        with suppress(psycopg.OperationalError):  # the courier itself logs that the database is away
            async with pool.connection() as conn:
                cursor = await conn.execute("SELECT count(*) FROM payments.deliveries WHERE state = 'waiting'")
                row = await cursor.fetchone()
                metrics.DELIVERIES_WAITING.set(row[0] if row else 0)
        await _pause(stopping, 5)


def _claimed(row: dict[str, Any]) -> Claimed:
    event = {
        "id": row.pop("event_id"),
        "type": row.pop("type"),
        "subject": row.pop("subject"),
        "data": row.pop("data"),
        "created_at": row.pop("event_created_at"),
    }
    return Claimed(**row, event_id=str(event["id"]), payload=msgspec.json.encode(event))


# Of each endpoint only as many deliveries are looked at as it has room for; poor ones share the places left to them.
CLAIM = """
WITH due AS (
    SELECT due.id, due.next_at, endpoint.id = ANY (%(poor)s) AS poor
    FROM payments.webhook_endpoints AS endpoint
    LEFT JOIN unnest(%(endpoints)s::text[], %(rooms)s::int[]) AS known (id, room) ON known.id = endpoint.id
    CROSS JOIN LATERAL (
        SELECT d.id, d.next_at FROM payments.deliveries AS d
        WHERE d.endpoint_id = endpoint.id AND d.state = 'waiting' AND d.next_at <= %(now)s
        ORDER BY d.next_at, d.id
        LIMIT coalesce(known.room, 1)
        FOR UPDATE SKIP LOCKED
    ) AS due
    WHERE endpoint.disabled_at IS NULL
), ranked AS (
    SELECT id, next_at, poor, row_number() OVER (PARTITION BY poor ORDER BY next_at, id) AS place FROM due
), taken AS (
    SELECT id FROM ranked WHERE NOT poor OR place <= %(poor_free)s ORDER BY poor, next_at LIMIT %(free)s
), claimed AS (
    UPDATE payments.deliveries AS d SET next_at = %(until)s, attempts = d.attempts + 1
    FROM taken WHERE d.id = taken.id
    RETURNING d.id, d.attempts, d.endpoint_id, d.event_seq, d.created_at
)
SELECT claimed.id AS delivery_id, claimed.attempts, claimed.endpoint_id, claimed.created_at, endpoint.merchant_id,
       endpoint.url, endpoint.allow_private, endpoint.secret,
       CASE WHEN endpoint.old_secret_until > %(now)s THEN endpoint.old_secret END AS old_secret,
       event.id AS event_id, event.type, event.subject, event.data, event.created_at AS event_created_at,
       invoice.request_id
FROM claimed JOIN payments.webhook_endpoints AS endpoint ON endpoint.id = claimed.endpoint_id
JOIN payments.events AS event ON event.seq = claimed.event_seq
LEFT JOIN payments.deposits AS deposit ON deposit.id = event.subject
LEFT JOIN payments.invoices AS invoice ON invoice.id = coalesce(deposit.invoice_id, event.subject)
ORDER BY event.seq
"""

SETTLE = """
UPDATE payments.deliveries SET state = %(state)s, last_status = %(status)s, last_error = %(error)s,
    next_at = %(next_at)s, delivered_at = CASE WHEN %(state)s = 'delivered' THEN %(now)s END
WHERE id = %(id)s AND attempts = %(attempts)s AND state = 'waiting'
"""
