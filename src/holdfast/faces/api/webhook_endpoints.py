"""`/v1/webhook-endpoints`: where you want to be told, with which secret, and what became of each delivery."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from litestar import Response, Router, delete, get, post
from litestar.params import RawBody
from msgspec import Meta, Struct
from psycopg import AsyncConnection

from holdfast.core.errors import BadInput
from holdfast.faces.api.callers import KEY_ERRORS, allow
from holdfast.faces.api.once import ONCE_ERRORS, AnswerSealed, IdempotencyKey, claim_of, once, once_sealed, take
from holdfast.faces.api.parts import ApiRequest, Parts
from holdfast.faces.api.problems import refuses
from holdfast.faces.api.shapes import After, IdPath, Limit, Page, page_of
from holdfast.payments import webhooks
from holdfast.payments.api_keys import Scope
from holdfast.payments.events import EventNotFound, EventType
from holdfast.payments.guarded_http import AddressForbidden, UrlMalformed, UrlNotHttps
from holdfast.payments.webhooks import (
    Delivery,
    Endpoint,
    EndpointNotFound,
    NewEndpoint,
    PrivateEndpointsForbidden,
    Range,
    Sealer,
    TooManyEndpoints,
)


class ReplayUnclear(BadInput):
    """It is not clear what to send again. Name one event, or a time since when."""

    code = "replay-unclear"


class EndpointRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """An endpoint to be made."""

    url: Annotated[str, Meta(min_length=8, max_length=500, examples=["https://shop.example/webhooks"])]
    types: Annotated[list[EventType], Meta(max_length=64, description="Which events you want; empty: all.")] = []
    allow_private: Annotated[
        bool, Meta(description="Whether it may lie in a private network and speak plain HTTP; the operator decides.")
    ] = False


class EndpointBody(Struct, frozen=True):
    """An endpoint: everything but its secret."""

    id: str
    url: str
    types: list[str]
    allow_private: bool
    old_secret_until: Annotated[datetime | None, Meta(description="Until then the secret before this one signs too.")]
    disabled_at: Annotated[datetime | None, Meta(description="When it was disabled, or answered 410.")]
    created_at: datetime


class NewEndpointBody(EndpointBody, frozen=True, kw_only=True):
    """An endpoint with its new secret: shown this once."""

    secret: Annotated[str, Meta(description="`whsec_…`; whoever has it can forge webhooks to you.")]


class DeliveryBody(Struct, frozen=True):
    """One event on its way to an endpoint."""

    id: str
    event_id: str
    event_type: str
    state: Annotated[str, Meta(description="`waiting`, `delivered` or `given-up`.")]
    attempts: int
    next_at: Annotated[datetime, Meta(description="When it is tried next, while it waits.")]
    last_status: int | None
    last_error: str | None
    delivered_at: datetime | None
    created_at: datetime


class ReplayRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Which events to send again."""

    event_id: Annotated[str, Meta(max_length=64, pattern="^[0-9a-z_]+$")] | None = None
    since: Annotated[datetime, Meta(tz=True)] | None = None
    until: Annotated[datetime, Meta(tz=True)] | None = None


class ReplayBody(Struct, frozen=True):
    """How many are on their way again."""

    deliveries: int


@post(
    "/",
    summary="Register an endpoint",
    opt={"takes": EndpointRequest},
    guards=[allow(Scope.WEBHOOKS_WRITE)],
    responses=refuses(
        *KEY_ERRORS, *ONCE_ERRORS, AnswerSealed, UrlMalformed, UrlNotHttps, AddressForbidden, PrivateEndpointsForbidden,
        TooManyEndpoints,
    ),
)  # fmt: skip
async def create_endpoint(
    request: ApiRequest, parts: Parts, body: RawBody, idempotency_key: IdempotencyKey
) -> Response[NewEndpointBody]:
    """A URL of yours that is told what happens, signed with a secret that is shown this once."""
    wanted = take(EndpointRequest, body)
    if wanted.allow_private and not parts.settings.webhooks.allow_private:
        raise PrivateEndpointsForbidden
    new = NewEndpoint(request.auth.owner, wanted.url, tuple(wanted.types), wanted.allow_private)

    async def work(conn: AsyncConnection[Any]) -> NewEndpointBody:
        endpoint, secret = await webhooks.create(conn, new, Sealer(parts.webhook_key), parts.clock.now())
        return NewEndpointBody(**_fields(endpoint), secret=secret)

    return await once_sealed(parts, request, claim_of(request, idempotency_key, body), work)


