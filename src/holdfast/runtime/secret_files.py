"""Opens the files that hold secrets, and refuses those that others may read.

A secret goes from its file to the one who needs it; it is never put into settings, errors or the environment.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from holdfast.runtime.config_errors import SecretFileExposed, SecretFileMissing

SECRET_BYTES_MAX = 65_536


def read_secret(path: Path) -> str:
    """The secret in this file, without the white space around it. Raises `SecretFileMissing`, `SecretFileExposed`."""
    check_secret(path)
    try:
        with path.open(encoding="utf-8") as file:
            secret = file.read(SECRET_BYTES_MAX).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SecretFileMissing(f"{path}: {type(error).__name__}") from None
    if not secret:
        raise SecretFileMissing(f"{path} is empty")
    return secret


def check_secret(path: Path, where: str = "") -> None:
    """Whether only its owner may read it. Raises `SecretFileMissing`, `SecretFileExposed`.

    `where` is the line of the configuration that names it. A file that this user may not even look for belongs to
    another zone's user: then there is nothing to say.
    """
    said = f"{where}: {path}" if where else str(path)
    try:
        status = path.stat()
    except PermissionError:
        return
    except OSError:
        raise SecretFileMissing(said) from None
    if not stat.S_ISREG(status.st_mode):
        raise SecretFileMissing(f"{said} is not a file")
    if status.st_mode & 0o077:
        raise SecretFileExposed(f"{said} has mode {stat.S_IMODE(status.st_mode):04o}")


def write_secret(path: Path, secret: str) -> None:
    """Write a new file that only its owner may read; never over an old one. Raises `FileExistsError`."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(secret + "\n")
        file.flush()
        os.fsync(file.fileno())
