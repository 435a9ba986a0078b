"""What an EVM node says about the vault: what the Safe paid in a block, and balances at the end of any block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from holdfast.chains.evm_contracts import TRANSFER_TOPIC, selector, topic
from holdfast.chains.evm_reads import (
    BalanceQuestion,
    RpcLog,
    TokenQuestion,
    coin_balances,
    quantity,
    token_balances,
    topic_of,
    unhex,
)
from holdfast.chains.port import Header, NodeAnswerMalformed, NodeBlockGone
from holdfast.chains.rpc import Credentials, RpcClient
from holdfast.chains.vault_reads import Places, VaultPayment
from holdfast.core.evm import checksum
from holdfast.core.money import Asset, AssetId
from holdfast.core.networks import EvmNetwork

EXECUTED_TOPICS = (topic("ExecutionSuccess(bytes32,uint256)"), topic("ExecutionFromModuleSuccess(address)"))
"""What a Safe says when it has done something (Safe 1.4.1)."""
_EXECUTE = selector("execTransaction(address,uint256,bytes,uint8,uint256,uint256,uint256,address,address,bytes)")
_TRANSFER_TOPICS = 3


class _Called(msgspec.Struct, frozen=True):
    hash: str
    input: str
    to: str | None = None
    block: str | None = msgspec.field(name="blockHash", default=None)


_MAYBE_CALLED: type[_Called | None] = _Called | None  # type: ignore[assignment]  # a union is no type to mypy


class EvmVaultNode:
    """One EVM node, as a `vault_reads.VaultNode`."""

    def __init__(  # noqa: PLR0913  what a node and a vault are
        self, url: str, network: EvmNetwork, vault: str, tokens: Mapping[str, Asset], *, name: str = "",
        credentials: Credentials | None = None,
    ) -> None:  # fmt: skip
        """`vault`: the Safe; `tokens`: listed contracts. Connects at the first question. Raises `NodeUrlMalformed`."""
        self._rpc = RpcClient(url, name=name, credentials=credentials or Credentials())
        self._network = network
        self._vault = vault
        self._tokens = tokens
        self.name = self._rpc.name

    async def paid(self, header: Header, spenders: Sequence[str]) -> Sequence[VaultPayment]:
        """What the Safe paid: tokens by their logs, coin by what it was told to do."""
        ran = await self._logs(header, {"address": self._vault, "topics": [list(EXECUTED_TOPICS)]})
        found = await self._coin(header, list(dict.fromkeys(log.transaction for log in ran)))
        if self._tokens:
            topics = [TRANSFER_TOPIC, topic_of(self._vault)]
            found += [
                self._token(log)
                for log in await self._logs(header, {"address": list(self._tokens), "topics": topics})
                if len(log.topics) == _TRANSFER_TOPICS
            ]
        return found

    async def lying(self, header: Header, places: Places) -> Mapping[tuple[str, AssetId], int] | None:
        """Balances at the end of this very block."""
        addresses = tuple(places.addresses)
        if not addresses:
            return {}
        (coins,) = await coin_balances(self._rpc, [BalanceQuestion(header.hash, addresses)])
        found = {(address, self._network.coin.id): units for address, units in coins.items() if units}
        questions = [TokenQuestion(header.hash, token, each) for token in places.tokens for each in addresses]
        for question, units in zip(questions, await token_balances(self._rpc, questions), strict=True):
            if units:
                found[question.address, places.tokens[question.token].id] = units
        return found

    async def close(self) -> None:
        """Close the connections."""
        await self._rpc.close()

    async def _logs(self, header: Header, query: Mapping[str, object]) -> list[RpcLog]:
        logs = await self._rpc.call(list[RpcLog], "eth_getLogs", {"blockHash": header.hash, **query})
        if any(log.block != header.hash for log in logs):
            raise NodeAnswerMalformed(f"{self.name}: logs of another block than {header.hash}")
        return sorted(logs, key=lambda log: quantity(log.index))

    async def _coin(self, header: Header, transactions: Sequence[str]) -> list[VaultPayment]:
        """What these transactions had the Safe pay in coin. Units 0 and no address where another contract ran it."""
        found = []
        for transaction in transactions:
            called = await self._rpc.call(_MAYBE_CALLED, "eth_getTransactionByHash", transaction)
            if called is None or called.block != header.hash:
                raise NodeBlockGone(f"transaction {transaction} is not in block {header.hash}")
            to, units = self._told(called)
            if to is None or units:
                found.append(VaultPayment(transaction, f"{transaction}:safe", to, self._network.coin.id, units))
        return found

    def _told(self, called: _Called) -> tuple[str | None, int]:
        """Whom a direct call of the Safe had it pay coin, and how much of it."""
        data = unhex(called.input)
        is_direct = called.to is not None and checksum(unhex(called.to)) == self._vault
        if not is_direct or data[:4] != _EXECUTE or len(data) < 4 + 128 or any(data[100:132]):
            return None, 0  # operation 1 runs foreign code as the Safe: what that pays, only a trace would tell
        return checksum(data[16:36]), int.from_bytes(data[36:68], "big")

    def _token(self, log: RpcLog) -> VaultPayment:
        asset = self._tokens[log.address.lower()]
        to = checksum(unhex(log.topics[2])[12:])
        return VaultPayment(
            log.transaction, f"{log.transaction}:{quantity(log.index)}", to, asset.id, quantity(log.data)
        )


def tokens_of(assets: Mapping[AssetId, Asset]) -> dict[str, Asset]:
    """The token contracts among listed assets, lower case."""
    return {asset_id.rpartition(":")[2]: asset for asset_id, asset in assets.items() if "/erc20:" in asset_id}
