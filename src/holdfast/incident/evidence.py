"""A seal of evidence: which files were taken when, from where and how, and proof that they are those still. Pure.

The manifest lists every file with its SHA-256 and is signed; its own SHA-256 stands in the incident's timeline, which
is signed line by line. So a changed, lost or added file shows, wherever the files are checked.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from holdfast.core import canonical
from holdfast.core.canonical import DocumentNotCanonical
from holdfast.core.errors import BadInput, HoldfastError
from holdfast.core.quorum import is_signed, tagged
from holdfast.incident.record import Incident, Sealed, StoredLine, read_incident

MANIFEST_TAG = b"holdfast evidence manifest 1\0"
MANIFEST_BYTES_MAX = 4_000_000
TIMELINE = "timeline.jsonl"
MANIFEST = "manifest.json"
EXPORT = "export.json"
_PATH = re.compile(r"[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)*")


class EvidenceMalformed(BadInput):
    """The file is not a manifest or a timeline of Holdfast's. Name an incident's directory, or a file from `export`."""

    code = "evidence-malformed"


class FileTaken(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of a seal."""

    path: str
    """Below the seal's directory."""
    bytes: int
    sha256: str
    taken_ms: int
    """Milliseconds since 1970."""
    taken_by: str
    """Which process took it, as which account of which host."""
    source: str
    how: str


class NotTaken(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What should have been taken and could not be."""

    source: str
    why: str
    at_ms: int


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a seal contains."""

    incident: str
    number: int
    head: str
    """Hash of the newest line of the timeline when it was taken."""
    key: str
    """The incident process' public key, hex."""
    made_ms: int
    versions: dict[str, str]
    files: tuple[FileTaken, ...]
    missing: tuple[NotTaken, ...]


class SignedManifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A manifest as it is kept."""

    document: str
    signature: str

    @property
    def digest(self) -> str:
        """SHA-256 of the exact bytes, hex: what the timeline has."""
        return hashlib.sha256(self.document.encode()).hexdigest()


class Export(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an exported file says of itself: up to which line it goes."""

    incident: str
    lines: int
    head: str
    key: str
    made_ms: int


class Finding(msgspec.Struct, frozen=True):
    """Something that is not as it was sealed."""

    path: str
    what: str


M = TypeVar("M", Manifest, Export)


@dataclass(frozen=True, slots=True)
class Digest:
    """A file as it is now."""

    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Found:
    """All files of an incident's directory, or of an exported file: every one by its size and hash, and the texts."""

    digests: Mapping[str, Digest]
    texts: Mapping[str, bytes]
    """Timeline, manifests and the export's own word, whole."""


def sign_manifest(manifest: Manifest | Export, key: Ed25519PrivateKey) -> SignedManifest:
    """The manifest as it is kept. Raises `DocumentNotCanonical`."""
    document = canonical.write(manifest)
    return SignedManifest(document.decode(), key.sign(tagged(MANIFEST_TAG, document)).hex())


def read_timeline(data: bytes) -> list[StoredLine]:
    """The lines of a timeline's file, unchecked; a last one that was not written to its end never was.

    Raises `EvidenceMalformed`.
    """
    try:
        return [msgspec.json.decode(line, type=StoredLine) for line in data.split(b"\n")[:-1]]
    except msgspec.DecodeError as error:
        raise EvidenceMalformed(f"{TIMELINE}: {error}") from None


def is_path(path: str) -> bool:
    """Whether a file of a seal may be called this."""
    return _PATH.fullmatch(path) is not None and not {".", ".."} & set(path.split("/"))


def verify(found: Found, key: str, head: str = "") -> tuple[Incident | None, list[Finding]]:
    """The incident, and everything that is not as it was sealed; none: all of it is.

    `key`: the incident process' public key, obtained apart from the files. `head`: a hash that somebody was told, as
    alerts tell one: a timeline that was cut behind it, or told anew, does not have it.
    """
    try:
        incident = read_incident(read_timeline(found.texts.get(TIMELINE, b"")), key)
    except HoldfastError as error:
        return None, [Finding(TIMELINE, str(error))]
    findings = [] if not head or _has(incident, head) else [Finding(TIMELINE, f"it has no line {head}: it was cut")]
    findings += _export(found, incident)
    expected = {TIMELINE, EXPORT}
    for seal in incident.of(Sealed):
        name = f"evidence/{seal.number:04d}"
        try:
            manifest = read_manifest(found.texts.get(f"{name}/{MANIFEST}", b""), key, Manifest)
        except HoldfastError as error:
            findings.append(Finding(f"{name}/{MANIFEST}", str(error)))
            continue
        expected |= {f"{name}/{MANIFEST}", *(f"{name}/{one.path}" for one in manifest.files)}
        findings += _seal(found, incident, seal, manifest)
    findings += [Finding(path, "added: no manifest has it") for path in sorted(set(found.digests) - expected)]
    return incident, findings


def read_manifest(data: bytes, key: str, kind: type[M]) -> M:
    """A manifest that this key signed. Raises `EvidenceMalformed`."""
    try:
        signed = msgspec.json.decode(data, type=SignedManifest)
        manifest = canonical.read(signed.document.encode(), kind, MANIFEST_BYTES_MAX)
    except (msgspec.DecodeError, DocumentNotCanonical) as error:
        raise EvidenceMalformed("lost" if not data else str(error)[:160]) from None
    if not is_signed(key, signed.signature, tagged(MANIFEST_TAG, signed.document.encode())):
        raise EvidenceMalformed("changed: the incident process did not sign it")
    return manifest


def _seal(found: Found, incident: Incident, seal: Sealed, manifest: Manifest) -> Sequence[Finding]:
    name = f"evidence/{seal.number:04d}"
    digest = hashlib.sha256(canonical.write(manifest)).hexdigest()
    if digest != seal.manifest or (manifest.incident, manifest.number) != (incident.id, seal.number):
        return [Finding(f"{name}/{MANIFEST}", "changed: the timeline has another one")]
    findings = []
    for one in manifest.files:
        path = f"{name}/{one.path}"
        now = found.digests.get(path)
        if now is None:
            findings.append(Finding(path, "lost"))
        elif now != Digest(one.bytes, one.sha256):
            findings.append(Finding(path, "changed"))
    return findings


def _export(found: Found, incident: Incident) -> Sequence[Finding]:
    if EXPORT not in found.digests:
        return []
    try:
        export = read_manifest(found.texts[EXPORT], incident.key, Export)
    except HoldfastError as error:
        return [Finding(EXPORT, str(error))]
    if (export.incident, export.lines, export.head) != (incident.id, len(incident.lines), incident.head):
        return [Finding(TIMELINE, f"it does not end at line {export.lines}, as it did when it was exported")]
    return []


def _has(incident: Incident, head: str) -> bool:
    return any(line.stored.hash == head for line in incident.lines)
