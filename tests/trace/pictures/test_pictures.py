"""Pictures of a trace: under sixty things first, numbers that are the report's, and no text of a case that acts."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from playwright.async_api import Page, async_playwright

from fixtures_report import ASSET, AT, COIN, ETH, EXCHANGE, theft_case
from holdfast.core.money import Asset, AssetId
from holdfast.faces.cli.trace_view import drawn
from holdfast.trace.case import Case
from holdfast.trace.follow.engine import follow
from holdfast.trace.labels.book import Book
from holdfast.trace.model import Label, LabelKind, Trace, Transfer
from holdfast.trace.pictures import page as pages
from holdfast.trace.pictures.amounts import Words
from holdfast.trace.pictures.drawing import graph_svg
from holdfast.trace.pictures.edges_csv import edges_csv
from holdfast.trace.pictures.reduction import THINGS_MAX, picture
from holdfast.trace.pictures.sankey import sankey_svg
from holdfast.trace.pictures.scene import scene
from holdfast.trace.reading import ListedTransfers
from holdfast.trace.taint import Policy

ROOT = Path(__file__).parents[3]
CHROMIUM = Path("/usr/bin/chromium")


def in_a_browser(test: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    for mark in (
        pytest.mark.node, pytest.mark.xdist_group("browser"),
        pytest.mark.skipif(not CHROMIUM.exists(), reason="Debian's chromium is not installed"),
    ):  # fmt: skip
        test = mark(test)
    return test


EVIL = "<script>window.stolen = 1</script><img src=x onerror=stolen=1>"
WORDS = Words("july", assets={ASSET: Asset(AssetId(ASSET), "ETH", 18)})


def account(number: int) -> str:
    return f"0x{number:040x}"


def tree(width: int) -> Trace:
    """A theft that goes on to so many addresses, and from each to two more."""
    rows = [Transfer(ETH, 1, 0, AT, "0xaa", account(1), account(2), ASSET, 4 * width * COIN)]
    for at in range(width):
        rows.append(Transfer(ETH, 2 + at, 0, AT + at, f"0x{at:064x}", account(2), account(100 + at), ASSET, 4 * COIN))
        for more in range(2):
            way = (account(100 + at), account(100_000 + 2 * at + more))
            rows.append(Transfer(ETH, 9_000 + at, more, AT + 9_000, f"0xb{2 * at + more:063x}", *way, ASSET, 2 * COIN))
    return follow(ListedTransfers(rows), Book(), rows[:1])


def test_people_see_under_sixty_things_first_and_no_money_is_lost_to_sight() -> None:
    trace = tree(60)
    found = picture(trace, WORDS)
    first = scene(found, Policy.HAIRCUT)
    assert len(first.things) + len(first.lines) <= THINGS_MAX
    assert len(trace.steps) == 181
    hidden = sum(thing.hidden_parts for thing in first.things)
    assert hidden > 0, "what is not drawn is told beside the thing that it left"


def test_every_line_carries_the_amount_and_the_step_number_of_the_report(case: Case) -> None:
    trace = case.trace()
    svg = graph_svg(picture(trace, WORDS))
    for step in trace.steps:
        assert step.id in svg
    assert "10 ETH" in svg
    ElementTree.fromstring(svg)  # noqa: S314  our own text


def test_the_table_has_every_step_with_exact_units_and_no_formula(case: Case) -> None:
    trace = case.trace()
    rows = list(csv.DictReader(io.StringIO(edges_csv(picture(trace, WORDS)))))
    assert [row["step"] for row in rows] == [step.id for step in trace.steps]
    assert rows[0]["units"] == str(10 * COIN)
    assert not [cell for row in rows for cell in row.values() if cell.startswith(("=", "@", "+"))]


def test_a_sankey_names_what_was_stolen_and_where_it_is(case: Case) -> None:
    svg = sankey_svg(case.trace(), WORDS)
    ElementTree.fromstring(svg)  # noqa: S314  our own text
    assert "Stolen: 10 ETH" in svg
    assert "Kraken · 30.0 %" in svg, "by haircut 3 of the 4 that came to the exchange"


def test_the_page_loads_nothing_and_runs_only_its_own_two_programs(case: Case) -> None:
    text = drawn(case)["page"].read_text()
    assert "default-src 'none'" in text
    assert text.count("'sha256-") == 2
    assert "src=" not in text.partition("<script type")[0]


def test_cytoscape_is_the_file_that_its_makers_built() -> None:
    built = ROOT / "node_modules" / "cytoscape" / "dist" / "cytoscape.min.js"
    shipped = ROOT / "src" / "holdfast" / "trace" / "pictures" / "static" / "cytoscape.min.js"
    assert shipped.read_bytes() == built.read_bytes()


@pytest.fixture
async def browser_page() -> AsyncIterator[Page]:
    """A page of a real browser that keeps what goes wrong on it."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        opened = await browser.new_page(viewport={"width": 1400, "height": 850}, accept_downloads=True)
        wrong: list[str] = []
        opened.on("pageerror", lambda error: wrong.append(str(error)))
        opened.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        yield opened
        assert wrong == []
        await browser.close()


