"""One block of a network's outflows as one transaction: what arrived, what was spent, what is mined, and what is due.

Due is what has its confirmations: hints for the signer, and the ledger's entries for settlements and capital. Either
all of it is there or nothing. It never asks a node.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection

from holdfast.chains.follower import Cursor
from holdfast.chains.outflow import Mined, OutflowBlock
from holdfast.chains.port import Arrival, Header
from holdfast.chains.vault_reads import VaultPayment
from holdfast.core.money import Asset
from holdfast.payments import direct_payouts, hints, house_ledger, sending, transactions
from holdfast.payments.catalogue import ListedNetwork
from holdfast.payments.hints import Hint, HintKind, mined_key
from holdfast.payments.house_places import HousePlaces
from holdfast.payments.positions import CursorMoved
from holdfast.payments.rows import there
from holdfast.payments.transactions import Outgoing, TransactionState


@dataclass(frozen=True, slots=True)
class Unspent:
    """An output of the vault or the float that nothing has spent in a block."""

    outpoint: str
    place: str
    units: int


@dataclass(frozen=True, slots=True)
class BlockRead:
    """A block as the nodes tell of it."""

    header: Header
    block: OutflowBlock
    places: HousePlaces
    payments: tuple[VaultPayment, ...]
    """What transactions out of the vault paid."""
    gas: tuple[Arrival, ...]
    """Coin that came to the float keys' accounts (EVM)."""
    units: dict[str, int]
    """Of our outpoints."""
    of_vault: frozenset[str]
    """Which of them are the vault's."""


async def open_cursor(conn: AsyncConnection[Any], network: str) -> Cursor | None:
    """Where the network's outflows have been read to; None: nowhere yet."""
    await conn.execute("INSERT INTO payments.outflow_cursors (network) VALUES (%s) ON CONFLICT DO NOTHING", (network,))
    return await _cursor(conn, network)


async def recent(conn: AsyncConnection[Any], network: str) -> dict[int, str]:
    """Hashes by height of the blocks that can still be undone."""
    cursor = await conn.execute("SELECT height, hash FROM payments.outflow_blocks WHERE network = %s", (network,))
    return {row[0]: row[1] for row in await cursor.fetchall()}


async def unspent(conn: AsyncConnection[Any], network: str) -> list[Unspent]:
    """Every output of ours that nothing has spent in a block that was read (Bitcoin family)."""
    cursor = await conn.execute(
        """
        SELECT ours.key, ours.place, ours.units FROM (
            SELECT key, 'vault' AS place, units FROM payments.deposits
            WHERE network = %(network)s AND block_height IS NOT NULL
            UNION ALL SELECT key, place, units FROM payments.house_arrivals WHERE network = %(network)s
        ) AS ours
        WHERE NOT EXISTS (
            SELECT FROM payments.outflows AS gone WHERE gone.network = %(network)s AND gone.key = ours.key)
        """,
        {"network": network},
    )
    return [Unspent(row[0], row[1], int(row[2])) for row in await cursor.fetchall()]


async def set_trouble(conn: AsyncConnection[Any], network: str, code: str | None) -> None:
    """Why the outflows of a network are not followed now; None: they are."""
    await conn.execute(
        "UPDATE payments.outflow_cursors SET trouble = %s, updated_at = now() WHERE network = %s", (code, network)
    )


def tokens_of(listed: ListedNetwork) -> dict[str, Asset]:
    """The listed token contracts, lower case, and their assets."""
    return {each.rpartition(":")[2]: asset for each, asset in listed.assets.items() if "/erc20:" in each}


def fees_by_sender(block: OutflowBlock) -> dict[str, int]:
    """What our own transactions of a block cost each account (EVM)."""
    cost = {one.transaction: one.fee_units or 0 for one in block.mined}
    paid: dict[str, int] = {}
    for spent in block.spent:
        sender = spent.source.partition(":")[0]
        paid[sender] = paid.get(sender, 0) + cost.get(spent.transaction, 0)
    return paid


