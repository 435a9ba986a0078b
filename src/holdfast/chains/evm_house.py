"""House transactions on EVM networks: sent from an account that holds nothing but gas, one after the other.

The bytes are the same however often they are sent, and what is called does the same thing twice as once, so an
interrupted run is simply run again. No merchant's money can be moved from here but to the vault.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from holdfast.chains.evm_contracts import FLUSH_FAILED_TOPIC, FLUSHED_TOPIC, flush_call
from holdfast.chains.evm_reads import RpcLog, header, quantity, unhex
from holdfast.chains.evm_transactions import address_of_key, sign
from holdfast.chains.port import NodeRefused
from holdfast.chains.rpc import RpcClient
from holdfast.core.errors import BadInput, Unavailable
from holdfast.core.evm import checksum
from holdfast.core.evm_transactions import Fees, Signed, Transaction

_KEY = re.compile(r"(?:0x)?([0-9a-f]{64})", re.ASCII | re.IGNORECASE)
_ALREADY_SENT = ("already known", "already imported", "nonce too low", "known transaction")
_POLL_SECONDS = 0.2


class GasKeyUnusable(BadInput):
    """The gas account's key cannot be read. Write its 64 hexadecimal digits into the file that the detail names."""

    code = "gas-key-unusable"


class HouseTransactionRefused(Unavailable):
    """The node or the network refused a house transaction. See that the gas account has coin, then run it again."""

    code = "house-transaction-refused"


class HouseTransactionUnconfirmed(Unavailable):
    """A house transaction was sent and is in no block yet. Wait for it, or run the same again."""

    code = "house-transaction-unconfirmed"


class Receipt(msgspec.Struct, frozen=True):
    """What became of a house transaction."""

    transaction: str = msgspec.field(name="transactionHash")
    block: str = msgspec.field(name="blockHash")
    gas_hex: str = msgspec.field(name="gasUsed")
    status: str = "0x1"
    logs: list[RpcLog] = []

    @property
    def gas_used(self) -> int:
        """Gas that it took."""
        return quantity(self.gas_hex)


_MAYBE_RECEIPT: type[Receipt | None] = Receipt | None  # type: ignore[assignment]  # a union is no type to mypy


@dataclass(frozen=True, slots=True)
class FlushOutcome:
    """What one flush moved to the vault, and what it could not move: (deposit address, token) and units."""

    transaction: str
    gas_used: int
    flushed: tuple[tuple[str, str, int], ...]
    failed: tuple[tuple[str, str], ...]


def read_gas_key(path: Path) -> bytes:
    """The gas account's key from a file of hexadecimal digits. Raises `GasKeyUnusable`, without its digits."""
    try:
        match = _KEY.fullmatch(path.read_text(encoding="ascii").strip())
    except (OSError, UnicodeDecodeError):
        raise GasKeyUnusable(str(path)) from None
    if match is None:
        raise GasKeyUnusable(str(path))
    return bytes.fromhex(match[1])


class GasAccount:
    """Sends transactions from one key and waits for each. Nobody else may send from that key meanwhile."""

    def __init__(self, rpc: RpcClient, key: bytes, *, wait_seconds: float = 180.0) -> None:
        self._rpc = rpc
        self._key = key
        self._wait_seconds = wait_seconds
        self.address = address_of_key(key)

    async def send(self, to: str, data: bytes = b"", value: int = 0) -> Receipt:
        """Sends one transaction and waits until it is in a block.

        Raises `HouseTransactionRefused` (also when it was reverted), `HouseTransactionUnconfirmed`.
        """
        return await self.confirm(await self._signed(to, data, value))

    async def send_raw(self, raw: bytes, transaction: str) -> Receipt:
        """Sends bytes that somebody else signed, and waits. Raises as `send`."""
        return await self.confirm(Signed(raw, transaction))

    async def confirm(self, signed: Signed) -> Receipt:
        """Sends signed bytes and waits for them. Raises as `send`."""
        try:
            await self._rpc.call(str, "eth_sendRawTransaction", "0x" + signed.raw.hex())
        except NodeRefused as refused:
            if not any(phrase in refused.detail.lower() for phrase in _ALREADY_SENT):
                raise HouseTransactionRefused(refused.detail) from None
        for _ in range(int(self._wait_seconds / _POLL_SECONDS)):
            receipt = await self._rpc.call(_MAYBE_RECEIPT, "eth_getTransactionReceipt", signed.hash)
            if receipt is not None:
                if quantity(receipt.status) != 1:
                    raise HouseTransactionRefused(f"{signed.hash} was reverted")
                return receipt
            await asyncio.sleep(_POLL_SECONDS)
        raise HouseTransactionUnconfirmed(signed.hash)

    async def _signed(self, to: str, data: bytes, value: int) -> Signed:
        call = {"from": self.address, "to": to, "data": "0x" + data.hex(), "value": hex(value)}
        try:
            gas = quantity(await self._rpc.call(str, "eth_estimateGas", call))
        except NodeRefused as refused:
            raise HouseTransactionRefused(refused.detail) from None
        transaction = Transaction(
            chain_id=quantity(await self._rpc.call(str, "eth_chainId")),
            nonce=quantity(await self._rpc.call(str, "eth_getTransactionCount", self.address, "pending")),
            fees=await self._fees(),
            gas_limit=gas + gas // 5,
            to=to,
            value=value,
            data=data,
        )
        return sign(transaction, self._key)

    async def _fees(self) -> Fees:
        """Room for the base fee to double (six full blocks), and the tip that the node suggests."""
        tip = quantity(await self._rpc.call(str, "eth_maxPriorityFeePerGas"))
        base = quantity((await header(self._rpc, "latest")).base_fee)
        return Fees(2 * base + tip, tip)


async def flush(node_url: str, factory: str, indexes: Sequence[int], tokens: Sequence[str], key: bytes) -> FlushOutcome:
    """Moves what lies at these deposit addresses to the vault: each of these tokens, `COIN` for the network's own coin.

    Raises `HouseTransactionRefused`, `HouseTransactionUnconfirmed`, and what the node raises.
    """
    rpc = RpcClient(node_url)
    try:
        receipt = await GasAccount(rpc, key).send(factory, flush_call(indexes, tokens))
    finally:
        await rpc.close()
    return flush_outcome(receipt)


def flush_outcome(receipt: Receipt) -> FlushOutcome:
    """What a flush's logs say."""
    flushed, failed = [], []
    for log in receipt.logs:
        if log.topics[0] == FLUSHED_TOPIC:
            flushed.append((checksum(unhex(log.address)), _token(log.topics[1]), quantity(log.data)))
        elif log.topics[0] == FLUSH_FAILED_TOPIC:
            failed.append((checksum(unhex(log.topics[1])[12:]), _token(log.topics[2])))
    return FlushOutcome(receipt.transaction, receipt.gas_used, tuple(flushed), tuple(failed))


def _token(topic: str) -> str:
    return "0x" + unhex(topic)[12:].hex()
