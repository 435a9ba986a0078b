"""Webhook endpoints: whose they are, what of them is secret, and which events become deliveries."""

import asyncio
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from http.server import HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from fixtures_payments import Shop
from holdfast.core.errors import HoldfastError
from holdfast.payments import events, webhooks
from holdfast.payments.events import EventNotFound, EventType, News
from holdfast.payments.guarded_http import AddressForbidden, UrlNotHttps
from holdfast.payments.webhooks import (
    ENDPOINTS_MAX,
    Endpoint,
    EndpointNotFound,
    NewEndpoint,
    Range,
    Sealer,
    TooManyEndpoints,
    WebhookKeyMalformed,
    WebhookKeyWrong,
    parse_key,
)
from holdfast.runtime.standard_webhooks import signed_headers

KEY = bytes(range(32))
SEALER = Sealer(KEY)
URL = "https://shop.example/hook"


async def endpoint(shop: Shop, *types: EventType) -> tuple[Endpoint, str]:
    async with shop.pool.connection() as conn:
        return await webhooks.create(conn, NewEndpoint(shop.merchant.id, URL, types), SEALER, shop.clock.now())


async def happen(shop: Shop, count: int = 1, kind: EventType = EventType.INVOICE_SETTLED) -> list[str]:
    async with shop.pool.connection() as conn:
        news = [News(shop.merchant.id, kind, f"inv_{n}", {}) for n in range(count)]
        return await events.emit(conn, news, shop.clock.now())


async def queued(shop: Shop, one: Endpoint) -> list[str]:
    """The events on their way to an endpoint, newest delivery first, read page by page."""
    found: list[str] = []
    after = None
    async with shop.pool.connection() as conn:
        while page := await webhooks.deliveries(conn, one.id, after=after, limit=2):
            found += [each.event_id for each in page]
            after = page[-1].id
    return found


async def test_an_endpoint_gets_the_types_that_it_asked_for(shop: Shop) -> None:
    one, _ = await endpoint(shop, EventType.DEPOSIT_SEEN)
    every, _ = await endpoint(shop)
    settled = await happen(shop)
    seen = await happen(shop, kind=EventType.DEPOSIT_SEEN)
    assert await queued(shop, one) == seen
    assert sorted(await queued(shop, every)) == sorted(settled + seen)


async def test_a_secret_is_sealed_in_the_database_and_opens_only_with_the_key(shop: Shop) -> None:
    one, secret = await endpoint(shop)
    async with shop.pool.connection() as conn:
        cursor = await conn.execute("SELECT secret FROM payments.webhook_endpoints")
        [[sealed]] = await cursor.fetchall()
    assert SEALER.unseal(one.id, sealed) not in sealed
    assert secret.removeprefix("whsec_").encode() not in sealed
    for sealer, owner in ((Sealer(bytes(32)), one.id), (SEALER, "whe_other")):
        with pytest.raises(WebhookKeyWrong):
            sealer.unseal(owner, sealed)
    assert KEY.hex() not in repr(SEALER)
    assert secret not in repr(one)


@pytest.mark.parametrize("text", ["", "xyz", "ab" * 31, "ab" * 33, "ab" * 31 + "g0"])
def test_a_key_that_is_no_key_is_refused_and_not_shown(text: str) -> None:
    assert parse_key(KEY.hex()) == KEY
    with pytest.raises(WebhookKeyMalformed) as refusal:
        parse_key(text)
    assert "ab" not in str(refusal.value.detail)


async def test_two_endpoints_and_two_rotations_have_different_secrets(shop: Shop) -> None:
    one, first = await endpoint(shop)
    _, second = await endpoint(shop)
    async with shop.pool.connection() as conn:
        rotated, third = await webhooks.rotate(conn, one.id, shop.merchant.id, SEALER, shop.clock.now())
        _, fourth = await webhooks.rotate(conn, one.id, shop.merchant.id, SEALER, shop.clock.now())
    assert len({first, second, third, fourth}) == 4
    assert rotated.old_secret_until is not None
    assert rotated.old_secret_until > shop.clock.now()


