"""`holdfast init`: a new set-up, with every key where it belongs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.core.errors import BadInput, Conflict
from holdfast.faces.cli.terminal import JsonOption, emit, progress, say

if TYPE_CHECKING:
    from holdfast.faces.cli.set_up import Plan

LOCAL_NETWORKS = ("litecoin-regtest", "anvil")
PASSPHRASE_WORDS = 24
"""Bytes of randomness in the passphrase that `--local` makes."""


class SetUpExists(Conflict):
    """There is something at that place already, and keys are never overwritten. Name a directory that is not there."""

    code = "set-up-exists"


class SetUpUnclear(BadInput):
    """It is not clear what to set up. Give `--local`, or each network by `--network`."""

    code = "set-up-unclear"


def init(  # noqa: PLR0913  one option of the command line each
    directory: Annotated[Path, typer.Argument(help="Where to put it; must not exist yet.")],
    *,
    local: Annotated[
        bool, typer.Option("--local", help="Test networks of your own, as `holdfast localnet` runs them; fixed rates.")
    ] = False,
    network: Annotated[
        list[str] | None, typer.Option(help="A network by its name, as in `litecoin`; may be given again.")
    ] = None,
    officers: Annotated[int, typer.Option(min=1, max=15, help="How many officers hold the vault.")] = 3,
    threshold: Annotated[int, typer.Option(min=1, max=15, help="How many of them must sign.")] = 2,
    officer: Annotated[
        list[Path] | None,
        typer.Option(
            help="An officer's public file, made on his own machine; once for each. Then no keys are made here."
        ),
    ] = None,
    passphrase_file: Annotated[
        Path | None, typer.Option(help="File with the passphrase for the officers' keystores; else it is asked for.")
    ] = None,
    database_url: Annotated[
        str | None, typer.Option(help="A PostgreSQL of your own, without password; else the embedded one.")
    ] = None,
    port: Annotated[int, typer.Option(min=1, max=65000, help="Port of the API; the next six are used too.")] = 8480,
    as_json: JsonOption = False,
) -> None:
    """Write a new set-up: a commented configuration, the officers' quorum and vault, and each key in its place.

    `--local` makes one to try things out with, on chains of your own. Nothing that exists is ever overwritten.

    Example: `holdfast init --local shop`
    """
    from holdfast.faces.cli.set_up import Plan, make

    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise SetUpExists(str(directory))
    if local == bool(network):
        raise SetUpUnclear("both were given" if local else "neither was given")
    plan = Plan(
        directory=directory.absolute(),
        networks=LOCAL_NETWORKS if local else tuple(network or ()),
        is_local=local,
        officers=officers,
        threshold=threshold,
        officer_files=tuple(officer or ()),
        passphrase=_passphrase(passphrase_file, is_local=local, is_needed=not officer),
        database_url=database_url,
        port=port,
    )
    with progress("init") as advance:
        facts = make(plan, advance)
    say(_advice(plan))
    emit(facts, as_json=as_json, text=f"{directory}: ready, root fingerprint {facts['root_fingerprint']}")


def _passphrase(file: Path | None, *, is_local: bool, is_needed: bool) -> str:
    """The officers' passphrase: from the file, made up for a local set-up, else asked for."""
    from holdfast.runtime.config import read_secret

    if file is not None:
        return read_secret(file)
    if not is_needed:
        return ""
    if is_local:
        import secrets

        return secrets.token_urlsafe(PASSPHRASE_WORDS)
    return str(
        typer.prompt("Passphrase for the officers' keystores", hide_input=True, confirmation_prompt=True, err=True)
    )


def _advice(plan: Plan) -> str:
    name = plan.directory.name
    if plan.is_local:
        return (
            f"\nNext, from here:\n"
            f"  holdfast localnet --dir {name}                (leave it running; another terminal for the rest)\n"
            f"  holdfast serve --config {name}/holdfast.toml   (leave it running too)\n"
            f"  holdfast merchant enrol shop --config {name}/holdfast.toml\n"
            f"The operator's API key is in {name}/secrets/operator.key.\n"
        )
    lines = ["", "Next:"]
    if not plan.officer_files:
        lines += [
            f"  Move each keystore in {name}/officers to its officer's own offline machine, and delete it here:",
            "  whoever has enough of them, with the passphrase, has the vault.",
        ]
    lines += [
        f"  Read {name}/holdfast.toml: where are your nodes, how many confirmations do you want?",
        f"  holdfast doctor --config {name}/holdfast.toml",
        f"  holdfast serve --config {name}/holdfast.toml",
        "  Tell each merchant the root fingerprint over a channel that this server does not carry.",
        "",
    ]
    return "\n".join(lines)
