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
_LONG_STRING = re.compile(r'"""(?:.|\n)*?"""|' r"'''(?:.|\n)*?'''")
_STRING = re.compile(r'"(?:\\.|[^"\\\n])*"|' r"'[^'\n]*'|#[^\n]*")


def line_of(text: str, path: SettingPath) -> int:
    """The 1-based line of the statement that sets `path`, or of the nearest thing around it (1 at worst)."""
    best = _Statement((), 1, 1)
    for statement in _statements(text):
        if path[: len(statement.path)] == statement.path and len(statement.path) > len(best.path):
            best = statement
    line = best.first
    for part in path[len(best.path) :]:
        line = _element_line(text, best, part) if isinstance(part, int) else _mention_line(text, best, line, part)
    return line


def _element_line(text: str, statement: _Statement, nth: int) -> int:
    """The line on which the array's element of this index begins."""
    depth, commas, line = 0, 0, statement.first
    for number in range(statement.first, statement.last + 1):
        outline = _outline(text)[number - 1]
        for mark in outline if number > statement.first else outline.partition("=")[2]:
            depth += (mark in "[{") - (mark in "]}")
            commas += mark == "," and depth == 1
            if commas == nth and not mark.isspace() and mark not in ",[":
                return number
    return line


def _mention_line(text: str, statement: _Statement, line: int, name: str) -> int:
    """The first line from this one on, inside the statement, on which the key stands; this one where it does not."""
    key = re.compile(rf"""(?<![\w-])["']?{re.escape(name)}["']?\s*=""")
    lines = text.splitlines()[line - 1 : statement.last]
    return next((number for number, one in enumerate(lines, line) if key.search(one)), line)


def _outline(text: str) -> list[str]:
    """The lines without their strings and comments, but `s` where a string was."""
    return _STRING.sub(lambda match: "" if match[0][0] == "#" else "s", _long_blanked(text)).splitlines()


def _long_blanked(text: str) -> str:
    return _LONG_STRING.sub(lambda match: "s" + "\n" * match[0].count("\n"), text)


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


def _statements(text: str) -> Iterator[_Statement]:
    table: SettingPath = ()
    counts: dict[SettingPath, int] = {}
    open_one: _Statement | None = None
    depth = 0
    lines = zip(_long_blanked(text).splitlines(), _outline(text), strict=False)
    for number, (line, outline) in enumerate(lines, 1):
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


def _path(dotted: str) -> SettingPath:
    return tuple(part.strip("\"'") for part in re.findall(_KEY, dotted))
