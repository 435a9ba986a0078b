"""`holdfast drill`: attacks, played against a whole platform on test networks, with the loss measured."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from holdfast.faces.cli.terminal import JsonOption


def drill(  # noqa: PLR0913  one option of the command line each
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME…", help="Which drills; `--list` names them.")
    ] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="Every drill there is.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Those that `make test` plays.")] = False,
    listed: Annotated[bool, typer.Option("--list", help="Only name them.")] = False,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a page with a timeline for each.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the attacker's dice: the same seed, the same drill.")] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep the bounds there, each written before its attack.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep each platform too, with its logs (needs --out).")] = False,
    fault: Annotated[
        str | None,
        typer.Option(
            help="Break this in the middle: kill:PROCESS, dark:ZONE (its nodes do not answer), dead:ZONE (its node is "
            "killed), full:ZONE (its disk), cut:signer-watchtower, cut:signer-platform, unplugged:ZONE-ZONE."
        ),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Tell the timeline as it happens.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Attack a platform of one's own on test networks, and measure from the chain what was lost.

    Starts real nodes and every zone as a process; as root, each under a user of its own. The exit code is 1 where a
    loss is above the bound that was written down before, or where something that was promised is not so.

    Example: `holdfast drill coinspaid-2023`
    """
    words = [*(names or ())]
    flags = {"--all": every, "--quick": quick, "--list": listed, "--keep": keep, "--json": as_json,
             "--verbose": verbose}  # fmt: skip
    words += [name for name, is_wanted in flags.items() if is_wanted]
    for name, value in (("--html", html), ("--seed", seed), ("--out", out), ("--fault", fault)):
        words += [name, str(value)] if value is not None else []
    # Drills stand above the faces, so no module of theirs is loaded here: they become this process.
    os.execv(sys.executable, (sys.executable, "-m", "holdfast.drill.main", *words))  # noqa: S606  our own module
