"""Clusters of addresses: unions that can be taken back, each with its reason. Pure.

What is kept are the unions, never their result: a cluster is worked out from those that stand, strongest first, and a
union that would join two differently labelled owners is refused and said so. Whoever revokes one gets what would be if
it had never been made. Only the part of the graph that it touched is worked out anew.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from holdfast.trace.kernels import together
from holdfast.trace.labels.book import plain_name
from holdfast.trace.labels.common_spending import Union
from holdfast.trace.model import Label, LabelKind
from holdfast.trace.reading import Names

_NAMELESS = frozenset({LabelKind.OTHER, LabelKind.FROZEN, LabelKind.VICTIM})
"""Labels that do not name an owner who could be told from another."""

Node = tuple[str, str]
"""Network and address."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A union that was not made."""

    union: Union
    why: str


@dataclass(frozen=True, slots=True)
class Cluster:
    """Addresses of one owner, as far as the unions go."""

    addresses: tuple[str, ...]
    unions: tuple[Union, ...]
    """What holds it together: exactly those that were needed."""
    owner: str = ""
    """As labels have it; empty: nobody says."""


@dataclass(frozen=True, slots=True)
class _Worked:
    """One connected part of the graph, worked out."""

    clusters: dict[Node, Cluster]
    refused: tuple[Refused, ...]


class Clusters:
    """Unions, and what follows from those that stand."""

    def __init__(self, names: Names, at: int, unions: Iterable[Union] = ()) -> None:
        """`at`: the moment whose labels count (seconds since 1970)."""
        self._names, self._at = names, at
        self._unions: dict[str, Union] = {}
        self._around: dict[Node, set[str]] = defaultdict(set)
        self._revoked: dict[str, str] = {}
        self._worked: dict[Node, _Worked] = {}
        self.add(unions)

    def add(self, unions: Iterable[Union]) -> None:
        """Proposes; the same union twice counts once."""
        for union in unions:
            if union.id not in self._unions:
                self._unions[union.id] = union
                for node in _nodes(union):
                    self._around[node].add(union.id)
                self._forget(union)

    def revoke(self, union: str, why: str) -> None:
        """Takes a union back; unknown ids change nothing now, but count if such a union is proposed later."""
        self._revoked[union] = why
        if union in self._unions:
            self._forget(self._unions[union])

    def restore(self, union: str) -> None:
        """Undoes a revocation."""
        if self._revoked.pop(union, None) is not None and union in self._unions:
            self._forget(self._unions[union])

    def of(self, network: str, address: str) -> Cluster:
        """The cluster of an address; itself alone where nothing is known."""
        return self._part(network, address).clusters.get((network, address), Cluster((address,), ()))

    def refused(self, network: str, address: str) -> tuple[Refused, ...]:
        """Unions around an address that would have joined two owners."""
        return self._part(network, address).refused

    def all(self) -> tuple[Cluster, ...]:
        """Every cluster of more than one address."""
        found = {self.of(*node).addresses: self.of(*node) for node in self._around}
        return tuple(found[key] for key in sorted(found) if len(key) > 1)

    def _forget(self, union: Union) -> None:
        for node in _nodes(union):
            known = self._worked.get(node)
            for each in (node, *(known.clusters if known is not None else ())):
                self._worked.pop(each, None)

    def _part(self, network: str, address: str) -> _Worked:
        start = (network, address)
        known = self._worked.get(start)
        if known is not None:
            return known
        nodes, unions = {start}, set[str]()
        ahead = [start]
        while ahead:
            for name in self._around.get(ahead.pop(), ()):
                if name in unions or name in self._revoked:
                    continue
                unions.add(name)
                for node in _nodes(self._unions[name]):
                    if node not in nodes:
                        nodes.add(node)
                        ahead.append(node)
        worked = self._work(nodes, [self._unions[name] for name in unions])
        for node in nodes:
            self._worked[node] = worked
        return worked

    def _work(self, nodes: Iterable[Node], unions: Sequence[Union]) -> _Worked:
        joined = _Joining({node: self._owner(node) for node in sorted(nodes)})
        refused = []
        for union in sorted(unions, key=_strongest_first):
            why = joined.join(union)
            if why:
                refused.append(Refused(union, why))
        return _Worked(joined.clusters(), tuple(refused))

    def _owner(self, node: Node) -> str:
        return next((plain_name(label.name) for label in self._names.labels(*node, self._at) if _names(label)), "")


def _names(label: Label) -> bool:
    return label.kind not in _NAMELESS


def _nodes(union: Union) -> tuple[Node, Node]:
    return (union.network, union.one), (union.network, union.two)


def _strongest_first(union: Union) -> tuple[int, int, str]:
    return -union.confidence, union.time, union.id


class _Joining:
    """Union-find that knows whose each part is."""

    def __init__(self, owners: dict[Node, str]) -> None:
        self._parent = {node: node for node in owners}
        self._owner = dict(owners)
        self._held: dict[Node, list[Union]] = {node: [] for node in owners}

    def _root(self, node: Node) -> Node:
        while self._parent[node] != node:
            self._parent[node] = self._parent[self._parent[node]]
            node = self._parent[node]
        return node

    def join(self, union: Union) -> str:
        """Why it was not joined; empty: it was, or it was joined before."""
        one, two = (self._root(node) for node in _nodes(union))
        if one == two:
            return ""
        owners = {owner for owner in (self._owner[one], self._owner[two]) if owner}
        if len(owners) > 1:
            return f"it would join {' and '.join(sorted(owners))}"
        low, high = sorted((one, two))
        self._parent[high] = low
        self._owner[low] = next(iter(owners), "")
        self._held[low] += [*self._held.pop(high), union]
        return ""

    def clusters(self) -> dict[Node, Cluster]:
        members: dict[Node, list[Node]] = defaultdict(list)
        for node in self._parent:
            members[self._root(node)].append(node)
        found: dict[Node, Cluster] = {}
        for root, nodes in members.items():
            held = tuple(sorted(self._held[root], key=_strongest_first))
            cluster = Cluster(tuple(sorted(address for _, address in nodes)), held, self._owner[root])
            found |= dict.fromkeys(nodes, cluster)
        return found


def parts(unions: Sequence[Union]) -> dict[Node, int]:
    """The connected parts of very many unions at once, without labels: for each address the number of its part."""
    nodes: dict[Node, int] = {}
    pairs = [[nodes.setdefault(node, len(nodes)) for node in _nodes(union)] for union in unions]
    columns = np.array(pairs, np.int32).reshape(-1, 2)
    parents = together(np.ascontiguousarray(columns[:, 0]), np.ascontiguousarray(columns[:, 1]), len(nodes))
    return {node: int(parents[place]) for node, place in nodes.items()}
