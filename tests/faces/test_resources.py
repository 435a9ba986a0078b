"""The other resources over HTTP: merchants, certificate, balances, entries, addresses, events, attention, networks."""

from datetime import datetime, timedelta
from typing import Any

import msgspec

from fixtures_faces import ANVIL, LITECOIN, RLTC, TOKEN, USDT, Front, certificate_of
from holdfast import ledger
from holdfast.core.certificates import verify
from holdfast.core.money import AssetId
from holdfast.core.quorum import Signature
from holdfast.payments import attention
from holdfast.payments.attention import Ask
from holdfast.payments.standing import AttentionReason

KEYS = {"key": "ab" * 32, "recovery_key": "cd" * 32}


async def test_a_merchant_becomes_active_by_officers_signatures_alone(front: Front) -> None:
    made = (await front.call("POST", "/v1/merchants", {"name": "New", **KEYS}, key=front.operator)).json()
    assert (made["state"], made["certified_until"]) == ("pending", None)
    document = msgspec.convert(made["request"], bytes, strict=False)
    path = f"/v1/merchants/{made['id']}/certificate"
    too_few = await front.call("PUT", path, certificate_of(front.officers, document, signers=1), key=front.operator)
    assert (too_few.status_code, too_few.json()["code"]) == (400, "certificate-unsigned")
    done = await front.call("PUT", path, certificate_of(front.officers, document), key=front.operator)
    assert (done.status_code, done.json()["state"]) == (200, "active")
    listed = (await front.call("GET", "/v1/merchants", key=front.operator)).json()["items"]
    assert [one["id"] for one in listed] == [made["id"], front.shop.id]


async def test_a_certificate_of_another_merchant_is_refused(front: Front) -> None:
    one = (await front.call("POST", "/v1/merchants", {"name": "One", **KEYS}, key=front.operator)).json()
    two = (await front.call("POST", "/v1/merchants", {"name": "Two", **KEYS}, key=front.operator)).json()
    document = msgspec.convert(one["request"], bytes, strict=False)
    handed_in = certificate_of(front.officers, document)
    refused = await front.call("PUT", f"/v1/merchants/{two['id']}/certificate", handed_in, key=front.operator)
    assert (refused.status_code, refused.json()["code"]) == (409, "certificate-not-for-this")


async def test_the_certificate_can_be_checked_with_nothing_but_the_root_fingerprint(front: Front) -> None:
    found = (await front.call("GET", "/v1/certificate")).json()
    document, quorum = (msgspec.convert(found[name], bytes, strict=False) for name in ("document", "quorum"))
    signatures = msgspec.convert(found["signatures"], list[Signature])
    assert front.parts.quorum is not None
    certificate = verify(document, signatures, quorum, front.parts.quorum.fingerprint, front.clock.now())
    assert certificate.merchant == front.shop.id
    assert {grant.network for grant in certificate.networks} == {LITECOIN, ANVIL}


async def test_terms_are_those_of_invoices_made_afterwards(front: Front) -> None:
    before = await front.invoice()
    path = f"/v1/merchants/{front.shop.id}/terms"
    changed = await front.call("PUT", path, {"expires_minutes": 60, "late": "settle"}, key=front.operator)
    assert changed.json()["terms"]["expires_minutes"] == 60
    front.clock.pass_minutes(3 / 60)
    after = await front.invoice()
    assert _minutes(before) == 15
    assert _minutes(after) == 60
    unknown = await front.call("PUT", path, {"expires_hours": 1}, key=front.operator)
    assert (unknown.status_code, unknown.json()["code"]) == (400, "request-malformed")


def _minutes(invoice: dict[str, Any]) -> int:
    times = [datetime.fromisoformat(invoice[name]) for name in ("created_at", "expires_at")]
    return int((times[1] - times[0]).total_seconds()) // 60


async def test_nothing_new_is_made_for_a_closed_merchant(front: Front) -> None:
    closed = await front.call("POST", f"/v1/merchants/{front.shop.id}/close", key=front.operator)
    assert closed.json()["state"] == "closed"
    order = {"price": {"amount": "1", "currency": "EUR"}, "asset": RLTC}
    refused = await front.call("POST", "/v1/invoices", order)
    assert (refused.status_code, refused.json()["code"]) == (409, "merchant-closed")
    assert (await front.call("GET", "/v1/balances")).status_code == 200


