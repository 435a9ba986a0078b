"""What a block, a reorganisation or the memory pool means for deposits: the decision of each, then one write for all.

`met` is pure: from what is stored under an arrival's key and what has just been read, the deposit as it is now.
Nothing here moves money; `crediting` does, in the same transaction.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, assert_never

from psycopg import AsyncConnection
from psycopg.rows import dict_row

from holdfast.chains.port import Arrival, Header
from holdfast.core.errors import Unavailable
from holdfast.core.ids import new_id
from holdfast.core.states import DepositState, move_deposit
from holdfast.payments.attention import Ask
from holdfast.payments.catalogue import ListedNetwork
from holdfast.payments.deposits import Deposit, deposit_from
from holdfast.payments.standing import AttentionReason


class ArrivalContradicted(Unavailable):
    """A node told of one arrival in two blocks of one chain. Compare its nodes; nothing is credited meanwhile."""

    code = "arrival-contradicted"
    retry = False


@dataclass(frozen=True, slots=True)
class Found:
    """An arrival, and the block it is in; None: it waits in the memory pool."""

    arrival: Arrival
    block: Header | None


@dataclass(frozen=True, slots=True)
class Reading:
    """When and where something was read."""

    listed: ListedNetwork
    now: datetime
    not_before: datetime | None
    """Whatever is new in this reading was not there yet at this moment; None: unknown."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Whom an address belongs to."""

    merchant_id: str
    merchant_closed: bool
    invoice_id: str | None
    address_closed: bool


@dataclass(frozen=True, slots=True)
class Change:
    """A deposit before (None: it is new) and after."""

    before: Deposit | None
    after: Deposit

    @property
    def is_news(self) -> bool:
        """Whether money is there that was not there before."""
        return self.before is None or self.before.state is DepositState.REORGED


async def see(conn: AsyncConnection[Any], found: Sequence[Found], reading: Reading) -> list[Change]:
    """Store what was read; what has changed by it. Reading the same again changes nothing."""
    wanted = [each for each in found if each.arrival.units > 0 and each.arrival.asset in reading.listed.assets]
    if not wanted:
        return []
    owners = await _owners(conn, reading.listed.id, {each.arrival.address for each in wanted})
    by_key, strays = await _stored(conn, reading.listed.id, wanted)
    changes = []
    for each in wanted:
        owner = owners.get(each.arrival.address)
        if owner is None:
            continue  # a watch may be a moment older than a database that was restored; the rows are what counts
        before = by_key.get(each.arrival.key) or _adopt(strays, each)
        after = met(before, each, owner, reading)
        by_key[each.arrival.key] = after
        if after != before:
            changes.append(Change(before, after))
    await store(conn, [change.after for change in changes])
    return changes


def met(before: Deposit | None, found: Found, owner: Owner, reading: Reading) -> Deposit:
    """The deposit, now that its arrival has been read. Raises `ArrivalContradicted`."""
    if before is None:
        return _new(found, owner, reading)
    block = found.block
    match before.state:
        case DepositState.RETURNED:
            return before
        case DepositState.REORGED:
            seen = _told(replace(before, state=move_deposit(before.state, DepositState.SEEN)), found, reading)
            return _in_block(seen, block, reading)
        case DepositState.SEEN | DepositState.HELD | DepositState.CONFIRMED:
            if block is None or before.block_hash == block.hash:
                return before
            if before.block_hash is not None:
                raise ArrivalContradicted(f"{before.key} in {before.block_hash} and {block.hash}")
            return _in_block(_told(before, found, reading), block, reading)
        case state:
            assert_never(state)


def asks_about(changes: Iterable[Change], owners: dict[str, Owner]) -> list[Ask]:
    """What a person should look at in new money, apart from what its invoice says."""
    asks = []
    for change in changes:
        deposit, owner = change.after, owners[change.after.address]
        detail = {
            "deposit": deposit.id,
            "asset": deposit.asset,
            "units": str(deposit.units),
            "address": deposit.address,
        }
        if not change.is_news:
            continue
        if deposit.below_minimum:
            # One item an address, not one a deposit: dust is free to send, and must not flood the queue.
            asks.append(Ask(deposit.merchant_id, AttentionReason.BELOW_MINIMUM, deposit.address, detail))
        if owner.address_closed:
            asks.append(Ask(deposit.merchant_id, AttentionReason.ADDRESS_CLOSED, deposit.id, detail))
        if owner.merchant_closed:
            asks.append(Ask(deposit.merchant_id, AttentionReason.MERCHANT_CLOSED, deposit.id, detail))
    return asks


