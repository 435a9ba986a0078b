"""Events: one order that never changes, complete for whoever comes back with the last id he got."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from hashlib import sha256

import pytest
from psycopg import AsyncConnection

from fixtures_payments import Shop
from holdfast.payments import attention, events, idempotency
from holdfast.payments.attention import Ask, AttentionItemNotFound, AttentionItemResolved, Resolution
from holdfast.payments.events import EventNotFound, EventType, News
from holdfast.payments.idempotency import Answer, Claim, IdempotencyKeyReused
from holdfast.payments.standing import AttentionReason


def news(shop: Shop, subject: str) -> News:
    return News(shop.merchant.id, EventType.INVOICE_UPDATED, subject, {"subject": subject})


async def test_a_reader_misses_nothing_however_transactions_overlap(shop: Shop, database: object) -> None:
    """Each writer takes its sequence numbers, waits, and commits out of order; the reader reads all the while."""
    read: list[str] = []
    done = asyncio.Event()

    async def write(number: int) -> None:
        async with await AsyncConnection.connect(database.url) as conn:  # type: ignore[attr-defined]  the fixture's
            await events.emit(conn, [news(shop, f"{number}.1")], shop.clock.now())
            await asyncio.sleep((7 - number % 8) / 200)
            await events.emit(conn, [news(shop, f"{number}.2")], shop.clock.now())

    async def read_along() -> None:
        last: str | None = None
        while not (done.is_set() and len(read) == 48):
            async with shop.pool.connection() as conn:
                page = await events.page(conn, shop.merchant.id, after=last, limit=5)
            read.extend(event.subject for event in page)
            last = page[-1].id if page else last
            await asyncio.sleep(0)

    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        tasks.create_task(read_along())
        await asyncio.gather(*(write(number) for number in range(24)))
        done.set()
    assert sorted(read) == sorted(f"{number}.{part}" for number in range(24) for part in (1, 2))


async def test_transaction_ids_are_ordered_as_numbers_whatever_their_length(shop: Shop, database: object) -> None:
    async with shop.pool.connection() as conn:
        await events.emit(conn, [news(shop, str(number)) for number in range(12)], shop.clock.now())
    async with await AsyncConnection.connect(database.owner_url) as owner:  # type: ignore[attr-defined]  the fixture's
        await owner.execute("UPDATE payments.events SET made_by = (subject::int + 3)::text::xid8")
    async with shop.pool.connection() as conn:
        read = await events.page(conn, shop.merchant.id, limit=20)
    assert [event.subject for event in read] == [str(number) for number in range(12)]


async def test_events_of_a_transaction_that_fails_never_happened(shop: Shop) -> None:
    with suppress(ZeroDivisionError):
        async with shop.pool.connection() as conn, conn.transaction():
            await events.emit(conn, [news(shop, "a")], shop.clock.now())
            raise ZeroDivisionError
    assert await shop.events() == []


async def test_another_merchants_event_is_no_place_to_begin(shop: Shop) -> None:
    async with shop.pool.connection() as conn:
        (event_id,) = await events.emit(conn, [news(shop, "a")], shop.clock.now())
        with pytest.raises(EventNotFound):
            await events.page(conn, "mer_other", after=event_id)


async def test_a_new_follower_of_events_begins_now(shop: Shop) -> None:
    async with shop.pool.connection() as conn:
        await events.emit(conn, [news(shop, "before")], shop.clock.now())
    async with shop.pool.connection() as conn:
        place = await events.latest(conn)
    async with shop.pool.connection() as conn:
        await events.emit(conn, [news(shop, "after")], shop.clock.now())
    async with shop.pool.connection() as conn:
        (event,) = await events.since(conn, place)
        assert event.subject == "after"
        assert [each.subject for each in await events.about(conn, "before")] == ["before"]


async def test_every_endpoint_that_wants_an_event_gets_a_delivery_with_it(shop: Shop) -> None:
    async with shop.pool.connection() as conn:
        for name, types in (("all", []), ("mine", ["invoice.updated"]), ("other", ["invoice.settled"])):
            await conn.execute(
                """
                INSERT INTO payments.webhook_endpoints (id, merchant_id, url, types, secret)
                VALUES (%s, %s, '', %s, '')
                """,
                (name, shop.merchant.id, types),
            )
        await events.emit(conn, [news(shop, "a"), news(shop, "b")], shop.clock.now())
        cursor = await conn.execute("SELECT endpoint_id FROM payments.deliveries ORDER BY 1")
        assert [row[0] for row in await cursor.fetchall()] == ["all", "all", "mine", "mine"]


async def test_one_question_is_asked_once_until_it_is_resolved(shop: Shop) -> None:
    async with shop.pool.connection() as conn:
        ask = Ask(shop.merchant.id, AttentionReason.LATE, "dep_1")
        (item,) = await attention.ask(conn, [ask, ask], shop.clock.now())
        assert await attention.ask(conn, [ask], shop.clock.now()) == []
        resolution = Resolution("refunded by hand", "anna")
        with pytest.raises(AttentionItemNotFound):
            await attention.resolve(conn, item.id, resolution, shop.clock.now(), "mer_other")
        await attention.resolve(conn, item.id, resolution, shop.clock.now())
        with pytest.raises(AttentionItemResolved):
            await attention.resolve(conn, item.id, resolution, shop.clock.now())
        assert len(await attention.ask(conn, [ask], shop.clock.now())) == 1
    assert await shop.events() == ["attention.opened", "attention.resolved", "attention.opened"]


def claims(body: str = "x") -> Iterator[Claim]:
    while True:
        yield Claim("mer_1", "key", sha256(body.encode()).digest())


async def test_the_same_key_and_request_get_the_same_answer_and_another_request_a_refusal(shop: Shop) -> None:
    claim, now = next(claims()), shop.clock.now()
    async with shop.pool.connection() as conn:
        assert await idempotency.claim(conn, [claim], now) == [None]
        await idempotency.answer(conn, [(claim, Answer(201, b"made"))])
    async with shop.pool.connection() as conn:
        (again, other) = await idempotency.claim(conn, [claim, claim], now)
        assert again == other == Answer(201, b"made")
        (refused,) = await idempotency.claim(conn, [next(claims("y"))], now)
        assert isinstance(refused, IdempotencyKeyReused)
        assert await idempotency.find(conn, claim) == Answer(201, b"made")
        assert await idempotency.forget_old(conn, now + timedelta(days=8)) == 1


async def test_a_request_that_comes_while_its_twin_is_being_done_waits_for_the_answer(shop: Shop) -> None:
    claim, now = next(claims()), shop.clock.now()
    claimed = asyncio.Event()

    async def first() -> None:
        async with shop.pool.connection() as conn, conn.transaction():
            assert await idempotency.claim(conn, [claim], now) == [None]
            claimed.set()
            await asyncio.sleep(0.05)
            await idempotency.answer(conn, [(claim, Answer(201, b"made"))])

    async def second() -> object:
        await claimed.wait()
        async with shop.pool.connection() as conn, conn.transaction():
            (outcome,) = await idempotency.claim(conn, [claim], now)
            return outcome

    _, outcome = await asyncio.gather(first(), second())
    assert outcome == Answer(201, b"made")
