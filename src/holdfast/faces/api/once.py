"""One `Idempotency-Key`, one effect, one answer: how every POST is done.

The answer is stored in the transaction that does the work. What fails has done nothing and is not kept, so the same
request may be sent again. Answers that show a secret are kept sealed under the caller's own API key, which is not here.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus
from typing import Annotated, Any, TypeAlias, TypeVar

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from litestar import Response
from litestar.params import HeaderParameter
from msgspec import Struct
from psycopg import AsyncConnection

from holdfast.core.errors import Conflict, HoldfastError
from holdfast.faces.api.parts import ApiRequest, Parts
from holdfast.faces.api.problems import RequestMalformed
from holdfast.payments import idempotency
from holdfast.payments.idempotency import Answer, Claim, IdempotencyKeyReused

NONCE_BYTES = 12

Body = TypeVar("Body")
Work: TypeAlias = Callable[[AsyncConnection[Any]], Awaitable[Any]]
"""Does the work in the transaction and returns what to answer with."""

IdempotencyKey: TypeAlias = Annotated[
    str,
    HeaderParameter(
        name="Idempotency-Key",
        min_length=1,
        max_length=200,
        pattern=r"^[\x21-\x7e]+$",
        description="Any text of your own that names this request: sent again with the same body it does nothing "
        "twice and gets the same answer, for a week. With another body: `idempotency-key-reused`.",
    ),
]


class AnswerSealed(Conflict):
    """This request was done before, and its answer shows a secret to the API key that sent it alone. Send it with that key, or revoke what it made and make another."""  # noqa: E501  one docstring, two sentences

    code = "answer-sealed"


ONCE_ERRORS: tuple[type[HoldfastError], ...] = (IdempotencyKeyReused,)
"""What every POST may answer."""


def take(kind: type[Body], body: bytes) -> Body:
    """The body as this struct, strictly. Raises `RequestMalformed`."""
    try:
        return msgspec.json.decode(body or b"null", type=kind)
    except msgspec.DecodeError as error:
        raise RequestMalformed(str(error)[:300]) from None
    except UnicodeDecodeError:
        raise RequestMalformed("the body is not UTF-8") from None


def claim_of(request: ApiRequest, key: str, body: bytes) -> Claim:
    """What this request wants to be done once."""
    # Where the caller has one merchant, the header may be there or not: it changes nothing.
    merchant = request.auth.merchant_id or ""
    parts = (request.method, request.url.path, request.url.query, merchant)
    head = "".join(f"{len(part)}:{part}" for part in parts).encode()
    return Claim(request.auth.party, key, sha256(head + body).digest())


async def find(parts: Parts, claim: Claim) -> Response[Any] | None:
    """The answer that the request got before. Raises `IdempotencyKeyReused`."""
    async with parts.pool.connection() as conn:
        found = await idempotency.find(conn, claim)
    return None if found is None else respond(_own(found), is_replay=True)


async def once(parts: Parts, claim: Claim, work: Work, status: int = HTTPStatus.CREATED) -> Response[Any]:
    """Do the work and keep its answer, or give the answer that it got before. Raises what the work raises."""
    return await _once(parts, claim, work, status, _Open())


async def once_sealed(parts: Parts, request: ApiRequest, claim: Claim, work: Work) -> Response[Any]:
    """The same for an answer that shows a secret. Raises `AnswerSealed` to another API key."""
    return await _once(parts, claim, work, HTTPStatus.CREATED, _Sealed(request.headers["authorization"], claim))


async def _once(parts: Parts, claim: Claim, work: Work, status: int, cover: _Open | _Sealed) -> Response[Any]:
    async with parts.pool.connection() as conn, conn.transaction():
        [before] = await idempotency.claim(conn, [claim], parts.clock.now())
        if before is not None:
            answer = _own(before)
            return respond(Answer(answer.status, cover.open(answer.response)), is_replay=True)
        answer = Answer(int(status), msgspec.json.encode(await work(conn)))
        await idempotency.answer(conn, [(claim, Answer(answer.status, cover.close(answer.response)))])
    return respond(answer)


def respond(answer: Answer, *, is_replay: bool = False) -> Response[Any]:
    """An answer as it is sent."""
    headers = {"Idempotent-Replayed": "true"} if is_replay else {}
    return Response(content=answer.response, status_code=answer.status, media_type="application/json", headers=headers)


def encode(body: Struct) -> bytes:
    """A body as it is stored and sent."""
    return msgspec.json.encode(body)


def _own(found: Answer | IdempotencyKeyReused) -> Answer:
    if isinstance(found, IdempotencyKeyReused):
        raise found
    return found


class _Open:
    """Answers as they are."""

    def open(self, stored: bytes) -> bytes:
        return stored

    def close(self, answer: bytes) -> bytes:
        return answer


@dataclass(frozen=True, slots=True)
class _Sealed:
    """Answers encrypted (RFC 8439) under a key made from the caller's secret (RFC 5869).

    The claim is part of the key, so that an answer opens for its own request alone.
    """

    authorization: str
    claim: Claim

    def open(self, stored: bytes) -> bytes:
        try:
            return self._cipher().decrypt(stored[:NONCE_BYTES], stored[NONCE_BYTES:], None)
        except InvalidTag:
            raise AnswerSealed from None

    def close(self, answer: bytes) -> bytes:
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._cipher().encrypt(nonce, answer, None)

    def _cipher(self) -> ChaCha20Poly1305:
        info = b"holdfast sealed answer v1" + sha256(self.claim.key.encode()).digest() + self.claim.request_hash
        key = HKDF(SHA256(), 32, salt=None, info=info).derive(self.authorization.partition(" ")[2].strip().encode())
        return ChaCha20Poly1305(key)
