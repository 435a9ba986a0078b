"""One idempotency key, one effect, one answer."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from fixtures_faces import ANVIL, LITECOIN, RLTC, Front
from holdfast.payments.api_keys import MERCHANT_SCOPES

PRICE = {"price": {"amount": "12.50", "currency": "EUR"}}


async def _count(front: Front, table: str) -> int:
    async with front.parts.pool.connection() as conn:
        cursor = await conn.execute(f"SELECT count(*) FROM payments.{table}".encode())  # noqa: S608  a name of ours
        row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


async def test_the_same_request_again_does_nothing_and_gets_the_same_answer(front: Front) -> None:
    first = await front.call("POST", "/v1/invoices", {**PRICE, "asset": RLTC}, Idempotency_Key="order-1")
    again = await front.call("POST", "/v1/invoices", {**PRICE, "asset": RLTC}, Idempotency_Key="order-1")
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert (await _count(front, "invoices"), await _count(front, "addresses")) == (1, 1)


async def test_the_same_key_with_another_request_is_refused(front: Front) -> None:
    await front.call("POST", "/v1/invoices", PRICE, Idempotency_Key="order-1")
    other_body = await front.call("POST", "/v1/invoices", {**PRICE, "reference": "x"}, Idempotency_Key="order-1")
    other_path = await front.call("POST", "/v1/addresses", {"network": LITECOIN}, Idempotency_Key="order-1")
    for refused in (other_body, other_path):
        assert (refused.status_code, refused.json()["code"]) == (409, "idempotency-key-reused")
    assert (await _count(front, "invoices"), await _count(front, "addresses")) == (1, 0)


async def test_two_merchants_may_use_the_same_key(front: Front) -> None:
    other = await front.enrol("Other")
    mine = await front.call("POST", "/v1/invoices", PRICE, Idempotency_Key="order-1")
    theirs = await front.call("POST", "/v1/invoices", PRICE, Idempotency_Key="order-1", key=other.key)
    assert theirs.status_code == 201
    assert mine.json()["id"] != theirs.json()["id"]


@pytest.mark.parametrize(
    ("path", "body", "table"),
    [("/v1/invoices", {**PRICE, "asset": RLTC}, "invoices"), ("/v1/addresses", {"network": ANVIL}, "addresses")],
)
async def test_requests_sent_at_the_same_time_are_done_once(front: Front, path: str, body: Any, table: str) -> None:
    sent = [front.call("POST", path, body, Idempotency_Key="same") for _ in range(24)]
    answers = await asyncio.gather(*sent)
    assert {(answer.status_code, answer.content) for answer in answers} == {(201, answers[0].content)}
    assert await _count(front, table) == 1


async def test_different_requests_with_one_key_at_the_same_time_do_one_of_them(front: Front) -> None:
    sent = [
        front.call("POST", "/v1/invoices", {**PRICE, "reference": f"order-{n}"}, Idempotency_Key="same")
        for n in range(12)
    ]
    answers = await asyncio.gather(*sent)
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 11
    assert await _count(front, "invoices") == 1


async def test_what_failed_may_be_sent_again(front: Front) -> None:
    await front.invoice(reference="taken")
    refused = await front.call("POST", "/v1/invoices", {**PRICE, "reference": "taken"}, Idempotency_Key="order-1")
    assert refused.status_code == 409
    async with front.parts.pool.connection() as conn:
        await conn.execute("UPDATE payments.invoices SET reference = NULL")
    done = await front.call("POST", "/v1/invoices", {**PRICE, "reference": "taken"}, Idempotency_Key="order-1")
    assert done.status_code == 201


async def test_an_invoice_made_when_there_was_a_rate_is_answered_when_there_is_none(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await front.call("POST", "/v1/invoices", {**PRICE, "asset": RLTC}, Idempotency_Key="order-1")
    monkeypatch.setattr(front.parts.desk.rates, "_values", {})
    again = await front.call("POST", "/v1/invoices", {**PRICE, "asset": RLTC}, Idempotency_Key="order-1")
    assert again.content == first.content
    other = await front.call("POST", "/v1/invoices", {**PRICE, "asset": RLTC}, Idempotency_Key="order-2")
    assert (other.status_code, other.json()["code"], other.json()["retry"]) == (503, "rate-unavailable", True)


async def test_an_answer_is_kept_for_days(front: Front) -> None:
    first = await front.call("POST", "/v1/invoices", PRICE, Idempotency_Key="order-1")
    front.clock.pass_minutes(24 * 60 + 1)
    again = await front.call("POST", "/v1/invoices", PRICE, Idempotency_Key="order-1")
    assert again.content == first.content


@pytest.mark.parametrize("key", ["", "x" * 201, "with space", "tab\there"])
async def test_a_key_that_is_none_is_refused(front: Front, key: str) -> None:
    refused = await front.call("POST", "/v1/invoices", PRICE, Idempotency_Key=key)
    assert (refused.status_code, refused.json()["code"]) == (400, "request-malformed")


async def test_a_post_without_a_key_is_refused(front: Front) -> None:
    answer = await front.client.post("/v1/invoices", json=PRICE, headers={"Authorization": f"Bearer {front.shop.key}"})
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (400, "request-malformed")
    assert "'Idempotency-Key'" in problem["detail"]


async def test_a_secret_is_shown_again_to_the_key_that_asked_and_is_nowhere_in_the_database(front: Front) -> None:
    expires = (front.clock.now() + timedelta(days=30)).isoformat()
    wanted = {"name": "server", "scopes": ["invoices:read"], "expires_at": expires}
    made = await front.call("POST", "/v1/api-keys", wanted, Idempotency_Key="key-1")
    secret = made.json()["secret"]
    assert (await front.call("POST", "/v1/api-keys", wanted, Idempotency_Key="key-1")).content == made.content
    colleague = await front.key_for(front.shop.id, MERCHANT_SCOPES)
    refused = await front.call("POST", "/v1/api-keys", wanted, Idempotency_Key="key-1", key=colleague)
    assert (refused.status_code, refused.json()["code"]) == (409, "answer-sealed")
    async with front.parts.pool.connection() as conn:
        cursor = await conn.execute("SELECT response FROM payments.idempotency WHERE key = 'key-1'")
        row = await cursor.fetchone()
    assert row is not None
    assert secret.rpartition("_")[2].encode() not in bytes(row[0])
    assert b"server" not in bytes(row[0])


async def test_an_anonymous_address_is_new_each_time_and_a_customers_is_the_same(front: Front) -> None:
    async def address(**body: str) -> str:
        made = await front.call("POST", "/v1/addresses", {"network": LITECOIN, **body})
        assert made.status_code == 201, made.text
        return str(made.json()["address"])

    assert await address() != await address()
    assert await address(customer="anna") == await address(customer="anna") != await address(customer="bert")
