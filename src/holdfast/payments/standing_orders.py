"""Standing orders: signed once by a merchant, then paid slot by slot with no key of his online.

`propose_slots` orders what a slot may pay: the balance less the fee, up to the order's maximum. The signer checks the
merchant's signature, the destination and the slot again for each; a proposal is only a hint.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row

from holdfast import ledger
from holdfast.core import intents
from holdfast.core.errors import BadInput, NotFound
from holdfast.core.ids import new_id
from holdfast.core.intents import SignedIntent, read_intent, standing_payout
from holdfast.core.money import AssetId
from holdfast.core.states import StandingOrderState, move_standing_order
from holdfast.payments import ordering, paying, payouts
from holdfast.payments.catalogue import ListedNetwork
from holdfast.payments.ordering import (
    IntentOfAnotherKind,
    MerchantKeys,
    PayoutDesk,
    PayoutFeeTooLow,
    PayoutReferenceTaken,
    at,
)
from holdfast.payments.payouts import Payout
from holdfast.policy.rules import Rule
from holdfast.runtime import logs

FEES_MIN = 10
"""A slot pays at least so many times its fee, where the settings say nothing."""


class StandingOrderNotFound(NotFound):
    """There is no such standing order here. Check the id, and that the key belongs to its merchant."""

    code = "standing-order-not-found"


class StandingOrderTooSmall(BadInput):
    """The order's maximum is below the least that is worth a slot. Sign one with a higher maximum."""

    code = "standing-order-too-small"


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingOrder:
    """A standing order as it is stored. Units are its asset's smallest."""

    id: str
    intent_id: str
    merchant_id: str
    reference: str
    network: str
    asset: str
    destination: str
    units: int
    """Most that one slot pays."""
    minimum_units: int
    """Less is not worth a slot: the platform's own rule, when the order came."""
    fee_units: int
    every_seconds: int
    document: str
    """The exact bytes that the merchant signed."""
    signature: str
    state: StandingOrderState = StandingOrderState.ACTIVE
    slot_next: int = 0
    """The first slot that may still be proposed."""
    due_at: datetime
    """When it begins, or the order ends."""
    looked_at: datetime | None = None
    not_before: datetime
    expires_at: datetime
    created_at: datetime
    ended_at: datetime | None = None
    request_id: str | None = None


async def place(
    conn: AsyncConnection[Any], desk: PayoutDesk, keys: MerchantKeys, signed: SignedIntent, now: datetime
) -> tuple[StandingOrder, bool]:
    """Keep a signed standing order; whether it was here before. The same intent again is the same order.

    Raises what `ordering.read_signed` raises, `IntentOfAnotherKind`, `AssetNotListed`, `PayoutFeeTooLow`,
    `StandingOrderTooSmall`, `PayoutReferenceTaken`.
    """
    intent = ordering.read_signed(keys, signed, now)
    if not isinstance(intent, intents.StandingOrder):
        raise IntentOfAnotherKind(type(intent).__name__)
    listed = ordering.check_asset(desk.catalogue, intent.network, intent.asset)
    fee_units = desk.fee_units(intent.asset, 1)
    if intent.fee_units < fee_units:
        raise PayoutFeeTooLow(f"{intent.fee_units} units are offered", fee_units=str(fee_units))
    minimum_units = minimum(listed, intent)
    if intent.units < minimum_units:
        raise StandingOrderTooSmall(minimum_units=str(minimum_units))
    order = _order_of(intent, signed, minimum_units, now)
    cursor = await conn.execute(_INSERT, [msgspec.json.encode([order]).decode()])
    if cursor.rowcount:
        return order, False
    found = await _select(conn, "WHERE intent_id = %s", [signed.id])
    if not found:
        raise PayoutReferenceTaken(f"{intent.reference!r}")
    return found[0], True


def minimum(listed: ListedNetwork, intent: intents.StandingOrder) -> int:
    """Least that is worth a slot: as the settings say, else ten times the fee, and never less than a least deposit."""
    asset = AssetId(intent.asset)
    told = listed.standing_minimums.get(asset)
    return max(1, listed.minimums.get(asset, 0), FEES_MIN * intent.fee_units if told is None else told)


