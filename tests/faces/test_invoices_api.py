"""Invoices over HTTP: what the SDK relies on."""

import asyncio

import pytest

from fixtures_faces import LITECOIN, NOBODY, RLTC, USDT, Front
from holdfast.core.addresses import deposit_address
from holdfast.core.networks import NetworkId


async def test_an_invoice_with_an_asset_chosen_has_its_address_and_exact_amount_at_once(front: Front) -> None:
    made = await front.invoice(asset=RLTC, reference="order-1", metadata={"cart": [1, 2]})
    [quote] = made["quotes"]
    listed = front.parts.desk.catalogue.networks[NetworkId(LITECOIN)]
    assert listed.vault is not None
    assert quote["address"] == deposit_address(listed.network, listed.vault, quote["index"])
    # 12.50 / 85.00 coins, rounded up to the smallest unit.
    assert (quote["due_units"], quote["due"]) == ("14705883", "0.14705883")
    assert quote["uri"] == f"litecoin:{quote['address']}?amount=0.14705883"
    assert quote["rate"]["sources"] == ["fixed"]
    assert made["price"] == {"amount": "12.50", "currency": "EUR"}
    assert made["checkout_url"] == f"https://pay.example.org/i/{made['id']}"
    assert made["metadata"] == {"cart": [1, 2]}


async def test_an_invoice_without_an_asset_waits_for_the_payer_to_pick(front: Front) -> None:
    made = await front.invoice()
    assert made["quotes"] == []
    picked = await front.call("POST", f"/v1/invoices/{made['id']}/quotes", {"asset": USDT})
    assert picked.status_code == 201
    assert picked.json()["due"] == "13.586957"
    again = await front.call("POST", f"/v1/invoices/{made['id']}/quotes", {"asset": USDT})
    assert again.json() == picked.json()
    read = await front.call("GET", f"/v1/invoices/{made['id']}")
    assert read.json()["quotes"] == [picked.json()]


async def test_an_invoice_reads_as_it_was_made(front: Front) -> None:
    made = await front.invoice(asset=RLTC, description="Two books", redirect_url="https://shop.example.org/done")
    assert (await front.call("GET", f"/v1/invoices/{made['id']}")).json() == made


async def test_pages_go_from_the_newest_to_the_oldest_and_miss_nothing(front: Front) -> None:
    made = [(await front.invoice())["id"] for _ in range(7)]
    seen: list[str] = []
    after = ""
    while True:
        page = (await front.call("GET", f"/v1/invoices?limit=3{after}")).json()
        seen += [one["id"] for one in page["items"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert seen == sorted(made, reverse=True)


async def test_a_page_shows_only_the_states_asked_for(front: Front) -> None:
    one, other = await front.invoice(), await front.invoice()
    marked = await front.call("POST", f"/v1/invoices/{one['id']}/mark", {"state": "invalid"})
    assert (marked.json()["state"], marked.json()["reason"]) == ("invalid", "marked")
    shown = (await front.call("GET", "/v1/invoices?state=new")).json()["items"]
    assert [each["id"] for each in shown] == [other["id"]]
    both = (await front.call("GET", "/v1/invoices?state=new&state=invalid")).json()["items"]
    assert {each["id"] for each in both} == {one["id"], other["id"]}


async def test_a_reference_is_used_once(front: Front) -> None:
    first = await front.invoice(reference="order-1")
    price = {"amount": "1.00", "currency": "EUR"}
    second = await front.call("POST", "/v1/invoices", {"price": price, "reference": "order-1"})
    assert (second.status_code, second.json()["code"]) == (409, "reference-taken")
    found = (await front.call("GET", "/v1/invoices?reference=order-1")).json()["items"]
    assert [one["id"] for one in found] == [first["id"]]


async def test_one_bad_order_in_a_batch_hurts_no_other(front: Front) -> None:
    await front.invoice(reference="taken")
    price = {"amount": "1.00", "currency": "EUR"}
    orders = [front.call("POST", "/v1/invoices", {"price": price, "reference": f"order-{n % 10}"}) for n in range(30)]
    orders += [front.call("POST", "/v1/invoices", {"price": price, "reference": "taken"}) for _ in range(3)]
    answers = await asyncio.gather(*orders)
    assert sorted(answer.status_code for answer in answers) == [201] * 10 + [409] * 23
    listed = (await front.call("GET", "/v1/invoices?limit=200")).json()["items"]
    assert len(listed) == 11


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"price": {"amount": "12,50", "currency": "EUR"}}, 400, "request-malformed"),
        ({"price": {"amount": 12.5, "currency": "EUR"}}, 400, "request-malformed"),
        ({"price": {"amount": "12.505", "currency": "EUR"}}, 400, "amount-too-precise"),
        ({"price": {"amount": "0", "currency": "EUR"}}, 400, "invoice-malformed"),
        ({"price": {"amount": "1", "currency": "EURO"}}, 400, "currency-unknown"),
        ({"price": {"amount": "1", "currency": "USD"}, "asset": RLTC}, 503, "rate-unavailable"),
        ({"assets": ["bip122:ff/slip44:2"]}, 400, "asset-not-listed"),
        ({"assets": [USDT], "asset": RLTC}, 400, "asset-not-accepted"),
        ({"reference": "with\x00nul"}, 400, "invoice-malformed"),
        ({"metadata": {"big": "x" * 5000}}, 400, "invoice-malformed"),
        ({"redirect_url": "javascript:alert(1)"}, 400, "request-malformed"),
        ({"expires_in_seconds": "60"}, 400, "request-malformed"),
        ({"unknown": 1}, 400, "request-malformed"),
    ],
)
async def test_what_cannot_be_made_is_refused_by_name(front: Front, changes: object, status: int, code: str) -> None:
    assert isinstance(changes, dict)
    order = {"price": {"amount": "12.50", "currency": "EUR"}, **changes}
    refused = await front.call("POST", "/v1/invoices", order)
    problem = refused.json()
    assert (refused.status_code, problem["code"], problem["status"]) == (status, code, status), refused.text
    assert refused.headers["content-type"] == "application/problem+json"
    assert problem["type"] == f"/errors#{code}"
    assert problem["remedy"]
    assert problem["request_id"] == refused.headers["x-request-id"]
    assert (await front.call("GET", "/v1/invoices")).json()["items"] == []


async def test_a_merchant_that_officers_have_not_certified_gets_no_address(front: Front) -> None:
    keys = {"key": "ab" * 32, "recovery_key": "cd" * 32}
    pending = (await front.call("POST", "/v1/merchants", {"name": "New", **keys}, key=front.operator)).json()
    order = {"price": {"amount": "1", "currency": "EUR"}, "asset": RLTC}
    refused = await front.call("POST", "/v1/invoices", order, key=front.operator, Holdfast_Merchant=pending["id"])
    assert (refused.status_code, refused.json()["code"]) == (409, "merchant-not-certified")


async def test_the_operator_says_for_which_merchant_he_acts(front: Front) -> None:
    unnamed = await front.call("GET", "/v1/invoices", key=front.operator)
    assert (unnamed.status_code, unnamed.json()["code"]) == (400, "merchant-not-named")
    made = await front.invoice()
    read = await front.call("GET", f"/v1/invoices/{made['id']}", key=front.operator, Holdfast_Merchant=front.shop.id)
    assert read.json() == made
    other = await front.call("GET", f"/v1/invoices/{made['id']}", key=front.operator, Holdfast_Merchant=NOBODY)
    assert other.status_code == 404
