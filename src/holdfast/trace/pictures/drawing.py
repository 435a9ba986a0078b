"""A scene as SVG, for print and for pages: text stays text, and every character of it is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

from holdfast.trace.pictures.layout import WIDTH, Layout, Route, Spot, laid_out
from holdfast.trace.pictures.model import Picture
from holdfast.trace.pictures.scene import Line, Scene, Thing, hidden_words, line_words, scene
from holdfast.trace.taint import Policy

MARGIN = 34.0
FONT = "DejaVu Sans, Noto Sans, Arial, sans-serif"
COLOURS = {
    "origin": ("#fbe4dd", "#a63a1c"), "address": ("#ffffff", "#56645d"), "transaction": ("#f6f7f3", "#8a968f"),
    "chain": ("#eef0eb", "#56645d"), "theft": ("#fbe4dd", "#a63a1c"), "sanctioned": ("#f7d4d4", "#9c1c1c"),
    "exchange": ("#e3f1e8", "#17633f"), "exchange-deposit": ("#e3f1e8", "#17633f"),
    "payment-processor": ("#e3f1e8", "#17633f"),
    "bridge": ("#e9e4f7", "#5b3fa8"), "swapper": ("#e9e4f7", "#5b3fa8"), "dex": ("#e2ecf8", "#22598f"),
    "mixer": ("#2b2b2b", "#111111"), "issuer": ("#fcf1da", "#7a4d00"), "gambling": ("#fcf1da", "#7a4d00"),
}  # fmt: skip
"""Fill and line of a box by what it is; the words in it say the same, so that no colour has to be seen."""
_OTHER = ("#ffffff", "#56645d")
_TITLE_MAX, _SUBTITLE_MAX = 19, 25


def graph_svg(picture: Picture, policy: Policy = Policy.HAIRCUT) -> str:
    """What people see first of a picture, as one SVG document."""
    return drawn(picture, scene(picture, policy), policy)


def drawn(picture: Picture, shown: Scene, policy: Policy) -> str:
    """A scene as one SVG document, laid out from left to right. Numbers of steps are those of the report's table."""
    layout = laid_out(
        [thing.id for thing in shown.things], {(line.source, line.target): line.parts for line in shown.lines}
    )
    left, top, width, height = _frame(layout)
    words = f"{len(shown.things)} addresses and groups, {len(shown.lines)} lines; widths by {policy.value}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{left:.0f} {top:.0f} {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" font-family={quoteattr(FONT)} role="img">',
        f"<title>{escape(words)}</title>",
        f'<rect x="{left:.0f}" y="{top:.0f}" width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>',
    ]
    parts += [
        _path(line, layout.routes[line.source, line.target])
        for line in sorted(shown.lines, key=lambda each: -each.parts)
    ]
    parts += [_label(picture, line, layout.routes[line.source, line.target], _crowd(shown)) for line in shown.lines]
    parts += [_box(thing, layout.spots[thing.id]) for thing in shown.things]
    return "\n".join([*parts, "</svg>", ""])


def _frame(layout: Layout) -> tuple[float, float, float, float]:
    xs = [spot.x for spot in layout.spots.values()] or [0.0]
    ys = [spot.y + side * spot.height / 2 for spot in layout.spots.values() for side in (-1, 1)] or [0.0]
    ys += [point[1] for route in layout.routes.values() for point in route.points]
    left, right = min(xs) - WIDTH / 2 - MARGIN, max(xs) + WIDTH / 2 + MARGIN
    return left, min(ys) - MARGIN, right - left, max(ys) - min(ys) + 2 * MARGIN


def spline(points: Sequence[tuple[float, float]]) -> str:
    """A quadratic B-spline as an SVG path."""
    text = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    inner = points[1:-1]
    for index, (x, y) in enumerate(inner):
        after = inner[index + 1] if index + 1 < len(inner) else None
        end = ((x + after[0]) / 2, (y + after[1]) / 2) if after else points[-1]
        text += f"Q{x:.1f} {y:.1f} {end[0]:.1f} {end[1]:.1f}"
    return text


