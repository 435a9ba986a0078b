"""The merchant's own key, on the merchant's own machine: it signs intents, and is never shown, sent or logged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from holdfast.core import intents, keystore
from holdfast.core.errors import BadInput
from holdfast.core.intents import Intent, SignedIntent

KEY_BYTES = 32
KEYSTORE_KIND = "merchant"
_OTHERS = 0o077


class MerchantKeyMalformed(BadInput):
    """That is no Ed25519 private key of 32 bytes. Give the merchant's keystore, or the key's 32 bytes."""

    code = "merchant-key-malformed"


@dataclass(frozen=True, slots=True)
class MerchantKey:
    """An Ed25519 key that orders a merchant's money out. Its text never shows it."""

    _key: Ed25519PrivateKey

    def __repr__(self) -> str:
        return f"MerchantKey({self.public.hex()[:16]}…)"

    @staticmethod
    def from_bytes(data: bytes) -> MerchantKey:
        """The key in these 32 bytes. Raises `MerchantKeyMalformed`."""
        if len(data) != KEY_BYTES:
            raise MerchantKeyMalformed(f"{len(data)} bytes")
        return MerchantKey(Ed25519PrivateKey.from_private_bytes(data))

    @staticmethod
    def open(path: Path, passphrase: str) -> MerchantKey:
        """The key in a merchant's keystore file.

        Raises `KeystoreMissing`, `KeystoreExposed`, `KeystoreMalformed`, `KeystoreOfAnotherKind`, `PassphraseWrong`.
        """
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise keystore.KeystoreMissing(str(path)) from None
        if path.stat().st_mode & _OTHERS:
            raise keystore.KeystoreExposed(str(path))
        return MerchantKey.from_bytes(keystore.unseal(keystore.decode(data, KEYSTORE_KIND), passphrase))

    @property
    def public(self) -> bytes:
        """The public key, 32 bytes: what the certificate names."""
        return self._key.public_key().public_bytes_raw()

    def sign(self, intent: Intent) -> SignedIntent:
        """The intent with its signature. Raises `IntentMalformed` for what the signer would refuse."""
        document = intents.document_of(intent)
        signature = self._key.sign(intents.signing_input(document))
        return SignedIntent(document.decode(), signature.hex())
