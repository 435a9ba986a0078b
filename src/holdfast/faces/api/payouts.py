"""`/v1/payouts`: hand in what the merchant signed, see what becomes of it, add officers' approvals.

No POST here takes an `Idempotency-Key`: a signed intent names itself, and is done once.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from litestar import Response, Router, get, post
from litestar.params import PathParameter, QueryParameter, RawBody

from holdfast.core.errors import HoldfastError, NotPermitted
from holdfast.core.intents import APPROVAL_TAG, LINES_MAX, IntentMalformed
from holdfast.core.money import format_units
from holdfast.core.quorum import read_quorum, signers
from holdfast.core.states import PayoutState
from holdfast.faces.api.callers import KEY_ERRORS, OperatorOnly, allow, operator_only
from holdfast.faces.api.merchants import QuorumMissing
from holdfast.faces.api.once import encode, respond, take
from holdfast.faces.api.parts import ApiRequest, Parts
from holdfast.faces.api.payout_shapes import (
    ApprovalRequest,
    FeeBody,
    PayoutBatchBody,
    PayoutBatchRequest,
    PayoutBody,
    SignedIntentRequest,
    batch_item,
    payout_body,
)
from holdfast.faces.api.problems import refuses
from holdfast.faces.api.shapes import NO_NUL, After, Limit, Page, page_of
from holdfast.payments import payouts
from holdfast.payments.api_keys import Scope
from holdfast.payments.catalogue import AssetNotListed
from holdfast.payments.idempotency import Answer
from holdfast.payments.indexes import MerchantNotCertified
from holdfast.payments.ordering import (
    AssetInDeficit,
    BalanceTooLow,
    DestinationRefused,
    IntentExpired,
    IntentOfAnother,
    IntentOfAnotherKind,
    IntentUnsigned,
    PayoutFeeTooLow,
    PayoutNumberTaken,
    PayoutReferenceTaken,
    check_asset,
)
from holdfast.payments.payouts import PayoutFilter, PayoutNotFound

INTENT_ERRORS: tuple[type[HoldfastError], ...] = (
    IntentMalformed,
    IntentOfAnother,
    IntentOfAnotherKind,
    IntentUnsigned,
    IntentExpired,
    MerchantNotCertified,
    AssetNotListed,
    PayoutFeeTooLow,
    PayoutReferenceTaken,
    DestinationRefused,
)
"""What a signed intent may be refused for."""
ONCE_BY_ITSELF = {"once_by_itself": True}
"""Routes whose body is done once whatever key comes with it."""

PayoutName = Annotated[
    str, PathParameter(max_length=100, pattern="^[0-9a-z_:]+$", description="The payout's id, or its intent's.")
]


class ApprovalInvalid(NotPermitted):
    """A signature is no officer's over this very intent. Sign the payout's `document` with an officer's keystore."""

    code = "approval-invalid"


@post(
    "/",
    summary="Order a payout",
    opt={"takes": SignedIntentRequest, **ONCE_BY_ITSELF},
    guards=[allow(Scope.PAYOUTS_WRITE)],
    responses=refuses(*KEY_ERRORS, *INTENT_ERRORS, PayoutNumberTaken, AssetInDeficit, BalanceTooLow),
)
async def create_payout(request: ApiRequest, parts: Parts, body: RawBody) -> Response[PayoutBody]:
    """Hand in an intent that you signed: its units and its fee are reserved at once, all or none. Sent again, it is
    answered with the payout as it stands."""
    wanted = take(SignedIntentRequest, body)
    ordered = await parts.payout_batches.order(request.auth.owner, wanted.signed)
    shown = encode(payout_body(parts.desk.catalogue, ordered.payout))
    status = HTTPStatus.OK if ordered.is_replay else HTTPStatus.CREATED
    return respond(Answer(status, shown), is_replay=ordered.is_replay)


@post(
    "/batch",
    summary="Order many payouts",
    opt={"takes": PayoutBatchRequest, **ONCE_BY_ITSELF},
    status_code=200,
    guards=[allow(Scope.PAYOUTS_WRITE)],
    responses=refuses(*KEY_ERRORS),
)
async def create_payouts(request: ApiRequest, parts: Parts, body: RawBody) -> PayoutBatchBody:
    """Each intent is ordered by itself: read for each whether there is a payout or a problem. At most 256 KiB."""
    wanted = [one.signed for one in take(PayoutBatchRequest, body).payouts]
    outcomes = await parts.payout_batches.order_many(request.auth.owner, wanted)
    return PayoutBatchBody(
        [
            batch_item(parts.desk.catalogue, one.id, outcome if isinstance(outcome, HoldfastError) else outcome.payout)
            for one, outcome in zip(wanted, outcomes, strict=True)
        ]
    )


