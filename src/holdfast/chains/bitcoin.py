"""Facts from nodes of the Bitcoin family: Bitcoin, Litecoin, Dogecoin and their like, told apart by data alone.

Reads blocks as bytes (see `bitcoin_blocks`), so that what is credited is proven by the block's own hash and the node
only has to hand bytes over. Never uses a wallet, an index or an address of the node: any full node will do.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from holdfast.chains.bitcoin_blocks import (
    BytesMalformed,
    Origin,
    Payment,
    payments_in_block,
    payments_in_transaction,
    read_header,
)
from holdfast.chains.bitcoin_scripts import script_of
from holdfast.chains.port import (
    Arrival,
    Block,
    Header,
    NodeAnswerMalformed,
    NodeBlockGone,
    NodeOnWrongNetwork,
    NodePruned,
    NodeRefused,
    NodeUnreachable,
    Unconfirmed,
    Watch,
)
from holdfast.chains.rpc import Credentials, Limits, RpcClient
from holdfast.core.networks import BitcoinNetwork

T = TypeVar("T")

_VERBOSE, _RAW = True, False
"""How calls are asked for JSON or bytes. `false` is understood by every age of the family; 0 only by newer ones."""
_WARMING_UP, _NOT_FOUND, _OUT_OF_RANGE, _MISC = -28, -5, -8, -1
_HEADERS_PER_BATCH = 500
_TRANSACTIONS_PER_BATCH = 200
_BLOCKS_AHEAD = 12
"""Blocks fetched while earlier ones are read: some 50 MB at the most."""
_FETCHES_AT_ONCE = 3
"""Nodes answer with four threads unless told otherwise; one is left for everybody else."""
_PEGOUT_MATURITY = 6
"""Litecoin, consensus.h: outputs that leave the extension block."""


class _Height(msgspec.Struct):
    height: int


@dataclass(frozen=True, slots=True)
class BitcoinAccess:
    """How to reach a node: its URL, the credentials' files, what to call it in errors."""

    url: str
    cookie_file: Path | None = None
    user: str | None = None
    password_file: Path | None = None
    name: str = ""


