"""Several nodes of one network behind the port of one: what they do not all say is not said.

One lying node could credit money that never came, so every block and every arrival must be the same from all of them.
There is no setting for fewer: a node that is lost or behind makes the network wait. A number that falls when nodes are
lost is one that an attacker lowers by taking nodes down.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Protocol, TypeVar

from holdfast.chains.port import Arrival, Block, Header, Node, NodesDisagree, Unconfirmed, Watch
from holdfast.core.errors import BadInput, HoldfastError

T = TypeVar("T")
One = TypeVar("One")

SPLIT_BLOCKS_MAX = 2
"""Nodes may be on two sides of a race for the newest blocks; a longer split is reported as a disagreement."""


class NodesMissing(BadInput):
    """A network is configured without a node. Name at least one in `nodes`."""

    code = "nodes-missing"


class HeaderNode(Protocol):
    """What is asked of any node about where its chain ends."""

    name: str

    async def tip(self) -> Header:
        """The newest block."""

    async def headers(self, height_from: int, height_to: int) -> Sequence[Header]:
        """Headers of these heights; see `chains.port.Node.headers`."""


async def common_tip(nodes: Sequence[HeaderNode]) -> Header:
    """The newest block that every node has in its chain.

    Where some are behind, that is the lowest tip; where they race on two branches, the block before the split.
    Raises what any node raises, and `NodesDisagree` for a split of more than `SPLIT_BLOCKS_MAX` blocks.
    """
    tips = await ask_all(nodes, lambda node: node.tip())
    lowest = min(tips, key=lambda tip: tip.height)
    if all(tip == lowest for tip in tips):
        return lowest
    height_from = max(0, lowest.height - SPLIT_BLOCKS_MAX)
    shared = _shared(await ask_all(nodes, lambda node: node.headers(height_from, lowest.height)))
    if not shared:
        names = " and ".join(node.name for node in nodes)
        raise NodesDisagree(f"{names}: no block in common at heights {height_from} to {lowest.height}")
    return shared[-1]


async def common_headers(nodes: Sequence[HeaderNode], height_from: int, height_to: int) -> Sequence[Header]:
    """The headers of these heights up to where the nodes part. Raises `NodesDisagree` if they part at the first."""
    chains = await ask_all(nodes, lambda node: node.headers(height_from, height_to))
    shared = _shared(chains)
    if not shared and all(chains):
        names = " and ".join(node.name for node in nodes)
        raise NodesDisagree(f"{names}: different blocks at height {height_from}")
    return shared


async def ask_all(nodes: Sequence[One], ask: Callable[[One], Awaitable[T]]) -> list[T]:
    """Every node's answer, or the first error among them: never some answers without the others."""
    answers = await asyncio.gather(*(ask(node) for node in nodes), return_exceptions=True)
    kept: list[T] = []
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
        kept.append(answer)
    return kept


class AgreeingNodes:
    """All of these nodes as one `chains.port.Node`."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        """Raises `NodesMissing` for none."""
        if not nodes:
            raise NodesMissing
        self._nodes = tuple(nodes)
        self._seen: dict[int, tuple[Arrival, ...]] = {}
        self.name = " and ".join(node.name for node in nodes)

    async def tip(self) -> Header:
        """The newest block that every node has in its chain. Raises as `common_tip`."""
        return await common_tip(self._nodes)

    async def headers(self, height_from: int, height_to: int) -> Sequence[Header]:
        """The headers of these heights up to where the nodes part. Raises as `common_headers`."""
        return await common_headers(self._nodes, height_from, height_to)

    async def blocks(self, headers: Sequence[Header], watch: Watch) -> Sequence[Block]:
        """These blocks, if all nodes find the same arrivals in them. Raises `NodesDisagree` otherwise."""
        first, *others = await self._all(lambda node: node.blocks(headers, watch))
        for node, answer in zip(self._nodes[1:], others, strict=True):
            for ours, theirs in zip(first, answer, strict=False):
                if ours != theirs:
                    raise NodesDisagree(_difference(self._nodes[0].name, node.name, ours, theirs))
            if len(first) != len(answer):
                raise NodesDisagree(f"{node.name} brought {len(answer)} blocks, {self._nodes[0].name} {len(first)}")
        return first

    async def unconfirmed(self, watch: Watch) -> Unconfirmed:
        """What any node sees waiting: it is only shown, and one node's word is enough for that.

        A node that does not answer still counts with what it saw last, so that its loss makes nothing vanish; `tip`
        is None then. What nodes tell differently under one key is left out. Raises only if no node answers.
        """
        answers = await asyncio.gather(*(node.unconfirmed(watch) for node in self._nodes), return_exceptions=True)
        tips: set[Header | None] = set()
        for number, answer in enumerate(answers):
            if isinstance(answer, Unconfirmed):
                self._seen[number] = answer.arrivals
                tips.add(answer.tip)
            elif isinstance(answer, HoldfastError):
                tips.add(None)
            else:
                raise answer
        if isinstance(answers[0], HoldfastError) and not any(isinstance(answer, Unconfirmed) for answer in answers):
            raise answers[0]
        return Unconfirmed(tips.pop() if len(tips) == 1 else None, _union(self._seen.values()))

    def prepare(self, headers: Sequence[Header]) -> None:
        """Every node may begin to fetch these."""
        for node in self._nodes:
            node.prepare(headers)

    async def close(self) -> None:
        """Close the connections of all."""
        await self._all(lambda node: node.close())

    async def _all(self, ask: Callable[[Node], Awaitable[T]]) -> list[T]:
        return await ask_all(self._nodes, ask)


def _shared(chains: Sequence[Sequence[Header]]) -> list[Header]:
    """The headers with which all of these begin."""
    shared: list[Header] = []
    for same_height in zip(*chains, strict=False):
        if any(header != same_height[0] for header in same_height):
            break
        shared.append(same_height[0])
    return shared


def _union(sets: Iterable[Sequence[Arrival]]) -> tuple[Arrival, ...]:
    """All arrivals of these sets once each, without those whose key stands for different things."""
    by_key: dict[str, Arrival] = {}
    disputed: set[str] = set()
    for arrivals in sets:
        for arrival in arrivals:
            if by_key.setdefault(arrival.key, arrival) != arrival:
                disputed.add(arrival.key)
    return tuple(arrival for key, arrival in by_key.items() if key not in disputed)


def _difference(first: str, second: str, ours: Block, theirs: Block) -> str:
    if ours.header != theirs.header:
        return f"{first} and {second} brought different blocks for height {ours.header.height}"
    keys = sorted({arrival.key for arrival in set(ours.arrivals) ^ set(theirs.arrivals)})
    where = f"block {ours.header.hash} at height {ours.header.height}"
    return f"{first} and {second} differ in {where} about {', '.join(keys[:5]) or 'the order of arrivals'}"
