"""Ordering money out: what a merchant signed is set aside once, or nothing happened."""

import asyncio
from datetime import timedelta

import msgspec
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fixtures_payments import Pool
from fixtures_payouts import ETHER, Payer, enrolled_payer, payee, payout_intent, replaced, signed
from holdfast import ledger
from holdfast.core.intents import NUMBER_WINDOW, SignedIntent, StandingOrder
from holdfast.core.quorum import Signature
from holdfast.core.states import PayoutState
from holdfast.ledger import LedgerRaced
from holdfast.payments import events, ordering, paying, payouts
from holdfast.payments.catalogue import AssetNotListed
from holdfast.payments.indexes import MerchantNotCertified
from holdfast.payments.ordering import (
    AssetInDeficit,
    BalanceTooLow,
    IntentExpired,
    IntentOfAnother,
    IntentOfAnotherKind,
    IntentUnsigned,
    Ordered,
    PayoutFeeTooLow,
    PayoutNumberTaken,
    PayoutReferenceTaken,
)
from holdfast.payments.payouts import PayoutFilter, PayoutNotFound
from holdfast.runtime.settings import FeePayer


@pytest_asyncio.fixture
async def payer(pool: Pool) -> Payer:
    """A merchant with ten ether."""
    made = await enrolled_payer(pool)
    await made.fund(10 * ETHER)
    return made


async def test_lines_and_fee_are_set_aside_the_moment_that_a_payout_is_ordered(payer: Payer) -> None:
    payout = await payer.ordered(2 * ETHER, ETHER, fee_units=1000)
    assert (payout.state, payout.lines_units, payout.fee_units) == (PayoutState.RESERVED, 3 * ETHER, 1000)
    assert await payer.balance() == (7 * ETHER - 1000, 3 * ETHER + 1000)
    assert (await payer.again(payout)).lines == payout.lines
    async with payer.pool.connection() as conn:
        [told] = await events.page(conn, payer.id)
    assert (told.type, told.subject) == ("payout.reserved", payout.id)
    assert [line["units"] for line in told.data["lines"]] == [str(2 * ETHER), str(ETHER)]


async def test_the_same_intent_again_is_the_same_payout(payer: Payer) -> None:
    intent = payer.intent(ETHER)
    [first] = await payer.order(intent)
    [again] = await payer.order(intent)
    assert isinstance(first, Ordered)
    assert isinstance(again, Ordered)
    assert (first.is_replay, again.is_replay, again.payout.id) == (False, True, first.payout.id)
    assert await payer.balance() == (9 * ETHER, ETHER)


async def test_the_same_intent_twice_in_one_batch_is_one_payout(payer: Payer) -> None:
    intent = payer.intent(ETHER)
    first, again = await payer.order(intent, intent)
    assert isinstance(first, Ordered)
    assert isinstance(again, Ordered)
    assert (first.is_replay, again.is_replay, again.payout.id) == (False, True, first.payout.id)
    assert await payer.balance() == (9 * ETHER, ETHER)


async def test_the_same_intent_from_many_sides_at_once_is_one_payout(payer: Payer) -> None:
    intent = payer.intent(ETHER)

    async def try_() -> str:
        while True:
            try:
                [outcome] = await payer.order(intent)
            except LedgerRaced:
                continue
            assert isinstance(outcome, Ordered)
            return outcome.payout.id

    assert len(set(await asyncio.gather(*(try_() for _ in range(6))))) == 1
    assert await payer.balance() == (9 * ETHER, ETHER)


async def test_a_reference_is_for_one_intent_and_a_number_too(payer: Payer) -> None:
    first = payer.intent(ETHER)
    same_reference = payer.intent(ETHER, reference=first.reference)
    same_number = payer.intent(ETHER, number=first.number)
    [done] = await payer.order(first)
    refused = await payer.order(same_reference, same_number)
    assert isinstance(done, Ordered)
    assert [type(one) for one in refused] == [PayoutReferenceTaken, PayoutNumberTaken]
    assert await payer.balance() == (9 * ETHER, ETHER)


