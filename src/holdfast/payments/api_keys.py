"""API keys: who is calling, and what he may do. Only the SHA-256 of a secret is kept.

A 256-bit random secret needs no slow hash: there is nothing to guess. It never logs or returns a secret twice.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row

from holdfast.core.errors import BadInput, NotFound, NotPermitted
from holdfast.core.ids import new_id
from holdfast.payments.rows import there

LIFETIME_MAX = timedelta(days=366)
"""Every grant expires."""
LAST_USE_EVERY = timedelta(minutes=1)
"""How exact `last_used_at` is: a write for every request would cost more than it tells."""


class ApiKeyInvalid(NotPermitted):
    """The API key is unknown, expired or revoked. Make a new one; keys look like `hf_<id>_<secret>`."""

    code = "api-key-invalid"


class ApiKeyFromElsewhere(NotPermitted):
    """The API key may not be used from this address. Call from an address on its allow-list, or make another key."""

    code = "api-key-from-elsewhere"


class ApiKeyNotFound(NotFound):
    """There is no such API key here. Read `GET /v1/api-keys` again."""

    code = "api-key-not-found"


class ApiKeyRequestInvalid(BadInput):
    """An API key cannot be made as asked. Give scopes, an expiry within a year, networks like `203.0.113.0/24`."""

    code = "api-key-request-invalid"


class ScopeMissing(NotPermitted):
    """The API key does not have the scope for this. Use a key that has the scope which the detail names."""

    code = "scope-missing"


class Scope(StrEnum):
    """What a key may do."""

    OPERATOR = "operator"
    """Everything of the operator's: merchants, keys, networks. Only for keys without a merchant."""
    INVOICES_READ = "invoices:read"
    INVOICES_WRITE = "invoices:write"
    INVOICES_MARK = "invoices:mark"
    """Say by hand that an invoice is settled or invalid, and resolve attention items."""
    DEPOSITS_READ = "deposits:read"
    ADDRESSES_WRITE = "addresses:write"
    PAYOUTS_READ = "payouts:read"
    PAYOUTS_WRITE = "payouts:write"
    """Hand in what the merchant signed. The key itself orders nothing: his signature does."""
    BALANCES_READ = "balances:read"
    EVENTS_READ = "events:read"
    WEBHOOKS_WRITE = "webhooks:write"
    KEYS_WRITE = "keys:write"
    VETOES_WRITE = "vetoes:write"
    """Hand in what the merchant's old key or recovery key says about a key change; it is signed by that key."""


MERCHANT_SCOPES = frozenset(Scope) - {Scope.OPERATOR}

_Net = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is kept: everything but the secret."""

    id: str
    merchant_id: str | None
    name: str
    scopes: frozenset[Scope]
    allowed_ips: tuple[_Net, ...]
    expires_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class KeyRequest:
    """What a new key shall be."""

    merchant_id: str | None
    """None: the operator's."""
    name: str
    scopes: frozenset[Scope]
    expires_at: datetime
    allowed_ips: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Caller:
    """Who made a request."""

    key_id: str
    merchant_id: str | None
    scopes: frozenset[Scope]

    @property
    def is_operator(self) -> bool:
        """Whether it is the operator, who may act for every merchant."""
        return Scope.OPERATOR in self.scopes

    def require(self, scope: Scope) -> None:
        """Raises `ScopeMissing` unless the key has this scope, or is the operator's."""
        if scope not in self.scopes and not self.is_operator:
            raise ScopeMissing(f"{scope}")


async def create(conn: AsyncConnection[Any], request: KeyRequest, now: datetime) -> tuple[ApiKey, str]:
    """Make a key. The second value is its secret text, shown once. Raises `ApiKeyRequestInvalid`."""
    networks = _check(request, now)
    key_id = new_id("key", int(now.timestamp() * 1000), secrets.token_bytes(10))
    secret = secrets.token_urlsafe(32)
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            """
            INSERT INTO payments.api_keys
                (id, merchant_id, name, secret_hash, scopes, allowed_ips, expires_at, created_at)
            VALUES (%s, %s, %s, %s, %s, %s::cidr[], %s, %s) RETURNING *
            """,
            (
                key_id,
                request.merchant_id,
                request.name,
                sha256(secret.encode()).digest(),
                sorted(request.scopes),
                [str(network) for network in networks],
                request.expires_at,
                now,
            ),
        )
        row = there(await cursor.fetchone())
        return _key(row), f"hf_{key_id.removeprefix('key_')}_{secret}"


