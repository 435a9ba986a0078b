"""One person's words: the freeze that an officer, or the holder of a freeze key, signs alone. And such keys.

A lease key, with which a watchtower signs, is made here as well: on a machine of the officers, carried over once.
"""

from __future__ import annotations

import secrets
from enum import StrEnum

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from holdfast.core import canonical
from holdfast.core.keystore import COST, Keystore
from holdfast.core.orders import FREEZE_TAG, PRESENT_TAG, Freeze, Present, SignedWord
from holdfast.core.quorum import tagged
from holdfast.vault import keystore
from holdfast.vault.officers import OfficerSecret

OFFICER = "officer"


class SingleKey(StrEnum):
    """Keystores that hold one Ed25519 key and nothing else."""

    FREEZE = "freeze"
    """For people on duty who may stop payouts and can do nothing else."""
    LEASE = "lease"
    """A watchtower's."""
    INCIDENT = "incident"
    """An incident process': it signs timelines and manifests."""


def make_key(kind: SingleKey, name: str, passphrase: str, cost: int = COST) -> Keystore:
    """A fresh key, sealed; its public key stands beside it as `key`. Raises `PassphraseWeak`."""
    secret = secrets.token_bytes(32)
    public = Ed25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw().hex()
    return keystore.seal(kind.value, {"name": name, "key": public}, secret, passphrase, cost)


def signing_key(sealed: Keystore, passphrase: str) -> bytes:
    """The Ed25519 private key of whoever may freeze: an officer's, or a freeze key. Raises `PassphraseWrong`."""
    secret = keystore.unseal(sealed, passphrase)
    return OfficerSecret.unpack(secret).signing if sealed.kind == OFFICER else secret


def sign_freeze(scope: str, reason: str, at: int, signing: bytes) -> SignedWord:
    """A freeze as it travels: stop this scope now. Raises `DocumentNotCanonical`."""
    key = Ed25519PrivateKey.from_private_bytes(signing)
    freeze = Freeze(scope, reason, key.public_key().public_bytes_raw().hex(), at)
    document = canonical.write(freeze)
    return SignedWord(document.decode(), key.sign(tagged(FREEZE_TAG, document)).hex())


def sign_present(at: int, signing: bytes) -> SignedWord:
    """A sign of presence as it travels: the dead man's switch waits its time anew. Raises `DocumentNotCanonical`."""
    key = Ed25519PrivateKey.from_private_bytes(signing)
    document = canonical.write(Present(key.public_key().public_bytes_raw().hex(), at))
    return SignedWord(document.decode(), key.sign(tagged(PRESENT_TAG, document)).hex())
