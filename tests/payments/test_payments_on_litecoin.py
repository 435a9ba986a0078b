"""Money in on a real litecoind: from the invoice to the ledger, and back where the chain takes it back."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from fixtures_payments import Pool, Shop, bitcoin_settings, catch_up
from holdfast.chains.agreement import AgreeingNodes
from holdfast.chains.localnet import RegtestNode, litecoin_regtest
from holdfast.core.states import InvoiceState
from holdfast.payments import addresses, attention, invoices, steps
from holdfast.payments.addresses import StandingRequest
from holdfast.payments.deposits import Deposit
from holdfast.payments.standing import LateRule, Terms

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("litecoin")]

COIN = 100_000_000
CENT = 1_000_000


@pytest.fixture
async def shop(pool: Pool, index_pool: Pool, litecoin: RegtestNode) -> AsyncIterator[Shop]:
    opened = await Shop(pool, index_pool, [bitcoin_settings("litecoin-regtest", litecoin.rpc_url)]).open()
    yield opened
    await opened.close()


@pytest.fixture
async def second_litecoin(tmp_path: Path) -> AsyncIterator[RegtestNode]:
    """A litecoind of the test's own: to be stopped, killed, or taken far back."""
    async with litecoin_regtest(tmp_path / "litecoin") as node:
        yield node


async def test_a_payment_is_seen_then_credited_once_it_has_its_confirmations(shop: Shop, litecoin: RegtestNode) -> None:
    created = await shop.invoice(price="1")
    follower = shop.follower(litecoin.node())
    await catch_up(follower)
    await litecoin.send(created.quotes[0].address, COIN)
    await catch_up(follower)
    assert await shop.stands(created) == ("processing", None)
    await litecoin.mine(2)
    await catch_up(follower)
    assert await shop.stands(created) == ("processing", None)
    assert (await shop.balance()).available_units == 0
    await litecoin.mine(1)
    await catch_up(follower)
    assert await shop.stands(created) == ("settled", None)
    assert (await shop.balance()).available_units == COIN
    assert await shop.events() == [
        "invoice.created",
        "deposit.seen",
        "invoice.processing",
        "deposit.confirmed",
        "invoice.settled",
    ]
    assert await shop.is_balanced()


async def test_a_small_payment_needs_fewer_confirmations_than_a_large_one(shop: Shop, litecoin: RegtestNode) -> None:
    created = await shop.invoice(price="0.05")
    follower = shop.follower(litecoin.node())
    await catch_up(follower)
    await litecoin.send(created.quotes[0].address, 5 * CENT)
    await litecoin.mine(1)
    await catch_up(follower)
    assert await shop.stands(created) == ("settled", None)


async def test_the_tariff_goes_to_the_company(pool: Pool, index_pool: Pool, litecoin: RegtestNode) -> None:
    shop = await Shop(pool, index_pool, [bitcoin_settings("litecoin-regtest")]).open(tariff_basis_points=33)
    created = await shop.invoice(price="0.01")
    follower = shop.follower(litecoin.node())
    await catch_up(follower)
    await litecoin.send(created.quotes[0].address, CENT)
    await litecoin.mine(1)
    await catch_up(follower)
    (deposit,) = await shop.deposits()
    assert (deposit.tariff_units, (await shop.balance()).available_units) == (3_300, CENT - 3_300)
    assert await shop.is_balanced()
    await shop.close()


async def test_several_payments_settle_one_invoice(shop: Shop, litecoin: RegtestNode) -> None:
    created = await shop.invoice(price="0.03")
    follower = shop.follower(litecoin.node())
    await catch_up(follower)
    for _ in range(3):
        assert await shop.stands(created) in [("new", None), ("new", "underpaid")]
        await litecoin.send(created.quotes[0].address, CENT)
        await catch_up(follower)
    await litecoin.mine(1)
    await catch_up(follower)
    assert await shop.stands(created) == ("settled", None)
    assert len(await shop.deposits(created)) == 3


