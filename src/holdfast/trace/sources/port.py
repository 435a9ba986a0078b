"""What every source of transfers offers: batches of transfers, each with a cursor, and counts of all that it left out.

A source decides nothing about money. It tells what a chain, a file or a server says, in the words of `trace.model`,
puts the raw answers into evidence, and counts what it could not use, by reason.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from typing import Protocol

from holdfast.core.errors import Unavailable
from holdfast.trace.model import Transfer
from holdfast.trace.store_parts import AssetFact

ORDER_BITS = 24
"""`Transfer.order` is the transaction's place in its block, shifted by so many bits, and the place inside it."""


class SourceIncomplete(Unavailable):
    """A source cannot tell what it was asked. The detail says what is missing; use another node or a file."""

    code = "source-incomplete"
    retry = False


class SourcesDisagree(Unavailable):
    """Two sources tell different things about one block. Find out which one is wrong, then pull again."""

    code = "sources-disagree"


class LeftOut(StrEnum):
    """Why something that a source said is no stored transfer."""

    MALFORMED = "malformed"
    """A row or log that cannot be read: no amount, no address, a checksum that does not fit."""
    NETWORK = "unknown-network"
    REPEATED = "repeated-row"
    """The very same row, once more in the same file."""
    FAILED = "failed"
    """The transaction was undone: only its fee moved."""
    NOTHING = "moved-nothing"
    """An amount of zero: a call, or an approval that somebody made look like a transfer."""
    IMITATION = "imitation-token"
    """A token that looks like a listed one, by its symbol or its contract's address."""
    ADVERTISEMENT = "advertising-token"
    """A token whose symbol is a message to whoever looks at his wallet."""
    UNLISTED = "unlisted-token"
    """A token that no list admits; only where the source was told to keep to the list."""
    POISON = "poisoned-address"
    """A crumb to or from an address that looks like one that its victim really dealt with."""
    COLLECTIBLE = "collectible"
    """A token of one piece: it has no amount."""
    UNITS = "impossible-amount"
    """More than any asset has."""
    OTHER = "not-asked-for"
    """Of another network than the one that was asked for."""


class Noticed(StrEnum):
    """What was kept, but should be known."""

    ROUNDED = "rounded"
    """A decimal amount with more places than its asset; rounded half up to the unit."""
    UNLISTED = "unlisted-token"
    """A token that no list admits: kept as an asset of its own, by its contract, and out of all sums."""
    NETWORK = "network-assumed"
    """The row does not say its network; it was told from the addresses' form."""
    DECIMALS = "decimals-assumed"
    """Nobody says how many places the token has; 18 were taken."""
    DUST = "dust"
    """Outputs that cost more to spend than they are worth. Kept: what comes in must go out."""
    REORGANISED = "reorganised-block"
    """A block that is no longer of the chain: what it moved was taken out again."""
    PREVOUT = "unknown-input"
    """The node does not tell what an input spends."""
    REPEATED = "repeated-block"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to pull: everything between two heights, or only what touches these addresses, or what these transactions
    paid and where that went."""

    network: str = ""
    """CAIP-2; empty: whatever the source has."""
    height_from: int = 0
    height_to: int = 0
    """0: to the newest block."""
    addresses: frozenset[str] = frozenset()
    transactions: frozenset[str] = frozenset()
    """Their outputs, the transactions that spend those, and so on."""

    def name(self) -> str:
        """Names what was asked for; the same question goes on where it stopped, whatever its upper end."""
        parts = (self.network, str(self.height_from), *sorted(self.addresses), "|", *sorted(self.transactions))
        return sha256("\n".join(parts).encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class WalkBack:
    """Blocks of these heights are no longer of the chain."""

    network: str
    height_from: int
    height_to: int


@dataclass(frozen=True, slots=True)
class Batch:
    """What a source tells at once: whole transactions, and where to go on afterwards."""

    transfers: Sequence[Transfer] = ()
    cursor: str = ""
    left_out: Mapping[str, int] = field(default_factory=dict)
    noticed: Mapping[str, int] = field(default_factory=dict)
    stopped: Sequence[str] = ()
    """What it could not tell, and why: for `Trace.stopped`."""
    assets: Mapping[str, AssetFact] = field(default_factory=dict)
    forget: WalkBack | None = None
    """To be taken out first."""
    done: int = 0
    """How far it is, in blocks, rows or addresses."""
    total: int = 0
    """Of how many; 0: unknown."""


class Source(Protocol):
    """A node, a file, a server."""

    @property
    def name(self) -> str:
        """What it is called in cursors, counts and the manifest: never a URL, which may hold a key."""
        ...

    def pull(self, wanted: Wanted, cursor: str) -> AsyncIterator[Batch]:
        """Batches from this cursor on (empty: from the beginning), until there is no more.

        Raises `Unavailable` where it does not answer; pulling again goes on where it stopped.
        """
        ...

    async def close(self) -> None:
        """Give back connections and files."""
        ...
