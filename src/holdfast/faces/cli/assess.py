"""`holdfast assess`: a dated report of who holds what, what is wrong with it, and what could be lost."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.core.errors import BadInput
from holdfast.faces.cli.terminal import ConfigOption, Exit, JsonOption, emit, load_settings, say

if TYPE_CHECKING:
    from holdfast.faces.assess.assessing import Assessment
    from holdfast.faces.assess.reading_files import Places
    from holdfast.runtime.settings import Settings


class ReportNotWritten(BadInput):
    """The report cannot be written to that file. Name one in a directory that exists and that you may write in."""

    code = "report-not-written"


def assess(  # noqa: PLR0913  one option of the command line each
    *,
    config: ConfigOption = None,
    signer: Annotated[
        Path | None,
        typer.Option(help="The signer's settings, where they are not in `signer/` beside the configuration."),
    ] = None,
    watchtower: Annotated[
        Path | None,
        typer.Option(help="The watchtower's, where they are not in `watchtower/` beside the configuration."),
    ] = None,
    lock: Annotated[
        list[Path] | None, typer.Option(help="A lock file: hash-pinned requirements, or npm's; may be given again.")
    ] = None,
    seconds: Annotated[int, typer.Option(min=1, help="The time from the first theft to the freeze.")] = 3600,
    update_advisories: Annotated[
        str | None, typer.Option(metavar="URL|DIR", help="First replace the advisory database by this one.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write the whole report as one page of HTML.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the whole report as Markdown.")] = None,
    exit_zero: Annotated[bool, typer.Option("--exit-zero", help="End with 0 whatever is found.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Assess the risk: who holds what, what has no end, limits, dependencies, CCSS and ASVS, loss bounds.

    Ends with 1 where a finding is critical or high. Works with every zone down: what was not looked at is a finding.

    Example: `holdfast assess --config shop/holdfast.toml --html assessment.html`
    """
    from holdfast.faces.assess import last_time, report
    from holdfast.faces.assess.reading_files import Places

    settings = load_settings(config)
    if update_advisories is not None:
        _update(settings, update_advisories)
    places = Places(signer, watchtower, tuple(lock or ()))
    done = asyncio.run(_assess(settings, places, seconds))
    for path, text in ((html, report.page), (markdown, report.markdown)):
        if path is not None:
            _write(path, text(done))
    last_time.keep(settings.directory, done.at, done.findings)
    emit(report.facts(done), report.text(done), as_json=as_json)
    if done.is_failing and not exit_zero:
        raise typer.Exit(Exit.FAILED)


async def _assess(settings: Settings, places: Places, seconds: int) -> Assessment:
    from holdfast.faces.assess.assessing import assess as assessed, read_inventory
    from holdfast.runtime.clock import SYSTEM_CLOCK

    inventory = await read_inventory(settings, places, Path.cwd(), SYSTEM_CLOCK.now())
    return assessed(inventory, seconds)


def _update(settings: Settings, source: str) -> None:
    from holdfast.faces.assess import advisory_files
    from holdfast.runtime.clock import SYSTEM_CLOCK

    found = advisory_files.update(settings.assessment.advisories_dir, source, SYSTEM_CLOCK.now())
    say(f"advisories: {len(found.entries)} entries in {settings.assessment.advisories_dir}")


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ReportNotWritten(f"{path}: {error.strerror}") from None
    say(f"written: {path}")
