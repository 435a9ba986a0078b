"""Derivation indexes, taken from a merchant's ranges in blocks, so that no two addresses ever share one.

A block is committed before any index of it is used, on a connection of its own: a crash wastes the rest of the block
and repeats nothing, and concurrent invoices of one merchant do not wait for each other's commit.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from holdfast.core.addresses import BitcoinVault, EvmVault, Vault
from holdfast.core.errors import Conflict
from holdfast.core.networks import NetworkId
from holdfast.payments import attention
from holdfast.payments.standing import AttentionReason

BLOCK_MIN = 4
BLOCK_MAX = 512
SCARCE = 2**20 // 10
"""Fewer unused indexes than this on a network: a person is asked to have another range certified."""
GRANT_SECONDS_MAX = 15.0
"""How long a block is used before the merchant's certificate is looked at again."""


class MerchantNotCertified(Conflict):
    """The merchant has no valid certificate, so it gets no addresses. Have the officers sign one, or a newer one."""

    code = "merchant-not-certified"


class MerchantClosed(Conflict):
    """The merchant is closed. Nothing new can be made for it."""

    code = "merchant-closed"


class IndexesUsedUp(Conflict):
    """The merchant's address range on this network is used up. Have the officers certify another range."""

    code = "indexes-used-up"


@dataclass(frozen=True, slots=True)
class Slot:
    """One index, and the vault that its address belongs to."""

    index: int
    vault: Vault


@dataclass(slots=True)
class _Block:
    vault: Vault
    certified_until: datetime
    taken_at: datetime
    next: int = 0
    end: int = 0
    size: int = BLOCK_MIN


@dataclass(slots=True)
class Indexes:
    """Hands out indexes. One per process; `pool` must be its own (one connection is enough).

    Its own, because a caller may hold the last connection of another pool while it waits here.
    """

    pool: AsyncConnectionPool[AsyncConnection[Any]]
    _blocks: dict[tuple[str, NetworkId], _Block] = field(default_factory=dict)
    _locks: dict[tuple[str, NetworkId], asyncio.Lock] = field(default_factory=dict)

    async def take(self, merchant_id: str, network: NetworkId, now: datetime) -> Slot:
        """The next unused index. Raises `MerchantNotCertified`, `MerchantClosed` or `IndexesUsedUp`."""
        key = (merchant_id, network)
        async with self._locks.setdefault(key, asyncio.Lock()):
            block = self._blocks.get(key)
            if block is None or block.next >= block.end or _is_stale(block, now):
                block = self._blocks[key] = await self._refill(merchant_id, network, block, now)
            slot = Slot(block.next, block.vault)
            block.next += 1
            return slot

    async def _refill(self, merchant_id: str, network: NetworkId, before: _Block | None, now: datetime) -> _Block:
        """A new block: twice the last one's size while they are used up within a moment."""
        async with self.pool.connection() as conn, conn.transaction():
            certified_until = await _certified_until(conn, merchant_id, now)
            used_up = before is not None and before.next >= before.end
            size = _size(before, now) if used_up or before is None else before.size
            if before is not None and not used_up:
                # Only the certificate was to be looked at: go on with the block, unless the vault has changed.
                vault = await _vault_now(conn, merchant_id, network, before.next)
                if vault == before.vault:
                    return _Block(vault, certified_until, now, before.next, before.end, before.size)
            return await _next_block(conn, merchant_id, network, _Block(_NO_VAULT, certified_until, now, size=size))


_NO_VAULT = BitcoinVault("")


def _is_stale(block: _Block, now: datetime) -> bool:
    return now >= block.certified_until or now - block.taken_at > timedelta(seconds=GRANT_SECONDS_MAX)


def _size(before: _Block | None, now: datetime) -> int:
    if before is None:
        return BLOCK_MIN
    return min(before.size * 2, BLOCK_MAX) if now - before.taken_at < timedelta(seconds=1) else BLOCK_MIN


async def _certified_until(conn: AsyncConnection[Any], merchant_id: str, now: datetime) -> datetime:
    cursor = await conn.execute("SELECT state, certified_until FROM payments.merchants WHERE id = %s", (merchant_id,))
    row = await cursor.fetchone()
    state, until = row if row is not None else ("", None)
    if state == "closed":
        raise MerchantClosed(merchant_id)
    if state != "active" or until is None or until <= now:
        raise MerchantNotCertified(merchant_id, certified_until=str(until))
    return cast("datetime", until)


async def _vault_now(conn: AsyncConnection[Any], merchant_id: str, network: NetworkId, index: int) -> Vault | None:
    """The vault that this index is certified for; None: it no longer is."""
    cursor = await conn.execute(
        """
        SELECT vault FROM payments.address_ranges
        WHERE merchant_id = %s AND network = %s AND certified AND index_from <= %s AND %s < index_to
        """,
        (merchant_id, network, index, index),
    )
    row = await cursor.fetchone()
    return None if row is None else vault_from_json(row[0])


async def _next_block(conn: AsyncConnection[Any], merchant_id: str, network: NetworkId, block: _Block) -> _Block:
    """Move `index_next` of the merchant's first range with room on by up to the block's size."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            """
            UPDATE payments.address_ranges AS range
            SET index_next = least(range.index_next + %(size)s, range.index_to)
            FROM (
                SELECT network, index_from, index_next FROM payments.address_ranges
                WHERE merchant_id = %(merchant)s AND network = %(network)s AND certified AND index_next < index_to
                ORDER BY index_from LIMIT 1 FOR NO KEY UPDATE
            ) AS before
            WHERE range.network = before.network AND range.index_from = before.index_from
            RETURNING before.index_next AS first, range.index_next AS after, range.vault,
                (SELECT sum(index_to - index_next)::bigint FROM payments.address_ranges
                 WHERE merchant_id = %(merchant)s AND network = %(network)s AND certified) AS left
            """,
            {"merchant": merchant_id, "network": network, "size": block.size},
        )
        row = await cursor.fetchone()
    if row is None:
        raise IndexesUsedUp(merchant_id, network=network)
    if row["left"] < SCARCE:
        detail = {"network": network, "left": row["left"]}
        subject = f"{merchant_id}/{network}"
        asked = attention.Ask(merchant_id, AttentionReason.INDEXES_SCARCE, subject, detail)
        await attention.ask(conn, [asked], block.taken_at)
    vault = vault_from_json(row["vault"])
    return _Block(vault, block.certified_until, block.taken_at, row["first"], row["after"], block.size)


def vault_to_json(vault: Vault) -> dict[str, str]:
    """A vault's public data as it is stored, the shape that certificates have."""
    return {key: str(value) for key, value in msgspec.to_builtins(vault).items()}


def vault_from_json(data: dict[str, str]) -> Vault:
    """The vault that was stored."""
    if "descriptor" in data:
        return BitcoinVault(data["descriptor"])
    return EvmVault(data["factory"], data["implementation"], data["vault"])
