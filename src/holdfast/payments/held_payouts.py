"""Payouts that screening keeps from the signer until a person has decided.

They are looked at whenever the signer asks what waits, so a destination that was listed a moment ago is kept back, and
one that is no longer listed goes on by itself. What the signer has taken on already is out of the platform's hands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection

from holdfast.core.errors import Conflict
from holdfast.core.intents import Payout as PayoutIntent, StandingOrder, read_intent
from holdfast.payments import attention, payouts, progress
from holdfast.payments.attention import Ask, Resolution
from holdfast.payments.payouts import ForSigner, Payout
from holdfast.payments.standing import AttentionReason

RULE = "screening"
"""What a payout says that it waits for, or was refused by."""
TOLD = "the operator looks at its destinations"
"""What the merchant is told. Why, is for the operator: whoever is looked for must not learn it from here."""
RELEASED = "released"
"""How a person resolves the question so that the payout goes on."""

ScreenPayout = Callable[[str, Sequence[str]], str | None]
"""Why a payout to these destinations on a network (CAIP-2) must wait for a person, or None."""


class PayoutNotHeld(Conflict):
    """Screening does not hold this payout, or somebody has decided. Read the payout again."""

    code = "payout-not-held"


async def held(conn: AsyncConnection[Any], waiting: Sequence[ForSigner], screen: ScreenPayout) -> dict[str, str]:
    """Which of these are kept back, by key, and why. What a person has let go on is not."""
    found = {one.key: why for one in waiting if (why := _screened(one, screen)) is not None}
    if not found:
        return {}
    cursor = await conn.execute(
        """
        SELECT payout.key FROM payments.attention AS item JOIN payments.payouts AS payout ON payout.id = item.subject
        WHERE item.reason = %s AND item.resolution = %s AND payout.key = ANY(%s)
        """,
        (AttentionReason.PAYOUT_HELD, RELEASED, list(found)),
    )
    for (key,) in await cursor.fetchall():
        del found[key]
    return found


def _screened(one: ForSigner, screen: ScreenPayout) -> str | None:
    intent = read_intent(one.intent.document.encode())
    if isinstance(intent, PayoutIntent):
        return screen(intent.network, [line.destination for line in intent.lines])
    return screen(intent.network, [intent.destination]) if isinstance(intent, StandingOrder) else None


async def ask(conn: AsyncConnection[Any], screen: ScreenPayout, now: datetime) -> list[Payout]:
    """Put what is kept back before a person, each once, in a transaction of its own; what is kept back now."""
    async with conn.transaction():
        kept = await held(conn, await payouts.waiting_for_signer(conn), screen)
        found = [each for each in await payouts.load(conn, sorted(kept)) if each.accepted_at is None]
        await attention.ask(
            conn, [Ask(None, AttentionReason.PAYOUT_HELD, each.id, {"why": kept[each.key]}) for each in found], now
        )
        news = [each for each in found if each.waiting_rule != RULE]
        await payouts.store(
            conn, [replace(each, waiting_rule=RULE, waiting_detail=TOLD, looked_at=now) for each in news]
        )
    return found


async def release(conn: AsyncConnection[Any], payout_id: str, by: str, now: datetime) -> Payout:
    """A person lets a held payout go on: the signer is shown it next. Raises `PayoutNotFound`, `PayoutNotHeld`."""
    payout = await _held(conn, payout_id)
    after = replace(payout, waiting_rule=None, waiting_detail=None, looked_at=None)
    await payouts.store(conn, [after])
    await attention.resolve_about(conn, payout.id, AttentionReason.PAYOUT_HELD, Resolution(RELEASED, by), now)
    return after


async def refuse(conn: AsyncConnection[Any], payout_id: str, by: str, now: datetime) -> Payout:
    """A person decides that a held payout is not paid: its units are on the balance again.

    The signer was never shown it. Raises `PayoutNotFound`, `PayoutNotHeld`.
    """
    payout = await _held(conn, payout_id)
    fact = progress.Refused(payout.key, RULE, TOLD)
    await progress.apply(conn, [fact], now)
    await attention.resolve_about(conn, payout.id, AttentionReason.PAYOUT_HELD, Resolution("refused", by), now)
    return await payouts.get(conn, payout_id)


async def _held(conn: AsyncConnection[Any], payout_id: str) -> Payout:
    payout = await payouts.get(conn, payout_id, lock=True)
    if payout.waiting_rule != RULE or payout.accepted_at is not None or payout.state in progress.ENDED:
        raise PayoutNotHeld(f"it is {payout.state}")
    return payout
