"""Follows what goes out on one network, block by block: our transactions mined, the float funded, the vault spent.

Beside the follower of deposits and with a cursor of its own. A block is one transaction of the database; a
reorganisation walks back through the kept blocks and undoes what they did, also in the ledger. It decides nothing:
what must not have happened is written down like everything else, for reconciliation to name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from holdfast.chains.follower import Cursor, FinalityViolated
from holdfast.chains.outflow import OutflowBlock, OutflowNode, Wanted
from holdfast.chains.port import Arrival, Header
from holdfast.chains.vault_reads import Places, VaultNode
from holdfast.core.networks import EvmNetwork
from holdfast.payments import direct_payouts, outflow_books, transactions
from holdfast.payments.catalogue import ListedNetwork
from holdfast.payments.house_places import HousePlaces, house_places
from holdfast.payments.outflow_books import BlockRead
from holdfast.runtime import metrics
from holdfast.runtime.clock import Clock

Pool = AsyncConnectionPool[AsyncConnection[Any]]

log = structlog.get_logger()


@dataclass(slots=True)
class OutflowFollower:
    """Follows one network's outflows."""

    pool: Pool
    listed: ListedNetwork
    node: OutflowNode
    vault_node: VaultNode
    clock: Clock
    cursor: Cursor | None = None
    _is_loaded: bool = False
    _recent: dict[int, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The network's name, for people."""
        return self.listed.network.name

    def forget(self) -> None:
        """What is in memory may be wrong: read it again."""
        self._is_loaded = False

    async def step(self) -> bool:
        """Apply the next block, or walk back. Returns whether there is nothing more to do now.

        Raises what nodes raise, `FinalityViolated`, `LedgerRaced`; then nothing has happened.
        """
        if not self._is_loaded:
            await self._load()
        await self._find_late()
        tip = await self.node.tip()
        metrics.OUTFLOW_HEIGHT.labels(self.name).set(-1 if self.cursor is None else self.cursor.height)
        if self.cursor is not None and self.cursor.hash == tip.hash:
            return True
        if self.cursor is not None and tip.height <= self.cursor.height:
            return not await self._walk_back(tip)
        height = max(0, tip.height - self._depth) if self.cursor is None else self.cursor.height + 1
        read = await self._read(height)
        if self.cursor is not None and read.header.parent != self.cursor.hash:
            await self._walk_back(tip)
            return False
        await self._apply(read)
        return False

    async def _find_late(self) -> None:
        """Transactions of ours that were in a block before their `signed` entry was mirrored."""
        if self.cursor is None:
            return
        async with self.pool.connection() as conn:
            late = await outflow_books.late(conn, self.listed.id)
            is_waiting = await direct_payouts.is_waiting(conn, self.listed.id)
        if is_waiting:
            async with self.pool.connection() as conn, conn.transaction():
                await outflow_books.apply_direct(conn, self.listed, self.cursor, self.clock.now())
        for (height, block_hash), ids in late.items():
            (header,) = await self.node.headers(height, height)
            if header.hash != block_hash:
                return  # the chain has moved: the next step walks back
            mined = await self.node.mined(header, ids)
            async with self.pool.connection() as conn, conn.transaction():
                await outflow_books.apply_late(conn, self.listed, self.cursor, (header, mined), self.clock.now())
            log.info("mined_found_late", network=self.name, height=height, transactions=len(mined))

    @property
    def _depth(self) -> int:
        return self.listed.settings.finality_depth

    async def _load(self) -> None:
        async with self.pool.connection() as conn, conn.transaction():
            self.cursor = await outflow_books.open_cursor(conn, self.listed.id)
            self._recent = await outflow_books.recent(conn, self.listed.id)
        self._is_loaded = True

    async def _read(self, height: int) -> BlockRead:
        """A block, with everything in it that concerns us."""
        async with self.pool.connection() as conn:
            places = await house_places(conn, self.listed)
            outpoints = await outflow_books.unspent(conn, self.listed.id)
            pending = await transactions.under_way(conn, self.listed.id)
        wanted = self._wanted(places, outpoints, [one.transaction for one in pending if one.transaction])
        block = await self.node.block(height, wanted)
        made = {arrival.key: arrival.units for arrival in block.funded}  # may be spent in this very block, too
        of_vault = {one.outpoint for one in outpoints if one.place == "vault"}
        of_vault |= {arrival.key for arrival in block.funded if places.place_of(arrival.address) == "vault"}
        spenders = list(dict.fromkeys(each.transaction for each in block.spent if each.source in of_vault))
        return BlockRead(
            header=block.header,
            block=block,
            places=places,
            payments=tuple(await self.vault_node.paid(block.header, spenders)),
            gas=await self._gas(block, places),
            units={one.outpoint: one.units for one in outpoints} | made,
            of_vault=frozenset(of_vault),
        )

    def _wanted(self, places: HousePlaces, outpoints: Sequence[outflow_books.Unspent], ids: Sequence[str]) -> Wanted:
        if self._is_evm:
            tokens = outflow_books.tokens_of(self.listed)
            return Wanted(places.floats, tokens, frozenset(ids), senders=places.owners)
        return Wanted(
            addresses=places.floats | frozenset(places.vault),
            transactions=frozenset(ids),
            outpoints=frozenset(one.outpoint for one in outpoints),
        )

    async def _gas(self, block: OutflowBlock, places: HousePlaces) -> tuple[Arrival, ...]:
        """Coin that came to the accounts of the float keys (EVM): what their balances grew by, fees aside."""
        if not self._is_evm or not places.owners or block.header.height == 0:
            return ()
        owners = Places(addresses=sorted(places.owners))
        parent = Header(block.header.height - 1, block.header.parent, "", 0)
        before = await self.vault_node.lying(parent, owners) or {}
        after = await self.vault_node.lying(block.header, owners) or {}
        paid = outflow_books.fees_by_sender(block)
        coin = self.listed.network.coin.id
        gains = {
            owner: after.get((owner, coin), 0) - before.get((owner, coin), 0) + paid.get(owner, 0)
            for owner in owners.addresses
        }
        return tuple(
            Arrival(f"{block.header.hash}:{owner}", block.header.hash, owner, coin, gain)
            for owner, gain in gains.items()
            if gain > 0
        )

    async def _apply(self, read: BlockRead) -> None:
        now = self.clock.now()
        async with self.pool.connection() as conn, conn.transaction():
            await outflow_books.apply(conn, self.listed, self.cursor, read, now)
        self.cursor = Cursor(read.header.height, read.header.hash)
        self._recent[read.header.height] = read.header.hash
        self._recent.pop(read.header.height - self._depth - 1, None)

    async def _walk_back(self, tip: Header) -> bool:
        """Go back to the newest block that the nodes still have. Returns whether anything was undone."""
        cursor = self.cursor
        if cursor is None:
            return False
        for height in range(min(cursor.height, tip.height), min(self._recent, default=cursor.height) - 1, -1):
            block = await self.node.block(height, Wanted())
            if self._recent.get(height) == block.header.hash:
                if height == cursor.height:
                    return False  # the node is behind, and its word undoes nothing
                if tip.height <= cursor.height:
                    return False  # another branch, no longer than ours: the deposits' follower waits for it too
                await self._undo(Cursor(height, block.header.hash))
                return True
        raise FinalityViolated(f"{self.name}: no kept block is in the chain any more")

    async def _undo(self, to: Cursor) -> None:
        async with self.pool.connection() as conn, conn.transaction():
            await outflow_books.walk_back(conn, self.listed, self.cursor, to, self.clock.now())
        log.warning("outflows_walked_back", network=self.name, height_to=to.height)
        self.cursor = to
        self._recent = {height: block for height, block in self._recent.items() if height <= to.height}

    @property
    def _is_evm(self) -> bool:
        return isinstance(self.listed.network, EvmNetwork)
