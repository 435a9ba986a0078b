"""Payouts that the quorum ordered out of the vault: held, found in the chain, confirmed, and taken back with a block.

The mirrored order is taken up once: the merchant's payout is found by its intent, or made, and its units are set
aside. A transaction of the vault that pays exactly its lines, and nobody else, is its own; `house_ledger` posts what
that took from the vault. Officers pay, so no bytes come from here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import msgspec
import structlog
from psycopg import AsyncConnection

from holdfast import ledger
from holdfast.core import intents
from holdfast.core.errors import Conflict, HoldfastError
from holdfast.core.intents import SignedIntent, read_intent
from holdfast.core.orders import DirectPayout, SignedOrder, read_order
from holdfast.core.states import TransitionForbidden
from holdfast.ledger import Rule
from holdfast.payments import attention, merchants, ordering, paying, payouts, progress
from holdfast.payments.attention import Ask, Resolution
from holdfast.payments.merchants import MerchantNotFound
from holdfast.payments.payouts import Payout, PayoutNotPosted
from holdfast.payments.progress import Fact
from holdfast.payments.standing import AttentionReason

log = structlog.get_logger()

_HELD = Resolution("the payout is held now", "journal")


class DirectPayoutUncovered(Conflict):
    """The quorum ordered a payout that the merchant's balance here does not cover. It is tried again with every block; compare his deposits with the journal."""  # noqa: E501  one docstring, two sentences

    code = "direct-payout-uncovered"


@dataclass(frozen=True, slots=True)
class Found:
    """A transaction of the vault that pays a direct payout."""

    transaction: str
    height: int


async def take_up(conn: AsyncConnection[Any], now: datetime) -> None:
    """Hold every direct payout that the mirrored journal orders and that is not held yet.

    One that cannot be held is put before a person and tried again. Raises `LedgerRaced`.
    """
    for signed in await _untaken(conn):
        try:
            async with conn.transaction():
                await _take(conn, signed, now)
        except (TransitionForbidden, PayoutNotPosted, DirectPayoutUncovered, MerchantNotFound) as error:
            await attention.ask(conn, [_not_held(signed.id, error)], now)
        else:
            await attention.resolve_about(conn, signed.id, AttentionReason.JOURNAL_CONTRADICTED, _HELD, now)


async def is_waiting(conn: AsyncConnection[Any], network: str) -> bool:
    """Whether a payment of the vault that nobody is named for may be of a direct payout that waits for one."""
    cursor = await conn.execute(
        """
        SELECT EXISTS (
            SELECT FROM payments.payouts AS payout JOIN payments.payout_lines AS line ON line.payout_id = payout.id
            JOIN payments.vault_payments AS paid ON paid.network = payout.network AND paid.address = line.destination
            WHERE payout.network = %s AND payout.is_direct AND payout.state IN ('reserved', 'signed', 'broadcast')
              AND paid.place IS NULL AND paid.payout_id IS NULL
              AND NOT EXISTS (SELECT FROM payments.vault_payments AS own WHERE own.payout_id = payout.id))
        """,
        (network,),
    )
    row = await cursor.fetchone()
    return row is not None and bool(row[0])


async def find(conn: AsyncConnection[Any], network: str, now: datetime) -> list[Found]:
    """Name the transactions of the vault that pay direct payouts, in blocks that were read: each pays one, once.

    The caller holds the network's cursor.
    """
    waiting = await _unpaid(conn, network)
    if not waiting:
        return []
    paying_them = await _candidates(conn, network, waiting)
    found, facts = list[Found](), list[Fact]()
    for payout in waiting:
        lines = sorted((payout.asset, line.destination, line.units) for line in payout.lines)
        match = next((one for one, paid in paying_them.items() if paid == lines), None)
        if match is None:
            continue
        del paying_them[match]
        await conn.execute(
            """
            UPDATE payments.vault_payments SET payout_id = %s
            WHERE network = %s AND transaction = %s AND place IS NULL
            """,
            (payout.id, network, match.transaction),
        )
        found.append(match)
        keys = [payout.key]
        facts += [progress.Signed(keys, None, match.transaction), progress.Broadcast(keys, match.transaction)]
    await progress.apply(conn, facts, now)
    return found


async def confirm(conn: AsyncConnection[Any], network: str, height: int, now: datetime) -> None:
    """Direct payouts whose transaction is in this block or below have their confirmations."""
    cursor = await conn.execute(
        """
        SELECT DISTINCT payout.key, payout.asset, paid.transaction FROM payments.payouts AS payout
        JOIN payments.vault_payments AS paid ON paid.payout_id = payout.id AND paid.network = payout.network
        WHERE payout.network = %s AND payout.is_direct AND payout.state = 'broadcast' AND paid.height <= %s
        ORDER BY payout.key
        """,
        (network, height),
    )
    rows = await cursor.fetchall()
    facts: list[Fact] = [progress.Mined([key], transaction, asset, 0) for key, asset, transaction in rows]
    if facts:
        await progress.apply(conn, facts, now)


