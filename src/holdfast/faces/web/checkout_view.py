"""What a payer sees of an invoice: one pure function from invoice, quotes and deposits to a page's contents.

It decides nothing about money; `payments.standing` has. No secret and nothing of the merchant's books is in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import segno

from holdfast.core.money import AssetId, format_units
from holdfast.core.states import DepositState, InvoiceReason, InvoiceState
from holdfast.core.uris import PaymentRequest, payment_uri
from holdfast.payments.catalogue import Catalogue
from holdfast.payments.deposits import Deposit
from holdfast.payments.invoices import Invoice, Quote, newest
from holdfast.payments.standing import due_left


class Phase(StrEnum):
    """Where the payer is."""

    CHOOSE = "choose"
    """Pick what to pay with."""
    PAY = "pay"
    REQUOTE = "requote"
    """The rate ran out; the invoice did not."""
    PARTLY = "partly"
    """Something came; the rest is still to pay."""
    SEEN = "seen"
    """Enough came; confirmations are counted."""
    SETTLED = "settled"
    CHECKING = "checking"
    """The time is up; blocks of that time are still being read."""
    EXPIRED = "expired"
    UNDERPAID = "underpaid"
    """It expired with too little."""
    LATE = "late"
    """Money came after its time; the merchant decides."""
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Choice:
    """Something that may be paid with."""

    asset: str
    symbol: str
    network: str
    is_test: bool


@dataclass(frozen=True, slots=True)
class Ask:
    """What to pay where, in one asset."""

    choice: Choice
    address: str
    left: str
    """Whole coins still to pay, exactly."""
    uri: str
    qr_svg: str
    valid_until: datetime
    rate: str | None
    """One coin's price, in words."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """A payment that was seen."""

    amount: str
    symbol: str
    transaction: str
    confirmations: int
    required: int
    is_confirmed: bool


@dataclass(frozen=True, slots=True)
class CheckoutView:
    """Everything on the page."""

    invoice_id: str
    phase: Phase
    merchant: str
    description: str | None
    reference: str | None
    price: str
    currency: str
    paid: str
    is_overpaid: bool
    expires_at: datetime
    created_at: datetime
    choices: tuple[Choice, ...]
    ask: Ask | None
    arrived: tuple[Arrived, ...]
    redirect_url: str | None
    redirect_host: str
    is_test: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """What the view is made from."""

    invoice: Invoice
    quotes: Sequence[Quote]
    deposits: Sequence[Deposit]
    merchant: str
    heights: Mapping[str, int]
    """Height up to which each network has been followed."""


def checkout_view(catalogue: Catalogue, facts: Facts, picked: str | None, now: datetime) -> CheckoutView:
    """The page of an invoice. `picked`: the asset that the payer looks at; `""`: he wants to choose again."""
    invoice = facts.invoice
    choices = tuple(_choice(catalogue, asset) for asset in invoice.assets if AssetId(asset) in catalogue.network_of)
    quote = _quote_shown(catalogue, facts.quotes, picked)
    phase = _phase(invoice, quote, now)
    symbol = _price_symbol(catalogue, invoice)
    return CheckoutView(
        invoice_id=invoice.id,
        phase=phase,
        merchant=facts.merchant,
        description=invoice.description,
        reference=invoice.reference,
        price=_trimmed(invoice.price_units, invoice.price_decimals),
        currency=symbol,
        paid=_trimmed(invoice.paid_units, invoice.price_decimals),
        is_overpaid=invoice.reason is InvoiceReason.OVERPAID,
        expires_at=invoice.expires_at,
        created_at=invoice.created_at,
        choices=choices,
        ask=_ask(catalogue, invoice, quote) if quote and phase in (Phase.PAY, Phase.PARTLY) else None,
        arrived=tuple(_arrived(catalogue, one, facts.heights) for one in facts.deposits if _counts(catalogue, one)),
        redirect_url=invoice.redirect_url,
        redirect_host=(invoice.redirect_url or "").partition("://")[2].partition("/")[0],
        is_test=any(choice.is_test for choice in choices),
    )