def _order_of(intent: intents.StandingOrder, signed: SignedIntent, minimum_units: int, now: datetime) -> StandingOrder:
    slot = max(0, intent.slot_at(int(now.timestamp())))
    return StandingOrder(
        id=new_id("sto", int(now.timestamp() * 1000), secrets.token_bytes(10)),
        intent_id=signed.id,
        merchant_id=intent.merchant,
        reference=intent.reference,
        network=intent.network,
        asset=intent.asset,
        destination=intent.destination,
        units=intent.units,
        minimum_units=minimum_units,
        fee_units=intent.fee_units,
        every_seconds=intent.every_seconds,
        document=signed.document,
        signature=signed.signature,
        slot_next=slot,
        due_at=_due_at(intent, slot),
        not_before=at(intent.not_before),
        expires_at=at(intent.expires_at),
        created_at=now,
        request_id=logs.request_id(),
    )


async def get(
    conn: AsyncConnection[Any], order_id: str, merchant_id: str | None = None, *, lock: bool = False
) -> StandingOrder:
    """One standing order. Raises `StandingOrderNotFound`, also when it is another merchant's (None: anybody's)."""
    found = await _select(conn, f"WHERE id = %s {'FOR NO KEY UPDATE' if lock else ''}", [order_id])
    if not found or merchant_id not in (None, found[0].merchant_id):
        raise StandingOrderNotFound(order_id[:60])
    return found[0]


async def page(
    conn: AsyncConnection[Any], merchant_id: str, *, after: str | None = None, limit: int = 50
) -> list[StandingOrder]:
    """A merchant's standing orders, newest first."""
    where = "WHERE merchant_id = %s AND (%s::text IS NULL OR id < %s) ORDER BY id DESC LIMIT %s"
    return await _select(conn, where, [merchant_id, after, after, limit])


async def stop(conn: AsyncConnection[Any], order_id: str, merchant_id: str, now: datetime) -> StandingOrder:
    """Propose no more of its slots. The signature stays valid until it expires: only the certificate's end, a freeze or
    a key change takes it back. Raises `StandingOrderNotFound`, `TransitionForbidden` (it has ended)."""
    order = await get(conn, order_id, merchant_id, lock=True)
    if order.state is StandingOrderState.STOPPED:
        return order
    stopped = replace(order, state=move_standing_order(order.state, StandingOrderState.STOPPED), ended_at=now)
    await _store(conn, [stopped])
    return stopped


async def propose_slots(conn: AsyncConnection[Any], desk: PayoutDesk, now: datetime, limit: int = 100) -> list[Payout]:
    """Order a payout for each due slot that the balance is worth, in the caller's transaction; the payouts.

    Orders that wait longest come first; those that another process has in hand are left to it. Orders end whose time is
    over, or whose key the signer no longer takes. Raises `LedgerRaced`: run the whole transaction again.
    """
    due = await _select(conn, _DUE, [now, now, limit])
    over = await _disowned(conn, due) | {order.id for order in due if order.expires_at <= now}
    await _store(conn, [_ended(order, now) for order in due if order.id in over])
    open_ = [order for order in due if order.id not in over]
    drafts = await _drafts(conn, open_, now)
    posted = await ledger.post(conn, [paying.reservation(draft.sum) for draft in drafts.values()])
    reserved = {
        order_id: draft
        for (order_id, draft), outcome in zip(drafts.items(), posted, strict=True)
        if not isinstance(outcome, ledger.Refused)
    }
    await payouts.insert(conn, list(reserved.values()), now)
    await _store(conn, [_next(order, reserved.get(order.id), now) for order in open_])
    return list(reserved.values())


_DUE = """
    WHERE state = 'active' AND due_at <= %s
      AND EXISTS (SELECT FROM payments.merchants WHERE id = merchant_id AND certified_until > %s)
    ORDER BY looked_at NULLS FIRST, id LIMIT %s FOR NO KEY UPDATE SKIP LOCKED
"""


async def _disowned(conn: AsyncConnection[Any], due: Sequence[StandingOrder]) -> set[str]:
    """Orders whose last slot the signer refused because their signature counts no more: the merchant has a new key."""
    cursor = await conn.execute(
        """
        SELECT standing_order_id FROM payments.payouts
        WHERE (standing_order_id, slot) IN (SELECT * FROM unnest(%s::text[], %s::bigint[])) AND rule = %s
        """,
        ([order.id for order in due], [order.slot_next - 1 for order in due], Rule.SIGNATURE_INVALID.value),
    )
    return {row[0] for row in await cursor.fetchall()}


