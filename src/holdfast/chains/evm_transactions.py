"""The signature of a house transaction, with a key that is handed in and holds nothing but gas.

It signs what its caller names; it never reads a key, asks a node or sends anything. What is signed, and the bytes that
come of it, are `core.evm_transactions`'; payouts are signed by the signer.
"""

from __future__ import annotations

from coincurve import PrivateKey

from holdfast.core.evm_transactions import Signature, Signed, Transaction, address_of, assemble, digest


def sign(transaction: Transaction, key: bytes) -> Signed:
    """The transaction signed by a 32-byte secp256k1 key (EIP-1559, EIP-2718 type 2).

    Deterministic (RFC 6979) and low-s (EIP-2), so the same transaction always gives the same bytes.
    """
    made = PrivateKey(key).sign_recoverable(digest(transaction), hasher=None)
    return assemble(
        transaction, Signature(int.from_bytes(made[:32], "big"), int.from_bytes(made[32:64], "big"), made[64])
    )


def address_of_key(key: bytes) -> str:
    """The address that a 32-byte secp256k1 key controls."""
    return address_of(PrivateKey(key).public_key)
