"""`/v1/invoices`: make, read, quote and mark invoices."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Response, Router, get, post
from litestar.params import QueryParameter, RawBody
from psycopg import AsyncConnection

from holdfast.core.states import InvoiceState, TransitionForbidden
from holdfast.faces.api.callers import KEY_ERRORS, allow
from holdfast.faces.api.invoice_shapes import (
    InvoiceBody,
    InvoiceRequest,
    MarkRequest,
    QuoteBody,
    QuoteRequest,
    invoice_body,
    order_of,
    quote_body,
)
from holdfast.faces.api.once import ONCE_ERRORS, IdempotencyKey, claim_of, find, once, respond, take
from holdfast.faces.api.parts import ApiRequest, Parts
from holdfast.faces.api.problems import refuses
from holdfast.faces.api.shapes import NO_NUL, After, IdPath, Limit, Page, page_of
from holdfast.payments import invoices, invoicing
from holdfast.payments.api_keys import Scope
from holdfast.payments.catalogue import AssetNotListed
from holdfast.payments.currencies import CurrencyUnknown
from holdfast.payments.indexes import IndexesUsedUp, MerchantClosed, MerchantNotCertified
from holdfast.payments.invoices import Filter, InvoiceMarkInvalid, InvoiceNotFound
from holdfast.payments.invoicing import (
    AssetNotAccepted,
    InvoiceMalformed,
    InvoiceNotPayable,
    ReferenceTaken,
)
from holdfast.payments.rates import RatesDisagree, RateStale, RateUnavailable

RATE_ERRORS = (RateUnavailable, RateStale, RatesDisagree)
ADDRESS_ERRORS = (MerchantNotCertified, MerchantClosed, IndexesUsedUp)


@post(
    "/",
    summary="Make an invoice",
    opt={"takes": InvoiceRequest},
    guards=[allow(Scope.INVOICES_WRITE)],
    responses=refuses(
        *KEY_ERRORS, *ONCE_ERRORS, InvoiceMalformed, CurrencyUnknown, AssetNotListed, AssetNotAccepted, ReferenceTaken,
        *ADDRESS_ERRORS, *RATE_ERRORS,
    ),
)  # fmt: skip
async def create_invoice(
    request: ApiRequest, parts: Parts, body: RawBody, idempotency_key: IdempotencyKey
) -> Response[InvoiceBody]:
    """A request for payment. With `asset` it has a quote and a deposit address at once; without, the payer picks."""
    order = order_of(take(InvoiceRequest, body))
    claim = claim_of(request, idempotency_key, body)
    done = await parts.invoice_batches.make(request.auth.owner, order, claim)
    return respond(done.answer, is_replay=done.is_replay)


@get(
    "/{invoice_id:str}",
    summary="Read an invoice",
    guards=[allow(Scope.INVOICES_READ)],
    responses=refuses(*KEY_ERRORS, InvoiceNotFound),
)
async def get_invoice(request: ApiRequest, parts: Parts, invoice_id: IdPath) -> InvoiceBody:
    """Where the invoice stands, with its quotes."""
    async with parts.pool.connection() as conn:
        return await _shown(conn, parts, await invoices.get(conn, invoice_id, request.auth.owner))


@get(
    "/",
    summary="List invoices",
    guards=[allow(Scope.INVOICES_READ)],
    responses=refuses(*KEY_ERRORS),
)
async def list_invoices(  # noqa: PLR0913  one query parameter each
    request: ApiRequest,
    parts: Parts,
    states: Annotated[
        list[InvoiceState] | None, QueryParameter(name="state", description="Only these states; may be repeated.")
    ] = None,
    reference: Annotated[
        str | None, QueryParameter(max_length=200, pattern=NO_NUL, description="Only the one with this reference.")
    ] = None,
    after: After = None,
    limit: Limit = 50,
) -> Page[InvoiceBody]:
    """Your invoices, newest first."""
    wanted = Filter(request.auth.owner, states or (), reference, after, limit + 1)
    async with parts.pool.connection() as conn:
        found = await invoices.page(conn, wanted)
        quoted = await invoices.quotes(conn, [one.id for one in found])
    bodies = [invoice_body(parts.desk.catalogue, parts.public_url, one, quoted[one.id]) for one in found]
    return page_of(bodies, limit, "id")


@post(
    "/{invoice_id:str}/quotes",
    summary="Quote an invoice in an asset",
    opt={"takes": QuoteRequest},
    guards=[allow(Scope.INVOICES_WRITE)],
    responses=refuses(
        *KEY_ERRORS,
        *ONCE_ERRORS,
        InvoiceNotFound,
        AssetNotAccepted,
        InvoiceNotPayable,
        *ADDRESS_ERRORS,
        *RATE_ERRORS,
    ),
)
async def create_quote(
    request: ApiRequest, parts: Parts, body: RawBody, invoice_id: IdPath, idempotency_key: IdempotencyKey
) -> Response[QuoteBody]:
    """The quote in force in this asset, or a new one at today's rate. One network's assets share an address."""
    wanted = take(QuoteRequest, body)
    claim = claim_of(request, idempotency_key, body)
    if (before := await find(parts, claim)) is not None:
        return before
    async with parts.pool.connection() as conn:
        await invoices.get(conn, invoice_id, request.auth.owner)
    # Asking for a quote twice gives the one in force, so a crash between here and the answer does nothing twice.
    quote = await invoicing.quote(parts.pool, parts.desk, invoice_id, wanted.asset, parts.clock.now())

    async def work(conn: AsyncConnection[Any]) -> QuoteBody:
        invoice = await invoices.get(conn, invoice_id, request.auth.owner)
        return quote_body(parts.desk.catalogue, invoice, quote)

    return await once(parts, claim, work)


@post(
    "/{invoice_id:str}/mark",
    summary="Say by hand how an invoice ended",
    opt={"takes": MarkRequest},
    status_code=200,
    guards=[allow(Scope.INVOICES_MARK)],
    responses=refuses(*KEY_ERRORS, *ONCE_ERRORS, InvoiceNotFound, InvoiceMarkInvalid, TransitionForbidden),
)
async def mark_invoice(
    request: ApiRequest, parts: Parts, body: RawBody, invoice_id: IdPath, idempotency_key: IdempotencyKey
) -> Response[InvoiceBody]:
    """A person says that it is settled, or invalid: from then on no payment changes it. No money moves by it."""
    wanted = take(MarkRequest, body)

    async def work(conn: AsyncConnection[Any]) -> InvoiceBody:
        marked = await invoices.mark(conn, invoice_id, wanted.state, parts.clock.now(), request.auth.owner)
        return await _shown(conn, parts, marked)

    return await once(parts, claim_of(request, idempotency_key, body), work, 200)


async def _shown(conn: AsyncConnection[Any], parts: Parts, invoice: invoices.Invoice) -> InvoiceBody:
    quoted = await invoices.quotes(conn, [invoice.id])
    return invoice_body(parts.desk.catalogue, parts.public_url, invoice, quoted[invoice.id])


router = Router(
    "/v1/invoices",
    route_handlers=[create_invoice, list_invoices, get_invoice, create_quote, mark_invoice],
    tags=["Invoices"],
)
