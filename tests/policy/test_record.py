"""The record: what a journal says, folded; the same entries always say the same, and money moves at most once."""

import pytest
from hypothesis import given, settings, strategies as st

from fixtures_policy import ADDRESS, NOW, OTHER, Books
from fixtures_signer import COIN, ETHER, EVM, LTC
from holdfast.chains.journaled_outputs import strange_outputs
from holdfast.core import journal as j
from holdfast.core.intents import Line
from holdfast.core.journal import Head, JournalBroken, StoredEntry, make_entry, read_entries
from holdfast.policy.audit import EvidenceFalse, replay
from holdfast.policy.record import Record

FLOAT = "0x" + "f1" * 20


@pytest.fixture
def books() -> Books:
    return Books().ready()


def reserve(books: Books, payouts: tuple[str, ...], out: int, **more: object) -> int:
    facts: dict[str, object] = {
        "network": EVM.id, "asset": EVM.coin.id, "purpose": "payout", "account": FLOAT, "payouts": payouts,
        "transaction": "00", "inputs": (), "nonce": books.record.nonces.get(FLOAT, 0), "out_units": out,
        "change_index": None, "change_units": 0, "fee_units": 100, "extra_fee_units": 100, "replaces": None,
        "refill_seconds": 0, **more,
    }  # fmt: skip
    return books.add(j.Reserved(**facts)).seq  # type: ignore[arg-type]  # the facts of a reservation


def signed(books: Books, seq: int, transaction: str = "0xabc") -> None:
    books.add(j.Signed(seq, transaction, "00"))


def mined(books: Books, seq: int, *, is_reverted: bool = False, unpaid: tuple[tuple[str, int], ...] = ()) -> None:
    one = books.record.reservations[seq].signed
    assert one is not None
    books.add(j.Mined(seq, one.transaction, 5, "0xhash", is_reverted, 90, unpaid))


def left(books: Books, asset: str = EVM.coin.id) -> int:
    return books.record.entitlements["mer_one", asset]


def test_an_accepted_payout_is_charged_once_with_its_fee(books: Books) -> None:
    books.accept(books.proposal(books.payout(5 * ETHER, fee_units=7)))
    assert left(books) == 195 * ETHER - 7
    assert books.record.unconfirmed[EVM.coin.id] == 5 * ETHER


def test_a_final_payout_makes_its_destination_known_and_a_line_that_failed_comes_back(books: Books) -> None:
    lines = (Line(ADDRESS, 3 * ETHER), Line(OTHER, ETHER))
    payout = books.accept(books.proposal(books.payout(lines=lines, fee_units=7)))
    books.add(j.Funding(EVM.id, "0x1:0", FLOAT, EVM.coin.id, 10 * ETHER, 4, "0xhash"))
    seq = reserve(books, (payout,), 4 * ETHER)
    assert books.record.float_units[FLOAT, EVM.coin.id] == 6 * ETHER
    signed(books, seq)
    mined(books, seq, unpaid=((payout, 1),))
    assert left(books) == 197 * ETHER - 7
    assert books.record.float_units[FLOAT, EVM.coin.id] == 7 * ETHER
    assert set(books.record.destinations) == {("mer_one", EVM.id, ADDRESS)}
    assert books.record.unconfirmed[EVM.coin.id] == 0
    assert books.record.is_known(payout)


def test_a_reverted_transaction_gives_everything_back_but_limits(books: Books) -> None:
    payout = books.accept(books.proposal(books.payout(5 * ETHER)))
    used = dict(books.record.usage)
    seq = reserve(books, (payout,), 5 * ETHER)
    signed(books, seq)
    mined(books, seq, is_reverted=True)
    assert left(books) == 200 * ETHER
    for name, usage in used.items():
        assert all(books.record.usage[name][key] == value for key, value in usage.items() if key[0] != "fees")


def test_what_was_abandoned_gives_the_entitlement_back_but_no_limit(books: Books) -> None:
    payout = books.accept(books.proposal(books.payout(5 * ETHER)))
    policy = books.record.policies.taken[0][0]
    total = books.record.usage[policy.hash]["total", EVM.coin.id]
    books.add(j.Abandoned(payout, "intent-expired"))
    assert left(books) == 200 * ETHER
    assert books.record.usage[policy.hash]["total", EVM.coin.id] == total
    assert books.record.is_known(payout)


