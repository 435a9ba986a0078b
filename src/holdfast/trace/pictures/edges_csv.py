"""The steps behind a picture as CSV (RFC 4180): one row for each step, exact units, safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io

from holdfast.core.money import format_units
from holdfast.trace.pictures.model import Picture
from holdfast.trace.taint import Policy

COLUMNS = (
    "step", "time", "network", "height", "transaction", "from", "to", "asset", "symbol", "amount", "units",
    *(f"carried_{policy.value}" for policy in Policy), "hop", "reason", "confidence", "of", "drawn_from", "drawn_to",
    "after", "evidence", "why",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def edges_csv(picture: Picture) -> str:
    """Every step in the order of the report's table. Carried amounts are in smallest units."""
    drawn = {link.step: link for link in picture.links}
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(COLUMNS)
    for place, step in enumerate(picture.steps):
        moved, asset, link = step.transfer, picture.assets[step.transfer.asset], drawn.get(place)
        faces = (_name(picture, link.source), _name(picture, link.target)) if link else ("", "")
        carried = (step.carried.get(policy, 0) for policy in Policy)
        rows.writerow(
            _safe(each)
            for each in (
                step.id, moved.time, moved.network, moved.height, moved.transaction, moved.source, moved.target,
                moved.asset, asset.symbol, format_units(moved.units, asset.decimals), moved.units, *carried, step.hop,
                step.reason.value, step.confidence, step.of, *faces, " ".join(step.after), moved.evidence, step.why,
            )
        )  # fmt: skip
    return text.getvalue()


def _name(picture: Picture, node: str) -> str:
    one = picture.nodes[node]
    group = picture.groups.get(one.group)
    return group.name if group else one.label.name if one.label else one.address


def _safe(value: object) -> object:
    """No cell is a formula: texts come from labels and tokens that anybody may have named."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
