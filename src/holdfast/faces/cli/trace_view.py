"""`holdfast trace view`: a case as a page to look at, and as pictures for the report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.core.errors import BadInput
from holdfast.faces.cli.terminal import JsonOption, emit

if TYPE_CHECKING:
    from holdfast.trace.case import Case
    from holdfast.trace.pictures.amounts import Words


class PolicyUnknown(BadInput):
    """There is no such policy of taint. Write haircut, fifo, most, least or poison."""

    code = "taint-policy-unknown"


def register(app: typer.Typer) -> None:
    """Adds the command to `holdfast trace`."""
    app.command("view")(view)


def view(
    case: Annotated[Path, typer.Argument(metavar="CASE", help="The case's folder.")],
    *,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="The page; else pictures/trace.html in the case.")
    ] = None,
    policy: Annotated[str, typer.Option("--policy", help="By which the widths are at first.")] = "haircut",
    as_json: JsonOption = False,
) -> None:
    """Draw a case: a page that needs nothing else, where the money went as a Sankey, and the graph for the report.

    Example: `holdfast trace view theft`
    """
    from holdfast.trace.case import Case
    from holdfast.trace.taint import Policy

    if policy not in {each.value for each in Policy}:
        raise PolicyUnknown(policy[:40])
    opened = Case(case)
    made = drawn(opened, Policy(policy), out)
    emit({name: str(path) for name, path in made.items()}, f"open {made['page']} in a browser", as_json=as_json)


def drawn(case: Case, policy: str = "haircut", out: Path | None = None) -> dict[str, Path]:
    """Write page, Sankey and graph; their paths. Raises `TraceMissing` and what the case's files raise."""
    from holdfast.trace.pictures.drawing import graph_svg
    from holdfast.trace.pictures.page import page
    from holdfast.trace.pictures.reduction import picture
    from holdfast.trace.pictures.sankey import sankey_svg

    words = _words(case, policy)
    trace = case.trace()
    found = picture(trace, words)
    made = {
        out or case.pictures / "trace.html": page(found, words),
        case.pictures / "sankey.svg": sankey_svg(trace, words),
        case.pictures / "graph.svg": graph_svg(found, words.policy),
    }
    case.pictures.mkdir(parents=True, exist_ok=True)
    for path, text in made.items():
        path.write_text(text, encoding="utf-8")
    return dict(zip(("page", "sankey", "graph"), made, strict=True))


def _words(case: Case, policy: str) -> Words:
    from holdfast.core.money import Asset, AssetId
    from holdfast.trace.labels.shelf import KeptBook
    from holdfast.trace.pictures.amounts import Words
    from holdfast.trace.taint import Policy

    with case.store() as store:
        assets = {name: Asset(AssetId(name), fact.symbol, fact.decimals) for name, fact in store.assets.items()}
    return Words(case.document.name, Policy(policy), assets, KeptBook(case.labels))
