"""Making invoices and quotes: what is slow and may fail first, then a few statements for a whole batch.

`prepare` checks, asks for the rate, takes an index and derives the address, all outside a transaction; `create` stores
any number of prepared invoices at once. An address is shown only after its row is committed: the follower's promise
that no payment is missed rests on that.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

import msgspec
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from holdfast.core.addresses import deposit_address
from holdfast.core.errors import BadInput, Conflict
from holdfast.core.ids import new_id
from holdfast.core.money import Asset, AssetId, parse_units
from holdfast.core.states import InvoiceState
from holdfast.payments import addresses, events, invoices
from holdfast.payments.addresses import NewAddress
from holdfast.payments.catalogue import Catalogue
from holdfast.payments.currencies import CurrencyUnknown, currency_decimals
from holdfast.payments.indexes import Indexes
from holdfast.payments.invoices import Invoice, Quote
from holdfast.payments.merchants import Merchant
from holdfast.payments.rates import Rate, due_units
from holdfast.runtime import logs

TEXT_LENGTH_MAX = 500
METADATA_BYTES_MAX = 4096
EXPIRES_SECONDS_MAX = 365 * 86_400


class InvoiceMalformed(BadInput):
    """The invoice cannot be made as asked. Correct what the detail names."""

    code = "invoice-malformed"


class ReferenceTaken(Conflict):
    """The merchant has an invoice with this reference already. Read that one, or send another reference."""

    code = "reference-taken"


class AssetNotAccepted(BadInput):
    """This invoice cannot be paid in that asset. Choose one that the invoice lists."""

    code = "asset-not-accepted"


class InvoiceNotPayable(Conflict):
    """The invoice can no longer be paid. Ask the merchant for a new one."""

    code = "invoice-not-payable"


class Rates(Protocol):
    """Where exchange rates come from."""

    async def rate(self, asset_symbol: str, currency: str) -> Rate:
        """The price of one whole coin. Raises `RateUnavailable`, `RateStale`, `RatesDisagree`."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What is needed to make invoices: one per process."""

    catalogue: Catalogue
    rates: Rates
    indexes: Indexes


@dataclass(frozen=True, slots=True)
class NewInvoice:
    """What a merchant asks for."""

    price: str
    """A plain decimal number."""
    currency: str
    """ISO 4217 code, or the CAIP-19 id of a listed asset."""
    assets: Sequence[str] = ()
    """CAIP-19 ids that the payer may choose among; empty: every listed one."""
    pay_with: str | None = None
    """An asset to quote at once."""
    reference: str | None = None
    description: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    redirect_url: str | None = None
    expires_seconds: int | None = None
    """None: as the merchant's terms say."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A prepared invoice, ready to be stored."""

    invoice: Invoice
    quote: Quote | None


@dataclass(frozen=True, slots=True)
class Created:
    """A stored invoice."""

    invoice: Invoice
    quotes: tuple[Quote, ...]


async def prepare(desk: Desk, merchant: Merchant, order: NewInvoice, now: datetime) -> Draft:
    """Check an order and fetch what it needs: the rate and an address, where an asset is chosen already.

    Raises `InvoiceMalformed`, `CurrencyUnknown`, `AssetNotListed`, `AssetNotAccepted`, the errors of amounts,
    of rates and of `Indexes.take`. Nothing is stored (an index may have been used up).
    """
    invoice = _invoice(desk.catalogue, merchant, order, now)
    if order.pay_with is None:
        return Draft(invoice, None)
    return Draft(invoice, await _quote(desk, invoice, order.pay_with, None, now))


async def create(conn: AsyncConnection[Any], drafts: Sequence[Draft], now: datetime) -> list[Created | ReferenceTaken]:
    """Store a batch in the caller's transaction, with addresses, quotes and events; an outcome for each."""
    stored = await _insert_invoices(conn, [draft.invoice for draft in drafts])
    kept = [draft for draft in drafts if draft.invoice.id in stored]
    quoted = [(draft.invoice, draft.quote) for draft in kept if draft.quote is not None]
    await addresses.insert(conn, [_address_of(invoice, quote) for invoice, quote in quoted], now)
    await _insert_quotes(conn, [quote for _, quote in quoted])
    await events.emit(
        conn,
        [
            events.News(
                draft.invoice.merchant_id,
                events.EventType.INVOICE_CREATED,
                draft.invoice.id,
                invoices.as_data(draft.invoice),
            )
            for draft in kept
        ],
        now,
    )
    return [
        Created(draft.invoice, (draft.quote,) if draft.quote else ())
        if draft.invoice.id in stored
        else ReferenceTaken(f"{draft.invoice.reference!r}")
        for draft in drafts
    ]


