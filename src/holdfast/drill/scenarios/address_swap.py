"""The platform shows the attacker's addresses: nothing is signed, so no signer can stop it. See docs/drills."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import httpx

from holdfast.client import NewInvoice
from holdfast.core.errors import HoldfastError
from holdfast.drill.bounds import Bound
from holdfast.drill.hands import Hand
from holdfast.drill.places import TrustZone

if TYPE_CHECKING:
    from holdfast.drill.attacker import Attacker
    from holdfast.drill.world import World

NAME = "address-swap"
TITLE = "the platform shows the attacker's addresses to merchants and payers"
OWNS = (TrustZone.PLATFORM,)
BOUND = Bound.NOTHING

HOSTED = ("rLTC", "ETH", "USDT", "rLTC", "ETH", "USDT")
"""What payers pick on the hosted checkout, one after the other."""
PRICE = "25.00"
REGULAR = "regular customer"
_ADDRESS = re.compile(r'id="address"[^>]*>([^<]+)<')
_SHOWN = """
CREATE OR REPLACE FUNCTION payments.shown() RETURNS trigger LANGUAGE plpgsql AS $body$ BEGIN
    IF {is_all} OR NEW.created_at > (SELECT created_at FROM payments.invoices WHERE id = NEW.invoice_id) THEN
        NEW.address := CASE WHEN NEW.network LIKE 'bip122%' THEN '{bitcoin}' ELSE '{evm}' END;
    END IF;
    RETURN NEW;
END $body$;
CREATE OR REPLACE TRIGGER shown BEFORE INSERT ON payments.quotes FOR EACH ROW EXECUTE FUNCTION payments.shown()
"""


async def play(world: World, attacker: Attacker) -> None:
    """Everywhere first, where the SDK looks as well; then only where nobody looks again."""
    networks = sorted({asset.partition("/")[0] for asset in world.facts.assets.values()})
    for network in networks:
        await world.shop.deposit_address(network, REGULAR)
    await attacker.run(swap, thief=world.thief, is_all=True)
    world.note(f"addresses of his that the SDK took: {await _by_sdk(world, networks)}")
    await attacker.run(swap, thief=world.thief, is_all=False)
    shown = [await _hosted(world, symbol) for symbol in HOSTED]
    redirected = sum(shown)
    world.note(f"hosted checkout: {redirected} of {len(shown)} payers were shown his address, and paid there; "
               "for that inflow there is no bound")  # fmt: skip
    world.require(redirected == len(shown), "he redirects the hosted checkout: the honest limit is played, not hidden")


async def _by_sdk(world: World, networks: list[str]) -> int:
    """A merchant's program asks for invoices and standing addresses; how often it would have shown a wrong one."""
    taken = 0
    for asset in sorted(world.facts.assets.values()):
        try:
            invoice = await world.shop.create_invoice(NewInvoice(amount=PRICE, currency="EUR", asset=asset))
            again = await world.shop.invoice(invoice.id)
            taken += any(quote.address in world.thief.values() for one in (invoice, again) for quote in one.quotes)
        except HoldfastError as error:
            world.event("shop", f"invoice: {error.code}")
            world.require(error.code == "address-not-ours", "the SDK says what is wrong with an invoice's address")
    for network in networks:
        try:
            given = await world.shop.deposit_address(network, REGULAR)
            taken += given.address in world.thief.values()
        except HoldfastError as error:
            world.event("shop", f"standing address: {error.code}")
            world.require(error.code == "address-not-ours", "the SDK says what is wrong with a standing address")
    world.require(taken == 0, "a merchant who takes addresses through the SDK shows none of his")
    return taken


async def _hosted(world: World, symbol: str) -> bool:
    """A payer picks an asset on the checkout page and pays what it shows; whether that was the attacker's address."""
    invoice = await world.shop.create_invoice(NewInvoice(amount=PRICE, currency="EUR"))
    asset = world.facts.assets[symbol]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{world.facts.port}", trust_env=False) as browser:
        answer = await browser.post(f"/i/{invoice.id}/quotes", data={"asset": asset}, follow_redirects=True)
    found = _ADDRESS.search(answer.text)
    shown = found[1] if found is not None else ""
    due = "SELECT address, due_units FROM payments.quotes WHERE invoice_id = %s AND asset = %s"
    [(kept, units)] = await world.rows(due, invoice.id, asset)
    world.require(shown == kept, "the page shows what the platform's database says")
    is_his = shown in world.thief.values()
    await world.pay(symbol, shown, int(units), is_verified=not is_his)
    return is_his


async def swap(hand: Hand) -> object:
    """A trigger under everything that is shown, and the standing addresses of regular customers."""
    database, thief = await hand.database(), hand.facts["thief"]
    is_all = "true" if hand.facts["is_all"] else "false"
    await database.execute(_SHOWN.format(bitcoin=thief["rLTC"], evm=thief["ETH"], is_all=is_all))
    await database.execute(
        "UPDATE payments.addresses SET address = CASE WHEN network LIKE 'bip122%%' THEN %s ELSE %s END "
        "WHERE customer = %s",
        [thief["rLTC"], thief["ETH"], REGULAR],
    )
    await database.close()
    return None