def test_a_deposit_that_left_the_chain_takes_its_entitlement_along_even_below_zero(books: Books) -> None:
    books.accept(books.proposal(books.payout(30 * ETHER)))
    (network, key), _ = next(item for item in books.record.deposits.items() if item[0][0] == EVM.id)
    books.add(j.DepositGone(network, key))
    assert left(books) == -30 * ETHER


def _coins(books: Books) -> dict[str, int]:
    return {outpoint: coin.units for outpoint, coin in books.record.coins[LTC.id].items()}


def bitcoin(books: Books, inputs: tuple[str, ...], change: int, **more: object) -> int:
    facts: dict[str, object] = {
        "network": LTC.id, "asset": LTC.coin.id, "account": "rltc1qfloat", "inputs": inputs, "nonce": None,
        "change_index": 1, "change_units": change, **more,
    }  # fmt: skip
    return reserve(books, (), COIN, **facts)


def test_change_is_a_coin_and_a_replacement_takes_the_place_of_what_it_replaces(books: Books) -> None:
    books.add(j.Funding(LTC.id, "aa:0", "rltc1qfloat", LTC.coin.id, 5 * COIN, 4, "hash"))
    first = bitcoin(books, ("aa:0",), 3 * COIN)
    assert _coins(books) == {}
    signed(books, first, "bb")
    assert _coins(books) == {"bb:1": 3 * COIN}
    second = bitcoin(books, ("aa:0",), 2 * COIN, replaces=first, extra_fee_units=50)
    assert _coins(books) == {}
    signed(books, second, "cc")
    assert _coins(books) == {"cc:1": 2 * COIN}
    assert [one.seq for one in books.record.family(second)] == [first, second]
    assert [one.seq for one in books.record.waiting()] == [second]


@pytest.mark.parametrize("winner", [0, 1])
def test_whichever_version_is_mined_its_change_alone_remains(books: Books, winner: int) -> None:
    books.add(j.Funding(LTC.id, "aa:0", "rltc1qfloat", LTC.coin.id, 5 * COIN, 4, "hash"))
    first = bitcoin(books, ("aa:0",), 3 * COIN)
    signed(books, first, "bb")
    second = bitcoin(books, ("aa:0",), 2 * COIN, replaces=first)
    signed(books, second, "cc")
    mined(books, (first, second)[winner])
    assert _coins(books) == ({"bb:1": 3 * COIN}, {"cc:1": 2 * COIN})[winner]
    assert books.record.waiting() == []


@pytest.mark.parametrize("winner", [0, 1])
def test_a_coin_that_only_the_losing_version_would_have_spent_is_there_still(books: Books, winner: int) -> None:
    for key, units in (("aa:0", 5 * COIN), ("ab:0", COIN)):
        books.add(j.Funding(LTC.id, key, "rltc1qfloat", LTC.coin.id, units, 4, "hash"))
    first = bitcoin(books, ("aa:0",), 3 * COIN)
    signed(books, first, "bb")
    second = bitcoin(books, ("aa:0", "ab:0"), 2 * COIN, replaces=first)
    signed(books, second, "cc")
    mined(books, (first, second)[winner])
    assert _coins(books) == ({"ab:0": COIN, "bb:1": 3 * COIN}, {"cc:1": 2 * COIN})[winner]


steps = st.lists(
    st.tuples(st.sampled_from(["pay", "abandon", "mine", "revert", "deposit"]), st.integers(1, 20)), max_size=25
)


@settings(max_examples=60, deadline=None)
@given(steps)
def test_entitlement_is_deposits_less_what_went_out_whatever_the_order(moves: list[tuple[str, int]]) -> None:
    books, waiting, paid, deposited = Books().ready(), list[tuple[str, int]](), 0, 200
    for move, amount in moves:
        if move == "deposit":
            books.deposit(amount * ETHER)
            deposited += amount
        elif move == "pay":
            waiting.append((books.accept(books.proposal(books.payout(amount * ETHER))), amount))
        elif waiting and move == "abandon":
            books.add(j.Abandoned(waiting.pop(0)[0], "intent-expired"))
        elif waiting:
            payout, units = waiting.pop(0)
            seq = reserve(books, (payout,), units * ETHER)
            signed(books, seq, f"0x{seq}")
            mined(books, seq, is_reverted=move == "revert")
            paid += 0 if move == "revert" else units
    out = sum(units for _, units in waiting)
    assert left(books) == (deposited - paid - out) * ETHER
    assert books.record.unconfirmed.get(EVM.coin.id, 0) == out * ETHER