async def test_one_transaction_pays_two_invoices(shop: Shop, litecoin: RegtestNode) -> None:
    one, other = await shop.invoice(price="0.01"), await shop.invoice(price="0.02")
    follower = shop.follower(litecoin.node())
    await catch_up(follower)
    await litecoin.send_many({one.quotes[0].address: CENT, other.quotes[0].address: 2 * CENT})
    await litecoin.mine(1)
    await catch_up(follower)
    assert [await shop.stands(each) for each in (one, other)] == [("settled", None)] * 2
    first, second = await shop.deposits()
    assert first.transaction == second.transaction
    assert (await shop.balance()).available_units == 3 * CENT


async def test_too_much_is_credited_whole_and_a_person_is_asked(shop: Shop, litecoin: RegtestNode) -> None:
    created = await shop.invoice(price="0.01")
    follower = shop.follower(litecoin.node())
    await catch_up(follower)
    await litecoin.send(created.quotes[0].address, 2 * CENT)
    await litecoin.mine(1)
    await catch_up(follower)
    assert await shop.stands(created) == ("settled", "overpaid")
    assert (await shop.balance()).available_units == 2 * CENT
    assert await shop.asked() == ["overpaid"]


async def test_too_little_is_credited_and_expires_as_underpaid(shop: Shop, litecoin: RegtestNode) -> None:
    created = await shop.invoice(price="0.02")
    follower = shop.follower(litecoin.node())
    await catch_up(follower)
    await litecoin.send(created.quotes[0].address, CENT)
    await litecoin.mine(1)
    await catch_up(follower)
    shop.clock.pass_minutes(16)
    assert await shop.expire() == 0, "the network has not been read past the invoice's expiry yet"
    await catch_up(follower)
    assert await shop.expire() == 1
    assert await shop.stands(created) == ("expired", "underpaid")
    assert (await shop.balance()).available_units == CENT
    assert await shop.asked() == ["underpaid"]


@pytest.mark.parametrize(
    ("rule", "stands", "asked"),
    [
        (LateRule.SETTLE, ("settled", "late"), []),
        (LateRule.CREDIT, ("expired", "late"), []),
        (LateRule.ATTENTION, ("expired", "late"), ["late"]),
    ],
)
async def test_a_late_payment_is_credited_and_does_what_the_rule_says(
    shop: Shop, litecoin: RegtestNode, rule: LateRule, stands: tuple[str, str], asked: list[str]
) -> None:
    await shop.set_terms(Terms(late=rule))
    created = await shop.invoice(price="0.01")
    follower = shop.follower(litecoin.node())
    shop.clock.pass_minutes(16)
    await catch_up(follower)
    assert await shop.expire() == 1
    await litecoin.send(created.quotes[0].address, CENT)
    await litecoin.mine(1)
    await catch_up(follower)
    assert await shop.stands(created) == stands
    assert await shop.asked() == asked
    assert (await shop.balance()).available_units == CENT


async def test_a_payment_mined_in_time_but_read_late_counts(shop: Shop, litecoin: RegtestNode) -> None:
    created = await shop.invoice(price="0.01")
    await catch_up(shop.follower(litecoin.node()))
    await litecoin.send(created.quotes[0].address, CENT)
    await litecoin.mine(1)
    shop.clock.pass_minutes(60)
    assert await shop.expire() == 0
    await catch_up(shop.follower(litecoin.node()))
    await shop.expire()
    assert await shop.stands(created) == ("settled", None)


async def test_a_network_in_trouble_expires_nothing(shop: Shop, second_litecoin: RegtestNode) -> None:
    created = await shop.invoice(price="0.01")
    follower = shop.follower(second_litecoin.node())
    await catch_up(follower)
    await second_litecoin.send(created.quotes[0].address, CENT)
    await second_litecoin.mine(1)
    await second_litecoin.stop()
    shop.clock.pass_minutes(60)
    assert await follower.turn() > 0
    assert await shop.trouble(shop.networks[0].network.id) == "node-unreachable"
    assert await shop.expire() == 0
    assert await shop.stands(created) == ("new", None)
    await second_litecoin.start()
    while await shop.trouble(shop.networks[0].network.id):
        await follower.turn()
    await catch_up(follower)
    assert await shop.stands(created) == ("settled", None)


