"""The authorisation matrix: every route, against every kind of caller. One that does not say who may call it fails."""

from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from litestar.handlers import HTTPRouteHandler

from fixtures_faces import ANVIL, LITECOIN, NOBODY, RLTC, USDT, Front
from fixtures_payouts import fund, payee, payout_intent, signed
from holdfast.core.intents import Intent, StandingOrder
from holdfast.faces.api.application import V1
from holdfast.faces.api.callers import Allow, Whose
from holdfast.faces.api.openapi import allow_of
from holdfast.payments.api_keys import MERCHANT_SCOPES, Scope


@dataclass(frozen=True)
class Route:
    """One operation of the API."""

    method: str
    path: str
    handler: HTTPRouteHandler

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def _routes() -> list[Route]:
    found = []
    for router in V1:
        for route in router.routes:
            for handler in route.route_handlers:  # type: ignore[union-attr]  HTTP routes, all of them
                found += [Route(method, route.path, handler) for method in handler.http_methods if method != "OPTIONS"]
    return sorted(found, key=str)


ROUTES = _routes()
NO_ID = {
    "merchant_id": NOBODY,
    "network": LITECOIN,
    "address": "rltc1qnothing",
}


def filled(path: str, **ids: str) -> str:
    """The path with ids in it; ids of nothing where none is given."""
    for name in ("merchant_id", "key_id", "invoice_id", "deposit_id", "item_id", "endpoint_id", "network", "address",
                 "name", "order_id"):  # fmt: skip
        path = path.replace(f"{{{name}:str}}", ids.get(name, NO_ID.get(name, "nothing_here")))
    assert "{" not in path, f"say which ids {path} takes"
    return path


def declared(route: Route) -> Allow:
    allow = allow_of(route.handler)
    assert allow is not None, f"{route} does not say who may call it"
    return allow


@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_every_route_says_who_may_call_it(route: Route) -> None:
    assert declared(route).whose is not Whose.NOBODY, f"{route} is open to all"


@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_every_post_asks_for_an_idempotency_key_or_is_done_once_by_itself(route: Route) -> None:
    names = set(route.handler.parsed_fn_signature.parameters)
    by_itself = route.handler.opt.get("once_by_itself", False)
    assert ("idempotency_key" in names) == (route.method == "POST" and not by_itself)


async def _status(front: Front, route: Route, key: str | None, **headers: str) -> tuple[int, str]:
    answer = await front.call(route.method, filled(route.path), {}, key=key, **headers)
    return answer.status_code, answer.json().get("code", "") if answer.status_code >= 400 else ""


def _one_letter_wrong(key: str) -> str:
    return key[:-1] + ("A" if key[-1] != "A" else "B")


async def test_nobody_gets_in_without_a_valid_key(front: Front) -> None:
    for route in ROUTES:
        assert await _status(front, route, None) == (401, "api-key-missing"), route
        for wrong in (_one_letter_wrong(front.shop.key), "hf_x_y", front.shop.key.replace("hf_", "xx_"), "\u00e4"):
            answer = await front.client.request(
                route.method, filled(route.path), headers=[(b"authorization", b"Bearer " + wrong.encode("latin-1"))]
            )
            assert (answer.status_code, answer.json()["code"]) == (401, "api-key-invalid"), (route, wrong)


async def test_a_merchants_key_gets_only_where_its_scope_lets_it(front: Front) -> None:
    keys = {scope: await front.key_for(front.shop.id, {scope}) for scope in MERCHANT_SCOPES}
    for route in ROUTES:
        allow = declared(route)
        for scope, key in keys.items():
            status, code = await _status(front, route, key)
            if allow.whose is Whose.OPERATOR:
                assert (status, code) == (403, "operator-only"), (route, scope)
            elif allow.scope in (None, scope):
                assert status not in (401, 403), (route, scope, code)
            else:
                assert (status, code) == (403, "scope-missing"), (route, scope)


async def test_the_operator_gets_everywhere_and_names_the_merchant_where_it_is_about_one(front: Front) -> None:
    for route in ROUTES:
        status, code = await _status(front, route, front.operator)
        if declared(route).whose is Whose.MERCHANT:
            assert (status, code) == (400, "merchant-not-named"), route
        else:
            assert status not in (401, 403), (route, code)
        status, code = await _status(front, route, front.operator, Holdfast_Merchant=front.shop.id)
        assert status not in (401, 403), (route, code)


async def test_a_merchant_cannot_name_another(front: Front) -> None:
    other = await front.enrol("Other")
    for route in ROUTES:
        if declared(route).whose is not Whose.OPERATOR:
            status, code = await _status(front, route, other.key, Holdfast_Merchant=front.shop.id)
            assert (status, code) == (404, "merchant-not-found"), route


def _signed(front: Front, intent: Intent) -> dict[str, Any]:
    """What the shop signed, as it is handed in."""
    return dict(msgspec.to_builtins(signed(front.shop.signing, intent)))


