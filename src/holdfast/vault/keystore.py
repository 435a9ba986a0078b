"""Secrets at rest: scrypt (RFC 7914) and ChaCha20-Poly1305 (RFC 8439), in files that only their owner may read.

What stands beside the sealed secret is authenticated too: a keystore whose public part was changed does not open.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from holdfast.core.canonical import Json, canonical
from holdfast.core.errors import BadInput, Conflict, NotFound

COST = 2**17
"""scrypt's N, with r = 8 and p = 1: 128 MiB and a third of a second for each guess."""
COST_MIN = 2**15
COST_MAX = 2**20
PASSPHRASE_LENGTH_MIN = 12
_BLOCK = 8


class KeystoreMissing(NotFound):
    """There is no such keystore file. Check its path, and that the right medium is mounted."""

    code = "keystore-missing"


class KeystoreExists(Conflict):
    """A keystore of that name is there already, and keys are never overwritten. Move it away, or take another name."""

    code = "keystore-exists"


class KeystoreExposed(BadInput):
    """Others may read the keystore file. `chmod 600` it, and think about who could have copied it."""

    code = "keystore-exposed"


class KeystoreMalformed(BadInput):
    """The file is not a keystore, or was written by a newer program. Check the path; use the program that wrote it."""

    code = "keystore-malformed"


class PassphraseWrong(BadInput):
    """The passphrase does not open this keystore, or the file was changed. Try again, or fetch its backup."""

    code = "passphrase-wrong"


class PassphraseWeak(BadInput):
    """The passphrase is too short. Take at least twelve characters; six random words are good."""

    code = "passphrase-weak"


class Keystore(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A keystore file, sealed."""

    holdfast_keystore: int
    """Version of the format: 1."""
    kind: str
    """Whose secret it is: `officer` or `merchant`."""
    public: dict[str, str]
    """What anybody may see, authenticated with the secret."""
    cost: int
    salt: str
    nonce: str
    sealed: str


def seal(kind: str, public: dict[str, str], secret: bytes, passphrase: str, cost: int = COST) -> Keystore:
    """A keystore that only the passphrase opens. Raises `PassphraseWeak`."""
    if len(passphrase) < PASSPHRASE_LENGTH_MIN:
        raise PassphraseWeak(f"{len(passphrase)} characters")
    salt, nonce = secrets.token_bytes(32), secrets.token_bytes(12)
    open_part = Keystore(1, kind, public, cost, salt.hex(), nonce.hex(), "")
    sealed = ChaCha20Poly1305(_key(passphrase, salt, cost)).encrypt(nonce, secret, _open_part(open_part))
    return msgspec.structs.replace(open_part, sealed=sealed.hex())


def unseal(keystore: Keystore, passphrase: str) -> bytes:
    """The secret. Raises `PassphraseWrong`, `KeystoreMalformed`."""
    if (
        keystore.holdfast_keystore != 1
        or not COST_MIN <= keystore.cost <= COST_MAX
        or keystore.cost & keystore.cost - 1
    ):
        raise KeystoreMalformed(f"version {keystore.holdfast_keystore}, cost {keystore.cost}")
    try:
        salt, nonce, sealed = (bytes.fromhex(text) for text in (keystore.salt, keystore.nonce, keystore.sealed))
        return ChaCha20Poly1305(_key(passphrase, salt, keystore.cost)).decrypt(nonce, sealed, _open_part(keystore))
    except InvalidTag:
        raise PassphraseWrong(keystore.public.get("name", "")) from None
    except ValueError as error:
        raise KeystoreMalformed(str(error)) from None


def write(path: Path, keystore: Keystore) -> None:
    """Write a new file that only its owner may read, and make it durable. Raises `KeystoreExists`."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise KeystoreExists(str(path)) from None
    with os.fdopen(handle, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(keystore)) + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read(path: Path) -> Keystore:
    """The sealed keystore in a file. Raises `KeystoreMissing`, `KeystoreExposed`, `KeystoreMalformed`."""
    try:
        mode = path.stat().st_mode
        data = path.read_bytes()
    except OSError as error:
        raise KeystoreMissing(f"{path}: {error.strerror}") from None
    if stat.S_IMODE(mode) & 0o077:
        raise KeystoreExposed(f"{path} has mode {stat.S_IMODE(mode):04o}")
    try:
        return msgspec.json.decode(data, type=Keystore)
    except msgspec.DecodeError as error:
        raise KeystoreMalformed(f"{path}: {error}") from None


def _key(passphrase: str, salt: bytes, cost: int) -> bytes:
    memory = 256 * cost * _BLOCK
    return hashlib.scrypt(passphrase.encode(), salt=salt, n=cost, r=_BLOCK, p=1, maxmem=memory, dklen=32)


def _open_part(keystore: Keystore) -> bytes:
    public: dict[str, Json] = dict(keystore.public)
    return canonical(
        {
            "cost": keystore.cost,
            "holdfast_keystore": keystore.holdfast_keystore,
            "kind": keystore.kind,
            "nonce": keystore.nonce,
            "public": public,
            "salt": keystore.salt,
        }
    )