@get(
    "/fee",
    summary="What a payout costs",
    guards=[allow(Scope.PAYOUTS_READ)],
    responses=refuses(*KEY_ERRORS, AssetNotListed),
)
async def payout_fee(
    parts: Parts,
    network: Annotated[str, QueryParameter(max_length=80, pattern=NO_NUL, description="CAIP-2 id.")],
    asset: Annotated[str, QueryParameter(max_length=160, pattern=NO_NUL, description="CAIP-19 id.")],
    lines: Annotated[int, QueryParameter(ge=1, le=LINES_MAX, description="How many destinations it has.")] = 1,
) -> FeeBody:
    """The fixed fee that an intent must offer now; what the network takes in the end changes nothing for you."""
    desk = parts.payout_batches.desk
    decimals = check_asset(desk.catalogue, network, asset).assets[desk.catalogue.asset(asset).id].decimals
    units = desk.fee_units(asset, lines)
    return FeeBody(network, asset, lines, str(units), format_units(units, decimals), desk.fee_payer.value)


@get(
    "/{name:str}",
    summary="Read a payout",
    guards=[allow(Scope.PAYOUTS_READ)],
    responses=refuses(*KEY_ERRORS, PayoutNotFound),
)
async def get_payout(request: ApiRequest, parts: Parts, name: PayoutName) -> PayoutBody:
    """Where the payout stands, and each of its lines: by its id, or its intent's, which you know before you send it."""
    async with parts.pool.connection() as conn:
        return payout_body(parts.desk.catalogue, await payouts.get(conn, name, request.auth.owner))


@get(
    "/",
    summary="List payouts",
    guards=[allow(Scope.PAYOUTS_READ)],
    responses=refuses(*KEY_ERRORS),
)
async def list_payouts(  # noqa: PLR0913  one query parameter each
    request: ApiRequest,
    parts: Parts,
    states: Annotated[
        list[PayoutState] | None, QueryParameter(name="state", description="Only these states; may be repeated.")
    ] = None,
    reference: Annotated[
        str | None, QueryParameter(max_length=200, pattern=NO_NUL, description="Only the one with this reference.")
    ] = None,
    standing_order: Annotated[
        str | None, QueryParameter(max_length=64, pattern="^[0-9a-z_]+$", description="Only this order's slots.")
    ] = None,
    after: After = None,
    limit: Limit = 50,
) -> Page[PayoutBody]:
    """Your payouts, newest first."""
    wanted = PayoutFilter(request.auth.owner, states or (), reference, standing_order, after, limit + 1)
    async with parts.pool.connection() as conn:
        found = await payouts.page(conn, wanted)
    return page_of([payout_body(parts.desk.catalogue, one) for one in found], limit, "id")


@post(
    "/{name:str}/approvals",
    summary="Add officers' approvals",
    opt={"takes": ApprovalRequest, **ONCE_BY_ITSELF},
    status_code=200,
    guards=[operator_only()],
    responses=refuses(*KEY_ERRORS, OperatorOnly, PayoutNotFound, ApprovalInvalid, QuorumMissing),
)
async def approve_payout(parts: Parts, body: RawBody, name: PayoutName) -> PayoutBody:
    """Officers' signatures over the payout's very `document`, for amounts that the policy lets nobody sign alone. The
    signer checks them again."""
    given = take(ApprovalRequest, body).approvals
    if parts.quorum is None:
        raise QuorumMissing
    people = read_quorum(parts.quorum.document)
    async with parts.pool.connection() as conn, conn.transaction():
        payout = await payouts.get(conn, name, lock=True)
        document = payout.document.encode()
        for one in given:
            if not signers(APPROVAL_TAG, document, [one], people):
                raise ApprovalInvalid(one.officer[:64])
        approved = await payouts.approve(conn, payout.id, given)
    return payout_body(parts.desk.catalogue, approved)


router = Router(
    "/v1/payouts",
    route_handlers=[create_payout, create_payouts, payout_fee, list_payouts, get_payout, approve_payout],
    tags=["Payouts"],
)