async def test_a_reorganised_deposit_is_taken_back_and_credited_once_when_it_returns(
    shop: Shop, litecoin: RegtestNode
) -> None:
    created = await shop.invoice(price="0.01")
    follower = shop.follower(litecoin.node())
    await catch_up(follower)
    await litecoin.send(created.quotes[0].address, CENT)
    await litecoin.mine(1)
    await catch_up(follower)
    assert await shop.stands(created) == ("settled", None)
    await litecoin.reorganise(1, with_transactions=False)
    await catch_up(follower)
    assert await shop.stands(created) == ("processing", "reorged")
    assert (await shop.balance()).available_units == 0
    assert await shop.asked() == ["deposit-reorged"]
    await litecoin.mine(1)
    await catch_up(follower)
    assert await shop.stands(created) == ("settled", None)
    balance = await shop.balance()
    assert (balance.available_units, balance.owed_units) == (CENT, 0)
    (deposit,) = await shop.deposits()
    assert (deposit.state, deposit.times_confirmed) == ("confirmed", 2)
    assert await shop.is_balanced()


async def test_what_was_spent_of_a_reorganised_deposit_is_owed_and_repaid_first(
    shop: Shop, litecoin: RegtestNode
) -> None:
    created, next_one = await shop.invoice(price="0.05"), await shop.invoice(price="0.04")
    follower = shop.follower(litecoin.node())
    await catch_up(follower)
    txid = await litecoin.send(created.quotes[0].address, 5 * CENT)
    await litecoin.mine(1)
    await catch_up(follower)
    await shop.spend(3 * CENT)
    await litecoin.invalidate(await litecoin.best_hash())
    await litecoin.double_spend(txid)
    await litecoin.mine(2)
    await catch_up(follower)
    balance = await shop.balance()
    assert (balance.available_units, balance.owed_units) == (0, 3 * CENT)
    assert await shop.stands(created) == ("new", "reorged")
    await litecoin.send(next_one.quotes[0].address, 4 * CENT)
    await litecoin.mine(1)
    await catch_up(follower)
    balance = await shop.balance()
    assert (balance.available_units, balance.owed_units) == (CENT, 0)
    assert await shop.is_balanced()


async def test_a_replaced_payment_counts_once(shop: Shop, litecoin: RegtestNode) -> None:
    created = await shop.invoice(price="0.01")
    follower = shop.follower(litecoin.node())
    await catch_up(follower)
    txid = await litecoin.send(created.quotes[0].address, CENT)
    await catch_up(follower)
    await litecoin.bump(txid)
    await catch_up(follower)
    await litecoin.mine(1)
    await catch_up(follower)
    assert sorted(each.state.value for each in await shop.deposits(created)) == ["confirmed", "reorged"]
    assert await shop.stands(created) == ("settled", None)
    assert (await shop.balance()).available_units == CENT


async def test_a_double_spent_payment_counts_no_more(shop: Shop, litecoin: RegtestNode) -> None:
    created = await shop.invoice(price="0.01")
    follower = shop.follower(litecoin.node())
    await catch_up(follower)
    txid = await litecoin.send(created.quotes[0].address, CENT)
    await catch_up(follower)
    assert await shop.stands(created) == ("processing", None)
    await litecoin.double_spend(txid)
    await catch_up(follower)
    assert await shop.stands(created) == ("new", "reorged")
    await litecoin.mine(1)
    await catch_up(follower)
    assert (await shop.balance()).available_units == 0
    assert "deposit.reorged" in await shop.events()


