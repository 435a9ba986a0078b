"""How every command speaks: data on standard output, talk on standard error, one exit code per kind of outcome.

Never prints a secret, but for `keys make` and `init`, whose very purpose it is to hand one over once.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.core.errors import BadInput, Conflict, HoldfastError, NotFound, NotPermitted

if TYPE_CHECKING:
    from holdfast.runtime.settings import Settings


class Exit(IntEnum):
    """What a script learns from the exit code."""

    DONE = 0
    FAILED = 1
    """Ran to its end, and what it checked is not well (`doctor`, `demo`)."""
    USAGE = 2
    """The command line is wrong."""
    BAD_INPUT = 3
    NOT_FOUND = 4
    NOT_PERMITTED = 5
    CONFLICT = 6
    UNAVAILABLE = 7
    INTERRUPTED = 130


ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", metavar="FILE", help="The configuration; else HOLDFAST_CONFIG, else ./holdfast.toml."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]


def say(text: str = "") -> None:
    """Talk: for people, on standard error."""
    print(text, file=sys.stderr, flush=True)


def emit(value: object, text: str | None = None, *, as_json: bool = True) -> None:
    """Data, on standard output: `value` as JSON, or `text` where JSON was not asked for."""
    print(json.dumps(value, indent=2, default=str) if as_json or text is None else text, flush=True)


def exit_code(error: HoldfastError) -> Exit:
    """The exit code for an error."""
    for kind, code in (
        (BadInput, Exit.BAD_INPUT),
        (NotFound, Exit.NOT_FOUND),
        (NotPermitted, Exit.NOT_PERMITTED),
        (Conflict, Exit.CONFLICT),
    ):
        if isinstance(error, kind):
            return code
    return Exit.UNAVAILABLE


def report(error: HoldfastError, *, as_json: bool) -> Exit:
    """Show an error as one message: what happened, where, what to do, its code."""
    facts = "".join(f" {name}={value}" for name, value in error.facts.items())
    if as_json:
        emit(
            {
                "error": {
                    "code": error.code,
                    "title": error.title(),
                    "detail": error.detail + facts,
                    "remedy": error.remedy(),
                    "retry": error.retry,
                }
            }
        )
    say(f"holdfast: {error.title()}")
    if error.detail or facts:
        say(f"  {error.detail}{facts}")
    say(f"  What to do: {error.remedy()} [{error.code}]")
    return exit_code(error)


def load_settings(config: Path | None) -> Settings:
    """The configuration that a command works with. Raises what `runtime.config.load` raises."""
    from holdfast.runtime.config import load

    return load(config)


Advance = Callable[[str, int, int], None]
"""Says what is being done, how much of it is done, and how much there is."""


@contextmanager
def progress(title: str) -> Iterator[Advance]:
    """A progress bar on standard error; plain lines where that is not a terminal."""
    if not sys.stderr.isatty():
        said: set[str] = set()

        def tell(what: str, _done: int, _total: int) -> None:
            if what not in said:
                said.add(what)
                say(f"{title}: {what}")

        yield tell
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)

        def advance(what: str, done: int, total: int) -> None:
            bar.update(task, description=f"{title}: {what}", completed=done, total=total)

        yield advance
