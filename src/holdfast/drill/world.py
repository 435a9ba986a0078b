"""A whole platform on test networks, with everything around it that a drill needs: payers, a thief's addresses, nodes.

Every zone is a process under its own user, with its own nodes behind its own proxies. The drill's process is outside of
them all: it mines, pays as payers pay, orders as honest merchants order, and looks.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from random import Random  # noqa: TID251  seeded: a drill must be repeatable
from typing import Any

from coincurve import PublicKey

from holdfast.chains.bitcoin_scripts import address_of as script_address
from holdfast.chains.localnet import RegtestNode
from holdfast.client import AsyncHoldfast, Payout, PayoutOrder, PayTo
from holdfast.core.evm_transactions import address_of
from holdfast.core.money import parse_units
from holdfast.core.tower_status import StopShown, TowerStatus
from holdfast.drill.cables import Cables
from holdfast.drill.chain import Outside
from holdfast.drill.measure import DECIMALS, Flows, Purses
from holdfast.drill.places import Places, TrustZone
from holdfast.drill.processes import ZoneProcess
from holdfast.drill.proxies import Link, NodeProxy
from holdfast.drill.template import Facts
from holdfast.drill.waiting import DrillStuck, connection, until
from holdfast.faces.cli.serve import ZoneName
from holdfast.runtime.embedded_database import EmbeddedDatabase

_DECISIONS = """
    SELECT key, waiting_rule FROM payments.payouts WHERE key = ANY(%s) AND waiting_rule IS NOT NULL
    UNION ALL
    SELECT subject, coalesce(document::jsonb->'body'->>'rule', kind) FROM payments.journal
    WHERE subject = ANY(%s) AND kind IN ('accepted', 'refused', 'abandoned')
"""
BLOCK_SECONDS = 0.7
SETTLE_BLOCKS = 4


@dataclass(frozen=True, slots=True)
class Event:
    """A line of a drill's timeline."""

    at_ms: int
    """Milliseconds since 1970."""
    who: str
    what: str


