"""`holdfast bench`: measures this machine, and prints each figure beside the physical limit that bounds it."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from holdfast.core.errors import BadInput
from holdfast.faces.cli.terminal import JsonOption, emit, progress, say

LIMIT_WORDS = ("limit", "bound", "physical")
"""A figure whose name contains one of these is marked as a limit in the table."""


class BenchUnknown(BadInput):
    """There is no benchmark of this name. Choose one that `holdfast bench --list` prints."""

    code = "bench-unknown"


def bench(  # noqa: PLR0913  one option of the command line each
    *,
    only: Annotated[list[str] | None, typer.Option("--only", help="Only this one; may be given again.")] = None,
    list_names: Annotated[bool, typer.Option("--list", help="Print the names and stop.")] = False,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long each measurement runs.")] = 5.0,
    directory: Annotated[
        Path | None,
        typer.Option("--dir", help="Where to put databases; on the disk to be measured. Default: temporary."),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The JSON file to write.")] = Path("bench.json"),
    as_json: JsonOption = False,
) -> None:
    """Measure ledger, invoices, scanning and paging on this machine; print the figures and write them as JSON.

    Example: `holdfast bench --only ledger --seconds 10 --json`
    """
    names = known_names()
    if list_names:
        emit(names, "\n".join(names), as_json=as_json)
        return
    for name in only or []:
        if name not in names:
            raise BenchUnknown(f"{name[:40]!r}; there are {', '.join(names)}")
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-", dir=directory) as work:
        figures = _measure([name for name in names if not only or name in only], Path(work), seconds)
    report = {"machine": _machine(), "seconds": seconds, "figures": figures}
    import json

    output.write_text(json.dumps(report, indent=2, default=str) + "\n", encoding="utf-8")
    say(f"written: {output}")
    emit(report, _table(figures), as_json=as_json)


def known_names() -> list[str]:
    """The benchmarks: every module of `faces/bench` that has `run`."""
    import importlib
    import pkgutil

    from holdfast.faces import bench as room

    found = [module.name for module in pkgutil.iter_modules(room.__path__)]
    return [name for name in found if hasattr(importlib.import_module(f"{room.__name__}.{name}"), "run")]


def _measure(names: list[str], work: Path, seconds: float) -> dict[str, dict[str, object]]:
    import importlib

    figures: dict[str, dict[str, object]] = {}
    with progress("bench") as advance:
        for done, name in enumerate(names):
            advance(name, done, len(names))
            run = importlib.import_module(f"holdfast.faces.bench.{name}").run
            place = work / name
            place.mkdir()
            figures[name] = asyncio.run(run(place, seconds))
    return figures


def _machine() -> dict[str, object]:
    import os
    import platform

    return {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": platform.platform(),
    }


def _table(figures: dict[str, dict[str, object]]) -> str:
    """Every figure on a line, limits marked, groups of figures indented."""
    lines: list[str] = []
    for name, found in figures.items():
        lines += [name, *_lines(found, "  "), ""]
    return "\n".join(lines)


def _lines(found: dict[str, object], indent: str) -> list[str]:
    lines: list[str] = []
    width = max((len(key) for key in found), default=0)
    for key, value in found.items():
        if isinstance(value, dict):
            lines += [f"{indent}{key}", *_lines(value, indent + "  ")]
        else:
            mark = "  ← limit" if any(word in key for word in LIMIT_WORDS) else ""
            lines.append(f"{indent}{key:<{width}}  {_number(value):>14}{mark}")
    return lines


def _number(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"
