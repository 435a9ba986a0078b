"""Policies, orders, vetoes and recoveries: what people signed for the signer, kept until it fetches them.

Only their form is looked at. Whether enough of the right people signed is the signer's to find out, which believes
nobody here; a document that it does not take stays listed as not taken.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb

from holdfast.core.errors import BadInput
from holdfast.core.orders import RECOVERY_TAG, VETO_TAG, Recovery, SignedWord, Veto, read_order, read_word
from holdfast.core.quorum import Signature, is_signed, tagged
from holdfast.payments.rows import there
from holdfast.policy.document import read_policy


class WordNotForThis(BadInput):
    """The veto or recovery is not signed by the key that it names, or names another merchant. Sign it again."""

    code = "word-not-for-this"


class DocumentKind(StrEnum):
    """What was signed."""

    POLICY = "policy"
    ORDER = "order"
    VETO = "veto"
    RECOVERY = "recovery"


@dataclass(frozen=True, slots=True)
class SignerDocument:
    """A document as it was signed."""

    id: int
    kind: DocumentKind
    sha256: str
    document: str
    signatures: list[Signature]
    """Of a veto or recovery: the one signature of the key that it names."""
    merchant_id: str | None
    stored_by: str
    stored_at: datetime
    journal_seq: int | None
    """The journal's entry that took it; None: it is not taken yet."""


@dataclass(frozen=True, slots=True)
class Handed:
    """Who handed a document in, and when."""

    by: str
    """The API key's id."""
    at: datetime


async def put_policy(
    conn: AsyncConnection[Any], document: str, signatures: Sequence[Signature], handed: Handed
) -> SignerDocument:
    """Keep a policy. Raises what `read_policy` raises for a text that is none."""
    read_policy(document.encode())
    return await _put(conn, DocumentKind.POLICY, document, signatures, None, handed)


async def put_order(
    conn: AsyncConnection[Any], document: str, signatures: Sequence[Signature], handed: Handed
) -> SignerDocument:
    """Keep an officers' order. Raises `OrderMalformed`."""
    read_order(document.encode())
    return await _put(conn, DocumentKind.ORDER, document, signatures, None, handed)


async def put_veto(conn: AsyncConnection[Any], signed: SignedWord, merchant_id: str, handed: Handed) -> SignerDocument:
    """Keep a merchant's veto. Raises `OrderMalformed`, `WordNotForThis`."""
    veto = read_word(signed.document.encode(), Veto)
    _check_word(VETO_TAG, signed, veto, merchant_id)
    return await _put(
        conn, DocumentKind.VETO, signed.document, [Signature(veto.by, signed.signature)], merchant_id, handed
    )


async def put_recovery(
    conn: AsyncConnection[Any], signed: SignedWord, merchant_id: str, handed: Handed
) -> SignerDocument:
    """Keep the word of a merchant's recovery key. Raises `OrderMalformed`, `WordNotForThis`."""
    word = read_word(signed.document.encode(), Recovery)
    _check_word(RECOVERY_TAG, signed, word, merchant_id)
    return await _put(
        conn, DocumentKind.RECOVERY, signed.document, [Signature(word.by, signed.signature)], merchant_id, handed
    )


async def page(
    conn: AsyncConnection[Any],
    kind: DocumentKind,
    merchant_id: str | None = None,
    *,
    after: int | None = None,
    limit: int = 50,
) -> list[SignerDocument]:
    """Documents of a kind, newest first: one merchant's, or with None all."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            """
            SELECT * FROM payments.signer_documents
            WHERE kind = %(kind)s AND (%(merchant)s::text IS NULL OR merchant_id = %(merchant)s)
              AND (%(after)s::bigint IS NULL OR id < %(after)s)
            ORDER BY id DESC LIMIT %(limit)s
            """,
            {"kind": kind, "merchant": merchant_id, "after": after, "limit": limit},
        )
        return [_document(row) for row in await cursor.fetchall()]


async def waiting(conn: AsyncConnection[Any], kind: DocumentKind, limit: int) -> list[SignerDocument]:
    """The newest documents that no entry has taken, oldest first."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            """
            SELECT * FROM payments.signer_documents WHERE kind = %s AND journal_seq IS NULL ORDER BY id DESC LIMIT %s
            """,
            (kind, limit),
        )
        return [_document(row) for row in reversed(await cursor.fetchall())]


async def taken(conn: AsyncConnection[Any], kind: DocumentKind, by_digest: Mapping[str, int]) -> None:
    """Entries of the journal took these: SHA-256 of the document, and the entry's number."""
    if by_digest:
        await conn.execute(
            """
            UPDATE payments.signer_documents SET journal_seq = given.seq
            FROM unnest(%s::text[], %s::bigint[]) AS given (sha256, seq)
            WHERE kind = %s AND signer_documents.sha256 = given.sha256 AND journal_seq IS NULL
            """,
            (list(by_digest), list(by_digest.values()), kind),
        )


async def certificates_taken(conn: AsyncConnection[Any], by_digest: Mapping[str, int]) -> None:
    """Entries of the journal took these certificates: SHA-256 of the document, and the entry's number."""
    if by_digest:
        await conn.execute(
            """
            UPDATE payments.certificates SET journal_seq = given.seq
            FROM unnest(%s::text[], %s::bigint[]) AS given (sha256, seq)
            WHERE certificates.sha256 = given.sha256 AND journal_seq IS NULL
            """,
            (list(by_digest), list(by_digest.values())),
        )


def digest_of(document: str) -> str:
    """How a signed document is named: SHA-256 of its bytes, hex."""
    return hashlib.sha256(document.encode()).hexdigest()


async def _put(  # noqa: PLR0913  a row's columns
    conn: AsyncConnection[Any], kind: DocumentKind, document: str, signatures: Sequence[Signature],
    merchant_id: str | None, handed: Handed,
) -> SignerDocument:  # fmt: skip
    """Keep it; the same again stays as it was first handed in."""
    wire = Jsonb(msgspec.to_builtins(list(signatures)))
    digest = digest_of(document)
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            """
            INSERT INTO payments.signer_documents
                (kind, sha256, document, signatures, merchant_id, stored_by, stored_at)
            VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
            """,
            (kind, digest, document, wire, merchant_id, handed.by, handed.at),
        )
        await cursor.execute(
            """
            SELECT * FROM payments.signer_documents WHERE kind = %s AND sha256 = %s AND signatures = %s
            """,
            (kind, digest, wire),
        )
        return _document(there(await cursor.fetchone()))


def _check_word(tag: bytes, signed: SignedWord, word: Veto | Recovery, merchant_id: str) -> None:
    if word.merchant != merchant_id or not is_signed(word.by, signed.signature, tagged(tag, signed.document.encode())):
        raise WordNotForThis


def _document(row: DictRow) -> SignerDocument:
    signatures = msgspec.convert(row["signatures"], list[Signature])
    return SignerDocument(**{**row, "kind": DocumentKind(row["kind"]), "signatures": signatures})