async def test_dust_is_shown_and_not_credited(pool: Pool, index_pool: Pool, litecoin: RegtestNode) -> None:
    settings = bitcoin_settings("litecoin-regtest", minimum_deposits={"rLTC": "0.001"})
    shop = await Shop(pool, index_pool, [settings]).open()
    created = await shop.invoice(price="0.0001")
    follower = shop.follower(litecoin.node())
    await catch_up(follower)
    await litecoin.send(created.quotes[0].address, 10_000)
    await litecoin.mine(3)
    await catch_up(follower)
    (deposit,) = await shop.deposits()
    assert (deposit.state, deposit.below_minimum) == ("seen", True)
    assert (await shop.balance()).available_units == 0
    assert await shop.asked() == ["below-minimum"]
    assert await shop.stands(created) == ("new", None)
    await shop.close()


async def test_a_held_deposit_waits_for_a_person(shop: Shop, litecoin: RegtestNode) -> None:
    async def screen(_deposit: Deposit) -> str | None:
        return "on a list"

    one, other = await shop.invoice(price="0.01"), await shop.invoice(price="0.01")
    follower = shop.follower(litecoin.node())
    follower.work = replace(follower.work, screen=screen)
    await catch_up(follower)
    await litecoin.send_many({one.quotes[0].address: CENT, other.quotes[0].address: CENT})
    await litecoin.mine(1)
    await catch_up(follower)
    assert await shop.asked() == ["deposit-held", "deposit-held"]
    assert await shop.stands(one) == ("processing", None)
    (kept,), (refused,) = await shop.deposits(one), await shop.deposits(other)
    async with shop.pool.connection() as conn, conn.transaction():
        await steps.release(conn, kept.id, "officer", shop.clock.now())
        await steps.give_back(conn, refused.id, "officer", shop.clock.now())
    assert await shop.stands(one) == ("settled", None)
    assert await shop.stands(other) == ("new", None)
    assert (await shop.balance()).available_units == CENT
    assert await shop.asked() == []


async def test_two_followers_of_one_network_credit_once(shop: Shop, litecoin: RegtestNode) -> None:
    created = await shop.invoice(price="0.01")
    one, other = shop.follower(litecoin.node()), shop.follower(litecoin.node())
    await catch_up(one)
    await catch_up(other)
    await litecoin.send(created.quotes[0].address, CENT)
    await litecoin.mine(2)
    await asyncio.gather(catch_up(one), catch_up(other))
    assert (await shop.balance()).available_units == CENT
    assert (await shop.events()).count("deposit.confirmed") == 1


async def test_a_reorganisation_deeper_than_finality_stops_the_network_and_calls_a_person(
    pool: Pool, index_pool: Pool, second_litecoin: RegtestNode
) -> None:
    settings = bitcoin_settings("litecoin-regtest", finality_depth=3)
    shop = await Shop(pool, index_pool, [settings]).open()
    follower = shop.follower(second_litecoin.node())
    await catch_up(follower)
    await second_litecoin.mine(4)
    await catch_up(follower)
    await second_litecoin.reorganise(4)
    await follower.turn()
    assert await shop.trouble(settings.network.id) == "finality-violated"
    async with pool.connection() as conn:
        assert [item.reason for item in await attention.page(conn, None)] == ["network-trouble"]
    await shop.close()


async def test_a_node_killed_between_two_steps_changes_nothing(shop: Shop, second_litecoin: RegtestNode) -> None:
    created = await shop.invoice(price="0.01")
    follower = shop.follower(second_litecoin.node())
    await catch_up(follower)
    await second_litecoin.send(created.quotes[0].address, CENT)
    await second_litecoin.mine(1)
    await second_litecoin.flush()
    await second_litecoin.kill()
    assert await follower.turn() > 0
    await second_litecoin.start()
    while await shop.stands(created) != ("settled", None):
        await follower.turn()
    assert (await shop.balance()).available_units == CENT


