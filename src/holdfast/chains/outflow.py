"""What is asked of a node about the float and about money going out; families implement `OutflowNode`.

The signer sees by it what it may spend, the platform's broadcaster sends and finds by it, and whoever watches learns
by it of spends that nobody ordered. It holds no key, and it credits nobody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from holdfast.chains.port import Arrival, Header
from holdfast.core.errors import Unavailable
from holdfast.core.money import Asset, AssetId


class SendRefused(Unavailable):
    """A node refused a signed transaction. Its reason says whether a higher fee, coin for gas or time will help."""

    code = "send-refused"


class NodeBehind(Unavailable):
    """A node is behind a block that was read before. Let it catch up; it cannot judge the float until then."""

    code = "node-behind"


@dataclass(frozen=True, slots=True)
class Mined:
    """A transaction that is in a block."""

    transaction: str
    is_reverted: bool = False
    fee_units: int | None = None
    """What it did cost; None where that follows from the transaction itself (Bitcoin family)."""
    unpaid: tuple[int, ...] = ()
    """Lines that moved nothing, by their number in the call (EVM)."""


@dataclass(frozen=True, slots=True)
class FeeRate:
    """What the network asks now: units per 1,000 vbytes, or wei per gas as base fee and tip."""

    per_kvb: int = 0
    base_fee_wei: int = 0
    priority_fee_wei: int = 0


@dataclass(frozen=True, slots=True)
class Known:
    """What the asker knows of its own spends."""

    coins: tuple[str, ...] = ()
    """Outpoints that nothing of ours spends (Bitcoin family)."""
    owner: str = ""
    """The float key's account (EVM)."""
    next_nonce: int = 0
    """The first nonce of `owner` for which nothing was signed."""
    transactions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Every version of our transactions that are not final, and the outpoints that each spends (Bitcoin family)."""
    nonces: Mapping[int, frozenset[str]] = field(default_factory=dict)
    """Nonces of `owner` whose transaction is not final, and every version that was signed for each (EVM)."""
    height: int = 0
    """All of `coins` that `transactions` do not make were in blocks up to here: a node that is behind knows nothing."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to look for in a block, or at its end."""

    addresses: frozenset[str] = frozenset()
    """Our own, in the family's canonical form: the float's; of EVM also accounts that pay gas."""
    tokens: Mapping[str, Asset] = field(default_factory=dict)
    """Listed token contracts, lower case, and their assets (EVM)."""
    transactions: frozenset[str] = frozenset()
    outpoints: frozenset[str] = frozenset()
    """Whose spender is to be named (Bitcoin family); so is that of what the very block makes at `addresses`."""
    senders: frozenset[str] = frozenset()
    """Accounts whose every transaction is to be named (EVM)."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What a transaction took: an outpoint, or `address:nonce` of an account."""

    source: str
    transaction: str


@dataclass(frozen=True, slots=True)
class OutflowBlock:
    """A block and what in it concerns the float, each in chain order."""

    header: Header
    funded: tuple[Arrival, ...] = ()
    """What arrived at wanted addresses, the change of our own transactions too. Of EVM: by the logs of the float's
    contract and of listed tokens, so coin that came without running the contract is not in it."""
    mined: tuple[Mined, ...] = ()
    spent: tuple[Spent, ...] = ()


@dataclass(frozen=True, slots=True)
class Holding:
    """What lies somewhere at the end of a node's newest block."""

    tip: Header
    units: Mapping[tuple[str, AssetId], int] = field(default_factory=dict)
    """By address and asset; of the Bitcoin family the wanted outpoints that lie there in blocks."""
    confirmations: Mapping[str, int] = field(default_factory=dict)
    """Of each wanted outpoint that is unspent; 0: it waits for a block (Bitcoin family)."""
    nonces: Mapping[str, int] = field(default_factory=dict)
    """How many transactions each of the wanted senders has in blocks (EVM)."""


@dataclass(frozen=True, slots=True)
class Status:
    """Where a transaction is, as far as a node can tell: waiting, in a block, or neither: unknown."""

    is_waiting: bool = False
    block: Header | None = None


class OutflowNode(Protocol):
    """One node, or several that must agree."""

    name: str

    async def tip(self) -> Header:
        """The newest block. Raises `NodeUnreachable`, `NodeAnswerMalformed`, `NodeOnWrongNetwork`, `NodesDisagree`."""

    async def headers(self, height_from: int, height_to: int) -> Sequence[Header]:
        """Headers of these heights; see `chains.port.Node.headers`."""

    async def block(self, height: int, wanted: Wanted) -> OutflowBlock:
        """What concerns the float in the block that is at this height now. Raises `NodeBlockGone` above the tip."""

    async def holding(self, wanted: Wanted) -> Holding:
        """What lies at these addresses and outpoints now."""

    async def status(self, transaction: str, outputs: int = 1) -> Status:
        """Where a transaction is. In the Bitcoin family it is found in a block by an unspent one of its first
        `outputs` outputs: without an index a node cannot name more; `block` finds it always."""

    async def mined(self, header: Header, transactions: Sequence[str]) -> Sequence[Mined]:
        """Which of these transactions are in this block, in their order. Raises what the node raises."""

    async def unexplained(self, known: Known) -> Sequence[str]:
        """Spends of the float that were not ours, in words; empty: none that the node knows of."""

    async def median_time(self) -> int:
        """Median time of the newest blocks, seconds since 1970; of the newest block where blocks come in seconds."""

    async def fees(self) -> FeeRate:
        """What the network asks now."""

    async def send(self, raw: bytes) -> None:
        """Hand over signed bytes; what it knows already is no error. Raises `SendRefused`, `NodeUnreachable`."""

    async def close(self) -> None:
        """Close the connections."""
