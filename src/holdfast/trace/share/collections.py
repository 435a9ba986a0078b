"""Collections of STIX objects on disk: one file of lines each, only ever added to; every object with its moment."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from holdfast.core.errors import BadInput


class CollectionUnreadable(BadInput):
    """A collection's file is not as it was written. Restore it from a copy; nothing was added to it."""

    code = "collection-unreadable"


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One version of one object, as it came."""

    added: int
    """Microseconds since 1970, each later than the one before: what pages are counted by."""
    object: dict[str, Any]
    by: str
    """Who added it."""
    deleted: bool = False
    """All versions of this id up to here are gone."""

    @property
    def id(self) -> str:
        """The object's."""
        return str(self.object.get("id", ""))

    @property
    def version(self) -> str:
        """As TAXII 2.1 (section 3.4) has it: when it was modified, else created; else when it was added."""
        return str(self.object.get("modified") or self.object.get("created") or stamp(self.added))


def stamp(micros: int) -> str:
    """RFC 3339 in UTC, to the microsecond."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Collections:
    """Every collection's objects, below one directory. Other processes may add to them meanwhile."""

    def __init__(self, directory: Path) -> None:
        """Nothing is read or written before it is asked for."""
        self._directory = directory
        self._read: dict[str, tuple[int, list[Entry]]] = {}

    def entries(self, collection: str) -> Sequence[Entry]:
        """All that is there, in the order in which it was added. Raises `CollectionUnreadable`."""
        path = self._path(collection)
        at, known = self._read.get(collection, (0, []))
        size = path.stat().st_size if path.exists() else 0
        if size > at:
            with path.open("rb") as file:
                file.seek(at)
                fresh = file.read(size - at)
            whole = fresh[: fresh.rfind(b"\n") + 1]
            known = [*known, *_decoded(whole, path)]
            self._read[collection] = (at + len(whole), known)
        return _standing(known)

    def add(self, collection: str, objects: Sequence[Mapping[str, Any]], by: str, now: int) -> None:
        """Adds objects, durably; a version that is there already is not added again. `now`: microseconds since 1970."""
        with self._alone(collection):
            before = self.entries(collection)
            known = {(each.id, each.version) for each in before}
            undated = {each.id: each.object for each in before if not _is_dated(each.object)}
            last = max((each.added for each in self._read.get(collection, (0, []))[1]), default=0)
            lines = []
            for each in objects:
                entry = Entry(max(now, last + 1), dict(each), by)
                if (entry.id, entry.version) in known or undated.get(entry.id) == each:
                    continue
                last = entry.added
                known.add((entry.id, entry.version))
                if not _is_dated(each):
                    undated[entry.id] = entry.object
                lines.append(msgspec.json.encode(entry) + b"\n")
            self._append(collection, lines)

    def delete(self, collection: str, object_id: str, by: str, now: int) -> None:
        """All versions of an object are gone for readers; the file keeps what it was."""
        with self._alone(collection):
            self.entries(collection)
            last = max((each.added for each in self._read.get(collection, (0, []))[1]), default=0)
            gone = Entry(max(now, last + 1), {"id": object_id}, by, deleted=True)
            self._append(collection, [msgspec.json.encode(gone) + b"\n"])

    def _append(self, collection: str, lines: Sequence[bytes]) -> None:
        if not lines:
            return
        with self._path(collection).open("ab") as file:
            file.write(b"".join(lines))
            file.flush()
            os.fsync(file.fileno())

    @contextmanager
    def _alone(self, collection: str) -> Iterator[None]:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self._directory / f".{collection}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _path(self, collection: str) -> Path:
        return self._directory / f"{collection}.jsonl"


def _decoded(content: bytes, path: Path) -> list[Entry]:
    try:
        return [msgspec.json.decode(line, type=Entry) for line in content.splitlines()]
    except msgspec.DecodeError as error:
        raise CollectionUnreadable(f"{path.name}: {error}") from None


def _standing(known: Sequence[Entry]) -> list[Entry]:
    gone = {each.id: each.added for each in known if each.deleted}
    return [each for each in known if not each.deleted and each.added > gone.get(each.id, -1)]


def _is_dated(row: Mapping[str, Any]) -> bool:
    """Observables and their kind have no versions."""
    return "modified" in row or "created" in row
