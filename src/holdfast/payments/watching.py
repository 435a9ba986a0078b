"""Keeps a network's watch up to date with the addresses that have been given out, reading only what is new.

The rule that no payment is missed: an address is shown only after its row is committed; so whoever pays it in a block
was shown it before that block was made; so a read that begins after the block is known sees the row. `fresh` is called
by the reader at exactly that point. New rows are found by transaction id, not by number or time: every row that was
invisible in one read belongs to a transaction at or above that read's xmin, and the next read starts there.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from holdfast.chains.port import Watch
from holdfast.core.networks import EvmNetwork
from holdfast.payments.catalogue import ListedNetwork
from holdfast.payments.rows import there

_ROWS_AT_ONCE = 20_000


@dataclass(slots=True)
class Watching:
    """The watch of one network in one process."""

    pool: AsyncConnectionPool[AsyncConnection[Any]]
    listed: ListedNetwork
    read_through: datetime | None = None
    """Up to when the network has been read: an address stays open until that is past, however late it is."""
    watch: Watch = field(init=False)
    _xid_from: int = 0
    _open: set[str] = field(default_factory=set)
    _closing: list[tuple[datetime, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        tokens = {
            asset_id.rpartition(":")[2]: asset
            for asset_id, asset in self.listed.assets.items()
            if "/erc20:" in asset_id
        }
        self.watch = Watch(self.listed.id, open_addresses=self._open, tokens=tokens)

    async def fresh(self) -> Watch:
        """The watch, with every address whose row is committed now."""
        has_balances = isinstance(self.listed.network, EvmNetwork)
        async with self.pool.connection() as conn, conn.transaction():
            # Read before the rows are: the statement after it sees no less.
            xmin = await self._xmin(conn)
            async with conn.cursor(name="new_addresses") as rows:
                rows.itersize = _ROWS_AT_ONCE
                await rows.execute(
                    """
                    SELECT address, open_until FROM payments.addresses
                    WHERE network = %s AND made_by >= %s::text::xid8
                    """,
                    (self.listed.id, str(self._xid_from)),
                )
                while batch := await rows.fetchmany(_ROWS_AT_ONCE):
                    self.watch.add(address for address, _ in batch)
                    if has_balances:
                        self._keep_open(batch)
        self._xid_from = xmin
        self._close_old()
        return self.watch

    async def _xmin(self, conn: AsyncConnection[Any]) -> int:
        cursor = await conn.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text")
        row = there(await cursor.fetchone())
        return int(row[0])

    def _keep_open(self, batch: list[tuple[str, datetime | None]]) -> None:
        for address, until in batch:
            if until is None:
                self._open.add(address)
            elif address not in self._open and (self.read_through is None or until > self.read_through):
                self._open.add(address)
                heapq.heappush(self._closing, (until, address))

    def _close_old(self) -> None:
        while self._closing and self.read_through is not None and self._closing[0][0] <= self.read_through:
            self._open.discard(heapq.heappop(self._closing)[1])