async def test_balances_and_entries_are_the_ledgers_own(front: Front) -> None:
    asset = AssetId(RLTC)
    mine = ledger.Account(ledger.AccountKind.MERCHANT, asset, front.shop.id)
    vault = ledger.Account(ledger.AccountKind.VAULT, asset)
    async with front.parts.pool.connection() as conn, conn.transaction():
        await ledger.post(
            conn,
            [
                ledger.Transfer("one", vault, mine, 150_000_000, "dep_1", "deposit"),
                ledger.Transfer("two", vault, mine, 25_000_000, "dep_2", "deposit"),
            ],
        )
    [balance] = (await front.call("GET", "/v1/balances")).json()["items"]
    assert (balance["asset"], balance["available"], balance["pending_units"]) == (RLTC, "1.75000000", "0")
    page = (await front.call("GET", f"/v1/ledger-entries?asset={RLTC}&limit=1")).json()
    [newest] = page["items"]
    assert (newest["key"], newest["change_units"], newest["balance_units"]) == ("two", "25000000", "175000000")
    rest = (await front.call("GET", f"/v1/ledger-entries?asset={RLTC}&after={page['next']}")).json()
    assert [(one["key"], one["balance_units"]) for one in rest["items"]] == [("one", "150000000")]
    assert rest["next"] is None
    then = (front.clock.now() - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    [before] = (await front.call("GET", f"/v1/balances?at={then}")).json()["items"]
    assert before["available_units"] == "0"


async def test_standing_addresses_are_listed_by_customer_and_closed(front: Front) -> None:
    made = [
        (await front.call("POST", "/v1/addresses", {"network": ANVIL, "customer": name})).json()
        for name in ("anna", "bert")
    ]
    listed = (await front.call("GET", f"/v1/addresses?network={ANVIL}")).json()["items"]
    assert [one["customer"] for one in listed] == ["bert", "anna"]
    annas = (await front.call("GET", f"/v1/addresses?network={ANVIL}&customer=anna")).json()["items"]
    assert annas == [made[0]]
    closed = await front.call("DELETE", f"/v1/addresses/{ANVIL}/{made[0]['address']}")
    assert closed.json()["closed_at"] is not None
    nowhere = await front.call("POST", "/v1/addresses", {"network": "eip155:1"})
    assert (nowhere.status_code, nowhere.json()["code"]) == (400, "network-unknown")


async def test_events_are_read_from_where_one_left_off_and_show_what_the_api_shows(front: Front) -> None:
    first = await front.invoice(reference="one")
    page = (await front.call("GET", "/v1/events?limit=1")).json()
    [event] = page["items"]
    assert (event["type"], event["subject"], event["data"]["price"]) == ("invoice.created", first["id"], first["price"])
    second = await front.invoice(reference="two")
    after = (await front.call("GET", f"/v1/events?after={event['id']}")).json()
    assert [one["subject"] for one in after["items"]] == [second["id"]]
    assert after["next"] is None


async def test_what_needs_a_person_is_resolved_once_in_his_words(front: Front) -> None:
    now = front.clock.now()
    async with front.parts.pool.connection() as conn, conn.transaction():
        await attention.ask(
            conn,
            [Ask(front.shop.id, AttentionReason.LATE, "dep_1"), Ask(None, AttentionReason.NETWORK_TROUBLE, ANVIL)],
            now,
        )
    mine = (await front.call("GET", "/v1/attention")).json()["items"]
    assert [item["reason"] for item in mine] == ["late"]
    everybodys = (await front.call("GET", "/v1/attention", key=front.operator)).json()["items"]
    assert len(everybodys) == 2
    path = f"/v1/attention/{mine[0]['id']}/resolve"
    resolved = await front.call("POST", path, {"resolution": "Refunded, ticket 4711."})
    assert (resolved.status_code, resolved.json()["resolution"]) == (200, "Refunded, ticket 4711.")
    again = await front.call("POST", path, {"resolution": "Something else."})
    assert (again.status_code, again.json()["code"]) == (409, "attention-item-resolved")
    assert (await front.call("GET", "/v1/attention")).json()["items"] == []


async def test_networks_say_what_may_be_paid_with_and_how_far_they_are_followed(front: Front) -> None:
    async with front.parts.pool.connection() as conn:
        await conn.execute(
            "INSERT INTO payments.cursors (network, height, hash, tip_height) VALUES (%s, 7, 'aa', 9)", (LITECOIN,)
        )
    found = {one["id"]: one for one in (await front.call("GET", "/v1/networks")).json()["items"]}
    assert found.keys() == {LITECOIN, ANVIL}
    assert (found[LITECOIN]["height"], found[LITECOIN]["tip_height"], found[LITECOIN]["trouble"]) == (7, 9, None)
    assert {asset["id"]: asset["decimals"] for asset in found[ANVIL]["assets"]} == {
        f"{ANVIL}/slip44:1": 18,
        USDT: 6,
    }
    assert "descriptor" in found[LITECOIN]["vault"]
    assert TOKEN.lower() in USDT


async def test_a_webhook_endpoints_secret_is_shown_once_and_kept_sealed(front: Front) -> None:
    wanted = {"url": "https://shop.example/webhooks", "types": ["invoice.settled"]}
    made = await front.call("POST", "/v1/webhook-endpoints", wanted, Idempotency_Key="hook-1")
    secret = made.json()["secret"]
    assert secret.startswith("whsec_")
    assert (await front.call("POST", "/v1/webhook-endpoints", wanted, Idempotency_Key="hook-1")).content == made.content
    assert secret not in (await front.call("GET", "/v1/webhook-endpoints")).text
    async with front.parts.pool.connection() as conn:
        for table in ("webhook_endpoints", "idempotency"):
            cursor = await conn.execute(f"SELECT * FROM payments.{table}".encode())  # noqa: S608  a name of ours
            assert secret.encode() not in repr(await cursor.fetchall()).encode()
