"""Reads what lies on this host for an assessment: zones' settings, the quorum, keystores' public parts, file modes.

It opens no keystore and reads no secret: of files that hold one it looks at mode and owner.
"""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path

from packaging.utils import canonicalize_name

from holdfast.core import keystore as sealing
from holdfast.core.errors import HoldfastError
from holdfast.core.quorum import Quorum, read_quorum
from holdfast.faces.assess.advisories import ECOSYSTEM
from holdfast.faces.assess.inventory import Files, FileSeen, KeystoreSeen, NotLookedAt, Packages, ZoneSeen
from holdfast.policy.document import Policy, read_policy
from holdfast.runtime.backup import newest
from holdfast.runtime.config_checks import secret_files
from holdfast.runtime.settings import Settings
from holdfast.signer import settings as signer_settings
from holdfast.signer.settings import SignerSettings
from holdfast.vault import documents
from holdfast.watchtower import settings as tower_settings
from holdfast.watchtower.settings import TowerSettings

SIGNER_FILE, TOWER_FILE, POLICY_FILE = "signer/signer.toml", "watchtower/tower.toml", "policy.json"
"""Where `holdfast init --local` puts them, beside the configuration."""
LOCK_FILES = ("requirements/platform.txt", "requirements/all.txt")
KEYSTORES_MAX = 1_000
_LOCKED = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==([^\s;\\]+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Places:
    """Where to look besides the configuration; None: beside it."""

    signer: Path | None = None
    tower: Path | None = None
    lock_files: tuple[Path, ...] = ()


def read_files(settings: Settings, places: Places) -> Files:
    """Everything that can be read here. What cannot is in `not_looked_at`, with the reason."""
    missing: list[NotLookedAt] = []
    signer_file = places.signer or settings.directory / SIGNER_FILE
    tower_file = places.tower or settings.directory / TOWER_FILE
    signer, tower = _signer(signer_file, missing), _tower(tower_file, missing)
    zones = [ZoneSeen("platform", settings.directory, settings.path.stat().st_uid)]
    zones += [
        ZoneSeen(name, file.parent, file.stat().st_uid)
        for name, file, found in (("signer", signer_file, signer), ("watchtower", tower_file, tower))
        if found is not None
    ]
    directories = list(dict.fromkeys(zone.directory for zone in zones))
    return Files(
        quorum=_quorum(settings, missing),
        directory_mode=stat.S_IMODE(settings.directory.stat().st_mode),
        keystores=tuple(_keystores(directories, missing)),
        secrets=tuple(_secrets(settings, signer, tower)),
        zones=tuple(zones),
        signer=signer,
        signer_file=signer_file if signer else None,
        tower=tower,
        tower_file=tower_file if tower else None,
        policy=_policy(settings.directory / POLICY_FILE, missing),
        backup_at=_backup(settings, missing),
        not_looked_at=tuple(missing),
    )


def read_packages(places: Places, checkout: Path) -> Packages:
    """What is installed here, and what the lock files pin: those given, else the one of a checkout."""
    installed = {
        (ECOSYSTEM, canonicalize_name(one.name), one.version) for one in distributions() if one.name and one.version
    }
    files = places.lock_files or tuple(path for name in LOCK_FILES if (path := checkout / name).is_file())[:1]
    locked = {entry for path in files for entry in _locked(path)}
    return Packages(tuple(sorted(installed)), tuple(sorted(locked)), files)


def _locked(path: Path) -> Iterator[tuple[str, str, str]]:
    """Of a hash-pinned requirements file, or npm's `package-lock.json`."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        for place, package in json.loads(text).get("packages", {}).items():
            if place and "version" in package:
                yield "npm", place.rpartition("node_modules/")[2], str(package["version"])
        return
    for name, version in _LOCKED.findall(text):
        yield ECOSYSTEM, canonicalize_name(name), version


def _quorum(settings: Settings, missing: list[NotLookedAt]) -> Quorum | None:
    try:
        return read_quorum(settings.quorum_file.read_bytes())
    except (OSError, HoldfastError) as error:
        missing.append(
            NotLookedAt("quorum document", _said(error), "Set `quorum_file` to what `holdfast vault quorum` wrote.")
        )
        return None


def _signer(path: Path, missing: list[NotLookedAt]) -> SignerSettings | None:
    how = "Run it again where the signer is, with `--signer FILE`; the rest of this report is then of that host."
    if not _is_there(path):
        missing.append(NotLookedAt("signer's settings", f"{path} is not on this host", how))
        return None
    try:
        return signer_settings.load(path)
    except HoldfastError as error:
        missing.append(NotLookedAt("signer's settings", _said(error), how))
        return None


def _tower(path: Path, missing: list[NotLookedAt]) -> TowerSettings | None:
    how = (
        "Run it again where the watchtower is, with `--watchtower FILE`; the rest of this report is then of that host."
    )
    if not _is_there(path):
        missing.append(NotLookedAt("watchtower's settings", f"{path} is not on this host", how))
        return None
    try:
        return tower_settings.load(path)
    except HoldfastError as error:
        missing.append(NotLookedAt("watchtower's settings", _said(error), how))
        return None


def _is_there(path: Path) -> bool:
    """Whether it exists; one that this user may not look for is not."""
    try:
        return path.is_file()
    except PermissionError:
        return False


def _keystores(directories: list[Path], missing: list[NotLookedAt]) -> Iterator[KeystoreSeen]:
    """Every keystore below these directories, without the passphrase."""
    paths = sorted({path for directory in directories for path in directory.rglob("*.keystore")})
    for path in paths[:KEYSTORES_MAX]:
        try:
            sealed = sealing.decode(path.read_bytes())
        except (OSError, HoldfastError) as error:
            missing.append(
                NotLookedAt(f"keystore {path}", _said(error), "Run it as the keystore's owner, or move it away.")
            )
            continue
        public = sealed.public
        yield KeystoreSeen(_seen(path), sealed.kind, public.get("name", path.stem), public.get("key", ""), sealed.cost)


def _secrets(settings: Settings, signer: SignerSettings | None, tower: TowerSettings | None) -> Iterator[FileSeen]:
    named = [path for _, path in secret_files(settings)]
    named += sorted((settings.directory / "secrets").glob("*")) if (settings.directory / "secrets").is_dir() else []
    named += sorted(settings.directory.glob("officers*/passphrase"))
    if signer is not None:
        pin = signer.hsm.pin_file if signer.hsm else None
        given = (signer.keystore_file, signer.passphrase_file, signer.token_file, pin)
        named += [path for path in given if path is not None]
    if tower is not None:
        named += [tower.lease_key_file, tower.passphrase_file]
    for path in dict.fromkeys(named):
        if _is_there(path):
            yield _seen(path)


def _seen(path: Path) -> FileSeen:
    status = path.stat()
    return FileSeen(path, stat.S_IMODE(status.st_mode), status.st_uid)


def _policy(path: Path, missing: list[NotLookedAt]) -> Policy | None:
    if not path.is_file():
        return None
    try:
        return read_policy(documents.read(path).document.encode())
    except (OSError, HoldfastError) as error:
        missing.append(
            NotLookedAt("policy file", _said(error), f"`holdfast vault order show {path}` says what is wrong.")
        )
        return None


def _backup(settings: Settings, missing: list[NotLookedAt]) -> datetime | None:
    try:
        made = newest(settings.database.backup_dir)
    except HoldfastError as error:
        missing.append(NotLookedAt("backups", _said(error), "`holdfast doctor` says what is wrong with them."))
        return None
    return made.made_at.astimezone(UTC) if made else None


def _said(error: OSError | HoldfastError) -> str:
    if isinstance(error, HoldfastError):
        return f"{error.title().removesuffix('.')}: {error.detail} [{error.code}]"
    return f"{error.strerror}"
