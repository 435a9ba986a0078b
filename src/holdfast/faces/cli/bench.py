"""`holdfast bench`: measures this machine, and prints each figure beside the physical limit that bounds it."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.core.errors import BadInput
from holdfast.faces.cli.terminal import JsonOption, emit, progress, say

if TYPE_CHECKING:
    from holdfast.faces.bench.trace import Wish

_DATA_BESIDE = ("shared", "data")
"""Where tests look for public data too: beside the repository."""
LIMIT_WORDS = ("limit", "bound", "physical")
"""A figure whose name contains one of these is marked as a limit in the table."""


class BenchUnknown(BadInput):
    """There is no benchmark of this name. Choose one that `holdfast bench --list` prints."""

    code = "bench-unknown"


def bench(  # noqa: PLR0913  one option of the command line each
    which: Annotated[list[str] | None, typer.Argument(help="Only these, such as `trace`; all without.")] = None,
    *,
    only: Annotated[list[str] | None, typer.Option("--only", help="Only this one; may be given again.")] = None,
    list_names: Annotated[bool, typer.Option("--list", help="Print the names and stop.")] = False,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long each measurement runs.")] = 5.0,
    directory: Annotated[
        Path | None,
        typer.Option("--dir", help="Where to put databases; on the disk to be measured. Default: temporary."),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The JSON file to write.")] = Path("bench.json"),
    rows: Annotated[
        int, typer.Option(min=0, help="trace: transfers for the bulk engine; 0: 1, 10 and 100 millions.")
    ] = 0,
    noise: Annotated[int, typer.Option(min=1_000, help="trace: transfers in which the theft is hidden.")] = 1_000_000,
    heist: Annotated[
        Path | None, typer.Option(exists=True, help="trace: CSV or folder of a theft's true transfers.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(envvar="HOLDFAST_DATA", exists=True, file_okay=False, help="trace: folder of public data."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure ledger, invoices, scanning, paging and tracing on this machine; print figures and write them as JSON.

    Example: `holdfast bench --only ledger --seconds 10 --json`, `holdfast bench trace --rows 1000000 --noise 100000`
    """
    names = known_names()
    if list_names:
        emit(names, "\n".join(names), as_json=as_json)
        return
    chosen = [*(which or []), *(only or [])]
    for name in chosen:
        if name not in names:
            raise BenchUnknown(f"{name[:40]!r}; there are {', '.join(names)}")
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-", dir=directory) as work:
        wish = _wish(rows, noise, heist, data) if "trace" in chosen else None
        figures = _measure([name for name in names if not chosen or name in chosen], Path(work), seconds, wish)
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


def _wish(rows: int, noise: int, heist: Path | None, data: Path | None) -> Wish:
    """What `trace` measures when it is asked for by name; among all others it is quick."""
    from holdfast.faces.bench.trace import Wish

    beside = Path.cwd().parent.joinpath(*_DATA_BESIDE)
    sizes = (rows,) if rows else (1_000_000, 10_000_000, 100_000_000)
    return Wish(sizes, noise, data or (beside if beside.is_dir() else None), heist)


def _measure(names: list[str], work: Path, seconds: float, wish: Wish | None = None) -> dict[str, dict[str, object]]:
    import importlib

    figures: dict[str, dict[str, object]] = {}
    with progress("bench") as advance:
        for done, name in enumerate(names):
            advance(name, done, len(names))
            run = importlib.import_module(f"holdfast.faces.bench.{name}").run
            place = work / name
            place.mkdir()
            figures[name] = asyncio.run(run(place, seconds, wish) if wish and name == "trace" else run(place, seconds))
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