async def ask_about(conn: AsyncConnection[Any], network: str, changes: Sequence[Change]) -> list[Ask]:
    """`asks_about`, with the owners read."""
    if not changes:
        return []
    return asks_about(changes, await _owners(conn, network, {change.after.address for change in changes}))


async def vanished(conn: AsyncConnection[Any], network: str, keys: set[str]) -> list[Change]:
    """Deposits that waited for a block and are not waiting any more (`keys` are all that do): they are gone.

    Call it only when the pool was read at the very block that the cursor stands on: else a deposit that has just been
    mined would look gone.
    """
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            """
            SELECT * FROM payments.deposits
            WHERE network = %s AND block_height IS NULL AND state = 'seen' AND key <> ALL(%s)
            ORDER BY id FOR NO KEY UPDATE
            """,
            (network, list(keys)),
        )
        gone = [deposit_from(row) for row in await cursor.fetchall()]
    changes = [Change(each, replace(each, state=move_deposit(each.state, DepositState.REORGED))) for each in gone]
    await store(conn, [change.after for change in changes])
    return changes


async def above(conn: AsyncConnection[Any], network: str, height: int) -> list[Deposit]:
    """Deposits in blocks above a height, locked: what a walk back undoes."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            """
            SELECT * FROM payments.deposits WHERE network = %s AND block_height > %s AND state <> 'returned'
            ORDER BY id FOR NO KEY UPDATE
            """,
            (network, height),
        )
        return [deposit_from(row) for row in await cursor.fetchall()]


async def due(conn: AsyncConnection[Any], network: str, height: int) -> list[Deposit]:
    """Deposits that have their confirmations at this height and are not credited yet, locked."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            """
            SELECT * FROM payments.deposits
            WHERE network = %s AND state = 'seen' AND NOT below_minimum
              AND block_height <= %s AND block_height + confirmations_required - 1 <= %s
            ORDER BY id FOR NO KEY UPDATE
            """,
            (network, height, height),
        )
        return [deposit_from(row) for row in await cursor.fetchall()]


async def store(conn: AsyncConnection[Any], deposits: Sequence[Deposit]) -> None:
    """Write deposits whole, new ones and changed ones."""
    if not deposits:
        return
    async with conn.cursor() as cursor:
        await cursor.executemany(_STORE, [_row(deposit) for deposit in deposits])


_COLUMNS = tuple(Deposit.__dataclass_fields__)
_STORE = f"""
    INSERT INTO payments.deposits ({", ".join(_COLUMNS)})
    VALUES ({", ".join(f"%({column})s" for column in _COLUMNS)})
    ON CONFLICT (id) DO UPDATE SET {", ".join(f"{column} = excluded.{column}" for column in _COLUMNS if column != "id")}