def _path(line: Line, route: Route) -> str:
    colour = "#a8741a" if line.is_candidate else "#8a6f9e" if route.is_back else "#7fa392"
    dashes = ' stroke-dasharray="7 5"' if line.is_candidate or route.is_back else ""
    opacity = 0.35 + 0.45 * line.confidence / 100
    return (
        f'<path d="{spline(route.points)}" fill="none" stroke="{colour}" stroke-width="{route.width:.1f}" '
        f'stroke-opacity="{opacity:.2f}"{dashes}/>'
    )


def _crowd(shown: Scene) -> dict[str, int]:
    """How many lines leave (`>`) and reach (`<`) each thing: labels stand where there are fewer."""
    found: dict[str, int] = {}
    for line in shown.lines:
        found[f">{line.source}"] = found.get(f">{line.source}", 0) + 1
        found[f"<{line.target}"] = found.get(f"<{line.target}", 0) + 1
    return found


def _label(picture: Picture, line: Line, route: Route, crowd: dict[str, int]) -> str:
    amount, number = line_words(picture, line)
    is_at_target = crowd[f"<{line.target}"] <= crowd[f">{line.source}"]
    x, y = route.points[-1] if is_at_target else route.points[0]
    x, anchor = (x - 6, "end") if is_at_target else (x + 6, "start")
    halo = 'stroke="#ffffff" stroke-width="3" paint-order="stroke" stroke-linejoin="round"'
    return (
        f'<g text-anchor="{anchor}" font-size="10.5">'
        f'<text x="{x:.1f}" y="{y - 2.5:.1f}" fill="#16231d" {halo}>{escape(amount)}</text>'
        f'<text x="{x:.1f}" y="{y + 9:.1f}" fill="#56645d" font-size="9" {halo}>{escape(number)}</text></g>'
    )


def _box(thing: Thing, spot: Spot) -> str:
    fill, stroke = COLOURS.get(thing.style, _OTHER)
    ink, soft = ("#f4f1e8", "#c9d2cc") if thing.style == "mixer" else ("#16231d", "#56645d")
    left, top = spot.x - WIDTH / 2, spot.y - spot.height / 2
    shadow = _stack(thing, spot, stroke)
    badge = hidden_words(thing)
    more = (
        f'<text x="{spot.x:.1f}" y="{spot.y + spot.height / 2 + 11:.1f}" font-size="9" fill="#7a4d00" '
        f'text-anchor="middle">{escape(badge)}</text>'
        if badge
        else ""
    )
    return (
        f'<g>{shadow}<rect x="{left:.1f}" y="{top:.1f}" width="{WIDTH:.0f}" height="{spot.height:.1f}" rx="9" '
        f'fill="{fill}" stroke="{stroke}" stroke-width="1.4"/>'
        f'<text x="{spot.x:.1f}" y="{spot.y - 2:.1f}" font-size="11.5" font-weight="600" fill="{ink}" '
        f'text-anchor="middle">'
        f"{escape(_cut(thing.title, _TITLE_MAX))}</text>"
        f'<text x="{spot.x:.1f}" y="{spot.y + 12:.1f}" font-size="9" fill="{soft}" text-anchor="middle">'
        f"{escape(_cut(thing.subtitle, _SUBTITLE_MAX))}</text>{more}</g>"
    )


def _stack(thing: Thing, spot: Spot, stroke: str) -> str:
    """A second sheet behind what stands for several."""
    if not thing.id.startswith("g"):
        return ""
    left, top = spot.x - WIDTH / 2 + 4, spot.y - spot.height / 2 + 4
    return (
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{WIDTH:.0f}" height="{spot.height:.1f}" rx="9" '
        f'fill="#ffffff" stroke="{stroke}" stroke-width="1" stroke-opacity="0.55"/>'
    )


def _cut(text: str, length: int) -> str:
    printable = "".join(char if char.isprintable() else " " for char in text)
    return printable if len(printable) <= length else f"{printable[: length - 1]}…"
