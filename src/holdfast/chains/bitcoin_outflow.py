"""What a node of the Bitcoin family says about the float. Blocks are read as bytes; no wallet, no index is needed.

Money that leaves is seen from our own outputs: one that is gone must be spent by a transaction of ours. Amounts and
fees, which nodes write as decimals, are read as digits and never become floats.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set as AbstractSet
from typing import TypeVar

import msgspec

from holdfast.chains.bitcoin import BitcoinAccess, BitcoinNode
from holdfast.chains.bitcoin_blocks import BlockContents, BytesMalformed, Payment, contents_of_block, transaction_id
from holdfast.chains.bitcoin_scripts import script_of
from holdfast.chains.bitcoin_spenders import Spenders
from holdfast.chains.outflow import (
    FeeRate,
    Holding,
    Known,
    Mined,
    NodeBehind,
    OutflowBlock,
    SendRefused,
    Spent,
    Status,
    Wanted,
)
from holdfast.chains.port import Arrival, Header, NodeAnswerMalformed, NodeBlockGone, NodeRefused
from holdfast.chains.rpc import Limits
from holdfast.core.errors import BadInput
from holdfast.core.money import AssetId, parse_units
from holdfast.core.networks import BitcoinNetwork

T = TypeVar("T")

FEE_TARGET_BLOCKS = 3
_WITH_MEMPOOL, _IN_BLOCKS = True, False
_ALREADY_MINED, _NOT_IN_MEMPOOL = -27, -5
_QUESTIONS_PER_BATCH = 500
_MEDIAN_BLOCKS = 11
"""BIP 113."""
_LOOKS_MAX = 3
"""At facts that must be of one and the same block."""


class _Estimate(msgspec.Struct):
    feerate: msgspec.Raw = msgspec.Raw(b"")


class _MempoolInfo(msgspec.Struct):
    least: msgspec.Raw = msgspec.field(name="mempoolminfee", default=msgspec.Raw(b""))


class _NetworkInfo(msgspec.Struct):
    relay: msgspec.Raw = msgspec.field(name="relayfee", default=msgspec.Raw(b""))


class _Script(msgspec.Struct):
    hex: str


class _Coin(msgspec.Struct):
    tip: str = msgspec.field(name="bestblock")
    confirmations: int
    value: msgspec.Raw
    script: _Script = msgspec.field(name="scriptPubKey")


_MAYBE_COIN: type[_Coin | None] = _Coin | None  # type: ignore[assignment]  # a union is no type to mypy


class BitcoinOutflow:
    """One full node of the Bitcoin family, as an `outflow.OutflowNode`."""

    def __init__(self, access: BitcoinAccess, network: BitcoinNetwork, limits: Limits = Limits()) -> None:  # noqa: B008  a frozen value
        """Connects at the first question. Raises `NodeUrlMalformed`."""
        self._node = BitcoinNode(access, network, limits)
        self._rpc = self._node.rpc
        self._network = network
        self._spenders = Spenders(self._node)
        self.name = self._node.name

    async def tip(self) -> Header:
        """See `OutflowNode`."""
        return await self._node.tip()

    async def headers(self, height_from: int, height_to: int) -> Sequence[Header]:
        """See `OutflowNode`."""
        return await self._node.headers(height_from, height_to)

    async def median_time(self) -> int:
        """See `OutflowNode`: computed from the headers themselves (BIP 113)."""
        tip = await self.tip()
        headers = await self.headers(max(0, tip.height - _MEDIAN_BLOCKS + 1), tip.height)
        if not headers or headers[-1] != tip:
            raise NodeBlockGone(f"{self.name}: block {tip.hash}")
        return sorted(header.time for header in headers)[len(headers) // 2]

    async def block(self, height: int, wanted: Wanted) -> OutflowBlock:
        """See `OutflowNode`: proven by the block's own Merkle root."""
        headers = await self.headers(height, height)
        if not headers:
            raise NodeBlockGone(f"{self.name}: height {height}")
        addresses = {script_of(self._network, address): address for address in wanted.addresses}
        raw = await self._raw(headers[0])
        contents = self._contents(raw, headers[0], addresses, wanted.outpoints)
        if made := {payment.key for payment in contents.payments} - wanted.outpoints:
            contents = self._contents(raw, headers[0], addresses, wanted.outpoints | made)
        return OutflowBlock(
            header=headers[0],
            funded=tuple(self._arrival(payment, addresses[payment.script]) for payment in contents.payments),
            mined=tuple(Mined(each) for each in contents.transactions if each in wanted.transactions),
            spent=tuple(Spent(*spend) for spend in contents.spends),
        )

    async def mined(self, header: Header, transactions: Sequence[str]) -> Sequence[Mined]:
        """See `OutflowNode`: proven by the block's own Merkle root."""
        inside = set(self._contents(await self._raw(header), header, {}, frozenset()).transactions)
        return [Mined(transaction) for transaction in transactions if transaction in inside]

    async def unexplained(self, known: Known) -> Sequence[str]:
        """Outputs of ours that are spent, in a block or waiting for one, by a transaction that is not ours.

        Looked at twice before it is said, since the answers are of different moments. Raises `NodeBehind`.
        """
        first = await self._taken(known)
        if not first:
            return []
        second = await self._taken(known)
        return [f"{outpoint} {second[outpoint]}" for outpoint in first if outpoint in second]

    async def holding(self, wanted: Wanted) -> Holding:
        """See `OutflowNode`. An outpoint that a waiting transaction spends is not held any more."""
        addresses = {script_of(self._network, address).hex(): address for address in wanted.addresses}
        tip, coins = await self._coins_at_tip(sorted(wanted.outpoints))
        units: dict[tuple[str, AssetId], int] = {}
        for coin in coins.values():
            address = addresses.get(coin.script.hex)
            if address is not None and coin.confirmations > 0:
                key = (address, self._network.coin.id)
                units[key] = units.get(key, 0) + self._units(coin.value)
        return Holding(tip, units, {outpoint: coin.confirmations for outpoint, coin in coins.items()})

    async def status(self, transaction: str, outputs: int = 1) -> Status:
        """See `OutflowNode`."""
        tip, coins = await self._coins_at_tip([f"{transaction}:{place}" for place in range(outputs)])
        depth = max((coin.confirmations for coin in coins.values()), default=0)
        if depth > 0:
            headers = await self.headers(tip.height - depth + 1, tip.height - depth + 1)
            return Status(block=headers[0] if headers else None)
        return Status(is_waiting=bool(coins) or bool(await self._waiting([transaction])))

    async def fees(self) -> FeeRate:
        """The node's estimate for `FEE_TARGET_BLOCKS`; where it has none, the least that it takes."""
        await self.tip()
        estimate = await self._rpc.call(_Estimate, "estimatesmartfee", FEE_TARGET_BLOCKS)
        pool = await self._rpc.call(_MempoolInfo, "getmempoolinfo")
        relay = await self._rpc.call(_NetworkInfo, "getnetworkinfo")
        return FeeRate(per_kvb=max(self._rate(part) for part in (estimate.feerate, pool.least, relay.relay)))

    async def send(self, raw: bytes) -> None:
        """See `OutflowNode`."""
        await self.tip()
        try:
            await self._rpc.call(str, "sendrawtransaction", raw.hex())
        except NodeRefused as refused:
            if refused.rpc_code != _ALREADY_MINED and not await self._knows(raw):
                raise SendRefused(refused.detail) from None

    async def close(self) -> None:
        """Close the connections."""
        await self._node.close()

    async def _taken(self, known: Known) -> dict[str, str]:
        """Outputs of ours that somebody else spends, and by what, as far as the node tells.

        What is gone is explained by a transaction of ours that waits, or that is in a block; or it is the change of one
        that this node does not have, and was never there.
        """
        tip = await self.tip()
        if tip.height < known.height:
            raise NodeBehind(f"{self.name}: at height {tip.height}, {known.height} was read before")
        reserved = {outpoint for inputs in known.transactions.values() for outpoint in inputs}
        gone = await self._gone({*known.coins, *reserved}, in_mempool=True)
        waiting = await self._waiting(known.transactions) if gone else set()
        gone -= {outpoint for each in waiting for outpoint in known.transactions[each]}
        if not gone:
            return {}
        spent = await self._gone(gone | reserved, in_mempool=False)
        settled = {each for each in gone & spent if _maker(each) not in waiting}
        unmined = _unmined(known, spent)
        taken = await self._taken_in_blocks(known, {each for each in settled if _maker(each) not in unmined}, tip)
        named = await self._spenders.waiting(gone - settled)
        return taken | {each: f"is spent by {named.get(each, 'a transaction that waits')}" for each in gone - settled}

    async def _taken_in_blocks(self, known: Known, gone: AbstractSet[str], tip: Header) -> dict[str, str]:
        """Those of these outputs that no transaction of ours spends in a block, and by what they are spent.

        The change of a transaction of ours that was not mined, because another version of it was, never was there. So
        it is only searched for once its maker was found: what is not there would be searched for to the end.
        """
        changes = {each for each in gone if _maker(each) in known.transactions}
        inputs = {outpoint for each in changes for outpoint in known.transactions[_maker(each)]}
        mined = await self._spenders.mined((gone - changes) | inputs, tip)
        made = {
            each
            for each in changes
            if any(mined.get(outpoint) == _maker(each) for outpoint in known.transactions[_maker(each)])
        }
        mined |= await self._spenders.mined(made, tip)
        return {
            each: f"is spent by {mined[each]}" if each in mined else "is spent in a block"
            for each in (gone - changes) | made
            if mined.get(each) not in known.transactions
        }

    async def _gone(self, outpoints: AbstractSet[str], *, in_mempool: bool) -> set[str]:
        """Which of these are no unspent outputs, for the newest block or for what waits besides."""
        names = sorted(outpoints)
        answers = await self._coins(names, in_mempool=in_mempool)
        return {name for name, coin in zip(names, answers, strict=True) if coin is None}

    async def _coins(self, outpoints: Sequence[str], *, in_mempool: bool) -> list[_Coin | None]:
        mode = _WITH_MEMPOOL if in_mempool else _IN_BLOCKS
        calls = [("gettxout", (each[:64], int(each[65:]), mode)) for each in outpoints]
        found: list[_Coin | None] = []
        for part in _batches(calls):
            for answer in await self._rpc.batch(_MAYBE_COIN, part):
                if isinstance(answer, NodeRefused):
                    raise answer
                found.append(answer)
        return found

    async def _coins_at_tip(self, outpoints: Sequence[str]) -> tuple[Header, dict[str, _Coin]]:
        """Those of these that are unspent, all as of one newest block. Raises `NodeBlockGone` if it keeps changing."""
        for _ in range(_LOOKS_MAX):
            tip = await self.tip()
            answers = await self._coins(outpoints, in_mempool=True)
            coins = {name: coin for name, coin in zip(outpoints, answers, strict=True) if coin is not None}
            if all(coin.tip == tip.hash for coin in coins.values()) and await self.tip() == tip:
                return tip, coins
        raise NodeBlockGone(f"{self.name}: the newest block changed {_LOOKS_MAX} times in a row")

    async def _waiting(self, transactions: Iterable[str]) -> set[str]:
        """Which of these wait for a block."""
        names = list(transactions)
        found = set()
        for part in _batches(names):
            answers = await self._rpc.batch(msgspec.Raw, [("getmempoolentry", (name,)) for name in part])
            for name, answer in zip(part, answers, strict=True):
                if not isinstance(answer, NodeRefused):
                    found.add(name)
                elif answer.rpc_code != _NOT_IN_MEMPOOL:
                    raise answer
        return found

    async def _knows(self, raw: bytes) -> bool:
        """Whether the node has this transaction already, whatever it said when it was handed over again."""
        try:
            return bool(await self._waiting([transaction_id(raw)]))
        except BytesMalformed:
            return False

    async def _raw(self, header: Header) -> bytes:
        found, raw = await self._node.raw_block(header.hash, header.height)
        if found != header:
            raise NodeAnswerMalformed(f"{self.name}: block {header.hash} was announced with another header")
        return raw

    def _contents(
        self, raw: bytes, header: Header, scripts: dict[bytes, str], outpoints: AbstractSet[str]
    ) -> BlockContents:
        try:
            return contents_of_block(raw, scripts, outpoints)
        except BytesMalformed as error:
            raise NodeAnswerMalformed(f"{self.name}: block {header.hash}: {error}") from None

    def _arrival(self, payment: Payment, address: str) -> Arrival:
        return Arrival(
            key=payment.key,
            transaction=payment.transaction,
            address=address,
            asset=self._network.coin.id,
            units=payment.units,
            confirmations_min=self._node.confirmations_min(payment.origin),
        )

    def _rate(self, raw: msgspec.Raw) -> int:
        """Units per 1,000 vbytes; 0 where the node has none to tell, which old ones write as -1."""
        return 0 if bytes(raw)[:1] in {b"", b"-"} else self._units(raw)

    def _units(self, raw: msgspec.Raw) -> int:
        text = bytes(raw).decode()
        try:
            return parse_units(text, self._network.coin.decimals)
        except BadInput:
            raise NodeAnswerMalformed(f"{self.name}: an amount of {text[:40]}") from None


def _maker(outpoint: str) -> str:
    """The transaction whose output it is."""
    return outpoint[:64]


def _unmined(known: Known, spent: AbstractSet[str]) -> set[str]:
    """Transactions of ours that are in no block: some input lies there unspent, or is made by such a one."""
    unmined: set[str] = set()

    def is_unmined(name: str) -> bool:
        return any(each not in spent or _maker(each) in unmined for each in known.transactions[name])

    while more := {name for name in known.transactions if name not in unmined and is_unmined(name)}:
        unmined |= more
    return unmined


def _batches(items: Sequence[T]) -> Iterable[Sequence[T]]:
    return (items[start : start + _QUESTIONS_PER_BATCH] for start in range(0, len(items), _QUESTIONS_PER_BATCH))
