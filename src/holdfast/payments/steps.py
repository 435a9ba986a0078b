"""One step of a network's follower as one transaction: deposits, ledger, invoices, events, webhooks and the cursor.

Either all of it is there or nothing, so a crash at any moment is a restart from the cursor. It never asks a node.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import structlog
from psycopg import AsyncConnection

from holdfast.chains.follower import Cursor
from holdfast.chains.port import Unconfirmed
from holdfast.chains.reader import Applied, WalkedBack
from holdfast.core.states import DepositState, move_deposit
from holdfast.payments import arrivals, attention, crediting, deposits, events, hints, positions
from holdfast.payments.arrivals import Change, Found, Reading
from holdfast.payments.attention import Ask
from holdfast.payments.catalogue import ListedNetwork
from holdfast.payments.deposits import Deposit
from holdfast.payments.hints import HintKind
from holdfast.payments.restanding import restand
from holdfast.payments.standing import AttentionReason
from holdfast.runtime import metrics

log = structlog.get_logger()

Screen = Callable[[Deposit], Awaitable[str | None]]
"""Why a deposit must be held before it is credited, or None. Asked when it has its confirmations."""


async def hold_nothing(_deposit: Deposit) -> str | None:
    """Without screening, nothing is held."""
    return None


@dataclass(frozen=True, slots=True)
class Work:
    """What a step needs besides what was read."""

    listed: ListedNetwork
    screen: Screen = hold_nothing


@dataclass(frozen=True, slots=True)
class PoolReading:
    """What the nodes' memory pools held, and when they were asked."""

    unconfirmed: Unconfirmed
    asked_at: datetime
    """Everything that the nodes knew at this moment has been applied, with this."""
    asked_before: datetime | None
    """When they were asked before, if that was a moment ago."""


async def apply_blocks(
    conn: AsyncConnection[Any], work: Work, before: Cursor | None, step: Applied, now: datetime
) -> None:
    """The chain went on. Raises `CursorMoved`, `ArrivalContradicted`, `CreditRefused`; nothing has happened then."""
    network = work.listed.id
    there = await positions.hold(conn, network, before)
    headers = [block.header for block in step.blocks]
    found = [Found(arrival, block.header) for block in step.blocks for arrival in block.arrivals]
    changes = await arrivals.see(conn, found, Reading(work.listed, now, there.read_through))
    await positions.advance(conn, network, headers, work.listed.settings.finality_depth, step.tip.height)
    confirmed = await _confirm_due(conn, work, headers[-1].height, now)
    await _tell(conn, network, [*changes, *confirmed], now)


async def walk_back(
    conn: AsyncConnection[Any], work: Work, before: Cursor | None, step: WalkedBack, now: datetime
) -> None:
    """Blocks left the chain: what was in them is undone, credits through the ledger. Raises `CursorMoved`."""
    network = work.listed.id
    await positions.hold(conn, network, before)
    undone = await arrivals.above(conn, network, step.to.height)
    credited = [deposit for deposit in undone if deposit.state is DepositState.CONFIRMED]
    reversals = await crediting.reverse(conn, credited)
    await hints.close(conn, HintKind.DEPOSIT, network, [deposit.key for deposit in credited])
    asks = [_reorged(gone, owed) for gone, owed in reversals]
    changes = [Change(before, gone) for before, (gone, _) in zip(credited, reversals, strict=True)]
    for deposit in undone:
        if deposit.state is not DepositState.CONFIRMED:
            state = move_deposit(deposit.state, DepositState.REORGED)
            gone = replace(deposit, state=state, block_height=None, block_hash=None, held_for=None)
            changes.append(Change(deposit, gone))
    await arrivals.store(conn, [change.after for change in changes])
    await positions.rewind(conn, network, step.to, step.tip.height)
    await attention.ask(conn, asks, now)
    await _tell(conn, network, changes, now)
    metrics.NETWORK_REORGS.labels(work.listed.network.name).inc()


async def apply_pool(
    conn: AsyncConnection[Any], work: Work, before: Cursor | None, reading: PoolReading, now: datetime
) -> None:
    """Everything up to `before` is applied, and this waits for a block. Shown, never credited. Raises `CursorMoved`."""
    network = work.listed.id
    await positions.hold(conn, network, before)
    found = [Found(arrival, None) for arrival in reading.unconfirmed.arrivals]
    changes = await arrivals.see(conn, found, Reading(work.listed, now, reading.asked_before))
    tip = reading.unconfirmed.tip
    if tip is not None and before is not None and tip.hash == before.hash:
        changes += await arrivals.vanished(conn, network, {each.arrival.key for each in found})
    if before is not None:
        await positions.mark_read(conn, network, reading.asked_at, before.height)
    await _tell(conn, network, changes, now)


