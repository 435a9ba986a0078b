"""The checkout as a payer uses it: a real browser, a real server process, a real node."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright, expect

from fixtures_faces import RLTC, USDT, Member, Served, own_database, serve
from fixtures_payments import Pool, TestClock, anvil_settings, bitcoin_settings, catch_up
from holdfast.chains.localnet import RegtestNode
from holdfast.payments import housekeeping
from holdfast.payments.catalogue import catalogue
from holdfast.payments.follow import Follower
from holdfast.payments.steps import Work
from holdfast.runtime.database import open_pool

CHROMIUM = Path("/usr/bin/chromium")
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
COIN = 100_000_000
pytestmark = [
    pytest.mark.node,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.xdist_group("litecoin"),
    pytest.mark.skipif(not CHROMIUM.exists(), reason="Debian's chromium is not installed"),
]


class Till:
    """A merchant's checkout: the server process, his key, and a follower that the test steps."""

    def __init__(self, served: Served, pool: Pool, litecoin: RegtestNode) -> None:
        self.served, self.pool, self.litecoin = served, pool, litecoin
        self.member: Member = served.enrol()
        self.clock = TestClock()
        listed = catalogue(served.settings).network_of[RLTC]  # type: ignore[index]  an asset's id
        self.node = litecoin.node()
        self.follower = Follower(pool, Work(listed), self.node, self.clock)

    def invoice(self, **changes: Any) -> dict[str, Any]:
        order = {"price": {"amount": "85.00", "currency": "EUR"}, "description": "Two paperbacks and a mug", **changes}
        made = self.served.call("POST", "/v1/invoices", order, key=self.member.key)
        assert made.status_code == 201, made.text
        return dict(made.json())

    def fetch(self, url: str, form: dict[str, str] | None = None) -> httpx.Response:
        """What a browser would get, or get for a form."""
        whole = url if url.startswith("http") else self.served.url + url
        return httpx.get(whole) if form is None else httpx.post(whole, data=form)

    async def pay(self, address: str, units: int) -> None:
        await self.litecoin.send(address, units)
        await catch_up(self.follower)

    async def mine(self, blocks: int) -> None:
        await self.litecoin.mine(blocks)
        await catch_up(self.follower)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(
    server: Any, litecoin: RegtestNode, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Served, Pool]]:
    """One server process for all of these tests. A coin of the real node costs 85 EUR and needs three confirmations."""
    networks = {
        "litecoin-regtest": bitcoin_settings("litecoin-regtest", litecoin.rpc_url),
        "anvil": anvil_settings("http://127.0.0.1:1/"),
    }
    directory = tmp_path_factory.mktemp("till")
    with own_database(server) as url, serve(directory, url, networks=networks) as served:
        pool = await open_pool(url, size_min=1, size_max=4)
        yield served, pool
        await pool.close()


