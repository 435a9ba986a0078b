"""Blocks and transactions of the Bitcoin family as bytes: proven against their own hashes, searched for outputs.

Read from raw bytes and not from a node's JSON: amounts are integers there, the node has less to do, and every
transaction can be checked against the block's Merkle root. Does no I/O.

Sources: Bitcoin developer reference, "Block chain" and "Transactions"; BIP 144 (witness serialisation); LIP 2 and 3
(Litecoin's MWEB: the HogEx transaction carries flag 8); Dogecoin's auxpow.h (merged mining: a proof between header and
transactions).
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Set as AbstractSet
from dataclasses import dataclass
from enum import Enum, auto
from hashlib import sha256

from holdfast.chains.port import Header

HEADER_BYTES = 80
_AUXPOW_VERSION_BIT = 0x100
_DOGECOIN_CHAIN_ID = 0x62
_WITNESS, _MWEB = 1, 8
_VARINT_BYTES = {0xFD: 2, 0xFE: 4, 0xFF: 8}
_VARINT_ONE_BYTE = 0xFD


_Found = tuple[int, bytes, int]
"""An output's number, script and units."""


class BytesMalformed(Exception):
    """The bytes are not what they claim to be. Internal to this family: its node raises `NodeAnswerMalformed`."""


class Origin(Enum):
    """What kind of transaction made an output: some outputs can only be spent later."""

    PAYMENT = auto()
    COINBASE = auto()
    """A miner's reward."""
    HOGEX = auto()
    """Litecoin's block-wide transaction that pays out of the MWEB extension block."""


@dataclass(frozen=True, slots=True)
class Payment:
    """One output that pays a watched script."""

    transaction: str
    output: int
    script: bytes
    units: int
    origin: Origin

    @property
    def key(self) -> str:
        """Names the output for ever: a txid commits to everything in it."""
        return f"{self.transaction}:{self.output}"


@dataclass(frozen=True, slots=True)
class BlockContents:
    """What was looked for in a block, each in chain order, and the ids of all its transactions."""

    transactions: list[str]
    payments: list[Payment]
    spends: list[tuple[str, str]]
    """Outpoint, and the transaction that spends it."""


def double_sha256(data: bytes) -> bytes:
    """The hash of the whole family, in the byte order of the wire."""
    return sha256(sha256(data).digest()).digest()


def display(hash_bytes: bytes) -> str:
    """A hash as nodes write it: hex, bytes reversed."""
    return hash_bytes[::-1].hex()


def read_header(raw: bytes, height: int) -> Header:
    """A block's header from its first 80 bytes; its hash is computed, not believed. Raises `BytesMalformed`."""
    if len(raw) < HEADER_BYTES:
        raise BytesMalformed(f"a header of {len(raw)} bytes")
    head = raw[:HEADER_BYTES]
    return Header(
        height=height,
        hash=display(double_sha256(head)),
        parent=display(head[4:36]),
        time=int.from_bytes(head[68:72], "little"),
    )


def payments_in_block(raw: bytes, scripts: Mapping[bytes, object]) -> list[Payment]:
    """Every output in a block that pays one of `scripts`, in chain order.

    Raises `BytesMalformed` unless the bytes are a whole block whose transactions hash to the header's Merkle root.
    """
    try:
        return _payments_in_block(raw, scripts)
    except IndexError:
        raise BytesMalformed(f"a block of {len(raw)} bytes ends too early") from None


def payments_in_transaction(raw: bytes, txid: str, scripts: Mapping[bytes, object]) -> list[Payment]:
    """Every output of a transaction that waits for a block and pays one of `scripts`.

    Raises `BytesMalformed` if it pays one and its bytes do not hash to `txid`.
    """
    found: list[_Found] = []
    try:
        start, end, _flags, _inputs = _read_outputs(raw, 0, scripts, found)
    except IndexError:
        raise BytesMalformed(f"transaction {txid}: {len(raw)} bytes end too early") from None
    # The last four bytes are the lock time, whatever witness or MWEB part stands before them.
    if found and display(double_sha256(raw[:4] + raw[start:end] + raw[-4:])) != txid:
        raise BytesMalformed(f"transaction {txid}: its bytes have another hash")
    return [Payment(txid, *each, Origin.PAYMENT) for each in found]


