"""The same keys inside a hardware module (PKCS #11 v3.0): they are made there and never leave it. Extra `[hsm]`.

ECDSA on secp256k1 by CKM_ECDSA over the digest as it is, Ed25519 by CKM_EDDSA. A key's label is its name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pkcs11
from coincurve import PublicKey
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass, Session
from pkcs11.exceptions import NoSuchKey, PKCS11Error
from pkcs11.types import SignMixin
from pkcs11.util.ec import encode_named_curve_parameters

from holdfast.core.errors import Unavailable
from holdfast.signer.keys import DIGEST_BYTES, JOURNAL, KeyUnknown, check_name, read_private

SignJournal = Callable[[bytes], bytes]
ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
"""Of secp256k1's group (SEC 2, section 2.4.1)."""
_SECP256K1, _ED25519 = "secp256k1", "1.3.101.112"
_POINT_BYTES, _ED25519_BYTES = 65, 32
_INSIDE = {Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False}


class HsmUnavailable(Unavailable):
    """The hardware module does not do what was asked. Look at library, token and PIN file."""

    code = "hsm-unavailable"


class Pkcs11Keys:
    """A session with one token. Its text never shows the PIN."""

    def __init__(
        self, library: Path, token: str, pin_file: Path, *, journal: SignJournal | None = None, is_writing: bool = False
    ) -> None:
        """Log in. `journal` signs for the journal where the module knows no Ed25519.

        Raises `HsmUnavailable`, and for the PIN file what `core.keystore` names.
        """
        self._journal = journal
        pin = read_private(pin_file).decode(errors="replace").strip()
        try:
            self._session: Session = pkcs11.lib(str(library)).get_token(token_label=token).open(is_writing, pin)
        except (PKCS11Error, RuntimeError) as error:
            raise HsmUnavailable(f"{library}, {token}: {type(error).__name__} {error}") from None

    def __repr__(self) -> str:
        return "Pkcs11Keys(…)"

    def public_key(self, network: str) -> bytes:
        """As `Keys.public_key`."""
        return PublicKey(self._point(network)[-_POINT_BYTES:]).format(compressed=True)

    def sign(self, network: str, digest: bytes) -> bytes:
        """As `Keys.sign`; the nonce is the module's own, so the same digest is signed anew each time."""
        if len(digest) != DIGEST_BYTES:
            raise ValueError("a digest has 32 bytes")
        signature = self._sign(network, digest, Mechanism.ECDSA)
        s = int.from_bytes(signature[32:])
        return signature[:32] + min(s, ORDER - s).to_bytes(32)

    def sign_journal(self, message: bytes) -> bytes:
        """As `Keys.sign_journal`."""
        return self._journal(message) if self._journal else self._sign(JOURNAL, message, Mechanism.EDDSA)

    def journal_key(self) -> bytes:
        """The journal's Ed25519 public key. Raises `KeyUnknown`."""
        return self._point(JOURNAL)[-_ED25519_BYTES:]

    def make(self, names: Iterable[str]) -> dict[str, str]:
        """Make each of these keys inside the module, and the journal key unless it lies elsewhere; public keys, hex.

        What is there stays.

        Raises `HsmUnavailable`, `KeyNameMalformed`.
        """
        wanted = list(names)
        for name in wanted:
            check_name(name)
        try:
            for name in (*([] if self._journal else [JOURNAL]), *wanted):
                if not self._has(name):
                    self._make(name)
        except PKCS11Error as error:
            raise HsmUnavailable(f"making keys: {type(error).__name__} {error}") from None
        journal = {} if self._journal else {JOURNAL: self.journal_key().hex()}
        return {**journal, **{name: self.public_key(name).hex() for name in wanted}}

    def close(self) -> None:
        """Log out."""
        self._session.close()

    def _make(self, name: str) -> None:
        is_journal = name == JOURNAL
        kind, curve = (KeyType.EC_EDWARDS, _ED25519) if is_journal else (KeyType.EC, _SECP256K1)
        mechanism = Mechanism.EC_EDWARDS_KEY_PAIR_GEN if is_journal else Mechanism.EC_KEY_PAIR_GEN
        curve_of = {Attribute.EC_PARAMS: encode_named_curve_parameters(curve)}
        parameters = self._session.create_domain_parameters(kind, curve_of, local=True)
        parameters.generate_keypair(mechanism=mechanism, store=True, label=name, private_template=_INSIDE)

    def _has(self, name: str) -> bool:
        found = self._session.get_objects({Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.LABEL: name})
        return next(iter(found), None) is not None

    def _point(self, name: str) -> bytes:
        try:
            return bytes(self._session.get_key(object_class=ObjectClass.PUBLIC_KEY, label=name)[Attribute.EC_POINT])
        except NoSuchKey:
            raise KeyUnknown(name[:60]) from None
        except PKCS11Error as error:
            raise HsmUnavailable(f"{name[:60]}: {type(error).__name__} {error}") from None

    def _sign(self, name: str, data: bytes, mechanism: Mechanism) -> bytes:
        try:
            key = self._session.get_key(object_class=ObjectClass.PRIVATE_KEY, label=name)
            if not isinstance(key, SignMixin):
                raise HsmUnavailable(f"{name[:60]} is no key that signs")
            return bytes(key.sign(data, mechanism=mechanism))
        except NoSuchKey:
            raise KeyUnknown(name[:60]) from None
        except PKCS11Error as error:
            raise HsmUnavailable(f"{name[:60]}: {type(error).__name__} {error}") from None
