"""`/v1/reconciliation`, `/v1/settlements/draft`, `/v1/evidence`, `/v1/transactions`: what went out, whether it adds up.

All of it is the operator's alone, and reads only.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from litestar import Router, get
from litestar.params import QueryParameter
from msgspec import Meta, Struct

from holdfast.core.journal import StoredEntry
from holdfast.core.leases import SignedLease
from holdfast.faces.api.callers import KEY_ERRORS, OperatorOnly, operator_only
from holdfast.faces.api.parts import Parts
from holdfast.faces.api.problems import refuses
from holdfast.faces.api.shapes import AfterNumber, AssetText, Limit, Page, page_of
from holdfast.payments import mirror, reconciling, settlement_drafts, transactions
from holdfast.payments.catalogue import AssetNotListed
from holdfast.payments.reconciliation import Figures, Finding
from holdfast.payments.reconciling import Reconciliation
from holdfast.payments.settlement_drafts import FloatMissing, SettlementDraft
from holdfast.payments.transactions import Outgoing, TransactionState

EVIDENCE_MAX = 1_000

AssetQuery = Annotated[str, QueryParameter(min_length=3, max_length=160, description="CAIP-19 id of an asset.")]


class ReconciliationBody(Struct, frozen=True):
    """Chain, ledger and journal of one asset at one block."""

    asset: AssetText
    height: int
    hash: str
    is_balanced: Annotated[bool, Meta(description="Whether all say the same: there is no finding.")]
    gap_units: Annotated[str, Meta(description="Vault's and float's gap together, without sign.")]
    figures: Figures
    findings: list[Finding]
    made_at: datetime


class ReconciliationsBody(Struct, frozen=True):
    """The newest comparison of each asset, or the comparisons of one."""

    items: list[ReconciliationBody]


class EvidenceBody(Struct, frozen=True):
    """The signer's journal as it is mirrored here: entries, and the watchtower's newest receipt."""

    entries: list[StoredEntry]
    receipt: Annotated[SignedLease | None, Meta(description="The watchtower's word for a head, perhaps a later one.")]
    journal_seq: Annotated[int, Meta(description="The newest entry that is mirrored here.")]


class TransactionBody(Struct, frozen=True):
    """A transaction of the signer's."""

    reservation: Annotated[int, Meta(description="Number of the journal's entry that reserved it.")]
    network: str
    asset: str
    purpose: str
    payouts: list[str]
    nonce: str | None
    replaces: int | None
    state: TransactionState
    transaction: str | None
    attempts: Annotated[int, Meta(description="Refusals since it was last taken.")]
    last_error: str | None
    last_sent_at: datetime | None
    height: int | None
    paid_fee_units: str | None
    signed_at: datetime | None


@get(
    "/reconciliation",
    summary="Read the reconciliation",
    guards=[operator_only()],
    responses=refuses(*KEY_ERRORS, OperatorOnly),
)
async def get_reconciliation(
    parts: Parts,
    asset: Annotated[
        str | None, QueryParameter(min_length=3, max_length=160, description="Only this asset's, newest first.")
    ] = None,
) -> ReconciliationsBody:
    """Whether chain, ledger and journal say the same of each asset, at which block, and what a gap is made of."""
    async with parts.pool.connection() as conn:
        found = await (reconciling.newest(conn) if asset is None else reconciling.history(conn, asset))
    return ReconciliationsBody([_shown(one) for one in found])


@get(
    "/settlements/draft",
    summary="Read what a settlement should bring",
    guards=[operator_only()],
    responses=refuses(*KEY_ERRORS, OperatorOnly, AssetNotListed, FloatMissing),
)
async def get_settlement_draft(parts: Parts, asset: AssetQuery) -> SettlementDraft:
    """For the officers' checking machine, which believes none of it and finds all of it again."""
    async with parts.pool.connection() as conn:
        return await settlement_drafts.draft(conn, parts.desk.catalogue, asset)


@get(
    "/evidence",
    summary="Export the signer's journal",
    guards=[operator_only()],
    responses=refuses(*KEY_ERRORS, OperatorOnly),
)
async def get_evidence(
    parts: Parts,
    after: Annotated[int, QueryParameter(ge=0, le=2**62, description="Entries behind this one.")] = 0,
    limit: Annotated[int, QueryParameter(ge=1, le=EVIDENCE_MAX, description="Most entries.")] = EVIDENCE_MAX,
) -> EvidenceBody:
    """The entries as the signer wrote them, each bound to the one before: whoever holds the last can check them all."""
    async with parts.pool.connection() as conn:
        entries = await mirror.stored(conn, after, limit)
        receipt = await mirror.newest_receipt(conn)
        head = await mirror.head(conn)
    return EvidenceBody(entries, receipt, head.seq)


@get(
    "/transactions",
    summary="List the signer's transactions",
    guards=[operator_only()],
    responses=refuses(*KEY_ERRORS, OperatorOnly),
)
async def list_transactions(parts: Parts, after: AfterNumber = None, limit: Limit = 50) -> Page[TransactionBody]:
    """What was reserved, signed, sent and mined, newest first; `last_error` says why no node takes one."""
    async with parts.pool.connection() as conn:
        found = await transactions.page(conn, before=after, limit=limit + 1)
    return page_of([_transaction(one) for one in found], limit, "reservation")


def _shown(one: Reconciliation) -> ReconciliationBody:
    return ReconciliationBody(
        asset=one.asset,
        height=one.height,
        hash=one.hash,
        is_balanced=not one.findings,
        gap_units=str(one.gap_units),
        figures=one.figures,
        findings=one.findings,
        made_at=one.made_at,
    )


def _transaction(one: Outgoing) -> TransactionBody:
    return TransactionBody(
        reservation=one.reservation,
        network=one.network,
        asset=one.asset,
        purpose=one.purpose,
        payouts=list(one.payouts),
        nonce=None if one.nonce is None else str(one.nonce),
        replaces=one.replaces,
        state=one.state,
        transaction=one.transaction,
        attempts=one.attempts,
        last_error=one.last_error,
        last_sent_at=one.last_sent_at,
        height=one.height,
        paid_fee_units=None if one.paid_fee_units is None else str(one.paid_fee_units),
        signed_at=one.signed_at,
    )


router = Router(
    "/v1",
    route_handlers=[get_reconciliation, get_settlement_draft, get_evidence, list_transactions],
    tags=["Reconciliation"],
)
