"""Payouts as they are stored and read. `ordering` makes them, `progress` moves them, `paying` is their ledger.

Only officers' approvals are added here; nothing here moves money or a state.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row

from holdfast.core.errors import Conflict, NotFound
from holdfast.core.intents import SignedIntent
from holdfast.core.quorum import Signature
from holdfast.core.states import LineState, PayoutState
from holdfast.ledger import LedgerRaced
from holdfast.payments import events
from holdfast.payments.paying import Sum
from holdfast.runtime import metrics

LINES_TOLD_MAX = 20
"""Events of payouts with more lines than this tell their number and the unpaid ones; the API lists all."""


class PayoutNotFound(NotFound):
    """There is no such payout here. Check the id, and that the key belongs to its merchant."""

    code = "payout-not-found"


class PayoutNotPosted(Conflict):
    """The ledger refused a transfer that a payout needs. Nothing was changed; read the rule that the detail names."""

    code = "payout-not-posted"


@dataclass(frozen=True, slots=True)
class PayoutLine:
    """One destination."""

    place: int
    """Among the lines of the intent."""
    destination: str
    units: int
    state: LineState = LineState.WAITING
    transaction: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Payout:
    """Money ordered out. Units are its asset's smallest."""

    id: str
    key: str
    """As signer and journal name it: the intent's id, of a standing order's slot `id:slot`."""
    intent_id: str
    merchant_id: str
    reference: str
    number: int
    network: str
    asset: str
    lines_units: int
    fee_units: int
    document: str
    """The exact bytes that the merchant signed."""
    signature: str
    standing_order_id: str | None = None
    slot: int | None = None
    is_direct: bool = False
    """The quorum ordered it out of the vault: officers pay it, and the float never does."""
    state: PayoutState = PayoutState.RESERVED
    rule: str | None = None
    """Why it was refused or abandoned."""
    detail: str | None = None
    waiting_rule: str | None = None
    """Why the signer has not signed it yet, when it last said so."""
    waiting_detail: str | None = None
    looked_at: datetime | None = None
    approvals: tuple[Signature, ...] = ()
    reservation: int | None = None
    """Seq of the journal's entry that reserved its transaction."""
    transaction: str | None = None
    not_before: datetime
    expires_at: datetime
    created_at: datetime
    accepted_at: datetime | None = None
    signed_at: datetime | None = None
    broadcast_at: datetime | None = None
    ended_at: datetime | None = None
    request_id: str | None = None
    lines: tuple[PayoutLine, ...] = ()

    @property
    def sum(self) -> Sum:
        """What it takes from the merchant."""
        return Sum(self.id, self.merchant_id, self.asset, self.lines_units, self.fee_units)


@dataclass(frozen=True, slots=True)
class ForSigner:
    """A payout as the signer fetches it: a hint, for it checks all of it itself."""

    key: str
    intent: SignedIntent
    approvals: tuple[Signature, ...]
    slot: int | None
    slot_units: int
    """What a standing order shall pay in this slot; 0 for a payout."""


async def waiting_for_signer(conn: AsyncConnection[Any], limit: int = 1000) -> list[ForSigner]:
    """Payouts that the signer's journal says nothing of yet: first those that it never looked at, oldest first."""
    cursor = await conn.execute(_WAITING, [limit])
    return [
        ForSigner(key, SignedIntent(document, signed), _signatures(approvals), slot, 0 if slot is None else int(units))
        for key, document, signed, approvals, slot, units in await cursor.fetchall()
    ]


_WAITING = """
    SELECT key, document, signature, approvals, slot, lines_units FROM payments.payouts
    WHERE state IN ('reserved', 'awaiting-approval') AND accepted_at IS NULL
    ORDER BY looked_at NULLS FIRST, id LIMIT %s
"""


@dataclass(frozen=True, slots=True)
class PayoutFilter:
    """Which payouts to list."""

    merchant_id: str | None
    """None: everybody's."""
    states: Sequence[PayoutState] = ()
    """Empty: all."""
    reference: str | None = None
    standing_order_id: str | None = None
    after: str | None = None
    """The last id of the page before; newest come first."""
    limit: int = 50


