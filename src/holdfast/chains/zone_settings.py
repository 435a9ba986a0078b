"""What the settings files of zones have in common: how one is read, and how it names the zone's own nodes.

Each zone has a file and nodes of its own; only the manner is shared. The platform's one is `runtime.config`'s.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from holdfast.core.errors import BadInput

T = TypeVar("T")


class NodeAccess(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One of a zone's own nodes. The URL carries no credentials; a file does."""

    url: str | None = None
    url_file: Path | None = None
    """For providers whose URL contains a key."""
    cookie_file: Path | None = None
    rpcuser: str | None = None
    rpcpassword_file: Path | None = None


class NetworkAccess(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A network that a zone looks at by itself."""

    nodes: Annotated[tuple[NodeAccess, ...], Meta(min_length=1)]
    tokens: tuple[str, ...] = ()
    """EVM: contracts of the tokens that count, EIP-55."""


def read_settings(path: Path, kind: type[T], wrong: type[BadInput]) -> T:
    """The settings in a TOML file; paths in it are relative to its directory. Raises `wrong`, with file and line."""
    here = path.absolute().parent

    def decode(kind: type, value: object) -> object:
        if kind is Path and isinstance(value, str) and value:
            return here / value
        raise ValueError(f"{value!r} is no path")

    try:
        return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), kind, dec_hook=decode)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise wrong(f"{path}: {error}") from None
