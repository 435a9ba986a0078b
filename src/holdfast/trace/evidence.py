"""What nodes and files really said, kept byte by byte under its SHA-256, and a manifest of who said it, when, to what.

evidence/manifest.jsonl     one line an answer; lines are only ever added
evidence/ab/ab12…           the bytes themselves, named by their hash; the same bytes are kept once
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Protocol

import msgspec

from holdfast.core.errors import BadInput, NotFound

_COPY_BYTES = 1 << 20


class EvidenceGone(NotFound):
    """The case has no evidence with this id. Use an id of its manifest."""

    code = "evidence-gone"


class EvidenceAltered(BadInput):
    """A file of evidence is missing, or is no longer what it was when it was kept. Restore it from a copy."""

    code = "evidence-altered"


class Exhibit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of the manifest: one answer to one question."""

    id: str
    """`V` and 16 hex digits, from source, request and hash: the same answer told again is the same exhibit."""
    sha256: str
    size: int
    source: str
    """Which node, file or server, by name: never a URL, which may hold a key."""
    request: str
    """What was asked for."""
    at: int
    """When it came (seconds since 1970)."""
    network: str = ""
    height: int = 0
    block_hash: str = ""


class Keep(Protocol):
    """Where sources put what they were told."""

    def keep(self, raw: bytes, exhibit: Exhibit) -> str:
        """As `Evidence.keep`."""
        ...


class Evidence:
    """The evidence of one case."""

    def __init__(self, directory: Path) -> None:
        """Raises `EvidenceAltered` where the manifest cannot be read."""
        self.directory = directory
        self._known: dict[str, Exhibit] = {}
        for line in self._lines():
            try:
                exhibit = msgspec.json.decode(line, type=Exhibit)
            except msgspec.DecodeError as error:
                raise EvidenceAltered(f"manifest.jsonl: {error}") from None
            self._known.setdefault(exhibit.id, exhibit)

    def keep(self, raw: bytes, exhibit: Exhibit) -> str:
        """Keep an answer; its id. `id`, `sha256` and `size` of the exhibit are filled in here."""
        return self._keep(exhibit, sha256(raw).hexdigest(), len(raw), lambda path: _write(path, [raw]))

    def keep_file(self, file: Path, exhibit: Exhibit) -> str:
        """As `keep`, a whole file, of any size."""
        hasher, size = sha256(), 0
        for part in _parts(file):
            hasher.update(part)
            size += len(part)
        return self._keep(exhibit, hasher.hexdigest(), size, lambda path: _write(path, _parts(file)))

    def _keep(self, exhibit: Exhibit, digest: str, size: int, write: Callable[[Path], None]) -> str:
        name = sha256(f"{exhibit.source}\x1f{exhibit.request}\x1f{digest}".encode()).hexdigest()
        full = msgspec.structs.replace(exhibit, id=f"V{name[:16]}", sha256=digest, size=size)
        if full.id in self._known:
            return full.id
        path = self._path(digest)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = path.with_suffix(".new")
            write(fresh)
            fresh.replace(path)
        self._add(msgspec.json.encode(full) + b"\n")
        self._known[full.id] = full
        return full.id

    @property
    def exhibits(self) -> Mapping[str, Exhibit]:
        """By id, in the order in which they came."""
        return self._known

    def raw(self, evidence_id: str) -> bytes:
        """The bytes of an exhibit, held against its hash. Raises `EvidenceGone`, `EvidenceAltered`."""
        if evidence_id not in self._known:
            raise EvidenceGone(evidence_id[:40])
        exhibit = self._known[evidence_id]
        path = self._path(exhibit.sha256)
        if not path.exists():
            raise EvidenceAltered(f"{exhibit.sha256} is missing")
        data = path.read_bytes()
        if sha256(data).hexdigest() != exhibit.sha256:
            raise EvidenceAltered(exhibit.sha256)
        return data

    def altered(self) -> list[str]:
        """Ids whose bytes are missing or have another hash than the manifest says."""
        found = []
        for evidence_id in self._known:
            try:
                self.raw(evidence_id)
            except EvidenceAltered:
                found.append(evidence_id)
        return found

    def _path(self, digest: str) -> Path:
        return self.directory / digest[:2] / digest

    @property
    def _manifest(self) -> Path:
        return self.directory / "manifest.jsonl"

    def _lines(self) -> list[bytes]:
        """Whole lines. What a crash left of a last one is no line: its answer is asked for again."""
        if not self._manifest.exists():
            return []
        return self._manifest.read_bytes().split(b"\n")[:-1]

    def _add(self, line: bytes) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        with self._manifest.open("ab+") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":  # a crash left half a line
                    whole = sum(len(each) + 1 for each in self._lines())
                    file.truncate(whole)
            file.write(line)
            file.flush()
            os.fsync(file.fileno())


def _parts(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from iter(lambda: file.read(_COPY_BYTES), b"")


def _write(path: Path, parts: Iterable[bytes]) -> None:
    with path.open("wb") as file:
        file.writelines(parts)
        file.flush()
        os.fsync(file.fileno())
