"""Where things stand: layers from left to right, as Sugiyama, Tagawa and Toda (1981) made them.

Cycles are broken by a depth-first walk in the order of time; a thing stands one layer right of the last that leads to
it; lines over several layers get a place in each; order by barycentres; heights by least squares with a least distance
(pool adjacent violators). Lengths are in points of the drawing; nothing of it is money.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

WIDTH, HEIGHT = 132.0, 40.0
"""Of a thing's box."""
COLUMN = 280.0
"""From one layer to the next: room for a box and a line's two labels."""
GAP = 18.0
"""Least distance between boxes of a layer."""
CROSSING_PASSES = 12
THIN, THICK = 1.5, 16.0
"""The least and the greatest width of a line."""
Edge = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Spot:
    """A box: its middle, and its height."""

    x: float
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Route:
    """A line: its width and its points, the first and last on the boxes' sides; drawn as a quadratic B-spline."""

    width: float
    points: tuple[tuple[float, float], ...]
    is_back: bool
    """It goes to the left: money that came back."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Boxes by id and routes by their ends."""

    spots: dict[str, Spot]
    routes: dict[Edge, Route]


@dataclass(slots=True)
class _Grid:
    """Layers of boxes and of places that long lines pass (their ids are tuples as text)."""

    layer: dict[str, int]
    rows: list[list[str]] = field(default_factory=list)
    size: dict[str, float] = field(default_factory=dict)
    before: dict[str, list[tuple[str, float]]] = field(default_factory=lambda: defaultdict(list))
    behind: dict[str, list[tuple[str, float]]] = field(default_factory=lambda: defaultdict(list))
    passing: dict[Edge, list[str]] = field(default_factory=dict)


def laid_out(things: Sequence[str], lines: Mapping[Edge, int]) -> Layout:
    """Positions for things (in the order of time) and lines (what each carries, in any unit)."""
    back = _back_edges(things, lines)
    widths = _widths(lines)
    grid = _grid(things, lines, back, widths)
    _order(grid)
    heights = _heights(grid)
    spots = {name: Spot(grid.layer[name] * COLUMN, heights[name], grid.size[name]) for name in things}
    return Layout(spots, _routes(grid, spots, heights, widths, back))


def _widths(lines: Mapping[Edge, int]) -> dict[Edge, float]:
    most = max(lines.values(), default=0)
    return {edge: THIN + (THICK - THIN) * carried / most if most else THIN for edge, carried in lines.items()}


def _back_edges(things: Sequence[str], lines: Mapping[Edge, int]) -> set[Edge]:
    """Lines that close a cycle, as a depth-first walk from the earliest thing meets them."""
    behind: dict[str, list[str]] = defaultdict(list)
    for source, target in lines:
        behind[source].append(target)
    found: set[Edge] = set()
    state: dict[str, int] = {}
    for root in things:
        if root in state:
            continue
        state[root] = 1
        stack = [(root, iter(behind[root]))]
        while stack:
            name, rest = stack[-1]
            child = next(rest, None)
            if child is None:
                state[name] = 2
                stack.pop()
            elif state.get(child) == 1:
                found.add((name, child))
            elif child not in state:
                state[child] = 1
                stack.append((child, iter(behind[child])))
    return found


def _layers(things: Sequence[str], edges: Sequence[Edge]) -> dict[str, int]:
    """One right of the last that leads to it; what nobody leads to stands just left of what it leads to."""
    behind: dict[str, list[str]] = defaultdict(list)
    waiting = dict.fromkeys(things, 0)
    for source, target in edges:
        behind[source].append(target)
        waiting[target] += 1
    layer = dict.fromkeys(things, 0)
    roots = [name for name in things if not waiting[name]]
    ready = list(roots)
    for name in ready:
        for target in behind[name]:
            layer[target] = max(layer[target], layer[name] + 1)
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    for name in roots:
        if behind[name]:
            layer[name] = min(layer[target] for target in behind[name]) - 1
    return layer


def _grid(things: Sequence[str], lines: Mapping[Edge, int], back: set[Edge], widths: Mapping[Edge, float]) -> _Grid:
    forward = [edge for edge in lines if edge not in back]
    grid = _Grid(_layers(things, forward))
    _sizes(grid, things, widths)
    grid.rows = [[] for _ in range(max(grid.layer.values(), default=0) + 1)]
    for name in things:
        grid.rows[grid.layer[name]].append(name)
    for number, edge in enumerate(forward):
        way = [f"\0{number}.{layer}" for layer in range(grid.layer[edge[0]] + 1, grid.layer[edge[1]])]
        grid.passing[edge] = way
        for name, layer in zip(way, range(grid.layer[edge[0]] + 1, grid.layer[edge[1]]), strict=True):
            grid.layer[name] = layer
            grid.size[name] = widths[edge]
            grid.rows[layer].append(name)
        for left, right in pairwise([edge[0], *way, edge[1]]):
            grid.behind[left].append((right, widths[edge]))
            grid.before[right].append((left, widths[edge]))
    return grid


def _sizes(grid: _Grid, things: Sequence[str], widths: Mapping[Edge, float]) -> None:
    """A box is as high as the lines on its fuller side, and never too low for its two lines of text."""
    out: dict[str, float] = defaultdict(float)
    into: dict[str, float] = defaultdict(float)
    for (source, target), width in widths.items():
        out[source] += width + 2
        into[target] += width + 2
    for name in things:
        grid.size[name] = max(HEIGHT, out[name] + 8, into[name] + 8)


