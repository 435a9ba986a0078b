"""`/v1/standing-orders`: what a merchant signed once, to be paid out slot by slot without a key of his online."""

from __future__ import annotations

from http import HTTPStatus

from litestar import Response, Router, get, post
from litestar.params import RawBody

from holdfast.core.states import TransitionForbidden
from holdfast.faces.api.callers import KEY_ERRORS, allow
from holdfast.faces.api.once import encode, respond, take
from holdfast.faces.api.parts import ApiRequest, Parts
from holdfast.faces.api.payout_shapes import SignedIntentRequest, StandingOrderBody, standing_order_body
from holdfast.faces.api.payouts import INTENT_ERRORS, ONCE_BY_ITSELF
from holdfast.faces.api.problems import refuses
from holdfast.faces.api.shapes import After, IdPath, Limit, Page, page_of
from holdfast.payments import standing_orders
from holdfast.payments.api_keys import Scope
from holdfast.payments.idempotency import Answer
from holdfast.payments.standing_orders import StandingOrderNotFound, StandingOrderTooSmall


@post(
    "/",
    summary="Hand in a standing order",
    opt={"takes": SignedIntentRequest, **ONCE_BY_ITSELF},
    guards=[allow(Scope.PAYOUTS_WRITE)],
    responses=refuses(*KEY_ERRORS, *INTENT_ERRORS, StandingOrderTooSmall),
)
async def create_standing_order(request: ApiRequest, parts: Parts, body: RawBody) -> Response[StandingOrderBody]:
    """From its first slot on, each slot pays the balance less the fee, up to the signed maximum, to the signed
    destination. Sent again, it is answered with the order as it stands."""
    signed = take(SignedIntentRequest, body).signed
    keys = await parts.payout_batches.keys(request.auth.owner)
    async with parts.pool.connection() as conn, conn.transaction():
        order, was_here = await standing_orders.place(conn, parts.payout_batches.desk, keys, signed, parts.clock.now())
    status = HTTPStatus.OK if was_here else HTTPStatus.CREATED
    return respond(Answer(status, encode(standing_order_body(order))), is_replay=was_here)


@get(
    "/{order_id:str}",
    summary="Read a standing order",
    guards=[allow(Scope.PAYOUTS_READ)],
    responses=refuses(*KEY_ERRORS, StandingOrderNotFound),
)
async def get_standing_order(request: ApiRequest, parts: Parts, order_id: IdPath) -> StandingOrderBody:
    """Where the order stands. Its payouts: `GET /v1/payouts?standing_order=…`."""
    async with parts.pool.connection() as conn:
        return standing_order_body(await standing_orders.get(conn, order_id, request.auth.owner))


@get(
    "/",
    summary="List standing orders",
    guards=[allow(Scope.PAYOUTS_READ)],
    responses=refuses(*KEY_ERRORS),
)
async def list_standing_orders(
    request: ApiRequest, parts: Parts, after: After = None, limit: Limit = 50
) -> Page[StandingOrderBody]:
    """Your standing orders, newest first."""
    async with parts.pool.connection() as conn:
        found = await standing_orders.page(conn, request.auth.owner, after=after, limit=limit + 1)
    return page_of([standing_order_body(one) for one in found], limit, "id")


@post(
    "/{order_id:str}/stop",
    summary="Stop a standing order",
    opt=ONCE_BY_ITSELF,
    status_code=200,
    guards=[allow(Scope.PAYOUTS_WRITE)],
    responses=refuses(*KEY_ERRORS, StandingOrderNotFound, TransitionForbidden),
)
async def stop_standing_order(request: ApiRequest, parts: Parts, order_id: IdPath) -> StandingOrderBody:
    """No more of its slots are proposed here. Your signature stays valid until it expires: a platform in wrong hands
    could go on proposing slots to the same destination, up to the same maximum."""
    async with parts.pool.connection() as conn, conn.transaction():
        stopped = await standing_orders.stop(conn, order_id, request.auth.owner, parts.clock.now())
    return standing_order_body(stopped)


router = Router(
    "/v1/standing-orders",
    route_handlers=[create_standing_order, list_standing_orders, get_standing_order, stop_standing_order],
    tags=["Payouts"],
)
