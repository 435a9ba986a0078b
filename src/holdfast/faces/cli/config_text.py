"""Writes a configuration file whose comments are the settings' own descriptions, so that both cannot differ.

Settings that have a value are written; the others stand commented out with their defaults.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
from msgspec import NODEFAULT, inspect, structs

from holdfast.runtime.settings import SECTIONS, NetworkSettings, Settings

HEAD = """\
# Holdfast's configuration. Relative paths start at this file's directory. Secrets never stand here: name their files.
# Lines that begin with `# name =` show a default. `holdfast doctor` checks all of it.
"""

Values = Mapping[str, object]


def config_text(top: Values, sections: Mapping[str, Values], networks: Mapping[str, Values]) -> str:
    """The file's text: `top` are settings above all tables, `sections` those of each table."""
    lines = [HEAD, *_table(Settings, top, skip={*SECTIONS, "networks", "path"})]
    for name, kind in SECTIONS.items():
        if kind is NetworkSettings:
            for network, values in networks.items():
                lines += ["", f"[networks.{_key(network)}]", *_table(kind, values, skip={"name"})]
            continue
        lines += ["", f"# {_summary(kind)}", f"[{name}]", *_table(kind, sections.get(name, {}))]
    return "\n".join(lines) + "\n"


def _table(kind: type[msgspec.Struct], values: Values, skip: set[str] | None = None) -> Iterator[str]:
    unknown = set(values) - {entry.name for entry in structs.fields(kind)}
    if unknown:
        raise AssertionError(f"{kind.__name__} has no {sorted(unknown)}")
    for entry in structs.fields(kind):
        meaning = _description(inspect.type_info(entry.type))
        if entry.name in (skip or ()) or (entry.name not in values and _is_foreign(meaning, values)):
            continue
        yield f"# {meaning}"
        if entry.name in values:
            yield f"{entry.name} = {toml(values[entry.name])}"
            continue
        default = entry.default_factory() if entry.default_factory is not NODEFAULT else entry.default
        yield f"# {entry.name} = {toml(default)}" if default not in (None, NODEFAULT) else f"# {entry.name} ="


def _is_foreign(meaning: str, values: Values) -> bool:
    """Whether a network's setting is for the other family, or for networks that are not built in."""
    return meaning.startswith("EVM network" if "factory" in values else ("EVM", "Bitcoin family"))


def toml(value: object) -> str:
    """A value as TOML writes it."""
    match value:
        case bool():
            return str(value).lower()
        case int():
            return str(value)
        case str() | Path():
            text = str(value).replace("\\", "\\\\").replace('"', '\\"')
            return f'"{text}"'
        case list():
            return _list([toml(one) for one in value])
        case msgspec.Struct():
            facts = {name: getattr(value, name) for name in value.__struct_fields__}
            return toml({name: fact for name, fact in facts.items() if fact is not None})
        case dict():
            return (
                "{ " + ", ".join(f"{_key(name)} = {toml(one)}" for name, one in value.items()) + " }" if value else "{}"
            )
        case _:
            raise AssertionError(f"{type(value).__name__} has no form in TOML")


def _list(items: list[str]) -> str:
    one_line = f"[{', '.join(items)}]"
    return one_line if len(one_line) <= 80 else "[\n  " + ",\n  ".join(items) + ",\n]"


def _key(name: object) -> str:
    text = str(name)
    return text if text.replace("-", "").replace("_", "").isalnum() and text.isascii() else toml(text)


def _summary(kind: type[msgspec.Struct]) -> str:
    return (kind.__doc__ or "").split("\n")[0]


def _description(node: inspect.Type) -> str:
    while isinstance(node, inspect.Metadata):
        if node.extra_json_schema and "description" in node.extra_json_schema:
            return str(node.extra_json_schema["description"])
        node = node.type
    return ""
