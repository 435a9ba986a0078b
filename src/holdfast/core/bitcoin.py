"""Transactions of the Bitcoin family as values: their bytes, what is signed of them, and what they weigh. Pure.

Inputs are those of one key: P2WPKH (BIP 141, 143), or P2PKH for coins without SegWit. No key comes here.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from holdfast.core.errors import BadInput

SEQUENCE_REPLACEABLE = 0xFFFFFFFD
"""BIP 125: a higher fee may replace it; no relative lock time (BIP 68: the version would be 2, the flag is set)."""
_SIGHASH_ALL = 1
_SIGNATURE_BYTES = 72
"""DER with the sighash byte: at most, with low s."""


class BitcoinBytesMalformed(BadInput):
    """These bytes are no transaction that Holdfast makes. Compare them with what was to be signed."""

    code = "bitcoin-bytes-malformed"


@dataclass(frozen=True, slots=True)
class Input:
    """An output that is spent."""

    outpoint: str
    """`txid:vout`."""
    sequence: int = SEQUENCE_REPLACEABLE


@dataclass(frozen=True, slots=True)
class Output:
    """Units for a script."""

    script: bytes
    units: int


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transaction before its signatures. Version 2 (BIP 68), no lock time."""

    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]


@dataclass(frozen=True, slots=True)
class Signed:
    """The bytes to send, and the id by which every node will know them."""

    raw: bytes
    txid: str


def key_script(public_key: bytes, *, is_segwit: bool) -> bytes:
    """The output script of a compressed public key: P2WPKH, or P2PKH."""
    digest = _hash160(public_key)
    return b"\x00\x14" + digest if is_segwit else b"\x76\xa9\x14" + digest + b"\x88\xac"


def unsigned(transaction: Transaction) -> bytes:
    """The bytes without signatures: as the journal keeps them, and what a SegWit txid is made of."""
    inputs = b"".join(_outpoint(one) + b"\x00" + one.sequence.to_bytes(4, "little") for one in transaction.inputs)
    return _assembled(b"", inputs, transaction, b"")


def read_unsigned(data: bytes) -> Transaction:
    """The transaction in bytes without signatures, if they are written as `unsigned` writes them.

    Raises `BitcoinBytesMalformed`.
    """
    try:
        at, inputs = _read_inputs(data)
        count, at = _read_size(data, at)
        outputs = []
        for _ in range(count):
            units, size_at = int.from_bytes(data[at : at + 8], "little"), at + 8
            size, at = _read_size(data, size_at)
            outputs.append(Output(data[at : at + size], units))
            at += size
    except IndexError:
        raise BitcoinBytesMalformed("it ends too early") from None
    transaction = Transaction(tuple(inputs), tuple(outputs))
    if unsigned(transaction) != data:
        raise BitcoinBytesMalformed("not in the form that is signed")
    return transaction


def digests(transaction: Transaction, script: bytes, units: list[int]) -> list[bytes]:
    """What the key signs for each input: `script` is that of all spent outputs, `units` what each holds.

    BIP 143 for P2WPKH, the original algorithm for P2PKH; always SIGHASH_ALL.
    """
    if len(units) != len(transaction.inputs):
        raise BitcoinBytesMalformed(f"{len(transaction.inputs)} inputs, {len(units)} amounts")
    if script[:2] == b"\x00\x14":
        return _segwit_digests(transaction, b"\x76\xa9\x14" + script[2:] + b"\x88\xac", units)
    return [_legacy_digest(transaction, script, place) for place in range(len(units))]


def assemble(transaction: Transaction, public_key: bytes, signatures: list[bytes], *, is_segwit: bool) -> Signed:
    """The bytes to send: one DER signature for each input, in order, without the sighash byte."""
    parts = [signature + bytes([_SIGHASH_ALL]) for signature in signatures]
    pushes = [bytes([len(part)]) + part + bytes([len(public_key)]) + public_key for part in parts]
    if is_segwit:
        bare = unsigned(transaction)
        inputs = b"".join(_outpoint(one) + b"\x00" + one.sequence.to_bytes(4, "little") for one in transaction.inputs)
        raw = _assembled(b"\x00\x01", inputs, transaction, b"".join(b"\x02" + push for push in pushes))
        return Signed(raw, txid(bare))
    spends = zip(transaction.inputs, pushes, strict=True)
    inputs = b"".join(
        _outpoint(one) + _size(len(push)) + push + one.sequence.to_bytes(4, "little") for one, push in spends
    )
    raw = _assembled(b"", inputs, transaction, b"")
    return Signed(raw, txid(raw))


def txid(data: bytes) -> str:
    """The id of bytes without witness: their double SHA-256, written backwards."""
    return _hash256(data)[::-1].hex()


