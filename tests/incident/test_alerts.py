"""Alerts are stored before they are sent, come in forms that others know, are tried again, and never told twice."""

import asyncio
import json
import resource
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
import standardwebhooks

from fixtures_incident import smtp_receiver, until_async, webhook_receiver
from holdfast.incident.alerts import TYPE, Alert, ByCommand, ByEmail, ByWebhook, Outbox, Way, alert_id
from holdfast.incident.settings import CommandTo, EmailTo, WebhookTo

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def alert(kind: str = "opened", incident: str = "inc_1") -> Alert:
    return Alert(alert_id(incident, kind, "*"), TYPE, incident, kind, "*", "a theft", 1_795_000_000_000, "ab" * 32)


def outbox(tmp_path: Path, *ways: Way) -> Outbox:
    return Outbox(tmp_path / "alerts", ways, lambda *_, **__: None, lambda: datetime.now(UTC), pause_seconds=0.05)


@asynccontextmanager
async def sending(box: Outbox) -> AsyncIterator[Outbox]:
    task = asyncio.create_task(box.run())
    try:
        yield box
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def webhook(tmp_path: Path, url: str, name: str = "webhook-1") -> ByWebhook:
    (tmp_path / "secret").write_text(SECRET)
    (tmp_path / "secret").chmod(0o600)
    return ByWebhook(name, WebhookTo(url=url, secret_file=tmp_path / "secret"))


def is_delivered(box: Outbox) -> bool:
    return delivered(box) == [("webhook-1",)]


def delivered(box: Outbox) -> Sequence[tuple[str, ...]]:
    return [one.delivered for one in box.deliveries()]


async def test_a_webhook_is_one_that_the_standards_own_library_takes(tmp_path: Path) -> None:
    async with webhook_receiver() as receiver, sending(outbox(tmp_path, webhook(tmp_path, receiver.url))) as box:
        assert box.put(alert())
        await until_async(lambda: delivered(box) == [("webhook-1",)])
        headers, body = receiver.came[0]
        lower = {name.lower(): value for name, value in headers.items()}
        said = standardwebhooks.Webhook(SECRET).verify(body.decode(), lower)
        assert said["incident"] == "inc_1"
        assert lower["webhook-id"] == alert().id


async def test_a_receiver_that_fails_is_told_again_with_the_same_id(tmp_path: Path) -> None:
    async with webhook_receiver() as receiver, sending(outbox(tmp_path, webhook(tmp_path, receiver.url))) as box:
        receiver.answers = [500, 503]
        box.put(alert())
        await until_async(lambda: delivered(box) == [("webhook-1",)])
        ids = [headers["webhook-id"] for headers, _ in receiver.came]
        assert ids == [alert().id] * 3


async def test_the_same_thing_is_told_once_also_after_a_restart(tmp_path: Path) -> None:
    async with webhook_receiver() as receiver:
        for _ in range(2):
            async with sending(outbox(tmp_path, webhook(tmp_path, receiver.url))) as box:
                box.put(alert())
                assert not box.put(alert())
                await until_async(partial(is_delivered, box))
        assert len(receiver.came) == 1


async def test_what_was_stored_and_not_sent_is_sent_by_the_next_process(tmp_path: Path) -> None:
    async with webhook_receiver() as receiver:
        way = webhook(tmp_path, receiver.url)
        outbox(tmp_path, way).put(alert())
        async with sending(outbox(tmp_path, way)) as box:
            await until_async(lambda: delivered(box) == [("webhook-1",)])


async def test_an_email_says_what_to_do(tmp_path: Path) -> None:
    async with smtp_receiver() as office:
        to = EmailTo(
            host="127.0.0.1", port=office.port, sender="h@shop.example", to=("ada@shop.example",), starttls=False
        )
        async with sending(outbox(tmp_path, ByEmail("email", to))) as box:
            box.put(alert())
            await until_async(lambda: delivered(box) == [("email",)])
    assert "Subject: Holdfast incident: opened *" in office.letters[0]
    assert "holdfast incident show inc_1" in office.letters[0]


async def test_a_command_reads_the_alert_and_no_shell_reads_its_words(tmp_path: Path) -> None:
    program = "import sys; open(sys.argv[1], 'w').write(sys.stdin.read())"
    target = tmp_path / "$(touch pwned); told"
    command = ByCommand("command-1", CommandTo(argv=(sys.executable, "-c", program, str(target))))
    async with sending(outbox(tmp_path, command)) as box:
        box.put(alert())
        await until_async(lambda: delivered(box) == [("command-1",)])
    assert json.loads(target.read_text())["text"] == "a theft"


async def test_a_way_that_hangs_delays_no_other(tmp_path: Path) -> None:
    hanging = ByCommand("command-1", CommandTo(argv=(sys.executable, "-c", "import time; time.sleep(600)")))
    async with (
        webhook_receiver() as receiver,
        sending(outbox(tmp_path, hanging, webhook(tmp_path, receiver.url))) as box,
    ):
        for n in range(3):
            box.put(alert(f"alarm {n}"))
        await until_async(lambda: delivered(box) == [("webhook-1",)] * 3)


@pytest.mark.parametrize("program", ["import sys; sys.exit(3)", None])
async def test_a_command_that_fails_or_is_not_there_is_run_again(tmp_path: Path, program: str | None) -> None:
    argv = (str(tmp_path / "nothing"),) if program is None else (sys.executable, "-c", program)
    said: list[str] = []
    box = outbox(tmp_path, ByCommand("command-1", CommandTo(argv=argv)))
    box.log = lambda event, **_: said.append(event)
    async with sending(box):
        box.put(alert())
        await until_async(lambda: len(said) >= 2)
    assert delivered(box) == [()]


async def test_people_are_told_although_the_disk_is_full(tmp_path: Path) -> None:
    async with webhook_receiver() as receiver, sending(outbox(tmp_path, webhook(tmp_path, receiver.url))) as box:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
        try:
            assert box.put(alert())
            assert not box.put(alert())
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        await until_async(lambda: delivered(box) == [("webhook-1",)])
        assert len(receiver.came) == 1
