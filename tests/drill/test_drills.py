"""The quick drills hold; and each of them shows the loss where the guard that it is about is missing."""

from collections.abc import Awaitable, Callable

import pytest

from holdfast.drill.measure import fiat
from holdfast.drill.playing import Verdict
from holdfast.drill.scenario import all_scenarios
from holdfast.drill.scenarios import followed_theft

pytestmark = [pytest.mark.node, pytest.mark.drill, pytest.mark.slow, pytest.mark.xdist_group("drill")]

Play = Callable[..., Awaitable[Verdict]]
QUICK = [one.name for one in all_scenarios() if one.is_quick]


@pytest.mark.parametrize("name", QUICK)
async def test_a_quick_drill_holds(drill: Play, name: str) -> None:
    verdict = await drill(name)
    assert verdict.failures == []
    assert verdict.invoices_accepted_during > 0


async def test_without_the_merchants_signature_forged_requests_are_paid_and_the_drill_shows_it(drill: Play) -> None:
    verdict = await drill("coinspaid-2023", without="merchants-signature")
    assert not verdict.is_held
    assert fiat(verdict.losses.company) > 0
    assert verdict.losses.stolen


@pytest.mark.long
async def test_without_a_memory_of_payouts_they_are_paid_again_and_the_drill_shows_it(drill: Play) -> None:
    verdict = await drill("replay", without="memory-of-payouts")
    assert not verdict.is_held
    assert fiat(verdict.losses.company) > 0


@pytest.mark.long
async def test_where_nobody_looks_at_the_float_a_theft_goes_unseen_and_the_drill_fails(drill: Play) -> None:
    verdict = await drill("alphapo-2023", without="eyes")
    assert not verdict.is_held
    assert verdict.seconds_to_freeze is None


@pytest.mark.long
async def test_a_trace_that_tells_another_place_than_the_thief_used_fails_the_drill(
    drill: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = followed_theft.launder

    async def elsewhere(*words: object) -> followed_theft.Truth:
        truth = await real(*words)  # type: ignore[arg-type]  # passed on as it comes
        truth.lies["rLTC"] = {address: units + 1 for address, units in truth.lies["rLTC"].items()}
        return truth

    monkeypatch.setattr(followed_theft, "launder", elsewhere)
    verdict = await drill("followed-theft")
    assert verdict.failures == ["every rLTC is where the thief put it, to the unit"]