async def _drafts(conn: AsyncConnection[Any], due: Sequence[StandingOrder], now: datetime) -> dict[str, Payout]:
    """What each order would pay now, where that is worth it; orders of one purse share what is in it."""
    left: dict[tuple[str, str], int] = {}
    drafts = {}
    for order in due:
        purse = (order.asset, order.merchant_id)
        if purse not in left:
            is_short = (await ledger.balance(conn, paying.deficit(order.asset))).posted < 0
            left[purse] = 0 if is_short else (await ledger.balance(conn, paying.merchant(*purse))).available
        units = min(order.units, left[purse] - order.fee_units)
        if units >= order.minimum_units:
            left[purse] -= units + order.fee_units
            drafts[order.id] = _slot_payout(order, units, now)
    return drafts


def _intent_of(order: StandingOrder) -> intents.StandingOrder:
    intent = read_intent(order.document.encode())
    assert isinstance(intent, intents.StandingOrder)  # noqa: S101  `place` stored nothing else
    return intent


def _due_at(intent: intents.StandingOrder, slot: int) -> datetime:
    """When there is something to do: the slot begins, or the order ends before it."""
    return at(min(intent.expires_at, intent.not_before + slot * intent.every_seconds))


def _slot_payout(order: StandingOrder, units: int, now: datetime) -> Payout:
    intent = _intent_of(order)
    slot = intent.slot_at(int(now.timestamp()))
    signed = SignedIntent(order.document, order.signature)
    draft = ordering.payout_of(standing_payout(intent, slot, units), signed, now)
    return replace(draft, key=f"{signed.id}:{slot}", standing_order_id=order.id, slot=slot, request_id=order.request_id)


def _next(order: StandingOrder, payout: Payout | None, now: datetime) -> StandingOrder:
    if payout is None or payout.slot is None:
        return replace(order, looked_at=now)
    slot = payout.slot + 1
    return replace(order, slot_next=slot, due_at=_due_at(_intent_of(order), slot), looked_at=now)


def _ended(order: StandingOrder, now: datetime) -> StandingOrder:
    return replace(order, state=move_standing_order(order.state, StandingOrderState.ENDED), ended_at=now)


async def _select(conn: AsyncConnection[Any], rest: str, values: Sequence[object]) -> list[StandingOrder]:
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(f"SELECT * FROM payments.standing_orders {rest}", values)  # noqa: S608  constants of this module
        return [_from(row) for row in await cursor.fetchall()]


def _from(row: DictRow) -> StandingOrder:
    numbers = {name: int(row[name]) for name in ("units", "minimum_units", "fee_units")}
    return StandingOrder(**{**row, **numbers, "state": StandingOrderState(row["state"])})


async def _store(conn: AsyncConnection[Any], changed: Sequence[StandingOrder]) -> None:
    if changed:
        await conn.execute(_UPDATE, [msgspec.json.encode(changed).decode()])


_INSERT = """
    INSERT INTO payments.standing_orders
        (id, intent_id, merchant_id, reference, network, asset, destination, units, minimum_units, fee_units,
         every_seconds, document, signature, state, slot_next, due_at, not_before, expires_at, created_at, request_id)
    SELECT id, intent_id, merchant_id, reference, network, asset, destination, units, minimum_units, fee_units,
        every_seconds, document, signature, state, slot_next, due_at, not_before, expires_at, created_at, request_id
    FROM json_to_recordset(%s::json) AS new
        (id text, intent_id text, merchant_id text, reference text, network text, asset text, destination text,
         units numeric, minimum_units numeric, fee_units numeric, every_seconds bigint, document text, signature text,
         state text, slot_next bigint, due_at timestamptz, not_before timestamptz, expires_at timestamptz,
         created_at timestamptz, request_id text)
    ON CONFLICT DO NOTHING
"""
_UPDATE = """
    UPDATE payments.standing_orders AS kept
    SET state = new.state, slot_next = new.slot_next, due_at = new.due_at, looked_at = new.looked_at,
        ended_at = new.ended_at
    FROM json_to_recordset(%s::json) AS new
        (id text, state text, slot_next bigint, due_at timestamptz, looked_at timestamptz, ended_at timestamptz)
    WHERE kept.id = new.id
"""
