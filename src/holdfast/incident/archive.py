"""One file with everything about an incident: a plain tar archive that is read without unpacking anything.

What is inside is as hostile as whoever had the file: names are checked, links and doubles are refused.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from pathlib import Path

import msgspec

from holdfast.incident.evidence import (
    EXPORT,
    TIMELINE,
    Digest,
    EvidenceMalformed,
    Export,
    Found,
    is_path,
    sign_manifest,
)
from holdfast.incident.store import COPY_BYTES, IncidentStoreFailed, Store, is_text

FILES_MAX = 100_000
TEXT_BYTES_MAX = 256_000_000


def write_archive(store: Store, incident_id: str, out: Path) -> Export:
    """Write a new file; it is there whole or not at all. Raises `IncidentStoreFailed` and what `Store.read` raises."""
    incident = store.read(incident_id)
    export = Export(incident.id, len(incident.lines), incident.head, store.public_key, store.now_ms())
    timeline = b"".join(msgspec.json.encode(line.stored) + b"\n" for line in incident.lines)
    texts = {TIMELINE: timeline, EXPORT: msgspec.json.encode(sign_manifest(export, store.key))}
    root, work = store.path(incident_id), out.with_name(f".{out.name}.new")
    try:
        if out.exists():
            raise FileExistsError(17, "it is there already", str(out))
        with work.open("wb") as file:
            os.fchmod(file.fileno(), 0o600)
            with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
                for name, data in texts.items():
                    archive.addfile(_member(name, len(data)), io.BytesIO(data))
                for path in sorted((root / "evidence").rglob("*")):
                    name = path.relative_to(root).as_posix()
                    if path.is_file() and not path.is_symlink() and is_path(name) and "/." not in name:
                        with path.open("rb") as source:
                            archive.addfile(_member(name, os.fstat(source.fileno()).st_size), source)
            file.flush()
            os.fsync(file.fileno())
        work.rename(out)
    except OSError as error:
        raise IncidentStoreFailed(f"{error.filename or out}: {error.strerror}") from None
    finally:
        work.unlink(missing_ok=True)
    return export


def read_archive(path: Path) -> Found:
    """All files in an archive, by size and hash. Raises `EvidenceMalformed`."""
    digests: dict[str, Digest] = {}
    texts: dict[str, bytes] = {}
    try:
        with tarfile.open(path, mode="r:") as archive:
            for member in archive:
                name = member.name
                if not member.isreg() or not is_path(name) or name in digests or len(digests) >= FILES_MAX:
                    raise EvidenceMalformed(f"{path}: {name[:80]!r} cannot be in an export")
                source = archive.extractfile(member)
                assert source is not None  # noqa: S101  a regular file has a content
                hasher, size, kept = hashlib.sha256(), 0, io.BytesIO()
                while part := source.read(COPY_BYTES):
                    hasher.update(part)
                    size += len(part)
                    if is_text(name) and size <= TEXT_BYTES_MAX:
                        kept.write(part)
                digests[name] = Digest(size, hasher.hexdigest())
                if is_text(name):
                    texts[name] = kept.getvalue()
    except (tarfile.TarError, OSError, EOFError) as error:
        raise EvidenceMalformed(f"{path}: {error}") from None
    if EXPORT not in digests:
        raise EvidenceMalformed(f"{path}: {EXPORT} is lost, which says where the timeline ended")
    return Found(digests, texts)


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o400
    return member