async def test_nodes_that_disagree_credit_nothing(
    shop: Shop, litecoin: RegtestNode, second_litecoin: RegtestNode
) -> None:
    """The other node has never heard of the blocks: no more is believed than both tell."""
    created = await shop.invoice(price="0.01")
    both = AgreeingNodes([litecoin.node(), second_litecoin.node()])
    follower = shop.follower(both)
    await litecoin.send(created.quotes[0].address, CENT)
    await litecoin.mine(1)
    for _ in range(3):
        await follower.turn()
    assert await shop.trouble(shop.networks[0].network.id) == "nodes-disagree"
    assert (await shop.balance()).available_units == 0
    async with shop.pool.connection() as conn:
        assert [item.reason for item in await attention.page(conn, None)] == ["network-trouble"]


async def test_a_standing_address_is_paid_again_and_again(shop: Shop, litecoin: RegtestNode) -> None:
    request = StandingRequest(shop.merchant.id, shop.networks[0].network.id, "customer 7")
    made = await addresses.standing(shop.pool, shop.catalogue, shop.desk.indexes, request, shop.clock.now())
    follower = shop.follower(litecoin.node())
    await catch_up(follower)
    for _ in range(2):
        await litecoin.send(made.address, CENT)
        await litecoin.mine(1)
        await catch_up(follower)
    assert (await shop.balance()).available_units == 2 * CENT
    assert await shop.asked() == []
    async with shop.pool.connection() as conn:
        await addresses.close(conn, made.network, made.address, shop.merchant.id, shop.clock.now())
    await litecoin.send(made.address, CENT)
    await litecoin.mine(1)
    await catch_up(follower)
    assert (await shop.balance()).available_units == 3 * CENT
    assert await shop.asked() == ["address-closed"]


async def test_money_for_an_invoice_that_nobody_watches_any_more_is_credited_and_asked_about(
    shop: Shop, litecoin: RegtestNode
) -> None:
    await shop.set_terms(Terms(late=LateRule.SETTLE, monitoring_minutes=60))
    created = await shop.invoice(price="0.01")
    follower = shop.follower(litecoin.node())
    shop.clock.pass_minutes(120)
    await catch_up(follower)
    await shop.expire()
    await litecoin.send(created.quotes[0].address, CENT)
    await litecoin.mine(1)
    await catch_up(follower)
    assert await shop.stands(created) == ("expired", "late")
    assert (await shop.balance()).available_units == CENT
    assert await shop.asked() == ["after-monitoring"]


async def test_what_a_person_has_resolved_is_not_asked_again_when_the_deposit_confirms(
    shop: Shop, litecoin: RegtestNode
) -> None:
    created = await shop.invoice(price="0.01")
    follower = shop.follower(litecoin.node())
    shop.clock.pass_minutes(16)
    await catch_up(follower)
    await shop.expire()
    await litecoin.send(created.quotes[0].address, CENT)
    await catch_up(follower)
    assert await shop.asked() == ["late"]
    async with shop.pool.connection() as conn:
        (item,) = await attention.page(conn, shop.merchant.id)
        await attention.resolve(conn, item.id, attention.Resolution("shipped", "anna"), shop.clock.now())
    await litecoin.mine(1)
    await catch_up(follower)
    assert (await shop.balance()).available_units == CENT
    assert await shop.asked() == []


async def test_a_payment_to_an_invoice_marked_invalid_is_credited_and_asked_about(
    shop: Shop, litecoin: RegtestNode
) -> None:
    created = await shop.invoice(price="0.01")
    async with shop.pool.connection() as conn, conn.transaction():
        await invoices.mark(conn, created.invoice.id, InvoiceState.INVALID, shop.clock.now())
    follower = shop.follower(litecoin.node())
    await catch_up(follower)
    await litecoin.send(created.quotes[0].address, CENT)
    await litecoin.mine(1)
    await catch_up(follower)
    assert await shop.stands(created) == ("invalid", "marked")
    assert (await shop.balance()).available_units == CENT
    assert await shop.asked() == ["after-mark"]
