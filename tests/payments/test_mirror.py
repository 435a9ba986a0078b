"""What the signer's journal does on the platform: each entry moves its payout, its transaction and its hints, once."""

from secrets import token_hex
from typing import Any

import pytest

from fixtures_journal import WrittenJournal
from fixtures_payouts import ETHER, Payer, Pool, enrolled_payer
from holdfast.core import journal as j
from holdfast.core.intents import SignedIntent
from holdfast.payments import attention, hints, mirror, signer_work, transactions
from holdfast.payments.hints import Hint, HintKind, mined_key
from holdfast.payments.payouts import Payout
from holdfast.payments.signer_messages import JournalPost, Waiting
from holdfast.payments.transactions import Outgoing

ANVIL = "eip155:31337"


@pytest.fixture
async def payer(pool: Pool) -> Payer:
    made = await enrolled_payer(pool)
    await made.fund(10 * ETHER)
    return made


@pytest.fixture
def journal() -> WrittenJournal:
    return WrittenJournal()


def accepted(payout: Payout) -> j.Accepted:
    return j.Accepted(payout.key, SignedIntent(payout.document, payout.signature), (), None, 0, 1, 0)


def reserved(payouts: list[Payout], replaces: int | None = None, nonce: int = 0, **changes: Any) -> j.Reserved:
    plain = {
        "network": ANVIL, "asset": payouts[0].asset if payouts else f"{ANVIL}/slip44:1", "purpose": "payout",
        "account": "0xfloat",
        "payouts": tuple(one.key for one in payouts), "transaction": "00", "inputs": (), "nonce": nonce,
        "out_units": sum(one.lines_units for one in payouts), "change_index": None, "change_units": 0,
        "fee_units": 21_000, "extra_fee_units": 21_000, "replaces": replaces, "refill_seconds": 0,
    }  # fmt: skip
    return j.Reserved(**{**plain, **changes})


def signed(reservation: int) -> j.Signed:
    return j.Signed(reservation, f"0x{token_hex(32)}", "0x02" + token_hex(40))


def mined(of: j.Signed, **changes: Any) -> j.Mined:
    plain = {
        "reservation": of.reservation, "transaction": of.transaction, "height": 9, "hash": "0x" + "ab" * 32,
        "is_reverted": False, "fee_units": 20_000, "unpaid": (),
    }  # fmt: skip
    return j.Mined(**{**plain, **changes})


async def hand_over(payer: Payer, post: JournalPost) -> int:
    return await mirror.mirror(payer.pool, post, payer.clock.now())


async def kept(payer: Payer) -> list[Outgoing]:
    async with payer.pool.connection() as conn:
        return list(reversed(await transactions.page(conn)))


async def asked(payer: Payer) -> list[str]:
    async with payer.pool.connection() as conn:
        return [item.reason.value for item in await attention.page(conn, None)]


async def test_a_payout_follows_the_journal_to_its_end(payer: Payer, journal: WrittenJournal) -> None:
    payout = await payer.ordered(3, 4)
    async with payer.pool.connection() as conn:
        (waiting,) = (await signer_work.read_work(conn)).payouts
    assert (waiting.payout, waiting.intent.document) == (payout.key, payout.document)
    journal.write(accepted(payout))
    await hand_over(payer, journal.post())
    async with payer.pool.connection() as conn:
        assert (await signer_work.read_work(conn)).payouts == []
    [entry] = journal.write(reserved([payout]))
    sent = signed(entry.seq)
    journal.write(sent)
    await hand_over(payer, journal.post(after=1))
    assert (await payer.again(payout)).state.value == "signed"
    (one,) = await kept(payer)
    assert (one.state.value, one.transaction, one.raw, one.nonce) == ("to-send", sent.transaction, sent.raw, 0)
    journal.write(mined(sent))
    await hand_over(payer, journal.post(after=3))
    assert (await payer.again(payout)).state.value == "confirmed"
    assert [(each.state.value, each.height, each.paid_fee_units) for each in await kept(payer)] == [
        ("final", 9, 20_000)
    ]
    books = await payer.books()
    assert (books["claim"], books["float"], books["payable"]) == (7, 7 + 20_000, 0)
    assert await payer.is_balanced()


