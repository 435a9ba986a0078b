"""Officers' and merchants' keystores as files that only their owner may read. Sealing itself is in `core.keystore`."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from holdfast.core import keystore as sealing
from holdfast.core.keystore import (
    COST as COST,
    COST_MIN as COST_MIN,
    NONCE_BYTES,
    SALT_BYTES,
    Keystore as Keystore,
    KeystoreExists as KeystoreExists,
    KeystoreExposed as KeystoreExposed,
    KeystoreMalformed as KeystoreMalformed,
    KeystoreMissing as KeystoreMissing,
    KeystoreOfAnotherKind as KeystoreOfAnotherKind,
    PassphraseWeak as PassphraseWeak,
    PassphraseWrong as PassphraseWrong,
    unseal as unseal,
)


def seal(kind: str, public: dict[str, str], secret: bytes, passphrase: str, cost: int = COST) -> Keystore:
    """A keystore that only the passphrase opens. Raises `PassphraseWeak`."""
    salt, nonce = secrets.token_bytes(SALT_BYTES), secrets.token_bytes(NONCE_BYTES)
    return sealing.seal(Keystore(1, kind, public, cost, salt.hex(), nonce.hex(), ""), secret, passphrase)


def write(path: Path, keystore: Keystore) -> None:
    """Write a new file that only its owner may read, and make it durable. Raises `KeystoreExists`."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise KeystoreExists(str(path)) from None
    with os.fdopen(handle, "wb") as file:
        file.write(sealing.encode(keystore))
        file.flush()
        os.fsync(file.fileno())


def read(path: Path, *kinds: str) -> Keystore:
    """The sealed keystore in a file, of one of these kinds; of any, where none is given.

    Raises `KeystoreMissing`, `KeystoreExposed`, `KeystoreMalformed`, `KeystoreOfAnotherKind`.
    """
    try:
        mode = path.stat().st_mode
        data = path.read_bytes()
    except OSError as error:
        raise KeystoreMissing(f"{path}: {error.strerror}") from None
    if stat.S_IMODE(mode) & 0o077:
        raise KeystoreExposed(f"{path} has mode {stat.S_IMODE(mode):04o}")
    return sealing.decode(data, *kinds)
