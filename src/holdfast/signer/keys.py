"""The keys that sign while nobody watches: the float's, the gas keys and the journal's. Made here and nowhere else.

They lie in a keystore, opened by a passphrase from a file, or in an HSM (`pkcs11_keys`). A digest comes in, a signature
goes out; a private key never does. Only `sign.py` and the composition use this module.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import msgspec
from coincurve import PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from holdfast.core import keystore
from holdfast.core.errors import BadInput, NotFound
from holdfast.core.keystore import Keystore, KeystoreExists, KeystoreExposed, KeystoreMalformed, KeystoreMissing

KIND = "signer"
JOURNAL = "journal"
"""Name of the journal key in a keystore's public part."""
DIGEST_BYTES = 32
_NAME = re.compile(r"[-a-z0-9]{3,8}:[-_a-zA-Z0-9]{1,32}(/[a-z0-9]{1,16})?")


class KeyUnknown(NotFound):
    """The signer has no key of that name. Make it with `holdfast signer keys`, or correct the name."""

    code = "key-unknown"


class KeyNameMalformed(BadInput):
    """A key is named by its network's CAIP-2 id, with a part behind it where it is not the first. Correct the name."""

    code = "key-name-malformed"


class Keys(Protocol):
    """What signs. Names are CAIP-2 ids; a network's further keys have a part behind it: `/gas`, `/2` once rotated."""

    def public_key(self, network: str) -> bytes:
        """The key's secp256k1 point, compressed, 33 bytes. Raises `KeyUnknown`."""
        ...

    def sign(self, network: str, digest: bytes) -> bytes:
        """ECDSA over the 32 bytes as they are: r and s, 64 bytes, s in the lower half (BIP 146, EIP-2)."""
        ...

    def sign_journal(self, message: bytes) -> bytes:
        """Ed25519 (RFC 8032) by the journal key, 64 bytes."""
        ...


class _Secrets(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    journal: str
    keys: dict[str, str]


class KeystoreKeys:
    """Keys in this process's memory, out of an encrypted file. Its text never shows them."""

    def __init__(self, journal: bytes, keys: dict[str, bytes]) -> None:
        """Take raw private keys: 32 bytes each. Raises `KeystoreMalformed`, `KeyNameMalformed`."""
        for name in keys:
            check_name(name)
        try:
            self._journal = Ed25519PrivateKey.from_private_bytes(journal)
            self._keys = {name: PrivateKey(key) for name, key in keys.items()}
        except ValueError as error:
            raise KeystoreMalformed(f"a private key is none: {error}") from None

    def __repr__(self) -> str:
        return f"KeystoreKeys({', '.join(self._keys)})"

    def public_key(self, network: str) -> bytes:
        """As `Keys.public_key`."""
        return self._key(network).public_key.format(compressed=True)

    def sign(self, network: str, digest: bytes) -> bytes:
        """As `Keys.sign`; the nonce follows from key and digest (RFC 6979)."""
        if len(digest) != DIGEST_BYTES:
            raise ValueError("a digest has 32 bytes")
        return self._key(network).sign_recoverable(digest, hasher=None)[:64]

    def sign_journal(self, message: bytes) -> bytes:
        """As `Keys.sign_journal`."""
        return self._journal.sign(message)

    def public_keys(self) -> dict[str, str]:
        """Every name and its public key, hex; the journal's Ed25519 key as `journal`."""
        points = {name: key.public_key.format(compressed=True).hex() for name, key in self._keys.items()}
        return {JOURNAL: self._journal.public_key().public_bytes_raw().hex(), **points}

    def with_fresh(self, names: Iterable[str]) -> KeystoreKeys:
        """These keys, and a fresh one for each name that has none: how a float is rotated."""
        raw = {name: key.secret for name, key in self._keys.items()}
        fresh = {name: PrivateKey().secret for name in names if name not in raw}
        return KeystoreKeys(self._journal.private_bytes_raw(), {**raw, **fresh})

    def write(self, path: Path, passphrase: str, cost: int = keystore.COST) -> None:
        """Seal them into a new file that only its owner may read. Raises `KeystoreExists`, `PassphraseWeak`."""
        raw = {name: key.secret.hex() for name, key in self._keys.items()}
        secret = msgspec.json.encode(_Secrets(self._journal.private_bytes_raw().hex(), raw))
        salt, nonce = secrets.token_bytes(keystore.SALT_BYTES), secrets.token_bytes(keystore.NONCE_BYTES)
        sealing = Keystore(1, KIND, self.public_keys(), cost, salt.hex(), nonce.hex(), "")
        sealed = keystore.encode(keystore.seal(sealing, secret, passphrase))
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise KeystoreExists(str(path)) from None
        with os.fdopen(handle, "wb") as file:
            file.write(sealed)
            file.flush()
            os.fsync(file.fileno())

    def _key(self, name: str) -> PrivateKey:
        if name not in self._keys:
            raise KeyUnknown(name[:60])
        return self._keys[name]


def check_name(name: str) -> None:
    """Raises `KeyNameMalformed`."""
    if not _NAME.fullmatch(name):
        raise KeyNameMalformed(name[:60])


def make_keys(names: Iterable[str]) -> KeystoreKeys:
    """A fresh journal key and a fresh key for each name, from the operating system's randomness."""
    return KeystoreKeys(secrets.token_bytes(32), {}).with_fresh(names)


def open_keys(keystore_file: Path, passphrase_file: Path) -> KeystoreKeys:
    """The keys in a keystore. Raises what `core.keystore` names."""
    sealed = keystore.decode(read_private(keystore_file), KIND)
    secret = keystore.unseal(sealed, read_private(passphrase_file).decode(errors="replace").strip())
    try:
        found = msgspec.json.decode(secret, type=_Secrets)
        return KeystoreKeys(
            bytes.fromhex(found.journal), {name: bytes.fromhex(key) for name, key in found.keys.items()}
        )
    except (msgspec.DecodeError, ValueError):
        raise KeystoreMalformed(f"{keystore_file} does not hold a signer's keys") from None


def read_private(path: Path) -> bytes:
    """A file that only its owner may read. Raises `KeystoreMissing`, `KeystoreExposed`."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise KeystoreMissing(f"{path}: {error.strerror}") from None
    with os.fdopen(handle, "rb") as file:
        mode = stat.S_IMODE(os.fstat(handle).st_mode)
        if mode & 0o077:
            raise KeystoreExposed(f"{path} has mode {mode:04o}")
        return file.read()
