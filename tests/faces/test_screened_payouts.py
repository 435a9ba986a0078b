"""A platform that screens payouts, through its own doors: the merchant's and the signer's."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest_asyncio

from fixtures_faces import TOKEN as TOKEN_CONTRACT, Front, open_front, settings_for
from fixtures_payouts import fund, payee, payout_intent, signed
from holdfast.runtime.settings import ScreeningSettings, SignerSettings
from holdfast.trace.labels.shelf import Shelf
from holdfast.trace.model import Label, LabelKind

SIGNER = "5c" * 32
ANVIL = "eip155:31337"
USDT = f"{ANVIL}/erc20:{TOKEN_CONTRACT.lower()}"


@pytest_asyncio.fixture
async def front(database: Any, tmp_path: Path) -> AsyncIterator[Front]:
    """The application of a platform with a signer, which screens payouts; its merchant has money."""
    token_file = tmp_path / "signer.token"
    token_file.touch(mode=0o600)
    token_file.write_text(SIGNER)
    screening = ScreeningSettings(check_payouts=True, labels_dir=tmp_path / "labels", cases_dir=tmp_path / "cases")
    settings, officers = settings_for(
        tmp_path, database.url, signer=SignerSettings(token_file=token_file), screening=screening
    )
    async with open_front(settings, officers) as opened:
        await fund(opened.parts.pool, opened.shop.id, USDT, 10**6)
        yield opened


def listed(directory: Path, address: str, kind: LabelKind) -> None:
    Shelf(directory / "labels").add("a peer", [Label("eip155:*", address, "Exploiter", kind, "a peer", 90, 1)], 1)


async def order(front: Front, destination: str) -> Any:
    intent = payout_intent(front.shop.id, USDT, [(destination, 5)], front.clock.now())
    body = dict(msgspec.to_builtins(signed(front.shop.signing, intent)))
    return await front.call("POST", "/v1/payouts", body)


async def waiting(front: Front) -> list[str]:
    answer = await front.client.get("/signer/v1/work", headers={"Authorization": f"Bearer {SIGNER}"})
    return [each["payout"] for each in answer.json()["payouts"]]


async def test_what_is_sanctioned_is_refused_and_what_is_listed_later_is_kept_from_the_signer(
    front: Front, tmp_path: Path
) -> None:
    sanctioned, later, good = payee(), payee(), payee()
    listed(tmp_path, sanctioned, LabelKind.SANCTIONED)
    refused = await order(front, sanctioned)
    assert (refused.status_code, refused.json()["code"]) == (403, "destination-refused")
    made = [(await order(front, each)).json()["intent"] for each in (later, good)]
    assert set(await waiting(front)) == set(made)
    listed(tmp_path, later, LabelKind.THEFT)
    assert await waiting(front) == made[1:]
    shown = (await front.call("GET", f"/v1/payouts/{made[0]}")).json()
    assert shown["waiting"]["rule"] == "screening"
    items = (await front.call("GET", "/v1/attention", key=front.operator)).json()["items"]
    assert [each["reason"] for each in items if each["reason"] == "payout-held"] == ["payout-held"]
