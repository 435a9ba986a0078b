"""What an EVM node says about the float: its owner's nonce, receipts of its calls, coin that came to its contract."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from holdfast.chains.evm_reads import RpcHeader, RpcLog, quantity, unhex
from holdfast.chains.outflow import FeeRate, Known, Mined, SendRefused
from holdfast.chains.port import Arrival, Header, NodeAnswerMalformed, NodeRefused
from holdfast.chains.rpc import Credentials, Limits, RpcClient
from holdfast.core.evm import checksum
from holdfast.core.evm_float import RECEIVED_TOPIC, UNPAID_TOPIC, read_unpaid
from holdfast.core.networks import EvmNetwork

_KNOWN = ("already known", "already imported", "nonce too low", "known transaction")


class _Receipt(msgspec.Struct, frozen=True):
    transaction: str = msgspec.field(name="transactionHash")
    block: str = msgspec.field(name="blockHash")
    gas: str = msgspec.field(name="gasUsed")
    to: str | None = None
    price: str = msgspec.field(name="effectiveGasPrice", default="0x0")
    status: str = "0x1"
    logs: list[RpcLog] = []


_MAYBE_RECEIPT: type[_Receipt | None] = _Receipt | None  # type: ignore[assignment]  # a union is no type to mypy


class EvmOutflow:
    """One EVM node, as an `outflow.OutflowNode`."""

    def __init__(
        self, url: str, network: EvmNetwork, *, name: str = "", credentials: Credentials | None = None
    ) -> None:
        """Connects at the first question. Raises `NodeUrlMalformed`."""
        self._rpc = RpcClient(url, name=name, credentials=credentials or Credentials(), limits=Limits())
        self._network = network
        self.name = self._rpc.name

    async def mined(self, header: Header, transactions: Sequence[str]) -> Sequence[Mined]:
        """See `OutflowNode`: by each transaction's receipt, if it names this very block."""
        calls = [("eth_getTransactionReceipt", [each]) for each in transactions]
        found = []
        for transaction, answer in zip(transactions, await self._rpc.batch(_MAYBE_RECEIPT, calls), strict=True):
            if isinstance(answer, NodeRefused):
                raise answer
            if answer is None or answer.block != header.hash:
                continue
            if answer.transaction != transaction:
                raise NodeAnswerMalformed(f"{self.name}: a receipt of another transaction than {transaction}")
            found.append(_mined(answer))
        return found

    async def funded(self, header: Header, address: str) -> Sequence[Arrival]:
        """Coin that came to the contract in this block, by its own `Received` logs."""
        query = {"blockHash": header.hash, "address": address, "topics": [RECEIVED_TOPIC]}
        logs = await self._rpc.call(list[RpcLog], "eth_getLogs", query)
        if any(log.block != header.hash or checksum(unhex(log.address)) != address for log in logs):
            raise NodeAnswerMalformed(f"{self.name}: logs of another block or contract")
        return [
            Arrival(
                key=f"{log.transaction}:{quantity(log.index)}",
                transaction=log.transaction,
                address=address,
                asset=self._network.coin.id,
                units=quantity(log.data),
            )
            for log in logs
            if quantity(log.data)
        ]

    async def unexplained(self, known: Known) -> Sequence[str]:
        """Nonces of the owner that are used, or wait, and are not ours."""
        waiting = quantity(await self._rpc.call(str, "eth_getTransactionCount", known.owner, "pending"))
        used = quantity(await self._rpc.call(str, "eth_getTransactionCount", known.owner, "latest"))
        count = max(waiting, used)
        return [f"nonce {count - 1} of {known.owner} is used"] if count > known.next_nonce else []

    async def median_time(self) -> int:
        """See `OutflowNode`."""
        return (await self._newest()).place.time

    async def fees(self) -> FeeRate:
        """The next block's base fee as far as the newest tells, and the tip that the node suggests."""
        tip = quantity(await self._rpc.call(str, "eth_maxPriorityFeePerGas"))
        return FeeRate(base_fee_wei=quantity((await self._newest()).base_fee), priority_fee_wei=tip)

    async def send(self, raw: bytes) -> None:
        """See `OutflowNode`. A used nonce is no error: whose transaction it was, `mined` and `unexplained` tell."""
        try:
            await self._rpc.call(str, "eth_sendRawTransaction", "0x" + raw.hex())
        except NodeRefused as refused:
            if not any(phrase in refused.detail.lower() for phrase in _KNOWN):
                raise SendRefused(refused.detail) from None

    async def close(self) -> None:
        """Close the connections."""
        await self._rpc.close()

    async def _newest(self) -> RpcHeader:
        return await self._rpc.call(RpcHeader, "eth_getBlockByNumber", "latest", False)  # noqa: FBT003  JSON-RPC's form


def _mined(receipt: _Receipt) -> Mined:
    logs = [log for log in receipt.logs if log.topics[:1] == [UNPAID_TOPIC] and log.address == receipt.to]
    return Mined(
        transaction=receipt.transaction,
        is_reverted=quantity(receipt.status) != 1,
        fee_units=quantity(receipt.gas) * quantity(receipt.price),
        unpaid=tuple(read_unpaid(unhex(log.data)).index for log in logs),
    )
