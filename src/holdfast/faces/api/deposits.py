"""`/v1/deposits`: money seen arriving."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from litestar import Router, get
from litestar.params import QueryParameter
from msgspec import Meta, Struct

from holdfast.core.money import AssetId, format_units
from holdfast.core.states import DepositState
from holdfast.faces.api.callers import KEY_ERRORS, allow
from holdfast.faces.api.parts import ApiRequest, Parts
from holdfast.faces.api.problems import refuses
from holdfast.faces.api.shapes import After, IdPath, Limit, Page, UnitsText, page_of
from holdfast.payments import deposits
from holdfast.payments.api_keys import Scope
from holdfast.payments.catalogue import Catalogue
from holdfast.payments.deposits import Deposit, DepositFilter, DepositNotFound


class DepositBody(Struct, frozen=True):
    """Money seen arriving."""

    id: str
    merchant_id: str
    invoice_id: Annotated[str | None, Meta(description="null: it came to a standing address.")]
    network: str
    asset: str
    address: str
    units: UnitsText
    amount: Annotated[str | None, Meta(description="The same in whole coins; null: the asset is no longer configured.")]
    tariff_units: Annotated[UnitsText, Meta(description="What the operator kept when it was credited.")]
    state: DepositState
    transaction: str | None
    block_height: Annotated[int | None, Meta(description="null: not in a block yet.")]
    block_hash: str | None
    confirmations_required: int
    below_minimum: Annotated[bool, Meta(description="Too little to be spent: shown, never credited.")]
    held_for: Annotated[str | None, Meta(description="Why screening or a person holds it.")]
    seen_at: datetime
    paid_at: Annotated[datetime, Meta(description="The earliest moment that it can be shown to have been made.")]
    confirmed_at: datetime | None


@get(
    "/{deposit_id:str}",
    summary="Read a deposit",
    guards=[allow(Scope.DEPOSITS_READ)],
    responses=refuses(*KEY_ERRORS, DepositNotFound),
)
async def get_deposit(request: ApiRequest, parts: Parts, deposit_id: IdPath) -> DepositBody:
    """One deposit."""
    async with parts.pool.connection() as conn:
        return _shown(parts.desk.catalogue, await deposits.get(conn, deposit_id, request.auth.owner))


@get("/", summary="List deposits", guards=[allow(Scope.DEPOSITS_READ)], responses=refuses(*KEY_ERRORS))
async def list_deposits(  # noqa: PLR0913  one query parameter each
    request: ApiRequest,
    parts: Parts,
    invoice: Annotated[
        str | None, QueryParameter(max_length=64, pattern="^[0-9a-z_]+$", description="Only what pays this invoice.")
    ] = None,
    in_state: Annotated[DepositState | None, QueryParameter(name="state", description="Only this state.")] = None,
    after: After = None,
    limit: Limit = 50,
) -> Page[DepositBody]:
    """Your deposits, newest first."""
    wanted = DepositFilter(request.auth.owner, invoice, in_state, after, limit + 1)
    async with parts.pool.connection() as conn:
        found = await deposits.page(conn, wanted)
    return page_of([_shown(parts.desk.catalogue, one) for one in found], limit, "id")


def _shown(catalogue: Catalogue, deposit: Deposit) -> DepositBody:
    listed = catalogue.network_of.get(AssetId(deposit.asset))
    decimals = listed.assets[AssetId(deposit.asset)].decimals if listed else None
    return DepositBody(
        id=deposit.id,
        merchant_id=deposit.merchant_id,
        invoice_id=deposit.invoice_id,
        network=deposit.network,
        asset=deposit.asset,
        address=deposit.address,
        units=str(deposit.units),
        amount=None if decimals is None else format_units(deposit.units, decimals),
        tariff_units=str(deposit.tariff_units),
        state=deposit.state,
        transaction=deposit.transaction,
        block_height=deposit.block_height,
        block_hash=deposit.block_hash,
        confirmations_required=deposit.confirmations_required,
        below_minimum=deposit.below_minimum,
        held_for=deposit.held_for,
        seen_at=deposit.seen_at,
        paid_at=deposit.paid_at,
        confirmed_at=deposit.confirmed_at,
    )


router = Router("/v1/deposits", route_handlers=[list_deposits, get_deposit], tags=["Deposits"])