async def test_a_merchant_sees_and_changes_only_his_own_endpoints(shop: Shop) -> None:
    one, _ = await endpoint(shop)
    now = shop.clock.now()
    async with shop.pool.connection() as conn:
        for work in (
            webhooks.get(conn, one.id, "mer_other"),
            webhooks.rotate(conn, one.id, "mer_other", SEALER, now),
            webhooks.disable(conn, one.id, "mer_other", now),
            webhooks.enable(conn, one.id, "mer_other"),
            webhooks.delete(conn, one.id, "mer_other"),
        ):
            with pytest.raises(EndpointNotFound):
                await work
        assert await webhooks.page(conn, "mer_other") == []
        assert await webhooks.page(conn, shop.merchant.id) == [one]


async def test_a_disabled_endpoint_gets_nothing_new_until_it_is_enabled(shop: Shop) -> None:
    one, _ = await endpoint(shop)
    before = await happen(shop)
    async with shop.pool.connection() as conn:
        disabled = await webhooks.disable(conn, one.id, shop.merchant.id, shop.clock.now())
        again = await webhooks.disable(conn, one.id, shop.merchant.id, shop.clock.now() + timedelta(hours=1))
    assert disabled.disabled_at is not None
    assert disabled == again
    await happen(shop)
    assert await queued(shop, one) == before
    async with shop.pool.connection() as conn:
        assert (await webhooks.enable(conn, one.id, shop.merchant.id)).disabled_at is None
    after = await happen(shop)
    assert await queued(shop, one) == after + before


async def test_what_is_sent_again_is_listed_as_the_newest(shop: Shop) -> None:
    one, _ = await endpoint(shop)
    ids = []
    for _ in range(3):
        ids += await happen(shop)
        shop.clock.pass_minutes(1)
    async with shop.pool.connection() as conn:
        assert await webhooks.replay(conn, one, Range(event_id=ids[1]), shop.clock.now()) == 1
    assert await queued(shop, one) == [ids[1], *reversed(ids)]


async def test_a_span_of_time_is_sent_again_from_its_beginning_to_before_its_end(shop: Shop) -> None:
    one, _ = await endpoint(shop, EventType.INVOICE_SETTLED)
    start = shop.clock.now()
    shop.clock.pass_minutes(1)
    ids = await happen(shop, 2)
    await happen(shop, 1, EventType.DEPOSIT_SEEN)  # it wants no such events
    middle = shop.clock.now()
    shop.clock.pass_minutes(1)
    await happen(shop, 4)
    async with shop.pool.connection() as conn:
        assert await webhooks.replay(conn, one, Range(since=start, until=middle), shop.clock.now()) == 2
        assert await webhooks.replay(conn, one, Range(since=middle, until=start), shop.clock.now()) == 0
    assert sorted((await queued(shop, one))[:2]) == sorted(ids)


async def test_an_event_that_is_named_is_sent_whatever_its_type_and_must_be_ones_own(shop: Shop) -> None:
    one, _ = await endpoint(shop, EventType.INVOICE_SETTLED)
    [mine] = await happen(shop, 1, EventType.DEPOSIT_SEEN)
    stranger = await shop.enrol()
    async with shop.pool.connection() as conn:
        [foreign] = await events.emit(conn, [News(stranger.id, EventType.INVOICE_SETTLED, "x", {})], shop.clock.now())
        assert await webhooks.replay(conn, one, Range(event_id=mine), shop.clock.now()) == 1
        for unknown in (foreign, "evt_unknown"):
            with pytest.raises(EventNotFound):
                await webhooks.replay(conn, one, Range(event_id=unknown), shop.clock.now())
    assert await queued(shop, one) == [mine]


