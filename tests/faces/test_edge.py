"""What every request meets first: limits, ids, problems in our own words, and nothing of our insides."""

import asyncio
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from litestar.connection import ASGIConnection

from fixtures_faces import NOBODY, Front, open_front, settings_for
from holdfast.faces.api.callers import Doorkeeper
from holdfast.faces.api.edge import BODY_BYTES_MAX
from holdfast.faces.api.rate_limits import RateLimit
from holdfast.runtime.settings import ApiSettings


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "route-unknown"),
        ("GET", "/v1/nothing", 404, "route-unknown"),
        ("PATCH", "/v1/invoices", 405, "method-not-allowed"),
        ("TRACE", "/v1/invoices", 405, "method-not-allowed"),
        ("GET", "/v1/invoices?limit=0", 400, "request-malformed"),
        ("GET", "/v1/invoices?limit=x", 400, "request-malformed"),
        ("GET", "/v1/invoices?state=paid", 400, "request-malformed"),
        ("GET", "/v1/invoices?after=%00", 400, "request-malformed"),
        ("GET", "/v1/invoices/inv_%00", 400, "request-malformed"),
        ("GET", "/v1/invoices/inv_none", 404, "invoice-not-found"),
        ("GET", "/v1/balances?at=2026-01-01T00:00:00", 400, "time-without-zone"),
        ("GET", "/v1/ledger-entries?asset=x/y/z", 400, "asset-not-listed"),
        ("GET", "/v1/events?after=evt_none", 404, "event-not-found"),
        ("GET", "/static/none.css", 404, "file-unknown"),
    ],
)
async def test_every_refusal_is_a_problem_of_ours(front: Front, method: str, path: str, status: int, code: str) -> None:
    answer = await front.call(method, path)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["type"] == f"/errors#{code}"
    assert f'id="{code}"' in (await front.call("GET", "/errors")).text
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        assert "GET" in answer.headers["allow"]


async def test_a_body_that_is_too_large_is_refused_unread(front: Front) -> None:
    answer = await front.call("POST", "/v1/invoices", b"x" * (BODY_BYTES_MAX + 1))
    assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")