"""  # noqa: S608  the columns are the dataclass's


def _row(deposit: Deposit) -> dict[str, Any]:
    return {column: getattr(deposit, column) for column in _COLUMNS}


def _new(found: Found, owner: Owner, reading: Reading) -> Deposit:
    arrival, block = found.arrival, found.block
    return Deposit(
        id=new_id("dep", int(reading.now.timestamp() * 1000), secrets.token_bytes(10)),
        network=reading.listed.id,
        key=arrival.key,
        asset=arrival.asset,
        address=arrival.address,
        merchant_id=owner.merchant_id,
        invoice_id=owner.invoice_id,
        units=arrival.units,
        state=DepositState.SEEN,
        transaction=arrival.transaction,
        block_height=block.height if block else None,
        block_hash=block.hash if block else None,
        confirmations_required=_confirmations(arrival, reading.listed),
        times_confirmed=0,
        tariff_units=0,
        below_minimum=_is_below_minimum(arrival, reading.listed),
        held_for=None,
        seen_at=reading.now,
        paid_at=paid_at(found, reading),
        confirmed_at=None,
    )


def _told(before: Deposit, found: Found, reading: Reading) -> Deposit:
    """A deposit that is read anew, in another place than before: it is what is told now."""
    arrival = found.arrival
    return replace(
        before,
        key=arrival.key,
        transaction=arrival.transaction,
        units=arrival.units,
        confirmations_required=_confirmations(arrival, reading.listed),
        below_minimum=_is_below_minimum(arrival, reading.listed),
    )


def _in_block(deposit: Deposit, block: Header | None, reading: Reading) -> Deposit:
    if block is None:
        return deposit
    earlier = min(deposit.paid_at, _block_moment(block, reading))
    return replace(deposit, block_height=block.height, block_hash=block.hash, paid_at=earlier)


def paid_at(found: Found, reading: Reading) -> datetime:
    """The earliest moment that an arrival can be shown to have been made: doubts go in the payer's favour.

    New in a block: not before its header's time, which may lie, but never before a moment at which we had read all
    that the nodes knew. New in the memory pool: after the reading before, if that was a moment ago.
    """
    if found.block is not None:
        return _block_moment(found.block, reading)
    return reading.not_before if reading.not_before is not None else reading.now


def _block_moment(block: Header, reading: Reading) -> datetime:
    moment = min(reading.now, datetime.fromtimestamp(block.time, UTC))
    return moment if reading.not_before is None else min(reading.now, max(moment, reading.not_before))


def _confirmations(arrival: Arrival, listed: ListedNetwork) -> int:
    return max(listed.confirmations_for(arrival.asset, arrival.units), arrival.confirmations_min)


def _is_below_minimum(arrival: Arrival, listed: ListedNetwork) -> bool:
    return arrival.units < listed.minimums.get(arrival.asset, 0)


def _adopt(strays: list[Deposit], found: Found) -> Deposit | None:
    """A deposit without a block that is the same payment under another name.

    A token transfer is named by its log's place in the block, which is unknown before and may change in a
    reorganisation; transaction, address, asset and units do not.
    """
    arrival = found.arrival
    if found.block is None or arrival.transaction is None:
        return None
    for stray in strays:
        same = (stray.transaction, stray.address, stray.asset, stray.units)
        if same == (arrival.transaction, arrival.address, arrival.asset, arrival.units):
            strays.remove(stray)
            return stray
    return None


async def _owners(conn: AsyncConnection[Any], network: str, addresses: set[str]) -> dict[str, Owner]:
    cursor = await conn.execute(
        """
        SELECT address.address, merchant.id, merchant.state = 'closed', address.invoice_id,
            address.closed_at IS NOT NULL
        FROM payments.addresses AS address JOIN payments.merchants AS merchant ON merchant.id = address.merchant_id
        WHERE address.network = %s AND address.address = ANY(%s)
        """,
        (network, list(addresses)),
    )
    return {row[0]: Owner(*row[1:]) for row in await cursor.fetchall()}


async def _stored(
    conn: AsyncConnection[Any], network: str, found: Sequence[Found]
) -> tuple[dict[str, Deposit], list[Deposit]]:
    """Deposits that are stored under these arrivals' keys, and others of the same transactions without a block."""
    keys = {each.arrival.key for each in found}
    transactions = {each.arrival.transaction for each in found if each.block is not None and each.arrival.transaction}
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            """
            SELECT * FROM payments.deposits WHERE network = %(network)s AND key = ANY(%(keys)s)
            UNION
            SELECT * FROM payments.deposits
            WHERE network = %(network)s AND transaction = ANY(%(transactions)s) AND block_height IS NULL
            ORDER BY id
            """,
            {"network": network, "keys": list(keys), "transactions": list(transactions)},
        )
        stored = [deposit_from(row) for row in await cursor.fetchall()]
    strays = [each for each in stored if each.key not in keys and each.state is not DepositState.RETURNED]
    return {each.key: each for each in stored if each.key in keys}, strays