@get("/", summary="List endpoints", guards=[allow(Scope.WEBHOOKS_WRITE)], responses=refuses(*KEY_ERRORS))
async def list_endpoints(request: ApiRequest, parts: Parts) -> Page[EndpointBody]:
    """Your endpoints, newest first."""
    async with parts.pool.connection() as conn:
        found = await webhooks.page(conn, request.auth.owner)
    return Page([EndpointBody(**_fields(one)) for one in found], None)


@get(
    "/{endpoint_id:str}",
    summary="Read an endpoint",
    guards=[allow(Scope.WEBHOOKS_WRITE)],
    responses=refuses(*KEY_ERRORS, EndpointNotFound),
)
async def get_endpoint(request: ApiRequest, parts: Parts, endpoint_id: IdPath) -> EndpointBody:
    """One endpoint."""
    async with parts.pool.connection() as conn:
        return EndpointBody(**_fields(await webhooks.get(conn, endpoint_id, request.auth.owner)))


@post(
    "/{endpoint_id:str}/rotate",
    summary="Rotate the secret",
    guards=[allow(Scope.WEBHOOKS_WRITE)],
    responses=refuses(*KEY_ERRORS, *ONCE_ERRORS, AnswerSealed, EndpointNotFound),
)
async def rotate_secret(
    request: ApiRequest, parts: Parts, body: RawBody, endpoint_id: IdPath, idempotency_key: IdempotencyKey
) -> Response[NewEndpointBody]:
    """A new secret, shown this once. For a day the old one signs too, so nothing is lost while you change over."""

    async def work(conn: AsyncConnection[Any]) -> NewEndpointBody:
        sealer, now = Sealer(parts.webhook_key), parts.clock.now()
        endpoint, secret = await webhooks.rotate(conn, endpoint_id, request.auth.owner, sealer, now)
        return NewEndpointBody(**_fields(endpoint), secret=secret)

    return await once_sealed(parts, request, claim_of(request, idempotency_key, body), work)


@post(
    "/{endpoint_id:str}/disable",
    summary="Deliver nothing to an endpoint",
    status_code=200,
    guards=[allow(Scope.WEBHOOKS_WRITE)],
    responses=refuses(*KEY_ERRORS, *ONCE_ERRORS, EndpointNotFound),
)
async def disable_endpoint(
    request: ApiRequest, parts: Parts, body: RawBody, endpoint_id: IdPath, idempotency_key: IdempotencyKey
) -> Response[EndpointBody]:
    """Until you enable it again; what waits for it goes on waiting."""

    async def work(conn: AsyncConnection[Any]) -> EndpointBody:
        endpoint = await webhooks.disable(conn, endpoint_id, request.auth.owner, parts.clock.now())
        return EndpointBody(**_fields(endpoint))

    return await once(parts, claim_of(request, idempotency_key, body), work, 200)


@post(
    "/{endpoint_id:str}/enable",
    summary="Deliver to an endpoint again",
    status_code=200,
    guards=[allow(Scope.WEBHOOKS_WRITE)],
    responses=refuses(*KEY_ERRORS, *ONCE_ERRORS, EndpointNotFound),
)
async def enable_endpoint(
    request: ApiRequest, parts: Parts, body: RawBody, endpoint_id: IdPath, idempotency_key: IdempotencyKey
) -> Response[EndpointBody]:
    """After it was disabled, or had answered 410. What waited is delivered; replay what happened meanwhile."""

    async def work(conn: AsyncConnection[Any]) -> EndpointBody:
        return EndpointBody(**_fields(await webhooks.enable(conn, endpoint_id, request.auth.owner)))

    return await once(parts, claim_of(request, idempotency_key, body), work, 200)