async def test_a_body_that_does_not_say_its_length_is_counted(front: Front) -> None:
    async def endless() -> Any:
        for _ in range(BODY_BYTES_MAX // 4096 + 1):
            yield b"x" * 4096

    answer = await front.client.post(
        "/v1/invoices",
        content=endless(),
        headers={
            "Authorization": f"Bearer {front.shop.key}",
            "Idempotency-Key": "x",
            "Content-Type": "application/json",
        },
    )
    assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/msgpack"])
async def test_only_json_is_read(front: Front, kind: str) -> None:
    answer = await front.call("POST", "/v1/invoices", {}, Content_Type=kind)
    assert (answer.status_code, answer.json()["code"]) == (415, "media-type-unsupported")


@pytest.mark.parametrize("body", [b"", b"{", b"null", b"[]", b'"x"', b"\xff\xfe", b"[" * 5000])
async def test_a_body_that_is_no_order_is_refused(front: Front, body: bytes) -> None:
    answer = await front.call("POST", "/v1/invoices", body)
    assert (answer.status_code, answer.json()["code"]) == (400, "request-malformed")


async def test_a_request_id_is_taken_over_where_it_is_one_and_made_otherwise(front: Front) -> None:
    given = await front.call("GET", "/v1/invoices", X_Request_Id="order-4711-retry-2")
    assert given.headers["x-request-id"] == "order-4711-retry-2"
    made = await front.call("GET", "/v1/invoices", X_Request_Id="no id\twith space")
    assert made.headers["x-request-id"] != "no id\twith space"
    assert len(made.headers["x-request-id"]) == 24


async def test_a_mistake_of_ours_shows_nothing_but_its_request_id(
    front: Front, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("the secret inside")

    monkeypatch.setattr("holdfast.payments.deposits.page", broken)
    answer = await front.call("GET", "/v1/deposits")
    assert (answer.status_code, answer.json()["code"]) == (500, "server-fault")
    assert "secret" not in answer.text
    assert "ZeroDivision" not in answer.text
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert answer.headers["x-request-id"] in "".join(capsys.readouterr())


async def test_every_answer_carries_the_header_fields_that_protect_it(front: Front) -> None:
    for path in ("/v1/invoices", "/nothing", "/docs", "/health"):
        headers = (await front.call("GET", path)).headers
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["strict-transport-security"].startswith("max-age="), path
        assert "default-src 'none'" in headers["content-security-policy"], path
        assert "unsafe" not in headers["content-security-policy"], path
        assert headers["cache-control"] == "no-store", path


@pytest.fixture
async def limited(database: Any, tmp_path: Path) -> Any:
    """The application with a limit of thirty requests a minute."""
    api = ApiSettings(public_url="http://127.0.0.1:1", requests_per_minute=30)
    settings, officers = settings_for(tmp_path, database.url, api=api)
    async with open_front(settings, officers) as opened:
        yield opened


async def test_too_many_requests_with_one_key_have_to_wait_and_others_do_not(limited: Front) -> None:
    answers = [await limited.call("GET", "/v1/invoices") for _ in range(31)]
    assert [answer.status_code for answer in answers] == [200] * 30 + [429]
    refused = answers[-1]
    assert refused.json()["code"] == "rate-limited"
    assert 1 <= int(refused.headers["retry-after"]) <= 3
    assert answers[0].headers["ratelimit"].startswith('"minute";r=29;')
    assert answers[0].headers["ratelimit-policy"] == '"minute";q=30;w=60'
    colleague = await limited.key_for(limited.shop.id, {"invoices:read"})
    assert (await limited.call("GET", "/v1/invoices", key=colleague)).status_code == 200
    limited.clock.pass_minutes(0.05)
    assert (await limited.call("GET", "/v1/invoices")).status_code == 200


async def test_guessing_keys_is_limited_by_address(limited: Front) -> None:
    answers = [await limited.call("GET", "/v1/invoices", key=f"hf_x_{n}") for n in range(31)]
    assert [answer.status_code for answer in answers] == [401] * 30 + [429]


def _limit_passes(limit: RateLimit, moments: list[int]) -> list[bool]:
    return [limit.spend("anna", moment).is_allowed for moment in moments]


def test_a_limit_lets_a_burst_through_and_then_one_at_a_time() -> None:
    limit = RateLimit(60)
    assert _limit_passes(limit, [0] * 61) == [True] * 60 + [False]
    assert limit.spend("anna", 0).wait_seconds == 1
    assert _limit_passes(limit, [999_999, 1_000_000, 1_000_000]) == [False, True, False]
    assert limit.spend("bert", 1_000_000).remaining == 59


async def test_only_a_trusted_proxy_says_where_a_request_comes_from(front: Front) -> None:
    parts = front.parts
    trusting = Doorkeeper(parts.pool, parts.clock, RateLimit(0), frozenset({"127.0.0.1", "10.0.0.2"}))

    def seen(doorkeeper: Doorkeeper, forwarded: str) -> str:
        scope: Any = {"type": "http", "client": ("127.0.0.1", 1), "headers": [(b"x-forwarded-for", forwarded.encode())]}
        return doorkeeper.address_of(ASGIConnection(scope))

    assert seen(parts.doorkeeper, "203.0.113.9") == "127.0.0.1"
    assert seen(trusting, "203.0.113.9") == "203.0.113.9"
    assert seen(trusting, "198.51.100.1, 203.0.113.9, 10.0.0.2") == "203.0.113.9"
    assert seen(trusting, "not an address") == "127.0.0.1"


async def test_readiness_says_what_is_wrong_and_health_goes_on(front: Front) -> None:
    assert (await front.call("GET", "/ready", key=None)).status_code == 200
    async with front.parts.pool.connection() as conn:
        await conn.execute(
            "INSERT INTO payments.cursors (network, trouble) VALUES ('eip155:31337', 'node-unreachable')"
        )
    ready = await front.call("GET", "/ready", key=None)
    assert ready.status_code == 503
    assert [trouble["code"] for trouble in ready.json()["troubles"]] == ["network-troubled"]
    assert (await front.call("GET", "/health", key=None)).status_code == 200


async def test_figures_are_shown_by_route_and_never_by_id(front: Front) -> None:
    await asyncio.gather(*(front.call("GET", f"/v1/merchants/{NOBODY}", key=front.operator) for _ in range(3)))
    text = (await front.call("GET", "/metrics", key=None)).text
    assert 'route="/v1/merchants/{merchant_id}",status="404"' in text
    assert NOBODY not in text
