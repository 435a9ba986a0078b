"""Hints for the signer: where it may look for money that came, or for a transaction of its own that was mined.

It looks there on its own nodes and journals what it finds, so a hint can withhold, never forge. Open until an entry of
its journal answers it, or until what it points at has left the chain.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from psycopg import AsyncConnection

from holdfast.payments.deposits import Deposit


class HintKind(StrEnum):
    """What may be found."""

    DEPOSIT = "deposit"
    FUNDING = "funding"
    MINED = "mined"


@dataclass(frozen=True, slots=True)
class Hint:
    """One place to look."""

    kind: HintKind
    network: str
    key: str
    """By which a journal entry answers it: an arrival's key, or of a mined transaction `mined_key`."""
    height: int
    index: int | None = None
    """Of a deposit's address in the vault."""
    merchant_id: str | None = None
    reservation: int | None = None
    transaction: str | None = None


def mined_key(reservation: int) -> str:
    """How the hint for a mined transaction is called: one reservation ends once, whichever bytes of it are mined."""
    return str(reservation)


async def deposits_confirmed(conn: AsyncConnection[Any], deposits: Sequence[Deposit]) -> None:
    """These were credited: the signer may look for them too."""
    if not deposits:
        return
    await conn.execute(
        """
        INSERT INTO payments.signer_hints AS old (kind, network, key, height, index, merchant_id)
        SELECT 'deposit', given.network, given.key, given.height, address.index, address.merchant_id
        FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::text[]) AS given (network, key, height, address)
        JOIN payments.addresses AS address USING (network, address)
        ON CONFLICT (kind, network, key) DO UPDATE
        SET height = excluded.height, is_open = true, made_by = pg_current_xact_id()
        """,
        (
            [each.network for each in deposits],
            [each.key for each in deposits],
            [each.block_height for each in deposits],
            [each.address for each in deposits],
        ),
    )


async def put(conn: AsyncConnection[Any], hints: Sequence[Hint]) -> None:
    """Open these, again where they had been closed."""
    if not hints:
        return
    async with conn.cursor() as cursor:
        await cursor.executemany(
            """
            INSERT INTO payments.signer_hints (kind, network, key, height, index, merchant_id, reservation, transaction)
            VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
            ON CONFLICT (kind, network, key) DO UPDATE SET height = excluded.height,
                transaction = excluded.transaction, is_open = true, made_by = pg_current_xact_id()
            """,
            [(h.kind, h.network, h.key, h.height, h.index, h.merchant_id, h.reservation, h.transaction) for h in hints],
        )


async def close(conn: AsyncConnection[Any], kind: HintKind, network: str, keys: Iterable[str]) -> None:
    """An entry answered them, or nothing is there any more."""
    wanted = list(keys)
    if wanted:
        await conn.execute(
            """
            UPDATE payments.signer_hints SET is_open = false
            WHERE kind = %s AND network = %s AND key = ANY(%s) AND is_open
            """,
            (kind, network, wanted),
        )
