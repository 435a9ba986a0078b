"""How an invoice is asked for and shown. What the fields mean is decided in `payments`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from holdfast.core.money import format_units
from holdfast.core.states import InvoiceReason, InvoiceState
from holdfast.core.uris import PaymentRequest, payment_uri
from holdfast.faces.api.shapes import AssetText, DecimalText, UnitsText
from holdfast.payments.catalogue import Catalogue
from holdfast.payments.invoices import Invoice, Quote, newest
from holdfast.payments.invoicing import NewInvoice
from holdfast.payments.rates import SCALE
from holdfast.payments.standing import due_left

RATE_DECIMALS = len(str(SCALE)) - 1
"""Rates are shown with as many places as they are kept with."""
EXPIRES_SECONDS_MIN = 10
EXPIRES_SECONDS_MAX = 365 * 86_400


class Price(Struct, frozen=True, forbid_unknown_fields=True):
    """What an invoice asks for."""

    amount: DecimalText
    currency: Annotated[
        str,
        Meta(
            min_length=3,
            max_length=160,
            description="ISO 4217 code, or the CAIP-19 id of a listed asset.",
            examples=["EUR"],
        ),
    ]


class InvoiceRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """A request for an invoice."""

    price: Price
    reference: Annotated[
        Annotated[str, Meta(min_length=1, max_length=200)] | None,
        Meta(description="Your own name for it, such as an order number; unique among your invoices."),
    ] = None
    assets: Annotated[
        Annotated[list[AssetText], Meta(min_length=1, max_length=64)] | None,
        Meta(description="What the payer may choose among; left out: everything that this platform lists."),
    ] = None
    asset: Annotated[AssetText | None, Meta(description="An asset to quote at once, with its address.")] = None
    description: Annotated[
        Annotated[str, Meta(min_length=1, max_length=500)] | None, Meta(description="Shown to the payer.")
    ] = None
    metadata: Annotated[
        dict[str, Any] | None, Meta(description="Anything of yours, kept and given back; at most 4096 bytes as JSON.")
    ] = None
    redirect_url: Annotated[
        Annotated[str, Meta(min_length=8, max_length=500, pattern="^https?://")] | None,
        Meta(description="Where the payer's way back to your shop leads."),
    ] = None
    expires_in_seconds: Annotated[
        Annotated[int, Meta(ge=EXPIRES_SECONDS_MIN, le=EXPIRES_SECONDS_MAX)] | None,
        Meta(description="How long it may be paid; left out: as your terms say."),
    ] = None


class RateBody(Struct, frozen=True):
    """The exchange rate of a quote."""

    value: Annotated[str, Meta(description="Price of one whole coin, as decimal text.", examples=["84.310000000000"])]
    currency: str
    sources: list[str]
    at: datetime


class QuoteBody(Struct, frozen=True):
    """How an invoice can be paid in one asset."""

    asset: AssetText
    symbol: Annotated[str, Meta(examples=["LTC"])]
    network: str
    address: Annotated[str, Meta(description="The invoice's own deposit address; verify it with the SDK.")]
    index: Annotated[int, Meta(description="Its derivation index in the vault.")]
    due_units: Annotated[UnitsText, Meta(description="What the whole price costs, in the asset's smallest units.")]
    due: Annotated[DecimalText, Meta(description="The same in whole coins.")]
    left_units: Annotated[UnitsText, Meta(description="What is still to pay.")]
    left: DecimalText
    uri: Annotated[str, Meta(description="Payment URI (BIP 21 or EIP-681) for what is still to pay.")]
    rate: Annotated[RateBody | None, Meta(description="null where the price is in the asset itself.")]
    valid_until: Annotated[datetime, Meta(description="Until then the rate is promised.")]


class InvoiceBody(Struct, frozen=True):
    """A request for payment, and where it stands."""

    id: Annotated[str, Meta(examples=["inv_01k9zq4w6t5v3n8r7x2yfgh1jk"])]
    merchant_id: str
    state: InvoiceState
    reason: Annotated[InvoiceReason | None, Meta(description="Why it stands there, where the state does not say it.")]
    price: Price
    paid: Annotated[DecimalText, Meta(description="Value of what was seen and counts, in the price's currency.")]
    confirmed: Annotated[DecimalText, Meta(description="How much of it has its confirmations.")]
    reference: str | None
    assets: list[str]
    quotes: list[QuoteBody]
    description: str | None
    metadata: dict[str, Any]
    redirect_url: str | None
    checkout_url: Annotated[str, Meta(description="The page where the payer pays it.")]
    created_at: datetime
    expires_at: datetime
    monitored_until: Annotated[datetime, Meta(description="Until then late payments follow your late rule.")]
    settled_at: datetime | None


class QuoteRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The asset that the payer picked."""

    asset: AssetText


class MarkRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """What a person says of an invoice."""

    state: Annotated[InvoiceState, Meta(description="`settled` or `invalid`.")]


def order_of(request: InvoiceRequest) -> NewInvoice:
    """What `payments` is asked for."""
    return NewInvoice(
        price=request.price.amount,
        currency=request.price.currency,
        assets=request.assets or (),
        pay_with=request.asset,
        reference=request.reference,
        description=request.description,
        metadata=request.metadata or {},
        redirect_url=request.redirect_url,
        expires_seconds=request.expires_in_seconds,
    )


def invoice_body(catalogue: Catalogue, public_url: str, invoice: Invoice, quotes: list[Quote]) -> InvoiceBody:
    """An invoice as it is shown."""
    return InvoiceBody(
        id=invoice.id,
        merchant_id=invoice.merchant_id,
        state=invoice.state,
        reason=invoice.reason,
        price=Price(format_units(invoice.price_units, invoice.price_decimals), invoice.price_currency),
        paid=format_units(invoice.paid_units, invoice.price_decimals),
        confirmed=format_units(invoice.confirmed_units, invoice.price_decimals),
        reference=invoice.reference,
        assets=list(invoice.assets),
        quotes=[quote_body(catalogue, invoice, quote) for quote in newest(quotes) if is_listed(catalogue, quote)],
        description=invoice.description,
        metadata=invoice.metadata,
        redirect_url=invoice.redirect_url,
        checkout_url=f"{public_url}/i/{invoice.id}",
        created_at=invoice.created_at,
        expires_at=invoice.expires_at,
        monitored_until=invoice.monitored_until,
        settled_at=invoice.settled_at,
    )


def is_listed(catalogue: Catalogue, quote: Quote) -> bool:
    """Whether the asset is still configured; an old quote in another one is not shown."""
    return quote.asset in catalogue.network_of


def quote_body(catalogue: Catalogue, invoice: Invoice, quote: Quote) -> QuoteBody:
    """A quote as it is shown. Its asset is listed."""
    listed = catalogue.listing(quote.asset)
    asset = catalogue.asset(quote.asset)
    left = due_left(invoice.price_units, invoice.paid_units, quote.due_units)
    return QuoteBody(
        asset=asset.id,
        symbol=asset.symbol,
        network=quote.network,
        address=quote.address,
        index=quote.index,
        due_units=str(quote.due_units),
        due=format_units(quote.due_units, asset.decimals),
        left_units=str(left),
        left=format_units(left, asset.decimals),
        uri=payment_uri(listed.network, PaymentRequest(asset.id, quote.address, left)),
        rate=_rate_body(quote.rate),
        valid_until=quote.valid_until,
    )


def _rate_body(rate: dict[str, Any] | None) -> RateBody | None:
    if rate is None:
        return None
    value = format_units(rate["value"], RATE_DECIMALS)
    return RateBody(value, rate["currency"], list(rate["sources"]), msgspec.convert(rate["at"], datetime))
