"""What a node of the Bitcoin family says about the float. Blocks are read as bytes; no wallet, no index is needed."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from holdfast.chains.bitcoin import BitcoinAccess
from holdfast.chains.bitcoin_blocks import BytesMalformed, read_header, transactions_in_block
from holdfast.chains.outflow import FeeRate, Known, Mined, SendRefused
from holdfast.chains.port import Arrival, Header, NodeAnswerMalformed, NodeBlockGone, NodeRefused
from holdfast.chains.rpc import Credentials, Limits, RpcClient
from holdfast.core.errors import BadInput
from holdfast.core.money import parse_units
from holdfast.core.networks import BitcoinNetwork

FEE_TARGET_BLOCKS = 3
_WITH_MEMPOOL = True
_RAW = False
_ALREADY_MINED = -27
_KNOWN = ("already in mempool", "already-in-mempool", "already known", "already-known")


class _Estimate(msgspec.Struct):
    feerate: msgspec.Raw = msgspec.Raw(b"")


class _MempoolInfo(msgspec.Struct):
    least: msgspec.Raw = msgspec.field(name="mempoolminfee", default=msgspec.Raw(b""))


class _NetworkInfo(msgspec.Struct):
    relay: msgspec.Raw = msgspec.field(name="relayfee", default=msgspec.Raw(b""))


class _ChainInfo(msgspec.Struct):
    median_time: int = msgspec.field(name="mediantime", default=0)


class _Coin(msgspec.Struct):
    confirmations: int


_MAYBE_COIN: type[_Coin | None] = _Coin | None  # type: ignore[assignment]  # a union is no type to mypy


class BitcoinOutflow:
    """One full node of the Bitcoin family, as an `outflow.OutflowNode`."""

    def __init__(self, access: BitcoinAccess, network: BitcoinNetwork) -> None:
        """Connects at the first question. Raises `NodeUrlMalformed`."""
        credentials = Credentials(access.cookie_file, access.user, access.password_file)
        self._rpc = RpcClient(access.url, name=access.name, credentials=credentials, limits=Limits())
        self._network = network
        self.name = self._rpc.name

    async def mined(self, header: Header, transactions: Sequence[str]) -> Sequence[Mined]:
        """See `OutflowNode`: proven by the block's own Merkle root."""
        try:
            raw = bytes.fromhex(await self._rpc.call(str, "getblock", header.hash, _RAW))
        except NodeRefused as refused:
            raise NodeBlockGone(refused.detail) from None
        except ValueError:
            raise NodeAnswerMalformed(f"{self.name}: getblock: not hex") from None
        try:
            if read_header(raw, header.height).hash != header.hash:
                raise NodeAnswerMalformed(f"{self.name}: another block than {header.hash}")
            inside = set(transactions_in_block(raw))
        except BytesMalformed as error:
            raise NodeAnswerMalformed(f"{self.name}: block {header.hash}: {error}") from None
        return [Mined(transaction) for transaction in transactions if transaction in inside]

    async def funded(self, header: Header, address: str) -> Sequence[Arrival]:
        """Nothing: the reader of blocks finds every output."""
        return []

    async def unexplained(self, known: Known) -> Sequence[str]:
        """Coins of ours that somebody spends, in a block or waiting for one (`gettxout`)."""
        calls = [("gettxout", [*_split(outpoint), _WITH_MEMPOOL]) for outpoint in known.coins]
        found = []
        for outpoint, answer in zip(known.coins, await self._rpc.batch(_MAYBE_COIN, calls), strict=True):
            if isinstance(answer, NodeRefused):
                raise answer
            if answer is None:
                found.append(f"{outpoint} is spent")
        return found

    async def median_time(self) -> int:
        """See `OutflowNode` (BIP 113)."""
        return (await self._rpc.call(_ChainInfo, "getblockchaininfo")).median_time

    async def fees(self) -> FeeRate:
        """The node's estimate for `FEE_TARGET_BLOCKS`; where it has none, the least that it relays."""
        estimate = await self._rpc.call(_Estimate, "estimatesmartfee", FEE_TARGET_BLOCKS)
        pool = await self._rpc.call(_MempoolInfo, "getmempoolinfo")
        relay = await self._rpc.call(_NetworkInfo, "getnetworkinfo")
        return FeeRate(per_kvb=max(self._units(part) for part in (estimate.feerate, pool.least, relay.relay)))

    async def send(self, raw: bytes) -> None:
        """See `OutflowNode`."""
        try:
            await self._rpc.call(str, "sendrawtransaction", raw.hex())
        except NodeRefused as refused:
            if refused.rpc_code != _ALREADY_MINED and not any(phrase in refused.detail for phrase in _KNOWN):
                raise SendRefused(refused.detail) from None

    async def close(self) -> None:
        """Close the connections."""
        await self._rpc.close()

    def _units(self, raw: msgspec.Raw) -> int:
        """A decimal number as the node wrote it, never through a float."""
        text = bytes(raw).decode()
        if not text:
            return 0
        try:
            return parse_units(text, self._network.coin.decimals)
        except BadInput:
            raise NodeAnswerMalformed(f"{self.name}: a fee of {text[:40]}") from None


def _split(outpoint: str) -> tuple[str, int]:
    transaction, _, place = outpoint.partition(":")
    return transaction, int(place)
