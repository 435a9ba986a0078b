"""Payouts over HTTP: what the merchant signed is handed in; sent again, it is answered with what became of it."""

import asyncio
from secrets import token_bytes
from typing import Any

import msgspec
import pytest_asyncio

from fixtures_faces import ANVIL, LITECOIN, RLTC, USDT, Front
from fixtures_payouts import NUMBERS, fund, payee, payout_intent, signed
from holdfast.core.intents import APPROVAL_TAG, Intent, StandingOrder
from holdfast.core.quorum import tagged
from holdfast.payments import progress
from holdfast.payments.progress import Fact


@pytest_asyncio.fixture
async def shop(front: Front) -> Front:
    """The shop has a million units of a token."""
    await fund(front.parts.pool, front.shop.id, USDT, 1_000_000)
    return front


def body(front: Front, intent: Intent) -> dict[str, Any]:
    """What the shop signed, as it is handed in."""
    return dict(msgspec.to_builtins(signed(front.shop.signing, intent)))


def plain(front: Front, *units: int, **changes: Any) -> dict[str, Any]:
    """A payout of so many units of the token, signed."""
    lines = [(payee(), one) for one in units]
    return body(front, payout_intent(front.shop.id, USDT, lines, front.clock.now(), **changes))


async def tell(front: Front, *facts: Fact) -> None:
    """What the signer's journal says."""
    async with front.parts.pool.connection() as conn, conn.transaction():
        await progress.apply(conn, facts, front.clock.now())


async def test_a_signed_intent_becomes_a_payout_and_is_told(shop: Front) -> None:
    made = await shop.call("POST", "/v1/payouts", plain(shop, 400_000, 100_000, reference="order 7"))
    assert made.status_code == 201
    payout = made.json()
    assert (payout["state"], payout["reference"], payout["lines_units"], payout["symbol"]) == (
        "reserved", "order 7", "500000", "USDT"
    )  # fmt: skip
    assert [line["amount"] for line in payout["lines"]] == ["0.400000", "0.100000"]
    [balance] = (await shop.call("GET", "/v1/balances")).json()["items"]
    assert (balance["available_units"], balance["pending_units"]) == ("500000", "500000")
    events = (await shop.call("GET", "/v1/events")).json()["items"]
    assert [(event["type"], event["subject"]) for event in events] == [("payout.reserved", payout["id"])]
    for name in (payout["id"], payout["intent"]):
        assert (await shop.call("GET", f"/v1/payouts/{name}")).json() == payout


async def test_the_same_intent_again_is_answered_with_the_payout_as_it_stands(shop: Front) -> None:
    wanted = plain(shop, 5)
    first = await shop.call("POST", "/v1/payouts", wanted)
    await tell(shop, progress.Refused(first.json()["intent"], "payout-too-large", "5 units"))
    again = await shop.call("POST", "/v1/payouts", wanted, Idempotency_Key="whatever")
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.headers["idempotent-replayed"] == "true"
    assert (again.json()["id"], again.json()["state"], again.json()["rule"]) == (
        first.json()["id"], "refused", "payout-too-large"
    )  # fmt: skip


async def test_refusals_are_problems_with_their_codes(shop: Front) -> None:
    await shop.call("POST", "/v1/payouts", plain(shop, 5, reference="taken", number=77))
    cases = {
        "intent-malformed": {"document": "{}", "signature": "00" * 64},
        "intent-unsigned": plain(shop, 5) | {"signature": "00" * 64},
        "payout-reference-taken": plain(shop, 6, reference="taken"),
        "payout-number-taken": plain(shop, 6, number=77),
        "balance-too-low": plain(shop, 2_000_000),
        "intent-expired": plain(shop, 5, not_before=1, expires_at=2),
        "asset-not-listed": body(
            shop, payout_intent(shop.shop.id, f"{ANVIL}/erc20:0x{'ab' * 20}", [(payee(), 1)], shop.clock.now())
        ),
        "intent-of-another": body(
            shop, payout_intent("mer_someone", USDT, [(payee(), 1)], shop.clock.now())
        ),
    }  # fmt: skip
    for code, wanted in cases.items():
        answer = await shop.call("POST", "/v1/payouts", wanted)
        assert answer.json()["code"] == code, answer.text
        assert answer.status_code in (400, 409)
    [balance] = (await shop.call("GET", "/v1/balances")).json()["items"]
    assert balance["pending_units"] == "5"


async def test_another_merchants_intent_cannot_be_handed_in_with_my_key(shop: Front) -> None:
    other = await shop.enrol("Other")
    answer = await shop.call("POST", "/v1/payouts", plain(shop, 5), key=other.key)
    assert (answer.status_code, answer.json()["code"]) == (400, "intent-of-another")


async def test_a_batch_orders_each_by_itself_in_its_order(shop: Front) -> None:
    same = plain(shop, 5)
    wanted = [same, plain(shop, 2_000_000), plain(shop, 7), same, plain(shop, 8) | {"signature": "00" * 64}]
    answer = await shop.call("POST", "/v1/payouts/batch", {"payouts": wanted})
    assert answer.status_code == 200
    items = answer.json()["items"]
    codes = [item["problem"]["code"] if item["problem"] else item["payout"]["state"] for item in items]
    assert codes == ["reserved", "balance-too-low", "reserved", "reserved", "intent-unsigned"]
    assert items[0]["payout"]["id"] == items[3]["payout"]["id"]
    [balance] = (await shop.call("GET", "/v1/balances")).json()["items"]
    assert balance["pending_units"] == "12"