class BitcoinNode:
    """One full node of the Bitcoin family, as a `chains.port.Node`."""

    def __init__(self, access: BitcoinAccess, network: BitcoinNetwork, limits: Limits = Limits()) -> None:  # noqa: B008  a frozen value
        """Connects at the first question. Raises `NodeUrlMalformed`."""
        credentials = Credentials(access.cookie_file, access.user, access.password_file)
        self._rpc = RpcClient(access.url, name=access.name, credentials=credentials, limits=limits)
        self.name = self._rpc.name
        self._network = network
        self._script_of = partial(script_of, network)
        self._is_right_network = False
        self._tip: Header | None = None
        self._fetching: dict[str, asyncio.Task[bytes]] = {}
        self._upcoming: deque[str] = deque()
        self._fetches = asyncio.Semaphore(_FETCHES_AT_ONCE)
        self._mempool = _Mempool()

    async def tip(self) -> Header:
        """The newest block of the chain with the most work, as the node sees it."""
        await self._check_network()
        best = await self._call(str, "getbestblockhash")
        if self._tip is None or self._tip.hash != best:
            height = (await self._call(_Height, "getblockheader", best, _VERBOSE)).height
            raw = await self._call(str, "getblockheader", best, _RAW)
            self._tip = self._proven(self._from_hex(raw), best, height)
        return self._tip

    async def headers(self, height_from: int, height_to: int) -> Sequence[Header]:
        """Headers of these heights; see `chains.port.Node.headers`."""
        await self._check_network()
        headers: list[Header] = []
        for start in range(height_from, height_to + 1, _HEADERS_PER_BATCH):
            heights = range(start, min(start + _HEADERS_PER_BATCH, height_to + 1))
            hashes = await self._batch(str, [("getblockhash", (height,)) for height in heights], _OUT_OF_RANGE)
            raws = await self._batch(str, [("getblockheader", (each, _RAW)) for each in hashes], _NOT_FOUND)
            for height, block_hash, raw in zip(heights, hashes, raws, strict=False):
                header = self._proven(self._from_hex(raw), block_hash, height)
                if headers and header.parent != headers[-1].hash:
                    return headers
                headers.append(header)
            if len(raws) < len(heights):
                break
        return headers

    async def blocks(self, headers: Sequence[Header], watch: Watch) -> Sequence[Block]:
        """These blocks, each proven by its hash, with every output that pays a watched address."""
        hashes = [header.hash for header in headers]
        if any(each not in self._fetching and each not in self._upcoming for each in hashes):
            self.prepare(headers)
        scripts = watch.by_key(self._script_of)
        blocks = []
        for header in headers:
            raw = await self._take(header.hash)
            if self._proven(raw, header.hash, header.height) != header:
                raise NodeAnswerMalformed(f"{self.name}: block {header.hash} was announced with another header")
            try:
                payments = payments_in_block(raw, scripts)
            except BytesMalformed as error:
                raise NodeAnswerMalformed(f"{self.name}: block {header.hash}: {error}") from None
            blocks.append(Block(header, self._arrivals(payments, scripts)))
        return blocks

    async def unconfirmed(self, watch: Watch) -> Unconfirmed:
        """Outputs that pay watched addresses in the node's memory pool."""
        tip = await self.tip()
        await self._read_mempool()
        scripts = watch.by_key(self._script_of)
        for txid, raw in self._mempool.fresh.items():
            try:
                payments = payments_in_transaction(raw, txid, scripts)
            except BytesMalformed as error:
                self._mempool = _Mempool()  # to be read anew, from a node that is mended
                raise NodeAnswerMalformed(f"{self.name}: {error}") from None
            if payments:
                self._mempool.arrivals[txid] = self._arrivals(payments, scripts)
        self._mempool.age()
        arrivals = tuple(arrival for found in self._mempool.arrivals.values() for arrival in found)
        return Unconfirmed(tip if await self.tip() == tip else None, arrivals)

    async def raw_block(self, block_hash: str, height: int) -> tuple[Header, bytes]:
        """A block's bytes, proven by its hash, and its header. Raises `NodeBlockGone`."""
        await self._check_network()
        raw = await self._fetch(block_hash)
        return self._proven(raw, block_hash, height), raw

    def confirmations_min(self, origin: Origin) -> int:
        """With how many confirmations an output of this origin can be spent."""
        maturity = {Origin.COINBASE: self._network.coinbase_maturity, Origin.HOGEX: _PEGOUT_MATURITY}
        return maturity.get(origin, 1)

    @property
    def rpc(self) -> RpcClient:
        """The node itself, for what `bitcoin_outflow` asks beyond this port."""
        return self._rpc

    def prepare(self, headers: Sequence[Header]) -> None:
        """Begin to fetch these blocks, in this order, and forget all others."""
        wanted = [header.hash for header in headers]
        for gone in self._fetching.keys() - set(wanted):
            self._fetching.pop(gone).cancel()
        self._upcoming = deque(each for each in wanted if each not in self._fetching)
        self._fetch_ahead()

    async def close(self) -> None:
        """Close the connections."""
        tasks = list(self._fetching.values())
        self._fetching.clear()
        self._upcoming.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._rpc.close()

    def _arrivals(self, payments: Iterable[Payment], addresses: Mapping[bytes, str]) -> tuple[Arrival, ...]:
        return tuple(
            Arrival(
                key=payment.key,
                transaction=payment.transaction,
                address=addresses[payment.script],
                asset=self._network.coin.id,
                units=payment.units,
                confirmations_min=self.confirmations_min(payment.origin),
            )
            for payment in payments
        )

    async def _read_mempool(self) -> None:
        """Fetch the transactions that are new in the node's memory pool, forget those that left it."""
        txids = set(await self._call(list[str], "getrawmempool"))
        self._mempool.forget_all_but(txids)
        for batch in _batches(sorted(txids - self._mempool.known), _TRANSACTIONS_PER_BATCH):
            answers = await self._rpc.batch(str, [("getrawtransaction", (txid, _RAW)) for txid in batch])
            for txid, answer in zip(batch, answers, strict=True):
                if not isinstance(answer, NodeRefused):  # refused: it left the pool in the meantime
                    self._mempool.fresh[txid] = self._from_hex(answer)
                    self._mempool.known.add(txid)

    def _fetch_ahead(self) -> None:
        while self._upcoming and len(self._fetching) < _BLOCKS_AHEAD:
            block_hash = self._upcoming.popleft()
            task = asyncio.create_task(self._fetch(block_hash))
            self._fetching[block_hash] = task
            task.add_done_callback(partial(self._forget_failed, block_hash))

    def _forget_failed(self, block_hash: str, task: asyncio.Task[bytes]) -> None:
        """A fetch that failed before anybody waited for it says nothing about the node now: it is made again then."""
        if (task.cancelled() or task.exception() is not None) and self._fetching.get(block_hash) is task:
            del self._fetching[block_hash]

    async def _take(self, block_hash: str) -> bytes:
        task = self._fetching.pop(block_hash, None) or asyncio.create_task(self._fetch(block_hash))
        self._fetch_ahead()
        return await task

    async def _fetch(self, block_hash: str) -> bytes:
        async with self._fetches:
            return self._from_hex(await self._call(str, "getblock", block_hash, _RAW))

    async def _check_network(self) -> None:
        """The genesis block names the network. Asked again after each loss of the node: it may be another one then."""
        if self._is_right_network:
            return
        genesis = await self._call(str, "getblockhash", 0)
        if f"bip122:{genesis[:32]}" != self._network.id:
            raise NodeOnWrongNetwork(f"{self.name}: genesis {genesis[:64]}, which is not {self._network.name}")
        self._is_right_network = True

    async def _call(self, shape: type[T], method: str, *params: object) -> T:
        try:
            return await self._rpc.call(shape, method, *params)
        except NodeUnreachable:
            self._is_right_network = False
            raise
        except NodeRefused as refusal:
            raise _named(refusal) from None

    async def _batch(self, shape: type[T], calls: Sequence[tuple[str, Sequence[object]]], end_code: int) -> list[T]:
        """The results up to the first that was refused with `end_code`."""
        results: list[T] = []
        for result in await self._rpc.batch(shape, calls):
            if isinstance(result, NodeRefused):
                if result.rpc_code == end_code:
                    break
                raise _named(result)
            results.append(result)
        return results

    def _proven(self, raw: bytes, block_hash: str, height: int) -> Header:
        try:
            header = read_header(raw, height)
        except BytesMalformed as error:
            raise NodeAnswerMalformed(f"{self.name}: {error}") from None
        if header.hash != block_hash:
            raise NodeAnswerMalformed(f"{self.name}: the header of block {block_hash[:64]} has another hash")
        return header

    def _from_hex(self, text: str) -> bytes:
        try:
            return bytes.fromhex(text)
        except ValueError:
            raise NodeAnswerMalformed(f"{self.name}: not hex: {text[:40]!r}") from None