async def test_in_one_batch_the_first_with_a_reference_or_number_has_it(payer: Payer) -> None:
    first = payer.intent(ETHER)
    done, *refused = await payer.order(
        first, payer.intent(ETHER, reference=first.reference), payer.intent(ETHER, number=first.number)
    )
    assert isinstance(done, Ordered)
    assert [type(one) for one in refused] == [PayoutReferenceTaken, PayoutNumberTaken]
    assert await payer.balance() == (9 * ETHER, ETHER)


async def test_a_number_far_below_the_highest_is_refused_as_the_signer_would(payer: Payer) -> None:
    await payer.ordered(ETHER, number=NUMBER_WINDOW + 500)
    [too_old] = await payer.order(payer.intent(ETHER, number=500))
    [within] = await payer.order(payer.intent(ETHER, number=501))
    assert isinstance(too_old, PayoutNumberTaken)
    assert isinstance(within, Ordered)


async def test_what_the_balance_does_not_cover_leaves_nothing_and_stops_nobody_else(payer: Payer) -> None:
    small, large, exact = payer.intent(ETHER), payer.intent(10 * ETHER), payer.intent(9 * ETHER)
    outcomes = await payer.order(small, large, exact)
    assert [type(one) for one in outcomes] == [Ordered, BalanceTooLow, Ordered]
    assert await payer.balance() == (0, 10 * ETHER)
    async with payer.pool.connection() as conn:
        assert len(await payouts.page(conn, PayoutFilter(payer.id))) == 2
    await payer.fund(10 * ETHER)
    [later] = await payer.order(large)
    assert isinstance(later, Ordered)


async def test_a_fee_beyond_the_balance_counts_too(payer: Payer) -> None:
    [refused] = await payer.order(payer.intent(10 * ETHER, fee_units=1))
    assert isinstance(refused, BalanceTooLow)
    assert await payer.balance() == (10 * ETHER, 0)


async def test_only_the_merchants_own_signature_orders_anything(payer: Payer) -> None:
    intent = payer.intent(ETHER)
    with pytest.raises(IntentUnsigned):
        await payer.draft(intent, Ed25519PrivateKey.generate())
    good = signed(payer.key, intent)
    keys = await payer.keys()
    richer = SignedIntent(good.document.replace(str(ETHER), str(2 * ETHER)), good.signature)
    with pytest.raises(IntentUnsigned):
        ordering.draft(payer.desk, keys, richer, payer.clock.now())
    other = await enrolled_payer(payer.pool)
    with pytest.raises(IntentOfAnother):
        ordering.draft(payer.desk, await other.keys(), good, payer.clock.now())
    theirs = signed(other.key, intent)
    with pytest.raises(IntentUnsigned):
        ordering.draft(payer.desk, keys, theirs, payer.clock.now())


async def test_an_intent_has_its_time_and_so_has_the_certificate(payer: Payer) -> None:
    intent = payer.intent(ETHER)
    payer.clock.pass_minutes(61)
    with pytest.raises(IntentExpired):
        await payer.draft(intent)
    late = payer.intent(ETHER, expires_at=int((payer.clock.now() + timedelta(days=366)).timestamp()),
                        not_before=int((payer.clock.now() + timedelta(days=365)).timestamp()))  # fmt: skip
    payer.clock.pass_minutes(365 * 24 * 60)
    with pytest.raises(MerchantNotCertified):
        await payer.draft(late)


async def test_a_standing_order_or_an_unlisted_asset_is_no_payout(payer: Payer) -> None:
    plain = payer.intent(ETHER)
    order = StandingOrder(
        merchant=payer.id, network=plain.network, asset=plain.asset, destination=payee(), units=1, fee_units=0,
        every_seconds=60, number=1, not_before=plain.not_before, expires_at=plain.expires_at, reference="rent",
    )  # fmt: skip
    with pytest.raises(IntentOfAnotherKind):
        await payer.draft(order)
    with pytest.raises(AssetNotListed):
        await payer.draft(replaced(plain, asset=f"{plain.network}/erc20:0x{'ab' * 20}"))