@dataclass(slots=True)
class World:
    """The platform under attack. See the package's docstring for what a scenario does with it."""

    places: Places
    facts: Facts
    seed: int
    draw: Random
    outside: Outside
    purses: Purses
    proxies: dict[tuple[TrustZone, str], NodeProxy]
    """By zone and `litecoin` or `anvil`."""
    links: dict[str, Link]
    """`signer-watchtower`, `signer-platform`, and more where zones have networks of their own."""
    zones: dict[ZoneName, ZoneProcess]
    witnesses: dict[str, RegtestNode]
    """Litecoin nodes of the zones."""
    shop: AsyncHoldfast
    mallory: AsyncHoldfast
    cables: Cables = field(default_factory=Cables)
    """The zones' own networks, where the fault needs them."""
    flows: Flows = field(default_factory=Flows)
    events: list[Event] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    seen: dict[str, int] = field(default_factory=dict)
    """The last moment, milliseconds since 1970, at which each transaction was not waiting for a block yet."""
    told: TowerStatus | None = None
    """What the watchtower said last."""
    is_mining: bool = True
    blocks: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Whoever holds it, for that long the rhythm makes no blocks."""
    tell: Callable[[Event], None] = lambda _: None
    """Hears every line of the timeline as it is written."""

    # --- what a scenario says

    def event(self, who: str, what: str) -> None:
        """Put a line into the timeline."""
        event = Event(now_ms(), who, what)
        self.events.append(event)
        self.tell(event)

    def note(self, text: str) -> None:
        """Put a line into the report."""
        self.notes.append(text)

    def require(self, is_so: object, what: str) -> None:
        """What must be so; if it is not, the drill fails, whatever was lost."""
        self.event("drill", f"{'so' if is_so else 'NOT SO'}: {what}")
        if not is_so:
            self.failures.append(what)

    # --- what honest people do

    @property
    def thief(self) -> dict[str, str]:
        """Where the attacker wants money, by symbol: addresses that were never used."""
        return self.purses.thief

    async def address(self, symbol: str) -> str:
        """Somebody's fresh address for a payout, from which nobody ever spends: what is there, has arrived."""
        if symbol == "rLTC":
            return script_address(self.outside.litecoin.network, b"\x00\x14" + self.draw.randbytes(20))
        return address_of(PublicKey.from_secret(self.draw.randbytes(32)))

    async def order(self, merchant: AsyncHoldfast, symbol: str, amount: str, to: str | None = None) -> Payout:
        """An honest payout, signed by the merchant's own SDK; what arrives there is no loss."""
        destination = to or await self.address(symbol)
        order = PayoutOrder(asset=self.facts.assets[symbol], lines=[PayTo(destination, amount)])
        made = await merchant.payouts.create(order)
        units = parse_units(amount, DECIMALS[symbol])
        self.flows.ordered[symbol][destination] = self.flows.ordered[symbol].get(destination, 0) + units
        return made

    async def pay(self, symbol: str, address: str, units: int, *, is_verified: bool = True) -> str:
        """Pay as a payer does. `is_verified`: the SDK derived this address, so it is the vault's."""
        # A payer who is told to stop half way has paid all the same: what is counted is what is sent.
        return await asyncio.shield(self._pay(symbol, address, units, is_verified=is_verified))

    async def _pay(self, symbol: str, address: str, units: int, *, is_verified: bool) -> str:
        made = await self.outside.pay(symbol, address, units)
        if is_verified:
            self.purses.vault[symbol].add(address)
            self.flows.deposited[symbol] += units
        else:
            self.flows.misdirected.add(address)
        return made

    # --- faults

    async def kill(self, name: ZoneName) -> None:
        """kill -9; it stays away until `up`."""
        self.event("drill", f"kill -9 {name}")
        await self.zones[name].kill()

    def up(self, name: ZoneName) -> None:
        """Start a zone again."""
        self.event("drill", f"{name} is started again")
        self.zones[name].up()

    # --- looking

    def nodes_of(self, zone: TrustZone) -> dict[str, Any]:
        """URLs of a zone's own nodes, as its settings have them: `litecoin` and `anvil`."""
        return {name: self.proxies[zone, name].url for name in ("litecoin", "anvil")}

    async def until(self, is_so: Callable[[], Awaitable[bool]], otherwise: str, *, seconds: float = 45.0) -> bool:
        """Wait for it; a requirement that is not met in time fails the drill. Whether it came to be so."""
        try:
            await until(is_so, otherwise, seconds=seconds)
        except DrillStuck:
            self.require(False, otherwise)  # noqa: FBT003  it is not so
            return False
        return True

    async def settle(self, blocks: int = SETTLE_BLOCKS) -> None:
        """Blocks, until what waits now is final for everybody."""
        for _ in range(blocks):
            await self.outside.mine()
            await asyncio.sleep(BLOCK_SECONDS / 2)

    @property
    def stops(self) -> tuple[StopShown, ...]:
        """Every freeze, oldest first."""
        return () if self.told is None else self.told.stops

    def frozen(self) -> set[str]:
        """Scopes in which the watchtower lets nothing go out now."""
        return set() if self.told is None else set(self.told.frozen)

    async def decisions(self, payouts: Sequence[str]) -> dict[str, str]:
        """What the signer's journal says of these payouts: `accepted`, the rule that refused it, or what it waits for.

        One that the signer has not looked at is not in it.
        """
        said = await self.rows(_DECISIONS, list(payouts), list(payouts))
        return {str(name): str(rule) for name, rule in said}

    async def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """What the platform's database holds: for the drill's own eyes."""
        url = EmbeddedDatabase(self.places.of(TrustZone.PLATFORM) / "data" / "database").owner_url
        async with await connection(url) as opened:
            cursor = await opened.execute(query.encode(), values)
            return await cursor.fetchall()

    def ready(self) -> None:
        """The zones' logs up to here are of the start."""
        self.event("drill", "every zone answers")


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000