async def test_many_at_once_by_single_requests_share_transactions_and_all_are_done(shop: Front) -> None:
    wanted = [plain(shop, 1) for _ in range(150)]
    answers = await asyncio.gather(*(shop.call("POST", "/v1/payouts", one) for one in wanted + wanted))
    assert {answer.status_code for answer in answers} <= {200, 201}
    assert len({answer.json()["id"] for answer in answers}) == 150
    [balance] = (await shop.call("GET", "/v1/balances")).json()["items"]
    assert balance["pending_units"] == "150"


async def test_the_fee_is_told_before_it_is_signed(shop: Front) -> None:
    answer = await shop.call("GET", f"/v1/payouts/fee?network={LITECOIN}&asset={RLTC}&lines=3")
    assert answer.json() == {
        "network": LITECOIN, "asset": RLTC, "lines": 3, "fee_units": "0", "fee": "0.00000000", "paid_by": "company"
    }  # fmt: skip
    unlisted = await shop.call("GET", f"/v1/payouts/fee?network={ANVIL}&asset={RLTC}")
    assert (unlisted.status_code, unlisted.json()["code"]) == (400, "asset-not-listed")


async def test_a_payout_that_waits_says_for_what_and_officers_add_their_word(shop: Front) -> None:
    payout = (await shop.call("POST", "/v1/payouts", plain(shop, 5))).json()
    await tell(shop, progress.Waiting(payout["intent"], "approvals-missing", "0 of 2"))
    waiting = (await shop.call("GET", f"/v1/payouts/{payout['id']}")).json()
    assert (waiting["state"], waiting["waiting"]["rule"]) == ("awaiting-approval", "approvals-missing")
    officer = shop.officers[1]
    public = officer.public_key().public_bytes_raw().hex()
    message = tagged(APPROVAL_TAG, payout["document"].encode())
    good = {"officer": public, "signature": officer.sign(message).hex()}
    path = f"/v1/payouts/{payout['id']}/approvals"
    assert (await shop.call("POST", path, {"approvals": [good]})).json()["code"] == "operator-only"
    for wrong in (
        {**good, "signature": "00" * 64},
        {**good, "officer": "ab" * 32},
        {**good, "signature": officer.sign(tagged(b"holdfast order 1\0", payout["document"].encode())).hex()},
        {"officer": public, "signature": officer.sign(tagged(APPROVAL_TAG, token_bytes(9))).hex()},
    ):
        refused = await shop.call("POST", path, {"approvals": [good, wrong]}, key=shop.operator)
        assert (refused.status_code, refused.json()["code"]) == (403, "approval-invalid")
    for _ in range(2):
        approved = await shop.call("POST", path, {"approvals": [good]}, key=shop.operator)
        assert approved.status_code == 200
        assert approved.json()["approvals"] == [public]


async def test_lists_are_filtered_and_paged(shop: Front) -> None:
    made = [(await shop.call("POST", "/v1/payouts", plain(shop, 1, reference=f"r {n}"))).json() for n in range(3)]
    await tell(shop, progress.Refused(made[1]["intent"], "number-reused"))
    ids = [one["id"] for one in made]
    first = (await shop.call("GET", "/v1/payouts?limit=2")).json()
    assert [one["id"] for one in first["items"]] == [ids[2], ids[1]]
    rest = (await shop.call("GET", f"/v1/payouts?limit=2&after={first['next']}")).json()
    assert ([one["id"] for one in rest["items"]], rest["next"]) == ([ids[0]], None)
    refused = (await shop.call("GET", "/v1/payouts?state=refused&state=failed")).json()
    assert [one["id"] for one in refused["items"]] == [ids[1]]
    named = (await shop.call("GET", "/v1/payouts", None, key=shop.shop.key)).json()
    assert len(named["items"]) == 3
    by_reference = (await shop.client.get(
        "/v1/payouts", params={"reference": "r 0"}, headers={"Authorization": f"Bearer {shop.shop.key}"}
    )).json()  # fmt: skip
    assert [one["id"] for one in by_reference["items"]] == [ids[0]]


async def test_a_standing_order_is_handed_in_read_and_stopped(shop: Front) -> None:
    now = int(shop.clock.now().timestamp())
    order = StandingOrder(
        merchant=shop.shop.id, network=ANVIL, asset=USDT, destination=payee(), units=1000, fee_units=0,
        every_seconds=3600, number=next(NUMBERS), not_before=now, expires_at=now + 86_400, reference="rent",
    )  # fmt: skip
    made = await shop.call("POST", "/v1/standing-orders", body(shop, order))
    again = await shop.call("POST", "/v1/standing-orders", body(shop, order))
    assert (made.status_code, again.status_code) == (201, 200)
    assert (made.json()["id"], made.json()["state"]) == (again.json()["id"], "active")
    path = f"/v1/standing-orders/{made.json()['id']}"
    stopped = await shop.call("POST", f"{path}/stop")
    assert stopped.json()["state"] == "stopped"
    assert (await shop.call("GET", path)).json()["state"] == "stopped"
    [listed] = (await shop.call("GET", "/v1/standing-orders")).json()["items"]
    assert listed["id"] == made.json()["id"]
    as_payout = await shop.call("POST", "/v1/payouts", body(shop, order))
    assert as_payout.json()["code"] == "intent-of-another-kind"