def stored(books: Books) -> list[StoredEntry]:
    return [entry.stored for entry in books.entries]


def test_the_same_entries_always_make_the_same_record(books: Books) -> None:
    payout = books.accept(books.proposal())
    signed(books, reserve(books, (payout,), ETHER))
    again = Record()
    for entry in read_entries(Head(), stored(books)):
        again.apply(entry)
    assert again == books.record


def test_an_entry_that_was_edited_dropped_doubled_or_moved_breaks_the_chain(books: Books) -> None:
    books.accept(books.proposal())
    good = stored(books)
    edited = [*good[:3], StoredEntry(good[3].document.replace('"units":"2', '"units":"3'), good[3].hash), *good[4:]]
    assert edited != good
    for bad in (
        edited,
        [*good[:2], *good[3:]],
        [*good[:3], good[2], *good[3:]],
        [*good[:2], good[3], good[2], *good[4:]],
    ):
        with pytest.raises(JournalBroken):
            read_entries(Head(), bad)
    assert read_entries(Head(), good)[-1].written_at == NOW * 1000


def funded(books: Books, key: str, units: int, block: str = "hash") -> None:
    books.add(j.Funding(LTC.id, key, "rltc1qfloat", LTC.coin.id, units, 4, block))


def float_units(books: Books) -> int:
    return books.record.float_units["rltc1qfloat", LTC.coin.id]


def test_a_funding_that_left_the_chain_takes_its_coin_along_and_comes_back_once(books: Books) -> None:
    funded(books, "aa:0", 5 * COIN)
    books.add(j.FundingGone(LTC.id, "aa:0"))
    assert (_coins(books), float_units(books)) == ({}, 0)
    funded(books, "aa:0", 5 * COIN, "another")
    assert (_coins(books), float_units(books)) == ({"aa:0": 5 * COIN}, 5 * COIN)


def test_a_coin_that_is_spent_is_no_second_coin_when_its_funding_comes_back(books: Books) -> None:
    funded(books, "aa:0", 5 * COIN)
    first = bitcoin(books, ("aa:0",), 3 * COIN)
    signed(books, first, "bb")
    books.add(j.FundingGone(LTC.id, "aa:0"))
    funded(books, "aa:0", 5 * COIN, "another")
    assert (_coins(books), float_units(books)) == ({"bb:1": 3 * COIN}, 4 * COIN)


def test_a_funding_that_never_came_cannot_go(books: Books) -> None:
    entry = make_entry(books.record.head, j.FundingGone(LTC.id, "aa:0"), NOW * 1000)
    with pytest.raises(EvidenceFalse, match="never was"):
        replay(books.record, [entry.stored], "", strange_outputs)


@pytest.mark.parametrize("is_back_first", [False, True])
def test_a_coin_that_only_a_losing_version_spent_is_there_again_when_its_funding_is(
    books: Books, is_back_first: bool
) -> None:
    for key, units in (("aa:0", 5 * COIN), ("ab:0", COIN)):
        funded(books, key, units)
    first = bitcoin(books, ("aa:0",), 3 * COIN)
    signed(books, first, "bb")
    signed(books, bitcoin(books, ("aa:0", "ab:0"), 2 * COIN, replaces=first), "cc")
    books.add(j.FundingGone(LTC.id, "ab:0"))
    if is_back_first:
        funded(books, "ab:0", COIN, "another")
    mined(books, first)
    assert _coins(books) == {"bb:1": 3 * COIN} | ({"ab:0": COIN} if is_back_first else {})
    if not is_back_first:
        funded(books, "ab:0", COIN, "another")
    assert _coins(books) == {"bb:1": 3 * COIN, "ab:0": COIN}
