"""EVM transactions as bytes: the EIP-1559 envelope in RLP, what is signed of it, and back.

Pure: no key comes here. What a signature is made over, and what signed bytes say and who signed them, is computed by
the signer, by who checks it and by house transactions from this one place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from coincurve import PublicKey

from holdfast.core.errors import BadInput
from holdfast.core.evm import address_bytes, checksum, keccak256

RlpItem: TypeAlias = "bytes | int | list[RlpItem]"

_TYPE = b"\x02"  # EIP-2718
_FIELDS = 12
_CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141  # secp256k1 (SEC 2)


class TransactionMalformed(BadInput):
    """These bytes are no EVM transaction that Holdfast makes or accepts. Compare them with what was to be signed."""

    code = "transaction-malformed"


@dataclass(frozen=True, slots=True)
class Fees:
    """What a transaction may cost per gas, in wei (EIP-1559)."""

    max_fee_wei: int
    max_priority_fee_wei: int


@dataclass(frozen=True, slots=True)
class Transaction:
    """An EIP-1559 transaction before its signature: a call to `to`, with an empty access list."""

    chain_id: int
    nonce: int
    fees: Fees
    gas_limit: int
    to: str
    value: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Signature:
    """An ECDSA signature on secp256k1, with the parity of its point's y, from which the signer's key follows.

    Raises `TransactionMalformed` for one that no node takes (EIP-2: s in the lower half).
    """

    r: int
    s: int
    parity: int

    def __post_init__(self) -> None:
        if not (0 < self.r < _CURVE_ORDER and 0 < self.s <= _CURVE_ORDER // 2 and self.parity in (0, 1)):
            raise TransactionMalformed("the signature is out of range")


@dataclass(frozen=True, slots=True)
class Signed:
    """A signed transaction: the bytes to send, and the hash by which every node will know it."""

    raw: bytes
    hash: str


def unsigned(transaction: Transaction) -> bytes:
    """The bytes before their signature, as the journal keeps them."""
    return _TYPE + rlp(_body(transaction))


def read_unsigned(data: bytes) -> Transaction:
    """The transaction in bytes before their signature. Raises `TransactionMalformed` as `decode` does."""
    fields = _fields(data[1:])
    if data[:1] != _TYPE or len(fields) != _FIELDS - 3 or len(fields[5]) != 20:
        raise TransactionMalformed("not a call of type 2 before its signature")
    chain_id, nonce, tip, fee, gas, _, value = (int.from_bytes(field, "big") for field in fields[:7])
    transaction = Transaction(chain_id, nonce, Fees(fee, tip), gas, checksum(fields[5]), value, fields[7])
    if unsigned(transaction) != data:
        raise TransactionMalformed("not in canonical form")
    return transaction


def digest(transaction: Transaction) -> bytes:
    """The 32 bytes that are signed (EIP-1559)."""
    return keccak256(unsigned(transaction))


def assemble(transaction: Transaction, signature: Signature) -> Signed:
    """The bytes to send."""
    raw = _TYPE + rlp([*_body(transaction), signature.parity, signature.r, signature.s])
    return Signed(raw, "0x" + keccak256(raw).hex())


def decode(raw: bytes) -> tuple[Transaction, str]:
    """What signed bytes say, and the address that signed them.

    Raises `TransactionMalformed` for anything but the canonical bytes of a type 2 call with an empty access list: what
    is read is assembled again, and must be the same bytes.
    """
    if raw[:1] != _TYPE:
        raise TransactionMalformed("not of type 2")
    fields = _fields(raw[1:])
    if len(fields) != _FIELDS or len(fields[5]) != 20 or fields[8]:
        raise TransactionMalformed("not a call with an empty access list")
    chain_id, nonce, tip, fee, gas, _, value, _, _, parity, r, s = (int.from_bytes(field, "big") for field in fields)
    to, data, signature = checksum(fields[5]), fields[7], Signature(r, s, parity)
    transaction = Transaction(chain_id, nonce, Fees(fee, tip), gas, to, value, data)
    if assemble(transaction, signature).raw != raw:
        raise TransactionMalformed("not in canonical form")
    return transaction, sender(transaction, signature)


def sender(transaction: Transaction, signature: Signature) -> str:
    """The address whose key made this signature. Raises `TransactionMalformed` where there is none."""
    compact = signature.r.to_bytes(32, "big") + signature.s.to_bytes(32, "big") + bytes([signature.parity])
    try:
        key = PublicKey.from_signature_and_message(compact, digest(transaction), hasher=None)
    except ValueError:
        raise TransactionMalformed("the signature is nobody's") from None
    return address_of(key)


def address_of(key: PublicKey) -> str:
    """The address of a public key: the last 20 bytes of its keccak."""
    return checksum(keccak256(key.format(compressed=False)[1:])[12:])


def rlp(item: RlpItem) -> bytes:
    """Recursive length prefix (Yellow Paper, appendix B); integers are big-endian without leading zeros."""
    if isinstance(item, list):
        return _prefixed(b"".join(rlp(part) for part in item), 0xC0)
    data = item.to_bytes((item.bit_length() + 7) // 8, "big") if isinstance(item, int) else item
    return data if len(data) == 1 and data[0] < 0x80 else _prefixed(data, 0x80)


def _body(transaction: Transaction) -> list[RlpItem]:
    fees, to = transaction.fees, address_bytes(transaction.to)
    head: list[RlpItem] = [transaction.chain_id, transaction.nonce, fees.max_priority_fee_wei, fees.max_fee_wei]
    return [*head, transaction.gas_limit, to, transaction.value, transaction.data, []]


def _prefixed(data: bytes, base: int) -> bytes:
    if len(data) < 56:
        return bytes([base + len(data)]) + data
    length = len(data).to_bytes((len(data).bit_length() + 7) // 8, "big")
    return bytes([base + 55 + len(length)]) + length + data


def _fields(encoded: bytes) -> list[bytes]:
    """The items of an RLP list, each as its payload. Only as strict as to end: `decode` compares the bytes."""
    start, end = _payload(encoded, 0)
    fields = []
    while start < end == len(encoded):
        first, start = _payload(encoded, start)
        fields.append(encoded[first:start])
    return fields


def _payload(encoded: bytes, at: int) -> tuple[int, int]:
    """Where the payload of the item at `at` starts and ends, which is never before the next byte."""
    prefix = encoded[at] if encoded else 0
    if prefix < 0x80:
        return at, at + 1
    size = (prefix - 0x80) % 0x40
    if size < 56:
        return at + 1, at + 1 + size
    start = at + 1 + size - 55
    return start, start + int.from_bytes(encoded[at + 1 : start], "big")