def _phase(invoice: Invoice, quote: Quote | None, now: datetime) -> Phase:
    match invoice.state:
        case InvoiceState.SETTLED:
            return Phase.SETTLED
        case InvoiceState.PROCESSING:
            return Phase.SEEN
        case InvoiceState.INVALID:
            return Phase.CLOSED
        case InvoiceState.EXPIRED if invoice.reason is InvoiceReason.LATE:
            return Phase.LATE
        case InvoiceState.EXPIRED:
            return Phase.UNDERPAID if invoice.paid_units else Phase.EXPIRED
        case InvoiceState.NEW:
            return _open_phase(invoice, quote, now)


def _open_phase(invoice: Invoice, quote: Quote | None, now: datetime) -> Phase:
    if now >= invoice.expires_at:
        return Phase.CHECKING
    if quote is None:
        return Phase.CHOOSE
    if now >= quote.valid_until:
        return Phase.REQUOTE
    return Phase.PARTLY if invoice.paid_units else Phase.PAY


def _quote_shown(catalogue: Catalogue, quotes: Sequence[Quote], picked: str | None) -> Quote | None:
    """The quote in the picked asset; without one picked, the latest."""
    listed = [quote for quote in newest(quotes) if AssetId(quote.asset) in catalogue.network_of]
    if picked is None:
        return max(listed, key=lambda quote: quote.created_at, default=None)
    return next((quote for quote in listed if quote.asset == picked), None)


def _choice(catalogue: Catalogue, asset: str) -> Choice:
    network = catalogue.listing(asset).network
    name = network.name.replace("-", " ").title().replace("Bnb", "BNB")
    return Choice(asset, catalogue.asset(asset).symbol, name, network.is_test)


def _ask(catalogue: Catalogue, invoice: Invoice, quote: Quote) -> Ask:
    listed, asset = catalogue.listing(quote.asset), catalogue.asset(quote.asset)
    left = due_left(invoice.price_units, invoice.paid_units, quote.due_units)
    uri = payment_uri(listed.network, PaymentRequest(asset.id, quote.address, left))
    return Ask(
        choice=_choice(catalogue, quote.asset),
        address=quote.address,
        left=_trimmed(left, asset.decimals, places_min=0),
        uri=uri,
        qr_svg=_qr(uri),
        valid_until=quote.valid_until,
        rate=_rate(quote, asset.symbol),
    )


def _qr(text: str) -> str:
    """A QR code (ISO 18004) as an SVG element, without any style of its own."""
    code = segno.make(text, error="m", micro=False)
    return str(code.svg_inline(omitsize=True, border=2, svgclass="qr", lineclass=None))


def _rate(quote: Quote, symbol: str) -> str | None:
    if quote.rate is None:
        return None
    value = _trimmed(int(quote.rate["value"]), 12)
    return f"1 {symbol} = {value} {quote.rate['currency']}"


def _counts(catalogue: Catalogue, deposit: Deposit) -> bool:
    is_alive = deposit.state not in (DepositState.REORGED, DepositState.RETURNED)
    return is_alive and AssetId(deposit.asset) in catalogue.network_of


def _arrived(catalogue: Catalogue, deposit: Deposit, heights: Mapping[str, int]) -> Arrived:
    asset = catalogue.asset(deposit.asset)
    is_confirmed = deposit.state is DepositState.CONFIRMED
    seen = 0
    if deposit.block_height is not None:
        seen = max(heights.get(deposit.network, deposit.block_height) - deposit.block_height + 1, 1)
    required = deposit.confirmations_required
    return Arrived(
        amount=_trimmed(deposit.units, asset.decimals, places_min=0),
        symbol=asset.symbol,
        transaction=deposit.transaction or "",
        confirmations=required if is_confirmed else min(seen, required),
        required=required,
        is_confirmed=is_confirmed,
    )


def _price_symbol(catalogue: Catalogue, invoice: Invoice) -> str:
    if AssetId(invoice.price_currency) in catalogue.network_of:
        return catalogue.asset(invoice.price_currency).symbol
    return invoice.price_currency


def _trimmed(units: int, decimals: int, places_min: int = 2) -> str:
    """The exact decimal form, without zeros at the end that say nothing."""
    text = format_units(units, decimals)
    whole, point, part = text.partition(".")
    part = part.rstrip("0").ljust(min(places_min, decimals), "0")
    return f"{whole}{point if part else ''}{part}"