async def test_where_merchants_pay_the_intent_must_offer_the_fee_of_its_lines(pool: Pool) -> None:
    payer = await enrolled_payer(pool, FeePayer.MERCHANT)
    await payer.fund(ETHER)
    assert payer.desk.fee_units(payer.asset, 3) == 1030
    with pytest.raises(PayoutFeeTooLow) as refused:
        await payer.draft(payer.intent(1, 2, 3, fee_units=1029))
    assert refused.value.facts == {"fee_units": "1030"}
    payout = await payer.ordered(1, 2, 3, fee_units=1030)
    assert await payer.balance() == (ETHER - 1036, 1036)
    assert payout.fee_units == 1030


async def test_nothing_of_an_asset_is_ordered_out_while_the_vault_lacks_some(payer: Payer) -> None:
    lacking = paying.bear("reorg:x", payer.asset, 5, 0, "x")
    async with payer.pool.connection() as conn, conn.transaction():
        await ledger.post(conn, lacking)
    [refused] = await payer.order(payer.intent(ETHER))
    assert isinstance(refused, AssetInDeficit)
    assert await payer.balance() == (10 * ETHER, 0)
    filled = paying.into_vault("filled:x", payer.asset, 7, 5, "x")
    async with payer.pool.connection() as conn, conn.transaction():
        await ledger.post(conn, filled)
    [done] = await payer.order(payer.intent(ETHER))
    assert isinstance(done, Ordered)
    assert (await payer.books())["claim"] == 2


async def test_a_payout_is_found_by_its_id_and_its_intent_and_by_nobody_else(payer: Payer) -> None:
    payout = await payer.ordered(ETHER)
    other = await enrolled_payer(payer.pool)
    async with payer.pool.connection() as conn:
        assert await payouts.get(conn, payout.key, payer.id) == await payouts.get(conn, payout.id, payer.id)
        for name in (payout.id, payout.key):
            with pytest.raises(PayoutNotFound):
                await payouts.get(conn, name, other.id)


async def test_lists_go_by_merchant_state_reference_and_page(payer: Payer) -> None:
    first, second, third = [await payer.ordered(ETHER) for _ in range(3)]
    async with payer.pool.connection() as conn:
        newest = await payouts.page(conn, PayoutFilter(payer.id, limit=2))
        rest = await payouts.page(conn, PayoutFilter(payer.id, after=newest[-1].id))
        named = await payouts.page(conn, PayoutFilter(payer.id, reference=second.reference))
        signed_ones = await payouts.page(conn, PayoutFilter(payer.id, states=[PayoutState.SIGNED]))
    assert [one.id for one in newest] == [third.id, second.id]
    assert [one.id for one in rest] == [first.id]
    assert [one.id for one in named] == [second.id]
    assert signed_ones == []


async def test_the_signer_gets_the_exact_bytes_and_the_approvals(payer: Payer) -> None:
    payout = await payer.ordered(ETHER)
    approval = Signature("ab" * 32, "cd" * 64)
    async with payer.pool.connection() as conn, conn.transaction():
        await payouts.approve(conn, payout.id, [approval, approval])
        [waiting] = await payouts.waiting_for_signer(conn)
    assert (waiting.key, waiting.intent.id, waiting.approvals) == (payout.key, payout.key, (approval,))
    assert (waiting.intent.document, waiting.slot, waiting.slot_units) == (payout.document, None, 0)


async def test_a_payout_of_500_lines_is_kept_whole(payer: Payer) -> None:
    lines = [(payee(), place) for place in range(1, 501)]
    intent = payout_intent(payer.id, payer.asset, lines, payer.clock.now())
    [outcome] = await payer.order(intent)
    assert isinstance(outcome, Ordered)
    kept = await payer.again(outcome.payout)
    assert [(line.destination, line.units) for line in kept.lines] == lines
    async with payer.pool.connection() as conn:
        [told] = await events.page(conn, payer.id)
    assert (told.data["line_count"], told.data["lines"]) == (500, [])
    assert len(msgspec.json.encode(told.data)) < 2000
