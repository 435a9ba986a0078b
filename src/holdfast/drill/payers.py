"""Honest payers: they go on paying the honest merchant's invoices, whatever happens, and what came of it is counted.

Each invoice is made by the SDK, which derives the address again; what it refuses is not paid.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import cycle

from holdfast.client import Invoice, NewInvoice
from holdfast.core.errors import HoldfastError
from holdfast.core.states import InvoiceState
from holdfast.drill.waiting import DrillStuck, until
from holdfast.drill.world import World

EVERY_SECONDS = 1.0
PRICE = "4.00"
ACCEPTED = (InvoiceState.PROCESSING, InvoiceState.SETTLED)


@dataclass(slots=True)
class Payers:
    """What they have done."""

    world: World
    paid: list[Invoice] = field(default_factory=list)
    refused: int = 0
    """Invoices that could not be made, or whose address the SDK refused."""

    async def accepted(self) -> int:
        """How many invoices that were made and paid meanwhile the platform has accepted."""

        async def all_are() -> bool:
            return await self._count() == len(self.paid)

        with suppress(DrillStuck):
            await until(all_are, "", seconds=8, pause_seconds=0.3)
        return await self._count()

    async def _count(self) -> int:
        return sum([await self.is_accepted(one) for one in self.paid])

    async def is_accepted(self, invoice: Invoice) -> bool:
        """Whether the platform has seen its payment; false where it does not answer."""
        with suppress(HoldfastError):
            return (await self.world.shop.invoice(invoice.id)).state in ACCEPTED
        return False

    async def pay_one(self, symbol: str) -> None:
        """One invoice, made and paid."""
        new = NewInvoice(amount=PRICE, currency="EUR", asset=self.world.facts.assets[symbol])
        try:
            invoice = await self.world.shop.create_invoice(new)
        except HoldfastError as error:
            self.refused += 1
            self.world.event("payer", f"no invoice: {error.code}")
            return
        quote = invoice.quotes[0]
        await self.world.pay(symbol, quote.address, int(quote.due_units))
        self.paid.append(invoice)


@asynccontextmanager
async def paying(world: World) -> AsyncIterator[Payers]:
    """Payers who pay in the background."""
    payers = Payers(world)
    task = asyncio.create_task(_go_on(payers))
    try:
        yield payers
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _go_on(payers: Payers) -> None:
    for symbol in cycle(("rLTC", "ETH", "USDT")):
        await payers.pay_one(symbol)
        await asyncio.sleep(EVERY_SECONDS)
