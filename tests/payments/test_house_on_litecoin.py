"""The float and the vault on a real litecoind: what goes out is sent, seen, booked; what does not add up, named."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fixtures_house import CENT, COIN, FEE, House
from fixtures_payments import Pool
from holdfast.chains.localnet import RegtestNode, litecoin_regtest
from holdfast.core import journal as j
from holdfast.payments import paying, settlement_drafts, signer_work
from holdfast.payments.reconciliation import FindingKind
from holdfast.payments.reconciling import Reconciliation

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("litecoin")]

FORGED = "ab" * 32 + ":0"


@pytest.fixture
async def house(pool: Pool, index_pool: Pool, litecoin: RegtestNode) -> AsyncIterator[House]:
    opened = await House(litecoin, pool, index_pool).open()
    yield opened
    await opened.close()


@pytest.fixture
async def own_house(pool: Pool, index_pool: Pool, tmp_path: Path) -> AsyncIterator[House]:
    """On a litecoind of its own: to be killed, and to have its chain taken back."""
    async with litecoin_regtest(tmp_path / "litecoin") as node:
        opened = await House(node, pool, index_pool).open()
        yield opened
        await opened.close()


def named(found: Reconciliation) -> list[tuple[FindingKind, str]]:
    return [(one.kind, one.subject) for one in found.findings]


async def test_a_settlement_lowers_the_claim_and_fills_the_float(house: House) -> None:
    deposit = await house.deposit(COIN)
    assert (await house.books())["vault"] == COIN
    await house.take_tariffs(COIN // 2)
    await house.spend_vault(deposit, COIN, [(house.float.address, COIN // 4)], COIN - COIN // 4 - FEE)
    found = await house.mine(1)
    assert not found.findings, "in a block and not final: on the way"
    assert found.figures.vault_on_the_way_units == str(-COIN // 4 - FEE)
    assert (await house.books())["float"] == 0
    found = await house.mine(1)
    assert not found.findings
    books = await house.books()
    assert (books["vault"], books["float"], books["company"]) == (COIN - COIN // 4 - FEE, COIN // 4, COIN // 4)
    assert (books["claim"], books["deficit"]) == (COIN // 2 - COIN // 4 - FEE, 0)
    assert (found.figures.vault_chain_units, found.figures.float_chain_units) == (
        str(COIN - COIN // 4 - FEE),
        str(COIN // 4),
    )
    assert await house.shop.is_balanced()


async def test_money_from_outside_is_the_companys_capital_and_the_signer_is_told(house: House) -> None:
    await house.fund(COIN, is_journaled=False)
    books = await house.books()
    assert (books["float"], books["company"]) == (COIN, COIN)
    async with house.pool.connection() as conn:
        (hint,) = (await signer_work.read_work(conn)).fundings
    assert hint.height == await house.chain.height() - 2


async def test_what_was_signed_is_sent_seen_and_hinted_at_until_the_journal_ends_it(house: House) -> None:
    coin = await house.fund(COIN)
    made = await house.pay(coin, COIN, 3 * CENT)
    assert made.txid not in await house.chain.mempool()
    await house.send()
    assert made.txid in await house.chain.mempool()
    assert [one.state.value for one in await house.outgoing()] == ["sent"]
    found = await house.mine(1)
    assert [one.state.value for one in await house.outgoing()] == ["mined"]
    assert not found.findings
    assert found.figures.float_on_the_way_units == str(-3 * CENT - FEE)
    await house.mine(1)
    async with house.pool.connection() as conn:
        (hint,) = (await signer_work.read_work(conn)).mined
    assert (hint.reservation, hint.transaction) == (3, made.txid)
    house.journal.write(j.Mined(3, made.txid, hint.height, "ab" * 32, is_reverted=False, fee_units=FEE, unpaid=()))
    await house.hand_over()
    assert [one.state.value for one in await house.outgoing()] == ["final"]
    async with house.pool.connection() as conn:
        assert (await signer_work.read_work(conn)).mined == []


async def test_the_newest_of_all_that_replace_one_another_is_sent(house: House) -> None:
    coin = await house.fund(COIN)
    first = await house.pay(coin, COIN, 3 * CENT)
    await house.send()
    second = await house.pay(coin, COIN, 3 * CENT, fee=5 * FEE, replaces=3)
    await house.send()
    house.shop.clock.pass_minutes(1)
    await house.send()
    assert [one.last_error for one in await house.outgoing()] == [None, None]
    assert second.txid in await house.chain.mempool()
    assert first.txid not in await house.chain.mempool()
    await house.mine(1)
    assert [(one.state.value, one.transaction) for one in await house.outgoing()] == [
        ("sent", first.txid),
        ("mined", second.txid),
    ]


async def test_children_are_sent_after_their_parents_and_all_are_booked_in_one_block(house: House) -> None:
    coin, units = await house.fund(COIN), COIN
    made = []
    for _ in range(20):
        made.append((await house.pay(coin, units, CENT)).txid)
        coin, units = f"{made[-1]}:1", units - CENT - FEE
    await house.send()
    assert set(made) <= set(await house.chain.mempool())
    found = await house.mine(1)
    assert not found.findings
    assert found.figures.float_chain_units == str(COIN - 20 * CENT - 20 * FEE)


async def test_a_node_that_lost_its_memory_pool_is_given_the_same_bytes_again(own_house: House) -> None:
    coin = await own_house.fund(COIN)
    made = await own_house.pay(coin, COIN, 3 * CENT)
    await own_house.send()
    await own_house.chain.flush()
    await own_house.chain.kill()
    await own_house.chain.start()
    assert await own_house.chain.mempool() == []
    await own_house.send()
    assert await own_house.chain.mempool() == [], "it was sent a moment ago"
    own_house.shop.clock.pass_minutes(1)
    await own_house.send()
    assert await own_house.chain.mempool() == [made.txid]


async def test_a_transaction_that_no_node_takes_calls_a_person_and_says_why(house: House) -> None:
    coin = await house.fund(COIN)
    thief = await house.float.theft(coin, COIN)
    await house.rpc.call(str, "sendrawtransaction", thief.raw.hex())
    await house.chain.mine(1)
    await house.pay(coin, COIN, 3 * CENT)
    for _ in range(5):
        await house.send()
        house.shop.clock.pass_minutes(1)
    (one,) = await house.outgoing()
    assert (one.state.value, one.attempts) == ("to-send", 5)
    assert one.last_error is not None
    assert "send-refused" in one.last_error
    assert "transaction-refused" in await house.asked()


async def test_a_spend_of_the_float_that_nobody_journaled_is_named(house: House) -> None:
    coin = await house.fund(COIN)
    thief = await house.float.theft(coin, COIN)
    await house.rpc.call(str, "sendrawtransaction", thief.raw.hex())
    found = await house.mine(1)
    assert named(found) == [(FindingKind.OUTFLOW_UNEXPLAINED, thief.txid)]
    assert (found.findings[0].units, found.gap_units) == (str(-COIN), COIN)
    assert "reconciliation-gap" in await house.asked()


async def test_change_of_a_theft_is_no_capital(house: House) -> None:
    coin = await house.fund(COIN)
    stray = await house.float.payment(coin, COIN)
    await house.rpc.call(str, "sendrawtransaction", stray.raw.hex())
    found = await house.mine(3)
    assert named(found) == [(FindingKind.OUTFLOW_UNEXPLAINED, stray.txid)]
    assert (await house.books())["float"] == COIN
    assert found.figures.float_gap_units == found.findings[0].units


async def test_nothing_is_compared_until_both_readers_stand_on_the_block(house: House) -> None:
    created = await house.shop.invoice(price="1")
    await house.chain.send(created.quotes[0].address, COIN)
    await house.chain.mine(1)
    before = await house.newest()
    while not await house.tasks.turn():
        pass
    assert await house.newest() == before, "deposits have not been read to here"
    found = await house.catch_up()
    assert found.height == await house.chain.height()
    assert not found.findings
    assert found.figures.vault_on_the_way_units == str(COIN)


async def test_a_forged_credit_is_named(house: House) -> None:
    await house.deposit(COIN)
    await house.post(paying.vault(house.asset), paying.merchant(house.asset, house.shop.merchant.id), 5 * COIN)
    found = await house.compare_again()
    assert (FindingKind.ENTRY_WITHOUT_CHAIN, "dep_nothing") in named(found)
    assert found.figures.vault_gap_units == str(-5 * COIN)


async def test_a_forged_entry_of_the_float_is_named(house: House) -> None:
    await house.fund(COIN)
    await house.post(paying.float_(house.asset), paying.company(house.asset), CENT)
    found = await house.compare_again()
    assert named(found) == [(FindingKind.ENTRY_WITHOUT_CHAIN, "dep_nothing")]
    assert found.figures.float_gap_units == str(-CENT)


async def test_a_forged_deposit_is_named_by_the_output_that_is_not_there(house: House) -> None:
    key = await house.deposit(COIN)
    async with house.pool.connection() as conn:
        await conn.execute(
            """
            INSERT INTO payments.deposits
            SELECT (jsonb_populate_record(deposit, jsonb_build_object('id', 'dep_forged', 'key', %s::text))).*
            FROM payments.deposits AS deposit WHERE key = %s
            """,
            (FORGED, key),
        )
    await house.post(paying.vault(house.asset), paying.merchant(house.asset, house.shop.merchant.id), COIN)
    found = await house.mine(1)
    assert (FindingKind.OUTPUT_MISSING, FORGED) in named(found)


async def test_what_the_vault_pays_to_somebody_else_is_named(house: House) -> None:
    deposit = await house.deposit(COIN)
    elsewhere = await house.chain.new_address()
    txid = await house.spend_vault(deposit, COIN, [(elsewhere, COIN - FEE)])
    found = await house.mine(2)
    assert named(found)[0] == (FindingKind.OUTFLOW_UNEXPLAINED, txid)
    assert elsewhere in found.findings[0].detail


async def test_what_adds_up_again_needs_nobody_any_more(house: House) -> None:
    await house.deposit(COIN)
    credit = (paying.vault(house.asset), paying.merchant(house.asset, house.shop.merchant.id))
    await house.post(*credit, 5)
    await house.compare_again()
    assert await house.asked() == ["reconciliation-gap"]
    await house.post(credit[1], credit[0], 5)
    assert not (await house.compare_again()).findings
    assert await house.asked() == []


async def test_money_at_the_vaults_own_address_is_nobodys_until_a_person_decides(house: House) -> None:
    await house.chain.send(house.vault_address, CENT)
    found = await house.mine(2)
    assert not found.findings
    assert (found.figures.unattributed_units, found.figures.vault_chain_units) == (str(CENT), str(CENT))


async def test_a_reorganisation_takes_capital_back_and_sends_again(own_house: House) -> None:
    coin = await own_house.fund(COIN)
    made = await own_house.pay(coin, COIN, 3 * CENT)
    await own_house.send()
    await own_house.mine(2)
    assert [one.state.value for one in await own_house.outgoing()] == ["mined"]
    await own_house.chain.reorganise(2, with_transactions=False)
    found = await own_house.catch_up()
    assert not found.findings
    assert [one.state.value for one in await own_house.outgoing()] == ["to-send"]
    async with own_house.pool.connection() as conn:
        assert (await signer_work.read_work(conn)).mined == []
    assert (await own_house.books())["float"] == COIN
    await own_house.send()
    await own_house.mine(2)
    assert [(one.state.value, one.transaction) for one in await own_house.outgoing()] == [("mined", made.txid)]


async def test_what_is_booked_stays_booked_once_when_only_later_blocks_change(own_house: House) -> None:
    await own_house.fund(COIN)
    async with own_house.pool.connection() as conn:
        assert (await signer_work.read_work(conn)).fundings == []
    await own_house.chain.reorganise(2)
    assert not (await own_house.catch_up()).findings
    assert (await own_house.books())["float"] == COIN
    async with own_house.pool.connection() as conn:
        assert (await signer_work.read_work(conn)).fundings == [], "the signer has journaled it"


async def test_a_funding_that_came_into_another_block_is_hinted_at_until_the_signer_has_it_there(
    own_house: House,
) -> None:
    outpoint = await own_house.fund(COIN)
    await own_house.chain.reorganise(2)
    assert (await own_house.books())["float"] == COIN
    await own_house.chain.reorganise(4)
    assert not (await own_house.catch_up()).findings
    assert (await own_house.books())["float"] == COIN
    async with own_house.pool.connection() as conn:
        (hint,) = (await signer_work.read_work(conn)).fundings
    facts = (own_house.listed.id, outpoint, own_house.float.address, own_house.asset, COIN, hint.height)
    again = j.Funding(*facts, await own_house.chain.block_hash(hint.height))
    own_house.journal.write(j.FundingGone(own_house.listed.id, outpoint), again)
    await own_house.hand_over()
    await own_house.mine(1)
    async with own_house.pool.connection() as conn:
        assert (await signer_work.read_work(conn)).fundings == []


async def test_a_block_that_goes_and_comes_back_is_booked_once(own_house: House) -> None:
    await own_house.fund(COIN)
    tip = await own_house.chain.best_hash()
    await own_house.chain.reorganise(3, with_transactions=False)
    assert not (await own_house.catch_up()).findings
    assert (await own_house.books())["float"] == 0
    fork = await own_house.chain.block_hash(await own_house.chain.height() - 3)
    await own_house.chain.invalidate(fork)
    await own_house.chain.reconsider(tip)
    await own_house.mine(3)
    found = await own_house.catch_up()
    assert not found.findings
    books = await own_house.books()
    assert (books["float"], books["company"]) == (COIN, COIN)
    assert await own_house.shop.is_balanced()


async def test_a_float_below_its_low_water_asks_for_a_settlement_as_large_as_its_cap_allows(
    pool: Pool, index_pool: Pool, litecoin: RegtestNode
) -> None:
    house = await House(litecoin, pool, index_pool, {"cap": {"rLTC": "0.6"}, "low": {"rLTC": "0.5"}}).open()
    await house.deposit(2 * COIN)
    await house.take_tariffs(COIN)
    await house.fund(10 * CENT)
    assert "float-low" in await house.asked()
    async with pool.connection() as conn:
        draft = await settlement_drafts.draft(conn, house.shop.catalogue, house.asset)
    assert (draft.float_units, draft.wanted_units) == (str(10 * CENT), str(50 * CENT))
    await house.fund(45 * CENT)
    assert "float-low" not in await house.asked()
    await house.close()


async def test_the_request_for_a_settlement_names_inputs_claim_and_evidence(house: House) -> None:
    deposit = await house.deposit(COIN)
    await house.take_tariffs(COIN // 2)
    house.journal.write(j.Started("boot", "1"))
    await house.hand_over()
    async with house.pool.connection() as conn:
        draft = await settlement_drafts.draft(conn, house.shop.catalogue, house.asset)
    (chosen,) = draft.inputs
    assert (chosen.outpoint, chosen.units, chosen.branch) == (deposit, str(COIN), 0)
    assert chosen.index == await house.index_of(deposit)
    assert (draft.claim_units, draft.wanted_units, draft.change_index) == (str(COIN // 2), str(COIN // 2), 0)
    assert (draft.journal_seq, draft.journal_hash) == (2, house.journal.head.hash)
