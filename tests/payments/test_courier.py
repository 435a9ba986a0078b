"""Webhooks, from the event to the shop: signed, each endpoint by itself, tried for days, lost never."""

import asyncio
import json
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from standardwebhooks.webhooks import Webhook

from fixtures_payments import Shop, descriptor
from holdfast.client import verify_webhook
from holdfast.payments import attention, events, webhooks
from holdfast.payments.courier import BACKOFF_SECONDS, Courier, wait_after
from holdfast.payments.events import EventNotFound, EventType, News
from holdfast.payments.guarded_http import AddressForbidden, UrlNotHttps, open_guarded_http
from holdfast.payments.webhooks import (
    Endpoint,
    NewEndpoint,
    Range,
    Sealer,
)
from holdfast.runtime.secret_files import write_secret
from holdfast.runtime.settings import WebhooksSettings

KEY = bytes(range(32))
KILLS = 5
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
SEALER = Sealer(KEY)
PLAIN = {"timeout_seconds": 1, "concurrency": 8, "allow_private": True}


@dataclass
class Receiver:
    """A merchant's server: remembers what came, answers as the test wants."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    """To answer with, one after another; then 204."""
    always: int = 204
    pause: float = 0
    """Seconds before it answers."""
    open: int = 0
    open_most: int = 0
    """Most requests that it had at the same time."""
    retry_after: str = ""
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        self.got.append((dict(request.headers), await request.read()))
        self.open += 1
        self.open_most = max(self.open_most, self.open)
        await asyncio.sleep(self.pause)
        self.open -= 1
        status = self.statuses.pop(0) if self.statuses else self.always
        return web.Response(status=status, headers={"Retry-After": self.retry_after} if self.retry_after else {})

    @property
    def ids(self) -> list[str]:
        return [json.loads(body)["id"] for _, body in self.got]


@pytest_asyncio.fixture
async def receivers() -> AsyncIterator[list[Receiver]]:
    made, runners = [], []
    for _ in range(2):
        receiver = Receiver()
        application = web.Application()
        application.router.add_post("/hook", receiver.answer)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
        made.append(receiver)
        runners.append(runner)
    yield made
    for runner in runners:
        await runner.cleanup()


async def endpoint(shop: Shop, url: str, *types: EventType) -> tuple[Endpoint, str]:
    async with shop.pool.connection() as conn:
        new = NewEndpoint(shop.merchant.id, url, types, allow_private=True)
        return await webhooks.create(conn, new, SEALER, shop.clock.now())


async def happen(shop: Shop, count: int = 1, kind: EventType = EventType.INVOICE_SETTLED) -> list[str]:
    async with shop.pool.connection() as conn:
        news = [News(shop.merchant.id, kind, f"inv_{n}", {"amount": "1.50"}) for n in range(count)]
        return await events.emit(conn, news, shop.clock.now())


def pass_time(shop: Shop, time: timedelta) -> None:
    shop.clock.pass_minutes(time / timedelta(minutes=1))


class Delivering:
    """A courier at work for a while."""

    def __init__(self, shop: Shop, **settings: Any) -> None:
        self.shop, self.settings = shop, WebhooksSettings(**{**PLAIN, **settings})

    async def __aenter__(self) -> None:
        self.stopping = asyncio.Event()
        self.http = open_guarded_http(self.settings.timeout_seconds)
        http = await self.http.__aenter__()
        self.courier = Courier(self.shop.pool, http, self.settings, SEALER, self.shop.clock)
        self.task = asyncio.create_task(self.courier.run(self.stopping))

    async def __aexit__(self, *_: object) -> None:
        self.stopping.set()
        await self.task
        await self.http.__aexit__(None, None, None)


async def until(condition: Any, seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  other tasks make it true
            await asyncio.sleep(0.02)


async def settled(shop: Shop, one: Endpoint, wanted: Any) -> None:
    """Until every delivery of an endpoint is as wanted, and there is one."""
    async with asyncio.timeout(20):
        while True:
            async with shop.pool.connection() as conn:
                found = await webhooks.deliveries(conn, one.id, limit=1000)
            if found and all(wanted(each) for each in found):
                return
            await asyncio.sleep(0.02)


async def states(shop: Shop, one: Endpoint) -> list[tuple[str, int, int | None]]:
    async with shop.pool.connection() as conn:
        found = await webhooks.deliveries(conn, one.id)
    return [(each.state, each.attempts, each.last_status) for each in found]


async def test_an_event_is_delivered_signed_and_both_libraries_believe_it(
    shop: Shop, receivers: list[Receiver]
) -> None:
    _, secret = await endpoint(shop, receivers[0].url)
    [event_id] = await happen(shop)
    async with Delivering(shop):
        await until(lambda: receivers[0].got)
    headers, body = receivers[0].got[0]
    assert headers["webhook-id"] == event_id
    event = verify_webhook(body, headers, [secret], shop.clock.now())
    assert (event.id, event.type, event.subject, event.data) == (
        event_id,
        "invoice.settled",
        "inv_0",
        {"amount": "1.50"},
    )
    assert Webhook(secret).verify(body, headers)["id"] == event_id


async def test_an_event_of_a_transaction_that_fails_is_delivered_to_nobody(
    shop: Shop, receivers: list[Receiver]
) -> None:
    one, _ = await endpoint(shop, receivers[0].url)
    with suppress(ZeroDivisionError):
        async with shop.pool.connection() as conn, conn.transaction():
            await events.emit(conn, [News(shop.merchant.id, EventType.INVOICE_SETTLED, "x", {})], shop.clock.now())
            raise ZeroDivisionError
    assert await states(shop, one) == []


async def test_two_secrets_sign_while_one_is_rotated(shop: Shop, receivers: list[Receiver]) -> None:
    one, old = await endpoint(shop, receivers[0].url)
    async with shop.pool.connection() as conn:
        _, new = await webhooks.rotate(conn, one.id, shop.merchant.id, SEALER, shop.clock.now())
    await happen(shop)
    async with Delivering(shop):
        await until(lambda: receivers[0].got)
        for secret in (old, new):
            headers, body = receivers[0].got[0]
            assert verify_webhook(body, headers, [secret], shop.clock.now())
            assert Webhook(secret).verify(body, headers)
        pass_time(shop, webhooks.OVERLAP + timedelta(seconds=1))
        await happen(shop)
        await until(lambda: len(receivers[0].got) == 2)
    assert len(receivers[0].got[1][0]["webhook-signature"].split()) == 1


async def test_what_fails_is_tried_again_under_the_same_id_until_it_is_taken(
    shop: Shop, receivers: list[Receiver]
) -> None:
    one, _ = await endpoint(shop, receivers[0].url)
    receivers[0].statuses = [500, 302, 404]
    [event_id] = await happen(shop)
    async with Delivering(shop):
        for wait, status in zip(BACKOFF_SECONDS, (500, 302, 404, 204), strict=False):
            await settled(shop, one, lambda each, status=status: each.last_status == status)
            pass_time(shop, timedelta(seconds=wait + 1))
    assert receivers[0].ids == [event_id] * 4
    assert await states(shop, one) == [("delivered", 4, 204)]


async def test_a_dead_or_slow_shop_delays_nobody_else(shop: Shop, receivers: list[Receiver]) -> None:
    receivers[0].pause = 3600
    await endpoint(shop, receivers[0].url)
    await endpoint(shop, receivers[1].url)
    await happen(shop, 60)
    async with Delivering(shop, timeout_seconds=5):
        await until(lambda: len(set(receivers[1].ids)) == 60, seconds=4)
    assert len(receivers[0].got) < 60


async def test_all_dead_shops_together_have_half_of_the_places_at_most(shop: Shop, receivers: list[Receiver]) -> None:
    receivers[0].pause, receivers[0].always, receivers[1].pause = 0.05, 503, 0.01
    dead = [await endpoint(shop, receivers[0].url) for _ in range(20)]
    await endpoint(shop, receivers[1].url)
    async with Delivering(shop, concurrency=8):
        await happen(shop)
        for one, _ in dead:
            await settled(shop, one, lambda each: each.last_status == 503)
        receivers[0].open_most = 0
        before = len(receivers[0].got)
        await happen(shop, 60)
        await until(lambda: len(receivers[1].got) == 61)
        await until(lambda: len(receivers[0].got) >= before + 40)
    assert receivers[0].open_most <= 4
    assert receivers[1].open_most > 1  # it answers quickly, and is trusted with several


async def test_after_days_a_delivery_is_given_up_and_a_person_is_asked(shop: Shop, receivers: list[Receiver]) -> None:
    receivers[0].always = 503
    one, _ = await endpoint(shop, receivers[0].url)
    await happen(shop, 2)
    async with Delivering(shop, give_up_after_hours=1):
        await settled(shop, one, lambda each: each.last_status == 503)
        pass_time(shop, timedelta(minutes=61))
        await settled(shop, one, lambda each: each.event_type != "invoice.settled" or each.state == "given-up")
    # The third is the news that a person is asked: it waits for the shop too.
    assert sorted(state for state, _, _ in await states(shop, one)) == ["given-up", "given-up", "waiting"]
    async with shop.pool.connection() as conn:
        assert [item.reason.value for item in await attention.page(conn, shop.merchant.id)] == ["webhook-given-up"]


async def test_a_shop_that_says_gone_is_left_alone_until_it_is_enabled_again(
    shop: Shop, receivers: list[Receiver]
) -> None:
    receivers[0].statuses = [410]
    one, _ = await endpoint(shop, receivers[0].url)
    await happen(shop)
    other, _ = await endpoint(shop, receivers[1].url)
    async with Delivering(shop):
        await settled(shop, one, lambda each: each.last_status == 410)
        pass_time(shop, timedelta(minutes=1))
        await happen(shop)
        await settled(shop, other, lambda each: each.state == "delivered")  # the courier has been round
        assert len(receivers[0].got) == 1
        async with shop.pool.connection() as conn:
            assert (await webhooks.get(conn, one.id, shop.merchant.id)).disabled_at is not None
            assert [each.reason.value for each in await attention.page(conn, shop.merchant.id)] == [
                "webhook-endpoint-gone"
            ]
            await webhooks.enable(conn, one.id, shop.merchant.id)
        await settled(shop, one, lambda each: each.state == "delivered")
    assert len(set(receivers[0].ids)) == 1


async def test_an_endpoint_in_the_private_network_is_not_reached_unless_it_is_allowed(
    shop: Shop, receivers: list[Receiver]
) -> None:
    one, _ = await endpoint(shop, receivers[0].url)
    async with shop.pool.connection() as conn:
        await conn.execute(
            "UPDATE payments.webhook_endpoints SET allow_private = false, url = replace(url, 'http:', 'https:')"
        )
    await happen(shop)
    async with Delivering(shop):
        await settled(shop, one, lambda each: each.last_error)
    assert receivers[0].got == []
    async with shop.pool.connection() as conn:
        [delivery] = await webhooks.deliveries(conn, one.id)
    assert delivery.last_error == AddressForbidden.code


async def test_private_endpoints_are_reached_no_more_once_the_platform_forbids_them(
    shop: Shop, receivers: list[Receiver]
) -> None:
    one, _ = await endpoint(shop, receivers[0].url)
    await happen(shop)
    async with Delivering(shop, allow_private=False):
        await settled(shop, one, lambda each: each.last_error == UrlNotHttps.code)
    assert receivers[0].got == []


async def test_events_are_sent_again_by_id_or_by_time(shop: Shop, receivers: list[Receiver]) -> None:
    one, _ = await endpoint(shop, receivers[0].url)
    ids = await happen(shop, 3)
    start = shop.clock.now() + timedelta(hours=1)
    pass_time(shop, timedelta(hours=1))
    ids += await happen(shop, 2)
    async with Delivering(shop):
        await until(lambda: len(receivers[0].got) == 5)
        async with shop.pool.connection() as conn:
            now = shop.clock.now()
            assert await webhooks.replay(conn, one, Range(event_id=ids[0]), now) == 1
            assert await webhooks.replay(conn, one, Range(since=start), now) == 2
            with pytest.raises(EventNotFound):
                await webhooks.replay(conn, one, Range(event_id="evt_unknown"), now)
        await until(lambda: len(receivers[0].got) == 8)
    assert sorted(receivers[0].ids[5:]) == sorted([ids[0], *ids[3:]])


def test_waits_grow_and_differ() -> None:
    for attempts, seconds in enumerate(BACKOFF_SECONDS, 1):
        waits = {wait_after(attempts, "", NOON) for _ in range(50)}
        assert len(waits) > 10
        assert all(timedelta(seconds=seconds / 2) <= wait <= timedelta(seconds=seconds) for wait in waits)
    assert wait_after(99, "", NOON) <= timedelta(seconds=BACKOFF_SECONDS[-1])


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        ("600", 600),
        ("99999999", 86_400),
        ("9" * 5000, 86_400),
        ("Sat, 21 Nov 2026 12:10:00 GMT", 600),
        ("Sat, 21 Nov 2036 12:10:00 GMT", 86_400),
        ("Fri, 31 Dec 9999 23:59:59 -2359", 86_400),
    ],
)
def test_a_shop_may_say_when_to_come_again_within_a_day(retry_after: str, seconds: int) -> None:
    assert wait_after(1, retry_after, NOON) == timedelta(seconds=seconds)


IMPOSSIBLE_DATES = ["21 Nov 99999999999999999999 12:00:00 GMT", "21 Nov 2026 12:00:00 +99999999999999999",
                    "21 Nov 2026 9999999999999999999:00:00", "21 Nov 2026 12:00:00 +9999"]  # fmt: skip


@pytest.mark.parametrize(
    "retry_after",
    ["soon", "-5", "²", "²" * 5000, "-" + "9" * 5000, "Sat, 21 Nov 2026 11:00:00 GMT", "Mon, 1 Jan 0001 00:00:00 +2359",
     "Sat, 99 Nov 2026", *IMPOSSIBLE_DATES],
)  # fmt: skip
def test_what_cannot_be_read_or_is_past_changes_no_wait(retry_after: str) -> None:
    assert wait_after(1, retry_after, NOON) <= timedelta(seconds=BACKOFF_SECONDS[0])


@pytest.mark.parametrize("retry_after", ["9" * 5000, *IMPOSSIBLE_DATES])
async def test_whatever_a_shop_says_about_when_to_come_again_its_delivery_is_given_up_in_time(
    shop: Shop, receivers: list[Receiver], retry_after: str
) -> None:
    receivers[0].always, receivers[0].retry_after = 503, retry_after
    one, _ = await endpoint(shop, receivers[0].url)
    await happen(shop)
    pass_time(shop, timedelta(hours=1))
    async with Delivering(shop, give_up_after_hours=1):
        await settled(shop, one, lambda each: each.event_type != "invoice.settled" or each.state == "given-up")


@asynccontextmanager
async def courier_process(config: Path) -> AsyncIterator[Process]:
    with (config.parent / "courier.log").open("ab") as log:
        command = [sys.executable, "-m", "holdfast.payments.main", "courier", "--config", str(config)]
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL, stderr=log)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def configuration(directory: Path, database_url: str) -> Path:
    (directory / "quorum.json").write_text("{}")
    write_secret(directory / "webhook.key", KEY.hex())
    path = directory / "holdfast.toml"
    path.write_text(
        f"""
        [database]
        url = "{database_url}"
        [webhooks]
        key_file = "webhook.key"
        allow_private = true
        timeout_seconds = 1
        [rates]
        sources = []
        fixed = {{ "LTC/EUR" = "80.00" }}
        [courier]
        metrics_port = 0
        [networks.litecoin-regtest]
        nodes = [{{ url = "http://127.0.0.1:1/" }}]
        descriptor = "{descriptor()}"
        """
    )
    return path


@pytest.mark.slow
async def test_a_courier_killed_with_9_at_any_moment_loses_no_event(
    shop: Shop, receivers: list[Receiver], database: Any, tmp_path: Path
) -> None:
    """The real process, killed while events come in and deliveries are on their way."""
    one, _ = await endpoint(shop, receivers[0].url)
    config = configuration(tmp_path, database.url)
    told: list[str] = []
    for round_ in range(KILLS):
        told += await happen(shop, 120)
        before = len(receivers[0].got)
        async with courier_process(config) as process:
            await until(lambda before=before, round_=round_: len(receivers[0].got) >= before + 20 + 11 * round_)
            told += await happen(shop, 5)
            process.kill()
            await process.wait()
    async with courier_process(config) as process:
        await until(lambda: set(told) <= set(receivers[0].ids), seconds=40)
        await settled(shop, one, lambda each: each.state == "delivered")
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0, (tmp_path / "courier.log").read_text()[-2000:]
    assert len(set(told)) == KILLS * 125
    # What comes twice comes under the same id and is the same.
    bodies = {json.loads(body)["id"]: body for _, body in receivers[0].got}
    assert all(bodies[json.loads(body)["id"]] == body for _, body in receivers[0].got)
    assert all(headers["webhook-id"] == json.loads(body)["id"] for headers, body in receivers[0].got)
