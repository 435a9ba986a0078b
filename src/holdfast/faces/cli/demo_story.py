"""What happens in the demo: payers pay in every way that Holdfast promises to understand, and the shop is told.

Each chapter makes its invoices through the SDK, which derives every address again, and pays them from a real wallet.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from aiohttp import web

from holdfast.chains.localnet import AnvilNode, RegtestNode
from holdfast.client import (
    AddressNotOurs,
    AsyncHoldfast,
    Invoice,
    NewInvoice,
    Pin,
    WebhookForged,
    WebhookStale,
    verify_webhook,
)
from holdfast.core.errors import Unavailable
from holdfast.core.states import InvoiceState
from holdfast.faces.cli.demo_money_out import pay_out, settle, signer_of
from holdfast.faces.cli.local_setup import Localnet
from holdfast.ledger import audit
from holdfast.runtime.config import read_secret
from holdfast.runtime.database import connected
from holdfast.runtime.embedded_database import EmbeddedDatabase

WAIT_SECONDS = 60
MINT, TRANSFER = "40c10f19", "a9059cbb"
PRICE = "12.50"

Tell = Callable[[str, int], None]


class DemoStuck(Unavailable):
    """Something that should have happened in the demo did not happen in time. Read the log that stands above."""

    code = "demo-stuck"


@dataclass(frozen=True, slots=True)
class Scene:
    """The running set-up."""

    directory: Path
    url: str
    litecoin: RegtestNode
    evm: AnvilNode
    plan: Localnet
    merchant: dict[str, str]
    """What `holdfast merchant enrol` printed."""


@dataclass(slots=True)
class Outcome:
    """What came of it."""

    invoices_settled: int = 0
    deposits_confirmed: int = 0
    webhooks_verified: int = 0
    webhooks_forged: int = 0
    addresses_verified: int = 0
    swapped_address_refused: bool = False
    reorganisation_survived: bool = False
    ledger_balanced: bool = False
    payouts_confirmed: int = 0
    settlements: int = 0
    loss_bound: dict[str, object] = field(default_factory=dict)
    """What `holdfast policy explain` says of this set-up."""
    networks: list[str] = field(default_factory=list)
    invoices_made: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether everything that was to happen has happened."""
        return (
            self.ledger_balanced
            and self.swapped_address_refused
            and self.reorganisation_survived
            and self.webhooks_forged == 0
            and self.webhooks_verified > 0
            and self.payouts_confirmed > 0
            and self.settlements > 0
            and self.invoices_settled == self.invoices_made
        )

    def facts(self) -> dict[str, object]:
        """For the last line."""
        return {
            "invoices_settled": self.invoices_settled,
            "deposits_confirmed": self.deposits_confirmed,
            "webhooks_verified": self.webhooks_verified,
            "addresses_verified": self.addresses_verified,
            "swapped_address_refused": self.swapped_address_refused,
            "reorganisation_survived": self.reorganisation_survived,
            "payouts_confirmed": self.payouts_confirmed,
            "settlements": self.settlements,
            "loss_bound": self.loss_bound,
            "networks": self.networks,
            "ledger_balanced": self.ledger_balanced,
        }


@dataclass(slots=True)
class Shop:
    """The merchant's server: it makes invoices, and checks every webhook that it gets."""

    client: AsyncHoldfast
    outcome: Outcome
    assets: dict[str, str]
    secret: str = ""
    events: set[str] = field(default_factory=set)

    async def invoice(self, symbol: str) -> Invoice:
        """A new invoice to be paid in this asset. Its address has been derived again by the SDK."""
        invoice = await self.client.create_invoice(
            NewInvoice(amount=PRICE, currency="EUR", asset=self.assets[symbol], description=f"A book, paid in {symbol}")
        )
        self.outcome.invoices_made += 1
        self.outcome.addresses_verified += len(invoice.quotes)
        return invoice

    async def settled(self, *invoices: Invoice) -> None:
        """Wait until all of these are settled. Raises `DemoStuck`."""
        for invoice in invoices:
            await wait_until(partial(self._is, invoice, InvoiceState.SETTLED), f"{invoice.id} was not settled")

    async def _is(self, invoice: Invoice, state: InvoiceState) -> bool:
        return (await self.client.invoice(invoice.id)).state is state

    async def hear(self, request: web.Request) -> web.Response:
        """The webhook endpoint."""
        body = await request.read()
        try:
            event = verify_webhook(body, request.headers, [self.secret], datetime.now(UTC))  # noqa: TID251  a shop's clock
        except (WebhookForged, WebhookStale):
            self.outcome.webhooks_forged += 1
            return web.Response(status=400)
        self.events.add(event.id)
        return web.Response(status=204)


async def wait_until(is_so: Callable[[], Awaitable[bool]], otherwise: str) -> None:
    """Wait until it is so. Raises `DemoStuck`."""
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            while not await is_so():  # noqa: ASYNC110  the other side is other processes: nothing could set an event
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise DemoStuck(otherwise) from None


