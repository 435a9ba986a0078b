"""How payouts and standing orders are asked for and shown. What the fields mean is decided in `core.intents`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from holdfast.core.errors import HoldfastError
from holdfast.core.intents import LINES_MAX, SignedIntent
from holdfast.core.money import format_units
from holdfast.core.quorum import Signature
from holdfast.core.states import LineState, PayoutState, StandingOrderState
from holdfast.faces.api.problems import Problem, problem_of
from holdfast.faces.api.shapes import UnitsText
from holdfast.payments.catalogue import Catalogue
from holdfast.payments.payouts import Payout
from holdfast.payments.standing_orders import StandingOrder

BATCH_MAX = 500
"""Intents of one request; their bytes have a limit of their own."""

IntentId = Annotated[str, Meta(description="SHA-256 of the document, hex: how everybody names the intent.")]


class SignedIntentRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """What the merchant signed, exactly."""

    document: Annotated[
        str,
        Meta(
            min_length=2,
            max_length=65_536,
            description="The intent in canonical form (RFC 8785): docs/reference/intents.md.",
        ),
    ]
    signature: Annotated[
        str, Meta(pattern="^[0-9a-f]{128}$", description="Ed25519, over the domain tag and SHA-256, hex.")
    ]

    @property
    def signed(self) -> SignedIntent:
        """As `core` has it."""
        return SignedIntent(self.document, self.signature)


class PayoutBatchRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Many signed intents, each ordered by itself."""

    payouts: Annotated[list[SignedIntentRequest], Meta(min_length=1, max_length=BATCH_MAX)]


class ApprovalRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Officers' signatures over a payout's intent."""

    approvals: Annotated[list[Signature], Meta(min_length=1, max_length=32)]


class LineBody(Struct, frozen=True):
    """One destination."""

    destination: str
    units: UnitsText
    amount: Annotated[str | None, Meta(description="In whole coins; null where the asset is no longer listed.")]
    state: LineState
    transaction: Annotated[str | None, Meta(description="What paid it.")]


class WaitingBody(Struct, frozen=True):
    """Why a payout is not signed yet."""

    rule: Annotated[
        str,
        Meta(
            description="The signer's rule (docs/reference/rules.md); `direct-payout`: officers pay it from the vault; "
            "`screening`: the operator looks at its destinations."
        ),
    ]
    detail: str
    at: Annotated[datetime | None, Meta(description="When the signer last said so.")]


class PayoutBody(Struct, frozen=True):
    """Money ordered out, and where it stands."""

    id: str
    intent: IntentId
    reference: str
    network: str
    asset: str
    symbol: str | None
    state: PayoutState
    lines_units: Annotated[UnitsText, Meta(description="What its destinations get together.")]
    fee_units: Annotated[UnitsText, Meta(description="What you pay for it, whatever the network takes.")]
    lines: Annotated[list[LineBody], Meta(max_length=LINES_MAX)]
    rule: Annotated[str | None, Meta(description="Why it was refused or abandoned.")]
    detail: str | None
    waiting: WaitingBody | None
    approvals: Annotated[list[str], Meta(description="Keys of the officers who signed it too.")]
    transaction: str | None
    standing_order: str | None
    slot: int | None
    document: Annotated[str, Meta(description="What was signed: officers sign these very bytes.")]
    signature: str
    not_before: datetime
    expires_at: datetime
    created_at: datetime
    accepted_at: Annotated[datetime | None, Meta(description="When the signer took it on.")]
    signed_at: datetime | None
    broadcast_at: datetime | None
    ended_at: datetime | None


class BatchItem(Struct, frozen=True):
    """What became of one intent of a batch: a payout or a problem."""

    intent: IntentId
    payout: PayoutBody | None
    problem: Problem | None


class PayoutBatchBody(Struct, frozen=True):
    """What became of each, in the order sent."""

    items: list[BatchItem]


class FeeBody(Struct, frozen=True):
    """What a payout costs now."""

    network: str
    asset: str
    lines: int
    fee_units: Annotated[UnitsText, Meta(description="Sign with at least this as `fee_units`.")]
    fee: Annotated[str, Meta(description="The same in whole coins.")]
    paid_by: Annotated[str, Meta(description="`merchant`, or `company`: then it is nothing.")]


class StandingOrderBody(Struct, frozen=True):
    """A standing order, and where it stands."""

    id: str
    intent: IntentId
    reference: str
    network: str
    asset: str
    destination: str
    units: Annotated[UnitsText, Meta(description="Most that one slot pays.")]
    minimum_units: Annotated[UnitsText, Meta(description="Less on the balance, and the slot waits.")]
    fee_units: UnitsText
    every_seconds: int
    state: StandingOrderState
    slot_next: int
    due_at: Annotated[datetime, Meta(description="When that slot begins, or the order ends.")]
    document: str
    signature: str
    not_before: datetime
    expires_at: datetime
    created_at: datetime
    ended_at: datetime | None


def payout_body(catalogue: Catalogue, payout: Payout) -> PayoutBody:
    """A payout as the API shows it."""
    asset = _asset(catalogue, payout.asset)
    waiting = None
    if payout.waiting_rule is not None:
        waiting = WaitingBody(payout.waiting_rule, payout.waiting_detail or "", payout.looked_at)
    return PayoutBody(
        id=payout.id,
        intent=payout.intent_id,
        reference=payout.reference,
        network=payout.network,
        asset=payout.asset,
        symbol=asset[0] if asset else None,
        state=payout.state,
        lines_units=str(payout.lines_units),
        fee_units=str(payout.fee_units),
        lines=[
            LineBody(
                line.destination,
                str(line.units),
                format_units(line.units, asset[1]) if asset else None,
                line.state,
                line.transaction,
            )
            for line in payout.lines
        ],
        rule=payout.rule,
        detail=payout.detail,
        waiting=waiting,
        approvals=[one.officer for one in payout.approvals],
        transaction=payout.transaction,
        standing_order=payout.standing_order_id,
        slot=payout.slot,
        document=payout.document,
        signature=payout.signature,
        not_before=payout.not_before,
        expires_at=payout.expires_at,
        created_at=payout.created_at,
        accepted_at=payout.accepted_at,
        signed_at=payout.signed_at,
        broadcast_at=payout.broadcast_at,
        ended_at=payout.ended_at,
    )


def batch_item(catalogue: Catalogue, intent: str, outcome: Payout | HoldfastError) -> BatchItem:
    """One answer of a batch."""
    if isinstance(outcome, HoldfastError):
        return BatchItem(intent, None, problem_of(outcome))
    return BatchItem(intent, payout_body(catalogue, outcome), None)


def standing_order_body(order: StandingOrder) -> StandingOrderBody:
    """A standing order as the API shows it."""
    return StandingOrderBody(
        id=order.id,
        intent=order.intent_id,
        reference=order.reference,
        network=order.network,
        asset=order.asset,
        destination=order.destination,
        units=str(order.units),
        minimum_units=str(order.minimum_units),
        fee_units=str(order.fee_units),
        every_seconds=order.every_seconds,
        state=order.state,
        slot_next=order.slot_next,
        due_at=order.due_at,
        document=order.document,
        signature=order.signature,
        not_before=order.not_before,
        expires_at=order.expires_at,
        created_at=order.created_at,
        ended_at=order.ended_at,
    )


def _asset(catalogue: Catalogue, text: str) -> tuple[str, int] | None:
    """Symbol and decimals, while the asset is listed: what was ordered in it is shown for ever."""
    for listed in catalogue.networks.values():
        for asset in listed.assets.values():
            if asset.id == text:
                return asset.symbol, asset.decimals
    return None
