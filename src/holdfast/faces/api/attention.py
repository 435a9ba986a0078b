"""`/v1/attention`: what needs a person. Nothing that arrives is dropped; whoever cannot decide it asks here."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from litestar import Response, Router, get, post
from litestar.params import RawBody
from msgspec import Meta, Struct
from psycopg import AsyncConnection

from holdfast.faces.api.callers import KEY_ERRORS, Whose, allow
from holdfast.faces.api.once import ONCE_ERRORS, IdempotencyKey, claim_of, once, take
from holdfast.faces.api.parts import ApiRequest, Parts
from holdfast.faces.api.problems import refuses
from holdfast.faces.api.shapes import After, IdPath, Limit, Page, page_of
from holdfast.payments import attention
from holdfast.payments.api_keys import Scope
from holdfast.payments.attention import AttentionItemNotFound, AttentionItemResolved, Item, Resolution
from holdfast.payments.standing import AttentionReason


class ResolutionRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """What a person decided."""

    resolution: Annotated[
        str, Meta(min_length=1, max_length=1000, pattern="^[^\\x00]*$", examples=["Refunded by hand, ticket 4711."])
    ]


class AttentionBody(Struct, frozen=True):
    """Something that waits for a person, or waited."""

    id: str
    merchant_id: Annotated[str | None, Meta(description="null: it concerns the operator alone.")]
    reason: AttentionReason
    subject: Annotated[
        str, Meta(description="Id of the invoice, deposit or address, or the network, that it is about.")
    ]
    detail: dict[str, Any]
    created_at: datetime
    resolved_at: datetime | None
    resolution: str | None
    resolved_by: str | None


@get(
    "/",
    summary="List what needs a person",
    guards=[allow(Scope.INVOICES_READ, Whose.EITHER)],
    responses=refuses(*KEY_ERRORS),
)
async def list_attention(
    request: ApiRequest, parts: Parts, after: After = None, limit: Limit = 50
) -> Page[AttentionBody]:
    """Open items, newest first: yours; the operator's key lists everybody's."""
    async with parts.pool.connection() as conn:
        found = await attention.page(conn, request.auth.merchant_id, after=after, limit=limit + 1)
    return page_of([_shown(item) for item in found], limit, "id")


@get(
    "/{item_id:str}",
    summary="Read an item",
    guards=[allow(Scope.INVOICES_READ, Whose.EITHER)],
    responses=refuses(*KEY_ERRORS, AttentionItemNotFound),
)
async def get_attention(request: ApiRequest, parts: Parts, item_id: IdPath) -> AttentionBody:
    """One item, open or resolved."""
    async with parts.pool.connection() as conn:
        return _shown(await attention.get(conn, item_id, request.auth.merchant_id))


@post(
    "/{item_id:str}/resolve",
    summary="Say what was decided",
    opt={"takes": ResolutionRequest},
    status_code=200,
    guards=[allow(Scope.INVOICES_MARK, Whose.EITHER)],
    responses=refuses(*KEY_ERRORS, *ONCE_ERRORS, AttentionItemNotFound, AttentionItemResolved),
)
async def resolve_attention(
    request: ApiRequest, parts: Parts, body: RawBody, item_id: IdPath, idempotency_key: IdempotencyKey
) -> Response[AttentionBody]:
    """Close an item, in a person's words. It moves no money by itself."""
    wanted = take(ResolutionRequest, body)
    resolution = Resolution(wanted.resolution, request.auth.caller.key_id)

    async def work(conn: AsyncConnection[Any]) -> AttentionBody:
        merchant = request.auth.merchant_id
        return _shown(await attention.resolve(conn, item_id, resolution, parts.clock.now(), merchant))

    return await once(parts, claim_of(request, idempotency_key, body), work, 200)


def _shown(item: Item) -> AttentionBody:
    return AttentionBody(
        item.id, item.merchant_id, item.reason, item.subject, item.detail, item.created_at, item.resolved_at,
        item.resolution, item.resolved_by,
    )  # fmt: skip


router = Router("/v1/attention", route_handlers=[list_attention, get_attention, resolve_attention], tags=["Attention"])
