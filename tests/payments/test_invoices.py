"""Making, quoting, listing and marking invoices."""

import asyncio
from typing import Any

import pytest

from fixtures_payments import Shop
from holdfast.core.errors import HoldfastError
from holdfast.core.money import AmountMalformed, AmountTooPrecise
from holdfast.core.states import InvoiceState, TransitionForbidden
from holdfast.payments import invoices, invoicing
from holdfast.payments.catalogue import AssetNotListed
from holdfast.payments.currencies import CurrencyUnknown
from holdfast.payments.invoices import Filter, InvoiceMarkInvalid, InvoiceNotFound
from holdfast.payments.invoicing import (
    AssetNotAccepted,
    Created,
    InvoiceMalformed,
    InvoiceNotPayable,
    NewInvoice,
    ReferenceTaken,
)
from holdfast.payments.rates import RateUnavailable


async def test_a_fiat_price_is_quoted_rounded_up_with_its_rate_and_sources(shop: Shop) -> None:
    created = await shop.invoice(price="10.01", currency="EUR")
    (quote,) = created.quotes
    assert quote.due_units == 12_512_500
    assert quote.rate is not None
    assert quote.rate["sources"] == ["fixed"]
    third = await shop.invoice(price="0.01", currency="EUR")
    assert third.quotes[0].due_units == 12_500
    assert (await shop.invoice(price="1000", currency="JPY", pay_with=None)).invoice.price_units == 1000


async def test_a_price_in_the_asset_itself_needs_no_rate(shop: Shop) -> None:
    (quote,) = (await shop.invoice(price="0.5")).quotes
    assert (quote.due_units, quote.rate) == (50_000_000, None)


async def test_an_address_is_allocated_when_the_payer_picks_the_asset(shop: Shop) -> None:
    created = await shop.invoice(price="10", currency="EUR", pay_with=None)
    assert created.quotes == ()
    litecoin, bitcoin = (settings.network.coin.id for settings in shop.networks)
    one, other = await shop.quote(created, litecoin), await shop.quote(created, bitcoin)
    assert one.address.startswith("rltc1")
    assert other.address.startswith("bcrt1")
    assert await shop.quote(created, litecoin) == one


async def test_a_quote_that_ran_out_is_made_anew_on_the_same_address(shop: Shop) -> None:
    created = await shop.invoice(price="10", currency="EUR", expires_seconds=3600)
    (first,) = created.quotes
    shop.clock.pass_minutes(16)
    second = await shop.quote(created, first.asset)
    assert (second.version, second.address, second.valid_until > first.valid_until) == (2, first.address, True)


async def test_two_payers_screens_that_ask_at_once_get_one_quote(shop: Shop) -> None:
    await shop.pool.resize(8)
    await shop.pool.wait()  # so that all ask at the same moment, each on a connection of its own
    created = await shop.invoice(price="10", currency="EUR", pay_with=None)
    asset = created.invoice.assets[0]
    quotes = await asyncio.gather(*(shop.quote(created, asset) for _ in range(8)))
    assert all(each == quotes[0] for each in quotes)


@pytest.mark.parametrize(
    ("order", "error"),
    [
        ({"price": "0"}, InvoiceMalformed),
        ({"price": "-1"}, AmountMalformed),
        ({"price": "1e3"}, AmountMalformed),
        ({"price": "1.001", "currency": "EUR"}, AmountTooPrecise),
        ({"price": "1.5", "currency": "JPY"}, AmountTooPrecise),
        ({"currency": "XXX"}, CurrencyUnknown),
        ({"currency": "eip155:1/slip44:60"}, CurrencyUnknown),
        ({"currency": "USD"}, RateUnavailable),
        ({"assets": ["eip155:1/slip44:60"]}, AssetNotListed),
        ({"pay_with": "eip155:1/slip44:60"}, AssetNotAccepted),
        ({"reference": ""}, InvoiceMalformed),
        ({"reference": "x" * 501}, InvoiceMalformed),
        ({"description": "a\x00b"}, InvoiceMalformed),
        ({"redirect_url": "javascript:alert(1)"}, InvoiceMalformed),
        ({"metadata": {"x": "y" * 5000}}, InvoiceMalformed),
        ({"metadata": {"x": "\x00"}}, InvoiceMalformed),
        ({"expires_seconds": 0}, InvoiceMalformed),
    ],
)
async def test_a_malformed_invoice_is_refused_by_name(
    shop: Shop, order: dict[str, Any], error: type[HoldfastError]
) -> None:
    with pytest.raises(error):
        await shop.invoice(**order)
    async with shop.pool.connection() as conn:
        assert await invoices.page(conn, Filter(shop.merchant.id)) == []


