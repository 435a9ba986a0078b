"""What only a chain can tell of a journal: that each deposit, funding and mined transaction is there, on own nodes.

Beside the looks, so that a theft does not wait for it. An entry that stays false once its block is there stops its
network; one whose block is not there is asked for again, and stops it too when that lasts.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from holdfast.chains.agreement import AgreeingNodes
from holdfast.chains.outflow import OutflowNode, Wanted
from holdfast.chains.port import Header, Watch as Wish
from holdfast.core.errors import HoldfastError
from holdfast.core.journal import Deposit, DepositGone, Entry, Funding, FundingGone, Mined
from holdfast.core.money import Asset
from holdfast.core.networks import Network
from holdfast.core.tower_status import Alarm
from holdfast.watchtower.answers import Tower
from holdfast.watchtower.fold import Fold
from holdfast.watchtower.ground import address_of_deposit
from holdfast.watchtower.watch import Log

PATIENCE_MS = 600_000
"""How long an entry may name a block that the own nodes do not have at its height."""
_PAUSE_SECONDS = 0.5
_AT_ONCE = 200

Claim = Deposit | Funding | Mined


@dataclass(slots=True)
class Verifier:
    """One network."""

    network: Network
    reader: AgreeingNodes
    outflow: OutflowNode
    tokens: dict[str, Asset]
    tower: Tower
    fold: Fold
    lock: asyncio.Lock
    log: Log
    after: int = 0
    """Entries up to here were verified before."""
    verified: int = 0
    """Entries up to here are verified."""
    news: deque[Entry] = field(default_factory=deque)
    _since: dict[int, int] = field(default_factory=dict)
    """By entry: since when its block is missing, milliseconds since 1970."""
    _gone: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.verified = self.after
        self.fold.listeners.append(self.news)

    async def run(self) -> None:
        """Verify until cancelled."""
        while True:
            try:
                if not await self.step():
                    await asyncio.sleep(_PAUSE_SECONDS)
            except HoldfastError:
                await asyncio.sleep(_PAUSE_SECONDS)  # the looks at the same nodes say what is wrong with them

    async def step(self) -> bool:
        """Verify the oldest entries that are not; whether any was. Raises what nodes raise."""
        self._gone |= {one.body.key for one in self.news if isinstance(one.body, DepositGone | FundingGone)}
        done = False
        for _ in range(min(len(self.news), _AT_ONCE)):
            entry = self.news[0]
            body = entry.body
            is_ours = isinstance(body, Deposit | Funding) and body.network == self.network.id
            if entry.seq > self.after and (is_ours or isinstance(body, Mined)):
                async with self.lock:
                    asked = self._question(body) if isinstance(body, Deposit | Funding | Mined) else None
                if asked is not None and not await self._verify(entry, *asked):
                    return done
            self.news.popleft()
            self.verified = max(self.verified, entry.seq)
            done = True
        return done

    async def close(self) -> None:
        """Close the connections."""
        await self.reader.close()
        await self.outflow.close()

    def _question(self, body: Claim) -> tuple[Claim, str] | None:
        """What there is to ask, and at which address; None where another network is concerned."""
        record = self.fold.record
        if isinstance(body, Deposit):
            return body, address_of_deposit(self.network, body, record)
        if isinstance(body, Funding):
            return body, body.address
        return (body, "") if record.reservations[body.reservation].body.network == self.network.id else None

    async def _verify(self, entry: Entry, body: Claim, address: str) -> bool:
        """Whether this entry is dealt with."""
        headers = await self.reader.headers(body.height, body.height)
        if headers and headers[0].hash == body.hash:
            self._since.pop(entry.seq, None)
            if (why := await self._why_false(body, address, headers[0])) is not None:
                self._stop(entry, why)
            return True
        if isinstance(body, Deposit | Funding) and body.key in self._gone:
            return True
        now_ms = self.tower.now_ms()
        if now_ms - self._since.setdefault(entry.seq, now_ms) < PATIENCE_MS:
            return False
        self._stop(entry, f"names block {body.hash} at height {body.height}, which is not there")
        return True

    async def _why_false(self, body: Claim, address: str, header: Header) -> str | None:
        match body:
            case Deposit():
                wish = Wish(self.network.id, [address], frozenset([address]), self.tokens)
                [block] = await self.reader.blocks([header], wish)
                seen = {(one.key, one.asset, one.units) for one in block.arrivals}
                return None if (body.key, body.asset, body.units) in seen else f"deposit {body.key} is not in its block"
            case Funding():
                found = await self.outflow.block(body.height, Wanted(frozenset({address}), self.tokens))
                seen = {(one.key, one.asset, one.units) for one in found.funded}
                return None if (body.key, body.asset, body.units) in seen else f"funding {body.key} is not in its block"
            case Mined():
                mined: Sequence[object] = await self.outflow.mined(header, [body.transaction])
                return None if mined else f"transaction {body.transaction} is not in its block"

    def _stop(self, entry: Entry, why: str) -> None:
        reason, now_ms = f"entry {entry.seq}: {why}", self.tower.now_ms()
        if self.tower.eyes.alarm(Alarm(now_ms, "entry-unproven", self.network.id, reason)):
            self.log("alarm", level="error", kind="entry-unproven", scope=self.network.id, detail=reason)
        if not self.tower.store.is_stopped_for(self.network.id, reason):
            self.tower.store.stop(self.network.id, reason, now_ms)
