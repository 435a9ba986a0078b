"""Where the follower of each network stands: its cursor, the recent blocks, how far it has read, what troubles it.

A position is changed only by a transaction that holds its row and found there what the follower thought: so two
followers of one network cannot both apply a block, and whatever changes a network's deposits takes turns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection

from holdfast.chains.follower import Cursor
from holdfast.chains.port import Header
from holdfast.core.errors import Conflict


class CursorMoved(Conflict):
    """Another follower of this network was faster. Run only one; this one goes on from where the other is."""

    code = "cursor-moved"


@dataclass(frozen=True, slots=True)
class Position:
    """Where a network's follower stands."""

    cursor: Cursor | None
    """The last block that was applied; None: none yet."""
    tip_height: int | None
    trouble: str | None
    """Code of the error for which crediting waits."""
    read_through: datetime | None
    """All that the nodes knew at this moment has been applied; None: unknown, as after walking back."""


async def open_position(conn: AsyncConnection[Any], network: str) -> None:
    """Make sure that the network has a row to hold."""
    await conn.execute("INSERT INTO payments.cursors (network) VALUES (%s) ON CONFLICT DO NOTHING", (network,))


async def position(conn: AsyncConnection[Any], network: str, *, lock: bool = False) -> Position:
    """Where the follower stands. `lock`: it, and every deposit of the network, stays so until the transaction ends."""
    cursor = await conn.execute(
        f"""
        SELECT height, hash, tip_height, trouble, read_through FROM payments.cursors
        WHERE network = %s {"FOR NO KEY UPDATE" if lock else ""}
        """,  # noqa: S608  no input goes into the text
        (network,),
    )
    row = await cursor.fetchone()
    if row is None:
        return Position(None, None, None, None)
    return Position(None if row[0] is None else Cursor(row[0], row[1]), *row[2:])


async def hold(conn: AsyncConnection[Any], network: str, expected: Cursor | None) -> Position:
    """Lock the position, which must be the expected one. Raises `CursorMoved`."""
    there = await position(conn, network, lock=True)
    if there.cursor != expected:
        raise CursorMoved(f"{network}: expected {expected}, found {there.cursor}")
    return there


async def recent(conn: AsyncConnection[Any], network: str) -> dict[int, str]:
    """Hashes by height of the applied blocks that can still be undone."""
    cursor = await conn.execute("SELECT height, hash FROM payments.blocks WHERE network = %s", (network,))
    return {row[0]: row[1] for row in await cursor.fetchall()}


async def advance(
    conn: AsyncConnection[Any], network: str, headers: Sequence[Header], finality_depth: int, tip_height: int
) -> None:
    """The blocks have been applied: the last is the cursor, and what is deeper than finality is forgotten for ever."""
    last = headers[-1]
    kept = headers[-(finality_depth + 1) :]
    await conn.execute(
        """
        INSERT INTO payments.blocks (network, height, hash)
        SELECT %s, height, hash FROM unnest(%s::bigint[], %s::text[]) AS new (height, hash)
        """,
        (network, [header.height for header in kept], [header.hash for header in kept]),
    )
    await conn.execute(
        "DELETE FROM payments.blocks WHERE network = %s AND height < %s", (network, last.height - finality_depth)
    )
    await _move(conn, network, Cursor(last.height, last.hash), tip_height)


async def rewind(conn: AsyncConnection[Any], network: str, to: Cursor, tip_height: int) -> None:
    """The blocks above `to` have been undone. How far time has been read is unknown until the new chain is."""
    await conn.execute("DELETE FROM payments.blocks WHERE network = %s AND height > %s", (network, to.height))
    await _move(conn, network, to, tip_height)
    await conn.execute("UPDATE payments.cursors SET read_through = NULL WHERE network = %s", (network,))


async def mark_read(conn: AsyncConnection[Any], network: str, through: datetime, tip_height: int) -> None:
    """Everything that the nodes knew at this moment has been applied."""
    await conn.execute(
        """
        UPDATE payments.cursors SET read_through = greatest(read_through, %s), tip_height = %s, updated_at = now()
        WHERE network = %s
        """,
        (through, tip_height, network),
    )


async def set_trouble(conn: AsyncConnection[Any], network: str, code: str | None) -> None:
    """Why crediting waits; None: it does not."""
    await conn.execute(
        "UPDATE payments.cursors SET trouble = %s, updated_at = now() WHERE network = %s", (code, network)
    )


async def choose(conn: AsyncConnection[Any], network: str, at: Cursor) -> None:
    """A person decides where the follower goes on, after a reorganisation deeper than finality was looked into.

    Deposits above are not undone by this: correct them by hand first.
    """
    await position(conn, network, lock=True)
    await conn.execute("DELETE FROM payments.blocks WHERE network = %s", (network,))
    await conn.execute(
        "INSERT INTO payments.blocks (network, height, hash) VALUES (%s, %s, %s)", (network, at.height, at.hash)
    )
    await _move(conn, network, at, at.height)


async def _move(conn: AsyncConnection[Any], network: str, to: Cursor, tip_height: int) -> None:
    await conn.execute(
        """
        UPDATE payments.cursors SET height = %s, hash = %s, tip_height = %s, updated_at = now() WHERE network = %s
        """,
        (to.height, to.hash, max(tip_height, to.height), network),
    )


async def troubled(conn: AsyncConnection[Any]) -> dict[str, str]:
    """Networks on which crediting waits, and the code of the error."""
    cursor = await conn.execute("SELECT network, trouble FROM payments.cursors WHERE trouble IS NOT NULL")
    return {row[0]: row[1] for row in await cursor.fetchall()}
