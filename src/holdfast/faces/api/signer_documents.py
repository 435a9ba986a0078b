"""`/v1/policies`, `/v1/orders`, `/v1/vetoes`, `/v1/recoveries`: what people signed for the signer, until it fetches it.

Only the form is checked here. The signer checks the signatures, and `journal_seq` shows when it has taken a document.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Any

from litestar import Response, Router, get, post
from litestar.params import RawBody
from msgspec import Meta, Struct
from psycopg import AsyncConnection

from holdfast.core.orders import OrderMalformed, SignedWord
from holdfast.core.quorum import Signature
from holdfast.faces.api.callers import KEY_ERRORS, OperatorOnly, Whose, allow, operator_only
from holdfast.faces.api.once import ONCE_ERRORS, IdempotencyKey, claim_of, once, take
from holdfast.faces.api.parts import ApiRequest, Parts
from holdfast.faces.api.problems import refuses
from holdfast.faces.api.shapes import NO_NUL, AfterNumber, Limit, Page, page_of
from holdfast.payments import signer_documents
from holdfast.payments.api_keys import Scope
from holdfast.payments.signer_documents import DocumentKind, Handed, SignerDocument, WordNotForThis
from holdfast.policy.document import PolicyMalformed

DOCUMENT_LENGTH_MAX = 200_000

Text = Annotated[
    str,
    Meta(min_length=2, max_length=DOCUMENT_LENGTH_MAX, pattern=NO_NUL, description="The exact bytes that were signed."),
]


class SignedDocumentRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """A policy or an order that officers have signed."""

    document: Text
    signatures: Annotated[list[Signature], Meta(min_length=1, max_length=32)]


class SignedWordRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """A veto or a recovery that a merchant has signed."""

    document: Text
    signature: Annotated[str, Meta(pattern="^[0-9a-f]{128}$", description="64 bytes, hex.")]


class SignedDocumentBody(Struct, frozen=True):
    """A signed document as it was handed in."""

    id: str
    kind: DocumentKind
    sha256: Annotated[str, Meta(description="Of the document: how the signer's journal names it.")]
    document: str
    signatures: Annotated[list[Signature], Meta(description="Of a veto or recovery: the one by the key it names.")]
    merchant_id: str | None
    stored_at: datetime
    journal_seq: Annotated[int | None, Meta(description="The journal's entry that took it; null: not taken yet.")]


@post(
    "/policies",
    summary="Hand in a signed policy",
    opt={"takes": SignedDocumentRequest},
    guards=[operator_only()],
    responses=refuses(*KEY_ERRORS, *ONCE_ERRORS, OperatorOnly, PolicyMalformed),
)
async def post_policy(
    request: ApiRequest, parts: Parts, body: RawBody, idempotency_key: IdempotencyKey
) -> Response[SignedDocumentBody]:
    """A policy for the signer to fetch. Tightening counts at once there, loosening after its delay."""
    wanted = take(SignedDocumentRequest, body)

    async def work(conn: AsyncConnection[Any]) -> SignedDocumentBody:
        handed = _handed(request, parts)
        return _shown(await signer_documents.put_policy(conn, wanted.document, wanted.signatures, handed))

    return await once(parts, claim_of(request, idempotency_key, body), work)


@post(
    "/orders",
    summary="Hand in a signed order",
    opt={"takes": SignedDocumentRequest},
    guards=[operator_only()],
    responses=refuses(*KEY_ERRORS, *ONCE_ERRORS, OperatorOnly, OrderMalformed),
)
async def post_order(
    request: ApiRequest, parts: Parts, body: RawBody, idempotency_key: IdempotencyKey
) -> Response[SignedDocumentBody]:
    """An order of the officers for the signer to fetch: rotate the float, restore, decide, pay directly."""
    wanted = take(SignedDocumentRequest, body)

    async def work(conn: AsyncConnection[Any]) -> SignedDocumentBody:
        handed = _handed(request, parts)
        return _shown(await signer_documents.put_order(conn, wanted.document, wanted.signatures, handed))

    return await once(parts, claim_of(request, idempotency_key, body), work)


@post(
    "/vetoes",
    summary="Veto a key change",
    opt={"takes": SignedWordRequest},
    guards=[allow(Scope.VETOES_WRITE)],
    responses=refuses(*KEY_ERRORS, *ONCE_ERRORS, OrderMalformed, WordNotForThis),
)
async def post_veto(
    request: ApiRequest, parts: Parts, body: RawBody, idempotency_key: IdempotencyKey
) -> Response[SignedDocumentBody]:
    """Your old key or your recovery key says that the new key is not yours: nothing of yours is paid out until it is
    decided."""
    return await _word(request, parts, body, idempotency_key, signer_documents.put_veto)


@post(
    "/recoveries",
    summary="Decide a veto",
    opt={"takes": SignedWordRequest},
    guards=[allow(Scope.VETOES_WRITE)],
    responses=refuses(*KEY_ERRORS, *ONCE_ERRORS, OrderMalformed, WordNotForThis),
)
async def post_recovery(
    request: ApiRequest, parts: Parts, body: RawBody, idempotency_key: IdempotencyKey
) -> Response[SignedDocumentBody]:
    """Your recovery key says which certificate of yours counts."""
    return await _word(request, parts, body, idempotency_key, signer_documents.put_recovery)


@get("/policies", summary="List policies", guards=[operator_only()], responses=refuses(*KEY_ERRORS, OperatorOnly))
async def list_policies(parts: Parts, after: AfterNumber = None, limit: Limit = 50) -> Page[SignedDocumentBody]:
    """What was handed in, newest first."""
    return await _page(parts, DocumentKind.POLICY, None, after, limit)


@get("/orders", summary="List orders", guards=[operator_only()], responses=refuses(*KEY_ERRORS, OperatorOnly))
async def list_orders(parts: Parts, after: AfterNumber = None, limit: Limit = 50) -> Page[SignedDocumentBody]:
    """What was handed in, newest first."""
    return await _page(parts, DocumentKind.ORDER, None, after, limit)


@get(
    "/vetoes",
    summary="List vetoes",
    guards=[allow(Scope.VETOES_WRITE, Whose.EITHER)],
    responses=refuses(*KEY_ERRORS),
)
async def list_vetoes(
    request: ApiRequest, parts: Parts, after: AfterNumber = None, limit: Limit = 50
) -> Page[SignedDocumentBody]:
    """Yours, newest first; the operator's key lists everybody's."""
    return await _page(parts, DocumentKind.VETO, request.auth.merchant_id, after, limit)


@get(
    "/recoveries",
    summary="List recoveries",
    guards=[allow(Scope.VETOES_WRITE, Whose.EITHER)],
    responses=refuses(*KEY_ERRORS),
)
async def list_recoveries(
    request: ApiRequest, parts: Parts, after: AfterNumber = None, limit: Limit = 50
) -> Page[SignedDocumentBody]:
    """Yours, newest first; the operator's key lists everybody's."""
    return await _page(parts, DocumentKind.RECOVERY, request.auth.merchant_id, after, limit)


PutWord = Callable[[AsyncConnection[Any], SignedWord, str, Handed], Awaitable[SignerDocument]]


async def _word(
    request: ApiRequest, parts: Parts, body: bytes, idempotency_key: str, put: PutWord
) -> Response[SignedDocumentBody]:
    wanted = take(SignedWordRequest, body)
    signed = SignedWord(wanted.document, wanted.signature)

    async def work(conn: AsyncConnection[Any]) -> SignedDocumentBody:
        return _shown(await put(conn, signed, request.auth.owner, _handed(request, parts)))

    return await once(parts, claim_of(request, idempotency_key, body), work)


async def _page(
    parts: Parts, kind: DocumentKind, merchant_id: str | None, after: int | None, limit: int
) -> Page[SignedDocumentBody]:
    async with parts.pool.connection() as conn:
        found = await signer_documents.page(conn, kind, merchant_id, after=after, limit=limit + 1)
    return page_of([_shown(one) for one in found], limit, "id")


def _handed(request: ApiRequest, parts: Parts) -> Handed:
    return Handed(request.auth.caller.key_id, parts.clock.now())


def _shown(one: SignerDocument) -> SignedDocumentBody:
    return SignedDocumentBody(
        str(one.id), one.kind, one.sha256, one.document, one.signatures, one.merchant_id, one.stored_at, one.journal_seq
    )


router = Router(
    "/v1",
    route_handlers=[
        post_policy, list_policies, post_order, list_orders, post_veto, list_vetoes, post_recovery, list_recoveries,
    ],
    tags=["Signer"],
)  # fmt: skip
