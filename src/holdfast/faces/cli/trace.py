"""`holdfast trace`: follow stolen money, on any theft, with nothing installed but Holdfast and a file of transfers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from holdfast.faces.cli.terminal import JsonOption, emit, progress, say

app = typer.Typer(
    help="Follow stolen money: where it is now, and why each step was taken.", invoke_without_command=True
)

From = Annotated[
    list[str] | None,
    typer.Option(
        "--from", metavar="[NETWORK:]TX|ADDRESS", help="A transaction that stole, or an address that was robbed."
    ),
]
Thief = Annotated[
    list[str] | None,
    typer.Option("--thief", metavar="[NETWORK:]ADDRESS", help="An address that stolen money came to: all of it."),
]
SourceOption = Annotated[
    list[str] | None,
    typer.Option("--source", metavar="FILE|node:URL|explorer:URL", help="Where transfers are told; repeatable."),
]
CaseOption = Annotated[Path | None, typer.Option("--case", metavar="DIR", help="Keep everything in this folder.")]
Labels = Annotated[
    list[Path] | None,
    typer.Option("--labels", metavar="FILE", help="Labels: TagPack, OFAC list, CSV, JSON; doubted where it matters."),
]
Vouched = Annotated[
    list[Path] | None, typer.Option("--vouched-labels", metavar="FILE", help="Labels that you vouch for.")
]
Network = Annotated[str, typer.Option("--network", help="Of names without one: CAIP-2, or a name like `ethereum`.")]
Asset = Annotated[str, typer.Option("--asset", metavar="CAIP-19", help="Only this asset was stolen.")]
Heights = Annotated[
    str,
    typer.Option("--heights", metavar="FIRST-LAST", help="Blocks to read from a node; without LAST, to the newest."),
]
Cookie = Annotated[Path | None, typer.Option("--cookie-file", help="A node's credentials, as it writes them itself.")]
Key = Annotated[Path | None, typer.Option("--key-file", help="File with an explorer's key.")]
Until = Annotated[str, typer.Option("--until", metavar="TIME", help="Do not follow later transfers (ISO 8601).")]
Least = Annotated[
    list[str] | None,
    typer.Option("--least", metavar="ASSET=UNITS", help="Do not follow less, in the asset's smallest unit."),
]
Millionths = Annotated[
    int | None, typer.Option("--least-ppm", help="For other assets: do not follow less than this part of the theft.")
]
Mapping = Annotated[
    Path | None, typer.Option("--mapping", metavar="FILE", help="Which column of a file is what (see the docs).")
]


@app.callback()
def trace(  # noqa: PLR0913  one option of the command line each
    context: typer.Context,
    *,
    from_: From = None,
    thief: Thief = None,
    source: SourceOption = None,
    case: CaseOption = None,
    labels: Labels = None,
    vouched: Vouched = None,
    mapping: Mapping = None,
    network: Network = "",
    asset: Asset = "",
    heights: Heights = "",
    cookie_file: Cookie = None,
    key_file: Key = None,
    until: Until = "",
    least: Least = None,
    least_ppm: Millionths = None,
    as_json: JsonOption = False,
) -> None:
    """Follow stolen money to where it is now.

    Every step is told with its reason, how sure it is, and how much of the theft it carried by each policy. With
    `--case`, everything is kept, and a later call without `--from` follows again with what was added since.

    Example: `holdfast trace --from 0x6dd68bb7177edfb4f2f88fe62d80a6545378ef40 --source transfers.csv --case theft`
    """
    if context.invoked_subcommand is not None:
        return
    from holdfast.faces.cli.trace_case import Asked, run
    from holdfast.faces.cli.trace_text import document, text

    asked = Asked(
        stolen_from=tuple(from_ or ()), thieves=tuple(thief or ()), sources=tuple(source or ()), case=case,
        labels=tuple(labels or ()), vouched=tuple(vouched or ()), mapping=mapping, network=network, asset=asset,
        heights=heights, cookie_file=cookie_file, key_file=key_file, until=until, least=tuple(least or ()),
        least_ppm=least_ppm,
    )  # fmt: skip
    with progress("trace") as advance:
        found = run(asked, advance)
    emit(document(found) if as_json else None, None if as_json else text(found), as_json=as_json)


@app.command("overrule")
def overrule(  # noqa: PLR0913  one option of the command line each
    step: Annotated[str, typer.Argument(metavar="STEP", help="A step's id, or NETWORK/TRANSACTION for all of it.")],
    *,
    case: Annotated[Path, typer.Option("--case", metavar="DIR", help="The case's folder.")],
    leave: Annotated[bool, typer.Option("--leave", help="It is not the theft's: do not follow it.")] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Follow it, whatever the rules say.")] = False,
    by: Annotated[str, typer.Option("--by", help="Who decides.")],
    why: Annotated[str, typer.Option("--why", help="For what reason.")],
    as_json: JsonOption = False,
) -> None:
    """Decide about one step yourself, and follow again.

    A candidate of a swapper or mixer that is followed becomes the one: what was paid in comes out there. A service
    that is followed is looked past. The decision is kept in the case, with your name and reason.

    Example: `holdfast trace overrule E3f9a1c2b4d5e --leave --by "A. Analyst" --why "our own refund" --case theft`
    """
    from holdfast.faces.cli.trace_case import decide
    from holdfast.faces.cli.trace_text import document, text

    if leave == follow:
        raise typer.BadParameter("say --leave or --follow, one of them")
    found = decide(case, step, is_follow=follow, by=by, why=why)
    if not as_json:
        say(f"{by} decided; the trace was made again.")
    emit(document(found) if as_json else None, None if as_json else text(found), as_json=as_json)
