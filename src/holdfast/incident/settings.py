"""The incident process' own settings, from its own file: where it looks, what it takes, whom it tells."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Meta

from holdfast.chains.zone_settings import NetworkAccess, read_settings
from holdfast.core import keystore
from holdfast.core.errors import BadInput
from holdfast.core.keystore import KeystoreMalformed
from holdfast.runtime.secret_files import check_secret, read_secret

INCIDENT_KEY_KIND = "incident"
HexKey = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
HttpUrl = Annotated[str, Meta(pattern=r"^https?://[^@\s]+$")]


class IncidentSettingsWrong(BadInput):
    """A line of the incident process' settings cannot be used. Correct the one that the detail names."""

    code = "incident-settings-wrong"


class WebhookTo(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A place that is told by Standard Webhooks."""

    url: HttpUrl
    secret_file: Path
    """`whsec_…`: base64 of the secret that both sides hold."""


class EmailTo(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """People who are told by e-mail."""

    host: str
    port: Annotated[int, Meta(ge=1, le=65_535)] = 587
    sender: str
    to: Annotated[tuple[str, ...], Meta(min_length=1)]
    user: str | None = None
    password_file: Path | None = None
    starttls: bool = True


class CommandTo(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A program that is run for every alert, without a shell; it reads the alert as JSON from its standard input."""

    argv: Annotated[tuple[str, ...], Meta(min_length=1)]
    seconds_max: Annotated[int, Meta(ge=1, le=600)] = 30


class IncidentSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The file `incident.toml`. Paths are relative to its directory."""

    root_fingerprint: HexKey
    """SHA-256 of the quorum document whose officers' journal this is."""
    directory: Path
    """Where incidents, evidence and alerts are kept."""
    key_file: Path
    """Keystore of the key that signs timelines and manifests."""
    passphrase_file: Path
    tower_host: str = "127.0.0.1"
    tower_port: Annotated[int, Meta(ge=1, le=65_535)] = 8_790
    poll_milliseconds: Annotated[int, Meta(ge=50, le=10_000)] = 300
    """How often the watchtower is asked."""
    silence_seconds: Annotated[int, Meta(ge=1, le=3_600)] = 30
    """A watchtower that has not answered for so long is an alarm of its own."""
    zones: dict[str, HttpUrl] = {}
    """What answers `/ready`, by the name of its zone."""
    platform_url: HttpUrl | None = None
    """Reconciliation and what needs a person are taken from here."""
    platform_key_file: Path | None = None
    """An operator's API key that may only read."""
    log_files: tuple[Path, ...] = ()
    log_bytes_max: Annotated[int, Meta(ge=1_000, le=10**9)] = 16_000_000
    """Of each log file: its newest bytes."""
    people: dict[str, HexKey] = {}
    """Who may decide, officers included: Ed25519 public keys by name."""
    networks: dict[str, NetworkAccess] = {}
    """By CAIP-2 id: where transactions and block headers are taken from. What each node says is kept apart."""
    webhooks: tuple[WebhookTo, ...] = ()
    email: EmailTo | None = None
    commands: tuple[CommandTo, ...] = ()


def load(path: Path) -> IncidentSettings:
    """The settings in a file. Raises `IncidentSettingsWrong`."""
    return read_settings(path, IncidentSettings, IncidentSettingsWrong)


def open_key(settings: IncidentSettings) -> Ed25519PrivateKey:
    """The key that signs. Raises what `core.keystore` names, `SecretFileMissing`, `SecretFileExposed`."""
    check_secret(settings.key_file)
    sealed = keystore.decode(settings.key_file.read_bytes(), INCIDENT_KEY_KIND)
    try:
        return Ed25519PrivateKey.from_private_bytes(keystore.unseal(sealed, read_secret(settings.passphrase_file)))
    except ValueError:
        raise KeystoreMalformed(f"{settings.key_file} does not hold an Ed25519 key") from None