async def _things(front: Front) -> dict[str, str]:
    """One of each thing that has an id, all the shop's."""
    invoice = await front.invoice(asset=RLTC)
    address = (await front.call("POST", "/v1/addresses", {"network": ANVIL, "customer": "anna"})).json()
    keys = (await front.call("GET", "/v1/api-keys")).json()["items"]
    endpoint = await front.call("POST", "/v1/webhook-endpoints", {"url": "https://shop.example/webhooks"})
    [quote] = invoice["quotes"]
    now = front.clock.now()
    deposit, item = "dep_1", "att_1"
    async with front.parts.pool.connection() as conn:
        await conn.execute(
            """
            INSERT INTO payments.deposits (id, network, key, asset, address, merchant_id, invoice_id, units, state,
                confirmations_required, seen_at, paid_at) VALUES (%s, %s, 'x', %s, %s, %s, %s, 1, 'seen', 1, %s, %s)
            """,
            (deposit, quote["network"], RLTC, quote["address"], front.shop.id, invoice["id"], now, now),
        )
        await conn.execute(
            "INSERT INTO payments.attention (id, merchant_id, reason, subject) VALUES (%s, %s, 'late', 'x')",
            (item, front.shop.id),
        )
    await fund(front.parts.pool, front.shop.id, USDT, 1000)
    ordered = await front.call("POST", "/v1/payouts", _signed(front, payout_intent(
        front.shop.id, USDT, [(payee(), 5)], now
    )))  # fmt: skip
    standing = await front.call("POST", "/v1/standing-orders", _signed(front, StandingOrder(
        merchant=front.shop.id, network=ANVIL, asset=USDT, destination=payee(), units=1, fee_units=0, every_seconds=60,
        number=1, not_before=0, expires_at=int(now.timestamp()) + 60, reference="rent",
    )))  # fmt: skip
    return {
        "name": ordered.json()["id"],
        "order_id": standing.json()["id"],
        "invoice_id": invoice["id"],
        "deposit_id": deposit,
        "item_id": item,
        "endpoint_id": endpoint.json()["id"],
        "key_id": keys[0]["id"],
        "network": address["network"],
        "address": address["address"],
    }


BODIES: dict[str, Any] = {
    "/v1/invoices/{invoice_id:str}/quotes": {"asset": RLTC},
    "/v1/invoices/{invoice_id:str}/mark": {"state": "invalid"},
    "/v1/attention/{item_id:str}/resolve": {"resolution": "done"},
    "/v1/webhook-endpoints/{endpoint_id:str}/replay": {"since": "2026-01-01T00:00:00Z"},
}


async def test_another_merchants_things_do_not_exist(front: Front) -> None:
    things = await _things(front)
    other = await front.enrol("Other")
    with_ids = [route for route in ROUTES if "{" in route.path and declared(route).whose is not Whose.OPERATOR]
    assert len(with_ids) >= 8
    for route in with_ids:
        answer = await front.call(route.method, filled(route.path, **things), BODIES.get(route.path), key=other.key)
        assert answer.status_code == 404, (route, answer.text)
    # The same requests find them with their owner's key: what was asked for was there.
    for route in sorted(with_ids, key=lambda one: (one.method == "DELETE", one.path.endswith("mark"))):
        answer = await front.call(route.method, filled(route.path, **things), BODIES.get(route.path))
        assert answer.status_code in (200, 201), (route, answer.text)


async def test_lists_show_a_merchants_own_things_alone(front: Front) -> None:
    things = await _things(front)
    other = await front.enrol("Other")
    queries = {"/v1/ledger-entries": f"?asset={RLTC}", "/v1/addresses": f"?network={ANVIL}"}
    lists = [
        route for route in ROUTES
        if route.method == "GET" and "{" not in route.path and declared(route).scope not in (None, Scope.OPERATOR)
        and route.path not in ("/v1/certificate", "/v1/payouts/fee")
    ]  # fmt: skip
    for route in lists:
        answer = await front.call("GET", route.path + queries.get(route.path, ""), key=other.key)
        assert answer.status_code == 200, (route, answer.text)
        for thing in (front.shop.id, *things.values()):
            if thing != ANVIL:
                assert thing not in answer.text, (route, thing)


async def test_a_key_gives_away_only_what_it_has(front: Front) -> None:
    expires = (front.clock.now()).replace(microsecond=0).isoformat()
    expires = expires.replace(expires[:4], str(int(expires[:4]) + 1), 1)
    key = await front.key_for(front.shop.id, {Scope.KEYS_WRITE, Scope.INVOICES_READ})
    wanted = {"name": "more", "scopes": ["invoices:read", "invoices:write"], "expires_at": expires}
    refused = await front.call("POST", "/v1/api-keys", wanted, key=key)
    assert (refused.status_code, refused.json()["code"]) == (403, "scopes-not-yours")
    operator = await front.call("POST", "/v1/api-keys", {**wanted, "scopes": ["operator"]}, key=front.shop.key)
    assert operator.status_code == 403
    given = await front.call("POST", "/v1/api-keys", {**wanted, "scopes": ["invoices:read"]}, key=key)
    assert given.status_code == 201
    assert (await front.call("GET", "/v1/invoices", key=given.json()["secret"])).status_code == 200


async def test_a_revoked_key_ends_within_two_seconds(front: Front) -> None:
    key = await front.key_for(front.shop.id, {Scope.INVOICES_READ})
    assert (await front.call("GET", "/v1/invoices", key=key)).status_code == 200
    listed = (await front.call("GET", "/v1/api-keys")).json()["items"]
    revoked = await front.call("DELETE", f"/v1/api-keys/{listed[0]['id']}")
    assert revoked.json()["revoked_at"] is not None
    front.clock.pass_minutes(2.1 / 60)
    assert (await front.call("GET", "/v1/invoices", key=key)).status_code == 401
