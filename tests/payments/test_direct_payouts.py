"""A payout that the quorum orders out of the vault: what the platform holds for it, whatever it knew of it before."""

import pytest
import pytest_asyncio

from fixtures_journal import WrittenJournal
from fixtures_payouts import ETHER, Payer, Pool, direct_order, enrolled_payer, ordered_out_of_vault, payee, signed
from holdfast.core import journal as j
from holdfast.core.states import LineState, PayoutState, TransitionForbidden
from holdfast.payments import attention, events, mirror, payouts, progress, signer_work
from holdfast.payments.payouts import Payout, PayoutNotFound
from holdfast.payments.progress import Direct, Fact, Mined, Signed, Unmined
from holdfast.payments.signer_messages import Waiting

TX = "0x" + "ab" * 32


@pytest_asyncio.fixture
async def payer(pool: Pool) -> Payer:
    """A merchant with ten ether."""
    made = await enrolled_payer(pool)
    await made.fund(10 * ETHER)
    return made


@pytest.fixture
def journal() -> WrittenJournal:
    return WrittenJournal()


async def hand_over(payer: Payer, journal: WrittenJournal, waiting: tuple[Waiting, ...] = ()) -> None:
    async with payer.pool.connection() as conn:
        head = await mirror.head(conn)
    await mirror.mirror(payer.pool, journal.post(head.seq, waiting), payer.clock.now())


async def found(payer: Payer, key: str) -> Payout:
    async with payer.pool.connection() as conn:
        return await payouts.get(conn, key)


async def asked(payer: Payer) -> list[object]:
    async with payer.pool.connection() as conn:
        return [item.detail["code"] for item in await attention.page(conn, None)]


async def told(payer: Payer) -> list[str]:
    async with payer.pool.connection() as conn:
        return [one.type.removeprefix("payout.") for one in await events.page(conn, payer.id, limit=200)]


async def tell(payer: Payer, *facts: Fact) -> None:
    async with payer.pool.connection() as conn, conn.transaction():
        await progress.apply(conn, facts, payer.clock.now())


async def test_one_that_never_came_here_is_made_and_held_once(payer: Payer, journal: WrittenJournal) -> None:
    own, entry = ordered_out_of_vault(payer.id, payer.asset, [(payee(), ETHER), (payee(), 2 * ETHER)], fee_units=7)
    journal.write(entry)
    await hand_over(payer, journal)
    await hand_over(payer, journal)
    payout = await found(payer, own.id)
    assert (payout.state, payout.waiting_rule, payout.is_direct) == (PayoutState.RESERVED, "direct-payout", True)
    assert (payout.document, payout.signature, len(payout.lines)) == (own.document, own.signature, 2)
    assert await payer.balance() == (7 * ETHER - 7, 3 * ETHER + 7)
    assert await told(payer) == ["reserved"]
    assert await asked(payer) == []


async def test_one_that_waits_here_is_the_officers_and_no_more_the_signers(
    payer: Payer, journal: WrittenJournal
) -> None:
    intent = payer.intent(ETHER)
    payout = await payer.ordered_as(intent)
    journal.write(direct_order(signed(payer.key, intent)))
    await hand_over(payer, journal, (Waiting(payout.key, "approvals-missing", "1 of 2"),))
    await hand_over(payer, journal, (Waiting(payout.key, "approvals-missing", "1 of 2"),))
    again = await payer.again(payout)
    assert (again.state, again.waiting_rule) == (PayoutState.RESERVED, "direct-payout")
    assert await payer.balance() == (9 * ETHER, ETHER)
    async with payer.pool.connection() as conn:
        assert (await signer_work.read_work(conn)).payouts == []