def _order(grid: _Grid) -> None:
    """Fewer crossings: each layer by the mean place of its neighbours in the layer before, then behind, in turn."""
    place = {name: float(index) for row in grid.rows for index, name in enumerate(row)}
    for turn in range(CROSSING_PASSES):
        is_down = turn % 2 == 0
        beside = grid.before if is_down else grid.behind
        for row in grid.rows if is_down else reversed(grid.rows):
            row.sort(key=lambda name: (_mean(beside[name], place, place[name]), place[name]))
            for index, name in enumerate(row):
                place[name] = index - len(row) / 2


def _mean(beside: Sequence[tuple[str, float]], place: Mapping[str, float], otherwise: float) -> float:
    weight = sum(width for _, width in beside)
    return sum(place[name] * width for name, width in beside) / weight if weight else otherwise


def _heights(grid: _Grid) -> dict[str, float]:
    """Each as near to its neighbours as the distances in its layer allow."""
    height: dict[str, float] = {}
    for row in grid.rows:
        at = 0.0
        for name in row:
            height[name] = at + grid.size[name] / 2
            at += grid.size[name] + GAP
        for name in row:
            height[name] -= at / 2
    for turn in range(CROSSING_PASSES):
        is_down = turn % 2 == 0
        for row in grid.rows if is_down else reversed(grid.rows):
            wanted = [_wanted(grid, name, height, is_down=is_down) for name in row]
            height.update(zip(row, _spaced(wanted, [grid.size[name] for name in row]), strict=True))
    return height


def _wanted(grid: _Grid, name: str, height: Mapping[str, float], *, is_down: bool) -> float:
    near, far = (grid.before, grid.behind) if is_down else (grid.behind, grid.before)
    return _mean(near[name] or far[name], height, height[name])


def _spaced(wanted: Sequence[float], sizes: Sequence[float]) -> list[float]:
    """The nearest heights, in the sense of least squares, that keep the order and the least distance."""
    offsets, at = [], 0.0
    for index, size in enumerate(sizes):
        at += size / 2 if index == 0 else sizes[index - 1] / 2 + GAP + size / 2
        offsets.append(at)
    blocks: list[tuple[float, int]] = []
    for want, offset in zip(wanted, offsets, strict=True):
        total, count = want - offset, 1
        while blocks and blocks[-1][0] / blocks[-1][1] > total / count:
            before, many = blocks.pop()
            total, count = total + before, count + many
        blocks.append((total, count))
    levels = [total / count for total, count in blocks for _ in range(count)]
    return [level + offset for level, offset in zip(levels, offsets, strict=True)]


def _routes(
    grid: _Grid, spots: Mapping[str, Spot], heights: Mapping[str, float], widths: Mapping[Edge, float], back: set[Edge]
) -> dict[Edge, Route]:
    """Lines leave on the right and arrive on the left, side by side and in the order of where they go."""
    leaving = _ports(spots, heights, grid, widths, is_leaving=True)
    arriving = _ports(spots, heights, grid, widths, is_leaving=False)
    found = {}
    for edge, width in widths.items():
        start = (spots[edge[0]].x + WIDTH / 2, leaving[edge])
        stop = (spots[edge[1]].x - WIDTH / 2, arriving[edge])
        points: tuple[tuple[float, float], ...]
        if edge in back:
            above = min(spots[edge[0]].y - spots[edge[0]].height, spots[edge[1]].y - spots[edge[1]].height) - 30
            points = (
                start,
                (start[0] + 60, start[1]),
                (start[0] + 60, above),
                (stop[0] - 60, above),
                (stop[0] - 60, stop[1]),
                stop,
            )
        else:
            points = (
                start,
                *_bends(start, stop, [(grid.layer[each] * COLUMN, heights[each]) for each in grid.passing[edge]]),
                stop,
            )
        found[edge] = Route(width, points, edge in back)
    return found


def _bends(
    start: tuple[float, float], stop: tuple[float, float], passed: Sequence[tuple[float, float]]
) -> list[tuple[float, float]]:
    """Control points between two ends: level at both, and level through each layer that is passed."""
    marks = [start, *((x, y) for x, y in passed), stop]
    found: list[tuple[float, float]] = []
    for number, ((left, high), (right, low)) in enumerate(pairwise(marks)):
        out = left if number == 0 else left + WIDTH / 2
        into = right if number == len(marks) - 2 else right - WIDTH / 2
        middle = (out + into) / 2
        if number:
            found.append((out, high))
        found += [(middle, high), (middle, low)]
        if number < len(marks) - 2:
            found.append((into, low))
    return found


def _ports(
    spots: Mapping[str, Spot],
    heights: Mapping[str, float],
    grid: _Grid,
    widths: Mapping[Edge, float],
    *,
    is_leaving: bool,
) -> dict[Edge, float]:
    side: dict[str, list[tuple[float, Edge]]] = defaultdict(list)
    for edge in widths:
        own, other = edge if is_leaving else (edge[1], edge[0])
        way = grid.passing.get(edge) or [other]
        side[own].append((heights[way[0] if is_leaving else way[-1]], edge))
    found = {}
    for own, some in side.items():
        at = spots[own].y - sum(widths[edge] + 2 for _, edge in some) / 2
        for _, edge in sorted(some):
            found[edge] = at + 1 + widths[edge] / 2
            at += widths[edge] + 2
    return found
