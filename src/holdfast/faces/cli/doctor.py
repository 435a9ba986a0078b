"""`holdfast doctor`: looks at everything that a running Holdfast stands on, and says what to do about each fault."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from holdfast.core.errors import HoldfastError
from holdfast.faces.cli.terminal import ConfigOption, Exit, JsonOption, emit, load_settings, progress

if TYPE_CHECKING:
    from holdfast.faces.cli.findings import Finding


def doctor(*, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Check configuration, files, database, nodes, clock, disk, rates and webhook key; say what to do about each fault.

    Ends with 1 where something has failed; warnings alone end with 0. Run it as the user that runs the zones.

    Example: `holdfast doctor --config shop/holdfast.toml --json`
    """
    findings = asyncio.run(_examine(config))
    is_well = all(finding.level != "fail" for finding in findings)
    report = {
        "ok": is_well,
        "findings": [
            {"check": one.check, "level": one.level, "detail": one.detail, "remedy": one.remedy} for one in findings
        ],
    }
    emit(report, _text(findings), as_json=as_json)
    if not is_well:
        raise typer.Exit(Exit.FAILED)


async def _examine(config: Path | None) -> list[Finding]:
    from holdfast.faces.cli import doctor_checks
    from holdfast.faces.cli.findings import Finding, failed

    try:
        settings = load_settings(config)
    except HoldfastError as error:
        return [failed("configuration", error)]
    findings = [Finding("configuration", "ok", str(settings.path))]
    with progress("doctor") as advance:
        checks = doctor_checks.all_checks(settings)
        for done, (name, check) in enumerate(checks):
            advance(name, done, len(checks))
            findings += await check()
    return findings


def _text(findings: list[Finding]) -> str:
    marks = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}
    lines = []
    for one in findings:
        lines.append(f"{marks[one.level]}  {one.check}: {one.detail}")
        if one.remedy:
            lines.append(f"      → {one.remedy}")
    fails = sum(one.level == "fail" for one in findings)
    warns = sum(one.level == "warn" for one in findings)
    lines.append(f"\n{len(findings)} checks, {fails} failed, {warns} to look at")
    return "\n".join(lines)