async def shown(page: Page, path: Path) -> str:
    await page.goto(path.as_uri())
    await page.wait_for_function("window.holdfastTrace !== undefined")
    return await page.inner_text("#said")


@in_a_browser
async def test_people_open_pin_filter_find_and_take_away(tmp_path: Path, browser_page: Page) -> None:
    words, found = WORDS, picture(tree(60), WORDS)
    path = tmp_path / "trace.html"
    path.write_text(pages.page(found, words))
    said = await shown(browser_page, path)
    assert "181 steps" in said
    before = await browser_page.evaluate("window.holdfastTrace.cy.nodes().length")
    await browser_page.click("aside li button >> nth=1")
    assert "Steps" in await browser_page.inner_text("aside")
    await browser_page.keyboard.press("p")
    assert await browser_page.evaluate("window.holdfastTrace.cy.nodes('[?pinned]').length") == 1
    await browser_page.keyboard.press("m")
    assert await browser_page.evaluate("window.holdfastTrace.cy.nodes().length") > before
    await browser_page.fill("#find", account(100_007))
    await browser_page.press("#find", "Enter")
    assert account(100_007)[-6:] in (await browser_page.inner_text("aside")).lower()
    await browser_page.select_option("#least", label="10 %")
    assert await browser_page.evaluate("window.holdfastTrace.cy.edges().length") <= 1
    await browser_page.click("#again")
    assert await browser_page.evaluate("window.holdfastTrace.cy.nodes().length") == before
    for button, head in (("#svg", b"<svg"), ("#png", b"\x89PNG"), ("#csv", b"step,time")):
        async with browser_page.expect_download() as waiting:
            await browser_page.click(button)
        taken = await (await waiting.value).path()
        assert (await asyncio.to_thread(Path(taken).read_bytes)).startswith(head)


@in_a_browser
async def test_a_label_that_is_a_program_is_a_text(tmp_path: Path, browser_page: Page) -> None:
    case = theft_case(tmp_path / "case")
    trace = case.trace()
    evil = Label(ETH, EXCHANGE, EVIL, LabelKind.EXCHANGE, EVIL, 80, AT)
    trace.ends = [
        end if end.label is None else type(end)(end.network, end.address, end.asset, end.kind, end.lies, evil, EVIL)
        for end in trace.ends
    ]
    words = replace(WORDS, title=EVIL)
    path = tmp_path / "trace.html"
    path.write_text(pages.page(picture(trace, words), words))
    await shown(browser_page, path)
    await browser_page.click("aside li button >> nth=-1")
    assert await browser_page.evaluate("window.stolen") is None
    assert await browser_page.title() == EVIL
    assert "<script>window" not in graph_svg(picture(trace, words))
    assert "<script>window" not in sankey_svg(trace, words)


@in_a_browser
async def test_five_thousand_steps_are_usable(tmp_path: Path, browser_page: Page) -> None:
    trace = tree(1_667)
    assert len(trace.steps) > 5_000
    path = tmp_path / "trace.html"
    path.write_text(pages.page(picture(trace, WORDS), WORDS))
    assert "5002 steps" in await shown(browser_page, path)
    assert await browser_page.evaluate("window.holdfastTrace.cy.nodes().length") < THINGS_MAX
