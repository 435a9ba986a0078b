"""`holdfast report`: a case written up for police and regulator, requests to who can freeze, and the bundle."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer._click.core import Context
from typer.core import TyperGroup

from holdfast.core.errors import BadInput, Conflict
from holdfast.faces.cli.terminal import JsonOption, emit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.trace.case import Case
    from holdfast.trace.labels.where import Holding
    from holdfast.trace.report.material import Material


class ReportDiffers(Conflict):
    """The bundle is not what its manifest says, or a figure cannot be derived from its data. Ask for another copy."""

    code = "report-differs"


class DateMalformed(BadInput):
    """The report's date is not understood. Write it in ISO 8601, as `2026-11-21T12:00:00Z`."""

    code = "report-date-malformed"


class _CaseOrCommand(TyperGroup):
    """`holdfast report CASE` makes a report; what is no command's name is a case."""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """As the base does, with `make` put before a case."""
        if args and args[0] not in self.commands and args[0] not in {"--help", "-h"}:
            args = ["make", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_CaseOrCommand, help="Write up a case: report, requests, forms, and a bundle that proves it.",
    no_args_is_help=True,
)  # fmt: skip

CaseFolder = Annotated[Path, typer.Argument(metavar="CASE", help="The case's folder, as `holdfast trace` made it.")]


@app.command("make")
def make(  # noqa: PLR0913  one option of the command line each
    case: CaseFolder,
    *,
    statement: Annotated[
        Path | None, typer.Option("--statement", metavar="FILE", help="What only people know, as JSON (see the docs).")
    ] = None,
    prices: Annotated[
        Path | None, typer.Option("--prices", metavar="FILE", help="CSV of asset,time,price: values at block time.")
    ] = None,
    currency: Annotated[str, typer.Option("--currency", help="Of the prices.")] = "USD",
    node: Annotated[
        list[str] | None,
        typer.Option("--node", metavar="NETWORK=URL", help="Ask it what issuers could still freeze; repeatable."),
    ] = None,
    timestamp_url: Annotated[
        str, typer.Option("--timestamp-url", metavar="URL", help="An RFC 3161 server that time-stamps the manifest.")
    ] = "",
    timestamp_roots: Annotated[
        Path | None,
        typer.Option("--timestamp-roots", metavar="PEM", help="Roots that its answer must be signed under."),
    ] = None,
    date: Annotated[str, typer.Option("--date", metavar="TIME", help="The report's date, to make it again.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Make the report of a case, in its folder `report`, and the same as one zip file.

    Example: `holdfast report make theft --statement us.json`; `make` may be left out
    """
    from holdfast.faces.cli.trace_sources import now
    from holdfast.faces.cli.trace_view import drawn
    from holdfast.trace.case import Case
    from holdfast.trace.report.assembly import material_of
    from holdfast.trace.report.bundle import MANIFEST, TOKEN, files_of, requests_told, write
    from holdfast.trace.report.prices import Prices, read_prices
    from holdfast.trace.report.requests import requests_of
    from holdfast.trace.report.statement import Statement, read_statement
    from holdfast.trace.report.timestamp import stamped

    opened = Case(case)
    drawn(opened)
    material = material_of(
        opened, _moment(date) if date else now(),
        statement=read_statement(statement.read_bytes()) if statement is not None else Statement(),
        prices=read_prices(prices.read_text(encoding="utf-8"), currency) if prices is not None else Prices(),
        holdings=asyncio.run(_holdings(opened, node or ())),
    )  # fmt: skip
    material = replace(material, annexes={**material.annexes, **_indicators(opened, material)})
    found = files_of(material, opened.evidence().raw, is_timestamped=bool(timestamp_url))
    if timestamp_url:
        found[TOKEN] = stamped(found[MANIFEST], timestamp_url, timestamp_roots)
    archive = write(opened.report, found)
    requests = requests_told(requests_of(material))
    said = {"report": str(opened.report / "report.pdf"), "bundle": str(archive), "files": len(found),
            "requests": requests}  # fmt: skip
    lines = [
        f"{said['report']}: {len(material.trace.steps)} steps, {len(material.trace.ends)} ends",
        f"{archive}: {len(found)} files; anybody can check it: holdfast report verify {archive}",
    ]
    lines += [f"{one['number']}  to {one['to']} ({one['class']}), {one['addresses']} addresses" for one in requests]
    emit(said, "\n".join(lines), as_json=as_json)


@app.command("verify")
def verify(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The zip file, or its unpacked folder.")],
    *,
    as_json: JsonOption = False,
) -> None:
    """Derive every figure of a report anew from its bundle, by a program that shares no code with what made it.

    Example: `holdfast report verify theft/report.zip`
    """
    from holdfast.trace.report import verifier

    checked = verifier.verify(verifier.read_bundle(bundle))
    counted = ", ".join(f"{count} {what}" for what, count in sorted(checked.counts.items()))
    emit(
        {"faults": checked.faults, "compared": dict(checked.counts)},
        "\n".join([*checked.faults, f"compared: {counted}"]), as_json=as_json,
    )  # fmt: skip
    if checked.faults:
        raise ReportDiffers(checked.faults[0])


def _indicators(case: Case, material: Material) -> dict[str, bytes]:
    """The STIX bundle beside the report, where it is stated who reports."""
    from contextlib import ExitStack

    from holdfast.faces.cli.trace_link import opened
    from holdfast.trace.share.leaving import NothingToShare, Telling, notice
    from holdfast.trace.share.stix import bundle

    by = material.statement.reporter.organisation
    if not by:
        return {}
    with ExitStack() as stores:
        told = Telling(incident=material.name, name=material.name, by=by, at=material.made_at)
        try:
            return {"indicators.stix.json": bundle(notice(opened(case.directory, stores), told))}
        except NothingToShare:
            return {}


def _moment(text: str) -> int:
    try:
        then = datetime.fromisoformat(text)
    except ValueError:
        raise DateMalformed(text[:40]) from None
    return int((then if then.tzinfo else then.replace(tzinfo=UTC)).timestamp())


async def _holdings(case: Case, nodes: Sequence[str]) -> list[Holding]:
    """What nodes say of tokens that issuers could freeze."""
    from holdfast.chains.rpc import RpcClient
    from holdfast.trace.labels.issuer_reads import freezable, read_holdings
    from holdfast.trace.sources.places import network_named

    found: list[Holding] = []
    for each in nodes:
        name, _, url = each.partition("=")
        network = network_named(name)
        if not network or not url:
            raise typer.BadParameter(f"--node {name[:60]}: write NETWORK=URL")
        rpc = RpcClient(url)
        try:
            found += await read_holdings(rpc, network, freezable(case.trace(), network))
        finally:
            await rpc.close()
    return found
