"""What becomes of a payout: the signer's word moves state, ledger and events together, once, however often told."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import product
from random import Random
from secrets import token_hex
from typing import Any

import pytest
import pytest_asyncio

from fixtures_payments import Pool
from fixtures_payouts import ETHER, Payer, enrolled_payer
from holdfast import ledger
from holdfast.core.quorum import Signature
from holdfast.core.states import DepositState, LineState, PayoutState, TransitionForbidden
from holdfast.payments import crediting, events, paying, payouts, progress
from holdfast.payments.deposits import Deposit
from holdfast.payments.ordering import BalanceTooLow
from holdfast.payments.payouts import Payout
from holdfast.payments.progress import Abandoned, Accepted, Broadcast, Fact, Mined, Refused, Signed, Waiting, after_fact

TX = "0x" + "ab" * 32
BUMPED = "0x" + "cd" * 32


@pytest_asyncio.fixture
async def payer(pool: Pool) -> Payer:
    """A merchant with ten ether."""
    made = await enrolled_payer(pool)
    await made.fund(10 * ETHER)
    return made


async def tell(payer: Payer, *facts: Fact) -> progress.Applied:
    """Facts as they come from the journal, in one transaction."""
    async with payer.pool.connection() as conn, conn.transaction():
        return await progress.apply(conn, facts, payer.clock.now())


async def told(payer: Payer) -> list[str]:
    """What the merchant heard, without its prefix."""
    async with payer.pool.connection() as conn:
        return [one.type.removeprefix("payout.") for one in await events.page(conn, payer.id, limit=200)]


def mined(payer: Payer, *paid: Payout, **changes: Any) -> Mined:
    """The transaction that pays these is final; it cost 21,000 units."""
    return replace(Mined([one.key for one in paid], TX, payer.asset, 21_000), **changes)


async def test_a_payout_goes_from_reserved_to_confirmed_and_the_float_pays_it(payer: Payer) -> None:
    payout = await payer.ordered(2 * ETHER, ETHER, fee_units=1000)
    await tell(payer, Accepted(payout.key))
    await tell(payer, Signed([payout.key], 17, TX))
    await tell(payer, Broadcast([payout.key], TX))
    assert await payer.balance() == (7 * ETHER - 1000, 3 * ETHER + 1000)
    await tell(payer, mined(payer, payout))
    now = await payer.again(payout)
    assert (now.state, now.transaction, now.reservation) == (PayoutState.CONFIRMED, TX, 17)
    assert {(line.state, line.transaction) for line in now.lines} == {(LineState.PAID, TX)}
    assert None not in (now.accepted_at, now.signed_at, now.broadcast_at, now.ended_at)
    assert await payer.balance() == (7 * ETHER - 1000, 0)
    assert await payer.books() == {
        "merchant": 7 * ETHER - 1000, "payable": 0, "vault": -10 * ETHER, "claim": 3 * ETHER + 1000,
        "float": 3 * ETHER + 21_000, "company": -3 * ETHER - 21_000, "deficit": 0,
    }  # fmt: skip
    assert await told(payer) == ["reserved", "signed", "broadcast", "confirmed"]
    assert await payer.is_balanced()


@pytest.mark.parametrize("fact", [Refused("", "payout-too-large", "5 units"), Abandoned("", "intent-expired")])
async def test_what_the_journal_says_is_over_is_on_the_balance_again(payer: Payer, fact: Refused | Abandoned) -> None:
    payout = await payer.ordered(ETHER, fee_units=1000)
    await tell(payer, replace(fact, payout=payout.key))
    now = await payer.again(payout)
    assert (now.state, now.rule) == (type(fact).__name__.lower(), fact.rule)
    assert [line.state for line in now.lines] == [LineState.UNPAID]
    assert await payer.balance() == (10 * ETHER, 0)
    assert await told(payer) == ["reserved", now.state.value]


async def test_lines_that_moved_nothing_come_back_and_the_fee_does_not(payer: Payer) -> None:
    payout = await payer.ordered(ETHER, 2 * ETHER, 3 * ETHER, fee_units=1000)
    await tell(payer, Signed([payout.key], 1, TX), mined(payer, payout, unpaid=frozenset({(payout.key, 1)})))
    now = await payer.again(payout)
    assert now.state is PayoutState.FAILED
    assert [line.state for line in now.lines] == [LineState.PAID, LineState.UNPAID, LineState.PAID]
    assert await payer.balance() == (6 * ETHER - 1000, 0)
    books = await payer.books()
    assert (books["claim"], books["float"]) == (4 * ETHER + 1000, 4 * ETHER + 21_000)


@pytest.mark.parametrize("fee_units", [0, 1000])
async def test_a_reverted_transaction_pays_nobody(payer: Payer, fee_units: int) -> None:
    payout = await payer.ordered(ETHER, 2 * ETHER, fee_units=fee_units)
    await tell(payer, Signed([payout.key], 1, TX), mined(payer, payout, is_reverted=True))
    now = await payer.again(payout)
    assert (now.state, {line.state for line in now.lines}) == (PayoutState.FAILED, {LineState.UNPAID})
    assert await payer.balance() == (10 * ETHER - fee_units, 0)
    assert (await payer.books())["float"] == 21_000
    assert await payer.is_balanced()


async def test_one_transaction_pays_many_and_its_fee_is_posted_once(payer: Payer) -> None:
    paid = [await payer.ordered(ETHER) for _ in range(3)]
    keys = [one.key for one in paid]
    await tell(payer, Signed(keys, 1, TX), Broadcast(keys, TX), mined(payer, *paid))
    again = await tell(payer, mined(payer, *paid))
    assert again.changed == []
    books = await payer.books()
    assert (books["claim"], books["float"]) == (3 * ETHER, 3 * ETHER + 21_000)


async def test_a_house_transaction_costs_its_fee_and_moves_no_payout(payer: Payer) -> None:
    await tell(payer, mined(payer))
    assert (await payer.books())["float"] == 21_000


async def test_a_payout_that_needs_officers_says_so_and_goes_on_once_they_have_signed(payer: Payer) -> None:
    payout = await payer.ordered(ETHER)
    await tell(payer, Waiting(payout.key, "approvals-missing", "2 of 3"))
    waiting = await payer.again(payout)
    assert (waiting.state, waiting.waiting_rule) == (PayoutState.AWAITING_APPROVAL, "approvals-missing")
    async with payer.pool.connection() as conn, conn.transaction():
        await payouts.approve(conn, payout.id, [Signature("ab" * 32, "cd" * 64)])
    await tell(payer, Accepted(payout.key))
    accepted = await payer.again(payout)
    assert (accepted.state, accepted.waiting_rule) == (PayoutState.RESERVED, None)
    await tell(payer, Signed([payout.key], 1, TX))
    assert await told(payer) == ["reserved", "awaiting-approval", "reserved", "signed"]


async def test_a_payout_that_waits_for_something_else_stays_reserved_and_says_why(payer: Payer) -> None:
    payout = await payer.ordered(ETHER)
    await tell(payer, Waiting(payout.key, "float-short"))
    now = await payer.again(payout)
    assert (now.state, now.waiting_rule) == (PayoutState.RESERVED, "float-short")
    assert await told(payer) == ["reserved"]


async def test_the_signer_gets_new_payouts_before_those_that_it_looked_at(payer: Payer) -> None:
    first, second, third = [await payer.ordered(ETHER) for _ in range(3)]
    await tell(payer, Waiting(first.key, "float-short"), Accepted(third.key))
    async with payer.pool.connection() as conn:
        waiting = await payouts.waiting_for_signer(conn, 5)
        assert [one.key for one in waiting] == [second.key, first.key]
        assert [one.key for one in await payouts.waiting_for_signer(conn, 1)] == [second.key]


async def test_that_a_payout_still_waits_is_not_written_every_time(payer: Payer) -> None:
    payout = await payer.ordered(ETHER)
    first = await tell(payer, Waiting(payout.key, "float-short"))
    again = await tell(payer, Waiting(payout.key, "float-short"))
    other = await tell(payer, Waiting(payout.key, "limit-total"))
    payer.clock.pass_minutes(1)
    later = await tell(payer, Waiting(payout.key, "limit-total"))
    assert [len(one.changed) for one in (first, again, other, later)] == [1, 0, 1, 1]


async def test_a_higher_fee_takes_the_first_transactions_place(payer: Payer) -> None:
    payout = await payer.ordered(ETHER)
    await tell(payer, Signed([payout.key], 1, TX), Broadcast([payout.key], TX), Signed([payout.key], 2, BUMPED))
    now = await payer.again(payout)
    assert (now.state, now.transaction, now.reservation) == (PayoutState.BROADCAST, BUMPED, 2)
    await tell(payer, Broadcast([payout.key], TX))
    assert (await payer.again(payout)).transaction == BUMPED
    await tell(payer, mined(payer, payout))
    now = await payer.again(payout)
    assert (now.state, now.transaction) == (PayoutState.CONFIRMED, TX), "either of them may be the one in the chain"
    assert await payer.balance() == (9 * ETHER, 0)


async def test_a_payout_that_is_not_here_is_named_and_stops_nothing(payer: Payer) -> None:
    payout = await payer.ordered(ETHER)
    applied = await tell(payer, Accepted("ff" * 32), Refused(payout.key, "intent-expired"))
    assert applied.unknown == ["ff" * 32]
    assert [one.id for one in applied.changed] == [payout.id]


async def test_what_was_signed_is_never_refused(payer: Payer) -> None:
    payout = await payer.ordered(ETHER)
    await tell(payer, Signed([payout.key], 1, TX))
    with pytest.raises(TransitionForbidden):
        await tell(payer, Refused(payout.key, "intent-expired"))
    assert await payer.balance() == (9 * ETHER, ETHER)


async def test_what_is_confirmed_is_never_given_back(payer: Payer) -> None:
    payout = await payer.ordered(ETHER)
    await tell(payer, Signed([payout.key], 1, TX), mined(payer, payout))
    for fact in (Refused(payout.key, "x"), Abandoned(payout.key, "x"), mined(payer, payout, is_reverted=True)):
        with pytest.raises(TransitionForbidden):
            await tell(payer, fact)
    assert await payer.balance() == (9 * ETHER, 0)


async def test_a_second_transaction_that_paid_it_too_is_an_alarm(payer: Payer) -> None:
    payout = await payer.ordered(ETHER)
    await tell(payer, Signed([payout.key], 1, TX), mined(payer, payout))
    with pytest.raises(TransitionForbidden):
        await tell(payer, mined(payer, payout, transaction=BUMPED))


async def test_many_payouts_of_many_outcomes_move_in_one_call(payer: Payer) -> None:
    made = [await payer.ordered(ETHER, fee_units=7) for _ in range(6)]
    keys = [one.key for one in made]
    await tell(
        payer, *(Accepted(key) for key in keys[:5]), Refused(keys[5], "number-reused"),
        Signed(keys[:4], 1, TX), Abandoned(keys[4], "intent-expired"), Broadcast(keys[:4], TX),
        mined(payer, *made[:4], unpaid=frozenset({(keys[3], 0)})),
    )  # fmt: skip
    states = [(await payer.again(one)).state.value for one in made]
    assert states == ["confirmed"] * 3 + ["failed", "abandoned", "refused"]
    assert await payer.balance() == (7 * ETHER - 28, 0)
    assert await payer.is_balanced()


STEPS: dict[str, Sequence[str]] = {
    "confirmed": ("accepted", "signed", "broadcast", "mined"),
    "unpaid": ("accepted", "signed", "broadcast", "bumped", "unpaid"),
    "reverted": ("waiting", "accepted", "signed", "reverted"),
    "refused": ("waiting", "refused"),
    "abandoned": ("accepted", "abandoned"),
    "cancelled": ("accepted", "signed", "broadcast", "abandoned"),
}


@pytest.mark.parametrize("seed", range(12))
async def test_however_often_facts_are_told_money_moves_once(payer: Payer, seed: int) -> None:
    chance = Random(seed)  # noqa: S311  a test's own choice, repeatable
    made = {name: await payer.ordered(ETHER, ETHER // 2, fee_units=100) for name in STEPS}
    ahead = {name: list(steps) for name, steps in STEPS.items()}
    said: list[Fact] = []
    while any(ahead.values()):
        name = chance.choice([one for one, steps in ahead.items() if steps])
        said.append(_fact(payer, ahead[name].pop(0), made[name], chance.random() < 0.5))
        batch = said[-chance.randrange(1, 4) :] if chance.random() < 0.6 else [said[-1]]
        await tell(payer, *batch)
        assert await payer.is_balanced()
    final = {name: (await payer.again(one)).state.value for name, one in made.items()}
    assert final == {
        "confirmed": "confirmed", "unpaid": "failed", "reverted": "failed", "refused": "refused",
        "abandoned": "abandoned", "cancelled": "abandoned",
    }  # fmt: skip
    paid = ETHER * 3 // 2 + ETHER
    assert await payer.balance() == (10 * ETHER - paid - 300, 0)
    books = await payer.books()
    assert (books["payable"], books["claim"], books["float"]) == (0, paid + 300, paid + 3 * 21_000)


def _fact(payer: Payer, step: str, payout: Payout, is_first: bool) -> Fact:
    key, transaction = payout.key, f"0x{payout.id}"
    facts: dict[str, Fact] = {
        "accepted": Accepted(key),
        "waiting": Waiting(key, "float-short" if is_first else "approvals-missing"),
        "signed": Signed([key], 1, transaction),
        "bumped": Signed([key], 2, f"{transaction}bumped"),
        "broadcast": Broadcast([key], transaction),
        "refused": Refused(key, "intent-expired"),
        "abandoned": Abandoned(key, "intent-expired"),
        "mined": mined(payer, payout, transaction=transaction),
        "reverted": mined(payer, payout, transaction=transaction, is_reverted=True),
        "unpaid": mined(payer, payout, transaction=transaction, unpaid=frozenset({(key, 1)})),
    }
    return facts[step]


async def test_only_the_table_moves_a_payout(payer: Payer) -> None:
    payout = await payer.ordered(ETHER)
    facts: list[Fact] = [
        Accepted(payout.key), Waiting(payout.key, "x"), Refused(payout.key, "x"), Abandoned(payout.key, "x"),
        Signed([payout.key], 1, TX), Broadcast([payout.key], TX), mined(payer, payout),
    ]  # fmt: skip
    now = payer.clock.now() + timedelta(seconds=1)
    reached = {payout}
    while True:
        grown = reached | {
            moved for one, fact in product(reached, facts) if (moved := _moved(one, fact, now)) is not None
        }
        if grown == reached:
            break
        reached = grown
    assert {one.state for one in reached} == set(PayoutState) - {PayoutState.AWAITING_APPROVAL, PayoutState.FAILED}
    for one in reached:
        is_over = one.ended_at is not None
        assert is_over == all(line.state is not LineState.WAITING for line in one.lines)
        assert is_over == (one.state in progress.ENDED)


def _moved(payout: Payout, fact: Fact, now: Any) -> Payout | None:
    try:
        return after_fact(payout, fact, now)
    except TransitionForbidden:
        return None


async def test_what_a_reorganisation_took_past_a_payout_lowers_the_claim_and_then_is_a_deficit(payer: Payer) -> None:
    payout = await payer.ordered(8 * ETHER)
    await tell(payer, Signed([payout.key], 1, TX), mined(payer, payout))
    async with payer.pool.connection() as conn, conn.transaction():
        await ledger.post(conn, paying.bear("reorg:1", payer.asset, 5 * ETHER, 8 * ETHER, "dep_1"))
    async with payer.pool.connection() as conn, conn.transaction():
        await ledger.post(conn, paying.bear("reorg:2", payer.asset, 5 * ETHER, 3 * ETHER, "dep_2"))
    books = await payer.books()
    assert (books["claim"], books["deficit"]) == (0, -2 * ETHER)
    async with payer.pool.connection() as conn, conn.transaction():
        await ledger.post(conn, paying.unbear("repaid:1", payer.asset, 6 * ETHER, 2 * ETHER, "dep_3"))
    books = await payer.books()
    assert (books["claim"], books["deficit"]) == (4 * ETHER, 0)


async def test_more_out_of_the_vault_than_the_claim_is_a_deficit(payer: Payer) -> None:
    payout = await payer.ordered(3 * ETHER)
    await tell(payer, Signed([payout.key], 1, TX), mined(payer, payout))
    settled = paying.out_of_vault("settled:1", payer.asset, 5 * ETHER, 3 * ETHER, "x")
    arrived = paying.into_float("settled:1", payer.asset, 5 * ETHER, "x")
    async with payer.pool.connection() as conn, conn.transaction():
        await ledger.post(conn, [*settled, *arrived])
    books = await payer.books()
    assert (books["vault"], books["claim"], books["deficit"]) == (-5 * ETHER, 0, -2 * ETHER)
    # deposits - payouts = what merchants have; the vault and what it lacks cover that, and the claim, exactly
    assert -books["vault"] - books["deficit"] == books["merchant"] + books["claim"]


def deposit(payer: Payer, units: int) -> Deposit:
    """A deposit that was seen, in a block."""
    now = payer.clock.now()
    return Deposit(
        id=f"dep_{token_hex(4)}",
        network=payer.asset.partition("/")[0],
        key=token_hex(4),
        asset=payer.asset,
        address="x",
        merchant_id=payer.id,
        invoice_id=None,
        units=units,
        state=DepositState.SEEN,
        transaction=None,
        block_height=1,
        block_hash="0x",
        confirmations_required=1,
        times_confirmed=0,
        tariff_units=0,
        below_minimum=False,
        held_for=None,
        seen_at=now,
        paid_at=now,
        confirmed_at=None,
    )


async def confirm(payer: Payer, *seen: Deposit) -> list[Deposit]:
    async with payer.pool.connection() as conn, conn.transaction():
        return await crediting.confirm(conn, seen, payer.clock.now())


async def test_a_deposit_reorganised_away_after_it_was_paid_out_is_owed_borne_and_repaid(pool: Pool) -> None:
    payer = await enrolled_payer(pool)
    kept, gone, gone_too = await confirm(payer, *(deposit(payer, units * ETHER) for units in (6, 5, 4)))
    payout = await payer.ordered(13 * ETHER)
    await tell(payer, Signed([payout.key], 1, TX), mined(payer, payout, fee_units=0))
    async with payer.pool.connection() as conn, conn.transaction():
        owed = await crediting.reverse(conn, [gone, gone_too])
    assert [units for _, units in owed] == [3 * ETHER, 4 * ETHER]
    books = await payer.books()
    assert (books["merchant"], books["claim"], books["deficit"]) == (0, 6 * ETHER, 0)
    async with payer.pool.connection() as conn, conn.transaction():
        await crediting.reverse(conn, [kept])
    books = await payer.books()
    assert (books["vault"], books["merchant"], books["claim"], books["deficit"]) == (0, 0, 0, 0)
    [refused] = await payer.order(payer.intent(1))
    assert isinstance(refused, BalanceTooLow)
    await confirm(payer, deposit(payer, 14 * ETHER))
    books = await payer.books()
    assert (books["vault"], books["merchant"], books["claim"]) == (-14 * ETHER, ETHER, 13 * ETHER)
    assert await payer.is_balanced()


async def test_a_reorganisation_beyond_the_claim_is_a_deficit_that_stops_the_asset(pool: Pool) -> None:
    payer = await enrolled_payer(pool)
    gone, _ = await confirm(payer, deposit(payer, 6 * ETHER), deposit(payer, ETHER))
    payout = await payer.ordered(5 * ETHER)
    await tell(payer, Signed([payout.key], 1, TX), mined(payer, payout, fee_units=0))
    settled = [
        *paying.out_of_vault("settled:1", payer.asset, 5 * ETHER, 5 * ETHER, "x"),
        *paying.into_float("settled:1", payer.asset, 5 * ETHER, "x"),
    ]
    async with payer.pool.connection() as conn, conn.transaction():
        await ledger.post(conn, settled)
    async with payer.pool.connection() as conn, conn.transaction():
        await crediting.reverse(conn, [gone])
    books = await payer.books()
    assert (books["vault"], books["merchant"], books["claim"], books["deficit"]) == (4 * ETHER, 0, 0, -4 * ETHER)
    await confirm(payer, deposit(payer, 6 * ETHER))
    books = await payer.books()
    assert (books["merchant"], books["claim"], books["deficit"]) == (2 * ETHER, 0, 0)
    assert -books["vault"] == books["merchant"] + books["claim"]