async def test_one_that_the_signer_ended_or_took_on_calls_a_person(payer: Payer, journal: WrittenJournal) -> None:
    first, second = payer.intent(ETHER), payer.intent(ETHER)
    refused, taken = await payer.ordered_as(first), await payer.ordered_as(second)
    journal.write(j.Refused(refused.key, "payout-too-large", ""))
    journal.write(j.Accepted(taken.key, signed(payer.key, second), (), None, 0, 1, 0))
    journal.write(direct_order(signed(payer.key, first)), direct_order(signed(payer.key, second)))
    await hand_over(payer, journal)
    assert await asked(payer) == ["transition-forbidden"] * 2
    assert (await payer.again(refused)).state is PayoutState.REFUSED
    assert not (await payer.again(taken)).is_direct
    assert await payer.balance() == (9 * ETHER, ETHER)


async def test_number_and_reference_that_another_intent_has_here_do_not_keep_it_out(
    payer: Payer, journal: WrittenJournal
) -> None:
    waiting = await payer.ordered(ETHER)
    lines, taken = [(payee(), ETHER)], {"number": waiting.number, "reference": waiting.reference}
    own, entry = ordered_out_of_vault(payer.id, payer.asset, lines, **taken)
    journal.write(entry)
    await hand_over(payer, journal)
    assert (await found(payer, own.id)).reference == waiting.reference
    assert await payer.balance() == (8 * ETHER, 2 * ETHER)


async def test_one_that_the_balance_does_not_cover_yet_calls_a_person_and_is_held_once_it_does(
    payer: Payer, journal: WrittenJournal
) -> None:
    own, entry = ordered_out_of_vault(payer.id, payer.asset, [(payee(), 11 * ETHER)])
    journal.write(entry)
    await hand_over(payer, journal)
    with pytest.raises(PayoutNotFound):
        await found(payer, own.id)
    assert await asked(payer) == ["direct-payout-uncovered"]
    await payer.fund(2 * ETHER)
    _, later = ordered_out_of_vault(payer.id, payer.asset, [(payee(), 1)])
    journal.write(later)
    await hand_over(payer, journal)
    assert await payer.balance() == (ETHER - 1, 11 * ETHER + 1)
    assert await asked(payer) == []


async def test_one_of_a_merchant_who_is_not_here_calls_a_person(payer: Payer, journal: WrittenJournal) -> None:
    journal.write(ordered_out_of_vault("mer_unknown", payer.asset, [(payee(), 1)])[1])
    await hand_over(payer, journal)
    assert await asked(payer) == ["merchant-not-found"]


async def test_neither_the_float_nor_the_signer_ends_it(payer: Payer, journal: WrittenJournal) -> None:
    own, entry = ordered_out_of_vault(payer.id, payer.asset, [(payee(), ETHER)])
    journal.write(entry)
    await hand_over(payer, journal)
    for fact in (Signed([own.id], 3, TX), progress.Refused(own.id, "limit-total"), progress.Abandoned(own.id, "x")):
        with pytest.raises(TransitionForbidden):
            await tell(payer, fact)
    assert await payer.balance() == (9 * ETHER, ETHER)


async def test_a_block_takes_back_what_the_vault_paid_and_never_what_the_float_paid(
    payer: Payer, journal: WrittenJournal
) -> None:
    own, entry = ordered_out_of_vault(payer.id, payer.asset, [(payee(), ETHER)], fee_units=7)
    journal.write(entry)
    await hand_over(payer, journal)
    paid = Mined([own.id], TX, payer.asset, 0)
    await tell(payer, Signed([own.id], None, TX), paid, Unmined([own.id]), Unmined([own.id]))
    again = await found(payer, own.id)
    assert (again.state, again.lines[0].state, again.ended_at) == (PayoutState.BROADCAST, LineState.WAITING, None)
    await tell(payer, paid)
    books = await payer.books()
    assert (books["merchant"], books["payable"], books["claim"], books["float"]) == (9 * ETHER - 7, ETHER, 7, 0)
    of_float = await payer.ordered(ETHER)
    await tell(payer, Signed([of_float.key], 3, TX), Mined([of_float.key], TX, payer.asset, 0))
    with pytest.raises(TransitionForbidden):
        await tell(payer, Unmined([of_float.key]))
    with pytest.raises(TransitionForbidden):
        await tell(payer, Direct(of_float.key))
