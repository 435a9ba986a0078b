"""Who is calling, for which merchant, and whether he may: declared on each route by `allow`, checked in one place.

A route without `allow` or `open_to_all` does not pass the tests. Nothing here knows what a route does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache
from hashlib import sha256
from hmac import compare_digest
from ipaddress import ip_address
from typing import Any, NamedTuple, get_args, get_origin

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.params import QueryParameter
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from holdfast.core.errors import BadInput, HoldfastError, NotPermitted
from holdfast.faces.api.problems import ApiKeyMissing, RateLimited, RequestMalformed
from holdfast.faces.api.rate_limits import RateLimit, Verdict
from holdfast.payments import api_keys
from holdfast.payments.api_keys import Caller, Scope, ScopeMissing
from holdfast.payments.merchants import MerchantNotFound
from holdfast.runtime.clock import Clock

MERCHANT_HEADER = "Holdfast-Merchant"
REMEMBERED_FOR = timedelta(seconds=2)
"""A revoked key works no longer than this."""
REMEMBERED_MAX = 10_000


class MerchantNotNamed(BadInput):
    """The operator's key was used without saying for which merchant. Send `Holdfast-Merchant: mer_…`."""

    code = "merchant-not-named"


class OperatorOnly(NotPermitted):
    """Only the operator may do this. Use an operator's key."""

    code = "operator-only"


class SignerTokenRefused(NotPermitted):
    """The request does not carry the signer's token. Put the same token into the signer's file and the platform's."""

    code = "signer-token-refused"


class Whose(StrEnum):
    """Whose things a route is about."""

    MERCHANT = "merchant"
    """One merchant's: the key's, or the one that the operator names by `Holdfast-Merchant`."""
    OPERATOR = "operator"
    """The operator's alone."""
    EITHER = "either"
    """A merchant's own; the operator sees everybody's, or his own, unless he names one."""
    SIGNER = "signer"
    """The signer's, by its token: no API key opens it."""
    NOBODY = "nobody"
    """Open to all."""


@dataclass(frozen=True, slots=True)
class Acting:
    """A caller, and the merchant for whom he acts."""

    caller: Caller
    merchant_id: str | None

    @property
    def owner(self) -> str:
        """The merchant. Only for routes that are about one."""
        assert self.merchant_id is not None  # noqa: S101  the route's guard lets nobody in without a merchant
        return self.merchant_id

    @property
    def party(self) -> str:
        """Whose idempotency keys these are: the merchant's, or the operator's."""
        return self.caller.merchant_id or "operator"


@dataclass(slots=True)
class _Remembered:
    caller: Caller
    until: datetime


@dataclass(slots=True)
class Doorkeeper:
    """Authenticates callers, remembers them for a moment, and counts their requests. One per process."""

    pool: AsyncConnectionPool[AsyncConnection[Any]]
    clock: Clock
    limit: RateLimit
    trusted_proxies: frozenset[str] = frozenset()
    signer_token: bytes | None = field(default=None, repr=False)
    """SHA-256 of the signer's token; None: there is no signer."""
    _known: dict[bytes, _Remembered] = field(default_factory=dict)
    _asking: dict[bytes, asyncio.Task[Caller]] = field(default_factory=dict)

    async def let_in(self, connection: ASGIConnection[Any, Any, Any, Any]) -> Caller:
        """Who calls. Raises `ApiKeyMissing`, `ApiKeyInvalid`, `ApiKeyFromElsewhere`, `RateLimited`."""
        ip = self.address_of(connection)
        scheme, _, text = connection.headers.get("authorization", "").partition(" ")
        try:
            if scheme.lower() != "bearer" or not text.strip():
                raise ApiKeyMissing
            caller = await self._authenticate(text.strip(), ip)
        except NotPermitted:
            self._count(connection, f"ip {ip}")
            raise
        self._count(connection, caller.key_id)
        return caller

    def let_signer_in(self, connection: ASGIConnection[Any, Any, Any, Any]) -> None:
        """Raises `SignerTokenRefused` unless it shows the signer's token, and `RateLimited` to whoever guesses."""
        scheme, _, text = connection.headers.get("authorization", "").partition(" ")
        given = sha256(text.strip().encode()).digest()
        # Digests are compared in constant time, and tell nothing of the token if they were not.
        if scheme.lower() == "bearer" and self.signer_token is not None and compare_digest(given, self.signer_token):
            return
        self.count_stranger(connection)
        raise SignerTokenRefused

    def count_stranger(self, connection: ASGIConnection[Any, Any, Any, Any]) -> None:
        """Count a request that needs no key. Raises `RateLimited`."""
        self._count(connection, f"ip {self.address_of(connection)}")

    def address_of(self, connection: ASGIConnection[Any, Any, Any, Any]) -> str:
        """Where the request comes from: the peer, or what a trusted proxy says, the nearest that is not one itself."""
        peer = connection.client.host if connection.client else ""
        if peer not in self.trusted_proxies:
            return peer
        for hop in reversed(connection.headers.get("x-forwarded-for", "").split(",")):
            if hop.strip() not in self.trusted_proxies:
                return _plain_address(hop.strip()) or peer
        return peer

    async def _authenticate(self, text: str, ip: str) -> Caller:
        name = sha256(f"{ip} {text}".encode()).digest()
        now = self.clock.now()
        known = self._known.get(name)
        if known is not None and known.until > now:
            return known.caller
        asking = self._asking.get(name)
        if asking is None:
            asking = self._asking[name] = asyncio.ensure_future(self._ask(text, ip, now))
            asking.add_done_callback(lambda _: self._asking.pop(name, None))
        caller = await asyncio.shield(asking)
        if len(self._known) >= REMEMBERED_MAX:
            self._known.clear()
        self._known[name] = _Remembered(caller, now + REMEMBERED_FOR)
        return caller

    async def _ask(self, text: str, ip: str, now: datetime) -> Caller:
        async with self.pool.connection() as conn:
            return await api_keys.authenticate(conn, text, ip or None, now)

    def _count(self, connection: ASGIConnection[Any, Any, Any, Any], who: str) -> None:
        if self.limit.per_minute == 0:
            return
        verdict = self.limit.spend(who, int(self.clock.monotonic() * 1_000_000))
        connection.scope["state"]["rate_limit"] = verdict
        if not verdict.is_allowed:
            raise RateLimited(retry_after_seconds=verdict.wait_seconds)


