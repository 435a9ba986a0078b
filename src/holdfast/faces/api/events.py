"""`/v1/events`: what happened, in one order that never changes: for shops that ask instead of being told."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from litestar import Router, get
from litestar.params import QueryParameter
from msgspec import Meta, Struct

from holdfast.faces.api.callers import KEY_ERRORS, allow
from holdfast.faces.api.parts import ApiRequest, Parts
from holdfast.faces.api.problems import refuses
from holdfast.faces.api.shapes import Limit, Page, page_of
from holdfast.payments import events
from holdfast.payments.api_keys import Scope
from holdfast.payments.events import EventNotFound, EventType


class EventBody(Struct, frozen=True):
    """Something that happened."""

    id: str
    type: EventType
    subject: Annotated[str, Meta(description="Id of the invoice, deposit or attention item that it is about.")]
    data: Annotated[dict[str, Any], Meta(description="Its state after the event, as the webhook shows it.")]
    created_at: datetime


@get(
    "/",
    summary="List events",
    guards=[allow(Scope.EVENTS_READ)],
    responses=refuses(*KEY_ERRORS, EventNotFound),
)
async def list_events(
    request: ApiRequest,
    parts: Parts,
    after: Annotated[
        str | None, QueryParameter(max_length=64, pattern="^[0-9a-z_]+$", description="The last id that you have.")
    ] = None,
    limit: Limit = 50,
) -> Page[EventBody]:
    """Your events, oldest first. Come back with the last id that you got, and you miss nothing."""
    async with parts.pool.connection() as conn:
        found = await events.page(conn, request.auth.owner, after=after, limit=limit + 1)
    return page_of([EventBody(one.id, one.type, one.subject, one.data, one.created_at) for one in found], limit, "id")


router = Router("/v1/events", route_handlers=[list_events], tags=["Events"])
