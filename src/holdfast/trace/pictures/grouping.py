"""Which nodes are drawn as one: chains, the addresses of one service, ends beside each other, the robbed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from holdfast.trace.model import LabelKind
from holdfast.trace.pictures.model import Group, GroupKind, Link, Node

ALONE_MAX = 2
"""So many nodes beside each other are no crowd yet: three are drawn as one."""
_SERVICES = {kind.value for kind in LabelKind if kind.is_service}
_PLAIN = frozenset({"address", "transaction", LabelKind.OTHER.value, LabelKind.THEFT.value})


def grouped(nodes: Mapping[str, Node], links: Sequence[Link]) -> tuple[dict[str, Group], dict[str, Node]]:
    """The groups, and the nodes with their group. A node is in one group at most."""
    around = _Around(nodes, links)
    groups = [*_entities(nodes), *_chains(nodes, around), *_origins(nodes, around), *_ends(nodes, around)]
    named = {f"g{number}": replace(group, id=f"g{number}") for number, group in enumerate(groups)}
    home = {member: group.id for group in named.values() for member in group.members}
    return named, {name: replace(node, group=home.get(name, "")) for name, node in nodes.items()}


class _Around:
    """Who is next to whom."""

    def __init__(self, nodes: Mapping[str, Node], links: Sequence[Link]) -> None:
        self.before: dict[str, set[str]] = {name: set() for name in nodes}
        self.behind: dict[str, set[str]] = {name: set() for name in nodes}
        for link in links:
            self.before[link.target].add(link.source)
            self.behind[link.source].add(link.target)


def _entities(nodes: Mapping[str, Node]) -> list[Group]:
    """Addresses of one service by its name: what it will be asked is one question."""
    members: dict[str, list[Node]] = defaultdict(list)
    for node in nodes.values():
        if node.label is not None and node.kind in _SERVICES:
            members[node.label.name].append(node)
    return [
        Group("", GroupKind.ENTITY, name, tuple(node.id for node in some), _style(some))
        for name, some in sorted(members.items())
        if len(some) > 1
    ]


def _style(nodes: Sequence[Node]) -> str:
    kinds = Counter(LabelKind.EXCHANGE.value if node.kind == LabelKind.DEPOSIT.value else node.kind for node in nodes)
    return min(kinds, key=lambda kind: (-kinds[kind], kind))


def _chains(nodes: Mapping[str, Node], around: _Around) -> list[Group]:
    """Runs in which only one neighbour goes on: what each node peels off ends there.

    A node belongs to the run of the one that paid it where nobody else paid it and it is that one's only neighbour that
    pays anybody: no amounts are compared, so it makes no difference how much is peeled.
    """
    onward: dict[str, str] = {}
    for name in nodes:
        going = [each for each in around.behind[name] if around.behind[each] - {name}]
        if len(going) == 1 and around.before[going[0]] == {name} and _is_passing(nodes[name], nodes[going[0]]):
            onward[name] = going[0]
    led = set(onward.values())
    found = []
    for start in nodes:
        if start in onward and start not in led:
            run = _run(start, onward, nodes)
            if len(run) > ALONE_MAX:
                found.append(Group("", GroupKind.CHAIN, _chain_name(run, around), tuple(run), "chain"))
    return found


def _is_passing(one: Node, other: Node) -> bool:
    return one.kind in (*_PLAIN, "origin") and other.kind in _PLAIN


def _run(start: str, onward: Mapping[str, str], nodes: Mapping[str, Node]) -> list[str]:
    run = [start] if nodes[start].kind in _PLAIN else []
    at = start
    while at in onward:
        at = onward[at]
        run.append(at)
    return run


def _chain_name(run: Sequence[str], around: _Around) -> str:
    peels = sum(len(around.behind[name] - set(run)) for name in run[:-1])
    return "peel chain" if peels else "handed on"


def _origins(nodes: Mapping[str, Node], around: _Around) -> list[Group]:
    """Robbed addresses that paid one and the same."""
    members: dict[str, list[str]] = defaultdict(list)
    for name, node in nodes.items():
        if node.kind == "origin" and not around.before[name] and len(around.behind[name]) == 1:
            members[next(iter(around.behind[name]))].append(name)
    return [
        Group("", GroupKind.ORIGINS, "robbed addresses", tuple(some), "origin")
        for some in members.values()
        if len(some) > ALONE_MAX
    ]


def _ends(nodes: Mapping[str, Node], around: _Around) -> list[Group]:
    """Unnamed addresses that one address filled and that pay nobody."""
    members: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name, node in nodes.items():
        if node.kind in _PLAIN and not around.behind[name] and len(around.before[name]) == 1:
            why = node.ends[0].kind.value if node.ends else "end"
            members[next(iter(around.before[name])), why].append(name)
    return [
        Group("", GroupKind.ENDS, why.replace("-", " "), tuple(some), "address")
        for (_, why), some in members.items()
        if len(some) > ALONE_MAX
    ]
