"""Reads the configuration file: every line that is wrong gets an error that names it and says what to do.

The only module that reads the environment. It never holds a secret: settings name files, `read_secret` opens them.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn, TypeVar

import msgspec

from holdfast.runtime.config_checks import check
from holdfast.runtime.config_errors import (
    ConfigMissing,
    ConfigSyntax,
    ConfigUnreadable,
    SettingMalformed,
    SettingMissing,
    SettingUnknown,
)
from holdfast.runtime.secret_files import read_secret
from holdfast.runtime.settings import NetworkSettings, Settings
from holdfast.runtime.toml_lines import SettingPath, Source

__all__ = ["CONFIG_NAME", "CONFIG_VARIABLE", "Settings", "config_path", "load", "read_secret"]

CONFIG_NAME = "holdfast.toml"
CONFIG_VARIABLE = "HOLDFAST_CONFIG"

_T = TypeVar("_T", bound=msgspec.Struct)

_WHERE = re.compile(r"(?P<what>.*?)(?: - at `\$(?P<path>[^`]*)`)?", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(.+)`")
_MISSING = re.compile(r"Object missing required field `(.+)`")
_STEP = re.compile(r"\.([A-Za-z0-9_-]+)|\[(\d+)\]")


def config_path(given: Path | None = None) -> Path:
    """The configuration file: the one given, else HOLDFAST_CONFIG, else `holdfast.toml` in the working directory."""
    if given is not None:
        return given
    return Path(os.environ.get(CONFIG_VARIABLE) or CONFIG_NAME)


def load(path: Path | None = None) -> Settings:
    """The settings in this file (by default `config_path()`), every one checked.

    Raises `ConfigMissing`, `ConfigUnreadable`, `ConfigSyntax`, `SettingUnknown`, `SettingMissing`, `SettingMalformed`,
    `SettingHoldsSecret`, `SettingsContradict`, `SecretFileMissing`, `SecretFileExposed`, `FileMissing`; the detail
    of each names file and line.
    """
    source = read_source(config_path(path).absolute())
    settings = _settings(source, _parse(source))
    check(source, settings)
    return settings


def read_source(path: Path) -> Source:
    """The text of the file. Raises `ConfigMissing`, `ConfigUnreadable`."""
    try:
        return Source(path, path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigMissing(str(path)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigUnreadable(f"{path}: {error}") from None


def _parse(source: Source) -> dict[str, object]:
    try:
        return tomllib.loads(source.text)
    except tomllib.TOMLDecodeError as error:
        at = re.search(r"line (\d+)", str(error))
        line = at[1] if at else len(source.text.splitlines())
        raise ConfigSyntax(f"{source.path}:{line} {error}") from None


def _settings(source: Source, raw: dict[str, object]) -> Settings:
    networks = raw.pop("networks", None)
    if networks is None:
        raise SettingMissing(f"{source.path}: there is no [networks.<name>] table, so no network to be paid on")
    if not isinstance(networks, dict):
        raise SettingMalformed(f"{source.where(('networks',))}: write one table per network, [networks.<name>]")
    if "path" in raw:
        raise SettingUnknown(source.where(("path",)))
    read = {name: _network(source, name, table) for name, table in networks.items()}
    settings = _convert(source, (), {**raw, "path": str(source.path), "networks": {}}, Settings)
    return _rooted(msgspec.structs.replace(settings, networks=read), source.path.parent)


def _network(source: Source, name: str, table: object) -> NetworkSettings:
    at: SettingPath = ("networks", name)
    if not isinstance(table, dict):
        raise SettingMalformed(f"{source.where(at)}: write a table, [networks.{name}]")
    if "name" in table:
        raise SettingUnknown(f"{source.where((*at, 'name'))}: the table's own name is the network's")
    return _convert(source, at, {**table, "name": name}, NetworkSettings)


def _convert(source: Source, at: SettingPath, raw: object, kind: type[_T]) -> _T:
    def decode(wanted: type[object], value: object) -> object:
        if wanted is Path and isinstance(value, str) and value:
            return Path(value).expanduser()
        raise TypeError("Expected a path")

    try:
        return msgspec.convert(raw, type=kind, strict=True, dec_hook=decode)
    except msgspec.ValidationError as error:
        _refuse(source, at, str(error), kind)


def _rooted(settings: _T, directory: Path) -> _T:
    """The settings, every relative path in them put below the file's directory."""
    changed: dict[str, object] = {}
    for name in settings.__struct_fields__:
        value = getattr(settings, name)
        if isinstance(value, Path):
            changed[name] = directory / value
        elif isinstance(value, msgspec.Struct):
            changed[name] = _rooted(value, directory)
        elif isinstance(value, dict):
            changed[name] = {
                key: _rooted(one, directory) if isinstance(one, msgspec.Struct) else one for key, one in value.items()
            }
        elif isinstance(value, list):
            changed[name] = [_rooted(one, directory) if isinstance(one, msgspec.Struct) else one for one in value]
    return msgspec.structs.replace(settings, **changed)


def _refuse(source: Source, at: SettingPath, message: str, kind: type[msgspec.Struct]) -> NoReturn:
    """Raise what msgspec's message says, with the line it is about."""
    match = _WHERE.fullmatch(message)
    what, path = (match["what"], match["path"] or "") if match else (message, "")
    inside = (*at, *(name or int(index) for name, index in _STEP.findall(path)))
    if unknown := _UNKNOWN.fullmatch(what):
        near = difflib.get_close_matches(unknown[1], sorted(_names(kind)), n=1)
        hint = f": did you mean `{near[0]}`?" if near else ""
        raise SettingUnknown(f"{source.where((*inside, unknown[1]))}{hint}") from None
    if missing := _MISSING.fullmatch(what):
        raise SettingMissing(f"{source.where(inside)}: add `{missing[1]}`") from None
    said = _plain(what)
    raise SettingMalformed(f"{source.where(inside)}: expected {said}") from None


def _plain(what: str) -> str:
    """msgspec's words for TOML's types, in words that people use."""
    said = what.replace("`", "").removeprefix("Expected ").replace(" | null", "")
    for word, plain in (("str", "text"), ("int", "a whole number"), ("bool", "true or false"), ("float", "a fraction"),
                        ("array", "a list"), ("object", "a table")):  # fmt: skip
        said = re.sub(rf"\b{word}\b", plain, said)
    return said


def _names(kind: type[msgspec.Struct]) -> set[str]:
    """Every setting's name in `kind` and in the tables below it."""
    names: set[str] = set()
    for entry in msgspec.structs.fields(kind):
        names.add(entry.name)
        for inner in _tables(msgspec.inspect.type_info(entry.type)):
            names |= _names(inner)
    return names - {"path", "name"}


def _tables(node: msgspec.inspect.Type) -> Iterator[type[msgspec.Struct]]:
    """The tables that a setting of this type may contain."""
    match node:
        case msgspec.inspect.StructType(cls=cls):
            yield cls
        case msgspec.inspect.Metadata(type=inner) | msgspec.inspect.ListType(item_type=inner):
            yield from _tables(inner)
        case msgspec.inspect.DictType(value_type=inner):
            yield from _tables(inner)
        case _:
            return
