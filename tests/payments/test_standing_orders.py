"""Standing orders: signed once; each slot pays what the balance is worth, to the one destination, once."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from fixtures_payments import Pool
from fixtures_payouts import ETHER, NUMBERS, Payer, enrolled_payer, payee, signed
from holdfast.core.intents import Intent, IntentMalformed, StandingOrder, read_intent, standing_payout
from holdfast.core.states import PayoutState, StandingOrderState, TransitionForbidden
from holdfast.payments import housekeeping, payouts, progress, standing_orders
from holdfast.payments.ordering import IntentOfAnotherKind, PayoutFeeTooLow, PayoutReferenceTaken
from holdfast.payments.payouts import Payout
from holdfast.payments.standing_orders import StandingOrderNotFound, StandingOrderTooSmall
from holdfast.runtime.settings import FeePayer

HOUR = 3600


@dataclass
class Landlord:
    """A merchant who is paid by the hour, up to an ether."""

    payer: Payer
    order: standing_orders.StandingOrder

    async def propose(self) -> list[Payout]:
        """What the platform proposes now."""
        async with self.payer.pool.connection() as conn, conn.transaction():
            return await standing_orders.propose_slots(conn, self.payer.desk, self.payer.clock.now())

    async def again(self) -> standing_orders.StandingOrder:
        """The order as it stands now."""
        async with self.payer.pool.connection() as conn:
            return await standing_orders.get(conn, self.order.id, self.payer.id)


def intent(payer: Payer, **changes: Any) -> StandingOrder:
    """An order for an ether an hour, from now on, for a day."""
    now = int(payer.clock.now().timestamp())
    plain: dict[str, Any] = {
        "merchant": payer.id, "network": payer.asset.partition("/")[0], "asset": payer.asset, "destination": payee(),
        "units": ETHER, "fee_units": 0, "every_seconds": HOUR, "number": next(NUMBERS), "not_before": now,
        "expires_at": now + 24 * HOUR, "reference": "rent",
    }  # fmt: skip
    return StandingOrder(**{**plain, **changes})


async def place(payer: Payer, order: Intent) -> tuple[standing_orders.StandingOrder, bool]:
    """Hand the order in, signed."""
    async with payer.pool.connection() as conn, conn.transaction():
        keys = await payer.keys()
        return await standing_orders.place(conn, payer.desk, keys, signed(payer.key, order), payer.clock.now())


@pytest_asyncio.fixture
async def landlord(pool: Pool) -> Landlord:
    """The order is placed; the balance is empty."""
    payer = await enrolled_payer(pool)
    order, was_here = await place(payer, intent(payer))
    assert not was_here
    return Landlord(payer, order)


async def test_a_slot_pays_the_balance_up_to_the_maximum_once(landlord: Landlord) -> None:
    payer = landlord.payer
    await payer.fund(3 * ETHER)
    [payout] = await landlord.propose()
    assert (payout.slot, payout.lines_units, payout.state) == (0, ETHER, PayoutState.RESERVED)
    assert [line.destination for line in payout.lines] == [landlord.order.destination]
    assert (payout.key, payout.document) == (f"{landlord.order.intent_id}:0", landlord.order.document)
    assert await landlord.propose() == []
    payer.clock.pass_minutes(60)
    [following] = await landlord.propose()
    assert (following.slot, following.reference) == (1, "rent 1")
    assert await payer.balance() == (ETHER, 2 * ETHER)


async def test_the_signer_gets_the_order_with_slot_and_amount(landlord: Landlord) -> None:
    await landlord.payer.fund(ETHER // 2)
    [payout] = await landlord.propose()
    async with landlord.payer.pool.connection() as conn:
        [waiting] = await payouts.waiting_for_signer(conn)
    assert (waiting.key, waiting.slot, waiting.slot_units) == (payout.key, 0, ETHER // 2)
    order = read_intent(waiting.intent.document.encode())
    assert isinstance(order, StandingOrder)
    assert standing_payout(order, 0, waiting.slot_units).lines[0].units == ETHER // 2


async def test_a_slot_waits_until_the_balance_is_worth_it(pool: Pool) -> None:
    payer = await enrolled_payer(pool, FeePayer.MERCHANT)
    order, _ = await place(payer, intent(payer, fee_units=1010))
    assert order.minimum_units == 10_100
    landlord = Landlord(payer, order)
    await payer.fund(11_109)
    assert await landlord.propose() == []
    await payer.fund(1)
    [payout] = await landlord.propose()
    assert (payout.lines_units, payout.fee_units) == (10_100, 1010)
    assert await payer.balance() == (0, 11_110)


async def test_slots_that_passed_are_not_made_up_for(landlord: Landlord) -> None:
    landlord.payer.clock.pass_minutes(5 * 60 + 1)
    await landlord.payer.fund(10 * ETHER)
    [payout] = await landlord.propose()
    assert payout.slot == 5
    assert (await landlord.again()).slot_next == 6
    assert await landlord.propose() == []


async def test_orders_of_one_purse_share_what_is_in_it(landlord: Landlord) -> None:
    payer = landlord.payer
    await place(payer, intent(payer, reference="lease"))
    await payer.fund(ETHER + ETHER // 4)
    made = await landlord.propose()
    assert sorted(one.lines_units for one in made) == [ETHER // 4, ETHER]
    assert await payer.balance() == (0, ETHER + ETHER // 4)


async def test_proposing_from_many_sides_at_once_pays_a_slot_once(landlord: Landlord) -> None:
    await landlord.payer.fund(9 * ETHER)
    made = await asyncio.gather(*(landlord.propose() for _ in range(5)))
    assert [one.slot for batch in made for one in batch] == [0]
    assert await landlord.payer.balance() == (8 * ETHER, ETHER)


async def test_before_its_time_nothing_is_paid_and_after_it_the_order_ends(pool: Pool) -> None:
    payer = await enrolled_payer(pool)
    await payer.fund(9 * ETHER)
    now = int(payer.clock.now().timestamp())
    order, _ = await place(payer, intent(payer, not_before=now + HOUR, expires_at=now + 3 * HOUR // 2))
    landlord = Landlord(payer, order)
    assert await landlord.propose() == []
    payer.clock.pass_minutes(61)
    assert len(await landlord.propose()) == 1
    payer.clock.pass_minutes(30)
    assert await landlord.propose() == []
    assert (await landlord.again()).state is StandingOrderState.ENDED


async def test_a_stopped_order_proposes_no_more(landlord: Landlord) -> None:
    payer = landlord.payer
    await payer.fund(9 * ETHER)
    for _ in range(2):
        async with payer.pool.connection() as conn, conn.transaction():
            stopped = await standing_orders.stop(conn, landlord.order.id, payer.id, payer.clock.now())
        assert stopped.state is StandingOrderState.STOPPED
    assert await landlord.propose() == []


async def test_an_ended_order_cannot_be_stopped(landlord: Landlord) -> None:
    payer = landlord.payer
    payer.clock.pass_minutes(25 * 60)
    await landlord.propose()
    with pytest.raises(TransitionForbidden):
        async with payer.pool.connection() as conn, conn.transaction():
            await standing_orders.stop(conn, landlord.order.id, payer.id, payer.clock.now())


async def test_an_order_whose_key_counts_no_more_ends(landlord: Landlord) -> None:
    payer = landlord.payer
    await payer.fund(9 * ETHER)
    [payout] = await landlord.propose()
    async with payer.pool.connection() as conn, conn.transaction():
        await progress.apply(conn, [progress.Refused(payout.key, "signature-invalid")], payer.clock.now())
    payer.clock.pass_minutes(60)
    assert await landlord.propose() == []
    assert (await landlord.again()).state is StandingOrderState.ENDED
    assert await payer.balance() == (9 * ETHER, 0)


async def test_an_uncertified_merchants_orders_rest(landlord: Landlord) -> None:
    payer = landlord.payer
    await payer.fund(9 * ETHER)
    async with payer.pool.connection() as conn:
        await conn.execute(
            "UPDATE payments.merchants SET certified_until = %s", (payer.clock.now() - timedelta(seconds=1),)
        )
    assert await landlord.propose() == []


async def test_the_same_order_again_is_the_same_and_another_needs_another_reference(landlord: Landlord) -> None:
    payer = landlord.payer
    order = intent(payer, reference="lease")
    first, _ = await place(payer, order)
    again, was_here = await place(payer, order)
    assert was_here
    assert again == first
    with pytest.raises(PayoutReferenceTaken):
        await place(payer, intent(payer, reference="lease"))


async def test_what_is_not_worth_signing_is_refused(pool: Pool) -> None:
    payer = await enrolled_payer(pool, FeePayer.MERCHANT)
    with pytest.raises(PayoutFeeTooLow):
        await place(payer, intent(payer, fee_units=1009))
    with pytest.raises(StandingOrderTooSmall):
        await place(payer, intent(payer, fee_units=1010, units=10_099))
    with pytest.raises(IntentMalformed):
        await place(payer, intent(payer, fee_units=1010, every_seconds=59))
    with pytest.raises(IntentOfAnotherKind):
        await place(payer, payer.intent(ETHER))


async def test_orders_are_their_merchants_own(landlord: Landlord) -> None:
    other = await enrolled_payer(landlord.payer.pool)
    async with other.pool.connection() as conn:
        with pytest.raises(StandingOrderNotFound):
            await standing_orders.get(conn, landlord.order.id, other.id)
        assert await standing_orders.page(conn, other.id) == []
        assert [one.id for one in await standing_orders.page(conn, landlord.payer.id)] == [landlord.order.id]


async def test_slots_as_long_as_the_calendar_do_no_harm(pool: Pool) -> None:
    payer = await enrolled_payer(pool)
    await payer.fund(9 * ETHER)
    order, _ = await place(payer, intent(payer, every_seconds=2**53 - 1))
    landlord = Landlord(payer, order)
    assert len(await landlord.propose()) == 1
    assert (await landlord.again()).due_at == order.expires_at


async def test_housekeeping_pays_what_is_due(landlord: Landlord) -> None:
    payer = landlord.payer
    await payer.fund(9 * ETHER)
    assert await housekeeping.pay_slots(payer.pool, payer.desk, payer.clock.now()) == 1
    assert await housekeeping.pay_slots(payer.pool, payer.desk, payer.clock.now()) == 0
