"""`/v1/addresses`: standing deposit addresses, for the merchant himself or for each of his customers."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from litestar import Response, Router, delete, get, post
from litestar.params import QueryParameter, RawBody
from msgspec import Meta, Struct
from psycopg import AsyncConnection

from holdfast.core.addresses import deposit_address
from holdfast.core.networks import NetworkUnknown
from holdfast.faces.api.callers import KEY_ERRORS, allow
from holdfast.faces.api.once import ONCE_ERRORS, IdempotencyKey, claim_of, find, once, take
from holdfast.faces.api.parts import ApiRequest, Parts
from holdfast.faces.api.problems import refuses
from holdfast.faces.api.shapes import NO_NUL, AddressPath, AfterNumber, Limit, NetworkPath, NetworkText, Page, page_of
from holdfast.payments import addresses
from holdfast.payments.addresses import (
    CUSTOMER_LENGTH_MAX,
    Address,
    AddressFilter,
    AddressNotFound,
    CustomerInvalid,
    NewAddress,
    StandingRequest,
)
from holdfast.payments.api_keys import Scope
from holdfast.payments.indexes import IndexesUsedUp, MerchantClosed, MerchantNotCertified

CustomerText = Annotated[str, Meta(min_length=1, max_length=CUSTOMER_LENGTH_MAX)]


class AddressRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """A standing address to be made."""

    network: NetworkText
    customer: Annotated[
        CustomerText | None,
        Meta(description="Your own name for your customer: the same one always gets the same address."),
    ] = None


class AddressBody(Struct, frozen=True):
    """A standing deposit address."""

    network: str
    address: Annotated[str, Meta(description="Verify it with the SDK before you show it.")]
    index: Annotated[int, Meta(description="Its derivation index in the vault.")]
    customer: str | None
    closed_at: Annotated[datetime | None, Meta(description="When you said that you show it no more.")]
    created_at: datetime


@post(
    "/",
    summary="Get a standing address",
    opt={"takes": AddressRequest},
    guards=[allow(Scope.ADDRESSES_WRITE)],
    responses=refuses(
        *KEY_ERRORS, *ONCE_ERRORS, NetworkUnknown, CustomerInvalid, MerchantNotCertified, MerchantClosed, IndexesUsedUp
    ),
)
async def create_address(
    request: ApiRequest, parts: Parts, body: RawBody, idempotency_key: IdempotencyKey
) -> Response[AddressBody]:
    """A customer's address, made now if he has none; without a customer, a new one. It can be paid for ever."""
    wanted = take(AddressRequest, body)
    claim = claim_of(request, idempotency_key, body)
    if (before := await find(parts, claim)) is not None:
        return before
    merchant = request.auth.owner
    if wanted.customer is None:
        return await once(parts, claim, await _new_address(parts, merchant, wanted.network))
    # A customer has one address, so making it before the answer is kept does nothing twice.
    asked = StandingRequest(merchant, wanted.network, wanted.customer)
    made = await addresses.standing(parts.pool, parts.desk.catalogue, parts.desk.indexes, asked, parts.clock.now())

    async def work(_conn: AsyncConnection[Any]) -> AddressBody:
        return _shown(made)

    return await once(parts, claim, work)


async def _new_address(parts: Parts, merchant: str, network: str) -> Any:
    """The work that stores a fresh address, its index taken."""
    now = parts.clock.now()
    listed = parts.desk.catalogue.network(network)
    slot = await parts.desk.indexes.take(merchant, listed.id, now)
    new = NewAddress(listed.id, deposit_address(listed.network, slot.vault, slot.index), merchant, slot.index)

    async def work(conn: AsyncConnection[Any]) -> AddressBody:
        await addresses.insert(conn, [new], now)
        return AddressBody(new.network, new.address, new.index, None, None, now)

    return work


@get(
    "/",
    summary="List standing addresses",
    guards=[allow(Scope.ADDRESSES_WRITE)],
    responses=refuses(*KEY_ERRORS),
)
async def list_addresses(  # noqa: PLR0913  one query parameter each
    request: ApiRequest,
    parts: Parts,
    network: Annotated[str, QueryParameter(min_length=3, max_length=80, description="CAIP-2 id of the network.")],
    customer: Annotated[
        str | None, QueryParameter(max_length=200, pattern=NO_NUL, description="Only this customer's.")
    ] = None,
    after: AfterNumber = None,
    limit: Limit = 50,
) -> Page[AddressBody]:
    """Your standing addresses on one network, newest first."""
    wanted = AddressFilter(request.auth.owner, network, customer, after, limit + 1)
    async with parts.pool.connection() as conn:
        found = await addresses.page(conn, wanted)
    return page_of([_shown(one) for one in found], limit, "index")


@delete(
    "/{network:str}/{address:str}",
    summary="Close a standing address",
    status_code=200,
    guards=[allow(Scope.ADDRESSES_WRITE)],
    responses=refuses(*KEY_ERRORS, AddressNotFound),
)
async def close_address(request: ApiRequest, parts: Parts, network: NetworkPath, address: AddressPath) -> AddressBody:
    """You show it no more. It stays watched: money that comes is credited, and you are asked about it."""
    async with parts.pool.connection() as conn, conn.transaction():
        return _shown(await addresses.close(conn, network, address, request.auth.owner, parts.clock.now()))


def _shown(address: Address) -> AddressBody:
    return AddressBody(
        address.network, address.address, address.index, address.customer, address.closed_at, address.created_at
    )


router = Router("/v1/addresses", route_handlers=[create_address, list_addresses, close_address], tags=["Addresses"])
