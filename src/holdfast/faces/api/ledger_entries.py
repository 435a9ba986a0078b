"""`/v1/ledger-entries`: every transfer of a merchant's account, with the balance after it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from litestar import Router, get
from litestar.params import QueryParameter
from msgspec import Meta, Struct

from holdfast.faces.api.callers import KEY_ERRORS, allow
from holdfast.faces.api.parts import ApiRequest, Parts
from holdfast.faces.api.problems import refuses
from holdfast.faces.api.shapes import AfterNumber, Limit, Page, UnitsText, page_of
from holdfast.ledger import AccountKind, Entry
from holdfast.payments import accounts
from holdfast.payments.accounts import EntryFilter
from holdfast.payments.api_keys import Scope
from holdfast.payments.catalogue import AssetNotListed


class Of(StrEnum):
    """Which of a merchant's two accounts of an asset."""

    BALANCE = "balance"
    OWED = "owed"


class EntryBody(Struct, frozen=True):
    """One transfer, as the account sees it."""

    seq: int
    key: Annotated[str, Meta(description="The transfer's idempotency key: unique for ever.")]
    kind: Annotated[str, Meta(examples=["deposit", "tariff", "reorg"])]
    about: Annotated[str, Meta(description="Id of what caused it.")]
    step: Annotated[str, Meta(description="`posted` at once, or `pending`, then `post` or `void`.")]
    units: UnitsText
    change_units: Annotated[UnitsText, Meta(description="What it did to the posted balance; may be negative.")]
    balance_units: Annotated[UnitsText, Meta(description="The posted balance after it.")]
    made_at: datetime


@get(
    "/",
    summary="List ledger entries",
    guards=[allow(Scope.BALANCES_READ)],
    responses=refuses(*KEY_ERRORS, AssetNotListed),
)
async def list_entries(  # noqa: PLR0913  one query parameter each
    request: ApiRequest,
    parts: Parts,
    asset: Annotated[str, QueryParameter(min_length=3, max_length=160, description="CAIP-19 id of the asset.")],
    of: Annotated[Of, QueryParameter(description="`owed`: of what you owe, instead of what you have.")] = Of.BALANCE,
    after: AfterNumber = None,
    limit: Limit = 50,
) -> Page[EntryBody]:
    """Your account's transfers of one asset, newest first."""
    kind = AccountKind.RECEIVABLE if of is Of.OWED else AccountKind.MERCHANT
    wanted = EntryFilter(request.auth.owner, asset, kind, after, limit + 1)
    async with parts.pool.connection() as conn:
        found = await accounts.entries(conn, parts.desk.catalogue, wanted)
    return page_of([_shown(entry) for entry in found], limit, "seq")


def _shown(entry: Entry) -> EntryBody:
    return EntryBody(
        seq=entry.seq,
        key=entry.key,
        kind=entry.kind,
        about=entry.about,
        step=entry.step,
        units=str(entry.units),
        change_units=str(entry.change),
        balance_units=str(entry.balance),
        made_at=entry.made_at,
    )


router = Router("/v1/ledger-entries", route_handlers=[list_entries], tags=["Balances"])
