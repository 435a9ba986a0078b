"""Merchants as they are stored and read. Enrolling and certifying one is `certification`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb

from holdfast.core.errors import NotFound
from holdfast.payments.standing import Terms


class MerchantNotFound(NotFound):
    """There is no such merchant here. Check the id."""

    code = "merchant-not-found"


@dataclass(frozen=True, slots=True)
class Merchant:
    """A merchant as the platform knows it."""

    id: str
    name: str
    public_key: bytes
    recovery_key: bytes
    state: str
    """`pending` until certified, then `active`, at last `closed`."""
    settings: Terms
    tariff_basis_points: int
    certificate_version: int | None
    certified_until: datetime | None
    request: bytes
    """The unsigned certificate document: the exact bytes for officers to sign."""
    created_at: datetime


@dataclass(frozen=True, slots=True)
class StoredCertificate:
    """A certificate as it was signed."""

    merchant_id: str
    version: int
    document: bytes
    signatures: list[dict[str, str]]
    expires_at: datetime


async def get(conn: AsyncConnection[Any], merchant_id: str, *, lock: bool = False) -> Merchant:
    """One merchant. `lock`: nobody else changes it until the transaction ends. Raises `MerchantNotFound`."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            f"SELECT * FROM payments.merchants WHERE id = %s {'FOR NO KEY UPDATE' if lock else ''}",  # noqa: S608  no input in it
            (merchant_id,),
        )
        row = await cursor.fetchone()
    if row is None:
        raise MerchantNotFound(merchant_id[:60])
    return merchant_from(row)


async def page(conn: AsyncConnection[Any], *, after: str | None = None, limit: int = 50) -> list[Merchant]:
    """Merchants, newest first. `after`: the last id of the page before."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            "SELECT * FROM payments.merchants WHERE %s::text IS NULL OR id < %s ORDER BY id DESC LIMIT %s",
            (after, after, limit),
        )
        return [merchant_from(row) for row in await cursor.fetchall()]


async def set_terms(conn: AsyncConnection[Any], merchant_id: str, terms: Terms) -> Merchant:
    """The rules for invoices made from now on. Raises `MerchantNotFound`."""
    await conn.execute(
        "UPDATE payments.merchants SET settings = %s WHERE id = %s", (Jsonb(msgspec.to_builtins(terms)), merchant_id)
    )
    return await get(conn, merchant_id)


async def close(conn: AsyncConnection[Any], merchant_id: str) -> Merchant:
    """Nothing new is made for the merchant any more; its addresses stay watched. Raises `MerchantNotFound`."""
    await conn.execute("UPDATE payments.merchants SET state = 'closed' WHERE id = %s", (merchant_id,))
    return await get(conn, merchant_id)


async def certificate(conn: AsyncConnection[Any], merchant_id: str) -> StoredCertificate | None:
    """The newest certificate's exact bytes and signatures; None before the first."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            """
            SELECT merchant_id, version, document, signatures, expires_at FROM payments.certificates
            WHERE merchant_id = %s ORDER BY version DESC LIMIT 1
            """,
            (merchant_id,),
        )
        row = await cursor.fetchone()
    return None if row is None else StoredCertificate(**{**row, "document": bytes(row["document"])})


def merchant_from(row: DictRow) -> Merchant:
    """A merchant from its row."""
    return Merchant(
        **{
            **row,
            "public_key": bytes(row["public_key"]),
            "recovery_key": bytes(row["recovery_key"]),
            "settings": msgspec.convert(row["settings"], Terms),
            "request": bytes(row["request"]),
        }
    )