async def quote(
    pool: AsyncConnectionPool[AsyncConnection[Any]], desk: Desk, invoice_id: str, asset: str, now: datetime
) -> Quote:
    """The quote of an invoice in an asset: the one in force, or a new one at today's rate on the same address.

    No connection is held while rates are asked for. Committed when it returns.
    Raises `InvoiceNotFound`, `AssetNotAccepted`, `InvoiceNotPayable` and what `prepare` raises.
    """
    async with pool.connection() as conn:
        invoice, mine = await _payable(conn, invoice_id, asset, now)
    if (in_force := _in_force(mine, asset, now)) is not None:
        return in_force
    draft = await _quote(desk, invoice, asset, _on_network(mine, desk.catalogue.listing(asset).id), now)
    async with pool.connection() as conn, conn.transaction():
        invoice, mine = await _payable(conn, invoice_id, asset, now, lock=True)
        if (in_force := _in_force(mine, asset, now)) is not None:
            return in_force
        neighbour = _on_network(mine, draft.network)
        if neighbour is None:
            await addresses.insert(conn, [_address_of(invoice, draft)], now)
        else:
            draft = replace(draft, address=neighbour.address, index=neighbour.index)
        version = 1 + max((each.version for each in mine if each.asset == asset), default=0)
        draft = replace(draft, version=version)
        await _insert_quotes(conn, [draft])
        return draft


async def _payable(
    conn: AsyncConnection[Any], invoice_id: str, asset: str, now: datetime, *, lock: bool = False
) -> tuple[Invoice, list[Quote]]:
    invoice = await invoices.get(conn, invoice_id, lock=lock)
    if asset not in invoice.assets:
        raise AssetNotAccepted(f"{asset[:120]!r}")
    if invoice.state not in (InvoiceState.NEW, InvoiceState.PROCESSING) or now >= invoice.expires_at:
        raise InvoiceNotPayable(f"it is {invoice.state} and expires at {invoice.expires_at.isoformat()}")
    return invoice, (await invoices.quotes(conn, [invoice_id]))[invoice_id]


def _in_force(quoted: Sequence[Quote], asset: str, now: datetime) -> Quote | None:
    """The newest version, while it has not run out."""
    mine = [each for each in invoices.newest(quoted) if each.asset == asset and each.valid_until > now]
    return mine[0] if mine else None


def _on_network(quoted: Sequence[Quote], network: str) -> Quote | None:
    """Any quote on this network: all assets of one network share the invoice's address there."""
    return next((each for each in quoted if each.network == network), None)


async def _quote(desk: Desk, invoice: Invoice, asset: str, neighbour: Quote | None, now: datetime) -> Quote:
    if asset not in invoice.assets:
        raise AssetNotAccepted(f"{asset[:120]!r}")
    listed = desk.catalogue.listing(asset)
    due, rate = await _due(desk, invoice, desk.catalogue.asset(asset))
    if neighbour is None:
        slot = await desk.indexes.take(invoice.merchant_id, listed.id, now)
        address, index = deposit_address(listed.network, slot.vault, slot.index), slot.index
    else:
        address, index = neighbour.address, neighbour.index
    until = invoice.expires_at
    if rate is not None:
        until = min(until, now + timedelta(minutes=invoice.terms.quote_minutes))
    return Quote(invoice.id, asset, 1, listed.id, address, index, due, rate, now, until)


async def _due(desk: Desk, invoice: Invoice, asset: Asset) -> tuple[int, dict[str, Any] | None]:
    """What the whole price costs in the asset, rounded up, and the rate that says so (None: the price is in it)."""
    if invoice.price_currency == asset.id:
        return invoice.price_units, None
    currency = invoice.price_currency
    if AssetId(currency) in desk.catalogue.network_of:
        currency = desk.catalogue.asset(currency).symbol
    rate = await desk.rates.rate(asset.symbol, currency)
    due = due_units(invoice.price_units, invoice.price_decimals, rate, asset.decimals)
    return max(due, 1), msgspec.to_builtins(rate)


