"""What the platform answers, typed. Fields that a newer platform adds are ignored; amounts in units are integers.

No address in here has been checked yet: `pinned.Pinned` does that before any of it reaches the shop.
"""

from __future__ import annotations

from datetime import datetime
from typing import Generic, TypeVar

import msgspec

from holdfast.core.quorum import Signature
from holdfast.core.states import DepositState, InvoiceReason, InvoiceState, LineState, PayoutState, StandingOrderState

Item = TypeVar("Item")
JsonObject = dict[str, object]


class Price(msgspec.Struct, frozen=True):
    """What an invoice asks for."""

    amount: str
    """Decimal text, as in `12.50`."""
    currency: str
    """ISO 4217 code, or the CAIP-19 id of an asset."""


class Rate(msgspec.Struct, frozen=True):
    """The exchange rate of a quote, and whose median it was."""

    value: str
    currency: str
    sources: list[str]
    at: datetime


class Quote(msgspec.Struct, frozen=True):
    """How an invoice can be paid in one asset."""

    asset: str
    symbol: str
    network: str
    address: str
    index: int
    due_units: str
    due: str
    left_units: str
    left: str
    uri: str
    rate: Rate | None
    valid_until: datetime


class Invoice(msgspec.Struct, frozen=True):
    """A request for payment, and where it stands."""

    id: str
    state: InvoiceState
    reason: InvoiceReason | None
    price: Price
    paid: str
    confirmed: str
    reference: str | None
    assets: list[str]
    quotes: list[Quote]
    checkout_url: str
    created_at: datetime
    expires_at: datetime
    monitored_until: datetime
    settled_at: datetime | None = None
    description: str | None = None
    metadata: JsonObject = {}


class DepositAddress(msgspec.Struct, frozen=True):
    """A standing deposit address."""

    network: str
    address: str
    index: int
    customer: str | None = None


class Deposit(msgspec.Struct, frozen=True):
    """Money seen arriving."""

    id: str
    invoice_id: str | None
    network: str
    asset: str
    address: str
    units: str
    state: DepositState
    transaction: str | None
    block_height: int | None
    confirmations_required: int
    seen_at: datetime
    confirmed_at: datetime | None = None
    amount: str | None = None
    tariff_units: str = "0"


class Balance(msgspec.Struct, frozen=True):
    """What the merchant has of one asset."""

    asset: str
    available_units: str
    pending_units: str
    owed_units: str
    symbol: str | None = None
    available: str | None = None


class Balances(msgspec.Struct, frozen=True):
    """Every asset that the merchant has or had."""

    items: list[Balance]
    at: datetime | None = None


class PayoutLine(msgspec.Struct, frozen=True):
    """One destination of a payout, and where it stands."""

    destination: str
    units: str
    state: LineState
    transaction: str | None = None


class PayoutWaiting(msgspec.Struct, frozen=True):
    """Why a payout is not signed yet."""

    rule: str
    detail: str = ""


class Payout(msgspec.Struct, frozen=True):
    """Money ordered out, and where it stands."""

    id: str
    intent: str
    """SHA-256 of what was signed, hex."""
    reference: str
    network: str
    asset: str
    state: PayoutState
    lines_units: str
    fee_units: str
    lines: list[PayoutLine]
    document: str
    created_at: datetime
    expires_at: datetime
    rule: str | None = None
    """Why it was refused or abandoned."""
    detail: str | None = None
    waiting: PayoutWaiting | None = None
    transaction: str | None = None
    standing_order: str | None = None
    slot: int | None = None
    ended_at: datetime | None = None


class PayoutFee(msgspec.Struct, frozen=True):
    """What a payout costs, says the platform."""

    asset: str
    lines: int
    fee_units: str
    paid_by: str


class StandingOrder(msgspec.Struct, frozen=True):
    """A standing order, and where it stands."""

    id: str
    intent: str
    reference: str
    network: str
    asset: str
    destination: str
    units: str
    fee_units: str
    every_seconds: int
    state: StandingOrderState
    document: str
    due_at: datetime
    expires_at: datetime


class ListedAsset(msgspec.Struct, frozen=True):
    """A coin or token that may be paid with."""

    id: str
    symbol: str
    decimals: int


class ListedNetwork(msgspec.Struct, frozen=True):
    """A network that the platform follows."""

    id: str
    name: str
    assets: list[ListedAsset]
    trouble: str | None = None
    """Code of the error for which crediting waits; None: it does not."""


class Networks(msgspec.Struct, frozen=True):
    """Every configured network."""

    items: list[ListedNetwork]


class Event(msgspec.Struct, frozen=True):
    """Something that happened; the same in a webhook and in the list of events."""

    id: str
    type: str
    subject: str
    data: JsonObject
    created_at: datetime


class Page(msgspec.Struct, Generic[Item], frozen=True):
    """Some of many. `next` asks for the following page; None where there is none."""

    items: list[Item]
    next: str | int | None = None


class WebhookEndpoint(msgspec.Struct, frozen=True):
    """Where webhooks are delivered. `secret` is shown once, when it is made."""

    id: str
    url: str
    secret: str | None = None


class SignedCertificate(msgspec.Struct, frozen=True):
    """A certificate and what it takes to check it, but for the root fingerprint: that comes from elsewhere."""

    document: bytes
    signatures: list[Signature]
    quorum: bytes


class Problem(msgspec.Struct, frozen=True):
    """RFC 9457."""

    code: str = "unknown"
    title: str = ""
    detail: str = ""
    remedy: str = ""
    retry: bool = False


class PayoutBatchItem(msgspec.Struct, frozen=True):
    """What became of one intent of a batch."""

    intent: str
    payout: Payout | None = None
    problem: Problem | None = None


class PayoutBatch(msgspec.Struct, frozen=True):
    """What became of each, in the order sent."""

    items: list[PayoutBatchItem]
