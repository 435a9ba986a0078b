"""What the signer reserved and signed, as the platform keeps it: stored before it is sent, sent until it is final.

At most one of all the transactions that replace one another (they share an input or a nonce) is ever mined; `root`
names them all. The bytes are the signer's; nothing here could make any.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import dict_row

from holdfast.core import journal as j
from holdfast.payments.rows import there

CHANNEL = "holdfast_broadcast"
"""Told when there is something to send."""


class TransactionState(StrEnum):
    """How far a transaction of the signer's has come."""

    RESERVED = "reserved"
    """Journaled, not signed yet."""
    TO_SEND = "to-send"
    """Signed and witnessed; no node has it yet, or none any more."""
    SENT = "sent"
    """A node took it."""
    MINED = "mined"
    """It is in a block."""
    FINAL = "final"
    """The signer's journal says that it is final."""
    REPLACED = "replaced"
    """Another one of the same root is final: this one can never be mined."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What is known of a reservation when its bytes or its end are told."""

    network: str
    purpose: str
    payouts: Sequence[str]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A transaction of the signer's."""

    reservation: int
    """Seq of its `reserved` entry."""
    network: str
    asset: str
    purpose: str
    account: str
    """Whose coins and nonces it takes."""
    payouts: Sequence[str]
    inputs: Sequence[str]
    nonce: int | None
    out_units: int
    """What leaves the float, fee aside, in the asset."""
    fee_units: int
    """Most that it can cost, in the network's coin."""
    replaces: int | None
    root: int
    state: TransactionState
    transaction: str | None
    raw: str | None
    attempts: int
    last_sent_at: datetime | None
    last_error: str | None
    """Why no node takes it, in the node's words."""
    height: int | None
    """Of the block that it is in."""
    hash: str | None
    is_reverted: bool | None
    paid_fee_units: int | None
    """What it did cost, once it is in a block."""
    unpaid_units: int | None
    """Of lines that moved nothing."""
    signed_at: datetime | None


async def reserve(conn: AsyncConnection[Any], reserved: Sequence[tuple[int, j.Reserved]]) -> None:
    """Keep reservations, in order: number and content."""
    async with conn.cursor() as cursor:
        await cursor.executemany(
            """
            INSERT INTO payments.transactions (reservation, network, asset, purpose, account, payouts, inputs, nonce,
                out_units, fee_units, replaces, root, state)
            VALUES (%(seq)s, %(network)s, %(asset)s, %(purpose)s, %(account)s, %(payouts)s, %(inputs)s, %(nonce)s,
                %(out)s, %(fee)s, %(replaces)s, coalesce(
                    (SELECT root FROM payments.transactions WHERE reservation = %(replaces)s), %(seq)s
                ), 'reserved')
            """,
            [
                {
                    "seq": seq,
                    "network": body.network,
                    "asset": body.asset,
                    "purpose": body.purpose,
                    "account": body.account,
                    "payouts": list(body.payouts),
                    "inputs": list(body.inputs),
                    "nonce": body.nonce,
                    "out": body.out_units,
                    "fee": body.fee_units,
                    "replaces": body.replaces,
                }
                for seq, body in reserved
            ],
        )


async def keep_signed(conn: AsyncConnection[Any], signed: Sequence[j.Signed], now: datetime) -> None:
    """Keep signed bytes, to be sent from now on; the broadcaster is told when this transaction commits."""
    if not signed:
        return
    await conn.execute(
        """
        UPDATE payments.transactions SET state = 'to-send', transaction = given.transaction, raw = given.raw,
            signed_at = %s
        FROM unnest(%s::bigint[], %s::text[], %s::text[]) AS given (reservation, transaction, raw)
        WHERE transactions.reservation = given.reservation AND transactions.state = 'reserved'
        """,
        (
            now,
            [one.reservation for one in signed],
            [one.transaction for one in signed],
            [one.raw for one in signed],
        ),
    )
    await conn.execute("SELECT pg_notify(%s, '')", (CHANNEL,))