@delete(
    "/{endpoint_id:str}",
    summary="Delete an endpoint",
    status_code=200,
    guards=[allow(Scope.WEBHOOKS_WRITE)],
    responses=refuses(*KEY_ERRORS, EndpointNotFound),
)
async def delete_endpoint(request: ApiRequest, parts: Parts, endpoint_id: IdPath) -> EndpointBody:
    """Nothing is delivered to it any more. Events stay in `GET /v1/events`."""
    async with parts.pool.connection() as conn, conn.transaction():
        return EndpointBody(**_fields(await webhooks.delete(conn, endpoint_id, request.auth.owner)))


@get(
    "/{endpoint_id:str}/deliveries",
    summary="List deliveries",
    guards=[allow(Scope.WEBHOOKS_WRITE)],
    responses=refuses(*KEY_ERRORS, EndpointNotFound),
)
async def list_deliveries(
    request: ApiRequest, parts: Parts, endpoint_id: IdPath, after: After = None, limit: Limit = 50
) -> Page[DeliveryBody]:
    """What became of each event that this endpoint was to be told."""
    async with parts.pool.connection() as conn:
        endpoint = await webhooks.get(conn, endpoint_id, request.auth.owner)
        found = await webhooks.deliveries(conn, endpoint.id, after=after, limit=limit + 1)
    return page_of([_delivery(one) for one in found], limit, "id")


@post(
    "/{endpoint_id:str}/replay",
    summary="Send events again",
    opt={"takes": ReplayRequest},
    guards=[allow(Scope.WEBHOOKS_WRITE)],
    responses=refuses(*KEY_ERRORS, *ONCE_ERRORS, EndpointNotFound, EventNotFound, ReplayUnclear),
)
async def replay_events(
    request: ApiRequest, parts: Parts, body: RawBody, endpoint_id: IdPath, idempotency_key: IdempotencyKey
) -> Response[ReplayBody]:
    """One event by its id, or every event of a span of time, whatever became of it before. Ids stay the same."""
    wanted = take(ReplayRequest, body)
    if (wanted.event_id is None) == (wanted.since is None):
        raise ReplayUnclear("both were given" if wanted.event_id else "neither was given")
    asked = Range(wanted.event_id, wanted.since, wanted.until)

    async def work(conn: AsyncConnection[Any]) -> ReplayBody:
        endpoint = await webhooks.get(conn, endpoint_id, request.auth.owner)
        return ReplayBody(await webhooks.replay(conn, endpoint, asked, parts.clock.now()))

    return await once(parts, claim_of(request, idempotency_key, body), work)


def _fields(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "id": endpoint.id,
        "url": endpoint.url,
        "types": list(endpoint.types),
        "allow_private": endpoint.allow_private,
        "old_secret_until": endpoint.old_secret_until,
        "disabled_at": endpoint.disabled_at,
        "created_at": endpoint.created_at,
    }


def _delivery(one: Delivery) -> DeliveryBody:
    return DeliveryBody(
        one.id, one.event_id, one.event_type, one.state, one.attempts, one.next_at, one.last_status, one.last_error,
        one.delivered_at, one.created_at,
    )  # fmt: skip


router = Router(
    "/v1/webhook-endpoints",
    route_handlers=[
        create_endpoint, list_endpoints, get_endpoint, rotate_secret, disable_endpoint, enable_endpoint,
        delete_endpoint, list_deliveries, replay_events,
    ],
    tags=["Webhooks"],
)  # fmt: skip
