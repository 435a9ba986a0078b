"""Finds the line of a TOML file on which a setting stands, so that an error can name it.

`tomllib` keeps no positions. This reads only the outline (tables, keys, open brackets); it never decides a value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SettingPath = tuple[str | int, ...]
"""Where a setting lies: `("networks", "litecoin", "nodes", 0, "url")`."""

_KEY = r"""(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')"""
_DOTTED = rf"{_KEY}(?:\s*\.\s*{_KEY})*"
_HEADER = re.compile(rf"\s*(\[\[?)\s*({_DOTTED})\s*\]\]?")
_ASSIGNMENT = re.compile(rf"\s*({_DOTTED})\s*=")
_STRING = re.compile(r'"""(?:.|\n)*?"""|' r"'''(?:.|\n)*?'''|" r'"(?:\\.|[^"\\\n])*"|' r"'[^'\n]*'|#[^\n]*")


@dataclass(frozen=True, slots=True)
class Source:
    """The text of a configuration file, to name the lines in it."""

    path: Path
    text: str

    def where(self, setting: SettingPath) -> str:
        """`file:line setting`, for the detail of an error."""
        name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in setting).removeprefix(".")
        return f"{self.path}:{line_of(self.text, setting)} {name}".rstrip()


@dataclass(slots=True)
class _Statement:
    """A header or an assignment, and the lines it covers."""

    path: SettingPath
    first: int
    last: int


def line_of(text: str, path: SettingPath) -> int:
    """The 1-based line of the statement that sets `path`, or of the nearest thing around it (1 at worst)."""
    best = _Statement((), 1, 1)
    for statement in _statements(text):
        if path[: len(statement.path)] == statement.path and len(statement.path) > len(best.path):
            best = statement
    rest = path[len(best.path) :]
    lines = text.splitlines()
    region = range(best.first, min(best.last, len(lines)) + 1)
    name = next((part for part in reversed(rest) if isinstance(part, str)), None)
    nth = next((part for part in rest if isinstance(part, int)), 0)
    hits = [number for number in region for _ in _mentions(lines[number - 1], name)] if name else []
    if hits:
        return hits[min(nth, len(hits) - 1)]
    return region[min(nth, len(region) - 1)] if isinstance(rest[:1] and rest[0], int) else best.first


def _mentions(line: str, name: str) -> list[str]:
    return re.findall(rf"""(?<![\w-])["']?{re.escape(name)}["']?\s*=""", line)


def _statements(text: str) -> Iterator[_Statement]:
    table: SettingPath = ()
    counts: dict[SettingPath, int] = {}
    open_one: _Statement | None = None
    depth = 0
    bare = _STRING.sub(_blank, text).splitlines()
    for number, (line, outline) in enumerate(zip(text.splitlines(), bare, strict=False), 1):
        if open_one is None:
            header, assignment = _HEADER.match(line), _ASSIGNMENT.match(line)
            if header:
                table = _path(header[2])
                if header[1] == "[[":
                    counts[table] = counts.get(table, -1) + 1
                    table = (*table, counts[table])
                yield _Statement(table, number, number)
                continue
            if not assignment:
                continue
            open_one = _Statement((*table, *_path(assignment[1])), number, number)
        depth += sum(outline.count(mark) for mark in "[{") - sum(outline.count(mark) for mark in "]}")
        open_one.last = number
        if depth <= 0:
            yield open_one
            open_one, depth = None, 0


def _blank(match: re.Match[str]) -> str:
    return "\n" * match[0].count("\n")


def _path(dotted: str) -> SettingPath:
    return tuple(part.strip("\"'") for part in re.findall(_KEY, dotted))
