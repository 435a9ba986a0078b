"""The signer's own settings, from its own file: paths and addresses only. What it may sign stands in the policy.

No flag here, and no environment variable, loosens anything.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from holdfast.core.errors import BadInput

HexKey = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class SignerSettingsWrong(BadInput):
    """A line of the signer's settings cannot be used. Correct the one that the detail names."""

    code = "signer-settings-wrong"


class NodeAccess(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One of the signer's own nodes. The URL carries no credentials; a file does."""

    url: str | None = None
    url_file: Path | None = None
    """For providers whose URL contains a key."""
    cookie_file: Path | None = None
    rpcuser: str | None = None
    rpcpassword_file: Path | None = None


class NetworkAccess(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A network that the signer looks at by itself."""

    nodes: Annotated[tuple[NodeAccess, ...], Meta(min_length=1)]
    """Where there are several, all must agree."""
    tokens: tuple[str, ...] = ()
    """EVM: contracts of the tokens that count, EIP-55."""


class HsmAccess(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A hardware module that holds the keys (PKCS #11; needs the extra `[hsm]`)."""

    library: Path
    """The module's shared library, from its maker."""
    token: str
    """Label of the token."""
    pin_file: Path


class SignerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The file `signer.toml`. Paths are relative to its directory."""

    root_fingerprint: HexKey
    """SHA-256 of the quorum document whose officers this signer obeys."""
    genesis_file: Path
    """The signed genesis order: the first entry of a new journal."""
    journal_file: Path
    keystore_file: Path | None = None
    """Float keys, gas keys and the journal key, sealed; beside a module without Ed25519 only the journal key."""
    passphrase_file: Path | None = None
    hsm: HsmAccess | None = None
    """The keys are in here, and only for want of Ed25519 does the journal key come from a keystore."""
    tower_host: str = "127.0.0.1"
    tower_port: Annotated[int, Meta(ge=1, le=65_535)]
    platform_url: str
    token_file: Path
    """What the platform knows the signer by."""
    networks: dict[str, NetworkAccess]
    """By CAIP-2 id."""
    wait_seconds: Annotated[int, Meta(ge=0, le=30)] = 1
    """How long a request for work may wait for some."""
    watch_milliseconds: Annotated[int, Meta(ge=100, le=60_000)] = 1_000
    """How often the float is looked at for spends that were not ours."""
    bump_after_seconds: Annotated[int, Meta(ge=1, le=86_400)] = 1_200
    """A transaction that waits so long for a block is replaced at a higher fee."""


def load(path: Path) -> SignerSettings:
    """The settings in a file. Raises `SignerSettingsWrong`."""
    here = path.absolute().parent

    def decode(kind: type, value: object) -> object:
        if kind is Path and isinstance(value, str) and value:
            return here / value
        raise ValueError(f"{value!r} is no path")

    try:
        return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), SignerSettings, dec_hook=decode)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise SignerSettingsWrong(f"{path}: {error}") from None
