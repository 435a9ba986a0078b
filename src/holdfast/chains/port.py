"""What Holdfast asks of a node, whatever its family. Families implement `Node`; nobody else talks to one.

A node is believed about nothing by itself: `chains.agreement` puts several behind the same port.
"""

from __future__ import annotations

from collections.abc import Sequence, Set as AbstractSet
from dataclasses import dataclass, field
from typing import Protocol

from holdfast.core.errors import Unavailable
from holdfast.core.money import Asset, AssetId
from holdfast.core.networks import NetworkId


class NodeUnreachable(Unavailable):
    """A node did not answer. Start it or mend its URL; nothing is credited on its network meanwhile."""

    code = "node-unreachable"


class NodeAnswerMalformed(Unavailable):
    """A node's answer is not what its protocol says. Look at the node's version and logs, or replace the node."""

    code = "node-answer-malformed"


class NodeOnWrongNetwork(Unavailable):
    """A node follows another network than the one it is configured for. Correct its URL."""

    code = "node-on-wrong-network"
    retry = False


class NodeBlockGone(Unavailable):
    """The block that was asked for is no longer on the node's chain. The follower asks again from the new tip."""

    code = "node-block-gone"


class NodesDisagree(Unavailable):
    """Two nodes of one network tell different things. Find out which one is wrong; nothing is credited until then."""

    code = "nodes-disagree"


@dataclass(frozen=True, slots=True)
class Header:
    """One block's place in the chain. Hashes are hex: as the family writes them, `0x` for EVM."""

    height: int
    hash: str
    parent: str
    time: int
    """Seconds since 1970, as the block's maker says."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """Money that arrived at one watched address by one output, log or balance difference."""

    key: str
    """Unique on its network and the same whenever the same arrival is read again:
    `txid:vout`, `txhash:logindex`, `txhash:native`, or `blockhash:address:asset` where no transaction can be named."""
    transaction: str | None
    address: str
    asset: AssetId
    units: int


@dataclass(frozen=True, slots=True)
class Block:
    """A block and the arrivals in it, in chain order."""

    header: Header
    arrivals: tuple[Arrival, ...]


@dataclass(slots=True)
class Watch:
    """What to look for on one network: which addresses, which tokens."""

    network: NetworkId
    addresses: AbstractSet[str]
    """Every address ever given out, in the family's canonical text form."""
    open_addresses: AbstractSet[str] = field(default_factory=frozenset)
    """Those whose balance must be compared block by block, because money may come without a log (EVM)."""
    tokens: dict[str, Asset] = field(default_factory=dict)
    """Listed token contracts, lower case, and their assets. A `Transfer` from any other contract is nothing."""


class Node(Protocol):
    """One node, or several that must agree."""

    name: str

    async def tip(self) -> Header:
        """The newest block. Raises `NodeUnreachable`, `NodeAnswerMalformed`."""

    async def headers(self, height_from: int, height_to: int) -> Sequence[Header]:
        """Headers of these heights, both included, fewer where the chain ends before."""

    async def blocks(self, headers: Sequence[Header], watch: Watch) -> Sequence[Block]:
        """These blocks with their arrivals, in order; exactly these hashes. Raises `NodeBlockGone` otherwise."""

    async def unconfirmed(self, watch: Watch) -> Sequence[Arrival]:
        """Arrivals in transactions that are waiting for a block, as far as the node tells."""

    async def close(self) -> None:
        """Close the connections."""