def _invoice(catalogue: Catalogue, merchant: Merchant, order: NewInvoice, now: datetime) -> Invoice:
    decimals = _decimals(catalogue, order.currency)
    price_units = parse_units(order.price, decimals)
    if price_units == 0:
        raise InvoiceMalformed("the price is zero")
    assets = tuple(dict.fromkeys(catalogue.asset(each).id for each in order.assets)) or tuple(catalogue.network_of)
    _check_texts(order)
    terms = merchant.settings
    lifetime = timedelta(minutes=terms.expires_minutes)
    if order.expires_seconds is not None:
        if not 1 <= order.expires_seconds <= EXPIRES_SECONDS_MAX:
            raise InvoiceMalformed("expires_seconds is not within a second and a year")
        lifetime = timedelta(seconds=order.expires_seconds)
    expires_at = now + lifetime
    return Invoice(
        id=new_id("inv", int(now.timestamp() * 1000), secrets.token_bytes(10)),
        merchant_id=merchant.id,
        reference=order.reference,
        price_units=price_units,
        price_currency=order.currency,
        price_decimals=decimals,
        assets=assets,
        state=InvoiceState.NEW,
        reason=None,
        paid_units=0,
        confirmed_units=0,
        terms=terms,
        description=order.description,
        metadata=order.metadata,
        redirect_url=order.redirect_url,
        created_at=now,
        expires_at=expires_at,
        monitored_until=expires_at + timedelta(minutes=terms.monitoring_minutes),
        settled_at=None,
        request_id=logs.request_id(),
    )


def _decimals(catalogue: Catalogue, currency: str) -> int:
    listed = catalogue.network_of.get(AssetId(currency))
    if listed is not None:
        return listed.assets[AssetId(currency)].decimals
    if "/" in currency:
        raise CurrencyUnknown(f"{currency[:120]!r}")
    return currency_decimals(currency)


def _check_texts(order: NewInvoice) -> None:
    """Raises `InvoiceMalformed` for texts that are too long or cannot be stored."""
    for name in ("reference", "description", "redirect_url"):
        text = getattr(order, name)
        if text is not None and (not 0 < len(text) <= TEXT_LENGTH_MAX or "\x00" in text):
            raise InvoiceMalformed(f"{name} has 1 to {TEXT_LENGTH_MAX} characters, without NUL")
    if order.redirect_url is not None and not order.redirect_url.startswith(("https://", "http://")):
        raise InvoiceMalformed("redirect_url is not an http or https URL")
    encoded = msgspec.json.encode(order.metadata)
    if len(encoded) > METADATA_BYTES_MAX or b"\\u0000" in encoded:
        raise InvoiceMalformed(f"metadata has at most {METADATA_BYTES_MAX} bytes as JSON, without NUL")


def _address_of(invoice: Invoice, quoted: Quote) -> NewAddress:
    return NewAddress(
        quoted.network,
        quoted.address,
        invoice.merchant_id,
        quoted.index,
        invoice_id=invoice.id,
        open_until=invoice.monitored_until,
    )


async def _insert_invoices(conn: AsyncConnection[Any], new: Sequence[Invoice]) -> set[str]:
    """Ids of those that were stored; a reference that is taken is left out.

    In order of reference, so that no two batches wait for each other's rows in a circle. The batch goes as one JSON
    text: written and read in C, where arrays of texts would be escaped one by one.
    """
    ordered = sorted(new, key=lambda each: (each.merchant_id, each.reference or ""))
    cursor = await conn.execute(_INSERT_INVOICES, [msgspec.json.encode(ordered).decode()])
    return {row[0] for row in await cursor.fetchall()}


_INSERT_INVOICES = """
    INSERT INTO payments.invoices
        (id, merchant_id, reference, price_units, price_currency, price_decimals, assets, state, terms,
         description, metadata, redirect_url, created_at, expires_at, monitored_until, request_id)
    SELECT id, merchant_id, reference, price_units, price_currency, price_decimals, assets, state, terms,
        description, metadata, redirect_url, created_at, expires_at, monitored_until, request_id
    FROM json_to_recordset(%s::json) AS new
        (id text, merchant_id text, reference text, price_units numeric, price_currency text, price_decimals smallint,
         assets text[], state text, terms jsonb, description text, metadata jsonb, redirect_url text,
         created_at timestamptz, expires_at timestamptz, monitored_until timestamptz, request_id text)
    ON CONFLICT (merchant_id, reference) DO NOTHING
    RETURNING id
"""


async def _insert_quotes(conn: AsyncConnection[Any], new: Sequence[Quote]) -> None:
    if new:
        await conn.execute(_INSERT_QUOTES, [msgspec.json.encode(new).decode()])


_INSERT_QUOTES = """
    INSERT INTO payments.quotes
        (invoice_id, asset, version, network, address, index, due_units, rate, created_at, valid_until)
    SELECT invoice_id, asset, version, network, address, index, due_units, nullif(rate, 'null'), created_at, valid_until
    FROM json_to_recordset(%s::json) AS new
        (invoice_id text, asset text, version integer, network text, address text, index bigint, due_units numeric,
         rate jsonb, created_at timestamptz, valid_until timestamptz)
"""