async def release(conn: AsyncConnection[Any], deposit_id: str, by: str, now: datetime) -> Deposit:
    """A person lets a held deposit go on: it is credited now. Raises `DepositNotFound`, `TransitionForbidden`."""
    deposit = await _held(conn, deposit_id)
    move_deposit(deposit.state, DepositState.CONFIRMED)
    (after,) = await crediting.confirm(conn, [deposit], now)
    await hints.deposits_confirmed(conn, [after])
    return await _settle_held(conn, Change(deposit, after), by, now)


async def give_back(conn: AsyncConnection[Any], deposit_id: str, by: str, now: datetime) -> Deposit:
    """A person decides that a held deposit is not the merchant's: it stays in the vault until it is paid back.

    Raises `DepositNotFound`, `TransitionForbidden`.
    """
    deposit = await _held(conn, deposit_id)
    after = replace(deposit, state=move_deposit(deposit.state, DepositState.RETURNED))
    return await _settle_held(conn, Change(deposit, after), by, now)


async def _held(conn: AsyncConnection[Any], deposit_id: str) -> Deposit:
    """The deposit, locked in the same order as the follower locks: network, then deposit."""
    deposit = await deposits.get(conn, deposit_id)
    await positions.position(conn, deposit.network, lock=True)
    return await deposits.get(conn, deposit_id, lock=True)


async def _settle_held(conn: AsyncConnection[Any], change: Change, by: str, now: datetime) -> Deposit:
    after = change.after
    await arrivals.store(conn, [after])
    await _tell(conn, after.network, [change], now)
    decided = attention.Resolution(after.state.value, by)
    await attention.resolve_about(conn, after.id, AttentionReason.DEPOSIT_HELD, decided, now)
    return after


async def _confirm_due(conn: AsyncConnection[Any], work: Work, height: int, now: datetime) -> list[Change]:
    """Credit what has its confirmations at this height, but for what screening holds."""
    ready, changes, asks = [], [], []
    for deposit in await arrivals.due(conn, work.listed.id, height):
        why = await work.screen(deposit)
        if why is None:
            ready.append(deposit)
            continue
        held = replace(deposit, state=move_deposit(deposit.state, DepositState.HELD), held_for=why)
        changes.append(Change(deposit, held))
        asks.append(Ask(held.merchant_id, AttentionReason.DEPOSIT_HELD, held.id, {"why": why, **_what(held)}))
    if ready:
        confirmed = await crediting.confirm(conn, ready, now)
        await hints.deposits_confirmed(conn, confirmed)
        changes += [Change(before, after) for before, after in zip(ready, confirmed, strict=True)]
    await arrivals.store(conn, [change.after for change in changes])
    await attention.ask(conn, asks, now)
    return changes


async def _tell(conn: AsyncConnection[Any], network: str, changes: Sequence[Change], now: datetime) -> None:
    """Events for deposits in another state, questions to people, and invoices brought to where they stand."""
    if not changes:
        return
    moved = [change for change in changes if change.before is None or change.before.state is not change.after.state]
    await events.emit(
        conn,
        [
            events.News(
                change.after.merchant_id,
                _EVENT_OF[change.after.state],
                change.after.id,
                deposits.as_data(change.after),
            )
            for change in moved
        ],
        now,
    )
    await attention.ask(conn, await arrivals.ask_about(conn, network, changes), now)
    invoice_ids = {change.after.invoice_id for change in changes if change.after.invoice_id is not None}
    await restand(conn, invoice_ids, now, {change.after.id for change in changes if change.is_news})
    for change in moved:
        metrics.DEPOSITS.labels(network, change.after.state.value).inc()
        log.info(
            "deposit_moved", network=network, deposit=change.after.id, state=change.after.state,
            invoice=change.after.invoice_id, units=str(change.after.units), asset=change.after.asset,
        )  # fmt: skip


_EVENT_OF = {
    DepositState.SEEN: events.EventType.DEPOSIT_SEEN,
    DepositState.CONFIRMED: events.EventType.DEPOSIT_CONFIRMED,
    DepositState.HELD: events.EventType.DEPOSIT_HELD,
    DepositState.RETURNED: events.EventType.DEPOSIT_RETURNED,
    DepositState.REORGED: events.EventType.DEPOSIT_REORGED,
}


def _reorged(deposit: Deposit, owed: int) -> Ask:
    detail = {**_what(deposit), "owed_units": str(owed)}
    return Ask(deposit.merchant_id, AttentionReason.DEPOSIT_REORGED, deposit.id, detail)


def _what(deposit: Deposit) -> dict[str, str | None]:
    return {
        "asset": deposit.asset,
        "units": str(deposit.units),
        "address": deposit.address,
        "transaction": deposit.transaction,
    }
