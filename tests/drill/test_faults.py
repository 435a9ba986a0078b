"""Something breaks in the middle of a drill: nothing is lost, payments in resume, and the report says what was seen."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from holdfast.core.errors import BadInput
from holdfast.drill import faults
from holdfast.drill.cables import CABLES, LINES, not_run
from holdfast.drill.faults import fault, names
from holdfast.drill.playing import Verdict

Play = Callable[..., Awaitable[Verdict]]
QUICK = "coinspaid-2023"
SEEN = {
    "kill:database": "api is not ready",
    "kill:watchtower": "watchtower does not answer",
    "dead:watchtower": "watchtower does not see bip122",
    "dark:signer": "",
    "cut:signer-watchtower": "no lease is granted",
    "full:signer": "signer was started",
    "unplugged:signer-watchtower": "no lease is granted",
    "unplugged:platform-watchtower": "",
    "unplugged:incident-watchtower": "",
}
"""One of each kind, and what must stand in the report; empty: from outside nothing need be seen."""


def holds(verdict: Verdict, name: str, seen: str) -> None:
    """Money is safe, payments resumed (a drill requires it after a fault), and it is told."""
    assert verdict.failures == []
    assert verdict.losses.merchants == verdict.losses.company == dict.fromkeys(verdict.losses.company, 0)
    assert verdict.invoices_accepted_during > 0
    (told,) = [note for note in verdict.notes if name in note]
    assert "NOT RUN" not in told
    assert seen in told


@pytest.mark.node
@pytest.mark.drill
@pytest.mark.slow
@pytest.mark.xdist_group("drill")
async def test_where_packets_between_signer_and_watchtower_are_lost_no_lease_is_granted_and_it_goes_on(
    drill: Play,
) -> None:
    if not_run():
        pytest.skip(f"the host does not let us: {not_run()}")
    name = "unplugged:signer-watchtower"
    holds(await drill(QUICK, fault=fault(name)), name, SEEN[name])


@pytest.mark.node
@pytest.mark.drill
@pytest.mark.long
@pytest.mark.parametrize("name", sorted(SEEN))
async def test_a_fault_of_each_kind_costs_nothing_and_is_told(drill: Play, name: str) -> None:
    if (why := fault(name).not_run) != "":
        pytest.skip(f"the host does not let us: {why}")
    holds(await drill(QUICK, fault=fault(name)), name, SEEN[name])


@pytest.mark.node
@pytest.mark.drill
@pytest.mark.long
async def test_a_fault_that_is_not_mended_fails_the_drill(drill: Play) -> None:
    async def never(_: object) -> None:
        """The API stays away."""

    verdict = await drill(QUICK, fault=replace(fault("kill:api"), mends=never))
    assert "an invoice that was made after the fault was mended is accepted" in verdict.failures


def test_every_kind_of_fault_is_tried() -> None:
    assert {name.partition(":")[0] for name in SEEN} == {name.partition(":")[0] for name in names()}
    assert set(SEEN) <= set(names())


def test_a_fault_that_nobody_knows_is_refused() -> None:
    with pytest.raises(BadInput, match="unplugged:signer-incident"):
        fault("unplugged:signer-incident")


@pytest.mark.parametrize("name", ["full:signer", "unplugged:signer-platform"])
def test_without_root_a_fault_that_needs_it_is_not_run(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults.os, "geteuid", lambda: 1000)
    not_run.cache_clear()
    assert fault(name).not_run == "it needs root"
    not_run.cache_clear()


def test_every_line_has_a_cable_that_can_be_pulled() -> None:
    assert all(end in CABLES[zone] for zone, end in LINES.values())
