"""Who sent money: the addresses that a transaction took it from, for those who must know before it is credited.

Bitcoin family: what an input reveals when it is spent, its key or its script, is hashed into its address (BIP 141, 16,
13), so the transaction's own bytes prove it and no index is needed. Taproot reveals nothing; then the node is asked for
what was spent, which it knows with `txindex=1`. EVM: who signed, whom he called, and a token's log.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

import msgspec
from Crypto.Hash import RIPEMD160

from holdfast.chains.bitcoin_blocks import BytesMalformed, transaction_id
from holdfast.chains.bitcoin_scripts import ScriptWithoutAddress, address_of
from holdfast.chains.port import NodeAnswerMalformed
from holdfast.chains.rpc import RpcClient
from holdfast.core.errors import Unavailable
from holdfast.core.evm import parse_address
from holdfast.core.networks import BitcoinNetwork

_TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
_RAW, _VERBOSE = False, True
_WITNESS = 1
_KEY_BYTES = 33
_LONG_KEY_BYTES = 65
_LEAF_VERSIONS = (0xC0, 0xC1)


class SendersUnknown(Unavailable):
    """No node can tell who sent a transaction. Look it up elsewhere, or give the node `txindex=1`."""

    code = "senders-unknown"


@dataclass(frozen=True, slots=True)
class Sent:
    """A payment whose senders are asked for."""

    transaction: str
    block: str | None
    """Its block's hash; None: it waits for one."""
    address: str
    """Where it arrived."""
    token: str | None = None
    """Contract of the token; None: it was the network's coin."""


async def bitcoin_senders(rpc: RpcClient, network: BitcoinNetwork, sent: Sent) -> tuple[str, ...]:
    """The addresses of what it spends. Raises `SendersUnknown`, and what the node raises."""
    asked = (sent.transaction, _RAW) if sent.block is None else (sent.transaction, _RAW, sent.block)
    raw = _bytes(await rpc.call(str, "getrawtransaction", *asked))
    try:
        if transaction_id(raw) != sent.transaction:
            raise SendersUnknown(f"{rpc.name} brought another transaction than {sent.transaction}")
        inputs = _inputs(raw)
    except (BytesMalformed, IndexError) as wrong:
        raise NodeAnswerMalformed(f"{rpc.name}: {sent.transaction}: {wrong}") from None
    found: list[str] = []
    for one in inputs:
        script = _revealed(one) or await _spent(rpc, one.outpoint)
        try:
            found.append(address_of(network, script))
        except ScriptWithoutAddress as wrong:
            raise SendersUnknown(wrong.detail) from wrong
    return tuple(dict.fromkeys(found))


@dataclass(slots=True)
class _Input:
    outpoint: bytes
    script: bytes
    witness: list[bytes]


def _inputs(raw: bytes) -> list[_Input]:
    """The inputs of a transaction (BIP 144). What follows its witnesses does not matter here."""
    at, flags = 4, 0
    if raw[at] == 0:
        flags, at = raw[at + 1], at + 2
    count, at = _size(raw, at)
    inputs = []
    for _ in range(count):
        outpoint, at = raw[at : at + 36], at + 36
        script, at = _sized(raw, at)
        inputs.append(_Input(outpoint, script, []))
        at += 4
    count, at = _size(raw, at)
    for _ in range(count):
        _, at = _sized(raw, at + 8)
    for one in inputs if flags & _WITNESS else ():
        count, at = _size(raw, at)
        for _ in range(count):
            item, at = _sized(raw, at)
            one.witness.append(item)
    return inputs


def _revealed(one: _Input) -> bytes | None:
    """The script of the output that an input spends, as far as spending it shows it; None: it does not."""
    pushes = _pushes(one.script)
    if not one.witness:
        if len(pushes) == 2 and len(pushes[1]) in (_KEY_BYTES, _LONG_KEY_BYTES):
            return b"\x76\xa9\x14" + hash160(pushes[1]) + b"\x88\xac"
        return b"\xa9\x14" + hash160(pushes[-1]) + b"\x87" if len(pushes) > 1 else None
    if pushes:
        return b"\xa9\x14" + hash160(pushes[-1]) + b"\x87"
    last = one.witness[-1]
    if len(one.witness) == 2 and len(last) == _KEY_BYTES:
        return b"\x00\x14" + hash160(last)
    is_taproot = len(one.witness) == 1 or (len(last) % 32 == 1 and last[:1] and last[0] in _LEAF_VERSIONS)
    return None if is_taproot else b"\x00\x20" + sha256(last).digest()