async def test_a_batch_gives_each_its_own_outcome(shop: Shop) -> None:
    coin = shop.networks[0].network.coin.id
    now = shop.clock.now()
    orders = [NewInvoice("1", coin, pay_with=coin, reference=name) for name in ("a", "b", "a", "c")]
    drafts = [await invoicing.prepare(shop.desk, shop.merchant, order, now) for order in orders]
    async with shop.pool.connection() as conn, conn.transaction():
        outcomes = await invoicing.create(conn, drafts, now)
    assert [isinstance(each, Created) for each in outcomes].count(False) == 1
    assert isinstance(outcomes[0], ReferenceTaken) != isinstance(outcomes[2], ReferenceTaken)
    async with shop.pool.connection() as conn:
        assert len(await invoices.page(conn, Filter(shop.merchant.id))) == 3
    assert await shop.events() == ["invoice.created"] * 3


async def test_an_invoice_whose_time_is_over_is_not_quoted(shop: Shop) -> None:
    created = await shop.invoice(pay_with=None)
    shop.clock.pass_minutes(16)
    with pytest.raises(InvoiceNotPayable):
        await shop.quote(created, created.invoice.assets[0])
    assert await shop.expire() == 1
    assert await shop.stands(created) == ("expired", None)
    with pytest.raises(InvoiceNotPayable):
        await shop.quote(created, created.invoice.assets[0])


async def test_later_terms_change_no_earlier_invoice(shop: Shop) -> None:
    created = await shop.invoice()
    before = created.invoice.terms
    await shop.set_terms(type(before)(expires_minutes=1))
    async with shop.pool.connection() as conn:
        assert (await invoices.get(conn, created.invoice.id)).terms == before


async def test_invoices_are_listed_newest_first_by_state_and_page_by_page(shop: Shop) -> None:
    made = [(await shop.invoice(pay_with=None, reference=f"r{number}")).invoice.id for number in range(7)]
    async with shop.pool.connection() as conn, conn.transaction():
        await invoices.mark(conn, made[2], InvoiceState.SETTLED, shop.clock.now())
        await invoices.mark(conn, made[5], InvoiceState.INVALID, shop.clock.now())
    async with shop.pool.connection() as conn:

        async def listed(**wanted: Any) -> list[str]:
            found: list[str] = []
            while page := await invoices.page(
                conn, Filter(shop.merchant.id, after=found[-1] if found else None, limit=2, **wanted)
            ):
                found += [each.id for each in page]
            return found

        newest_first = sorted(made, reverse=True)  # ids of one millisecond are in no order of their own
        assert await listed() == newest_first
        assert await listed(states=[InvoiceState.NEW]) == [
            each for each in newest_first if each not in (made[2], made[5])
        ]
        assert await listed(states=[InvoiceState.SETTLED, InvoiceState.INVALID]) == sorted(
            (made[2], made[5]), reverse=True
        )
        assert await listed(reference="r3") == [made[3]]
        assert await invoices.page(conn, Filter("mer_other")) == []


async def test_a_person_marks_an_invoice_and_it_stays_marked(shop: Shop) -> None:
    created = await shop.invoice(pay_with=None)
    async with shop.pool.connection() as conn, conn.transaction():
        marked = await invoices.mark(conn, created.invoice.id, InvoiceState.SETTLED, shop.clock.now())
        assert (marked.state, marked.reason, marked.settled_at is not None) == ("settled", "marked", True)
        with pytest.raises(InvoiceMarkInvalid):
            await invoices.mark(conn, created.invoice.id, InvoiceState.NEW, shop.clock.now())
    shop.clock.pass_minutes(100)
    await shop.expire()
    assert await shop.stands(created) == ("settled", "marked")
    assert await shop.events() == ["invoice.created", "invoice.settled"]


async def test_another_merchants_invoice_is_not_there(shop: Shop) -> None:
    created = await shop.invoice(pay_with=None)
    async with shop.pool.connection() as conn:
        with pytest.raises(InvoiceNotFound):
            await invoices.get(conn, created.invoice.id, "mer_other")
        with pytest.raises(InvoiceNotFound):
            await invoices.mark(conn, created.invoice.id, InvoiceState.SETTLED, shop.clock.now(), "mer_other")


def test_no_move_leads_from_invalid_to_new() -> None:
    from holdfast.core.states import move_invoice

    with pytest.raises(TransitionForbidden):
        move_invoice(InvoiceState.INVALID, InvoiceState.NEW)