async def apply(
    conn: AsyncConnection[Any], listed: ListedNetwork, before: Cursor | None, read: BlockRead, now: datetime
) -> None:
    """The block follows `before`. Raises `CursorMoved`, `LedgerRaced`, `HouseEntryRefused`."""
    await _hold(conn, listed.id, before)
    spenders = {payment.transaction for payment in read.payments}
    ids = {one.transaction for one in read.block.mined} | {
        one.transaction for one in read.block.funded if one.transaction
    }
    ours = await transactions.by_transaction(conn, listed.id, ids)
    await _store_arrivals(conn, listed.id, read, spenders, set(ours))
    await _store_spends(conn, listed.id, read)
    await _store_payments(conn, listed.id, read)
    await _store_mined(conn, read.header, read.block.mined, ours, now)
    await _advance(conn, listed, read.header)
    due = _due(listed, read.header.height)
    await _hint(conn, listed.id, due, read.places)
    await direct_payouts.take_up(conn, now)
    await _post_due(conn, listed, due, now)


async def apply_direct(conn: AsyncConnection[Any], listed: ListedNetwork, cursor: Cursor, now: datetime) -> None:
    """Direct payouts that were ordered, or taken up, after the block that pays them was read. Raises as `apply`."""
    await _hold(conn, listed.id, cursor)
    await _post_due(conn, listed, _due(listed, cursor.height), now)


async def _post_due(conn: AsyncConnection[Any], listed: ListedNetwork, due: int, now: datetime) -> None:
    """What has its confirmations with the block `due`, and direct payouts found only now in blocks below it."""
    found = await direct_payouts.find(conn, listed.id, now)
    late = [one for one in found if one.height <= due]
    for one in late:
        await house_ledger.undo(conn, listed.id, one.transaction)
    await direct_payouts.confirm(conn, listed.id, due, now)
    for height in sorted({due, *(one.height for one in late)}):
        await house_ledger.post_due(conn, listed, height)


async def late(conn: AsyncConnection[Any], network: str) -> dict[tuple[int, str], list[str]]:
    """Transactions of ours whose block was read before the signer's word of them came, by height and hash of it.

    The signer sends to its own nodes too, and the platform may be down meanwhile: they were spends that nobody knew.
    """
    cursor = await conn.execute(
        """
        SELECT DISTINCT spent.height, spent.hash, ours.transaction FROM payments.transactions AS ours
        JOIN payments.outflows AS spent ON spent.network = ours.network AND spent.transaction = ours.transaction
        WHERE ours.network = %s AND ours.state IN ('to-send', 'sent') ORDER BY 1, 3
        """,
        (network,),
    )
    found: dict[tuple[int, str], list[str]] = {}
    for height, block_hash, transaction in await cursor.fetchall():
        found.setdefault((height, block_hash), []).append(transaction)
    return found


async def apply_late(
    conn: AsyncConnection[Any],
    listed: ListedNetwork,
    cursor: Cursor,
    found: tuple[Header, Sequence[Mined]],
    now: datetime,
) -> None:
    """These are in a block that was read already; the signer is told now where it would have been told then.

    Raises `CursorMoved`.
    """
    header, mined = found
    await _hold(conn, listed.id, cursor)
    ours = await transactions.by_transaction(conn, listed.id, [one.transaction for one in mined])
    await _store_mined(conn, header, mined, ours, now)
    if header.height <= _due(listed, cursor.height):
        await _hint_mined(conn, listed.id, header.height)


