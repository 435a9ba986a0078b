"""`/v1/certificate`: the merchant's certificate, as officers signed it. The SDK believes it only after checking it."""

from __future__ import annotations

from typing import Annotated

from litestar import Router, get
from msgspec import Meta, Struct, convert

from holdfast.core.errors import NotFound
from holdfast.core.quorum import Signature
from holdfast.faces.api.callers import KEY_ERRORS, allow
from holdfast.faces.api.merchants import QuorumMissing
from holdfast.faces.api.parts import ApiRequest, Parts
from holdfast.faces.api.problems import refuses
from holdfast.payments import merchants
from holdfast.payments.api_keys import Scope


class CertificateMissing(NotFound):
    """Officers have not signed a certificate for this merchant yet. Ask the operator to have it signed."""

    code = "certificate-missing"


class CertificateBody(Struct, frozen=True):
    """A certificate and what it takes to check it, but for the root fingerprint: get that out of band."""

    document: Annotated[bytes, Meta(description="The exact bytes that were signed, base64.")]
    signatures: list[Signature]
    quorum: Annotated[
        bytes, Meta(description="The officers' quorum document, base64; its SHA-256 is the root fingerprint.")
    ]


@get(
    "/",
    summary="Read your certificate",
    guards=[allow(Scope.INVOICES_READ)],
    responses=refuses(*KEY_ERRORS, CertificateMissing, QuorumMissing),
)
async def get_certificate(request: ApiRequest, parts: Parts) -> CertificateBody:
    """Your newest certificate: which index ranges of the vault are yours. Verify it; do not believe this server."""
    async with parts.pool.connection() as conn:
        found = await merchants.certificate(conn, request.auth.owner)
    if found is None:
        raise CertificateMissing
    if parts.quorum is None:
        raise QuorumMissing
    return CertificateBody(found.document, convert(found.signatures, list[Signature]), parts.quorum.document)


router = Router("/v1/certificate", route_handlers=[get_certificate], tags=["Certificate"])
