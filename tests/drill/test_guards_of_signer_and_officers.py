"""Drills against signer, watchtower, officers and nodes show the loss where the guard they are about is missing."""

from collections.abc import Awaitable, Callable

import pytest

from holdfast.drill.measure import fiat
from holdfast.drill.playing import Verdict
from holdfast.drill.scenarios import kelpdao_2026
from holdfast.policy import audit
from holdfast.vault import evidence, psbt, safe

pytestmark = [pytest.mark.node, pytest.mark.drill, pytest.mark.long]

Play = Callable[..., Awaitable[Verdict]]


async def test_without_a_bound_on_what_is_not_final_more_is_hoarded(drill: Play) -> None:
    verdict = await drill("hoarded-releases", without="unconfirmed-bound")
    assert "of rLTC no more came out than may be released and not final" in verdict.failures


async def test_a_signer_that_goes_on_without_a_lease_pays_while_the_watchtower_is_dead(drill: Play) -> None:
    verdict = await drill("watchtower-down", without="lease")
    assert "without a watchtower no payout is accepted" in verdict.failures


async def test_where_nobody_looks_at_the_float_keys_that_are_used_at_once_freeze_nothing(drill: Play) -> None:
    verdict = await drill("poloniex-2023", without="eyes")
    assert not verdict.is_held


async def test_where_a_journaled_transaction_is_not_judged_by_what_it_pays_merchants_lose(
    drill: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "_check_reserved", lambda *_: None)
    monkeypatch.setattr(audit, "_check_signed", lambda *_: None)
    monkeypatch.setattr(evidence, "strange_outputs", lambda *_: "")
    verdict = await drill("collusive-settlement")
    assert verdict.losses.merchants["ETH"] > 0
    assert not verdict.is_held


async def test_a_device_that_signs_what_was_not_checked_gives_the_vault_away(
    drill: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (psbt, safe):
        monkeypatch.setattr(module, "refuse_unless_checked", lambda *_: None)
    verdict = await drill("bybit-2025")
    assert fiat(verdict.losses.merchants) > 0
    assert not verdict.is_held


async def test_without_the_merchants_signature_a_request_that_was_changed_on_its_way_is_paid(drill: Play) -> None:
    verdict = await drill("dmm-2024", without="merchants-signature")
    assert fiat(verdict.losses.company) > 0
    assert not verdict.is_held


@pytest.mark.parametrize("name", ["ronin-2022", "rogue-officer"])
async def test_where_one_signature_is_enough_one_officers_papers_are_taken(drill: Play, name: str) -> None:
    verdict = await drill(name, without="quorum")
    assert not verdict.is_held


async def test_with_the_liar_alone_what_never_came_is_credited(drill: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kelpdao_2026, "NODES", 1)
    verdict = await drill("kelpdao-2026")
    assert "while one node is silent, nothing of the liar's is credited" in verdict.failures
