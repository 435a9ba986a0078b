"""What a victim brings to the roundtable: addresses that only the thief used, as both sides write them alike. Pure.

Service addresses are out before anything is compared: else everybody matches on an exchange. So are the victim's own
and his customers'. Features stand beside addresses: who paid the gas, deposit addresses that the thief reached, hashes
of bytecode, keys.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from holdfast.trace.link.incident import Held, Incident, Node, edges
from holdfast.trace.link.infrastructure import features, written
from holdfast.trace.link.meetings import Side
from holdfast.trace.share.leaving import bitcoin_transactions, owner_of, private_nodes
from holdfast.trace.share.roundtable import ELEMENTS_MOST


@dataclass(frozen=True, slots=True)
class PrivateSet:
    """The elements, and what was left out."""

    elements: tuple[str, ...]
    cut: int = 0
    """How many more there would be: the ones farthest from the theft are left out."""


def private_set(incident: Incident, own: Collection[Node] = (), most: int = ELEMENTS_MOST) -> PrivateSet:
    """The set of one theft: at most so many, the theft's own addresses and the surest first."""
    nodes, around = private_nodes(incident)
    hidden = bitcoin_transactions(edges(incident))
    mine = {owner_of(node) for node in own}
    ranked = sorted((node for node in nodes if node not in hidden), key=lambda node: _rank(node, nodes))
    things = features(Side(incident, nodes), around, nodes)
    found = dict.fromkeys(owner_of(node) for node in ranked)
    extra = dict.fromkeys(written(feature) for feature in things.values())
    elements = [each for each in (*extra, *found) if each not in mine]
    elements = list(dict.fromkeys(elements))
    return PrivateSet(tuple(elements[:most]), max(0, len(elements) - most))


def _rank(node: Node, nodes: dict[Node, Held]) -> tuple[bool, int, int, Node]:
    how = nodes[node]
    return not how.is_root, -how.confidence, how.since, node
