"""`/v1/status`: what works and what does not. No key, so it stands beside the API that needs one: all read the same."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from litestar import Router, get
from msgspec import Meta, Struct

from holdfast.core.orders import Stage
from holdfast.faces.api.callers import open_to_all
from holdfast.faces.api.parts import AllParts, Parts
from holdfast.payments import payout_stages, positions
from holdfast.payments.what_works import PaymentsIn, PayoutsOut, WhatWorks, what_works


class PaymentsInBody(Struct, frozen=True):
    """Payments in on one network. Addresses stay payable whatever stands here."""

    network: str
    works: Annotated[bool, Meta(description="Whether payments are credited as they become final.")]
    trouble: Annotated[str | None, Meta(description="Code of the error for which crediting waits; null: it does not.")]
    since: Annotated[datetime | None, Meta(description="Since when it waits.")]


class PayoutsBody(Struct, frozen=True):
    """Payouts of one asset."""

    network: str
    asset: str
    works: Annotated[bool, Meta(description="Whether payouts go out at all.")]
    stage: Annotated[
        Stage | None,
        Meta(
            description="`normal`; `frozen`: none go out; `allowlisted`: only to destinations long on the allow-list; "
            "`limited`: within divided limits. null: not known here."
        ),
    ]
    is_silent: Annotated[bool, Meta(description="They wait because signer or watchtower is not heard.")]
    since: Annotated[datetime | None, Meta(description="Since when it is so; null: since always.")]


class StatusBody(Struct, frozen=True):
    """What works and what does not."""

    is_all_well: bool
    payments_in: list[PaymentsInBody]
    payouts: list[PayoutsBody]
    at: datetime


@get("/", guards=[open_to_all()])
async def get_status(parts: Parts) -> StatusBody:
    """What works and what does not, since when. Payments in do not depend on payouts."""
    found = await read_what_works(parts)
    came = [_came(one) for one in found.payments_in]
    return StatusBody(found.is_all_well, came, [_out(one) for one in found.payouts], parts.clock.now())


async def read_what_works(parts: AllParts) -> WhatWorks:
    """What works now."""
    catalogue = parts.desk.catalogue
    async with parts.pool.connection() as conn:
        found = {str(name): await positions.position(conn, name) for name in catalogue.networks}
        known = await payout_stages.known(conn)
    return what_works(catalogue, found, known, parts.clock.now())


def _came(one: PaymentsIn) -> PaymentsInBody:
    return PaymentsInBody(one.network, one.is_credited, one.trouble, one.since)


def _out(one: PayoutsOut) -> PayoutsBody:
    return PayoutsBody(one.network, one.asset, one.is_paid, one.stage, one.is_silent, one.since)


router = Router("/v1/status", route_handlers=[get_status], include_in_schema=False)