async def take_back(conn: AsyncConnection[Any], network: str, height: int, now: datetime) -> None:
    """Blocks above this height have left the chain: what they confirmed waits for a block again."""
    cursor = await conn.execute(
        """
        SELECT DISTINCT payout.key FROM payments.payouts AS payout
        JOIN payments.vault_payments AS paid ON paid.payout_id = payout.id AND paid.network = payout.network
        WHERE payout.network = %s AND payout.is_direct AND payout.state = 'confirmed' AND paid.height > %s
        """,
        (network, height),
    )
    keys = [row[0] for row in await cursor.fetchall()]
    if keys:
        await progress.apply(conn, [progress.Unmined(keys)], now)


class _Record(msgspec.Struct):
    body: _Ordered


class _Ordered(msgspec.Struct):
    order: SignedOrder


async def _untaken(conn: AsyncConnection[Any]) -> list[SignedIntent]:
    """Intents of the journal's orders that no payout is held for, oldest first."""
    cursor = await conn.execute(
        """
        SELECT document FROM payments.journal
        WHERE kind = 'ordered' AND document LIKE '%%direct-payout%%' ORDER BY seq
        """
    )
    orders = [_order_of(row[0]) for row in await cursor.fetchall()]
    signed = {one.id: one for one in (SignedIntent(order.intent, order.signature) for order in orders if order)}
    cursor = await conn.execute(
        "SELECT key FROM payments.payouts WHERE key = ANY(%s) AND is_direct AND accepted_at IS NOT NULL",
        (list(signed),),
    )
    held = {row[0] for row in await cursor.fetchall()}
    return [one for key, one in signed.items() if key not in held]


def _not_held(key: str, error: HoldfastError) -> Ask:
    log.error("direct_payout_not_held", payout=key, code=error.code, detail=error.detail)
    return Ask(None, AttentionReason.JOURNAL_CONTRADICTED, key, {"code": error.code, "detail": error.detail})


def _order_of(document: str) -> DirectPayout | None:
    order = read_order(msgspec.json.decode(document, type=_Record).body.order.document.encode())
    return order if isinstance(order, DirectPayout) else None


async def _take(conn: AsyncConnection[Any], signed: SignedIntent, now: datetime) -> None:
    if not await payouts.by_keys(conn, [signed.id]):
        await _make(conn, signed, now)
    await progress.apply(conn, [progress.Direct(signed.id)], now)


async def _make(conn: AsyncConnection[Any], signed: SignedIntent, now: datetime) -> None:
    """The payout of an intent that never came here: the officers had it from the merchant himself."""
    intent = read_intent(signed.document.encode())
    if not isinstance(intent, intents.Payout):
        raise PayoutNotPosted(f"{signed.id} is no payout")
    await merchants.get(conn, intent.merchant)
    payout = replace(ordering.payout_of(intent, signed, now), is_direct=True)
    [outcome] = await ledger.post(conn, [paying.reservation(payout.sum)])
    if isinstance(outcome, ledger.Refused):
        if outcome.rule is Rule.BALANCE_TOO_LOW:
            raise DirectPayoutUncovered(f"{payout.sum.units} units of {payout.asset}")
        raise PayoutNotPosted(f"{payout.id}: {outcome.rule}")
    await payouts.insert(conn, [payout], now)


async def _unpaid(conn: AsyncConnection[Any], network: str) -> list[Payout]:
    """Direct payouts that no transaction in the chain pays, oldest first."""
    cursor = await conn.execute(
        """
        SELECT key FROM payments.payouts AS payout
        WHERE network = %s AND is_direct AND state IN ('reserved', 'signed', 'broadcast')
          AND NOT EXISTS (SELECT FROM payments.vault_payments AS paid WHERE paid.payout_id = payout.id)
        """,
        (network,),
    )
    keys = [row[0] for row in await cursor.fetchall()]
    return await payouts.load(conn, keys)


async def _candidates(
    conn: AsyncConnection[Any], network: str, waiting: Iterable[Payout]
) -> dict[Found, Sequence[tuple[str, str, int]]]:
    """What transactions of the vault paid to others and to the float, where one of these destinations got something and
    which are no direct payout's yet; oldest first."""
    cursor = await conn.execute(
        """
        SELECT transaction, min(height), array_agg(asset), array_agg(coalesce(address, '')), array_agg(units)
        FROM payments.vault_payments AS paid
        WHERE network = %(network)s AND place IS DISTINCT FROM 'vault' AND transaction IN (
            SELECT transaction FROM payments.vault_payments
            WHERE network = %(network)s AND place IS NULL AND payout_id IS NULL AND address = ANY(%(addresses)s))
        GROUP BY transaction ORDER BY min(height), transaction
        """,
        {"network": network, "addresses": sorted({line.destination for one in waiting for line in one.lines})},
    )
    return {
        Found(transaction, height): sorted(zip(assets, addresses, map(int, units), strict=True))
        for transaction, height, assets, addresses, units in await cursor.fetchall()
    }