async def test_an_endpoint_deleted_while_events_are_written_breaks_neither(shop: Shop) -> None:
    """The writer has seen the endpoint and not yet committed: the deletion waits, and takes the delivery along."""
    one, _ = await endpoint(shop)
    async with shop.pool.connection() as writer, shop.pool.connection() as deleter:
        async with writer.transaction():
            await events.emit(writer, [News(shop.merchant.id, EventType.INVOICE_SETTLED, "x", {})], shop.clock.now())
            deleting = asyncio.create_task(webhooks.delete(deleter, one.id, shop.merchant.id))
            await _waits(shop)
            assert not deleting.done()
        await deleting
    assert len(await shop.events()) == 1
    assert await queued(shop, one) == []


async def test_events_written_while_an_endpoint_is_deleted_are_written_without_it(shop: Shop) -> None:
    """The deletion is not committed yet: the money's transaction waits for it, and does not fail because of it."""
    one, _ = await endpoint(shop)
    async with shop.pool.connection() as deleter:
        async with deleter.transaction():
            await webhooks.delete(deleter, one.id, shop.merchant.id)
            writing = asyncio.create_task(happen(shop))
            await _waits(shop)
        assert len(await writing) == 1
    assert await queued(shop, one) == []


async def _waits(shop: Shop) -> None:
    """Until somebody in this database waits for a lock."""
    async with shop.pool.connection() as conn, asyncio.timeout(10):
        while True:
            cursor = await conn.execute(
                """
                SELECT count(*) FROM pg_stat_activity
                WHERE datname = current_database() AND wait_event_type = 'Lock'
                """
            )
            row = await cursor.fetchone()
            if row and row[0]:
                return
            await conn.rollback()
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("url", "refusal"), [("http://shop.example/", UrlNotHttps), ("https://10.0.0.1/", AddressForbidden)]
)
async def test_a_hostile_endpoint_is_not_registered(shop: Shop, url: str, refusal: type[HoldfastError]) -> None:
    async with shop.pool.connection() as conn:
        with pytest.raises(refusal):
            await webhooks.create(conn, NewEndpoint(shop.merchant.id, url), SEALER, shop.clock.now())
        assert await webhooks.page(conn, shop.merchant.id) == []


async def test_there_is_an_end_to_endpoints(shop: Shop) -> None:
    for _ in range(ENDPOINTS_MAX):
        await endpoint(shop)
    with pytest.raises(TooManyEndpoints):
        await endpoint(shop)


class ShopOfThePage:
    """The server that the how-to page shows, run as it stands there."""

    def __init__(self, secrets: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("WEBHOOK_SECRETS", secrets)
        page = (Path(__file__).parents[2] / "docs/how-to/receive-webhooks.md").read_text()
        code = page.split("```python\n")[1].split("```")[0]
        self.names: dict[str, Any] = {"__name__": "page"}
        exec(compile(code, "receive-webhooks.md", "exec"), self.names)  # noqa: S102  our own page
        self.names["Shop"].log_message = lambda *_: None
        self.server = HTTPServer(("127.0.0.1", 0), self.names["Shop"])

    def post(self, body: bytes, headers: dict[str, str]) -> int:
        thread = Thread(target=self.server.handle_request)
        thread.start()
        connection = HTTPConnection("127.0.0.1", self.server.server_port, timeout=5)
        connection.request("POST", "/", body, headers)
        status = connection.getresponse().status
        connection.close()
        thread.join()
        return status


def test_the_server_of_the_how_to_page_believes_the_platform_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = bytes(range(24))
    shop = ShopOfThePage(f"whsec_b2xkIHNlY3JldA== whsec_{b64encode(secret).decode()}", monkeypatch)
    now = datetime.now(UTC)
    body = b'{"id":"evt_1","type":"invoice.settled","subject":"inv_1","data":{},"created_at":"2026-11-21T00:00:00Z"}'
    headers = signed_headers("evt_1", body, [secret], now)
    late = signed_headers("evt_1", body, [secret], now - timedelta(minutes=6))
    try:
        assert [shop.post(body, headers), shop.post(body, headers)] == [204, 204]
        assert shop.post(body.replace(b"inv_1", b"inv_2"), headers) == 400
        assert shop.post(body, late) == 400
    finally:
        shop.server.server_close()
    assert shop.names["done"] == {"evt_1"}
