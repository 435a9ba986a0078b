"""Payouts out of the vault on a real litecoind: held, seen, posted, confirmed, taken back; reconciled at every step."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from fixtures_house import CENT, COIN, FEE, House
from fixtures_payments import Pool
from fixtures_payouts import ordered_out_of_vault
from holdfast import ledger
from holdfast.chains.localnet import RegtestNode, litecoin_regtest
from holdfast.core.states import LineState, PayoutState
from holdfast.payments import events, paying, payouts
from holdfast.payments.payouts import Payout, PayoutNotFound
from holdfast.payments.reconciliation import FindingKind
from holdfast.payments.reconciling import Reconciliation

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("litecoin")]

MERCHANT_FEE = 1_000
LINES = (30 * CENT, 10 * CENT)
PAID = sum(LINES)


class Desk(House):
    """A house whose merchant has a direct payout."""

    async def order(self, lines: Sequence[tuple[str, int]], *, is_handed_over: bool = True, **changes: Any) -> str:
        """The quorum's order, journaled: the payout's key."""
        own, entry = ordered_out_of_vault(self.shop.merchant.id, self.asset, lines, fee_units=MERCHANT_FEE, **changes)
        self.journal.write(entry)
        if is_handed_over:
            await self.hand_over()
        return own.id

    async def destinations(self) -> list[tuple[str, int]]:
        return [(await self.chain.new_address(), units) for units in LINES]

    async def payout(self, key: str) -> Payout:
        async with self.pool.connection() as conn:
            return await payouts.get(conn, key)

    async def told(self) -> list[str]:
        async with self.pool.connection() as conn:
            found = await events.page(conn, self.shop.merchant.id, limit=200)
        return [one.type.removeprefix("payout.") for one in found if one.type.startswith("payout.")]

    async def owed(self) -> dict[str, int]:
        """What the merchant has, what is payable to him, and the company's claim."""
        who = self.shop.merchant.id
        accounts = {
            "merchant": paying.merchant(self.asset, who), "payable": paying.payable(self.asset, who),
            "claim": paying.claim(self.asset),
        }  # fmt: skip
        async with self.pool.connection() as conn:
            return {name: (await ledger.balance(conn, account)).posted for name, account in accounts.items()}

    async def ready(self) -> str:
        """A merchant with a coin, and a claim that bears the network's fees: the deposit's outpoint."""
        deposit = await self.deposit(2 * COIN)
        await self.take_tariffs(COIN)
        return deposit


@pytest.fixture
async def house(pool: Pool, index_pool: Pool, litecoin: RegtestNode) -> AsyncIterator[Desk]:
    opened = Desk(litecoin, pool, index_pool)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def own_house(pool: Pool, index_pool: Pool, tmp_path: Path) -> AsyncIterator[Desk]:
    """On a litecoind of its own: to have its chain taken back."""
    async with litecoin_regtest(tmp_path / "litecoin") as node:
        opened = Desk(node, pool, index_pool)
        await opened.open()
        yield opened
        await opened.close()


def named(found: Reconciliation) -> list[tuple[FindingKind, str]]:
    return [(one.kind, one.subject) for one in found.findings]


CHANGE = 2 * COIN - PAID - FEE


async def test_what_the_vault_pays_a_merchants_payee_is_posted_confirmed_and_told(house: Desk) -> None:
    deposit, lines = await house.ready(), await house.destinations()
    key = await house.order(lines)
    assert not (await house.compare_again()).findings, "held, and in the signer's journal"
    txid = await house.spend_vault(deposit, 2 * COIN, lines, CHANGE)
    found = await house.mine(1)
    assert not found.findings
    assert found.figures.vault_on_the_way_units == str(-PAID - FEE)
    seen = await house.payout(key)
    assert (seen.state, seen.transaction, seen.waiting_rule) == (PayoutState.BROADCAST, txid, None)
    found = await house.mine(1)
    assert not found.findings
    paid = await house.payout(key)
    assert (paid.state, {line.transaction for line in paid.lines}) == (PayoutState.CONFIRMED, {txid})
    assert (await house.books())["vault"] == CHANGE
    assert await house.owed() == {
        "merchant": COIN - PAID - MERCHANT_FEE, "payable": 0, "claim": COIN + MERCHANT_FEE - FEE,
    }  # fmt: skip
    assert await house.told() == ["reserved", "signed", "broadcast", "confirmed"]
    assert (await house.books())["float"] == 0
    assert await house.shop.is_balanced()


async def test_a_reorganisation_takes_it_back_and_the_next_block_pays_it_once(own_house: Desk) -> None:
    house = own_house
    deposit, lines = await house.ready(), await house.destinations()
    key = await house.order(lines)
    txid = await house.spend_vault(deposit, 2 * COIN, lines, CHANGE)
    await house.mine(2)
    booked = (await house.books(), await house.owed())
    await house.chain.reorganise(2, with_transactions=False)
    found = await house.catch_up()
    assert not found.findings
    gone = await house.payout(key)
    assert (gone.state, {line.state for line in gone.lines}) == (PayoutState.BROADCAST, {LineState.WAITING})
    assert (await house.books())["vault"] == 2 * COIN
    owed = await house.owed()
    assert (owed["merchant"], owed["payable"]) == (COIN - PAID - MERCHANT_FEE, PAID)
    assert await house.chain.mempool() == [txid]
    assert not (await house.mine(2)).findings
    assert (await house.books(), await house.owed()) == booked
    assert await house.told() == ["reserved", "signed", "broadcast", "confirmed", "broadcast", "confirmed"]
    assert await house.shop.is_balanced()


