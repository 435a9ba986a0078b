"""Which database the settings mean, and how each role reaches it.

Passwords stay in files until a connection is opened; they are never put into a URL.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from holdfast.runtime.embedded_database import EmbeddedDatabase
from holdfast.runtime.secret_files import read_secret
from holdfast.runtime.settings import DatabaseSettings


@dataclass(frozen=True, slots=True)
class DatabaseAccess:
    """What `database.open_pool`, `connected` and `migrate` take."""

    url: str
    password: str | None = field(default=None, repr=False)


def platform_access(settings: DatabaseSettings) -> DatabaseAccess:
    """How servers reach the database. Raises `SecretFileMissing`, `SecretFileExposed`."""
    if settings.url is None:
        return DatabaseAccess(EmbeddedDatabase(settings.data_dir).url)
    return DatabaseAccess(settings.url, read_secret(settings.password_file) if settings.password_file else None)


def owner_access(settings: DatabaseSettings) -> DatabaseAccess:
    """How migrations and backups reach it: as the owner, where there is an `owner_url`. Raises as above."""
    if settings.url is None:
        return DatabaseAccess(EmbeddedDatabase(settings.data_dir).owner_url)
    if settings.owner_url is None:
        return platform_access(settings)
    password = read_secret(settings.owner_password_file) if settings.owner_password_file else None
    return DatabaseAccess(settings.owner_url, password)
