"""`/v1/merchants`: the operator enrols merchants and hands in the certificates that officers signed."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from litestar import Response, Router, get, post, put
from litestar.params import RawBody
from msgspec import Meta, Struct
from psycopg import AsyncConnection

from holdfast.core.certificates import CertificateExpired, CertificateMalformed, CertificateUnsigned
from holdfast.core.errors import Conflict
from holdfast.core.quorum import Signature
from holdfast.faces.api.callers import KEY_ERRORS, OperatorOnly, operator_only
from holdfast.faces.api.once import ONCE_ERRORS, IdempotencyKey, claim_of, once, take
from holdfast.faces.api.parts import ApiRequest, Parts
from holdfast.faces.api.problems import refuses
from holdfast.faces.api.shapes import After, IdPath, Limit, Page, page_of
from holdfast.payments import certification, merchants
from holdfast.payments.certification import (
    CertificateNotForThis,
    Enrolment,
    IndexSpaceUsedUp,
    MerchantInvalid,
    Proof,
)
from holdfast.payments.merchants import Merchant, MerchantNotFound
from holdfast.payments.standing import Terms

HexKey = Annotated[str, Meta(pattern="^[0-9a-f]{64}$", description="An Ed25519 public key, hex.", examples=["ab" * 32])]


class QuorumMissing(Conflict):
    """This platform has no officers' quorum document. Put it where `quorum_file` says and start the server again."""

    code = "quorum-missing"


class EnrolmentRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """A merchant to be enrolled."""

    name: Annotated[str, Meta(min_length=1, max_length=certification.NAME_LENGTH_MAX, examples=["Corner Books"])]
    key: HexKey
    recovery_key: HexKey
    tariff_basis_points: Annotated[int, Meta(ge=0, le=10_000, description="What you keep of each deposit.")] = 0


class CertificateRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """A certificate that officers have signed."""

    document: Annotated[bytes, Meta(min_length=2, max_length=131_072, description="The signed bytes, base64.")]
    signatures: Annotated[list[Signature], Meta(min_length=1, max_length=32)]


class MerchantBody(Struct, frozen=True):
    """A merchant."""

    id: str
    name: str
    state: Annotated[str, Meta(description="`pending` until certified, then `active`, at last `closed`.")]
    key: HexKey
    recovery_key: HexKey
    tariff_basis_points: int
    terms: Terms
    certificate_version: int | None
    certified_until: datetime | None
    request: Annotated[bytes, Meta(description="The unsigned certificate for officers to sign, base64.")]
    created_at: datetime


@post(
    "/",
    summary="Enrol a merchant",
    opt={"takes": EnrolmentRequest},
    guards=[operator_only()],
    responses=refuses(*KEY_ERRORS, *ONCE_ERRORS, OperatorOnly, MerchantInvalid, IndexSpaceUsedUp),
)
async def enrol_merchant(
    request: ApiRequest, parts: Parts, body: RawBody, idempotency_key: IdempotencyKey
) -> Response[MerchantBody]:
    """A pending merchant with index ranges reserved, and the document that officers are asked to sign."""
    wanted = take(EnrolmentRequest, body)
    enrolment = Enrolment(
        wanted.name, bytes.fromhex(wanted.key), bytes.fromhex(wanted.recovery_key), wanted.tariff_basis_points
    )

    async def work(conn: AsyncConnection[Any]) -> MerchantBody:
        return _shown(await certification.enrol(conn, enrolment, parts.desk.catalogue, parts.clock.now()))

    return await once(parts, claim_of(request, idempotency_key, body), work)


@put(
    "/{merchant_id:str}/certificate",
    summary="Hand in a signed certificate",
    opt={"takes": CertificateRequest},
    guards=[operator_only()],
    responses=refuses(
        *KEY_ERRORS, OperatorOnly, MerchantNotFound, QuorumMissing, CertificateMalformed, CertificateUnsigned,
        CertificateExpired, CertificateNotForThis,
    ),
)  # fmt: skip
async def put_certificate(parts: Parts, body: RawBody, merchant_id: IdPath) -> MerchantBody:
    """The merchant is active once the quorum's signatures are found to be valid for exactly what is enrolled."""
    wanted = take(CertificateRequest, body)
    if parts.quorum is None:
        raise QuorumMissing(str(parts.settings.quorum_file.name))
    proof = Proof(wanted.document, wanted.signatures, parts.quorum.document, parts.quorum.fingerprint)
    async with parts.pool.connection() as conn, conn.transaction():
        return _shown(await certification.certify(conn, merchant_id, proof, parts.clock.now()))


