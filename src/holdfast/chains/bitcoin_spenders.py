"""Who spends an output, asked of a node of the Bitcoin family that keeps no index of it: its memory pool, its blocks.

Only asked where an output of ours is gone and none of our own waiting transactions spends it, so that it may take a
moment. It never says that nobody does: only that nobody was found where it looked.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import msgspec

from holdfast.chains.bitcoin import BitcoinNode
from holdfast.chains.bitcoin_blocks import BytesMalformed, contents_of_block, spends_in_transaction
from holdfast.chains.port import Header, NodeAnswerMalformed, NodeRefused

BLOCKS_SEARCHED_MAX = 288
"""Two days of Bitcoin, half a day of Litecoin: our own transactions are journaled as final long before."""
MEMPOOL_SEARCHED_MAX = 20_000
"""In a longer queue the spender stays unnamed where the node cannot name it: an alarm must not wait for its name."""
_TRANSACTIONS_PER_BATCH = 200
_METHOD_NOT_FOUND = -32601
_RAW = False


class _Spender(msgspec.Struct):
    txid: str
    vout: int
    spender: str | None = msgspec.field(name="spendingtxid", default=None)


@dataclass(frozen=True, slots=True)
class _Page:
    """What is known of one block."""

    header: Header
    looked_for: AbstractSet[str]
    spends: dict[str, str]


class Spenders:
    """One node's memory pool and newest blocks, searched; what was read of a block is kept."""

    def __init__(self, node: BitcoinNode) -> None:
        self._node = node
        self._pages: dict[str, _Page] = {}
        self._names_spenders = True

    async def waiting(self, outpoints: AbstractSet[str]) -> dict[str, str]:
        """Of these outpoints, which are spent by which transaction that waits for a block."""
        if not outpoints:
            return {}
        if self._names_spenders:
            try:
                return await self._named(sorted(outpoints))
            except NodeRefused as refused:
                if refused.rpc_code != _METHOD_NOT_FOUND:
                    raise
                self._names_spenders = False
        return await self._searched(outpoints)

    async def mined(self, outpoints: AbstractSet[str], tip: Header) -> dict[str, str]:
        """Of these outpoints, which are spent by which transaction in the newest `BLOCKS_SEARCHED_MAX` blocks.

        Reads back from `tip` until all are found. Raises `NodeBlockGone` where the chain changes meanwhile.
        """
        found: dict[str, str] = {}
        missing = set(outpoints)
        block_hash, height = tip.hash, tip.height
        while missing and tip.height - height < BLOCKS_SEARCHED_MAX and height > 0:
            page = self._pages.get(block_hash)
            if page is None or not missing <= page.looked_for:
                page = await self._read(block_hash, height, missing)
            found |= {outpoint: page.spends[outpoint] for outpoint in missing & page.spends.keys()}
            missing -= page.spends.keys()
            block_hash, height = page.header.parent, height - 1
        self._forget(tip.height)
        return found

    async def _read(self, block_hash: str, height: int, outpoints: AbstractSet[str]) -> _Page:
        header, raw = await self._node.raw_block(block_hash, height)
        try:
            spends = contents_of_block(raw, {}, outpoints).spends
        except BytesMalformed as error:
            raise NodeAnswerMalformed(f"{self._node.name}: block {block_hash}: {error}") from None
        page = self._pages[block_hash] = _Page(header, frozenset(outpoints), dict(spends))
        return page

    def _forget(self, height: int) -> None:
        deep = [each for each, page in self._pages.items() if page.header.height <= height - BLOCKS_SEARCHED_MAX]
        for block_hash in deep:
            del self._pages[block_hash]

    async def _named(self, outpoints: list[str]) -> dict[str, str]:
        """By the node itself (Bitcoin Core from 24 on)."""
        asked = [{"txid": each[:64], "vout": int(each[65:])} for each in outpoints]
        answers = await self._node.rpc.call(list[_Spender], "gettxspendingprevout", asked)
        named = {f"{one.txid}:{one.vout}": one.spender for one in answers if one.spender is not None}
        return {outpoint: spender for outpoint, spender in named.items() if outpoint in outpoints}

    async def _searched(self, outpoints: AbstractSet[str]) -> dict[str, str]:
        waiting = await self._node.rpc.call(list[str], "getrawmempool")
        if len(waiting) > MEMPOOL_SEARCHED_MAX:
            return {}
        found: dict[str, str] = {}
        for start in range(0, len(waiting), _TRANSACTIONS_PER_BATCH):
            names = waiting[start : start + _TRANSACTIONS_PER_BATCH]
            answers = await self._node.rpc.batch(str, [("getrawtransaction", (name, _RAW)) for name in names])
            for name, answer in zip(names, answers, strict=True):
                if not isinstance(answer, NodeRefused):  # refused: it left the pool in the meantime
                    found |= dict.fromkeys(self._spends(answer, name, outpoints), name)
        return found

    def _spends(self, text: str, txid: str, outpoints: AbstractSet[str]) -> list[str]:
        try:
            return spends_in_transaction(bytes.fromhex(text), txid, outpoints)
        except (BytesMalformed, ValueError) as error:
            raise NodeAnswerMalformed(f"{self._node.name}: {str(error)[:120]}") from None