async def play(scene: Scene, tell: Tell) -> Outcome:
    """Every chapter, in order."""
    outcome = Outcome()
    api_key = read_secret(Path(scene.merchant["api_key_file"]))
    pin = Pin(root_fingerprint=scene.merchant["root_fingerprint"], key=bytes.fromhex(scene.merchant["key"]))
    async with AsyncHoldfast(scene.url, api_key, pin, signer=signer_of(scene)) as client:
        networks = await client.networks()
        outcome.networks = [network.id for network in networks]
        assets = {asset.symbol: asset.id for network in networks for asset in network.assets}
        shop = Shop(client, outcome, assets)
        async with listening(shop):
            await _litecoin_payments(scene, shop, tell)
            await _evm_payments(scene, shop, tell)
            tell("a reorganisation takes a settled payment back, and it is mined again", 4)
            await _reorganisation(scene, shop)
            tell("the platform shows an address that is not the merchant's", 5)
            outcome.swapped_address_refused = await _swapped_address(shop)
            tell("the shop signs payouts with its own key, on both networks", 6)
            outcome.payouts_confirmed = await pay_out(scene, shop)
            tell("the officers settle vault to float, checked on nodes of their own", 7)
            outcome.settlements = await settle(scene)
            tell("counting: invoices, webhooks, and the ledger from its first transfer", 8)
            await _count(scene, shop)
    return outcome


@asynccontextmanager
async def listening(shop: Shop) -> AsyncIterator[None]:
    """The shop's server runs, and its endpoint is registered."""
    application = web.Application()
    application.router.add_post("/webhooks", shop.hear)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    endpoint = await shop.client.create_webhook_endpoint(f"http://127.0.0.1:{port}/webhooks", allow_private=True)
    shop.secret = endpoint.secret or ""
    yield
    await runner.cleanup()


async def _litecoin_payments(scene: Scene, shop: Shop, tell: Tell) -> None:
    node = scene.litecoin
    tell("Litecoin: one payment, two payments, one transaction for two invoices, a replaced one", 0)
    whole, parts, first, second, bumped = [await shop.invoice("rLTC") for _ in range(5)]
    due = int(whole.quotes[0].due_units)
    await node.send(whole.quotes[0].address, due)
    await node.send(parts.quotes[0].address, due // 2)
    await node.send(parts.quotes[0].address, due - due // 2)
    await node.send_many({first.quotes[0].address: due, second.quotes[0].address: due})
    await node.bump(await node.send(bumped.quotes[0].address, due))
    await node.mine()
    await shop.settled(whole, parts, first, second, bumped)


async def _evm_payments(scene: Scene, shop: Shop, tell: Tell) -> None:
    tell("Ethereum: coin to an address where nothing exists yet, and USDT", 2)
    coin, token = await shop.invoice("ETH"), await shop.invoice("USDT")
    quote = token.quotes[0]
    units = int(quote.due_units)
    payer = (await scene.evm.accounts())[0]
    await scene.evm.send(coin.quotes[0].address, int(coin.quotes[0].due_units))
    for selector, target in ((MINT, payer), (TRANSFER, quote.address)):
        data = f"0x{selector}{target[2:].lower():0>64}{units:064x}"
        await scene.evm.call("eth_sendTransaction", {"from": payer, "to": scene.plan.token, "data": data})
    await scene.evm.mine(3)  # more than ten of an asset need three confirmations here
    await shop.settled(coin, token)


async def _reorganisation(scene: Scene, shop: Shop) -> None:
    """The block of a settled payment leaves the chain; the payment is mined again in another one."""
    invoice = await shop.invoice("rLTC")
    quote = invoice.quotes[0]
    await scene.litecoin.send(quote.address, int(quote.due_units))
    await scene.litecoin.mine()
    await shop.settled(invoice)
    await scene.litecoin.reorganise(1, with_transactions=False)

    async def taken_back() -> bool:
        return (await shop.client.invoice(invoice.id)).state is not InvoiceState.SETTLED

    await wait_until(taken_back, "the reorganisation was not noticed")
    await scene.litecoin.mine()
    await shop.settled(invoice)
    shop.outcome.reorganisation_survived = True


async def _swapped_address(shop: Shop) -> bool:
    """What the SDK does when a platform in an attacker's hands answers with his own address."""
    invoice = await shop.invoice("rLTC")
    shop.outcome.invoices_made -= 1  # nobody pays it
    stolen = (await shop.invoice("rLTC")).quotes[0]
    shop.outcome.invoices_made -= 1
    try:
        await shop.client.verify_address(invoice.quotes[0].network, invoice.quotes[0].index, stolen.address)
    except AddressNotOurs:
        return True
    return False


async def _count(scene: Scene, shop: Shop) -> None:
    outcome = shop.outcome
    settled = await shop.client.invoices(state=InvoiceState.SETTLED, limit=200)
    outcome.invoices_settled = len(settled.items)
    deposits = await shop.client.deposits(limit=200)
    outcome.deposits_confirmed = sum(deposit.state == "confirmed" for deposit in deposits.items)
    told = {event.id for event in (await shop.client.events(limit=200)).items}

    async def all_told() -> bool:
        return told <= shop.events

    await wait_until(all_told, "a webhook did not come")
    outcome.webhooks_verified = len(shop.events)
    async with connected(EmbeddedDatabase(scene.directory / "data" / "database").url) as connection:
        outcome.ledger_balanced = (await audit(connection)).balanced