@post(
    "/{merchant_id:str}/renewals",
    summary="Ask for a fresh certificate",
    guards=[operator_only()],
    responses=refuses(*KEY_ERRORS, *ONCE_ERRORS, OperatorOnly, MerchantNotFound, IndexSpaceUsedUp),
)
async def renew_certificate(
    request: ApiRequest, parts: Parts, body: RawBody, merchant_id: IdPath, idempotency_key: IdempotencyKey
) -> Response[MerchantBody]:
    """The next version of the document to sign: for a new term, a new network or another index range."""

    async def work(conn: AsyncConnection[Any]) -> MerchantBody:
        return _shown(await certification.renew(conn, merchant_id, parts.desk.catalogue, parts.clock.now()))

    return await once(parts, claim_of(request, idempotency_key, body), work)


@put(
    "/{merchant_id:str}/terms",
    summary="Set a merchant's terms",
    opt={"takes": Terms},
    guards=[operator_only()],
    responses=refuses(*KEY_ERRORS, OperatorOnly, MerchantNotFound),
)
async def put_terms(parts: Parts, body: RawBody, merchant_id: IdPath) -> MerchantBody:
    """Tolerances, times and the late rule for invoices made from now on; older ones keep theirs."""
    terms = take(Terms, body)
    async with parts.pool.connection() as conn, conn.transaction():
        return _shown(await merchants.set_terms(conn, merchant_id, terms))


@post(
    "/{merchant_id:str}/close",
    summary="Close a merchant",
    status_code=200,
    guards=[operator_only()],
    responses=refuses(*KEY_ERRORS, *ONCE_ERRORS, OperatorOnly, MerchantNotFound),
)
async def close_merchant(
    request: ApiRequest, parts: Parts, body: RawBody, merchant_id: IdPath, idempotency_key: IdempotencyKey
) -> Response[MerchantBody]:
    """Nothing new is made for it; its addresses stay watched and its balance stays its own."""

    async def work(conn: AsyncConnection[Any]) -> MerchantBody:
        return _shown(await merchants.close(conn, merchant_id))

    return await once(parts, claim_of(request, idempotency_key, body), work, 200)


@get(
    "/{merchant_id:str}",
    summary="Read a merchant",
    guards=[operator_only()],
    responses=refuses(*KEY_ERRORS, OperatorOnly, MerchantNotFound),
)
async def get_merchant(parts: Parts, merchant_id: IdPath) -> MerchantBody:
    """One merchant."""
    async with parts.pool.connection() as conn:
        return _shown(await merchants.get(conn, merchant_id))


@get("/", summary="List merchants", guards=[operator_only()], responses=refuses(*KEY_ERRORS, OperatorOnly))
async def list_merchants(parts: Parts, after: After = None, limit: Limit = 50) -> Page[MerchantBody]:
    """Every merchant, newest first."""
    async with parts.pool.connection() as conn:
        found = await merchants.page(conn, after=after, limit=limit + 1)
    return page_of([_shown(one) for one in found], limit, "id")


def _shown(merchant: Merchant) -> MerchantBody:
    return MerchantBody(
        id=merchant.id,
        name=merchant.name,
        state=merchant.state,
        key=bytes(merchant.public_key).hex(),
        recovery_key=bytes(merchant.recovery_key).hex(),
        tariff_basis_points=merchant.tariff_basis_points,
        terms=merchant.settings,
        certificate_version=merchant.certificate_version,
        certified_until=merchant.certified_until,
        request=bytes(merchant.request),
        created_at=merchant.created_at,
    )


router = Router(
    "/v1/merchants",
    route_handlers=[
        enrol_merchant, list_merchants, get_merchant, put_certificate, renew_certificate, put_terms, close_merchant,
    ],
    tags=["Merchants"],
)  # fmt: skip
