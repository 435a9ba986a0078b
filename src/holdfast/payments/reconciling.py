"""Gathers what chain, ledger and journal say of each asset at one block, compares, stores, calls a person for a gap.

Ledger, deposits and journal are read in one snapshot of the database in which both followers stand on the very block
that the nodes are asked about. It changes nothing but its own table and the attention queue.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import msgspec
import structlog
from psycopg import AsyncConnection
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool

from holdfast.chains.follower import Cursor
from holdfast.chains.port import Header
from holdfast.chains.vault_reads import Places, VaultNode
from holdfast.core.money import AssetId, parse_units
from holdfast.core.networks import EvmNetwork
from holdfast.payments import attention, outflow_books, reconciliation, reconciliation_facts
from holdfast.payments.attention import Ask, Resolution
from holdfast.payments.catalogue import ListedNetwork
from holdfast.payments.house_places import HousePlaces, house_places
from holdfast.payments.mirrored_record import MirroredRecord
from holdfast.payments.outflow_books import Unspent
from holdfast.payments.reconciliation import Facts, Figures, Finding
from holdfast.payments.reconciliation_facts import Forwarder
from holdfast.payments.standing import AttentionReason
from holdfast.runtime import metrics
from holdfast.runtime.clock import Clock

AGAIN_AFTER = timedelta(seconds=5)
"""How often the ledger is compared with what is known of the chain while no block comes."""
KEPT_FOR = timedelta(days=30)
"""Reconciliations that found nothing."""

Pool = AsyncConnectionPool[AsyncConnection[Any]]
Lying = Mapping[tuple[str, AssetId], int]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """One comparison."""

    asset: str
    height: int
    hash: str
    figures: Figures
    gap_units: int
    """Of vault and float together, without sign."""
    findings: list[Finding]
    made_at: datetime


@dataclass(frozen=True, slots=True)
class _Look:
    """What the nodes were asked at one block, and what they said."""

    at: Cursor
    places: HousePlaces
    unspent: list[Unspent]
    forwarders: list[Forwarder]
    lying: Lying


@dataclass(slots=True)
class Reconciler:
    """Reconciles the assets of one network."""

    pool: Pool
    listed: ListedNetwork
    vault_node: VaultNode
    clock: Clock
    record: MirroredRecord = field(default_factory=MirroredRecord)
    _look: _Look | None = None
    _made_at: datetime | None = None
    _empty: set[tuple[str, int]] = field(default_factory=set)
    """Forwarders that held nothing when they were last looked at, and got nothing since."""

    async def run(self, cursor: Cursor) -> list[Reconciliation]:
        """Compare at this block, where outflows have been read to; nothing where the followers stand elsewhere, or the
        nodes have gone on. Raises what nodes raise."""
        now = self.clock.now()
        if self._look is not None and self._look.at == cursor:
            if self._made_at is not None and now - self._made_at < AGAIN_AFTER:
                return []
        else:
            self._look = await self._ask(cursor)
        if self._look is None:
            return []
        async with self.pool.connection() as conn, conn.transaction():
            await conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            if not await _both_stand_at(conn, self.listed.id, cursor):
                return []
            facts = {asset: await self._facts(conn, self._look, asset) for asset in self.listed.assets}
        made = [_reconciliation(asset, cursor, each, now) for asset, each in facts.items()]
        async with self.pool.connection() as conn, conn.transaction():
            await self._store(conn, made, self._look, now)
        self._made_at = now
        return made

    async def _ask(self, cursor: Cursor) -> _Look | None:
        """What lies where at this block; None where the nodes cannot tell of it."""
        async with self.pool.connection() as conn:
            # An output of this very block is looked for only if the deposits' follower has brought it.
            if not await _both_stand_at(conn, self.listed.id, cursor):
                return None
            places = await house_places(conn, self.listed)
            unspent = [] if self._is_evm else await outflow_books.unspent(conn, self.listed.id)
            forwarders = await reconciliation_facts.forwarders(conn, self.listed.id) if self._is_evm else []
        wanted = [one for one in forwarders if (one.address, one.deposits) not in self._empty]
        where = Places(
            outpoints=[one.outpoint for one in unspent],
            addresses=sorted({*places.floats, *places.owners, *places.vault, *(one.address for one in wanted)})
            if self._is_evm
            else (),
            tokens=outflow_books.tokens_of(self.listed),
        )
        lying = await self.vault_node.lying(Header(cursor.height, cursor.hash, "", 0), where)
        if lying is None:
            return None
        full = {address for address, _ in lying}
        self._empty = {(one.address, one.deposits) for one in forwarders if one.address not in full}
        return _Look(cursor, places, unspent, [one for one in forwarders if one.address in full], lying)

    async def _facts(self, conn: AsyncConnection[Any], look: _Look, asset: AssetId) -> Facts:
        coin = self.listed.network.coin.id
        accounts = await reconciliation_facts.accounts(conn, asset)
        if self._is_evm:
            vault_places = {*look.places.vault, *(one.address for one in look.forwarders)}
            vault = _sum(look.lying, vault_places, asset)
            float_ = _sum(look.lying, look.places.floats | look.places.owners, asset)
            missing: dict[str, int] = {}
        else:
            there = {outpoint for outpoint, _ in look.lying}
            vault = _of(look, "vault", asset)
            float_ = _of(look, "float", asset)
            missing = {one.outpoint: one.units for one in look.unspent if one.outpoint not in there}
        facts = Facts(
            accounts=accounts,
            vault_chain=vault,
            float_chain=float_,
            uncredited=await reconciliation_facts.uncredited(conn, asset, look.at.height),
            flows=await reconciliation_facts.flows(conn, self.listed, asset, look.at.height),
            missing=missing,
        )
        await self.record.catch_up(conn)
        entitled = await self.record.entitlements(conn, asset)
        strange = await self._strange(conn, facts, asset, coin)
        return replace(facts, strange_entries=strange, entitlements=entitled, journal_error=self.record.error)

    async def _strange(self, conn: AsyncConnection[Any], facts: Facts, asset: str, coin: str) -> list[Finding]:
        """Entries that nothing accounts for. All entries of the asset are read for it, so only where there is a gap."""
        if not any(reconciliation.gaps(facts)):
            return []
        return await reconciliation_facts.strange_entries(conn, self.listed.id, asset, is_coin=asset == coin)

    async def _store(
        self, conn: AsyncConnection[Any], made: Sequence[Reconciliation], look: _Look, now: datetime
    ) -> None:
        for one in made:
            await _put(conn, one)
            await _tell(conn, one, now)
            await self._tell_low(conn, one, now)
        if self._is_evm:
            await reconciliation_facts.store_unflushed(conn, self.listed.id, look.forwarders, look.lying)

    async def _tell_low(self, conn: AsyncConnection[Any], one: Reconciliation, now: datetime) -> None:
        """Ask for a settlement where the float is below its low water."""
        asset = self.listed.assets[AssetId(one.asset)]
        given = self.listed.settings.float
        text = given.low.get(asset.symbol) if given is not None else None
        if text is None:
            return
        there, low = int(one.figures.float_chain_units), parse_units(text, asset.decimals)
        if there >= low:
            decided = Resolution("the float is filled again", "reconciliation")
            await attention.resolve_about(conn, one.asset, AttentionReason.FLOAT_LOW, decided, now)
            return
        detail = {"float_units": str(there), "low_units": str(low), "draft": f"/v1/settlements/draft?asset={one.asset}"}
        await attention.ask(conn, [Ask(None, AttentionReason.FLOAT_LOW, one.asset, detail)], now)

    @property
    def _is_evm(self) -> bool:
        return isinstance(self.listed.network, EvmNetwork)


async def newest(conn: AsyncConnection[Any]) -> list[Reconciliation]:
    """The newest comparison of each asset."""
    return await _select(
        conn, "SELECT DISTINCT ON (asset) * FROM payments.reconciliations ORDER BY asset, made_at DESC"
    )


async def history(conn: AsyncConnection[Any], asset: str, limit: int = 50) -> list[Reconciliation]:
    """Comparisons of one asset, newest first."""
    return await _select(
        conn, "SELECT * FROM payments.reconciliations WHERE asset = %s ORDER BY made_at DESC LIMIT %s", (asset, limit)
    )


async def forget_old(conn: AsyncConnection[Any], now: datetime) -> None:
    """Old comparisons that found nothing are not kept."""
    await conn.execute("DELETE FROM payments.reconciliations WHERE made_at < %s AND findings = '[]'", (now - KEPT_FOR,))


async def _select(conn: AsyncConnection[Any], query: str, values: Sequence[object] = ()) -> list[Reconciliation]:
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query, values)
        return [
            Reconciliation(
                **{
                    **row,
                    "figures": msgspec.convert(row["figures"], Figures),
                    "gap_units": int(row["gap_units"]),
                    "findings": msgspec.convert(row["findings"], list[Finding]),
                }
            )
            for row in await cursor.fetchall()
        ]


async def _both_stand_at(conn: AsyncConnection[Any], network: str, cursor: Cursor) -> bool:
    """Whether deposits and outflows have been read to exactly this block."""
    found = await conn.execute(
        """
        SELECT (SELECT hash FROM payments.cursors WHERE network = %(network)s) = %(hash)s
           AND (SELECT hash FROM payments.outflow_cursors WHERE network = %(network)s) = %(hash)s
        """,
        {"network": network, "hash": cursor.hash},
    )
    row = await found.fetchone()
    return row is not None and bool(row[0])


async def _put(conn: AsyncConnection[Any], one: Reconciliation) -> None:
    await conn.execute(
        """
        INSERT INTO payments.reconciliations (asset, height, hash, figures, gap_units, findings, made_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s)
        ON CONFLICT (asset, height, hash) DO UPDATE SET figures = excluded.figures, gap_units = excluded.gap_units,
            findings = excluded.findings, made_at = excluded.made_at
        """,
        (
            one.asset,
            one.height,
            one.hash,
            Jsonb(msgspec.to_builtins(one.figures)),
            one.gap_units,
            Jsonb(msgspec.to_builtins(one.findings)),
            one.made_at,
        ),
    )


async def _tell(conn: AsyncConnection[Any], one: Reconciliation, now: datetime) -> None:
    """Call a person for what is wrong; take the call back once it is right again."""
    metrics.RECONCILIATION_GAP.labels(one.asset).set(1 if one.findings else 0)
    reason = AttentionReason.RECONCILIATION_GAP
    if not one.findings:
        await attention.resolve_about(conn, one.asset, reason, Resolution("it adds up again", "reconciliation"), now)
        return
    log.error("reconciliation_gap", asset=one.asset, height=one.height, findings=len(one.findings))
    detail = {"height": one.height, "hash": one.hash, "findings": msgspec.to_builtins(one.findings[:10])}
    await attention.ask(conn, [Ask(None, reason, one.asset, detail)], now)


def _reconciliation(asset: str, cursor: Cursor, facts: Facts, now: datetime) -> Reconciliation:
    return Reconciliation(
        asset=asset,
        height=cursor.height,
        hash=cursor.hash,
        figures=reconciliation.figures(facts),
        gap_units=sum(abs(gap) for gap in reconciliation.gaps(facts)),
        findings=reconciliation.findings(facts),
        made_at=now,
    )


def _sum(lying: Lying, addresses: set[str] | frozenset[str], asset: str) -> int:
    return sum(units for (address, of), units in lying.items() if of == asset and address in addresses)


def _of(look: _Look, place: str, asset: AssetId) -> int:
    return sum(look.lying.get((one.outpoint, asset), 0) for one in look.unspent if one.place == place)
