"""An officer's keys: one Ed25519 key for what officers sign, one seed for the vault's wallets. Made only here.

From the public part anybody can build the quorum document, each network's descriptor and the owners of the Safe.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from coincurve import PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from embit import bip32, ec
from embit.descriptor.checksum import add_checksum

from holdfast.core import evm
from holdfast.core.certificates import signing_input
from holdfast.core.errors import BadInput, Unavailable
from holdfast.core.networks import BITCOIN_NETWORKS, BitcoinNetwork, ScriptType
from holdfast.core.quorum import Officer, Quorum, Signature

KEY_BYTES = 32
EVM_PATH = "m/44h/60h/0h/0/0"
_TPUB = bytes.fromhex("043587cf")
_XPUB = bytes.fromhex("0488b21e")


class OfficersDiffer(BadInput):
    """The officers' public files do not fit together. Give each officer's file once, all made by this version."""

    code = "officers-differ"


class CurveLibraryMissing(Unavailable):
    """The C library of libsecp256k1 that embit carries did not load here, and its stand-in in Python is slow and leaks
    timings. Use a machine for which embit has the library (Linux, macOS or Windows on a common processor).
    """

    code = "curve-library-missing"


class OfficerPublic(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the others need of an officer; nothing secret."""

    name: str
    key: str
    """Ed25519 public key, hex."""
    xpubs: dict[str, str]
    """By network name: extended public key with its origin (BIP 380), `[fingerprint/path]xpub…`."""
    evm_address: str
    """As an owner of the Safe, EIP-55."""


@dataclass(frozen=True, slots=True)
class OfficerSecret:
    """An officer's secrets. Its text never shows them."""

    signing: bytes
    seed: bytes

    def __repr__(self) -> str:
        return "OfficerSecret(…)"

    def pack(self) -> bytes:
        """As it is put into a keystore."""
        return self.signing + self.seed

    @staticmethod
    def unpack(data: bytes) -> OfficerSecret:
        """As it came out of a keystore. Raises `OfficersDiffer` for another kind of secret."""
        if len(data) != 2 * KEY_BYTES:
            raise OfficersDiffer("the keystore does not hold an officer's keys")
        return OfficerSecret(data[:KEY_BYTES], data[KEY_BYTES:])


def make_officer() -> OfficerSecret:
    """Fresh secrets from the operating system's randomness. Call it on a machine that has never been online."""
    return OfficerSecret(secrets.token_bytes(KEY_BYTES), secrets.token_bytes(KEY_BYTES))


def public_part(name: str, secret: OfficerSecret) -> OfficerPublic:
    """What the officer hands to the others."""
    root = wallet_root(secret)
    signing = Ed25519PrivateKey.from_private_bytes(secret.signing)
    point = PublicKey(root.derive(EVM_PATH).to_public().key.sec()).format(compressed=False)
    return OfficerPublic(
        name=name,
        key=signing.public_key().public_bytes_raw().hex(),
        xpubs={network.name: _xpub(root, network) for network in BITCOIN_NETWORKS},
        evm_address=evm.checksum(evm.keccak256(point[1:])[12:]),
    )


def quorum_of(officers: Sequence[OfficerPublic], threshold: int) -> Quorum:
    """The quorum document's content. Raises `QuorumMalformed` when its bytes are asked for and it is none."""
    return Quorum(tuple(Officer(officer.name, officer.key) for officer in officers), threshold)


def descriptor_of(network: BitcoinNetwork, officers: Sequence[OfficerPublic], threshold: int) -> str:
    """The network's watch-only vault descriptor with its checksum (BIP 380, 383). Raises `OfficersDiffer`."""
    try:
        keys = [f"{officer.xpubs[network.name]}/0/*" for officer in officers]
    except KeyError:
        raise OfficersDiffer(f"an officer's file has no key for {network.name}") from None
    return str(add_checksum(f"{network.script_type.value}(sortedmulti({threshold},{','.join(keys)}))"))


def sign_certificate(document: bytes, secret: OfficerSecret) -> Signature:
    """One officer's signature under a certificate. Whoever calls it has shown the officer what it says."""
    key = Ed25519PrivateKey.from_private_bytes(secret.signing)
    return Signature(key.public_key().public_bytes_raw().hex(), key.sign(signing_input(document)).hex())


def account_path(network: BitcoinNetwork) -> str:
    """Where the vault's account lies under an officer's seed: BIP 48 for SegWit, BIP 87 for plain script hashes."""
    coin = network.coin.id.rpartition(":")[2]
    return f"m/48h/{coin}h/0h/2h" if network.script_type is ScriptType.WSH else f"m/87h/{coin}h/0h"


def wallet_root(secret: OfficerSecret) -> bip32.HDKey:
    """The root of an officer's wallets (BIP 32). Raises `CurveLibraryMissing`."""
    if ec.secp256k1.ec_pubkey_create.__module__ != "embit.util.ctypes_secp256k1":
        raise CurveLibraryMissing(ec.secp256k1.ec_pubkey_create.__module__)
    return bip32.HDKey.from_seed(secret.seed)


def evm_key(secret: OfficerSecret) -> bytes:
    """The 32-byte key with which an officer signs for the Safe. Raises `CurveLibraryMissing`."""
    return bytes(wallet_root(secret).derive(EVM_PATH).secret)


def _xpub(root: bip32.HDKey, network: BitcoinNetwork) -> str:
    path = account_path(network)
    account = root.derive(path).to_public().to_base58(version=_TPUB if network.is_test else _XPUB)
    return f"[{root.my_fingerprint.hex()}{path.removeprefix('m')}]{account}"
