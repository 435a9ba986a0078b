"""What can be wrong with a configuration. Each detail begins with `file:line`, where there is a line.

The values of settings that may hold secrets are never repeated in them.
"""

from __future__ import annotations

from holdfast.core.errors import BadInput, NotFound


class ConfigMissing(NotFound):
    """There is no configuration file there. Write one with `holdfast init`, or name yours with `--config`."""

    code = "config-missing"


class ConfigUnreadable(BadInput):
    """The configuration file cannot be read by this user, or is not UTF-8 text. Mend its permissions or encoding."""

    code = "config-unreadable"


class ConfigSyntax(BadInput):
    """The configuration file is not TOML. Correct the line that the detail names (https://toml.io shows the syntax)."""

    code = "config-syntax"


class SettingUnknown(BadInput):
    """The configuration has a setting that does not exist. Correct its name or remove the line."""

    code = "setting-unknown"


class SettingMissing(BadInput):
    """The configuration lacks a setting that is needed. Add it where the detail says."""

    code = "setting-missing"


class SettingMalformed(BadInput):
    """A setting has a value of the wrong kind or out of range. Write what the detail asks for."""

    code = "setting-malformed"


class SettingHoldsSecret(BadInput):
    """A setting contains a credential. Put it into a file that only its owner may read, and name that file instead."""

    code = "setting-holds-secret"


class SettingsContradict(BadInput):
    """Two settings exclude each other, or one needs another. Keep what the detail says."""

    code = "settings-contradict"


class SecretFileMissing(NotFound):
    """A file that the configuration names for a secret is not there. Write it, or correct the path."""

    code = "secret-file-missing"


class SecretFileExposed(BadInput):
    """Others than its owner may read a file with a secret. Run `chmod 600` on it, and replace the secret."""

    code = "secret-file-exposed"


class FileMissing(NotFound):
    """A file that the configuration names is not there. Write it, or correct the path."""

    code = "file-missing"