def contents_of_block(raw: bytes, scripts: Mapping[bytes, object], outpoints: AbstractSet[str]) -> BlockContents:
    """A block's transactions, what in it pays `scripts`, and who in it spends one of `outpoints`.

    Raises `BytesMalformed` as `payments_in_block` does.
    """
    return _contents(raw, scripts, frozenset(outpoint_bytes(outpoint) for outpoint in outpoints))[0]


def moves_in_block(
    raw: bytes, scripts: Mapping[bytes, object], outpoints: Container[bytes]
) -> tuple[BlockContents, dict[str, int]]:
    """As `contents_of_block`, of outpoints in their binary form, and where in the bytes each spender begins.

    For whoever watches very many: nothing is done once for each of them.
    """
    return _contents(raw, scripts, outpoints)


def inputs_of_transaction(raw: bytes, txid: str) -> list[bytes]:
    """The outpoints that it spends, in their binary form. Raises `BytesMalformed` unless its bytes hash to `txid`."""
    if transaction_id(raw) != txid:
        raise BytesMalformed(f"transaction {txid}: its bytes have another hash")
    return list(_inputs(raw, 0))


def spends_in_transaction(raw: bytes, txid: str, outpoints: AbstractSet[str]) -> list[str]:
    """Which of these outpoints a transaction spends. Raises `BytesMalformed` unless its bytes hash to `txid`."""
    if transaction_id(raw) != txid:
        raise BytesMalformed(f"transaction {txid}: its bytes have another hash")
    wanted = {outpoint_bytes(outpoint) for outpoint in outpoints}
    return [outpoint_text(each) for each in _inputs(raw, 0) if each in wanted]


def transaction_id(raw: bytes) -> str:
    """The id of a transaction, whatever witness its bytes carry. Raises `BytesMalformed`."""
    try:
        start, end, _flags, _inputs = _read_outputs(raw, 0, {}, [])
    except IndexError:
        raise BytesMalformed(f"a transaction of {len(raw)} bytes ends too early") from None
    return display(double_sha256(raw[:4] + raw[start:end] + raw[-4:]))


def outpoint_bytes(outpoint: str) -> bytes:
    """`txid:vout` as inputs have it: 36 bytes."""
    transaction, _, place = outpoint.partition(":")
    return bytes.fromhex(transaction)[::-1] + int(place).to_bytes(4, "little")


def outpoint_text(outpoint: bytes) -> str:
    """36 bytes of an input as `txid:vout`."""
    return f"{display(outpoint[:32])}:{int.from_bytes(outpoint[32:], 'little')}"


def _contents(
    raw: bytes, scripts: Mapping[bytes, object], wanted: Container[bytes]
) -> tuple[BlockContents, dict[str, int]]:
    payments: list[Payment] = []
    try:
        txids, starts = _read_block(raw, scripts, payments)
        names = [display(txid) for txid in txids]
        places = () if wanted == frozenset() else zip(names, starts, strict=True)
        found = [(each, name, at) for name, at in places for each in _inputs(raw, at) if each in wanted]
    except IndexError:
        raise BytesMalformed(f"a block of {len(raw)} bytes ends too early") from None
    spends = [(outpoint_text(each), name) for each, name, _ in found]
    return BlockContents(names, payments, spends), {name: at for _, name, at in found}


def _payments_in_block(raw: bytes, scripts: Mapping[bytes, object]) -> list[Payment]:
    payments: list[Payment] = []
    _read_block(raw, scripts, payments)
    return payments


def _read_block(raw: bytes, scripts: Mapping[bytes, object], payments: list[Payment]) -> tuple[list[bytes], list[int]]:
    """The hashes of a block's transactions and where each begins; what pays `scripts` goes into `payments`."""
    at = HEADER_BYTES
    if int.from_bytes(raw[0:4], "little") & _AUXPOW_VERSION_BIT and _has_auxpow(raw):
        at = _after_auxpow(raw, at)
    count, at = _varint(raw, at)
    txids: list[bytes] = []
    starts: list[int] = []
    flags = 0
    for number in range(count):
        found: list[_Found] = []
        starts.append(at)
        txid, at, flags = _read_transaction(raw, at, scripts, found)
        txids.append(txid)
        if found:
            origin = Origin.COINBASE if number == 0 else Origin.HOGEX if flags & _MWEB else Origin.PAYMENT
            payments += [Payment(display(txid), *each, origin) for each in found]
    if at != len(raw) and not flags & _MWEB:  # an extension block follows where the last transaction is a HogEx
        raise BytesMalformed(f"a block of {len(raw)} bytes has its last transaction end at {at}")
    if merkle_root(txids) != raw[36:68]:
        raise BytesMalformed("a block's transactions do not hash to its Merkle root")
    return txids, starts


