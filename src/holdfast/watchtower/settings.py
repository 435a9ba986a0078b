"""The watchtower's own settings, from its own file: it shares no configuration with the zones that it watches."""

from __future__ import annotations

import os
import stat
from datetime import date
from pathlib import Path
from typing import Annotated

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Meta

from holdfast.chains.zone_settings import NetworkAccess, read_settings
from holdfast.core import keystore
from holdfast.core.errors import BadInput
from holdfast.core.keystore import KeystoreExposed, KeystoreMalformed, KeystoreMissing
from holdfast.core.leases import LINE_BYTES_MAX

LEASE_KEY_KIND = "lease"
HexKey = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class TowerSettingsWrong(BadInput):
    """A line of the watchtower's settings cannot be used. Correct the one that the detail names."""

    code = "tower-settings-wrong"


class WatchedNetwork(NetworkAccess, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A network that the watchtower looks at by itself. Where it has several nodes, each may raise the alarm."""

    accounts: tuple[str, ...] = ()
    """EVM: the signer's gas account, EIP-55: its every transaction must be in the journal."""


class TowerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The file `tower.toml`. Paths are relative to its directory."""

    root_fingerprint: HexKey
    """SHA-256 of the quorum document whose officers may begin, restore and re-anchor. Compared with them by voice."""
    data_file: Path
    """The SQLite file that keeps the journal, the freezes and the restores."""
    lease_key_file: Path
    """Keystore of the key that signs leases."""
    passphrase_file: Path
    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535)] = 8_790
    lease_milliseconds: Annotated[int, Meta(ge=500, le=60_000)] = 5_000
    """How long the signer may go on after one answer."""
    freeze_keys: tuple[HexKey, ...] = ()
    """Ed25519 keys that may freeze, besides the officers' own."""
    freeze_keys_until: dict[HexKey, date] = {}
    """Until when each of them is to be used. `holdfast assess` tells; a freeze is taken all the same."""
    reader_keys: tuple[HexKey, ...] = ()
    """Ed25519 keys that may read the journal, besides the signer's: the incident process' own."""
    present_seconds: Annotated[int, Meta(ge=0, le=31 * 86_400)] = 0
    """How long payouts go on without a sign of presence by an officer or a freeze key; 0: they wait for none."""
    networks: dict[str, WatchedNetwork] = {}
    """By CAIP-2 id. No lease covers a network with a float that is not here."""
    watch_milliseconds: Annotated[int, Meta(ge=50, le=10_000)] = 200
    """How often the nodes are looked at."""
    blind_seconds: Annotated[int, Meta(ge=1, le=600)] = 15
    """How long leases cover a network of which one node does not answer, is behind, or tells another chain."""
    silence_seconds: Annotated[int, Meta(ge=5, le=86_400)] = 60
    """After how long without a request by the signer there is an alarm."""
    reconcile_seconds: Annotated[int, Meta(ge=1, le=86_400)] = 60
    """How often the vault on chain is compared with what merchants are entitled to."""
    connections_max: Annotated[int, Meta(ge=2, le=1_000)] = 16
    line_bytes_max: Annotated[int, Meta(ge=4_096, le=LINE_BYTES_MAX)] = LINE_BYTES_MAX
    request_seconds_max: Annotated[int, Meta(ge=1, le=600)] = 15
    """A request that takes longer to arrive is dropped."""


def load(path: Path) -> TowerSettings:
    """The settings in a file. Raises `TowerSettingsWrong`."""
    return read_settings(path, TowerSettings, TowerSettingsWrong)


def open_lease_key(settings: TowerSettings) -> Ed25519PrivateKey:
    """The key that signs leases. Raises what `core.keystore` names."""
    sealed = keystore.decode(_read_private(settings.lease_key_file), LEASE_KEY_KIND)
    passphrase = _read_private(settings.passphrase_file).decode(errors="replace").strip()
    secret = keystore.unseal(sealed, passphrase)
    try:
        return Ed25519PrivateKey.from_private_bytes(secret)
    except ValueError:
        raise KeystoreMalformed(f"{settings.lease_key_file} does not hold an Ed25519 key") from None


def _read_private(path: Path) -> bytes:
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise KeystoreMissing(f"{path}: {error.strerror}") from None
    with os.fdopen(handle, "rb") as file:
        mode = stat.S_IMODE(os.fstat(handle).st_mode)
        if mode & 0o077:
            raise KeystoreExposed(f"{path} has mode {mode:04o}")
        return file.read()
