"""Deposit addresses: addresses of the vault set aside for one merchant, for one invoice or standing.

An address is derived from a certified range and stored before anybody sees it. It is never given to two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

from holdfast.core.addresses import deposit_address
from holdfast.core.errors import BadInput, NotFound
from holdfast.payments.catalogue import Catalogue
from holdfast.payments.indexes import Indexes
from holdfast.payments.rows import there

CUSTOMER_LENGTH_MAX = 200


class AddressNotFound(NotFound):
    """There is no such deposit address here. Check the network and the address."""

    code = "address-not-found"


class CustomerInvalid(BadInput):
    """The customer's name cannot be stored. Send 1 to 200 printable characters that name your customer to you."""

    code = "customer-invalid"


@dataclass(frozen=True, slots=True)
class NewAddress:
    """An address to be stored."""

    network: str
    address: str
    merchant_id: str
    index: int
    invoice_id: str | None = None
    customer: str | None = None
    open_until: datetime | None = None
    """None: for ever."""


@dataclass(frozen=True, slots=True)
class Address:
    """A deposit address."""

    network: str
    address: str
    merchant_id: str
    index: int
    invoice_id: str | None
    customer: str | None
    open_until: datetime | None
    closed_at: datetime | None
    created_at: datetime


async def insert(conn: AsyncConnection[Any], new: Sequence[NewAddress], now: datetime) -> None:
    """Store addresses in the caller's transaction; they may be shown once it is committed."""
    if not new:
        return
    await conn.execute(
        """
        INSERT INTO payments.addresses
            (network, address, merchant_id, index, invoice_id, customer, open_until, created_at)
        SELECT network, address, merchant_id, index, invoice_id, customer, open_until, %s
        FROM json_to_recordset(%s::json) AS new
            (network text, address text, merchant_id text, index bigint, invoice_id text, customer text,
             open_until timestamptz)
        """,
        (now, msgspec.json.encode(new).decode()),
    )


@dataclass(frozen=True, slots=True)
class StandingRequest:
    """A reusable address on one network, for the merchant himself or for one of his customers."""

    merchant_id: str
    network: str
    customer: str | None = None
    """The merchant's own name for his customer; the same one always gets the same address. None: a new address."""


async def standing(
    pool: AsyncConnectionPool[AsyncConnection[Any]],
    catalogue: Catalogue,
    indexes: Indexes,
    request: StandingRequest,
    now: datetime,
) -> Address:
    """A standing address: the customer's, made now where he has none. Committed when it returns.

    Raises `NetworkUnknown`, `CustomerInvalid` and what `Indexes.take` raises.
    """
    listed = catalogue.network(request.network)
    _check_customer(request.customer)
    async with pool.connection() as conn:
        before = await _of_customer(conn, request)
    if before is not None:
        return before
    slot = await indexes.take(request.merchant_id, listed.id, now)
    new = deposit_address(listed.network, slot.vault, slot.index)
    async with pool.connection() as conn, conn.transaction():
        async with conn.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(
                """
                INSERT INTO payments.addresses (network, address, merchant_id, index, customer, created_at)
                VALUES (%s, %s, %s, %s, %s, %s)
                ON CONFLICT (merchant_id, network, customer) WHERE customer IS NOT NULL DO NOTHING
                RETURNING *
                """,
                (listed.id, new, request.merchant_id, slot.index, request.customer, now),
            )
            row = await cursor.fetchone()
        return _address(row) if row is not None else there(await _of_customer(conn, request))


async def get(conn: AsyncConnection[Any], network: str, address: str, merchant_id: str | None = None) -> Address:
    """One address, in its canonical form. Raises `AddressNotFound`, also when it is another merchant's."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            """
            SELECT * FROM payments.addresses WHERE network = %(network)s AND address = %(address)s
              AND (%(merchant)s::text IS NULL OR merchant_id = %(merchant)s)
            """,
            {"network": network, "address": address, "merchant": merchant_id},
        )
        row = await cursor.fetchone()
    if row is None:
        raise AddressNotFound(f"{address[:100]!r}")
    return _address(row)


@dataclass(frozen=True, slots=True)
class AddressFilter:
    """Which standing addresses to list."""

    merchant_id: str
    network: str
    customer: str | None = None
    after_index: int | None = None
    """The last index of the page before; newest come first."""
    limit: int = 50


async def page(conn: AsyncConnection[Any], wanted: AddressFilter) -> list[Address]:
    """A merchant's standing addresses on one network, newest first."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            """
            SELECT * FROM payments.addresses
            WHERE merchant_id = %(merchant)s AND network = %(network)s AND invoice_id IS NULL
              AND (%(customer)s::text IS NULL OR customer = %(customer)s)
              AND (%(after)s::bigint IS NULL OR index < %(after)s)
            ORDER BY index DESC LIMIT %(limit)s
            """,
            {
                "merchant": wanted.merchant_id,
                "network": wanted.network,
                "customer": wanted.customer,
                "after": wanted.after_index,
                "limit": wanted.limit,
            },
        )
        return [_address(row) for row in await cursor.fetchall()]


async def close(conn: AsyncConnection[Any], network: str, address: str, merchant_id: str, now: datetime) -> Address:
    """The merchant shows a standing address no more. It stays watched: money that comes is credited and asked about.

    Raises `AddressNotFound`; an invoice's address cannot be closed.
    """
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            """
            UPDATE payments.addresses SET closed_at = coalesce(closed_at, %s)
            WHERE network = %s AND address = %s AND merchant_id = %s AND invoice_id IS NULL RETURNING *
            """,
            (now, network, address, merchant_id),
        )
        row = await cursor.fetchone()
    if row is None:
        raise AddressNotFound(f"{address[:100]!r}")
    return _address(row)


async def _of_customer(conn: AsyncConnection[Any], request: StandingRequest) -> Address | None:
    if request.customer is None:
        return None
    found = await page(conn, AddressFilter(request.merchant_id, request.network, request.customer, limit=1))
    return found[0] if found else None


def _check_customer(customer: str | None) -> None:
    if customer is not None and (not 0 < len(customer) <= CUSTOMER_LENGTH_MAX or not customer.isprintable()):
        raise CustomerInvalid(f"{customer[:40]!r}")


def _address(row: DictRow) -> Address:
    return Address(**{name: value for name, value in row.items() if name != "made_by"})
