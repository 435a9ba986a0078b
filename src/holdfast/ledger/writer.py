"""Posts single transfers of many callers in batches: each caller waits until its transfer is on disk."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import psycopg
from psycopg import AsyncConnection

from holdfast.core.errors import Unavailable
from holdfast.ledger.group import GroupCommit
from holdfast.ledger.transfers import LedgerRaced, Outcome, Transfer, post

TRIES_MAX = 20
BACKOFF_MS = 25


Connect = Callable[[], Awaitable[AsyncConnection]]


class LedgerUnreachable(Unavailable):
    """The ledger's database does not answer. Send the same transfer again: its key lets it be posted once."""

    code = "ledger-unreachable"


class Writer:
    """The group-commit writer. `connect` opens a connection in autocommit mode: one round trip is one commit."""

    def __init__(
        self, connect: Connect, *, size_max: int = 512, flights_max: int = 2, backoff_ms: int = BACKOFF_MS
    ) -> None:
        self._connect = connect
        self._backoff_ms = backoff_ms
        self._idle: list[AsyncConnection] = []
        self._group = GroupCommit(self._post, size_max=size_max, flights_max=flights_max)

    async def submit(self, transfer: Transfer) -> Outcome:
        """Post one transfer; it is durable when this returns. Raises `LedgerUnreachable`."""
        return await self._group.submit(transfer)

    async def close(self) -> None:
        """Answer what was taken, then close the connections."""
        await self._group.close()
        for connection in self._idle:
            await connection.close()

    async def _post(self, batch: Sequence[Transfer]) -> Sequence[Outcome]:
        """Post a batch, again and again while connections break: keys make that safe, whatever the last try did."""
        said = ""
        for tried in range(TRIES_MAX):
            if tried:
                await asyncio.sleep(tried * self._backoff_ms / 1000)
            try:
                connection = self._idle.pop() if self._idle else await self._connect()
            except psycopg.OperationalError as error:
                said = str(error)
                continue
            try:
                outcomes = await post(connection, batch)
                self._idle.append(connection)
            except (psycopg.OperationalError, LedgerRaced) as error:
                said = str(error)
            else:
                return outcomes
            finally:
                if connection not in self._idle:
                    await connection.close()
        raise LedgerUnreachable(said.splitlines()[0][:200] if said else "")
