"""What an officer's own node says about the Safe: its next nonce, what lies in it, what it ever paid to the floats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from holdfast.chains.evm_contracts import TRANSFER_TOPIC, selector, word
from holdfast.chains.evm_reads import RpcLog, quantity, unhex
from holdfast.chains.port import NodeAnswerMalformed
from holdfast.chains.rpc import Credentials, RpcClient
from holdfast.core.evm import address_bytes
from holdfast.core.evm_float import RECEIVED_TOPIC
from holdfast.core.money import Asset

_NONCE = selector("nonce()")
_BLOCKS_PER_QUESTION = 10_000
"""What hosted nodes allow; an own node would take more."""


class SafeReads:
    """One node, asked about one Safe."""

    def __init__(self, url: str, safe: str, *, name: str = "", credentials: Credentials | None = None) -> None:
        """Connects at the first question. Raises `NodeUrlMalformed`."""
        self._rpc = RpcClient(url, name=name, credentials=credentials or Credentials())
        self._safe = safe

    async def nonce(self) -> int:
        """The number of the Safe's next transaction; 0 where the Safe does not stand yet."""
        call = {"to": self._safe, "data": "0x" + _NONCE.hex()}
        answer = await self._rpc.call(str, "eth_call", call, "latest")
        return int(answer, 16) if len(answer) > len("0x") else 0

    async def paid(
        self, floats: Sequence[str], coin: Asset, tokens: Mapping[str, Asset], heights: tuple[int, int]
    ) -> dict[str, int]:
        """What the Safe paid to these float contracts in these blocks (both included), by asset id."""
        found: dict[str, int] = {}
        sender = "0x" + address_bytes(self._safe).rjust(32, b"\0").hex()
        for start in range(heights[0], heights[1] + 1, _BLOCKS_PER_QUESTION):
            span = {"fromBlock": hex(start), "toBlock": hex(min(start + _BLOCKS_PER_QUESTION - 1, heights[1]))}
            coins = await self._logs({**span, "address": list(floats), "topics": [RECEIVED_TOPIC, sender]})
            for log in coins:
                found[coin.id] = found.get(coin.id, 0) + quantity(log.data)
            if tokens:
                receivers = ["0x" + word(int(address, 16)).hex() for address in floats]
                query = {**span, "address": list(tokens), "topics": [TRANSFER_TOPIC, sender, receivers]}
                for log in await self._logs(query):
                    asset = tokens[log.address.lower()]
                    found[asset.id] = found.get(asset.id, 0) + quantity(log.data)
        return found

    async def close(self) -> None:
        """Close the connections."""
        await self._rpc.close()

    async def _logs(self, query: Mapping[str, object]) -> list[RpcLog]:
        logs = await self._rpc.call(list[RpcLog], "eth_getLogs", query)
        if any(len(unhex(topic)) != 32 for log in logs for topic in log.topics):
            raise NodeAnswerMalformed(f"{self._rpc.name}: a log's topic has another length than 32 bytes")
        return logs
