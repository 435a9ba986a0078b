"""What works and what does not: the watchtower says it, merchants get events, and everybody can read it."""

from datetime import datetime, timedelta
from typing import Any

from fixtures_faces import ANVIL, LITECOIN, RLTC, USDT, Front
from holdfast.core.tower_status import StopShown, TowerStatus
from holdfast.payments import payout_stages


async def tell(front: Front, leased_seconds_ago: int = 1, **stages: str) -> list[str]:
    """What the watchtower answered: stages by scope (`_` for everything); the scopes that changed."""
    now_ms = int(front.clock.now().timestamp()) * 1_000
    told = {"*" if scope == "_" else scope: stage for scope, stage in stages.items()}
    stops = [
        StopShown("id", scope, "a reason of staff's", "dead-man", now_ms - 60_000, ended=False)
        for scope, stage in told.items()
        if stage == "frozen"
    ]
    frozen = tuple(one.scope for one in stops)
    lease_ms = now_ms - leased_seconds_ago * 1_000
    status = TowerStatus(now_ms, 1, "", "", frozen, told, tuple(stops), (), lease_ms, ())
    async with front.parts.pool.connection() as conn, conn.transaction():
        return await payout_stages.take(conn, status, front.clock.now())


async def payouts(front: Front) -> dict[str, tuple[Any, ...]]:
    answer = (await front.call("GET", "/v1/status", key=None)).json()
    assert all(one["works"] for one in answer["payments_in"]), "payments in do not depend on payouts"
    return {one["asset"]: (one["works"], one["stage"]) for one in answer["payouts"]}


async def told(front: Front, key: str | None = None) -> list[tuple[str, str, str]]:
    answer = await front.call("GET", "/v1/events", key=key or front.shop.key)
    found = [one for one in answer.json()["items"] if one["type"].startswith("payouts.")]
    return [(one["type"], one["data"]["scope"], one["data"]["stage"]) for one in found]


async def test_a_platform_that_asks_no_watchtower_says_that_it_does_not_know(front: Front) -> None:
    assert set((await payouts(front)).values()) == {(True, None)}


async def test_the_way_from_frozen_to_normal_is_shown_and_told(front: Front) -> None:
    seen = []
    for stage in ("frozen", "allowlisted", "limited"):
        assert await tell(front, _=stage) == ["*"]
        assert await tell(front, _=stage) == [], "the same again is no news"
        seen.append((await payouts(front))[RLTC])
    assert await tell(front) == ["*"]
    seen.append((await payouts(front))[RLTC])
    assert seen == [(False, "frozen"), (True, "allowlisted"), (True, "limited"), (True, "normal")]
    assert await told(front) == [
        ("payouts.frozen", "*", "frozen"), ("payouts.restored", "*", "allowlisted"),
        ("payouts.restored", "*", "limited"), ("payouts.restored", "*", "normal"),
    ]  # fmt: skip


async def test_each_scope_is_shown_where_it_counts_the_narrowest_first(front: Front) -> None:
    await tell(front, **{USDT: "frozen", ANVIL: "limited", "_": "allowlisted"})
    assert await payouts(front) == {
        RLTC: (True, "allowlisted"), USDT: (False, "frozen"), f"{ANVIL}/slip44:1": (True, "allowlisted"),
    }  # fmt: skip
    await tell(front, **{LITECOIN: "limited"})
    assert await payouts(front) == {
        RLTC: (True, "limited"), USDT: (True, "normal"), f"{ANVIL}/slip44:1": (True, "normal"),
    }  # fmt: skip


async def test_a_merchants_freeze_is_told_to_him_and_shown_to_nobody(front: Front) -> None:
    other = await front.enrol("Another Shop")
    await tell(front, **{other.id: "frozen"})
    assert await told(front, other.key) == [("payouts.frozen", other.id, "frozen")]
    assert await told(front, front.shop.key) == []
    public = await front.call("GET", "/v1/status", key=None)
    assert other.id not in public.text
    assert "normal" in public.text
    await tell(front, _="frozen")
    assert ("payouts.frozen", "*", "frozen") in await told(front, front.shop.key)


async def test_since_when_is_the_moment_of_the_freeze_and_no_reason_is_shown(front: Front) -> None:
    await tell(front, _="frozen")
    answer = await front.call("GET", "/v1/status", key=None)
    (since,) = {datetime.fromisoformat(one["since"]) for one in answer.json()["payouts"]}
    assert timedelta(seconds=60) <= front.clock.now() - since < timedelta(seconds=90)
    page = await front.call("GET", "/status", key=None)
    for text in (answer.text, page.text):
        assert "reason of staff" not in text
        assert "dead-man" not in text


async def test_silence_of_signer_or_watchtower_is_shown_without_any_freeze(front: Front) -> None:
    await tell(front, leased_seconds_ago=31)
    assert set((await payouts(front)).values()) == {(False, "normal")}
    await tell(front)
    assert set((await payouts(front)).values()) == {(True, "normal")}
    front.clock.pass_minutes(1)
    answer = (await front.call("GET", "/v1/status", key=None)).json()
    assert {one["is_silent"] for one in answer["payouts"]} == {True}
    assert not answer["is_all_well"]


async def test_the_page_says_it_in_words_to_whoever_pays(front: Front) -> None:
    await tell(front)
    well = await front.call("GET", "/status", key=None)
    assert "Everything works" in well.text
    await tell(front, _="frozen")
    page = await front.call("GET", "/status", key=None)
    assert page.status_code == 200
    for words in ("Not everything works now", "Paying an invoice is safe", "wait", "Payments in"):
        assert words in page.text
    assert page.headers["content-security-policy"] == well.headers["content-security-policy"]
