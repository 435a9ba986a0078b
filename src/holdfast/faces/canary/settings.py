"""The canary's own settings: it runs on a host of its own, and has of the platform what any shop has."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from holdfast.chains.zone_settings import read_settings
from holdfast.core.errors import BadInput

HexKey = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class CanarySettingsWrong(BadInput):
    """A line of the canary's settings cannot be used. Correct the one that the detail names."""

    code = "canary-settings-wrong"


class PayerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How to pay on one EVM network."""

    url: str
    """A node that the platform does not use."""
    key_file: Path
    """32 bytes, hex: holds small coin for this and nothing else. For its owner alone (mode 0600)."""
    units_max: Annotated[int, Meta(ge=1)]
    """An invoice that asks for more of the network's coin or a token is compared and not paid."""


class CanarySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The file `canary.toml`. Paths are relative to its directory."""

    platform_url: str
    """As payers see it, from outside."""
    api_key_file: Path
    """Of the merchant that the operator has enrolled for this."""
    root_fingerprint: HexKey
    """SHA-256 of the quorum document, obtained from the officers and not from the platform."""
    merchant_key: HexKey
    """That merchant's own public key."""
    version_file: Path
    """Where the newest certificate version is remembered."""
    amount: str = "1.00"
    currency: str = "EUR"
    every_seconds: Annotated[int, Meta(ge=1, le=86_400)] = 300
    credited_seconds: Annotated[int, Meta(ge=1, le=86_400)] = 900
    """How long a payment may take to settle its invoice."""
    freeze_keystore_file: Path | None = None
    """A freeze key: with it a wrong address freezes everything at once."""
    freeze_passphrase_file: Path | None = None
    watchtower: str = "127.0.0.1:8790"
    payers: dict[str, PayerSettings] = {}
    """By CAIP-2 id (EVM). On other networks addresses are compared and nothing is paid."""


def load(path: Path) -> CanarySettings:
    """The settings in a file. Raises `CanarySettingsWrong`."""
    return read_settings(path, CanarySettings, CanarySettingsWrong)
