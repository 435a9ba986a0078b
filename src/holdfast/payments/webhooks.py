"""Webhook endpoints: where merchants want to be told, and with which secret. Delivering is the courier's.

Secrets are sealed with the platform's webhook key, which lies in a file and never in the database.
"""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row

from holdfast.core.errors import BadInput, Conflict, NotFound, NotPermitted
from holdfast.core.ids import new_id
from holdfast.payments.events import EventNotFound, EventType
from holdfast.payments.guarded_http import check_url

SECRET_BYTES = 24
"""As Standard Webhooks recommends: 192 bits."""
NONCE_BYTES = 12
KEY_BYTES = 32
OVERLAP = timedelta(days=1)
"""How long the old secret signs too after a rotation."""
ENDPOINTS_MAX = 32
DELIVERY_STAMP_LENGTH = len("dlv_") + 10
"""What of a delivery's id is its time, so that ids which the database makes sort among the others."""


class EndpointNotFound(NotFound):
    """There is no such webhook endpoint. Check its id; `GET /v1/webhook-endpoints` lists yours."""

    code = "endpoint-not-found"


class TooManyEndpoints(Conflict):
    """The merchant has as many webhook endpoints as there may be. Delete one that is not used."""

    code = "too-many-endpoints"


class PrivateEndpointsForbidden(NotPermitted):
    """This platform does not deliver into private networks. Use a public one; the operator can allow others."""

    code = "private-endpoints-forbidden"


class WebhookKeyWrong(BadInput):
    """The webhook key does not open the secrets in the database. Restore the key file that belongs to it."""

    code = "webhook-key-wrong"


class WebhookKeyMalformed(BadInput):
    """The webhook key's file does not hold 32 bytes in hex. Restore the file that `holdfast init` wrote."""

    code = "webhook-key-malformed"


@dataclass(frozen=True, slots=True)
class NewEndpoint:
    """An endpoint to be made."""

    merchant_id: str
    url: str
    types: tuple[EventType, ...] = ()
    """Which events it wants; empty: all."""
    allow_private: bool = False


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint: everything but its secrets."""

    id: str
    merchant_id: str
    url: str
    types: tuple[str, ...]
    allow_private: bool
    old_secret_until: datetime | None
    disabled_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event on its way to one endpoint."""

    id: str
    endpoint_id: str
    event_id: str
    event_type: str
    state: str
    attempts: int
    next_at: datetime
    last_status: int | None
    last_error: str | None
    delivered_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Range:
    """Which events to send again: one by its id, or all that were written from one time to another."""

    event_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Sealer:
    """Seals endpoints' secrets: ChaCha20-Poly1305 (RFC 8439), bound to the endpoint's id."""

    key: bytes = field(repr=False)

    def seal(self, endpoint_id: str, secret: bytes) -> bytes:
        """The secret as it is stored."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + ChaCha20Poly1305(self.key).encrypt(nonce, secret, endpoint_id.encode())

    def unseal(self, endpoint_id: str, sealed: bytes) -> bytes:
        """The secret. Raises `WebhookKeyWrong`."""
        try:
            return ChaCha20Poly1305(self.key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], endpoint_id.encode())
        except (InvalidTag, ValueError):
            raise WebhookKeyWrong(endpoint_id) from None


def parse_key(text: str) -> bytes:
    """The webhook key as its file has it: 32 bytes in hex. Raises `WebhookKeyMalformed`, which never shows it."""
    try:
        key = bytes.fromhex(text)
    except ValueError:
        raise WebhookKeyMalformed("not hexadecimal") from None
    if len(key) != KEY_BYTES:
        raise WebhookKeyMalformed(f"{len(key)} bytes")
    return key


async def create(conn: AsyncConnection[Any], new: NewEndpoint, sealer: Sealer, now: datetime) -> tuple[Endpoint, str]:
    """A new endpoint and its secret, `whsec_…`, which is shown this once.

    Raises `TooManyEndpoints` and what `check_url` raises. Whether private addresses may be is the caller's to ask.
    """
    check_url(new.url, allow_private=new.allow_private)
    if len(await page(conn, new.merchant_id)) >= ENDPOINTS_MAX:
        raise TooManyEndpoints(str(ENDPOINTS_MAX))
    endpoint_id = new_id("whe", int(now.timestamp() * 1000), secrets.token_bytes(10))
    secret = secrets.token_bytes(SECRET_BYTES)
    await conn.execute(
        """
        INSERT INTO payments.webhook_endpoints (id, merchant_id, url, types, secret, allow_private, created_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s)
        """,
        (
            endpoint_id,
            new.merchant_id,
            new.url,
            list(new.types),
            sealer.seal(endpoint_id, secret),
            new.allow_private,
            now,
        ),
    )
    return await get(conn, endpoint_id, new.merchant_id), _shown(secret)


async def get(conn: AsyncConnection[Any], endpoint_id: str, merchant_id: str) -> Endpoint:
    """One endpoint of a merchant. Raises `EndpointNotFound`."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            f"SELECT {COLUMNS} FROM payments.webhook_endpoints WHERE id = %s AND merchant_id = %s",  # noqa: S608  no input in it
            (endpoint_id, merchant_id),
        )
        row = await cursor.fetchone()
    if row is None:
        raise EndpointNotFound(endpoint_id[:60])
    return _endpoint(row)


