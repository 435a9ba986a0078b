"""A third party's word that a manifest existed at a moment: RFC 3161, over HTTP (section 3.4)."""

from __future__ import annotations

from pathlib import Path

import httpx
from cryptography.x509 import load_pem_x509_certificates
from rfc3161_client import (
    HashAlgorithm,
    TimestampRequestBuilder,
    VerificationError,
    VerifierBuilder,
    decode_timestamp_response,
)

from holdfast.core.errors import Unavailable

SECONDS_MAX = 20
TOKEN_BYTES_MAX = 1_000_000


class TimestampRefused(Unavailable):
    """The time-stamp server gave none, or one that does not fit. Ask another server; the report can be made without."""

    code = "timestamp-refused"


def stamped(manifest: bytes, url: str, roots: Path | None = None) -> bytes:
    """The server's reply over these bytes (DER). With `roots` (PEM) it must be signed under one of them.

    Raises `TimestampRefused`.
    """
    request = TimestampRequestBuilder().data(manifest).hash_algorithm(HashAlgorithm.SHA256).nonce(nonce=True).build()
    try:
        answer = httpx.post(
            url, content=request.as_bytes(), headers={"Content-Type": "application/timestamp-query"},
            timeout=SECONDS_MAX, follow_redirects=False,
        ).raise_for_status()  # fmt: skip
        reply = answer.content
        if len(reply) > TOKEN_BYTES_MAX:
            raise TimestampRefused(f"{len(reply)} bytes are no time-stamp")
        found = decode_timestamp_response(reply)
        if roots is not None:
            verifier = VerifierBuilder.from_request(request)
            for certificate in load_pem_x509_certificates(roots.read_bytes()):
                verifier.add_root_certificate(certificate)
            verifier.build().verify_message(found, manifest)
        elif found.tst_info.message_imprint.message != request.message_imprint.message:
            raise TimestampRefused("it is over other bytes")
    except (httpx.HTTPError, ValueError, VerificationError) as error:
        raise TimestampRefused(f"{type(error).__name__} {error}"[:200]) from None
    return reply
