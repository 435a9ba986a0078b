"""How fast a follower catches up on a real chain, beside what its node can hand over at all.

The chain is made by a real litecoind in regtest: blocks full of transactions whose outputs are version-0 witness
script hashes, as deposits are. A million other addresses are watched meanwhile.
"""

from __future__ import annotations

import asyncio
import base64
import gc
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from time import perf_counter

import msgspec

from holdfast.chains.bitcoin_blocks import display, double_sha256
from holdfast.chains.bitcoin_scripts import script_of
from holdfast.chains.follower import Cursor
from holdfast.chains.localnet import RegtestNode, litecoin_regtest
from holdfast.chains.port import Block, Header, Node, Watch
from holdfast.chains.reader import Applied, Reader
from holdfast.chains.rpc import Credentials, RpcClient

WATCHED = 1_000_000
BLOCKS, TRANSACTIONS_PER_BLOCK = 8, 2_000
_FIRST_UNITS, _PAYMENT_UNITS, _FEE_UNITS = 1_000_000, 20_000, 20_000
_FETCHES_AT_ONCE = 3
_ANYONE_CAN_SPEND = b"\x51"
_BECH32 = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", b"qpzry9x8gf2tvdw0s3jn54khce6mua7l")


async def run(directory: Path, seconds: float) -> dict[str, object]:
    """The figures; each of the three measurements takes about a third of `seconds`, making the chain some more."""
    async with litecoin_regtest(directory / "litecoin") as local, _client(local) as rpc:
        paid = await _make_chain(local, rpc)
        node = local.node()
        try:
            headers = (await node.headers(0, await local.height()))[-BLOCKS:]
            raw_rate = await _repeated(seconds / 3, lambda: _fetch_raw(rpc, headers))
            few = Watch(local.network.id, paid)
            rate = await _repeated(seconds / 3, lambda: _catch_up(node, few, headers))
            before = _resident_bytes()
            many = Watch(local.network.id, _addresses(local.network.hrp or "", WATCHED))
            many.by_key(lambda address: script_of(local.network, address))
            gc.collect()
            memory = _resident_bytes() - before
            many.add(paid)
            many_rate = await _repeated(seconds / 3, lambda: _catch_up(node, many, headers))
        finally:
            await node.close()
    return {
        "blocks": BLOCKS,
        "transactions_per_block": TRANSACTIONS_PER_BLOCK,
        "scan_blocks_per_second": round(rate, 1),
        "scan_transactions_per_second": round(rate * TRANSACTIONS_PER_BLOCK),
        "limit_node_hands_over_blocks_per_second": round(raw_rate, 1),
        "scan_share_of_limit_percent": round(100 * rate / raw_rate),
        "watched_addresses": WATCHED,
        "watched_memory_bytes": memory,
        "watched_scan_blocks_per_second": round(many_rate, 1),
        "watched_scan_transactions_per_second": round(many_rate * TRANSACTIONS_PER_BLOCK),
        "watched_scan_share_of_limit_percent": round(100 * many_rate / raw_rate),
    }


async def _repeated(seconds: float, once: Callable[[], Awaitable[int]]) -> float:
    """Blocks a second over as many whole rounds as fit."""
    await once()
    start, blocks = perf_counter(), 0
    while perf_counter() - start < seconds:
        blocks += await once()
    return blocks / (perf_counter() - start)


async def _fetch_raw(rpc: RpcClient, headers: Sequence[Header]) -> int:
    """The blocks as the node sends them, thrown away."""
    free = asyncio.Semaphore(_FETCHES_AT_ONCE)

    async def fetch(header: Header) -> None:
        async with free:
            await rpc.call(msgspec.Raw, "getblock", header.hash, 0)

    await asyncio.gather(*(fetch(header) for header in headers))
    return len(headers)


async def _catch_up(node: Node, watch: Watch, headers: Sequence[Header]) -> int:
    """What a follower does: from the block before these to the tip. Every payment must be found."""
    reader = Reader(node, finality_depth=6)
    place = Cursor(headers[0].height - 1, headers[0].parent)
    blocks: list[Block] = []

    async def current() -> Watch:
        return watch

    while isinstance(step := await reader.next_step(place, {place.height: place.hash}, current), Applied):
        blocks += step.blocks
        place = Cursor(blocks[-1].header.height, blocks[-1].header.hash)
    found = sum(len(block.arrivals) for block in blocks)
    if found != len(headers):
        raise AssertionError(f"{found} payments found, {len(headers)} made")
    return len(blocks)


