"""EVM transactions as bytes: RLP and the EIP-1559 envelope, signed with a key that is handed in.

Used for house transactions whose key holds nothing but gas (deployment, flush). It builds and signs what its caller
names; it never reads a key, asks a node or sends anything. Payouts are signed elsewhere, by the signer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from coincurve import PrivateKey

from holdfast.core.evm import address_bytes, checksum, keccak256

RlpItem: TypeAlias = "bytes | int | list[RlpItem]"


@dataclass(frozen=True, slots=True)
class Fees:
    """What a transaction may cost per gas, in wei (EIP-1559)."""

    max_fee_wei: int
    max_priority_fee_wei: int


@dataclass(frozen=True, slots=True)
class Transaction:
    """An EIP-1559 transaction before its signature."""

    chain_id: int
    nonce: int
    fees: Fees
    gas_limit: int
    to: str
    value: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Signed:
    """A signed transaction: the bytes to send, and the hash by which every node will know it."""

    raw: bytes
    hash: str


def rlp(item: RlpItem) -> bytes:
    """Recursive length prefix (Yellow Paper, appendix B); integers are big-endian without leading zeros."""
    if isinstance(item, list):
        return _prefixed(b"".join(rlp(part) for part in item), 0xC0)
    data = item.to_bytes((item.bit_length() + 7) // 8, "big") if isinstance(item, int) else item
    if len(data) == 1 and data[0] < 0x80:
        return data
    return _prefixed(data, 0x80)


def sign(transaction: Transaction, key: bytes) -> Signed:
    """The transaction signed by a 32-byte secp256k1 key (EIP-1559, EIP-2718 type 2).

    Deterministic (RFC 6979) and low-s (EIP-2), so the same transaction always gives the same bytes.
    """
    body: list[RlpItem] = [
        transaction.chain_id,
        transaction.nonce,
        transaction.fees.max_priority_fee_wei,
        transaction.fees.max_fee_wei,
        transaction.gas_limit,
        address_bytes(transaction.to),
        transaction.value,
        transaction.data,
        [],  # access list
    ]
    signature = PrivateKey(key).sign_recoverable(keccak256(b"\x02" + rlp(body)), hasher=None)
    r, s, parity = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big"), signature[64]
    raw = b"\x02" + rlp([*body, parity, r, s])
    return Signed(raw, "0x" + keccak256(raw).hex())


def address_of_key(key: bytes) -> str:
    """The address that a 32-byte secp256k1 key controls: the last 20 bytes of the public key's keccak."""
    return checksum(keccak256(PrivateKey(key).public_key.format(compressed=False)[1:])[12:])


def _prefixed(data: bytes, base: int) -> bytes:
    if len(data) < 56:
        return bytes([base + len(data)]) + data
    length = len(data).to_bytes((len(data).bit_length() + 7) // 8, "big")
    return bytes([base + 55 + len(length)]) + length + data