async def walk_back(
    conn: AsyncConnection[Any], listed: ListedNetwork, before: Cursor | None, to: Cursor, now: datetime
) -> None:
    """Blocks above `to` have left the chain: what was in them is undone, and our transactions are sent again."""
    await _hold(conn, listed.id, before)
    await house_ledger.undo_above(conn, listed.id, to.height)
    await direct_payouts.take_back(conn, listed.id, to.height, now)
    for table in ("house_arrivals", "outflows", "vault_payments", "outflow_blocks"):
        await conn.execute(
            f"DELETE FROM payments.{table} WHERE network = %s AND height > %s",  # noqa: S608  our own words
            (listed.id, to.height),
        )
    await conn.execute(
        """
        UPDATE payments.transactions SET state = 'to-send', height = NULL, hash = NULL, last_sent_at = NULL
        WHERE network = %s AND height > %s AND state = 'mined'
        """,
        (listed.id, to.height),
    )
    await conn.execute(
        """
        UPDATE payments.signer_hints SET is_open = false
        WHERE network = %s AND height > %s AND is_open AND kind IN ('funding', 'mined')
        """,
        (listed.id, to.height),
    )
    await _move(conn, listed.id, to, now)


async def _cursor(conn: AsyncConnection[Any], network: str, *, lock: bool = False) -> Cursor | None:
    cursor = await conn.execute(
        f"SELECT height, hash FROM payments.outflow_cursors WHERE network = %s {'FOR UPDATE' if lock else ''}",  # noqa: S608  our own words
        (network,),
    )
    height, block_hash = there(await cursor.fetchone())
    return None if height is None else Cursor(height, block_hash)


async def _hold(conn: AsyncConnection[Any], network: str, expected: Cursor | None) -> None:
    found = await _cursor(conn, network, lock=True)
    if found != expected:
        raise CursorMoved(f"{network}: expected {expected}, found {found}")


async def _move(conn: AsyncConnection[Any], network: str, to: Cursor, now: datetime) -> None:
    await conn.execute(
        "UPDATE payments.outflow_cursors SET height = %s, hash = %s, updated_at = %s WHERE network = %s",
        (to.height, to.hash, now, network),
    )


async def _advance(conn: AsyncConnection[Any], listed: ListedNetwork, header: Header) -> None:
    await conn.execute(
        "INSERT INTO payments.outflow_blocks VALUES (%s, %s, %s)", (listed.id, header.height, header.hash)
    )
    await conn.execute(
        "DELETE FROM payments.outflow_blocks WHERE network = %s AND height < %s",
        (listed.id, header.height - listed.settings.finality_depth),
    )
    await conn.execute(
        "UPDATE payments.outflow_cursors SET height = %s, hash = %s, updated_at = now() WHERE network = %s",
        (header.height, header.hash, listed.id),
    )


async def _store_arrivals(
    conn: AsyncConnection[Any], network: str, read: BlockRead, spenders: set[str], ours: set[str]
) -> None:
    rows = []
    # Change of the float is no new money, whether or not the signer's word of the transaction has come.
    ours |= {spent.transaction for spent in read.block.spent if spent.source not in read.of_vault}
    for arrival in (*read.block.funded, *read.gas):
        place = read.places.place_of(arrival.address)
        transaction = arrival.transaction or read.header.hash
        origin = "vault" if transaction in spenders else "float" if transaction in ours else "outside"
        if place is not None and arrival.units > 0:
            facts = (arrival.address, arrival.asset, arrival.units, transaction, read.header.height, read.header.hash)
            rows.append((network, arrival.key, place, origin, *facts))
    async with conn.cursor() as cursor:
        await cursor.executemany(
            """
            INSERT INTO payments.house_arrivals
                (network, key, place, origin, address, asset, units, transaction, height, hash)
            VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
            """,
            rows,
        )


async def _store_spends(conn: AsyncConnection[Any], network: str, read: BlockRead) -> None:
    async with conn.cursor() as cursor:
        await cursor.executemany(
            """
            INSERT INTO payments.outflows (network, key, place, units, transaction, height, hash)
            VALUES (%s, %s, %s, %s, %s, %s, %s)
            """,
            [
                (
                    network,
                    spent.source,
                    "vault" if spent.source in read.of_vault else "float",
                    read.units.get(spent.source, 0),
                    spent.transaction,
                    read.header.height,
                    read.header.hash,
                )
                for spent in read.block.spent
            ],
        )