async def authenticate(conn: AsyncConnection[Any], text: str, ip: str | None, now: datetime) -> Caller:
    """Whose key this is. `ip`: where the request came from; None only where there is no network between.

    Raises `ApiKeyInvalid` (the same for unknown, expired and revoked: nothing is told to a guesser)
    and `ApiKeyFromElsewhere`.
    """
    key_id, secret = _split(text)
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            "SELECT * FROM payments.api_keys WHERE secret_hash = %s AND id = %s",
            (sha256(secret.encode()).digest(), key_id),
        )
        row = await cursor.fetchone()
    if row is None:
        raise ApiKeyInvalid
    key = _key(row)
    check_usable(key, ip, now)
    if key.last_used_at is None or now - key.last_used_at >= LAST_USE_EVERY:
        await conn.execute(
            "UPDATE payments.api_keys SET last_used_at = %(now)s WHERE id = %(id)s "
            "AND (last_used_at IS NULL OR last_used_at < %(now)s)",
            {"now": now, "id": key.id},
        )
    return Caller(key.id, key.merchant_id, key.scopes)


def check_usable(key: ApiKey, ip: str | None, now: datetime) -> None:
    """Raises `ApiKeyInvalid` or `ApiKeyFromElsewhere` where a key may not be used now, from there."""
    if key.revoked_at is not None or key.expires_at <= now:
        raise ApiKeyInvalid
    if key.allowed_ips and (ip is None or not any(_address(ip) in network for network in key.allowed_ips)):
        raise ApiKeyFromElsewhere(f"{ip}")


async def page(
    conn: AsyncConnection[Any], merchant_id: str | None, *, after: str | None = None, limit: int = 50
) -> list[ApiKey]:
    """A merchant's keys (None: the operator's), newest first, revoked ones too."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            """
            SELECT * FROM payments.api_keys
            WHERE merchant_id IS NOT DISTINCT FROM %s AND (%s::text IS NULL OR id < %s) ORDER BY id DESC LIMIT %s
            """,
            (merchant_id, after, after, limit),
        )
        return [_key(row) for row in await cursor.fetchall()]


async def revoke(conn: AsyncConnection[Any], key_id: str, merchant_id: str | None, now: datetime) -> ApiKey:
    """End a key for ever; doing it again changes nothing. Raises `ApiKeyNotFound`."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            """
            UPDATE payments.api_keys SET revoked_at = coalesce(revoked_at, %s)
            WHERE id = %s AND merchant_id IS NOT DISTINCT FROM %s RETURNING *
            """,
            (now, key_id, merchant_id),
        )
        row = await cursor.fetchone()
    if row is None:
        raise ApiKeyNotFound(key_id)
    return _key(row)


async def bootstrap_operator(conn: AsyncConnection[Any], now: datetime) -> tuple[ApiKey, str]:
    """The operator's first key, made where the database can be reached by hand (`holdfast init`). Valid 90 days."""
    request = KeyRequest(None, "operator", frozenset({Scope.OPERATOR}), now + timedelta(days=90))
    return await create(conn, request, now)


def _check(request: KeyRequest, now: datetime) -> list[_Net]:
    """The allowed networks of a request. Raises `ApiKeyRequestInvalid`."""
    if not request.scopes:
        raise ApiKeyRequestInvalid("no scopes")
    if not now < request.expires_at <= now + LIFETIME_MAX:
        raise ApiKeyRequestInvalid("expires_at is not within the coming 366 days")
    if (Scope.OPERATOR in request.scopes) != (request.merchant_id is None):
        raise ApiKeyRequestInvalid("the operator's keys have no merchant and exactly the scope `operator`")
    try:
        return [ip_network(each) for each in request.allowed_ips]
    except ValueError as error:
        raise ApiKeyRequestInvalid(f"allowed_ips: {error}") from error


def _split(text: str) -> tuple[str, str]:
    prefix, _, rest = text.partition("_")
    key_id, _, secret = rest.partition("_")
    if prefix != "hf" or not key_id or not secret or not text.isascii():
        raise ApiKeyInvalid
    return f"key_{key_id}", secret


def _address(ip: str) -> IPv4Address | IPv6Address:
    """An address to compare; an IPv4 address that came through an IPv6 socket is the IPv4 address."""
    address = ip_address(ip)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _key(row: DictRow) -> ApiKey:
    known = {name: value for name, value in row.items() if name != "secret_hash"}
    return ApiKey(
        **{
            **known,
            "scopes": frozenset(Scope(scope) for scope in row["scopes"]),
            "allowed_ips": tuple(row["allowed_ips"]),
        }
    )