async def test_a_block_that_was_read_before_the_order_came_is_understood_once_it_comes(house: Desk) -> None:
    deposit, lines = await house.ready(), await house.destinations()
    key = await house.order(lines, is_handed_over=False)
    txid = await house.spend_vault(deposit, 2 * COIN, lines, CHANGE)
    found = await house.mine(3)
    assert named(found)[0] == (FindingKind.OUTFLOW_UNEXPLAINED, txid)
    await house.hand_over()
    assert not (await house.compare_again()).findings, "no block has come since"
    assert (await house.payout(key)).state is PayoutState.CONFIRMED
    assert (await house.books())["vault"] == CHANGE
    assert (await house.owed())["claim"] == COIN + MERCHANT_FEE - FEE, "the network's fee is borne once"
    assert "reconciliation-gap" not in await house.asked()


@pytest.mark.parametrize("what", ["less", "another", "more besides", "the float besides"])
async def test_what_pays_anything_else_than_exactly_its_lines_is_unexplained(house: Desk, what: str) -> None:
    deposit, lines = await house.ready(), await house.destinations()
    key = await house.order(lines)
    paid = {
        "less": [lines[0], (lines[1][0], lines[1][1] - 1)],
        "another": [lines[0], (await house.chain.new_address(), lines[1][1])],
        "more besides": [*lines, (await house.chain.new_address(), CENT)],
        "the float besides": [*lines, (house.float.address, CENT)],
    }[what]
    change = 2 * COIN - FEE - sum(units for _, units in paid)
    txid = await house.spend_vault(deposit, 2 * COIN, paid, change)
    found = await house.mine(2)
    assert named(found)[0] == (FindingKind.OUTFLOW_UNEXPLAINED, txid)
    assert (await house.payout(key)).state is PayoutState.RESERVED
    assert (await house.owed())["payable"] == 0


@pytest.mark.parametrize("confirmations", [1, 2])
async def test_what_pays_it_a_second_time_is_unexplained(house: Desk, confirmations: int) -> None:
    first, second = await house.ready(), await house.ready()
    lines = await house.destinations()
    key = await house.order(lines)
    txid = await house.spend_vault(first, 2 * COIN, lines, CHANGE)
    await house.mine(confirmations)
    again = await house.spend_vault(second, 2 * COIN, lines, CHANGE)
    assert named(await house.mine(2))[0] == (FindingKind.OUTFLOW_UNEXPLAINED, again)
    assert (await house.payout(key)).transaction == txid
    assert (await house.owed())["payable"] == 0


async def test_two_payouts_of_the_same_lines_are_paid_by_a_transaction_each(house: Desk) -> None:
    first, second = await house.ready(), await house.ready()
    lines = await house.destinations()
    keys = [await house.order(lines), await house.order(lines)]
    made = {await house.spend_vault(outpoint, 2 * COIN, lines, CHANGE) for outpoint in (first, second)}
    assert not (await house.mine(2)).findings
    paid = [await house.payout(key) for key in keys]
    assert {one.state for one in paid} == {PayoutState.CONFIRMED}
    assert {one.transaction for one in paid} == made
    told = await house.told()
    assert {name: told.count(name) for name in told} == dict.fromkeys(
        ("reserved", "signed", "broadcast", "confirmed"), 2
    )


async def test_a_draft_that_replaced_the_one_that_left_the_chain_pays_it(own_house: Desk) -> None:
    house = own_house
    deposit, lines = await house.ready(), await house.destinations()
    key = await house.order(lines)
    await house.spend_vault(deposit, 2 * COIN, lines, CHANGE)
    await house.mine(2)
    await house.chain.reorganise(2, with_transactions=False)
    await house.catch_up()
    again = await house.spend_vault(deposit, 2 * COIN, lines, CHANGE - 10 * FEE)
    assert not (await house.mine(2)).findings
    paid = await house.payout(key)
    assert (paid.state, paid.transaction) == (PayoutState.CONFIRMED, again)
    assert (await house.owed())["payable"] == 0
    assert await house.shop.is_balanced()


async def test_one_that_the_balance_did_not_cover_is_held_with_the_block_that_confirms_the_deposit(house: Desk) -> None:
    lines = await house.destinations()
    key = await house.order(lines)
    with pytest.raises(PayoutNotFound):
        await house.payout(key)
    assert "journal-contradicted" in await house.asked()
    deposit = await house.deposit(2 * COIN)
    await house.take_tariffs(COIN)
    await house.spend_vault(deposit, 2 * COIN, lines, CHANGE)
    assert not (await house.mine(2)).findings
    assert (await house.payout(key)).state is PayoutState.CONFIRMED
    assert await house.asked() == []


async def test_what_the_vault_paid_is_not_expected_of_the_float(house: Desk) -> None:
    deposit, lines = await house.ready(), await house.destinations()
    await house.order(lines)
    await house.spend_vault(deposit, 2 * COIN, lines, CHANGE)
    await house.mine(2)
    await house.post(paying.float_(house.asset), paying.company(house.asset), CENT)
    assert named(await house.compare_again()) == [(FindingKind.ENTRY_WITHOUT_CHAIN, "dep_nothing")]