Guard = Callable[[ASGIConnection[Any, Any, Any, Any], BaseRouteHandler], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Allow:
    """The guard of one route: which scope a key needs, and whose things the route is about."""

    scope: Scope | None
    whose: Whose

    async def __call__(self, connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        """Let the caller in, or raise what `Doorkeeper.let_in` raises, `ScopeMissing`, `OperatorOnly` and so on."""
        doorkeeper: Doorkeeper = connection.app.state.doorkeeper
        if self.whose is Whose.NOBODY:
            doorkeeper.count_stranger(connection)
            return
        if self.whose is Whose.SIGNER:
            doorkeeper.let_signer_in(connection)
            return
        caller = await doorkeeper.let_in(connection)
        if connection.scope["query_string"]:
            _check_query(connection, handler)
        connection.scope["auth"] = acting(self, caller, connection.headers.get(MERCHANT_HEADER.lower()))


class _Query(NamedTuple):
    """What a query parameter takes."""

    many: bool
    text: bool


def _check_query(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """A misspelt filter would show more than was asked for: raises `RequestMalformed` for what is no parameter."""
    known = _query_of(handler)
    given = connection.query_params
    for name in given:
        if name not in known:
            raise RequestMalformed(f"there is no query parameter {name[:60]!r} here")
        values = given.getall(name)
        if len(values) > 1 and not known[name].many:
            raise RequestMalformed(f"the query parameter {name} takes one value")
        if not known[name].text and any(value.lower() == "null" for value in values):
            raise RequestMalformed(f"the query parameter {name} takes no null; leave it out")


@cache
def _query_of(handler: BaseRouteHandler) -> dict[str, _Query]:
    known = {}
    for given in handler.parsed_fn_signature.parameters.values():
        if isinstance(given.kwarg_definition, QueryParameter):
            kinds = (given.annotation, *get_args(given.annotation))
            many = any(get_origin(kind) is list for kind in kinds)
            known[given.kwarg_definition.name or given.name] = _Query(many, str in kinds)
    return known


def acting(allow: Allow, caller: Caller, named: str | None) -> Acting:
    """For whom a caller acts on a route, if he may. Raises `OperatorOnly`, `ScopeMissing`, `MerchantNotNamed`,
    `MerchantNotFound` (a merchant names another)."""
    if allow.whose is Whose.OPERATOR and not caller.is_operator:
        raise OperatorOnly
    if allow.scope is not None and allow.whose is not Whose.OPERATOR:
        caller.require(allow.scope)
    if caller.merchant_id is not None:
        if named not in (None, caller.merchant_id):
            raise MerchantNotFound((named or "")[:60])
        return Acting(caller, caller.merchant_id)
    if not caller.is_operator:
        raise ScopeMissing(f"{Scope.OPERATOR}")
    if named is None and allow.whose is Whose.MERCHANT:
        raise MerchantNotNamed
    return Acting(caller, named)


def allow(scope: Scope, whose: Whose = Whose.MERCHANT) -> Allow:
    """Keys with this scope, for things of one merchant's (or whose it says)."""
    return Allow(scope, whose)


def operator_only() -> Allow:
    """The operator's keys."""
    return Allow(Scope.OPERATOR, Whose.OPERATOR)


def any_key() -> Allow:
    """Every valid key: what is the same for all of them."""
    return Allow(None, Whose.EITHER)


def signer_only() -> Allow:
    """The signer's token."""
    return Allow(None, Whose.SIGNER)


def open_to_all() -> Allow:
    """No key needed; counted by address."""
    return Allow(None, Whose.NOBODY)


KEY_ERRORS: tuple[type[HoldfastError], ...] = (
    ApiKeyMissing,
    api_keys.ApiKeyInvalid,
    api_keys.ApiKeyFromElsewhere,
    ScopeMissing,
)
"""What every route with a key may answer."""


def rate_headers(limit: RateLimit, verdict: Verdict) -> list[tuple[bytes, bytes]]:
    """The header fields of draft-ietf-httpapi-ratelimit-headers."""
    wait = verdict.wait_seconds or 1
    return [
        (b"ratelimit-policy", b'"minute";q=%d;w=60' % limit.per_minute),
        (b"ratelimit", b'"minute";r=%d;t=%d' % (verdict.remaining, wait)),
    ]


def _plain_address(text: str) -> str | None:
    try:
        return str(ip_address(text))
    except ValueError:
        return None
