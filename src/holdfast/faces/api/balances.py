"""`/v1/balances`: what a merchant has, now or as of any time."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from litestar import Router, get
from litestar.params import QueryParameter
from msgspec import Meta, Struct, ValidationError, convert

from holdfast.core.errors import BadInput
from holdfast.core.money import AssetId, format_units
from holdfast.faces.api.callers import KEY_ERRORS, allow
from holdfast.faces.api.parts import ApiRequest, Parts
from holdfast.faces.api.problems import RequestMalformed, refuses
from holdfast.faces.api.shapes import UnitsText
from holdfast.payments import accounts
from holdfast.payments.accounts import AssetBalance
from holdfast.payments.api_keys import Scope
from holdfast.payments.catalogue import Catalogue


class TimeWithoutZone(BadInput):
    """A time was sent without its offset from UTC. Write it as RFC 3339 does, as in `2026-02-01T00:00:00Z`."""

    code = "time-without-zone"


class BalanceBody(Struct, frozen=True):
    """What a merchant has of one asset."""

    asset: str
    symbol: Annotated[str | None, Meta(description="null: the asset is no longer configured.")]
    available_units: Annotated[UnitsText, Meta(description="What may be ordered out.")]
    available: Annotated[str | None, Meta(description="The same in whole coins.")]
    pending_units: Annotated[UnitsText, Meta(description="Reserved for payouts that are under way.")]
    owed_units: Annotated[
        UnitsText,
        Meta(description="Owed after a reorganisation took back what was spent; new deposits repay it first."),
    ]


class BalancesBody(Struct, frozen=True):
    """Every asset that the merchant has or had."""

    at: Annotated[datetime | None, Meta(description="null: now.")]
    items: list[BalanceBody]


@get(
    "/",
    summary="Read your balances",
    guards=[allow(Scope.BALANCES_READ)],
    responses=refuses(*KEY_ERRORS, TimeWithoutZone),
)
async def get_balances(
    request: ApiRequest,
    parts: Parts,
    at: Annotated[
        str | None,
        QueryParameter(max_length=40, description="As of this time (RFC 3339); left out: now."),
    ] = None,
) -> BalancesBody:
    """What you have of each asset, now or as of any time."""
    moment = None if at is None else _moment(at)
    merchant = request.auth.owner
    async with parts.pool.connection() as conn, conn.transaction():
        found = await accounts.balances(conn, merchant)
        if moment is not None:
            found = [await accounts.balance_at(conn, merchant, one.asset, moment) for one in found]
    return BalancesBody(moment, [_shown(parts.desk.catalogue, one) for one in found])


def _moment(text: str) -> datetime:
    try:
        moment = convert(text, datetime)
    except ValidationError:
        raise RequestMalformed(f"at: {text[:40]!r} is no RFC 3339 time") from None
    if moment.tzinfo is None:
        raise TimeWithoutZone(text)
    return moment


def _shown(catalogue: Catalogue, balance: AssetBalance) -> BalanceBody:
    listed = catalogue.network_of.get(AssetId(balance.asset))
    asset = listed.assets[AssetId(balance.asset)] if listed else None
    return BalanceBody(
        asset=balance.asset,
        symbol=asset.symbol if asset else None,
        available_units=str(balance.available_units),
        available=format_units(balance.available_units, asset.decimals) if asset else None,
        pending_units=str(balance.pending_units),
        owed_units=str(balance.owed_units),
    )


router = Router("/v1/balances", route_handlers=[get_balances], tags=["Balances"])
