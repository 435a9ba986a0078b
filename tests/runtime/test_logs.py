"""What a log line carries, and what it must never carry."""

import asyncio
import io
import json
import logging

import pytest
import structlog

from holdfast.runtime import logs
from holdfast.runtime.settings import LogFormat, LogLevel, LogsSettings


@pytest.fixture
def written() -> io.StringIO:
    out = io.StringIO()
    logs.configure(LogsSettings(), "api", out)
    return out


def last(out: io.StringIO) -> dict[str, object]:
    line: dict[str, object] = json.loads(out.getvalue().splitlines()[-1])
    return line


SECRETS = [
    "hf_01hzxk3q_9f8e7d6c5b4a39281706f5e4d3c2b1a0",
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "xprv9s21ZrQH143K3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPPqjiChkVvvNKmPGJxWUtg6LnF5kejMRNNU3TGtRBeJgk33yuGBxrMPHi",
    "Authorization: Bearer c2VjcmV0LXNlY3JldA==",
    "http://user:hunter2-hunter2@node/",
    "host=db password=hunter2-hunter2 user=x",
    "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA\n-----END PRIVATE KEY-----",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_a_text_that_looks_like_a_secret_is_blotted_out(written: io.StringIO, secret: str) -> None:
    structlog.get_logger().info("said", detail=f"it was {secret}", inside={"a": [secret]}, error=ValueError(secret))
    logging.getLogger("library").warning("it was %s", secret)
    core = secret.split("//")[-1].split("@")[0][-24:]
    assert core not in written.getvalue()
    assert "[redacted]" in written.getvalue()


@pytest.mark.parametrize("name", ["password", "webhook_secret", "api_key", "apikey", "cookie", "Authorization", "seed"])
def test_a_value_under_a_secrets_name_is_blotted_out(written: io.StringIO, name: str) -> None:
    structlog.get_logger().info("said", **{name: "tiny"})
    assert last(written)[name] == "[redacted]"


def test_ids_and_hashes_stay_readable(written: io.StringIO) -> None:
    facts = {"transaction": "ab" * 32, "invoice": "inv_01hzxk3q9f8e7d6c5b4a392817", "network": "eip155:1"}
    structlog.get_logger().info("said", **facts)
    assert last(written).items() >= facts.items()


def test_a_traceback_shows_no_local_variables(written: io.StringIO) -> None:
    try:
        memo = "correct horse battery"
        raise RuntimeError(len(memo))
    except RuntimeError:
        structlog.get_logger().exception("failed")
    assert "correct horse" not in written.getvalue()
    assert last(written)["exception"]


async def test_a_requests_id_is_on_every_line_that_it_causes(written: io.StringIO) -> None:
    async def handle(number: int) -> None:
        with logs.bound_request(f"request-{number}", "fresh-id-0") as chosen:
            await asyncio.sleep(0)
            structlog.get_logger().info("handled", number=number)
            logging.getLogger("library").warning("n%s", number)
            assert logs.request_id() == chosen == f"request-{number}"

    await asyncio.gather(*(handle(number) for number in range(5)))
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    assert len(lines) == 10
    for line in lines:
        number = line.get("number", line["event"].removeprefix("n"))
        assert line["request_id"] == f"request-{number}"
    assert logs.request_id() is None


@pytest.mark.parametrize("given", [None, "", "short", "x" * 65, "with space", "line\nbreak-line", "ünicode-id"])
def test_a_requests_id_that_is_none_is_replaced(given: str | None) -> None:
    with logs.bound_request(given, "fresh-id-0") as chosen:
        assert chosen == "fresh-id-0"


def test_lines_below_the_level_are_not_written() -> None:
    out = io.StringIO()
    logs.configure(LogsSettings(level=LogLevel.WARNING, format=LogFormat.CONSOLE), "api", out)
    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud")
    assert "loud" in out.getvalue()
    assert "quiet" not in out.getvalue()
