"""Known vulnerabilities from a directory of OSV files (the OSV schema, ossf.github.io), matched with what runs. Pure.

An entry matches a package by its name (PEP 503) and either a listed version or a range of kind ECOSYSTEM or SEMVER;
versions are compared as PEP 440 says. Reading and updating the directory is `advisory_files`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from holdfast.faces.assess.cvss import severity_of_vector
from holdfast.faces.assess.severities import Severity

ECOSYSTEM = "PyPI"
RANGES = frozenset({"ECOSYSTEM", "SEMVER"})
"""Ranges of kind GIT are about commits, and nothing here runs from one."""


class OsvPackage(msgspec.Struct, frozen=True):
    """Of whom an entry speaks."""

    ecosystem: str = ""
    name: str = ""


class OsvEvent(msgspec.Struct, frozen=True):
    """Where a range begins or ends; one of the fields is set."""

    introduced: str | None = None
    fixed: str | None = None
    last_affected: str | None = None


class OsvRange(msgspec.Struct, frozen=True):
    """A range of versions."""

    type: str = ""
    events: tuple[OsvEvent, ...] = ()


class OsvAffected(msgspec.Struct, frozen=True):
    """A package and its affected versions."""

    package: OsvPackage | None = None
    ranges: tuple[OsvRange, ...] = ()
    versions: tuple[str, ...] = ()


class OsvSeverity(msgspec.Struct, frozen=True):
    """A CVSS vector."""

    type: str = ""
    score: str = ""


class OsvWords(msgspec.Struct, frozen=True):
    """What GitHub's entries say beside."""

    severity: str | None = None


class OsvEntry(msgspec.Struct, frozen=True):
    """One advisory, as far as it is read. Fields that are not here are passed over, as the schema asks."""

    id: str
    modified: str = ""
    taken_back: str | None = msgspec.field(default=None, name="withdrawn")
    """When it was found not to be one."""
    aliases: tuple[str, ...] | None = None
    summary: str = ""
    affected: tuple[OsvAffected, ...] | None = None
    severity: tuple[OsvSeverity, ...] | None = None
    database_specific: OsvWords | None = None


@dataclass(frozen=True, slots=True)
class Advisories:
    """The local database."""

    entries: tuple[OsvEntry, ...]
    updated_at: datetime
    """When it was last fetched, by our own note."""
    unreadable: tuple[str, ...] = ()
    """Names of files that are no OSV entries."""


@dataclass(frozen=True, slots=True)
class Match:
    """An advisory about a version that runs."""

    advisory: str
    aliases: tuple[str, ...]
    package: str
    version: str
    summary: str
    severity: Severity | None
    """None: the advisory does not say."""
    fixed: str | None
    """The lowest version above this one that is not affected."""


def matches(entries: Iterable[OsvEntry], packages: Sequence[tuple[str, str, str]]) -> list[Match]:
    """Every advisory about one of these packages (ecosystem, name, version), each hole under one of its names."""
    running: dict[tuple[str, str], str] = {
        (ecosystem, canonicalize_name(name)): version for ecosystem, name, version in packages
    }
    found: list[Match] = []
    told: set[tuple[str, str]] = set()
    for entry in sorted(entries, key=lambda one: one.id):
        for match in _of_entry(entry, running):
            names = {(match.package, name) for name in (match.advisory, *match.aliases)}
            if not names & told:
                found.append(match)
            told |= names
    return found


def _of_entry(entry: OsvEntry, running: dict[tuple[str, str], str]) -> Iterator[Match]:
    if entry.taken_back:
        return
    for affected in entry.affected or ():
        if affected.package is None:
            continue
        name = canonicalize_name(affected.package.name)
        version = running.get((affected.package.ecosystem, name))
        if version is None or not is_affected(affected, version):
            continue
        yield Match(
            advisory=entry.id,
            aliases=tuple(entry.aliases or ()),
            package=name,
            version=version,
            summary=entry.summary,
            severity=severity_of(entry),
            fixed=_fixed(affected, version),
        )
        return


def is_affected(affected: OsvAffected, version: str) -> bool:
    """Whether this version is meant: listed, or inside a range."""
    if version in affected.versions:
        return True
    ours = _version(version)
    if ours is None:
        return False
    if any(_version(one) == ours for one in affected.versions):
        return True
    return any(_is_inside(one.events, ours) for one in affected.ranges if one.type in RANGES)


def severity_of(entry: OsvEntry) -> Severity | None:
    """What the advisory says: the worst of its CVSS v3 vectors, else the word of its database."""
    found = [severity_of_vector(one.score) for one in entry.severity or ()]
    known = [one for one in found if one is not None]
    if known:
        return min(known, key=lambda one: one.rank)
    word = (entry.database_specific.severity or "").lower() if entry.database_specific else ""
    return {"moderate": Severity.MEDIUM, **{one.value: one for one in Severity}}.get(word)


def _is_inside(events: Sequence[OsvEvent], version: Version) -> bool:
    """The schema's own evaluation: events in the order of their versions switch it on and off."""
    is_inside = False
    for at, event in sorted(_timed(events), key=lambda one: one[0]):
        if event.introduced is not None and version >= at:
            is_inside = True
        elif (event.fixed is not None and version >= at) or (event.last_affected is not None and version > at):
            is_inside = False
    return is_inside


def _timed(events: Sequence[OsvEvent]) -> Iterator[tuple[Version, OsvEvent]]:
    for event in events:
        text = event.introduced or event.fixed or event.last_affected or ""
        at = _version("0.dev0" if text == "0" else text)
        if at is not None:
            yield at, event


def _fixed(affected: OsvAffected, version: str) -> str | None:
    ours = _version(version)
    ends = [event.fixed for one in affected.ranges if one.type in RANGES for event in one.events if event.fixed]
    after = [(at, text) for text in ends if (at := _version(text)) is not None and ours is not None and at > ours]
    return min(after)[1] if after else None


def _version(text: str) -> Version | None:
    try:
        return Version(text)
    except InvalidVersion:
        return None
