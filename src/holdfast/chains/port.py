"""What Holdfast asks of a node, whatever its family. Families implement `Node`; nobody else talks to one.

A node is believed about nothing by itself: `chains.agreement` puts several behind the same port.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set as AbstractSet
from dataclasses import dataclass
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


class NodeRefused(Unavailable):
    """A node answered a request with an error of its own. Its message says why; look at the node's configuration."""

    code = "node-refused"

    def __init__(self, detail: str, *, rpc_code: int) -> None:
        super().__init__(detail, rpc_code=rpc_code)
        self.rpc_code = rpc_code


class NodePruned(Unavailable):
    """The node has deleted a block that is still to be read. Use a node that keeps its blocks (`prune=0`)."""

    code = "node-pruned"
    retry = False


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
    confirmations_min: int = 1
    """Never to be credited with fewer: the coins cannot be spent before (miners' rewards)."""


@dataclass(frozen=True, slots=True)
class Block:
    """A block and the arrivals in it, in chain order."""

    header: Header
    arrivals: tuple[Arrival, ...]


class Watch:
    """What to look for on one network: which addresses, which tokens. One object for a network's whole life.

    Addresses are only ever added, because money may still arrive at any that was given out. A family looks for the
    binary form of an address (a script, twenty bytes); that form is made once for each address and shared by all
    the nodes of the network, so that a million addresses cost some 300 MB and not that much a node.
    """

    __slots__ = ("_addresses", "_by_key", "_unkeyed", "network", "open_addresses", "tokens")

    def __init__(
        self,
        network: NetworkId,
        addresses: Iterable[str] = (),
        open_addresses: AbstractSet[str] = frozenset(),
        tokens: Mapping[str, Asset] | None = None,
    ) -> None:
        self.network = network
        self.open_addresses = open_addresses
        """Those whose balance must be compared block by block, because money may come without a log (EVM)."""
        self.tokens: Mapping[str, Asset] = {} if tokens is None else tokens
        """Listed token contracts, lower case, and their assets. A `Transfer` from any other contract is nothing."""
        self._addresses: set[str] = set()
        self._unkeyed: list[str] = []
        self._by_key: dict[bytes, str] = {}
        self.add(addresses)

    @property
    def addresses(self) -> AbstractSet[str]:
        """Every address ever given out, in the family's canonical text form."""
        return self._addresses

    def add(self, addresses: Iterable[str]) -> None:
        """Watch these too. Adding one again changes nothing."""
        for address in addresses:
            if address not in self._addresses:
                self._addresses.add(address)
                self._unkeyed.append(address)

    def by_key(self, key: Callable[[str], bytes]) -> Mapping[bytes, str]:
        """The addresses by the binary form in which this family finds them in blocks; `key` makes that form.

        All callers of one watch pass the same function: a network has one family.
        """
        while self._unkeyed:
            address = self._unkeyed.pop()
            self._by_key[key(address)] = address
        return self._by_key


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """Arrivals that wait for a block: always the whole present set, not what changed."""

    tip: Header | None
    """The block on which every node stood while the set was read; None when they stood on different ones or one did
    not answer. An arrival that was here before and is not any more was mined, replaced, double-spent or dropped:
    decide which only when `tip` is the very block that the cursor stands on; otherwise wait."""
    arrivals: tuple[Arrival, ...]


class Node(Protocol):
    """One node, or several that must agree."""

    name: str

    async def tip(self) -> Header:
        """The newest block. Raises `NodeUnreachable`, `NodeAnswerMalformed`, `NodesDisagree`."""

    async def headers(self, height_from: int, height_to: int) -> Sequence[Header]:
        """Headers of these heights, both included, each the parent of the next.

        Fewer, or none, where the chain ends before, or where it changed between two answers of the node.
        """

    async def blocks(self, headers: Sequence[Header], watch: Watch) -> Sequence[Block]:
        """These blocks with their arrivals, in order; exactly these hashes. Raises `NodeBlockGone` otherwise."""

    async def unconfirmed(self, watch: Watch) -> Unconfirmed:
        """Arrivals in transactions that are waiting for a block, as far as the node tells: shown, never credited."""

    def prepare(self, headers: Sequence[Header]) -> None:
        """These blocks will be asked for next: a node may begin to fetch them. Changes no answer; may do nothing."""

    async def close(self) -> None:
        """Close the connections."""