async def _make_chain(local: RegtestNode, rpc: RpcClient) -> list[str]:
    """Full blocks on top of the chain, one watched payment in each. The addresses that were paid."""
    everyone = b"\x00\x20" + sha256(_ANYONE_CAN_SPEND).digest()
    hrp = local.network.hrp or ""
    total = TRANSACTIONS_PER_BLOCK * _FIRST_UNITS + 2 * TRANSACTIONS_PER_BLOCK * 100
    wrapped = (await rpc.call(_Script, "decodescript", _ANYONE_CAN_SPEND.hex())).segwit
    funding = await local.send(wrapped.address or wrapped.addresses[0], total)
    await local.mine()
    vout = await _output_paying(rpc, funding, everyone)
    split = _transaction(funding, vout, [(_FIRST_UNITS, everyone)] * TRANSACTIONS_PER_BLOCK)
    await _broadcast(rpc, [split])
    await local.mine()
    coins = [(_txid(split), number) for number in range(TRANSACTIONS_PER_BLOCK)]
    paid: list[str] = []
    units = _FIRST_UNITS
    for height in range(BLOCKS):
        units -= _PAYMENT_UNITS + _FEE_UNITS
        programs = [sha256(f"{height} {number}".encode()).digest() for number in range(TRANSACTIONS_PER_BLOCK)]
        made = [
            _transaction(txid, vout, [(units, everyone), (_PAYMENT_UNITS, b"\x00\x20" + program)])
            for (txid, vout), program in zip(coins, programs, strict=True)
        ]
        await _broadcast(rpc, made)
        await local.mine()
        paid.append(_address(hrp, programs[-1]))
        coins = [(_txid(each), 0) for each in made]
    return paid


class _Wrapped(msgspec.Struct):
    address: str = ""
    addresses: list[str] = []
    """Until Bitcoin Core 22."""


class _Script(msgspec.Struct):
    segwit: _Wrapped


class _Place(msgspec.Struct):
    hex: str


class _Output(msgspec.Struct):
    scriptPubKey: _Place  # noqa: N815  the node's own name


class _Decoded(msgspec.Struct):
    vout: list[_Output]


async def _output_paying(rpc: RpcClient, txid: str, script: bytes) -> int:
    wallet_transaction = await rpc.call(_Place, "gettransaction", txid)
    decoded = await rpc.call(_Decoded, "decoderawtransaction", wallet_transaction.hex)
    return [output.scriptPubKey.hex for output in decoded.vout].index(script.hex())


async def _broadcast(rpc: RpcClient, transactions: Sequence[bytes]) -> None:
    for start in range(0, len(transactions), 250):
        part = transactions[start : start + 250]
        for answer in await rpc.batch(str, [("sendrawtransaction", (each.hex(), 0)) for each in part]):
            if isinstance(answer, Exception):
                raise answer


def _transaction(txid: str, vout: int, outputs: Sequence[tuple[int, bytes]]) -> bytes:
    """A transaction (BIP 144) that spends what anyone can spend."""
    paid = b"".join(units.to_bytes(8, "little") + bytes((len(script),)) + script for units, script in outputs)
    return (
        b"\x02\x00\x00\x00\x00\x01\x01"
        + bytes.fromhex(txid)[::-1]
        + vout.to_bytes(4, "little")
        + b"\x00\xfd\xff\xff\xff"
        + _compact(len(outputs))
        + paid
        + b"\x01\x01\x51"
        + bytes(4)
    )


def _txid(transaction: bytes) -> str:
    return display(double_sha256(transaction[:4] + transaction[6:-7] + transaction[-4:]))


def _compact(number: int) -> bytes:
    return bytes((number,)) if number < 0xFD else b"\xfd" + number.to_bytes(2, "little")


def _addresses(hrp: str, count: int) -> list[str]:
    return [_address(hrp, sha256(b"watched %d" % number).digest()) for number in range(count)]


def _address(hrp: str, program: bytes) -> str:
    """A version-0 address (BIP 173) in all but its checksum, which nobody reads here."""
    return f"{hrp}1q{base64.b32encode(program)[:52].translate(_BECH32).decode()}qqqqqq"


def _resident_bytes() -> int:
    """What this process holds in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@asynccontextmanager
async def _client(local: RegtestNode) -> AsyncIterator[RpcClient]:
    client = RpcClient(local.rpc_url, credentials=Credentials(cookie_file=local.cookie_file))
    try:
        yield client
    finally:
        await client.close()