async def _spent(rpc: RpcClient, outpoint: bytes) -> bytes:
    name, place = outpoint[:32][::-1].hex(), int.from_bytes(outpoint[32:], "little")
    try:
        found = await rpc.call(_Transaction, "getrawtransaction", name, _VERBOSE)
    except Unavailable as refused:
        raise SendersUnknown(f"{rpc.name} does not tell what {name}:{place} held: {refused.detail[:200]}") from refused
    if place >= len(found.vout):
        raise NodeAnswerMalformed(f"{rpc.name}: {name} has no output {place}")
    return _bytes(found.vout[place].script.hex)


class _Script(msgspec.Struct):
    hex: str


class _Output(msgspec.Struct):
    script: _Script = msgspec.field(name="scriptPubKey")


class _Transaction(msgspec.Struct):
    vout: list[_Output]


class _Called(msgspec.Struct):
    sender: str = msgspec.field(name="from")
    to: str | None = None


class _Log(msgspec.Struct):
    address: str
    topics: list[str]


class _Receipt(msgspec.Struct):
    logs: list[_Log]


async def evm_senders(rpc: RpcClient, sent: Sent) -> tuple[str, ...]:
    """Who signed it, the contract that he called where that is not the payee, and of a token whom its log names.

    Raises what the node raises.
    """
    called = await rpc.call(_Called, "eth_getTransactionByHash", sent.transaction)
    parties = [called.sender]
    if sent.token is None:
        parties += [called.to] if called.to and called.to.lower() != sent.address.lower() else []
    else:
        receipt = await rpc.call(_Receipt, "eth_getTransactionReceipt", sent.transaction)
        parties += _payers(receipt.logs, sent.token, sent.address)
    return tuple(dict.fromkeys(parse_address(each) for each in parties))


def _payers(logs: Iterable[_Log], token: str, address: str) -> list[str]:
    wanted = address.lower().removeprefix("0x").rjust(64, "0")
    return [
        "0x" + log.topics[1][-40:]
        for log in logs
        if log.address.lower() == token.lower()
        and len(log.topics) == 3
        and log.topics[0] == _TRANSFER
        and log.topics[2].lower().removeprefix("0x") == wanted
    ]


def hash160(data: bytes) -> bytes:
    """RIPEMD-160 of SHA-256. Not OpenSSL's, which may leave the old one out."""
    return RIPEMD160.new(sha256(data).digest()).digest()


def _pushes(script: bytes) -> Sequence[bytes]:
    """What a script of an input pushes; nothing where it does anything else."""
    found, at = [], 0
    while at < len(script):
        code, at = script[at], at + 1
        if code > 0x4E:
            if code in range(0x51, 0x61) or code == 0x4F:
                found.append(bytes([code]))
                continue
            return ()
        wide = {0x4C: 1, 0x4D: 2, 0x4E: 4}.get(code, 0)
        size = int.from_bytes(script[at : at + wide], "little") if wide else code
        at += wide
        found.append(script[at : at + size])
        at += size
    return found


def _sized(raw: bytes, at: int) -> tuple[bytes, int]:
    size, at = _size(raw, at)
    if at + size > len(raw):
        raise IndexError("cut off")
    return raw[at : at + size], at + size


def _size(raw: bytes, at: int) -> tuple[int, int]:
    first = raw[at]
    wide = {0xFD: 2, 0xFE: 4, 0xFF: 8}.get(first, 0)
    if not wide:
        return first, at + 1
    return int.from_bytes(raw[at + 1 : at + 1 + wide], "little"), at + 1 + wide


def _bytes(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise NodeAnswerMalformed(f"{text[:40]!r} is not hexadecimal") from None
