"""Who the officers are, how many of them must sign, and whether enough of them have: the root of all trust.

One officer's key signs many kinds of things; a domain tag in front of each keeps them apart. Nothing in here can sign.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from holdfast.core.canonical import DocumentNotCanonical, Json, canonical, parse
from holdfast.core.errors import BadInput

OFFICERS_MAX = 32
HEX_KEY = re.compile(r"[0-9a-f]{64}")


class QuorumMalformed(BadInput):
    """The quorum document is not one. Use the file that `holdfast vault quorum` wrote."""

    code = "quorum-malformed"


class QuorumNotTrusted(BadInput):
    """The quorum document is not the one whose fingerprint was pinned. Use nothing it signed; call an officer."""

    code = "quorum-not-trusted"


class QuorumNotReached(BadInput):
    """Too few officers' valid signatures are under the document. Have more officers sign exactly these bytes."""

    code = "quorum-not-reached"


class Officer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One who holds a share of the vault."""

    name: str
    key: str
    """Ed25519 public key, hex."""


class Quorum(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who may sign, and how many of them must."""

    officers: tuple[Officer, ...]
    threshold: int

    def document(self) -> bytes:
        """Its canonical bytes. Raises `QuorumMalformed` for a quorum that is none."""
        if not _is_quorum(self):
            raise QuorumMalformed(f"{self.threshold} of {len(self.officers)}")
        officers: list[Json] = [{"key": officer.key, "name": officer.name} for officer in self.officers]
        return canonical({"officers": officers, "threshold": self.threshold})

    def fingerprint(self) -> str:
        """The root fingerprint, which merchants pin: SHA-256, hex."""
        return fingerprint(self.document())


class Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One officer's signature under a document."""

    officer: str
    """Its Ed25519 public key, hex."""
    signature: str
    """64 bytes, hex."""


def fingerprint(quorum: bytes) -> str:
    """The root fingerprint of a quorum document's bytes: their SHA-256, as `sha256sum` prints it."""
    return hashlib.sha256(quorum).hexdigest()


def tagged(tag: bytes, document: bytes) -> bytes:
    """What a key signs for a document: the domain tag, then the SHA-256 of the exact bytes."""
    return tag + hashlib.sha256(document).digest()


def signers(tag: bytes, document: bytes, signatures: Sequence[Signature], quorum: Quorum) -> list[Officer]:
    """The officers whose valid signature is there, each once. Others' and invalid ones count for nothing."""
    message = tagged(tag, document)
    keys = {officer.key for officer in quorum.officers}
    valid = {
        one.officer for one in signatures if one.officer in keys and is_signed(one.officer, one.signature, message)
    }
    return [officer for officer in quorum.officers if officer.key in valid]


def require_quorum(tag: bytes, document: bytes, signatures: Sequence[Signature], quorum: Quorum) -> list[Officer]:
    """The officers who signed, if they are enough. Raises `QuorumNotReached`."""
    signed = signers(tag, document, signatures, quorum)
    if len(signed) < quorum.threshold:
        raise QuorumNotReached(f"{len(signed)} of {quorum.threshold}: {', '.join(one.name for one in signed)}")
    return signed


def is_signed(key: str, signature: str, message: bytes) -> bool:
    """Whether this Ed25519 key (hex) made this signature (hex) over the message (RFC 8032)."""
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)).verify(bytes.fromhex(signature), message)
    except (ValueError, InvalidSignature):
        return False
    return True


def read_quorum(document: bytes) -> Quorum:
    """The quorum in a document. Raises `QuorumMalformed`."""
    try:
        quorum = msgspec.convert(parse(document), Quorum, strict=True)
    except (DocumentNotCanonical, msgspec.ValidationError) as error:
        raise QuorumMalformed(str(error)[:160]) from None
    if not _is_quorum(quorum):
        raise QuorumMalformed(f"{quorum.threshold} of {len(quorum.officers)}")
    return quorum


def _is_quorum(quorum: Quorum) -> bool:
    keys = {officer.key for officer in quorum.officers}
    names = {officer.name for officer in quorum.officers}
    return (
        1 <= quorum.threshold <= len(quorum.officers) <= OFFICERS_MAX
        and len(keys) == len(names) == len(quorum.officers)
        and all(HEX_KEY.fullmatch(key) for key in keys)
        and all(0 < len(name) <= 80 and name.isprintable() for name in names)
    )
