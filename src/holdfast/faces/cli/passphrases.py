"""Where a passphrase comes from: a file that only its owner may read, or a question. Never an argument."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

PassphraseFile = Annotated[
    Path | None, typer.Option("--passphrase-file", help="File with the keystore's passphrase; else it is asked for.")
]


def old_passphrase(file: Path | None, whose: str) -> str:
    """The passphrase of a keystore that is there. Raises `SecretFileMissing`, `SecretFileExposed`."""
    if file is None:
        return str(typer.prompt(f"Passphrase for {whose}", hide_input=True, err=True))
    from holdfast.runtime.config import read_secret

    return read_secret(file)


def new_passphrase(file: Path | None, whose: str) -> str:
    """The passphrase for a keystore that is being made. Raises as `old_passphrase`."""
    if file is not None:
        return old_passphrase(file, whose)
    return str(typer.prompt(f"New passphrase for {whose}", hide_input=True, confirmation_prompt=True, err=True))
