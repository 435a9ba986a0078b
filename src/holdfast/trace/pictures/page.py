"""One page that needs nothing else: the picture's data, the program that shows it, and cytoscape.js.

Labels and tokens are named by anybody, so the page treats every text as text, and its policy (CSP) lets only these two
programs run, by their hashes; it loads nothing.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from importlib.resources import files

from holdfast.trace.pictures.amounts import Words
from holdfast.trace.pictures.drawing import COLOURS
from holdfast.trace.pictures.edges_csv import edges_csv
from holdfast.trace.pictures.model import Picture
from holdfast.trace.pictures.scene import scene
from holdfast.trace.pictures.worth import PARTS
from holdfast.trace.taint import Policy

CYTOSCAPE = "cytoscape.min.js"
INTRO = (
    "Widths are shares of the theft. Double-click or press Enter to open what stands for several; drag to pin; dashed "
    "is one of several candidates. Numbers of steps are those of the report."
)


def page(picture: Picture, words: Words) -> str:
    """The picture as an HTML document."""
    cytoscape, js = _static(CYTOSCAPE), _static("trace.js")
    filled = {
        "title": html.escape(words.title), "css": _static("trace.css"), "js": js, "cytoscape": cytoscape,
        "scripts": " ".join(f"'{_hash(program)}'" for program in (cytoscape, js)),
        "data": _embedded(facts(picture, words)),
    }  # fmt: skip
    made = _static("trace.html")
    for name in ("title", "scripts", "css", "data", "cytoscape", "js"):
        before, mark, after = made.partition("{" + name + "}")
        made = before + (filled[name] if mark else "") + after
        if name == "title":
            made = made.replace("{title}", filled["title"])
    return made


def facts(picture: Picture, words: Words) -> dict[str, object]:
    """What the page's program reads. Units are decimal texts: no number of a browser holds them."""
    things = {thing.id: thing for thing in scene(picture, words.policy, [*picture.nodes, *picture.groups]).things}
    alone = {thing.id: thing for thing in scene(_ungrouped(picture), words.policy, picture.nodes).things}
    order: dict[str, int] = {}
    for link in picture.links:
        for node in (link.source, link.target):
            order.setdefault(picture.face(node), len(order))
            order.setdefault(node, len(order))
    for name in (*picture.nodes, *picture.groups):
        order.setdefault(name, len(order))
    return {
        "title": words.title, "intro": INTRO, "policy": words.policy.value, "policies": [each.value for each in Policy],
        "whole": PARTS, "colours": COLOURS, "rank": picture.rank, "first": picture.first, "order": order,
        "assets": {name: {"symbol": one.symbol, "decimals": one.decimals} for name, one in picture.assets.items()},
        "nodes": [
            {"id": one.id, "group": one.group, "kind": one.kind, "network": one.network, "address": one.address,
             "title": alone[one.id].title, "subtitle": alone[one.id].subtitle,
             "label": one.label.name if one.label else "", "source": one.label.source if one.label else "",
             "sure": one.label.confidence if one.label else 0,
             "ends": [{"asset": end.asset, "kind": end.kind.value.replace("-", " "), "detail": end.detail,
                       "lies": {name: str(units) for name, units in end.lies.items()}} for end in one.ends]}
            for one in picture.nodes.values()
        ],
        "groups": [
            {"id": one.id, "style": things[one.id].style, "title": things[one.id].title,
             "subtitle": things[one.id].subtitle, "members": one.members}
            for one in picture.groups.values() if one.id in things
        ],
        "links": [{"source": one.source, "target": one.target, "step": one.step} for one in picture.links],
        "steps": [
            {"id": one.id, "time": one.transfer.time, "transaction": one.transfer.transaction,
             "asset": one.transfer.asset, "units": str(one.transfer.units), "hop": one.hop, "reason": one.reason.value,
             "confidence": one.confidence, "of": one.of, "why": one.why, "evidence": one.transfer.evidence,
             "carried": {name: str(units) for name, units in one.carried.items()}}
            for one in picture.steps
        ],
        "parts": picture.parts, "csv": edges_csv(picture),
    }  # fmt: skip


def _ungrouped(picture: Picture) -> Picture:
    """With every group open."""
    from dataclasses import replace

    nodes = {name: replace(node, group="") for name, node in picture.nodes.items()}
    return replace(picture, nodes=nodes, groups={})


def _static(name: str) -> str:
    return files("holdfast.trace.pictures").joinpath("static", name).read_text(encoding="utf-8")


def _hash(program: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(program.encode()).digest()).decode()


def _embedded(value: object) -> str:
    """JSON that cannot end the element that it stands in."""
    return json.dumps(value, ensure_ascii=True).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