class _Mempool:
    """What was read of a node's memory pool, so that each transaction is fetched once."""

    def __init__(self) -> None:
        self.known: set[str] = set()
        self.arrivals: dict[str, tuple[Arrival, ...]] = {}
        self.fresh: dict[str, bytes] = {}
        """Fetched in this round or the last: looked through twice, because an address may have been given out, and
        paid, after the watch was brought up to date for the first look."""
        self._last: set[str] = set()

    def forget_all_but(self, txids: set[str]) -> None:
        self.known &= txids
        for gone in self.arrivals.keys() - txids:
            del self.arrivals[gone]
        for gone in self.fresh.keys() - txids:
            del self.fresh[gone]

    def age(self) -> None:
        for old in self._last:
            self.fresh.pop(old, None)
        self._last = set(self.fresh)


def _batches(items: Sequence[T], size: int) -> Iterable[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _named(refusal: NodeRefused) -> Exception:
    """The error of ours that a node's refusal stands for."""
    if refusal.rpc_code == _WARMING_UP:
        return NodeUnreachable(f"still starting: {refusal.detail}")
    if refusal.rpc_code == _MISC and "prune" in refusal.detail:
        return NodePruned(refusal.detail)
    if refusal.rpc_code in {_NOT_FOUND, _OUT_OF_RANGE}:
        return NodeBlockGone(refusal.detail)
    return refusal
