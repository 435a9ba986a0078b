"""Secrets at rest as values: scrypt (RFC 7914) and ChaCha20-Poly1305 (RFC 8439). Vault, signer and watchtower share it.

What stands beside the sealed secret is authenticated too: a keystore whose public part was changed does not open.
It reads no file and makes no secret: each zone does that where its own keys are.
"""

from __future__ import annotations

import hashlib

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
SALT_BYTES = 32
NONCE_BYTES = 12
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


class KeystoreOfAnotherKind(BadInput):
    """The keystore holds another kind of key than is needed here. Give the file that was made for this purpose."""

    code = "keystore-of-another-kind"


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
    """Whose secret it is: `officer`, `merchant`, `freeze`, `lease` or `signer`."""
    public: dict[str, str]
    """What anybody may see, authenticated with the secret."""
    cost: int
    salt: str
    nonce: str
    sealed: str


def seal(sealing: Keystore, secret: bytes, passphrase: str) -> Keystore:
    """A keystore that only the passphrase opens, from one whose `sealed` is empty and whose salt and nonce are fresh.

    Raises `PassphraseWeak`.
    """
    if len(passphrase) < PASSPHRASE_LENGTH_MIN:
        raise PassphraseWeak(f"{len(passphrase)} characters")
    salt, nonce = bytes.fromhex(sealing.salt), bytes.fromhex(sealing.nonce)
    sealed = ChaCha20Poly1305(_key(passphrase, salt, sealing.cost)).encrypt(nonce, secret, _open_part(sealing))
    return msgspec.structs.replace(sealing, sealed=sealed.hex())


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


def encode(keystore: Keystore) -> bytes:
    """A keystore file's bytes."""
    return msgspec.json.format(msgspec.json.encode(keystore)) + b"\n"


def decode(data: bytes, *kinds: str) -> Keystore:
    """The keystore in a file's bytes, of one of these kinds. Raises `KeystoreMalformed`, `KeystoreOfAnotherKind`."""
    try:
        keystore = msgspec.json.decode(data, type=Keystore)
    except msgspec.DecodeError as error:
        raise KeystoreMalformed(str(error)) from None
    if kinds and keystore.kind not in kinds:
        raise KeystoreOfAnotherKind(f"{keystore.kind[:40]}, needed is {' or '.join(kinds)}")
    return keystore


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
