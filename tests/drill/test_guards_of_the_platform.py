"""Drills against a stolen platform or merchant show the loss where the guard that they are about is missing."""

from collections.abc import Awaitable, Callable

import pytest

from holdfast.client.pinned import Pinned
from holdfast.drill.measure import fiat
from holdfast.drill.playing import Verdict

pytestmark = [pytest.mark.node, pytest.mark.drill, pytest.mark.long]

Play = Callable[..., Awaitable[Verdict]]


async def test_without_entitlements_a_forged_balance_is_paid_out(drill: Play) -> None:
    verdict = await drill("phantom-credit", without="entitlements")
    assert fiat(verdict.losses.company) > 0
    assert not verdict.is_held


async def test_without_the_merchants_signature_what_rewritten_rules_allow_is_paid(drill: Play) -> None:
    verdict = await drill("bigone-2025", without="merchants-signature")
    assert fiat(verdict.losses.company) > 0
    assert not verdict.is_held


async def test_without_the_quorum_under_certificates_the_attackers_key_is_a_merchants(drill: Play) -> None:
    verdict = await drill("key-enrolment", without="quorum-under-certificates")
    assert fiat(verdict.losses.company) > 0
    assert not verdict.is_held


async def test_an_sdk_that_does_not_derive_addresses_shows_the_attackers(
    drill: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pinned, "quote", lambda _, quote: quote)
    monkeypatch.setattr(Pinned, "address", lambda _, address: address)
    verdict = await drill("address-swap")
    assert "a merchant who takes addresses through the SDK shows none of his" in verdict.failures


@pytest.mark.parametrize("name", ["window-edge", "atomic-2023"])
async def test_without_limits_a_stolen_key_takes_more_than_the_merchants_limit(drill: Play, name: str) -> None:
    verdict = await drill(name, without="limits")
    assert verdict.losses.merchants["ETH"] > verdict.bound["ETH"]
    assert not verdict.is_held


async def test_without_a_fee_budget_more_than_that_is_burnt(drill: Play) -> None:
    verdict = await drill("fee-burn", without="fee-budget")
    assert verdict.losses.company["rLTC"] > verdict.bound["rLTC"]
    assert not verdict.is_held