def der(compact: bytes) -> bytes:
    """A signature of r and s (64 bytes) in DER (BIP 66)."""
    parts = b"".join(
        b"\x02" + bytes([len(one)]) + one for one in (_der_integer(compact[:32]), _der_integer(compact[32:]))
    )
    return b"\x30" + bytes([len(parts)]) + parts


def input_vbytes(*, is_segwit: bool) -> int:
    """What an input of the float weighs at most, rounded up: 41 bytes and a witness of 108, or 148 bytes."""
    return 68 if is_segwit else 36 + 4 + 1 + 1 + _SIGNATURE_BYTES + 1 + 33


def vbytes(transaction: Transaction, *, is_segwit: bool) -> int:
    """What the signed transaction weighs at most, in virtual bytes (BIP 141), rounded up."""
    bare = len(unsigned(transaction))
    witness = 1 + 1 + _SIGNATURE_BYTES + 1 + 33
    if not is_segwit:
        return bare + len(transaction.inputs) * (witness - 1 + (1 if witness - 1 < 0xFD else 3) - 1)
    return (4 * bare + 2 + len(transaction.inputs) * witness + 3) // 4


def output_vbytes(script: bytes) -> int:
    """What an output weighs."""
    return 8 + len(_size(len(script))) + len(script)


def sorted_transaction(transaction: Transaction) -> Transaction:
    """Inputs and outputs in the order of BIP 69, so that the same parts always make the same bytes."""
    inputs = sorted(transaction.inputs, key=lambda one: _outpoint(one)[:32][::-1] + _outpoint(one)[32:][::-1])
    outputs = sorted(transaction.outputs, key=lambda one: (one.units, one.script))
    return replace(transaction, inputs=tuple(inputs), outputs=tuple(outputs))


def _segwit_digests(transaction: Transaction, code: bytes, units: list[int]) -> list[bytes]:
    outpoints = [_outpoint(one) for one in transaction.inputs]
    sequences = [one.sequence.to_bytes(4, "little") for one in transaction.inputs]
    head = (2).to_bytes(4, "little") + _hash256(b"".join(outpoints)) + _hash256(b"".join(sequences))
    tail = (
        _hash256(b"".join(_output(one) for one in transaction.outputs)) + bytes(4) + _SIGHASH_ALL.to_bytes(4, "little")
    )
    script = _size(len(code)) + code
    return [
        _hash256(head + outpoint + script + amount.to_bytes(8, "little") + sequence + tail)
        for outpoint, sequence, amount in zip(outpoints, sequences, units, strict=True)
    ]


def _legacy_digest(transaction: Transaction, script: bytes, place: int) -> bytes:
    inputs = b"".join(
        _outpoint(one) + (_size(len(script)) + script if at == place else b"\x00") + one.sequence.to_bytes(4, "little")
        for at, one in enumerate(transaction.inputs)
    )
    return _hash256(_assembled(b"", inputs, transaction, b"") + _SIGHASH_ALL.to_bytes(4, "little"))


def _assembled(marker: bytes, inputs: bytes, transaction: Transaction, witness: bytes) -> bytes:
    outputs = b"".join(_output(one) for one in transaction.outputs)
    counts = _size(len(transaction.inputs)), _size(len(transaction.outputs))
    return (2).to_bytes(4, "little") + marker + counts[0] + inputs + counts[1] + outputs + witness + bytes(4)


def _read_inputs(data: bytes) -> tuple[int, list[Input]]:
    count, at = _read_size(data, 4)
    inputs = []
    for _ in range(count):
        outpoint = f"{data[at : at + 32][::-1].hex()}:{int.from_bytes(data[at + 32 : at + 36], 'little')}"
        inputs.append(Input(outpoint, int.from_bytes(data[at + 37 : at + 41], "little")))
        at += 41
        if at > len(data):
            raise IndexError
    return at, inputs


def _outpoint(one: Input) -> bytes:
    transaction, _, place = one.outpoint.partition(":")
    return bytes.fromhex(transaction)[::-1] + int(place).to_bytes(4, "little")


def _output(one: Output) -> bytes:
    return one.units.to_bytes(8, "little") + _size(len(one.script)) + one.script


def _size(count: int) -> bytes:
    if count < 0xFD:
        return bytes([count])
    return b"\xfd" + count.to_bytes(2, "little") if count < 0x10000 else b"\xfe" + count.to_bytes(4, "little")


def _read_size(data: bytes, at: int) -> tuple[int, int]:
    first = data[at]
    if first < 0xFD:
        return first, at + 1
    width = {0xFD: 2, 0xFE: 4}.get(first, 8)
    return int.from_bytes(data[at + 1 : at + 1 + width], "little"), at + 1 + width


def _der_integer(data: bytes) -> bytes:
    short = data.lstrip(b"\0") or b"\0"
    return b"\0" + short if short[0] & 0x80 else short


def _hash256(data: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def _hash160(data: bytes) -> bytes:
    return hashlib.new("ripemd160", hashlib.sha256(data).digest()).digest()
