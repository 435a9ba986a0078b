"""The signer's own settings, from its own file: paths and addresses only. What it may sign stands in the policy.

No flag here, and no environment variable, loosens anything.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from holdfast.chains.zone_settings import NetworkAccess, read_settings
from holdfast.core.errors import BadInput

HexKey = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class SignerSettingsWrong(BadInput):
    """A line of the signer's settings cannot be used. Correct the one that the detail names."""

    code = "signer-settings-wrong"


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
    """By CAIP-2 id. Where a network has several nodes, all must agree."""
    wait_seconds: Annotated[int, Meta(ge=0, le=30)] = 1
    """How long a request for work may wait for some."""
    watch_milliseconds: Annotated[int, Meta(ge=100, le=60_000)] = 1_000
    """How often the float is looked at for spends that were not ours."""
    bump_after_seconds: Annotated[int, Meta(ge=1, le=86_400)] = 1_200
    """A transaction that waits so long for a block is replaced at a higher fee."""


def load(path: Path) -> SignerSettings:
    """The settings in a file. Raises `SignerSettingsWrong`."""
    return read_settings(path, SignerSettings, SignerSettingsWrong)