def merkle_root(txids: list[bytes]) -> bytes:
    """The root over these hashes. Raises `BytesMalformed` for a list that was lengthened (CVE-2012-2459)."""
    level = txids
    if not level:
        raise BytesMalformed("a block without transactions")
    while len(level) > 1:
        if len(level) % 2:
            level = [*level, level[-1]]
        elif level[-1] == level[-2]:
            raise BytesMalformed("a block's last transactions are there twice")
        level = [double_sha256(level[i] + level[i + 1]) for i in range(0, len(level), 2)]
    return level[0]


def _read_transaction(
    raw: bytes, at: int, scripts: Mapping[bytes, object], found: list[_Found]
) -> tuple[bytes, int, int]:
    """A transaction's hash, where it ends, and its flags."""
    start, end, flags, inputs = _read_outputs(raw, at, scripts, found)
    after = _after_witness(raw, end, inputs) if flags & _WITNESS else end
    if flags & _MWEB:
        if raw[after] != 0:
            raise BytesMalformed("a block holds a transaction with its MWEB part, which belongs outside")
        after += 1
    after += 4
    if len(raw) < after:
        raise IndexError
    if not flags:
        return double_sha256(raw[at:after]), after, flags
    return double_sha256(raw[at : at + 4] + raw[start:end] + raw[after - 4 : after]), after, flags


def _after_witness(raw: bytes, at: int, inputs: int) -> int:
    """Where the witness of these inputs ends."""
    for _ in range(inputs):
        items, at = _varint(raw, at)
        for _ in range(items):
            size = raw[at]
            at += 1 + size
            if size >= _VARINT_ONE_BYTE:
                size, at = _varint(raw, at - 1 - size)
                at += size
    return at


def _read_outputs(
    raw: bytes, at: int, scripts: Mapping[bytes, object], found: list[_Found]
) -> tuple[int, int, int, int]:
    """Where inputs and outputs begin and end, the flags, how many inputs; outputs to `scripts` go into `found`.

    Read byte by byte without helpers where a length fits one byte: this is where catching up spends its time.
    """
    at += 4
    flags = 0
    if raw[at] == 0:
        flags = raw[at + 1]
        at += 2
    start = at
    inputs, at = _varint(raw, at)
    for _ in range(inputs):
        size = raw[at + 36]
        at += 41 + size
        if size >= _VARINT_ONE_BYTE:
            size, at = _varint(raw, at - 5 - size)
            at += 4 + size
    outputs, at = _varint(raw, at)
    for number in range(outputs):
        size = raw[at + 8]
        begin = at + 9
        if size >= _VARINT_ONE_BYTE:
            size, begin = _varint(raw, begin - 1)
        end = begin + size
        script = raw[begin:end]
        if script in scripts:
            found.append((number, script, int.from_bytes(raw[at : at + 8], "little")))
        at = end
    return start, at, flags, inputs


def _inputs(raw: bytes, at: int) -> Iterable[bytes]:
    """The outpoints that the transaction at `at` spends."""
    at += 4
    if raw[at] == 0:
        at += 2
    count, at = _varint(raw, at)
    for _ in range(count):
        yield raw[at : at + 36]
        size, at = _varint(raw, at + 36)
        at += size + 4


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    """A number in Bitcoin's compact size form, and where it ends."""
    first = raw[at]
    if first < _VARINT_ONE_BYTE:
        return first, at + 1
    end = at + 1 + _VARINT_BYTES[first]
    return int.from_bytes(raw[at + 1 : end], "little"), end


def _has_auxpow(raw: bytes) -> bool:
    """Whether a block whose version has the merged-mining bit is of a merged-mined chain.

    Dogecoin writes its chain id (0x62) into the version's upper half; elsewhere the bit is a miner's free choice
    (BIP 9, BIP 320).
    """
    return int.from_bytes(raw[2:4], "little") == _DOGECOIN_CHAIN_ID


def _after_auxpow(raw: bytes, at: int) -> int:
    """Where a merged-mining proof ends: parent coinbase, its block's hash, two Merkle branches, parent header."""
    _txid, at, _flags = _read_transaction(raw, at, {}, [])
    at += 32
    for _ in range(2):
        length, at = _varint(raw, at)
        at += 32 * length + 4
    return at + HEADER_BYTES