async def _store_payments(conn: AsyncConnection[Any], network: str, read: BlockRead) -> None:
    async with conn.cursor() as cursor:
        await cursor.executemany(
            """
            INSERT INTO payments.vault_payments
                (network, key, transaction, place, address, asset, units, height, hash)
            VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
            """,
            [
                (
                    network,
                    paid.key,
                    paid.transaction,
                    read.places.place_of(paid.to),
                    paid.to,
                    paid.asset,
                    paid.units,
                    read.header.height,
                    read.header.hash,
                )
                for paid in read.payments
            ],
        )


async def _store_mined(
    conn: AsyncConnection[Any], header: Header, found: Sequence[Mined], ours: dict[str, Outgoing], now: datetime
) -> None:
    """Our transactions that are in this block; a payout whose bytes were sent by the signer alone is on its way too."""
    for mined in found:
        outgoing = ours.get(mined.transaction)
        if outgoing is None:
            continue
        fee = outgoing.fee_units if mined.fee_units is None else mined.fee_units
        unpaid = await _unpaid_units(conn, outgoing.payouts, mined.unpaid)
        await conn.execute(
            """
            UPDATE payments.transactions SET state = CASE WHEN state = 'final' THEN state ELSE 'mined' END,
                height = %s, hash = %s, is_reverted = %s, paid_fee_units = %s, unpaid_units = %s, last_error = NULL
            WHERE reservation = %s
            """,
            (header.height, header.hash, mined.is_reverted, fee, unpaid, outgoing.reservation),
        )
    fresh = [one for one in ours.values() if one.state is TransactionState.TO_SEND]
    await sending.tell_broadcast(conn, fresh, now)


async def _unpaid_units(conn: AsyncConnection[Any], payouts: Sequence[str], numbers: Sequence[int]) -> int:
    """What these lines of a call would have paid: a call has its payouts' lines one after the other."""
    if not numbers:
        return 0
    cursor = await conn.execute(
        """
        SELECT line.units FROM unnest(%s::text[]) WITH ORDINALITY AS named (key, place)
        JOIN payments.payouts AS payout ON payout.key = named.key
        JOIN payments.payout_lines AS line ON line.payout_id = payout.id ORDER BY named.place, line.place
        """,
        (list(payouts),),
    )
    units = [int(row[0]) for row in await cursor.fetchall()]
    return sum(units[number] for number in numbers if number < len(units))


def _due(listed: ListedNetwork, height: int) -> int:
    """What is in this block or below has its confirmations when `height` is the newest."""
    return height - listed.settings.confirmations[-1].count + 1


async def _hint_mined(conn: AsyncConnection[Any], network: str, height: int) -> None:
    cursor = await conn.execute(
        """
        SELECT reservation, transaction FROM payments.transactions
        WHERE network = %s AND height = %s AND state = 'mined' ORDER BY reservation
        """,
        (network, height),
    )
    found = [
        Hint(HintKind.MINED, network, mined_key(seq), height, reservation=seq, transaction=transaction)
        for seq, transaction in await cursor.fetchall()
    ]
    await hints.put(conn, found)


async def _hint(conn: AsyncConnection[Any], network: str, due: int, places: HousePlaces) -> None:
    """What has its confirmations with this block: the signer may look for it."""
    await _hint_mined(conn, network, due)
    cursor = await conn.execute(
        """
        SELECT key FROM payments.house_arrivals AS came
        WHERE network = %s AND height = %s AND place = 'float' AND origin <> 'float' AND address = ANY(%s)
          AND NOT EXISTS (
              SELECT FROM payments.journal AS entry
              WHERE entry.kind = 'funding' AND entry.subject = came.key AND entry.network = came.network
                AND entry.document::jsonb -> 'body' ->> 'hash' = came.hash)
        ORDER BY key
        """,
        (network, due, sorted(places.floats)),
    )
    found = [Hint(HintKind.FUNDING, network, key, due) for (key,) in await cursor.fetchall()]
    await hints.put(conn, found)
