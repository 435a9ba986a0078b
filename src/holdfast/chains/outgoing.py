"""Everything that leaves watched places, as nodes show it: first where it waits for a block, then in its block.

For whoever watches others' money being spent, and not for who spends it: nothing is asked for a single output, so that
ten thousand of them cost no more than one. Families implement `Lookout`, one for each node.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from holdfast.chains.agreement import HeaderNode
from holdfast.chains.port import Header, NodeBlockGone
from holdfast.chains.rpc import Limits
from holdfast.core.money import Asset, AssetId

BLOCKS_PER_LOOK = 50
"""Blocks read between two looks at what waits, while catching up."""
PATIENCE = Limits(timeout_seconds=10.0, attempts_max=1)
"""A look that fails is followed by the next at once."""
_BLOCKS_BACK = 6
RECENT_BLOCKS = 1_000
"""How deep a chain may change and still be read from where it parted."""


@dataclass(frozen=True, slots=True)
class PaidOut:
    """One thing that a transaction pays."""

    to: str | None
    """Its address; None: it has none, or nothing but a trace of the execution would tell."""
    asset: AssetId
    units: int


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One watched place, and a transaction that takes from it."""

    source: str
    """`txid:vout`, `account:nonce`, or the address of a contract."""
    transaction: str
    paid: tuple[PaidOut, ...] = ()
    """Everything that it pays (Bitcoin family); what the contract paid (EVM)."""
    block: Header | None = None
    """None: it waits for one."""


@dataclass(slots=True)
class Sources:
    """What is watched on one network, for all its nodes. Only ever grows: an old place may still be spent."""

    outpoints: dict[bytes, None] = field(default_factory=dict)
    """In their binary form (Bitcoin family)."""
    added: list[bytes] = field(default_factory=list)
    """The same, in the order in which they were added."""
    scripts: dict[bytes, str] = field(default_factory=dict)
    """Whose every output is a watched outpoint, and their addresses (Bitcoin family)."""
    found: dict[str, str] = field(default_factory=dict)
    """Outpoints that were found by their script, and its address (Bitcoin family)."""
    accounts: set[str] = field(default_factory=set)
    """Whose every transaction is told, EIP-55 (EVM)."""
    contracts: set[str] = field(default_factory=set)
    """What pays tokens (EVM)."""
    safes: set[str] = field(default_factory=set)
    """Those of them that are Safes, which pay coin besides (EVM)."""
    tokens: dict[str, Asset] = field(default_factory=dict)
    """Listed token contracts, lower case (EVM)."""

    def add_outpoint(self, outpoint: bytes) -> None:
        """Watch this output."""
        if outpoint not in self.outpoints:
            self.outpoints[outpoint] = None
            self.added.append(outpoint)


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at a node showed."""

    tip: Header
    used: Mapping[str, int] = field(default_factory=dict)
    """The first nonce of each account that nothing uses, in a block or waiting (EVM)."""
    is_whole: bool = True
    """Whether it reached the newest block."""


class Lookout(Protocol):
    """One node, looked at again and again; it remembers what it told."""

    name: str
    trail: Trail

    async def look(self, sources: Sources) -> Look:
        """Look once more. Raises what nodes raise; the next look goes on where this one ended."""

    def told(self) -> list[Outgoing]:
        """What was seen to leave since this was last asked, also by a look that ended in an error."""

    async def close(self) -> None:
        """Close the connections."""


@dataclass(slots=True)
class Trail:
    """Which blocks of one node were read. Where its chain changes, the new blocks are read from where it parted."""

    start_height: int | None = None
    """The first block to read; None: a few below the newest."""
    recent: dict[int, str] = field(default_factory=dict)

    @property
    def height(self) -> int:
        """Up to here every block was read; -1: none yet."""
        return max(self.recent, default=-1)

    async def onward(self, node: HeaderNode) -> tuple[Header, Sequence[Header]]:
        """The newest block, and the headers to be read next, oldest first."""
        tip = await node.tip()
        if not self.recent:
            first = tip.height - _BLOCKS_BACK if self.start_height is None else self.start_height
            return tip, await node.headers(max(0, first), min(tip.height, max(0, first) + BLOCKS_PER_LOOK))
        height = min(self.height, tip.height)
        while height in self.recent:
            if (tip.height, tip.hash) == (height, self.recent[height]):
                break
            headers = await node.headers(height, height)
            if not headers:
                raise NodeBlockGone(f"height {height}")
            if headers[0].hash == self.recent[height]:
                break
            height -= 1
        for gone in [each for each in self.recent if each > height]:
            del self.recent[gone]
        if height >= tip.height:
            return tip, ()
        return tip, await node.headers(height + 1, min(tip.height, height + BLOCKS_PER_LOOK))

    def read(self, header: Header) -> None:
        """This block is read."""
        self.recent[header.height] = header.hash
        self.recent.pop(header.height - RECENT_BLOCKS, None)
