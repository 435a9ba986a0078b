"""Incidents on the disk: a directory each, a timeline that only grows, evidence that is there whole or not at all.

    inc_…/timeline.jsonl            one signed line after the other
    inc_…/evidence/0001/…           a seal: its files and manifest.json, read-only
    alerts/…                        see `incident.alerts`

Every change is on the disk before anybody is told. Process and command may work on it at the same time.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from holdfast.core.errors import NotFound, Unavailable
from holdfast.core.ids import ENTROPY_BYTES, new_id
from holdfast.incident.evidence import (
    EXPORT,
    MANIFEST,
    TIMELINE,
    Digest,
    FileTaken,
    Found,
    Manifest,
    NotTaken,
    is_path,
    read_timeline,
    sign_manifest,
)
from holdfast.incident.record import Body, Incident, Opened, Sealed, make_line, read_incident, with_line

PREFIX = "inc"
COPY_BYTES = 1 << 20


class IncidentNotFound(NotFound):
    """There is no such incident in this directory. `holdfast incident list` shows those that are."""

    code = "incident-not-found"


class IncidentStoreFailed(Unavailable):
    """An incident could not be written; nothing half done is left. Make room on the disk, or mend its permissions."""

    code = "incident-store-failed"


@dataclass(frozen=True, slots=True)
class Piece:
    """Something to be sealed: bytes, or a file of which the newest bytes are copied."""

    path: str
    source: str
    how: str
    content: bytes | Path
    bytes_max: int = 1 << 30


@dataclass(frozen=True, slots=True)
class Taking:
    """Everything that goes into one seal."""

    pieces: Sequence[Piece]
    missing: Sequence[NotTaken]
    versions: Mapping[str, str]
    by: str


@dataclass(frozen=True, slots=True)
class Store:
    """A directory of incidents."""

    directory: Path
    key: Ed25519PrivateKey
    now_ms: Callable[[], int]
    """Milliseconds since 1970."""

    @property
    def public_key(self) -> str:
        """The key under which everything here is signed, hex."""
        return self.key.public_key().public_bytes_raw().hex()

    def ids(self) -> list[str]:
        """Every incident, oldest first."""
        try:
            return sorted(one.name for one in self.directory.iterdir() if one.name.startswith(f"{PREFIX}_"))
        except FileNotFoundError:
            return []

    def read(self, incident_id: str) -> Incident:
        """An incident, every line of it checked. Raises `IncidentNotFound` and what `read_incident` raises."""
        try:
            data = (self.path(incident_id) / TIMELINE).read_bytes()
        except OSError:
            raise IncidentNotFound(incident_id[:60]) from None
        return read_incident(read_timeline(data), self.public_key)

    def path(self, incident_id: str) -> Path:
        """The directory of an incident. Raises `IncidentNotFound` for what cannot be one's id."""
        if not is_path(incident_id) or "/" in incident_id or not incident_id.startswith(f"{PREFIX}_"):
            raise IncidentNotFound(incident_id[:60])
        return self.directory / incident_id

    def open(self, why: str, *bodies: Body) -> Incident:
        """A new incident with its first lines. Raises `IncidentStoreFailed`."""
        now_ms = self.now_ms()
        incident_id = new_id(PREFIX, now_ms, secrets.token_bytes(ENTROPY_BYTES))
        incident = self._grown(Incident(key=self.public_key), (Opened(incident_id, why), *bodies))
        with _failing(), self._locked():
            work = self.directory / f".{incident_id}"
            try:
                (work / "evidence").mkdir(parents=True, mode=0o700)
                _write(work / TIMELINE, _encoded(incident, 0))
                _flush(work)
                work.rename(self.directory / incident_id)
                _flush(self.directory)
            finally:
                shutil.rmtree(work, ignore_errors=True)
        return incident

    def append(self, incident_id: str, *bodies: Body) -> Incident:
        """The incident with these lines, all of them or none. Raises `IncidentStoreFailed` and what `read` raises."""
        with _failing(), self._locked():
            before = self.read(incident_id)
            after = self._grown(before, bodies)
            self._add(incident_id, _encoded(after, len(before.lines)))
        return after

    def seal(self, incident_id: str, taking: Taking) -> tuple[Incident, Manifest]:
        """Seal evidence, whole or not at all, and write it down. Raises `IncidentStoreFailed` and what `read` raises.

        What cannot be read is named in the manifest; what cannot be written undoes everything.
        """
        evidence = self.path(incident_id) / "evidence"
        work = evidence / f".{secrets.token_hex(8)}"
        with _failing():
            try:
                work.mkdir(mode=0o700)
                files, missing = self._take(work, taking)
                with self._locked():
                    before = self.read(incident_id)
                    number = 1 + max((int(one.name) for one in evidence.iterdir() if one.name.isdecimal()), default=0)
                    facts = (incident_id, number, before.head, self.public_key, self.now_ms(), dict(taking.versions))
                    manifest = Manifest(*facts, tuple(files), tuple(missing))
                    signed = sign_manifest(manifest, self.key)
                    _write(work / MANIFEST, msgspec.json.encode(signed), mode=0o400)
                    _flush(work)
                    body = Sealed(number, signed.digest, len(files), len(missing), taking.by)
                    after = self._grown(before, (body,))
                    work.rename(evidence / f"{number:04d}")
                    _flush(evidence)
                    try:
                        self._add(incident_id, _encoded(after, len(before.lines)))
                    except OSError:
                        shutil.rmtree(evidence / f"{number:04d}", ignore_errors=True)
                        raise
            finally:
                shutil.rmtree(work, ignore_errors=True)
        return after, manifest

    def found(self, incident_id: str) -> Found:
        """All files of an incident as they are now, to be verified. Raises `IncidentNotFound`."""
        root = self.path(incident_id)
        if not root.is_dir():
            raise IncidentNotFound(incident_id[:60])
        return found_below(root)

    def _take(self, work: Path, taking: Taking) -> tuple[list[FileTaken], list[NotTaken]]:
        files, missing = [], list(taking.missing)
        for piece in taking.pieces:
            assert is_path(piece.path), piece.path  # noqa: S101  the gatherer's own words
            target = work / piece.path
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if isinstance(piece.content, Path):
                try:
                    source = _opened(piece.content)
                except OSError as error:
                    missing.append(NotTaken(piece.source, str(error.strerror), self.now_ms()))
                    continue
                with source:
                    total = source.seek(0, os.SEEK_END)
                    source.seek(max(0, total - piece.bytes_max))
                    digest = _write(target, iter(lambda: source.read(COPY_BYTES), b""), mode=0o400)  # noqa: B023  ended here
            else:
                digest = _write(target, piece.content, mode=0o400)
            facts = (piece.path, digest.bytes, digest.sha256, self.now_ms(), taking.by, piece.source, piece.how)
            files.append(FileTaken(*facts))
        return files, missing

    def _grown(self, incident: Incident, bodies: Sequence[Body]) -> Incident:
        for body in bodies:
            incident = with_line(incident, make_line(incident, body, self.now_ms(), self.key))
        return incident

    def _add(self, incident_id: str, data: bytes) -> None:
        """Put lines behind those that are there; what was there stays as it was if that fails."""
        handle = os.open(self.path(incident_id) / TIMELINE, os.O_RDWR)
        with os.fdopen(handle, "r+b") as file:
            whole = file.read().rfind(b"\n") + 1
            try:
                file.truncate(whole)  # what a killed process did not write to its end never was
                file.seek(whole)
                file.write(data)
                file.flush()
                os.fsync(handle)
            except OSError:
                os.ftruncate(handle, whole)
                raise

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(self.directory / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def found_below(root: Path) -> Found:
    """All files below a directory, each with its size and hash; links count as what they are not: absent."""
    digests, texts = {}, {}
    for path in sorted(root.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        name = path.relative_to(root).as_posix()
        hasher, size = hashlib.sha256(), 0
        with path.open("rb") as file:
            while part := file.read(COPY_BYTES):
                hasher.update(part)
                size += len(part)
        digests[name] = Digest(size, hasher.hexdigest())
        if is_text(name):
            texts[name] = path.read_bytes()
    return Found(digests, texts)


def is_text(name: str) -> bool:
    """Whether a file has to be read whole to verify the others."""
    return name in {TIMELINE, EXPORT} or (name.count("/") == 2 and name.endswith(f"/{MANIFEST}"))


def _encoded(incident: Incident, after: int) -> bytes:
    return b"".join(msgspec.json.encode(line.stored) + b"\n" for line in incident.lines[after:])


def _write(path: Path, content: bytes | Iterator[bytes], mode: int = 0o600) -> Digest:
    """Write a new file and make it durable; its size and hash."""
    hasher, size = hashlib.sha256(), 0
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        for part in [content] if isinstance(content, bytes) else content:
            file.write(part)
            hasher.update(part)
            size += len(part)
        file.flush()
        os.fsync(file.fileno())
    return Digest(size, hasher.hexdigest())


def _opened(path: Path) -> BinaryIO:
    """A plain file, opened to be read; a pipe would never end. Raises `OSError`."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "not a plain file", str(path))
    return path.open("rb")


def _flush(directory: Path) -> None:
    """Make a directory's names durable."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _failing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise IncidentStoreFailed(f"{error.filename or 'the store'}: {error.strerror}") from None