async def get(conn: AsyncConnection[Any], name: str, merchant_id: str | None = None, *, lock: bool = False) -> Payout:
    """One payout, by its id or its key. Raises `PayoutNotFound`, also when it is another merchant's (None: anybody's).

    `lock`: nobody else changes it until the transaction ends.
    """
    column = "id" if name.startswith("pay_") else "key"
    found = await _select(conn, f"WHERE {column} = %s {'FOR NO KEY UPDATE' if lock else ''}", [name])
    if not found or merchant_id not in (None, found[0].merchant_id):
        raise PayoutNotFound(name[:80])
    return found[0]


async def by_keys(conn: AsyncConnection[Any], keys: Sequence[str]) -> list[Payout]:
    """Payouts with these keys, where there are any."""
    return await _select(conn, "WHERE key = ANY(%s) ORDER BY id", [list(keys)]) if keys else []


async def page(conn: AsyncConnection[Any], wanted: PayoutFilter) -> list[Payout]:
    """Payouts, newest first, with their lines."""
    given: list[tuple[str, object]] = [
        ("merchant_id = %s", wanted.merchant_id),
        ("state = ANY(%s)", [state.value for state in wanted.states] or None),
        ("reference = %s", wanted.reference),
        ("standing_order_id = %s", wanted.standing_order_id),
        ("id < %s", wanted.after),
    ]
    terms = [(text, value) for text, value in given if value is not None]
    where = f"WHERE {' AND '.join(text for text, _ in terms)}" if terms else ""
    return await _select(conn, f"{where} ORDER BY id DESC LIMIT %s", [*(value for _, value in terms), wanted.limit])


async def insert(conn: AsyncConnection[Any], new: Sequence[Payout], now: datetime) -> None:
    """Store payouts whose reservations the ledger has, and tell. In order of reference, as every batch does it.

    Raises `LedgerRaced` where one of them was stored meanwhile: run the transaction again.
    """
    if not new:
        return
    ordered = sorted(new, key=lambda each: (each.merchant_id, each.reference))
    cursor = await conn.execute(_INSERT, [msgspec.json.encode(ordered).decode()])
    if cursor.rowcount != len(new):
        raise LedgerRaced(f"{len(new) - cursor.rowcount} payouts were stored meanwhile")
    await conn.execute(_INSERT_LINES, [_lines_json(new)])
    await events.emit(conn, [news(payout) for payout in new], now)
    metrics.PAYOUTS.labels(PayoutState.RESERVED.value).inc(len(new))


async def approve(conn: AsyncConnection[Any], payout_id: str, approvals: Sequence[Signature]) -> Payout:
    """Keep officers' signatures over a payout's intent, each officer's once; the signer looks at it again next.

    The caller has checked them. Raises `PayoutNotFound`.
    """
    payout = await get(conn, payout_id, lock=True)
    known = {one.officer: one for one in (*payout.approvals, *approvals)}
    approved = replace(payout, approvals=tuple(known.values()), looked_at=None)
    await store(conn, [approved])
    return approved


def as_data(payout: Payout) -> dict[str, Any]:
    """A payout as events show it: units are strings, times are RFC 3339."""
    told = [line for line in payout.lines if len(payout.lines) <= LINES_TOLD_MAX or line.state is LineState.UNPAID]
    return {
        "id": payout.id,
        "intent": payout.intent_id,
        "reference": payout.reference,
        "network": payout.network,
        "asset": payout.asset,
        "state": payout.state.value,
        "lines_units": str(payout.lines_units),
        "fee_units": str(payout.fee_units),
        "line_count": len(payout.lines),
        "lines": [
            {"place": line.place, "destination": line.destination, "units": str(line.units), "state": line.state.value}
            for line in told
        ],
        "standing_order": payout.standing_order_id,
        "slot": payout.slot,
        "rule": payout.rule,
        "detail": payout.detail,
        "waiting_rule": payout.waiting_rule,
        "transaction": payout.transaction,
        "created_at": payout.created_at.isoformat(),
        "expires_at": payout.expires_at.isoformat(),
        "ended_at": payout.ended_at.isoformat() if payout.ended_at else None,
    }


def news(payout: Payout) -> events.News:
    """The event of the state that a payout has come to."""
    return events.News(payout.merchant_id, events.EventType(f"payout.{payout.state}"), payout.id, as_data(payout))


async def load(conn: AsyncConnection[Any], keys: Sequence[str]) -> list[Payout]:
    """These payouts, locked in one order."""
    return await _select(conn, "WHERE key = ANY(%s) ORDER BY id FOR NO KEY UPDATE", [list(keys)]) if keys else []


