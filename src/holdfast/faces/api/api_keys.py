"""`/v1/api-keys`: make, list and revoke keys. A secret is shown in the answer that makes it, and never again."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from litestar import Response, Router, delete, get, post
from litestar.params import RawBody
from msgspec import Meta, Struct
from psycopg import AsyncConnection

from holdfast.core.errors import NotPermitted
from holdfast.faces.api.callers import KEY_ERRORS, Whose, allow
from holdfast.faces.api.once import ONCE_ERRORS, AnswerSealed, IdempotencyKey, claim_of, once_sealed, take
from holdfast.faces.api.parts import ApiRequest, Parts
from holdfast.faces.api.problems import refuses
from holdfast.faces.api.shapes import After, IdPath, Limit, Page, page_of
from holdfast.payments import api_keys, merchants
from holdfast.payments.api_keys import ApiKey, ApiKeyNotFound, ApiKeyRequestInvalid, KeyRequest, Scope
from holdfast.payments.merchants import MerchantNotFound


class ScopesNotYours(NotPermitted):
    """A key can only give scopes that it has itself. Ask for fewer, or use a key that has them."""

    code = "scopes-not-yours"


class ApiKeyRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """An API key to be made."""

    name: Annotated[str, Meta(min_length=1, max_length=120, pattern="^[^\\x00-\\x1f]+$", examples=["shop server"])]
    scopes: Annotated[list[Scope], Meta(min_length=1, max_length=32)]
    expires_at: Annotated[datetime, Meta(tz=True, description="Every grant expires: within a year.")]
    allowed_ips: Annotated[
        list[Annotated[str, Meta(min_length=2, max_length=49)]],
        Meta(max_length=64, description="Addresses or networks it may be used from; empty: from anywhere."),
    ] = []


class ApiKeyBody(Struct, frozen=True):
    """An API key: everything but its secret."""

    id: str
    merchant_id: Annotated[str | None, Meta(description="Whose; null: the operator's.")]
    name: str
    scopes: list[Scope]
    allowed_ips: list[str]
    expires_at: datetime
    last_used_at: Annotated[datetime | None, Meta(description="To the minute.")]
    revoked_at: datetime | None
    created_at: datetime


class NewApiKeyBody(ApiKeyBody, frozen=True, kw_only=True):
    """A new API key, with its secret: shown this once."""

    secret: Annotated[
        str, Meta(description="Send it as `Authorization: Bearer …`; keep it where only its user reads it.")
    ]


@post(
    "/",
    summary="Make an API key",
    opt={"takes": ApiKeyRequest},
    guards=[allow(Scope.KEYS_WRITE, Whose.EITHER)],
    responses=refuses(*KEY_ERRORS, *ONCE_ERRORS, ApiKeyRequestInvalid, ScopesNotYours, AnswerSealed, MerchantNotFound),
)
async def create_api_key(
    request: ApiRequest, parts: Parts, body: RawBody, idempotency_key: IdempotencyKey
) -> Response[NewApiKeyBody]:
    """A key of yours with some of your own scopes. The operator makes a merchant's by naming it, else his own."""
    wanted = take(ApiKeyRequest, body)
    acting = request.auth
    scopes = frozenset(wanted.scopes)
    if not acting.caller.is_operator and not scopes <= acting.caller.scopes:
        raise ScopesNotYours(", ".join(sorted(scopes - acting.caller.scopes)))

    async def work(conn: AsyncConnection[Any]) -> NewApiKeyBody:
        if acting.merchant_id is not None:
            await merchants.get(conn, acting.merchant_id)
        asked = KeyRequest(acting.merchant_id, wanted.name, scopes, wanted.expires_at, wanted.allowed_ips)
        key, secret = await api_keys.create(conn, asked, parts.clock.now())
        return NewApiKeyBody(**_fields(key), secret=secret)

    return await once_sealed(parts, request, claim_of(request, idempotency_key, body), work)


@get("/", summary="List API keys", guards=[allow(Scope.KEYS_WRITE, Whose.EITHER)], responses=refuses(*KEY_ERRORS))
async def list_api_keys(request: ApiRequest, parts: Parts, after: After = None, limit: Limit = 50) -> Page[ApiKeyBody]:
    """Your keys, newest first, revoked ones too."""
    async with parts.pool.connection() as conn:
        found = await api_keys.page(conn, request.auth.merchant_id, after=after, limit=limit + 1)
    return page_of([ApiKeyBody(**_fields(key)) for key in found], limit, "id")


@delete(
    "/{key_id:str}",
    summary="Revoke an API key",
    status_code=200,
    guards=[allow(Scope.KEYS_WRITE, Whose.EITHER)],
    responses=refuses(*KEY_ERRORS, ApiKeyNotFound),
)
async def revoke_api_key(request: ApiRequest, parts: Parts, key_id: IdPath) -> ApiKeyBody:
    """It ends for ever; servers notice within two seconds. Doing it again changes nothing."""
    async with parts.pool.connection() as conn, conn.transaction():
        key = await api_keys.revoke(conn, key_id, request.auth.merchant_id, parts.clock.now())
    return ApiKeyBody(**_fields(key))


def _fields(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "merchant_id": key.merchant_id,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "allowed_ips": [str(network) for network in key.allowed_ips],
        "expires_at": key.expires_at,
        "last_used_at": key.last_used_at,
        "revoked_at": key.revoked_at,
        "created_at": key.created_at,
    }


router = Router("/v1/api-keys", route_handlers=[create_api_key, list_api_keys, revoke_api_key], tags=["API keys"])
