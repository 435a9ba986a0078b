"""The quick drills hold; and each of them shows the loss where the guard that it is about is missing."""

from collections.abc import Awaitable, Callable

import pytest

from holdfast.drill.measure import fiat
from holdfast.drill.playing import Verdict
from holdfast.drill.scenario import all_scenarios

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