async def _select(conn: AsyncConnection[Any], rest: str, values: Sequence[object]) -> list[Payout]:
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(f"SELECT * FROM payments.payouts {rest}", values)  # noqa: S608  constants of this module
        rows = await cursor.fetchall()
        await cursor.execute(_LINES, [[row["id"] for row in rows]])
        lines: defaultdict[str, list[PayoutLine]] = defaultdict(list)
        for row in await cursor.fetchall():
            payout_id = row.pop("payout_id")
            lines[payout_id].append(PayoutLine(**{**row, "units": int(row["units"]), "state": LineState(row["state"])}))
    return [_payout(row, lines[row["id"]]) for row in rows]


_LINES = "SELECT * FROM payments.payout_lines WHERE payout_id = ANY(%s) ORDER BY payout_id, place"


def _payout(row: DictRow, lines: Iterable[PayoutLine]) -> Payout:
    numbers = {name: int(row[name]) for name in ("lines_units", "fee_units")}
    approvals = _signatures(row["approvals"])
    state = PayoutState(row["state"])
    return Payout(**{**row, **numbers, "state": state, "approvals": approvals, "lines": tuple(lines)})


def _signatures(stored: object) -> tuple[Signature, ...]:
    return msgspec.convert(stored, tuple[Signature, ...])


async def store(conn: AsyncConnection[Any], changed: Sequence[Payout]) -> None:
    """Write what became of payouts that the caller has locked, but for their lines."""
    if changed:
        await conn.execute(_UPDATE, [msgspec.json.encode(changed).decode()])


async def store_lines(conn: AsyncConnection[Any], changed: Sequence[Payout]) -> None:
    """Write what became of the lines of payouts that the caller has locked."""
    if changed:
        await conn.execute(_UPDATE_LINES, [_lines_json(changed)])


def _lines_json(payouts: Sequence[Payout]) -> str:
    rows = [{"payout_id": payout.id, **msgspec.to_builtins(line)} for payout in payouts for line in payout.lines]
    return msgspec.json.encode(rows).decode()


_INSERT = """
    INSERT INTO payments.payouts
        (id, key, intent_id, merchant_id, reference, number, network, asset, lines_units, fee_units, document,
         signature, standing_order_id, slot, is_direct, state, not_before, expires_at, created_at, request_id)
    SELECT id, key, intent_id, merchant_id, reference, number, network, asset, lines_units, fee_units, document,
        signature, standing_order_id, slot, is_direct, state, not_before, expires_at, created_at, request_id
    FROM json_to_recordset(%s::json) AS new
        (id text, key text, intent_id text, merchant_id text, reference text, number bigint, network text, asset text,
         lines_units numeric, fee_units numeric, document text, signature text, standing_order_id text, slot bigint,
         is_direct boolean, state text, not_before timestamptz, expires_at timestamptz, created_at timestamptz,
         request_id text)
    ON CONFLICT DO NOTHING
"""
_INSERT_LINES = """
    INSERT INTO payments.payout_lines (payout_id, place, destination, units, state)
    SELECT payout_id, place, destination, units, state FROM json_to_recordset(%s::json) AS new
        (payout_id text, place integer, destination text, units numeric, state text)
"""
_UPDATE = """
    UPDATE payments.payouts AS payout
    SET is_direct = new.is_direct, state = new.state, rule = new.rule, detail = new.detail,
        waiting_rule = new.waiting_rule, waiting_detail = new.waiting_detail, looked_at = new.looked_at,
        approvals = new.approvals, reservation = new.reservation, transaction = new.transaction,
        accepted_at = new.accepted_at,
        signed_at = new.signed_at, broadcast_at = new.broadcast_at, ended_at = new.ended_at
    FROM json_to_recordset(%s::json) AS new
        (id text, is_direct boolean, state text, rule text, detail text, waiting_rule text, waiting_detail text,
         looked_at timestamptz, approvals jsonb, reservation bigint, transaction text, accepted_at timestamptz,
         signed_at timestamptz, broadcast_at timestamptz, ended_at timestamptz)
    WHERE payout.id = new.id
"""
_UPDATE_LINES = """
    UPDATE payments.payout_lines AS line SET state = new.state, transaction = new.transaction
    FROM json_to_recordset(%s::json) AS new (payout_id text, place integer, state text, transaction text)
    WHERE line.payout_id = new.payout_id AND line.place = new.place
"""