async def test_everything_in_one_batch_is_the_same_as_entry_by_entry(payer: Payer, journal: WrittenJournal) -> None:
    payout = await payer.ordered(5)
    journal.write(accepted(payout), reserved([payout]))
    sent = signed(2)
    journal.write(sent, mined(sent))
    for _ in range(3):
        assert await hand_over(payer, journal.post()) == 4
    assert (await payer.again(payout)).state.value == "confirmed"
    assert (await payer.books())["claim"] == 5


async def test_a_refused_payout_is_free_again_and_says_why(payer: Payer, journal: WrittenJournal) -> None:
    payout = await payer.ordered(5)
    journal.write(j.Refused(payout.key, "limit-total", "5 of 4"))
    await hand_over(payer, journal.post())
    again = await payer.again(payout)
    assert (again.state.value, again.rule) == ("refused", "limit-total")
    assert await payer.balance() == (10 * ETHER, 0)


async def test_why_a_payout_waits_is_shown_without_an_entry(payer: Payer, journal: WrittenJournal) -> None:
    payout = await payer.ordered(5)
    await hand_over(payer, journal.post(waiting=[Waiting(payout.key, "approvals-missing", "1 of 2")]))
    assert (await payer.again(payout)).state.value == "awaiting-approval"
    async with payer.pool.connection() as conn:
        assert len((await signer_work.read_work(conn)).payouts) == 1


async def test_of_all_that_replace_one_another_one_is_final_and_the_others_over(
    payer: Payer, journal: WrittenJournal
) -> None:
    payout = await payer.ordered(5)
    journal.write(accepted(payout), reserved([payout]))
    first = signed(2)
    journal.write(first, reserved([payout], replaces=2))
    second = signed(4)
    journal.write(second, reserved([payout], replaces=4))
    third = signed(6)
    journal.write(third)
    await hand_over(payer, journal.post())
    assert {one.root for one in await kept(payer)} == {2}
    async with payer.pool.connection() as conn:
        await hints.put(conn, [Hint(HintKind.MINED, ANVIL, mined_key(4), 9, reservation=4, transaction="0x")])
    journal.write(mined(second))
    await hand_over(payer, journal.post(after=7))
    assert [one.state.value for one in await kept(payer)] == ["replaced", "final", "replaced"]
    again = await payer.again(payout)
    assert (again.state.value, again.transaction) == ("confirmed", second.transaction)
    async with payer.pool.connection() as conn:
        assert (await signer_work.read_work(conn)).mined == []


async def test_lines_that_moved_nothing_are_counted(payer: Payer, journal: WrittenJournal) -> None:
    payout = await payer.ordered(5, 6)
    journal.write(accepted(payout), reserved([payout]))
    sent = signed(2)
    journal.write(sent, mined(sent, unpaid=((payout.key, 1),)))
    await hand_over(payer, journal.post())
    (one,) = await kept(payer)
    assert one.unpaid_units == 6
    assert (await payer.again(payout)).state.value == "failed"
    assert await payer.balance() == (10 * ETHER - 5, 0)


async def test_gas_that_the_gas_account_pays_is_not_the_floats(payer: Payer, journal: WrittenJournal) -> None:
    journal.write(reserved([], purpose="flush"))
    sent = signed(1)
    journal.write(sent, mined(sent))
    await hand_over(payer, journal.post())
    assert (await payer.books())["float"] == 0


async def test_an_entry_that_contradicts_a_payout_does_not_keep_the_others_from_theirs(
    payer: Payer, journal: WrittenJournal
) -> None:
    paid, other = await payer.ordered(5), await payer.ordered(6)
    journal.write(accepted(paid), reserved([paid]))
    sent = signed(2)
    journal.write(sent, mined(sent))
    await hand_over(payer, journal.post())
    journal.write(j.Abandoned(paid.key, "too-late"), j.Refused(other.key, "limit-total", ""))
    assert await hand_over(payer, journal.post(after=4)) == 6
    assert ((await payer.again(paid)).state.value, (await payer.again(other)).state.value) == ("confirmed", "refused")
    assert await asked(payer) == ["journal-contradicted"]
    assert await payer.is_balanced()


async def test_an_entry_about_a_payout_that_is_not_here_calls_a_person(payer: Payer, journal: WrittenJournal) -> None:
    journal.write(j.Refused("ab" * 32, "limit-total", ""))
    await hand_over(payer, journal.post())
    assert await asked(payer) == ["journal-contradicted"]
