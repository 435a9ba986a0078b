"""No two addresses share an index, whoever asks how often at once, and every one is watched before it is shown."""

import asyncio

import pytest
from psycopg import AsyncConnection

from fixtures_payments import Pool, Shop
from holdfast.payments import addresses
from holdfast.payments.addresses import AddressFilter, AddressNotFound, CustomerInvalid, StandingRequest
from holdfast.payments.indexes import Indexes, IndexesUsedUp, MerchantClosed
from holdfast.payments.watching import Watching


async def standing(shop: Shop, customer: str | None = None) -> addresses.Address:
    request = StandingRequest(shop.merchant.id, shop.networks[0].network.id, customer)
    return await addresses.standing(shop.pool, shop.catalogue, shop.desk.indexes, request, shop.clock.now())


async def test_concurrent_processes_never_take_the_same_index(shop: Shop, pool: Pool) -> None:
    network, now = shop.networks[0].network.id, shop.clock.now()
    processes = [shop.desk.indexes, Indexes(pool), Indexes(pool)]
    slots = await asyncio.gather(*(each.take(shop.merchant.id, network, now) for _ in range(200) for each in processes))
    assert len({slot.index for slot in slots}) == 600


async def test_an_index_is_never_used_again_after_a_crash(shop: Shop, pool: Pool) -> None:
    network, now = shop.networks[0].network.id, shop.clock.now()
    before = [await Indexes(pool).take(shop.merchant.id, network, now) for _ in range(5)]
    assert len({slot.index for slot in before}) == 5


async def test_a_range_that_is_nearly_used_up_calls_a_person_and_one_that_is_gives_a_named_error(
    shop: Shop,
) -> None:
    network = shop.networks[0].network.id
    async with shop.pool.connection() as conn:
        await conn.execute(
            "UPDATE payments.address_ranges SET index_next = index_to - 2 WHERE merchant_id = %s AND network = %s",
            (shop.merchant.id, network),
        )
    await standing(shop)
    await standing(shop)
    assert await shop.asked() == ["indexes-scarce"]
    with pytest.raises(IndexesUsedUp):
        await standing(shop)


async def test_a_closed_merchant_gets_no_address(shop: Shop) -> None:
    async with shop.pool.connection() as conn:
        await conn.execute("UPDATE payments.merchants SET state = 'closed'")
    with pytest.raises(MerchantClosed):
        await standing(shop)


async def test_a_customer_always_gets_the_same_address(shop: Shop) -> None:
    made = await asyncio.gather(*(standing(shop, "customer 7") for _ in range(10)))
    assert len({each.address for each in made}) == 1
    assert (await standing(shop, "customer 8")).address != made[0].address
    assert (await standing(shop)).address != (await standing(shop)).address


@pytest.mark.parametrize("customer", ["", "x" * 201, "a\x00", "line\nbreak"])
async def test_a_customer_that_cannot_be_named_is_refused(shop: Shop, customer: str) -> None:
    with pytest.raises(CustomerInvalid):
        await standing(shop, customer)


async def test_standing_addresses_are_listed_and_closed(shop: Shop) -> None:
    made = [await standing(shop, f"customer {number}") for number in range(5)]
    network = shop.networks[0].network.id
    async with shop.pool.connection() as conn:
        first = await addresses.page(conn, AddressFilter(shop.merchant.id, network, limit=3))
        rest = await addresses.page(conn, AddressFilter(shop.merchant.id, network, after_index=first[-1].index))
        assert [each.address for each in [*first, *rest]] == [each.address for each in reversed(made)]
        closed = await addresses.close(conn, network, made[0].address, shop.merchant.id, shop.clock.now())
        assert closed.closed_at is not None
        with pytest.raises(AddressNotFound):
            await addresses.close(conn, network, made[1].address, "mer_other", shop.clock.now())


async def test_an_invoices_address_is_watched_as_soon_as_it_is_shown_whatever_else_is_open(
    shop: Shop, database: object
) -> None:
    """Transactions that began earlier and are still open hold back the horizon; they must not hold back the watch."""
    watching = Watching(shop.pool, shop.catalogue.networks[shop.networks[0].network.id])
    await watching.fresh()
    async with await AsyncConnection.connect(database.url) as slow:  # type: ignore[attr-defined]  the fixture's
        cursor = await slow.execute("SELECT pg_current_xact_id()")
        await cursor.fetchone()
        for _ in range(3):
            (quote,) = (await shop.invoice()).quotes
            assert quote.address in (await watching.fresh()).addresses


async def test_an_address_that_is_committed_late_is_watched_although_later_ones_were_read_before(
    shop: Shop, database: object
) -> None:
    watching = Watching(shop.pool, shop.catalogue.networks[shop.networks[0].network.id])
    network = shop.networks[0].network.id
    async with await AsyncConnection.connect(database.url) as slow:  # type: ignore[attr-defined]  the fixture's
        new = addresses.NewAddress(network, "slow", shop.merchant.id, 2**21 - 1)
        await addresses.insert(slow, [new], shop.clock.now())
        for _ in range(3):
            await shop.invoice()
            assert "slow" not in (await watching.fresh()).addresses
        await slow.commit()
    assert "slow" in (await watching.fresh()).addresses
