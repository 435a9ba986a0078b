"""The words of a picture: nodes, groups of them, and links that know the steps they stand for. Pure values."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from holdfast.core.money import Asset
from holdfast.trace.model import End, Label, Step


class GroupKind(StrEnum):
    """Why nodes are drawn as one."""

    ENTITY = "entity"
    """Addresses of one service, deposit addresses among them."""
    CHAIN = "chain"
    """A peel chain, or money handed on from address to address."""
    ENDS = "ends"
    """Addresses that one address filled and where it lies."""
    ORIGINS = "origins"
    """Addresses that were robbed to one address."""


@dataclass(frozen=True, slots=True)
class Node:
    """An address, or a transaction of several tainted inputs (Bitcoin family)."""

    id: str
    network: str
    address: str
    kind: str
    """A `LabelKind`'s value, `address`, `origin` (what was robbed) or `transaction`."""
    label: Label | None
    ends: tuple[End, ...] = ()
    inside: tuple[int, ...] = ()
    """Places of steps that went and came back here: a swap's two legs, an input into its own transaction."""
    group: str = ""


@dataclass(frozen=True, slots=True)
class Link:
    """One step between two nodes."""

    source: str
    target: str
    step: int
    """Its place among the trace's steps."""
    via: tuple[int, ...] = ()
    """Places of steps that led into it: a swap's or bridge's first leg, the inputs of its transaction."""


@dataclass(frozen=True, slots=True)
class Group:
    """Nodes that are drawn as one until somebody opens them."""

    id: str
    kind: GroupKind
    name: str
    members: tuple[str, ...]
    style: str
    """The kind that its members have."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A trace, reduced. What it shows first are the `first` leading entries of `rank`."""

    nodes: dict[str, Node]
    groups: dict[str, Group]
    links: tuple[Link, ...]
    steps: tuple[Step, ...]
    parts: dict[str, tuple[int, ...]]
    """By policy: the parts of the theft that each step carried."""
    assets: dict[str, Asset]
    rank: tuple[str, ...]
    """Ids of nodes and groups, the most important first; each stands behind one that leads to it."""
    first: int
    fees: dict[str, int] = field(default_factory=dict)
    """By asset: what miners got, by the picture's policy. Not drawn."""
    fee_steps: tuple[int, ...] = ()

    def face(self, node: str) -> str:
        """What stands for a node while no group is open: its group, or itself."""
        return self.nodes[node].group or node
