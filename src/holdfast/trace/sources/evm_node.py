"""Transfers from any EVM node: blocks, receipts with their logs, and calls inside transactions where the node tells.

Calls are asked for as `trace_block`, then as `debug_traceTransaction`; a node that offers neither is said to be silent
about them, because coin that a contract passed on is then missing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

import msgspec

from holdfast.chains.evm_contracts import selector
from holdfast.chains.evm_reads import answered, headers_at, quantity, unhex
from holdfast.chains.port import Header, NodeAnswerMalformed, NodeBlockGone, NodeOnWrongNetwork, NodeRefused
from holdfast.chains.rpc import Call, RpcClient
from holdfast.core.networks import EvmNetwork
from holdfast.trace.evidence import Exhibit
from holdfast.trace.sources.beside import ALONE, Beside
from holdfast.trace.sources.evm_transfers import (
    EvmBlock,
    EvmReceipt,
    Exhibits,
    Inside,
    Mined,
    Teller,
    Told,
    inside_of_calls,
    inside_of_trace,
)
from holdfast.trace.sources.port import Batch, WalkBack, Wanted
from holdfast.trace.sources.tokens import TokenList, common_tokens
from holdfast.trace.sources.walk import Walk
from holdfast.trace.store_parts import AssetFact

T = TypeVar("T")

BLOCKS_AT_ONCE = 20
_TRANSFERS_AT_ONCE = 20_000
_PLAIN_GAS = 21_000
"""What a transaction to an account without code uses: nothing can happen inside it."""
_HEADERS_AT_ONCE = 100
_TRACE, _DEBUG, _SILENT = "trace_block", "debug_traceTransaction", ""
_SYMBOL, _DECIMALS = "0x" + selector("symbol()").hex(), "0x" + selector("decimals()").hex()
_TEXT_MAX = 64
# A union is a fine shape to msgspec and no type to mypy.
_MAYBE_BLOCK: type[EvmBlock | None] = EvmBlock | None  # type: ignore[assignment]  # see above
_MAYBE_RECEIPTS: type[list[EvmReceipt] | None] = list[EvmReceipt] | None  # type: ignore[assignment]  # see above
_MAYBE_RECEIPT: type[EvmReceipt | None] = EvmReceipt | None  # type: ignore[assignment]  # see above
_ENTRIES = list[dict[str, object]]


class EvmNodeSource:
    """One network, by one node or by two that are compared."""

    def __init__(
        self, rpcs: Sequence[RpcClient], network: EvmNetwork, beside: Beside = ALONE, tokens: TokenList | None = None
    ) -> None:
        """The first node is read, the others are compared with it."""
        self._rpcs, self._network, self._beside = rpcs, network, beside
        self._tokens = tokens or TokenList(common_tokens())
        self._names: dict[str, tuple[str, int | None]] = {}
        self._teller = Teller(network.id, network.coin.id, self._tokens, lambda contract: self._names[contract])
        self._calls_by = _TRACE
        self._takes_receipts_by_block = True
        self._is_checked = False

    @property
    def name(self) -> str:
        """By its network: several nodes of one are one source."""
        return f"node:{self._network.name}"

    async def pull(self, wanted: Wanted, cursor: str) -> AsyncIterator[Batch]:
        """Blocks from the cursor on, or from the first block wanted; of named transactions, only those.

        Raises what nodes raise.
        """
        await self._check()
        if wanted.transactions:
            async for batch in self._named(wanted, cursor):
                yield batch
            return
        walk = msgspec.json.decode(cursor, type=Walk) if cursor else Walk(wanted.height_from)
        is_checked = False
        while True:
            tip = quantity(await self._rpcs[0].call(str, "eth_blockNumber"))
            last = min(wanted.height_to or tip, tip)
            blocks = await self._blocks(walk.next, min(walk.next + BLOCKS_AT_ONCE - 1, last))
            if not is_checked or not blocks or not walk.fits(blocks[0][0].header):
                back = await walk.back(self._headers, wanted.height_from)
                if back is not None:
                    gone = WalkBack(self._network.id, back.next, walk.next - 1)
                    walk = back
                    yield Batch(cursor=_encoded(walk), forget=gone, done=walk.next - 1, total=last)
                    continue
                is_checked = True
            if walk.next > last:
                return
            if not blocks or not walk.fits(blocks[0][0].header):
                raise NodeBlockGone(f"{self.name}: the chain changed at height {walk.next}")
            told, stopped, read = await self._read(blocks, wanted)
            walk = walk.after([block.header for block, _ in blocks[:read]])
            yield self._batch(told, stopped, _encoded(walk), walk.next - 1, last)

    async def close(self) -> None:
        """Close the connections."""
        for rpc in self._rpcs:
            await rpc.close()

    async def _check(self) -> None:
        if self._is_checked:
            return
        for rpc in self._rpcs:
            chain_id = quantity(await rpc.call(str, "eth_chainId"))
            if chain_id != self._network.chain_id:
                raise NodeOnWrongNetwork(f"{rpc.name}: chain {chain_id}, which is not {self._network.name}")
        self._is_checked = True

    async def _named(self, wanted: Wanted, cursor: str) -> AsyncIterator[Batch]:
        """Only these transactions, block by block."""
        names = sorted(wanted.transactions)
        answers = await self._rpcs[0].batch(_MAYBE_RECEIPT, [("eth_getTransactionReceipt", (name,)) for name in names])
        receipts = [answered(answer) for answer in answers]
        stopped = [
            f"{self.name} does not have transaction {name}"
            for name, receipt in zip(names, receipts, strict=True) if receipt is None
        ]  # fmt: skip
        hashes = sorted({receipt.block for receipt in receipts if receipt is not None})
        done = set(cursor.split())
        for number, block_hash in enumerate(hashes):
            if block_hash in done:
                continue
            raw = await self._rpcs[0].call(msgspec.Raw, "eth_getBlockByHash", block_hash, True)  # noqa: FBT003  as the node wants it
            block = _decoded(_MAYBE_BLOCK, raw, self.name)
            if block is None:
                raise NodeBlockGone(f"{self.name}: block {block_hash}")
            told, more, _ = await self._read([(block, bytes(raw))], wanted)
            done.add(block_hash)
            yield self._batch(told, [*stopped, *more], " ".join(sorted(done)), number + 1, len(hashes))
        if not hashes and stopped:
            yield Batch(stopped=tuple(stopped))

    def _batch(self, told: Told, stopped: Sequence[str], cursor: str, done: int, total: int) -> Batch:
        coin = self._network.coin
        return Batch(
            tuple(told.transfers), cursor, dict(told.left_out), dict(+told.noticed), tuple(stopped),
            {coin.id: AssetFact(coin.symbol, coin.decimals), **told.assets}, done=done, total=total,
        )  # fmt: skip

    # --- blocks

    async def _headers(self, first: int, last: int) -> list[Header]:
        found: list[Header] = []
        for at in range(first, last + 1, _HEADERS_AT_ONCE):
            heights = range(at, min(at + _HEADERS_AT_ONCE, last + 1))
            found += [each.place for each in await headers_at(self._rpcs[0], heights) if each is not None]
        return found

    async def _blocks(self, first: int, last: int) -> list[tuple[EvmBlock, bytes]]:
        """Blocks of one chain, with the bytes that say so."""
        calls: list[Call] = [("eth_getBlockByNumber", (hex(height), True)) for height in range(first, last + 1)]
        found: list[tuple[EvmBlock, bytes]] = []
        for answer in await self._rpcs[0].batch(msgspec.Raw, calls):
            raw = answered(answer)
            block = _decoded(_MAYBE_BLOCK, raw, self.name)
            if block is None or (found and block.parent != found[-1][0].hash):
                break
            found.append((block, bytes(raw)))
        return found

    async def _read(
        self, blocks: Sequence[tuple[EvmBlock, bytes]], wanted: Wanted
    ) -> tuple[Told, list[str], int]:  # fmt: skip
        """Transfers of these blocks, what was not told, and how many blocks were read."""
        told, stopped, read = Told(), list[str](), 0
        for block, raw in blocks:
            read += 1
            if not block.transactions:
                continue
            receipts, raw_receipts = await self._receipts(self._rpcs[0], block)
            await self._name(receipts)
            inside, raw_calls = await self._inside(block, receipts)
            if self._calls_by == _SILENT:
                stopped.append(f"{self.name} does not tell calls inside transactions: coin passed on by contracts is "
                               "missing")  # fmt: skip
            exhibits = Exhibits(
                self._keep(raw, block, self._rpcs[0].name, "eth_getBlockByHash"),
                self._keep(raw_receipts, block, self._rpcs[0].name, "eth_getBlockReceipts"),
                self._keep(raw_calls, block, self._rpcs[0].name, self._calls_by) if raw_calls else "",
            )
            for place, receipt in enumerate(receipts):
                calls = inside.get(receipt.transaction, ())
                self._tell(Mined(block, place, receipt, calls, exhibits), wanted, told)
            stopped += await self._compared(block, receipts)
            if len(told.transfers) >= _TRANSFERS_AT_ONCE:
                break
        return told, stopped, read

    def _tell(self, mined: Mined, wanted: Wanted, told: Told) -> None:
        if wanted.transactions and mined.receipt.transaction not in wanted.transactions:
            return
        own = Told(assets=told.assets)
        transfers = self._teller.tell(mined, own)
        if wanted.addresses and not any({each.source, each.target} & wanted.addresses for each in transfers):
            return
        told.transfers += transfers
        told.left_out += own.left_out
        told.noticed += own.noticed

    async def _receipts(self, rpc: RpcClient, block: EvmBlock) -> tuple[list[EvmReceipt], bytes]:
        if self._takes_receipts_by_block:
            [answer] = await rpc.batch(msgspec.Raw, [("eth_getBlockReceipts", (block.hash,))])
            if not isinstance(answer, NodeRefused):
                found = _decoded(_MAYBE_RECEIPTS, answer, self.name)
                return self._held_against(block, found or []), bytes(answer)
            self._takes_receipts_by_block = False
        calls: list[Call] = [("eth_getTransactionReceipt", (each.hash,)) for each in block.transactions]
        raws = [answered(answer) for answer in await rpc.batch(msgspec.Raw, calls)]
        receipts = [_decoded(_MAYBE_RECEIPT, raw, self.name) for raw in raws]
        return self._held_against(block, [each for each in receipts if each is not None]), _joined(raws)

    def _held_against(self, block: EvmBlock, receipts: list[EvmReceipt]) -> list[EvmReceipt]:
        names = [each.transaction for each in receipts]
        if names != [each.hash for each in block.transactions] or any(each.block != block.hash for each in receipts):
            raise NodeBlockGone(f"{self.name}: receipts of another block than {block.hash}")
        return receipts

    # --- calls inside

    async def _inside(self, block: EvmBlock, receipts: Sequence[EvmReceipt]) -> tuple[dict[str, list[Inside]], bytes]:
        """By transaction: coin moved inside it, and the bytes that say so."""
        busy = [each.transaction for each in receipts if quantity(each.gas) > _PLAIN_GAS and quantity(each.status) == 1]
        if not busy or self._calls_by == _SILENT:
            return {}, b""
        if self._calls_by == _TRACE:
            [answer] = await self._rpcs[0].batch(msgspec.Raw, [(_TRACE, (block.number,))])
            if not isinstance(answer, NodeRefused):
                entries = _decoded(_ENTRIES, answer, self.name)
                if any(entry.get("blockHash") != block.hash for entry in entries):
                    raise NodeBlockGone(f"{self.name}: calls of another block than {block.hash}")
                return inside_of_trace(entries), bytes(answer)
            self._calls_by = _DEBUG
        calls: list[Call] = [(_DEBUG, (name, {"tracer": "callTracer"})) for name in busy]
        answers = await self._rpcs[0].batch(msgspec.Raw, calls)
        frames = [answer for answer in answers if not isinstance(answer, NodeRefused)]
        if len(frames) < len(answers):
            self._calls_by = _SILENT
            return {}, b""
        found = {
            name: inside_of_calls(_decoded(dict[str, object], frame, self.name))
            for name, frame in zip(busy, frames, strict=True)
        }  # fmt: skip
        return found, _joined(frames)

    # --- names of tokens

    async def _name(self, receipts: Sequence[EvmReceipt]) -> None:
        """What contracts that are on no list say of themselves, asked once."""
        contracts = {log.address.lower() for receipt in receipts for log in receipt.logs}
        unknown = sorted(contracts - self._names.keys())
        calls: list[Call] = [
            ("eth_call", ({"to": contract, "data": data}, "latest"))
            for contract in unknown for data in (_SYMBOL, _DECIMALS)
        ]  # fmt: skip
        answers = await self._rpcs[0].batch(str, calls)
        for number, contract in enumerate(unknown):
            symbol, decimals = answers[2 * number : 2 * number + 2]
            self._names[contract] = _symbol(symbol), _decimals(decimals)

    # --- evidence

    async def _compared(self, block: EvmBlock, receipts: Sequence[EvmReceipt]) -> list[str]:
        """What the other nodes say of this block; a difference, in a sentence."""
        differences = []
        for rpc in self._rpcs[1:]:
            place = f"block {block.hash} (height {quantity(block.number)})"
            [answer] = await rpc.batch(msgspec.Raw, [("eth_getBlockByHash", (block.hash, True))])
            found = None if isinstance(answer, NodeRefused) else _decoded(_MAYBE_BLOCK, answer, rpc.name)
            if found is None or isinstance(answer, NodeRefused):
                differences.append(f"{rpc.name} does not have {place}")
                continue
            self._keep(bytes(answer), block, rpc.name, "eth_getBlockByHash")
            other, raw = await self._receipts(rpc, found)
            self._keep(raw, block, rpc.name, "eth_getBlockReceipts")
            if found != block or other != list(receipts):
                differences.append(f"{rpc.name} tells {place} otherwise than {self._rpcs[0].name}")
        return differences

    def _keep(self, raw: bytes, block: EvmBlock, node: str, method: str) -> str:
        if self._beside.evidence is None:
            return ""
        exhibit = Exhibit(
            "", "", 0, node, f"{method} {block.hash}", self._beside.clock(), self._network.id, quantity(block.number),
            block.hash,
        )  # fmt: skip
        return self._beside.evidence.keep(raw, exhibit)


def _decoded(shape: type[T], raw: msgspec.Raw, name: str) -> T:
    try:
        return msgspec.json.decode(bytes(raw), type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NodeAnswerMalformed(f"{name}: {str(error)[:200]}") from None


def _joined(raws: Sequence[msgspec.Raw]) -> bytes:
    return b"[" + b",".join(bytes(raw) for raw in raws) + b"]"


def _encoded(walk: Walk) -> str:
    return msgspec.json.encode(walk).decode()


def _symbol(answer: str | NodeRefused) -> str:
    """A string, or 32 bytes as old tokens have it; empty where a contract has none."""
    if isinstance(answer, NodeRefused):
        return ""
    data = unhex(answer)
    if len(data) >= 64:
        size = int.from_bytes(data[32:64])
        data = data[64 : 64 + min(size, _TEXT_MAX)]
    return data.rstrip(b"\0").decode("utf-8", "replace")


def _decimals(answer: str | NodeRefused) -> int | None:
    if isinstance(answer, NodeRefused):
        return None
    data = unhex(answer)
    return min(int.from_bytes(data), 1 << 16) if len(data) == 32 else None