@pytest_asyncio.fixture(loop_scope="module")
async def till(shared: tuple[Served, Pool], litecoin: RegtestNode) -> AsyncIterator[Till]:
    """A merchant of this test's own."""
    opened = Till(*shared, litecoin)
    await catch_up(opened.follower)
    yield opened
    await opened.node.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield launched
        await launched.close()


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A page whose every complaint, such as a policy that forbids something, fails the test."""
    context = await browser.new_context(viewport={"width": 1280, "height": 820})
    opened = await context.new_page()
    complaints: list[str] = []
    opened.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    yield opened
    await context.close()
    assert complaints == []


async def test_a_payer_picks_a_coin_pays_in_two_parts_and_sees_it_confirmed_without_reloading(
    till: Till, page: Page, tmp_path: Path
) -> None:
    made = till.invoice(redirect_url="https://books.example.org/thanks", reference="4711")
    await page.goto(made["checkout_url"])
    await expect(page.get_by_role("heading", level=1)).to_contain_text("85.00 EUR")
    await page.get_by_role("button", name="rLTC on Litecoin Regtest").click()
    await expect(page.locator("#amount")).to_have_text("1")
    address = await page.locator("#address").inner_text()
    assert await page.locator("#wallet").get_attribute("href") == f"litecoin:{address}?amount=1"
    await expect(page.locator("#clock")).to_have_text(re.compile(r"^1[45]:[0-9]{2}$"))
    await page.screenshot(path=tmp_path / "pay.png")

    await till.pay(address, COIN // 4)
    await expect(page.get_by_role("alert")).to_contain_text("21.25 EUR of 85.00 arrived")
    await expect(page.locator("#amount")).to_have_text("0.75")
    await expect(page.locator("#address")).to_have_text(address)

    await till.pay(address, COIN * 3 // 4)
    await expect(page.get_by_role("heading", level=2)).to_have_text("Payment received")
    await expect(page.get_by_text("waiting for a block")).to_have_count(2)
    for confirmations in (1, 2):
        await till.mine(1)
        await expect(page.get_by_text(f"{confirmations} of 3 confirmations")).to_have_count(2)
    await till.mine(1)
    await expect(page.get_by_role("heading", level=2)).to_have_text("Paid. Thank you!")
    await expect(page.locator("#said")).to_have_text("Paid. Thank you.")
    back = page.get_by_role("link", name="Back to books.example.org")
    assert await back.get_attribute("href") == "https://books.example.org/thanks"


async def test_the_copy_buttons_copy_exactly_what_is_shown(till: Till, page: Page) -> None:
    made = till.invoice(asset=RLTC)
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await page.goto(made["checkout_url"])
    await page.bring_to_front()  # only a page in front may write to the clipboard
    for name, selector in (("Copy the amount", "#amount"), ("Copy the address", "#address")):
        await page.get_by_role("button", name=name).click()
        await expect(page.locator("#said")).to_have_text("Copied")
        assert await page.evaluate("navigator.clipboard.readText()") == await page.locator(selector).inner_text()


async def test_an_unpaid_invoice_expires_before_the_payers_eyes(till: Till, page: Page) -> None:
    made = till.invoice(asset=RLTC, expires_in_seconds=10)
    await page.goto(made["checkout_url"])
    await expect(page.locator("#address")).to_be_visible()
    await expect(page.get_by_role("heading", level=2)).to_have_text("Time is up", timeout=15_000)
    await expect(page.locator("#address")).to_have_count(0)
    await till.mine(1)
    till.clock.pass_minutes(1)
    await till.mine(1)
    await catch_up(till.follower)
    await _anvil_is_read(till)
    assert await housekeeping.expire_all(till.pool, till.clock.now()) == 1
    await expect(page.get_by_role("heading", level=2)).to_have_text("This invoice has expired")


async def _anvil_is_read(till: Till) -> None:
    """Nobody follows anvil here: say that it has been read, as its follower would."""
    async with till.pool.connection() as conn:
        await conn.execute(
            "INSERT INTO payments.cursors (network, read_through) VALUES ('eip155:31337', %s) ON CONFLICT DO NOTHING",
            (till.clock.now(),),
        )


async def test_the_page_says_everything_without_scripts(till: Till, browser: Browser) -> None:
    made = till.invoice()
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await page.goto(made["checkout_url"])
    await page.get_by_role("button", name="rLTC on Litecoin Regtest").click()
    await expect(page.locator("#amount")).to_have_text("1")
    await expect(page.locator("#address")).to_have_text(re.compile("^rltc1q"))
    await expect(page.locator("#clock")).to_have_text(re.compile("until [0-9]{2}:[0-9]{2} UTC"))
    assert '<meta http-equiv="refresh"' in await page.content()
    await context.close()


async def test_nothing_hangs_over_the_edge_of_a_phone(till: Till, browser: Browser) -> None:
    made = till.invoice(description="A" * 200, reference="R" * 200)
    context = await browser.new_context(viewport={"width": 360, "height": 740}, is_mobile=True)
    page = await context.new_page()
    for asset in ("", RLTC):
        if asset:
            till.served.call("POST", f"/v1/invoices/{made['id']}/quotes", {"asset": asset}, key=till.member.key)
        await page.goto(made["checkout_url"])
        assert await page.evaluate("document.documentElement.scrollWidth") <= 360
    await context.close()


async def test_what_can_be_clicked_has_a_name_and_what_is_shown_has_a_label(till: Till, page: Page) -> None:
    made = till.invoice(asset=RLTC)
    await page.goto(made["checkout_url"])
    await expect(page.get_by_role("img", name=re.compile("QR code of the payment: 1 rLTC"))).to_be_visible()
    for role in ("button", "link"):
        for element in await page.get_by_role(role).all():  # type: ignore[arg-type]  two of the roles
            name = await element.get_attribute("aria-label") or await element.inner_text()
            assert name.strip()
    assert await page.locator("html").get_attribute("lang") == "en"


async def test_another_assets_quote_is_one_click_away(till: Till, page: Page) -> None:
    made = till.invoice(asset=RLTC)
    await page.goto(made["checkout_url"])
    await page.get_by_role("link", name="Pay with something else").click()
    await expect(page.get_by_role("heading", level=2)).to_have_text("Choose what to pay with")
    await page.get_by_role("button", name="ETH on Anvil").click()
    await expect(page.locator("#address")).to_have_text(re.compile("^0x"))


async def test_a_page_of_no_invoice_says_so(till: Till) -> None:
    for path in ("/i/inv_none", "/i/inv_none/live"):
        answer = till.fetch(path)
        assert answer.status_code == 404
        assert "There is no such invoice" in answer.text
    posted = till.fetch("/i/inv_none/quotes", {"asset": RLTC})
    assert posted.status_code == 404


async def test_an_asset_that_is_not_offered_is_refused_on_the_page(till: Till) -> None:
    made = till.invoice(assets=[RLTC])
    refused = till.fetch(f"{made['checkout_url']}/quotes", {"asset": USDT})
    assert refused.status_code == 400
    assert "This invoice cannot be paid in that asset." in refused.text


async def test_what_a_merchant_writes_cannot_become_a_script(till: Till) -> None:
    made = till.invoice(description="<script>alert(1)</script>", reference='"><img src=x>')
    text = till.fetch(made["checkout_url"]).text
    assert "<script>alert" not in text
    assert "<img src=x>" not in text
    assert "&lt;script&gt;alert(1)" in text


async def test_the_page_loads_its_own_files_and_nothing_else(till: Till) -> None:
    made = till.invoice(asset=RLTC)
    answer = till.fetch(made["checkout_url"])
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"\sstyle=|\son[a-z]+=|<script(?! src=\"/static/)", answer.text)
    for name in re.findall(r'(?:src|href)="(/static/[^"]+)"', answer.text):
        file = till.fetch(name)
        assert file.status_code == 200
        assert "immutable" in file.headers["cache-control"]


async def test_a_stopping_server_lets_live_pages_go(server: Any, tmp_path: Path) -> None:
    with own_database(server) as url, serve(tmp_path, url) as served:
        member = served.enrol()
        order = {"price": {"amount": "1", "currency": "EUR"}}
        made = served.call("POST", "/v1/invoices", order, key=member.key).json()
        async with httpx.AsyncClient() as client, client.stream("GET", f"{made['checkout_url']}/live") as stream:
            lines = stream.aiter_lines()
            assert await anext(lines) == "event: view"
            served.process.terminate()
            assert await asyncio.to_thread(served.process.wait, 8) == 0
