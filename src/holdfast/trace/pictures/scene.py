"""What is on a picture at one moment: things and the lines between them, with their amounts and step numbers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from holdfast.trace.pictures.amounts import share, short_address, shown
from holdfast.trace.pictures.model import GroupKind, Picture
from holdfast.trace.pictures.worth import PARTS
from holdfast.trace.taint import Policy

KIND_WORDS = {
    "exchange-deposit": "deposit address", "payment-processor": "payment processor", "origin": "robbed address",
    "swapper": "swap service", "dex": "exchange contract", "theft": "known thief", "transaction": "transaction",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Thing:
    """A node or a closed group."""

    id: str
    style: str
    title: str
    subtitle: str
    hidden: int
    """How many things it pays that are not shown."""
    hidden_parts: int
    """What of the theft went there."""


@dataclass(slots=True)
class Line:
    """All shown steps from one thing to another."""

    source: str
    target: str
    steps: list[int] = field(default_factory=list)
    via: list[int] = field(default_factory=list)
    amounts: dict[str, int] = field(default_factory=dict)
    parts: int = 0
    confidence: int = 100
    """That of its least sure step."""
    is_candidate: bool = False


@dataclass(frozen=True, slots=True)
class Scene:
    """Things in the order in which money came to them, and lines in the order of their first step."""

    things: tuple[Thing, ...]
    lines: tuple[Line, ...]


def scene(picture: Picture, policy: Policy, faces: Collection[str] | None = None) -> Scene:
    """What is shown of a picture with all groups closed. `faces`: ids of what to show; None: what people see first."""
    chosen = set(picture.rank[: picture.first] if faces is None else faces)
    lines: dict[tuple[str, str], Line] = {}
    order: dict[str, None] = {}
    hidden: dict[str, set[str]] = defaultdict(set)
    hidden_parts: dict[str, int] = defaultdict(int)
    for link in picture.links:
        source, target = picture.face(link.source), picture.face(link.target)
        for each in (source, target):
            if each in chosen:
                order[each] = None
        if source == target or source not in chosen:
            continue
        if target in chosen:
            _add(lines.setdefault((source, target), Line(source, target)), picture, policy, (link.step, link.via))
        else:
            hidden[source].add(target)
            hidden_parts[source] += picture.parts[policy][link.step]
    for each in picture.rank:
        if each in chosen:
            order[each] = None
    things = tuple(_thing(picture, policy, name, (len(hidden[name]), hidden_parts[name])) for name in order)
    return Scene(things, tuple(lines.values()))


def _add(line: Line, picture: Picture, policy: Policy, taken: tuple[int, Sequence[int]]) -> None:
    place, via = taken
    step = picture.steps[place]
    line.steps.append(place)
    line.via.extend(each for each in via if each not in line.via)
    asset = step.transfer.asset
    line.amounts[asset] = line.amounts.get(asset, 0) + step.carried.get(policy, 0)
    line.parts += picture.parts[policy][place]
    line.confidence = min(line.confidence, step.confidence)
    line.is_candidate = line.is_candidate or step.of > 1


def _thing(picture: Picture, policy: Policy, name: str, hidden: tuple[int, int]) -> Thing:
    group = picture.groups.get(name)
    if group is None:
        node = picture.nodes[name]
        title = node.label.name if node.label else short_address(node.address)
        words = KIND_WORDS.get(node.kind, node.kind)
        beside = short_address(node.address) if node.label else _lying(picture, policy, name)
        return Thing(name, node.kind, title, beside or words, *hidden)
    counted = f"{len(group.members)} addresses"
    if group.kind is GroupKind.CHAIN:
        return Thing(name, "chain", f"{group.name}", f"{len(group.members)} hops", *hidden)
    if group.kind is GroupKind.ORIGINS:
        return Thing(name, "origin", counted, "robbed", *hidden)
    if group.kind is GroupKind.ENDS:
        return Thing(name, group.style, counted, group.name, *hidden)
    return Thing(name, group.style, group.name, counted, *hidden)


def _lying(picture: Picture, policy: Policy, name: str) -> str:
    """What lies at an end, in words."""
    ends = picture.nodes[name].ends
    if not ends:
        return ""
    amounts = " + ".join(shown(end.lies.get(policy, 0), picture.assets[end.asset]) for end in ends[:2])
    return f"{amounts} {ends[0].kind.value.replace('-', ' ')}"


def line_words(picture: Picture, line: Line) -> tuple[str, str]:
    """A line's two labels: its amount, and the number by which the report's table knows it."""
    amounts = [shown(units, picture.assets[asset]) for asset, units in line.amounts.items()]
    more = f" + {len(amounts) - 1} more" if len(amounts) > 1 else ""
    number = picture.steps[line.steps[0]].id
    others = f" +{len(line.steps) - 1}" if len(line.steps) > 1 else ""
    return f"{amounts[0]}{more}", f"{number}{others}"


def hidden_words(thing: Thing) -> str:
    """What a thing's badge says: how many smaller branches it has that are not shown, and what went there."""
    return f"+{thing.hidden} smaller · {share(thing.hidden_parts, PARTS)}" if thing.hidden else ""