async def page(conn: AsyncConnection[Any], merchant_id: str) -> list[Endpoint]:
    """All endpoints of a merchant, newest first: there are few."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            f"SELECT {COLUMNS} FROM payments.webhook_endpoints WHERE merchant_id = %s ORDER BY id DESC",  # noqa: S608  no input in it
            (merchant_id,),
        )
        return [_endpoint(row) for row in await cursor.fetchall()]


async def rotate(
    conn: AsyncConnection[Any], endpoint_id: str, merchant_id: str, sealer: Sealer, now: datetime
) -> tuple[Endpoint, str]:
    """A new secret, shown this once; the old one signs too for `OVERLAP`. Raises `EndpointNotFound`."""
    await get(conn, endpoint_id, merchant_id)
    secret = secrets.token_bytes(SECRET_BYTES)
    await conn.execute(
        """
        UPDATE payments.webhook_endpoints SET old_secret = secret, old_secret_until = %s, secret = %s
        WHERE id = %s AND merchant_id = %s
        """,
        (now + OVERLAP, sealer.seal(endpoint_id, secret), endpoint_id, merchant_id),
    )
    return await get(conn, endpoint_id, merchant_id), _shown(secret)


async def disable(conn: AsyncConnection[Any], endpoint_id: str, merchant_id: str, now: datetime) -> Endpoint:
    """Deliver nothing to it until it is enabled; what waits goes on waiting. Raises `EndpointNotFound`."""
    await conn.execute(
        """
        UPDATE payments.webhook_endpoints SET disabled_at = coalesce(disabled_at, %s)
        WHERE id = %s AND merchant_id = %s
        """,
        (now, endpoint_id, merchant_id),
    )
    return await get(conn, endpoint_id, merchant_id)


async def enable(conn: AsyncConnection[Any], endpoint_id: str, merchant_id: str) -> Endpoint:
    """Deliver to it again: what waits, and what is still to come. Raises `EndpointNotFound`.

    Events of the time between have no deliveries; `replay` makes them.
    """
    await conn.execute(
        "UPDATE payments.webhook_endpoints SET disabled_at = NULL WHERE id = %s AND merchant_id = %s",
        (endpoint_id, merchant_id),
    )
    return await get(conn, endpoint_id, merchant_id)


async def delete(conn: AsyncConnection[Any], endpoint_id: str, merchant_id: str) -> Endpoint:
    """Deliver to it no more, and forget it with its deliveries; events stay. Raises `EndpointNotFound`."""
    endpoint = await get(conn, endpoint_id, merchant_id)
    # Whoever is writing events for it now ends first, so that no delivery comes between these statements.
    await conn.execute("SELECT FROM payments.webhook_endpoints WHERE id = %s FOR UPDATE", (endpoint_id,))
    await conn.execute("DELETE FROM payments.deliveries WHERE endpoint_id = %s", (endpoint_id,))
    await conn.execute("DELETE FROM payments.webhook_endpoints WHERE id = %s", (endpoint_id,))
    return endpoint


async def replay(conn: AsyncConnection[Any], endpoint: Endpoint, wanted: Range, now: datetime) -> int:
    """Send events again to an endpoint, whatever became of them before; how many. Their ids stay the same.

    A span of time means the types that the endpoint wants; an id means that event. Raises `EventNotFound`.
    """
    stamp = new_id("dlv", int(now.timestamp() * 1000), bytes(10))[:DELIVERY_STAMP_LENGTH]
    async with conn.cursor() as cursor:
        await cursor.execute(
            """
            INSERT INTO payments.deliveries (id, endpoint_id, event_seq, state, next_at, created_at)
            SELECT %(stamp)s || right(replace(gen_random_uuid()::text, '-', ''), 16), %(endpoint)s, seq, 'waiting',
                   %(now)s, %(now)s
            FROM payments.events
            WHERE merchant_id = %(merchant)s AND (
                id = %(event)s
                OR %(event)s::text IS NULL
                AND (%(since)s::timestamptz IS NULL OR created_at >= %(since)s)
                AND (%(until)s::timestamptz IS NULL OR created_at < %(until)s)
                AND (cardinality(%(types)s::text[]) = 0 OR type = ANY (%(types)s))
            )
            """,
            {
                "stamp": stamp,
                "endpoint": endpoint.id,
                "merchant": endpoint.merchant_id,
                "event": wanted.event_id,
                "since": wanted.since,
                "until": wanted.until,
                "types": list(endpoint.types),
                "now": now,
            },
        )
        if wanted.event_id is not None and cursor.rowcount == 0:
            raise EventNotFound(wanted.event_id[:60])
        return cursor.rowcount


async def deliveries(
    conn: AsyncConnection[Any], endpoint_id: str, *, after: str | None = None, limit: int = 50
) -> list[Delivery]:
    """An endpoint's deliveries by id, newest first. `after`: the last id of the page before."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            """
            SELECT d.id, d.endpoint_id, e.id AS event_id, e.type AS event_type, d.state, d.attempts, d.next_at,
                   d.last_status, d.last_error, d.delivered_at, d.created_at
            FROM payments.deliveries d JOIN payments.events e ON e.seq = d.event_seq
            WHERE d.endpoint_id = %s AND (%s::text IS NULL OR d.id < %s) ORDER BY d.id DESC LIMIT %s
            """,
            (endpoint_id, after, after, limit),
        )
        return [Delivery(**row) for row in await cursor.fetchall()]


COLUMNS = "id, merchant_id, url, types, allow_private, old_secret_until, disabled_at, created_at"


def _endpoint(row: DictRow) -> Endpoint:
    return Endpoint(**{**row, "types": tuple(row["types"])})


def _shown(secret: bytes) -> str:
    return "whsec_" + base64.b64encode(secret).decode()
