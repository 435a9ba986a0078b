"""Every drill has its page, stands in the table, and says what a drill must say."""

from pathlib import Path

import pytest

from holdfast.drill.scenario import Scenario, all_scenarios

PAGES = Path(__file__).parents[2] / "docs" / "drills"
TABLE = (PAGES / "README.md").read_text()


@pytest.mark.parametrize("one", all_scenarios(), ids=lambda one: one.name)
def test_every_drill_has_a_page_and_a_line_in_the_table(one: Scenario) -> None:
    page = (PAGES / f"{one.name}.md").read_text()
    assert page.startswith(f"# {one.name}")
    assert "*Which question this page answers:" in page
    assert f"]({one.name}.md)" in TABLE


def test_every_page_is_of_a_drill() -> None:
    pages = {path.stem for path in PAGES.glob("*.md")} - {"README"}
    assert pages == {one.name for one in all_scenarios()}


def test_the_drills_that_were_promised_are_there() -> None:
    promised = """coinspaid-2023 bigone-2025 phantom-credit alphapo-2023 poloniex-2023 atomic-2023 ronin-2022 bybit-2025
    dmm-2024 kelpdao-2026 address-swap replay rollback fee-burn deep-reorg rogue-officer key-enrolment window-edge
    dust-and-spam watchtower-down hoarded-releases collusive-settlement"""
    assert set(promised.split()) <= {one.name for one in all_scenarios()}