async def end(conn: AsyncConnection[Any], mined: Sequence[j.Mined]) -> list[tuple[str, int]]:
    """The signer found these final: all that share their root are over. Network and number of each that ended."""
    if not mined:
        return []
    cursor = await conn.execute(
        """
        WITH final AS (
            SELECT given.*, kept.root
            FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::numeric[], %s::boolean[], %s::numeric[])
                AS given (reservation, height, hash, fee, is_reverted, unpaid)
            JOIN payments.transactions AS kept ON kept.reservation = given.reservation
        )
        UPDATE payments.transactions AS kept SET
            state = CASE WHEN kept.reservation = final.reservation THEN 'final' ELSE 'replaced' END,
            height = CASE WHEN kept.reservation = final.reservation THEN final.height END,
            hash = CASE WHEN kept.reservation = final.reservation THEN final.hash END,
            paid_fee_units = CASE WHEN kept.reservation = final.reservation THEN final.fee END,
            is_reverted = CASE WHEN kept.reservation = final.reservation THEN final.is_reverted END,
            unpaid_units = CASE WHEN kept.reservation = final.reservation THEN final.unpaid END
        FROM final WHERE kept.root = final.root
        RETURNING kept.network, kept.reservation
        """,
        (
            [one.reservation for one in mined],
            [one.height for one in mined],
            [one.hash for one in mined],
            [one.fee_units for one in mined],
            [one.is_reverted for one in mined],
            [await _unpaid_units(conn, one.unpaid) for one in mined],
        ),
    )
    return [(row[0], row[1]) for row in await cursor.fetchall()]


async def _unpaid_units(conn: AsyncConnection[Any], unpaid: Sequence[tuple[str, int]]) -> int:
    """What lines that moved nothing would have paid: each by its payout and its place there."""
    if not unpaid:
        return 0
    cursor = await conn.execute(
        """
        SELECT coalesce(sum(line.units), 0) FROM unnest(%s::text[], %s::integer[]) AS named (key, place)
        JOIN payments.payouts AS payout ON payout.key = named.key
        JOIN payments.payout_lines AS line ON line.payout_id = payout.id AND line.place = named.place
        """,
        ([key for key, _ in unpaid], [place for _, place in unpaid]),
    )
    return int(there(await cursor.fetchone())[0])


async def kept(conn: AsyncConnection[Any], reservations: Collection[int]) -> dict[int, Kept]:
    """What is known of these."""
    if not reservations:
        return {}
    cursor = await conn.execute(
        "SELECT reservation, network, purpose, payouts FROM payments.transactions WHERE reservation = ANY(%s)",
        (list(reservations),),
    )
    return {row[0]: Kept(*row[1:]) for row in await cursor.fetchall()}


async def under_way(conn: AsyncConnection[Any], network: str) -> list[Outgoing]:
    """Signed and not over, in the order in which they are to be sent: by nonce where there is one, else by age."""
    return await _select(
        conn,
        "WHERE network = %s AND state IN ('to-send', 'sent', 'mined') ORDER BY account, nonce, reservation",
        (network,),
    )


async def count_waiting(conn: AsyncConnection[Any], network: str) -> int:
    """How many are signed and in no block."""
    cursor = await conn.execute(
        "SELECT count(*) FROM payments.transactions WHERE network = %s AND state IN ('to-send', 'sent')", (network,)
    )
    return int(there(await cursor.fetchone())[0])


async def by_transaction(conn: AsyncConnection[Any], network: str, ids: Collection[str]) -> dict[str, Outgoing]:
    """Those of the signer's transactions with these ids."""
    if not ids:
        return {}
    found = await _select(conn, "WHERE network = %s AND transaction = ANY(%s)", (network, list(ids)))
    return {one.transaction: one for one in found if one.transaction is not None}


async def page(conn: AsyncConnection[Any], *, before: int | None = None, limit: int = 50) -> list[Outgoing]:
    """The newest first. `before`: the last reservation of the page before."""
    return await _select(
        conn,
        "WHERE %(before)s::bigint IS NULL OR reservation < %(before)s ORDER BY reservation DESC LIMIT %(limit)s",
        {"before": before, "limit": limit},
    )


_NUMBERS = ("nonce", "out_units", "fee_units", "paid_fee_units", "unpaid_units")
_COLUMNS = ", ".join(Outgoing.__dataclass_fields__)


async def _select(
    conn: AsyncConnection[Any], where: str, values: Sequence[object] | Mapping[str, object]
) -> list[Outgoing]:
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(f"SELECT {_COLUMNS} FROM payments.transactions {where}", values)  # noqa: S608  our own words
        return [
            Outgoing(
                **{
                    **row,
                    **{name: None if row[name] is None else int(row[name]) for name in _NUMBERS},
                    "state": TransactionState(row["state"]),
                }
            )
            for row in await cursor.fetchall()
        ]
