"""Where an invoice stands, from its terms, its quotes and its deposits: one pure function.

It is here, alone, because whether a shop delivers hangs on it. It never reads a clock, a rate or the database,
and the order in which deposits were read cannot change its answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from fractions import Fraction
from typing import Annotated, assert_never

from msgspec import Meta, Struct

from holdfast.core.states import DepositState, InvoiceReason, InvoiceState

BasisPoints = Annotated[int, Meta(ge=0, le=10_000)]


class LateRule(StrEnum):
    """What a payment after its time does. It is credited to the merchant's balance under every rule."""

    SETTLE = "settle"
    """It counts towards the invoice."""
    CREDIT = "credit"
    """It does not."""
    ATTENTION = "attention"
    """It does not, and a person is asked."""


class Terms(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A merchant's rules, copied into each invoice when it is made, so that a later change moves nothing."""

    expires_minutes: Annotated[int, Meta(ge=1, le=525_600)] = 15
    quote_minutes: Annotated[int, Meta(ge=1, le=1_440)] = 15
    """How long a rate is promised to the payer."""
    monitoring_minutes: Annotated[int, Meta(ge=0, le=525_600)] = 1_440
    """How long after expiry a payment is still looked at by the late rule; later ones always ask a person."""
    underpaid_basis_points: BasisPoints = 0
    underpaid_units: Annotated[int, Meta(ge=0)] = 0
    """Missing units of the price that are forgiven: the larger of this and the basis points."""
    overpaid_basis_points: BasisPoints = 0
    overpaid_units: Annotated[int, Meta(ge=0)] = 0
    """Units beyond the price that are no overpayment: the larger of this and the basis points."""
    late: LateRule = LateRule.ATTENTION


class AttentionReason(StrEnum):
    """Why a person is asked."""

    UNDERPAID = "underpaid"
    """An invoice expired with too little paid."""
    OVERPAID = "overpaid"
    """More arrived than the price and its tolerance."""
    LATE = "late"
    """Money came after its quote or its invoice had run out."""
    AFTER_MONITORING = "after-monitoring"
    """Money came to an invoice that nobody watches any more."""
    AFTER_MARK = "after-mark"
    """Money came to an invoice that a person had closed as invalid."""
    ASSET_NOT_QUOTED = "asset-not-quoted"
    """An address of an invoice got an asset that was never quoted for it."""
    BELOW_MINIMUM = "below-minimum"
    """Money too little to be spent arrived; it is shown and not credited."""
    ADDRESS_CLOSED = "address-closed"
    """Money came to a standing address that its merchant had closed."""
    MERCHANT_CLOSED = "merchant-closed"
    """Money came for a merchant who is no longer served."""
    DEPOSIT_HELD = "deposit-held"
    """Screening holds a deposit; a person decides."""
    PAYOUT_HELD = "payout-held"
    """Screening keeps a payout from the signer; a person decides."""
    DEPOSIT_REORGED = "deposit-reorged"
    """A deposit that had been credited left the chain."""
    NETWORK_TROUBLE = "network-trouble"
    """Nothing is credited on a network until a person has looked."""
    INDEXES_SCARCE = "indexes-scarce"
    """A merchant's address range is nearly used up."""
    WEBHOOK_GIVEN_UP = "webhook-given-up"
    """A webhook could not be delivered for days and is not tried any more."""
    WEBHOOK_ENDPOINT_GONE = "webhook-endpoint-gone"
    """An endpoint answered that it is gone, and gets nothing any more."""
    SIGNER_STOPPED = "signer-stopped"
    """The signer stopped itself in a scope; only a quorum's restore lets it go on."""
    JOURNAL_FORKED = "journal-forked"
    """The signer told a second history."""
    JOURNAL_CONTRADICTED = "journal-contradicted"
    """The signer's journal says of a payout what cannot follow from what is known here."""
    TRANSACTION_REFUSED = "transaction-refused"
    """No node takes a transaction that the signer signed."""
    RECONCILIATION_GAP = "reconciliation-gap"
    """Chain, ledger and journal do not say the same about an asset."""
    FLOAT_LOW = "float-low"
    """The float of an asset is nearly used up: a settlement is due."""


@dataclass(frozen=True, slots=True)
class InvoiceFacts:
    """What the function needs of an invoice. Units are the price's smallest."""

    id: str
    state: InvoiceState
    reason: InvoiceReason | None
    price_units: int
    terms: Terms
    expires_at: datetime
    monitored_until: datetime
    read_through_expiry: bool
    """Whether every network that it may be paid on has been read to a moment after its expiry."""


@dataclass(frozen=True, slots=True)
class QuoteFacts:
    """One version of one asset's quote."""

    asset: str
    due_units: int
    created_at: datetime
    valid_until: datetime


@dataclass(frozen=True, slots=True)
class DepositFacts:
    """What the function needs of a deposit. Units are its asset's smallest."""

    id: str
    asset: str
    units: int
    state: DepositState
    paid_at: datetime
    was_confirmed: bool = False
    """Whether it has ever been credited."""
    below_minimum: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the invoice stands. Units are the price's smallest, rounded down once, over all deposits."""

    state: InvoiceState
    reason: InvoiceReason | None
    paid_units: int
    confirmed_units: int
    attention: frozenset[tuple[str, AttentionReason]]
    """What a person should look at: id of the invoice or of one of its deposits, and why."""


@dataclass(frozen=True, slots=True)
class _Worth:
    """One deposit against its quote."""

    value: Fraction = Fraction(0)
    counts: bool = False
    late: bool = False
    ask: AttentionReason | None = None


def standing(invoice: InvoiceFacts, quotes: Sequence[QuoteFacts], deposits: Sequence[DepositFacts]) -> Standing:
    """Where an invoice stands, given all that was quoted and all that has ever arrived for it.

    Values are fractions until the last step, so that paying exactly what is due, in any number of parts
    and assets, is worth exactly the price.
    """
    live = [(deposit, _worth(invoice, quotes, deposit)) for deposit in deposits if deposit.state in _LIVE]
    paid = sum((worth.value for _, worth in live if worth.counts), Fraction(0))
    confirmed = sum(
        (worth.value for deposit, worth in live if worth.counts and deposit.state is DepositState.CONFIRMED),
        Fraction(0),
    )
    state = _state(invoice, paid, confirmed)
    reason = _reason(invoice, state, paid, deposits, [worth for _, worth in live])
    asks = {(deposit.id, worth.ask) for deposit, worth in live if worth.ask is not None}
    if reason is InvoiceReason.OVERPAID:
        asks.add((invoice.id, AttentionReason.OVERPAID))
    if state is InvoiceState.EXPIRED and paid > 0:
        asks.add((invoice.id, AttentionReason.UNDERPAID))
    return Standing(state, reason, int(paid), int(confirmed), frozenset(asks))


_LIVE = frozenset({DepositState.SEEN, DepositState.CONFIRMED, DepositState.HELD})


def due_left(price_units: int, paid_units: int, due_units: int) -> int:
    """Units of an asset still missing, rounded up; `due_units` is what the whole price costs in it."""
    missing = max(price_units - paid_units, 0)
    return -(-missing * due_units // price_units)


def quote_for(quotes: Iterable[QuoteFacts], asset: str, paid_at: datetime) -> QuoteFacts | None:
    """The version in force when the payment was made: the newest made by then, else the first."""
    mine = sorted((quote for quote in quotes if quote.asset == asset), key=lambda quote: quote.created_at)
    made = [quote for quote in mine if quote.created_at <= paid_at]
    in_force = made[-1:] or mine[:1]
    return in_force[0] if in_force else None


def _worth(invoice: InvoiceFacts, quotes: Sequence[QuoteFacts], deposit: DepositFacts) -> _Worth:
    """What one deposit is worth to the invoice, and whether it counts."""
    if deposit.below_minimum:
        return _Worth()
    quote = quote_for(quotes, deposit.asset, deposit.paid_at)
    if quote is None:
        return _Worth(ask=AttentionReason.ASSET_NOT_QUOTED)
    value = Fraction(deposit.units * invoice.price_units, quote.due_units)
    if invoice.state is InvoiceState.INVALID:
        return _Worth(value, counts=True, ask=AttentionReason.AFTER_MARK)
    if deposit.paid_at <= quote.valid_until:
        return _Worth(value, counts=True)
    return _late(invoice, deposit, value)


def _late(invoice: InvoiceFacts, deposit: DepositFacts, value: Fraction) -> _Worth:
    """The same of one that was made after its quote or its invoice had run out."""
    if deposit.paid_at > invoice.monitored_until:
        return _Worth(value, late=True, ask=AttentionReason.AFTER_MONITORING)
    match invoice.terms.late:
        case LateRule.SETTLE:
            return _Worth(value, counts=True, late=True)
        case LateRule.CREDIT:
            return _Worth(value, late=True)
        case LateRule.ATTENTION:
            return _Worth(value, late=True, ask=AttentionReason.LATE)
        case rule:
            assert_never(rule)


def _state(invoice: InvoiceFacts, paid: Fraction, confirmed: Fraction) -> InvoiceState:
    """The state that the money says, unless a person said another."""
    if invoice.reason is InvoiceReason.MARKED:
        return invoice.state
    if confirmed >= _enough(invoice):
        return InvoiceState.SETTLED
    if paid >= _enough(invoice):
        return InvoiceState.PROCESSING
    return InvoiceState.EXPIRED if invoice.read_through_expiry else InvoiceState.NEW


def _reason(
    invoice: InvoiceFacts,
    state: InvoiceState,
    paid: Fraction,
    deposits: Sequence[DepositFacts],
    worths: Sequence[_Worth],
) -> InvoiceReason | None:
    """The one thing that the state alone does not say, the gravest first."""
    if invoice.reason is InvoiceReason.MARKED:
        return InvoiceReason.MARKED
    undone = any(deposit.was_confirmed and deposit.state is not DepositState.CONFIRMED for deposit in deposits)
    gone = any(deposit.state is DepositState.REORGED for deposit in deposits)
    if state is not InvoiceState.SETTLED and (undone or (gone and paid < _enough(invoice))):
        return InvoiceReason.REORGED
    if int(paid) > _too_much(invoice):  # less than one unit of the price is rounding, not overpayment
        return InvoiceReason.OVERPAID
    if any(worth.late for worth in worths) and (state is not InvoiceState.SETTLED or _needed_late(invoice, worths)):
        return InvoiceReason.LATE
    return InvoiceReason.UNDERPAID if 0 < paid < _enough(invoice) else None


def _needed_late(invoice: InvoiceFacts, worths: Sequence[_Worth]) -> bool:
    """Whether the invoice would be short without what came late."""
    return sum((worth.value for worth in worths if worth.counts and not worth.late), Fraction(0)) < _enough(invoice)


def _enough(invoice: InvoiceFacts) -> int:
    """The least value that settles: the price less what is forgiven, and never nothing."""
    terms = invoice.terms
    forgiven = max(invoice.price_units * terms.underpaid_basis_points // 10_000, terms.underpaid_units)
    return max(invoice.price_units - forgiven, 1)


def _too_much(invoice: InvoiceFacts) -> int:
    """The greatest value that is no overpayment."""
    terms = invoice.terms
    return invoice.price_units + max(invoice.price_units * terms.overpaid_basis_points // 10_000, terms.overpaid_units)
