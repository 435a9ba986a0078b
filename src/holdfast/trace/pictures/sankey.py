"""Where the money went, as a Sankey: what was stolen, the kinds of places where it is, and the places by name. Pure."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from fractions import Fraction
from xml.sax.saxutils import escape

from holdfast.trace.model import EndKind, Trace
from holdfast.trace.pictures.amounts import Words, asset_of, share, short_address, shown
from holdfast.trace.pictures.drawing import COLOURS, FONT
from holdfast.trace.pictures.worth import PARTS, worth_of

HEIGHT, WIDTH, BAR, GAP = 560.0, 980.0, 14.0, 9.0
PLACES_MAX = 14
"""Places with a name of their own; smaller ones are drawn as one."""
_KINDS = {
    EndKind.UNSPENT: "not moved on", EndKind.BELOW: "too little to follow", EndKind.TIME: "moved after the limit",
    EndKind.UNREADABLE: "not told by the source", EndKind.OVERRULED: "left, as somebody decided",
}  # fmt: skip
_LEFT_COLOUR = "#a63a1c"


@dataclass(slots=True)
class _Bar:
    """One place in a column, and how much of its two sides is taken."""

    name: str
    parts: int
    colour: str
    x: float = 0.0
    y: float = 0.0
    height: float = 0.0
    out: float = 0.0
    into: float = 0.0


def sankey_svg(trace: Trace, words: Words) -> str:
    """The whole theft from left to right, by the words' policy; what miners got is among what was too little."""
    rates = worth_of(trace, words.prices)
    flows: dict[tuple[str, str], int] = defaultdict(int)
    beyond: dict[tuple[str, str], int] = defaultdict(int)
    colours: dict[str, str] = {}
    for end in trace.ends:
        parts = int(rates.get(end.asset, Fraction()) * end.lies.get(words.policy, 0))
        what = end.label.kind.value.replace("-", " ") if end.label is not None else _KINDS.get(end.kind, "a service")
        style = end.label.kind.value if end.label is not None else "address"
        name = end.label.name if end.label is not None else short_address(end.address)
        if end.kind is EndKind.BELOW:
            name = "small parts and fees"
        colours[f"2 {what}"] = colours[f"3 {what}: {name}"] = COLOURS.get(style, ("", "#56645d"))[1]
        flows[f"1 {asset_of(words, end.asset).symbol}", f"2 {what}"] += parts
        beyond[f"2 {what}", f"3 {what}: {name}"] += parts
    return _drawn({**flows, **_merged(beyond)}, colours, _stolen(trace, words))


def _merged(beyond: dict[tuple[str, str], int]) -> dict[tuple[str, str], int]:
    """The largest places by name, the others of each kind as one."""
    largest = {pair for pair, _ in sorted(beyond.items(), key=lambda item: (-item[1], item[0]))[:PLACES_MAX]}
    found: dict[tuple[str, str], int] = defaultdict(int)
    for (kind, place), parts in beyond.items():
        found[kind, place if (kind, place) in largest else f"3 {kind[2:]}: others"] += parts
    return found


def _stolen(trace: Trace, words: Words) -> str:
    units: dict[str, int] = defaultdict(int)
    for theft in trace.thefts:
        units[theft.asset] += theft.units
    return "Stolen: " + ", ".join(shown(each, asset_of(words, asset)) for asset, each in sorted(units.items()))


def _drawn(flows: dict[tuple[str, str], int], colours: dict[str, str], title: str) -> str:
    flows = {pair: parts for pair, parts in flows.items() if parts}
    bars: dict[str, _Bar] = {}
    for (source, target), parts in flows.items():
        for name, counts in ((source, source[0] == "1"), (target, True)):
            bar = bars.setdefault(name, _Bar(name, 0, colours.get(name, _LEFT_COLOUR)))
            bar.parts += parts if counts else 0
    _place(bars)
    ribbons = [
        _ribbon(bars[source], bars[target], parts, _unit(bars))
        for (source, target), parts in sorted(flows.items(), key=lambda item: (bars[item[0][0]].y, bars[item[0][1]].y))
    ]
    height = max((bar.y + bar.height for bar in bars.values()), default=0.0) + 20
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:.0f} {height:.0f}" width="{WIDTH:.0f}" '
        f'height="{height:.0f}" font-family="{FONT}" role="img"><title>{escape(title)}</title>'
        f'<rect width="{WIDTH:.0f}" height="{height:.0f}" fill="#ffffff"/>'
        f'<text x="10" y="20" font-size="13" font-weight="600" fill="#16231d">{escape(title[:120])}</text>'
    )
    return "\n".join([head, *ribbons, *(_box(bar) for bar in bars.values()), "</svg>", ""])


def _unit(bars: dict[str, _Bar]) -> float:
    """Height of one part."""
    columns = [[bar for bar in bars.values() if bar.name[0] == column] for column in "123"]
    fullest = max((len(column) for column in columns), default=1)
    return (HEIGHT - GAP * fullest) / max(PARTS, *(sum(bar.parts for bar in column) for column in columns))


def _place(bars: dict[str, _Bar]) -> None:
    unit = _unit(bars)
    for column, x in zip("123", (110.0, 420.0, 700.0), strict=True):
        y = 40.0
        mine = [bar for bar in bars.values() if bar.name[0] == column]
        for bar in sorted(mine, key=lambda each: (each.name.partition(":")[0] if column == "3" else "", -each.parts)):
            bar.x, bar.y, bar.height = x, y, max(1.5, bar.parts * unit)
            y += max(bar.height, 15.0) + GAP


def _ribbon(source: _Bar, target: _Bar, parts: int, unit: float) -> str:
    width = max(1.0, parts * unit)
    one, two = source.y + source.out + width / 2, target.y + target.into + width / 2
    source.out += width
    target.into += width
    start, end = source.x + BAR, target.x
    middle = (start + end) / 2
    return (
        f'<path d="M{start:.1f} {one:.1f}C{middle:.1f} {one:.1f} {middle:.1f} {two:.1f} {end:.1f} {two:.1f}" '
        f'fill="none" stroke="{target.colour}" stroke-opacity="0.32" stroke-width="{width:.1f}"/>'
    )


def _box(bar: _Bar) -> str:
    name = bar.name[2:] if bar.name[0] != "3" else bar.name.partition(": ")[2]
    text = f"{name[:34]} · {share(bar.parts, PARTS)}"
    x, anchor = (bar.x - 6, "end") if bar.name[0] == "1" else (bar.x + BAR + 6, "start")
    return (
        f'<rect x="{bar.x:.1f}" y="{bar.y:.1f}" width="{BAR:.0f}" height="{bar.height:.1f}" rx="2" '
        f'fill="{bar.colour}"/>'
        f'<text x="{x:.1f}" y="{bar.y + bar.height / 2 + 4:.1f}" font-size="11" text-anchor="{anchor}" fill="#16231d" '
        f'stroke="#ffffff" stroke-width="3" paint-order="stroke">{escape(text)}</text>'
    )
