"""Which nodes people see first: those that most of the theft came through, and the way to each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from holdfast.trace.pictures.model import Link, Node


def ranked(
    nodes: Mapping[str, Node], links: Sequence[Link], parts: Sequence[int], things_max: int
) -> tuple[tuple[str, ...], int]:
    """Ids of what stands for nodes, the most important first, and how many of them make at most `things_max` things.

    Each stands behind one that leads to it, so that any beginning of the ranking is a picture without loose ends.
    """
    lines, order = _lines(nodes, links, parts)
    worth: dict[str, int] = dict.fromkeys(order, 0)
    parent: dict[str, tuple[int, str]] = {}
    leaving: dict[str, int] = defaultdict(int)
    for (source, target), carried in lines.items():
        worth[target] += carried
        leaving[source] += carried
        is_forward = order[source] < order[target]
        if is_forward and (target not in parent or (carried, source) > parent[target]):
            parent[target] = (carried, source)
    for name in order:
        worth[name] = max(worth[name], leaving[name])
    rank: dict[str, None] = {}
    for name in sorted(order, key=lambda name: (-worth[name], order[name])):
        way = [name]
        while way[-1] in parent and parent[way[-1]][1] not in rank:
            way.append(parent[way[-1]][1])
        rank.update(dict.fromkeys(reversed(way)))
    return tuple(rank), _fitting(tuple(rank), set(lines), things_max)


def _lines(
    nodes: Mapping[str, Node], links: Sequence[Link], parts: Sequence[int]
) -> tuple[dict[tuple[str, str], int], dict[str, int]]:
    """What each line between two drawn things carries, and in which order the money came to each thing."""
    lines: dict[tuple[str, str], int] = defaultdict(int)
    order: dict[str, int] = {}
    for link in links:
        source, target = nodes[link.source].group or link.source, nodes[link.target].group or link.target
        order.setdefault(source, len(order))
        if source != target:
            order.setdefault(target, len(order))
            lines[source, target] += parts[link.step]
    for name, node in nodes.items():
        order.setdefault(node.group or name, len(order))
    return lines, order


def _fitting(rank: Sequence[str], lines: set[tuple[str, str]], things_max: int) -> int:
    """How many leading entries, with the lines among them, are within the limit; at least one."""
    beside: dict[str, set[str]] = defaultdict(set)
    for source, target in lines:
        beside[source].add(f">{target}")
        beside[target].add(f"<{source}")
    shown: set[str] = set()
    things = 0
    for number, name in enumerate(rank):
        things += 1 + sum(each[1:] in shown for each in beside[name])
        if things > things_max and number:
            return number
        shown.add(name)
    return len(rank)
