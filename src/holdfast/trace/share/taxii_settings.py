"""The operator's file of what is offered over TAXII, read and checked; and tokens for peers."""

from __future__ import annotations

import hashlib
import re
import secrets
import tomllib
from pathlib import Path
from uuid import UUID

import msgspec

from holdfast.core.errors import BadInput
from holdfast.trace.share.taxii import TaxiiSettings

_PATH = re.compile(r"[a-z0-9][a-z0-9-]{0,40}")
_RESERVED = "taxii2"


class TaxiiSettingsWrong(BadInput):
    """A line of the TAXII settings cannot be used. Correct the one that the detail names."""

    code = "taxii-settings-wrong"


def read_taxii_settings(path: Path) -> TaxiiSettings:
    """What the operator configured. Raises `TaxiiSettingsWrong`."""
    try:
        settings = msgspec.convert(tomllib.loads(path.read_text("utf-8")), TaxiiSettings)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise TaxiiSettingsWrong(f"{path.name}: {str(error)[:200]}") from None
    paths = [root.path for root in settings.roots]
    if len(set(paths)) < len(paths) or any(not _PATH.fullmatch(each) or each == _RESERVED for each in paths):
        raise TaxiiSettingsWrong(f"paths of API roots: {', '.join(paths)}")
    ids = [collection.id for root in settings.roots for collection in root.collections]
    if len(set(ids)) < len(ids) or not all(_is_uuid(each) for each in ids):
        raise TaxiiSettingsWrong("ids of collections are different UUIDs")
    known = {peer.name for peer in settings.peers}
    named = {
        name
        for root in settings.roots
        for collection in root.collections
        for name in (*collection.readers, *collection.writers)
    }
    if named - known:
        raise TaxiiSettingsWrong(f"no peer of the name {', '.join(sorted(named - known))}")
    if any(not re.fullmatch(r"[0-9a-f]{64}", peer.token_sha256) for peer in settings.peers):
        raise TaxiiSettingsWrong("token_sha256 has 64 hex digits")
    return settings


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def new_token() -> tuple[str, str]:
    """A token for a peer, shown once, and what of it stands in the settings."""
    token = secrets.token_urlsafe(32)
    return token, hashlib.sha256(token.encode()).hexdigest()
