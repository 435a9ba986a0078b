"""API keys: shown once, kept as a hash, good for their time, their scopes and their addresses."""

from datetime import timedelta

import pytest

from fixtures_payments import Shop
from holdfast.payments import api_keys
from holdfast.payments.api_keys import (
    ApiKeyFromElsewhere,
    ApiKeyInvalid,
    ApiKeyNotFound,
    ApiKeyRequestInvalid,
    KeyRequest,
    Scope,
    ScopeMissing,
)

SCOPES = frozenset({Scope.INVOICES_READ})


async def made(shop: Shop, *allowed_ips: str, days: int = 30) -> tuple[api_keys.ApiKey, str]:
    expires_at = shop.clock.now() + timedelta(days=days)
    async with shop.pool.connection() as conn:
        return await api_keys.create(
            conn, KeyRequest(shop.merchant.id, "till", SCOPES, expires_at, allowed_ips), shop.clock.now()
        )


async def authenticate(shop: Shop, secret: str, ip: str | None = "203.0.113.7") -> api_keys.Caller:
    async with shop.pool.connection() as conn:
        return await api_keys.authenticate(conn, secret, ip, shop.clock.now())


async def test_a_key_says_who_calls_and_what_he_may_do(shop: Shop) -> None:
    key, secret = await made(shop)
    caller = await authenticate(shop, secret)
    assert (caller.key_id, caller.merchant_id, caller.is_operator) == (key.id, shop.merchant.id, False)
    caller.require(Scope.INVOICES_READ)
    with pytest.raises(ScopeMissing):
        caller.require(Scope.INVOICES_WRITE)


async def test_the_secret_is_nowhere_in_the_database(shop: Shop) -> None:
    _, secret = await made(shop)
    async with shop.pool.connection() as conn:
        cursor = await conn.execute("SELECT k::text FROM payments.api_keys k")
        assert secret.split("_", 2)[2] not in str(await cursor.fetchall())


@pytest.mark.parametrize("text", ["", "hf_", "hf_x", "hf_x_", "hf_x_y", "xx_x_y", "hf_é_y", "Bearer hf_x_y"])
async def test_what_is_no_key_is_refused(shop: Shop, text: str) -> None:
    with pytest.raises(ApiKeyInvalid):
        await authenticate(shop, text)


async def test_a_changed_key_is_refused(shop: Shop) -> None:
    (_, one), (_, other) = await made(shop), await made(shop)
    head, _, _ = one.rpartition("_")
    with pytest.raises(ApiKeyInvalid):
        await authenticate(shop, one[:-1] + ("a" if one[-1] != "a" else "b"))
    with pytest.raises(ApiKeyInvalid):
        await authenticate(shop, f"hf_{one.split('_', 2)[1]}_{other.split('_', 2)[2]}")
    assert head


async def test_a_key_ends_when_it_expires_or_is_revoked(shop: Shop) -> None:
    (key, secret), (_, expiring) = await made(shop), await made(shop, days=1)
    async with shop.pool.connection() as conn:
        with pytest.raises(ApiKeyNotFound):
            await api_keys.revoke(conn, key.id, "mer_other", shop.clock.now())
        await api_keys.revoke(conn, key.id, shop.merchant.id, shop.clock.now())
    with pytest.raises(ApiKeyInvalid):
        await authenticate(shop, secret)
    shop.clock.pass_minutes(60 * 24)
    with pytest.raises(ApiKeyInvalid):
        await authenticate(shop, expiring)


@pytest.mark.parametrize(
    ("allowed", "ip", "is_let_in"),
    [
        ("203.0.113.0/24", "203.0.113.7", True),
        ("203.0.113.0/24", "203.0.114.7", False),
        ("203.0.113.0/24", "::ffff:203.0.113.7", True),
        ("2001:db8::/32", "2001:db8::1", True),
        ("2001:db8::/32", "203.0.113.7", False),
        ("203.0.113.0/24", None, False),
    ],
)
async def test_a_key_works_from_its_addresses_only(shop: Shop, allowed: str, ip: str | None, is_let_in: bool) -> None:
    _, secret = await made(shop, allowed)
    if is_let_in:
        await authenticate(shop, secret, ip)
    else:
        with pytest.raises(ApiKeyFromElsewhere):
            await authenticate(shop, secret, ip)


@pytest.mark.parametrize(
    "change",
    [
        {"scopes": frozenset()},
        {"days": 0},
        {"days": 400},
        {"scopes": frozenset({Scope.OPERATOR})},
        {"merchant_id": None},
        {"allowed_ips": ["203.0.113.7/24"]},
        {"allowed_ips": ["home"]},
    ],
    ids=str,
)
async def test_a_key_without_end_or_bounds_is_not_made(shop: Shop, change: dict[str, object]) -> None:
    wanted = {"merchant_id": shop.merchant.id, "scopes": SCOPES, "days": 30, "allowed_ips": (), **change}
    request = KeyRequest(
        wanted["merchant_id"],  # type: ignore[arg-type]  a table of cases
        "till",
        wanted["scopes"],  # type: ignore[arg-type]  a table of cases
        shop.clock.now() + timedelta(days=wanted["days"]),  # type: ignore[arg-type]  a table of cases
        wanted["allowed_ips"],  # type: ignore[arg-type]  a table of cases
    )
    async with shop.pool.connection() as conn:
        with pytest.raises(ApiKeyRequestInvalid):
            await api_keys.create(conn, request, shop.clock.now())


async def test_the_last_use_is_written_once_a_minute(shop: Shop) -> None:
    key, secret = await made(shop)

    async def last_use() -> object:
        async with shop.pool.connection() as conn:
            (found,) = await api_keys.page(conn, shop.merchant.id)
        assert found.id == key.id
        return found.last_used_at

    assert await last_use() is None
    await authenticate(shop, secret)
    first = await last_use()
    await authenticate(shop, secret)
    assert await last_use() == first
    shop.clock.pass_minutes(2)
    await authenticate(shop, secret)
    assert await last_use() != first


async def test_the_operators_first_key_may_do_everything(shop: Shop) -> None:
    async with shop.pool.connection() as conn:
        _, secret = await api_keys.bootstrap_operator(conn, shop.clock.now())
    caller = await authenticate(shop, secret, None)
    assert (caller.merchant_id, caller.is_operator) == (None, True)
    caller.require(Scope.INVOICES_MARK)
