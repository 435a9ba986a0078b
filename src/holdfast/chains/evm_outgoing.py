"""What leaves watched accounts and contracts, as one EVM node shows it: nonces, the block it would make, its blocks.

An account's nonces tell all that its key ever signed for a chain, whatever became of it; so no transaction of it can
hide. What a contract pays is read from logs, and of a Safe from what it was told to do.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from holdfast.chains.evm import EvmNode
from holdfast.chains.evm_contracts import TRANSFER_TOPIC
from holdfast.chains.evm_reads import RpcHeader, RpcLog, answered, quantity, topic_of, unhex
from holdfast.chains.evm_vault import EvmVaultNode
from holdfast.chains.outgoing import PATIENCE, Look, Outgoing, PaidOut, Sources, Trail
from holdfast.chains.port import Header, NodeAnswerMalformed, NodeBlockGone, NodeRefused
from holdfast.chains.rpc import Call, Credentials
from holdfast.core.evm import address_bytes, checksum
from holdfast.core.networks import EvmNetwork

_WHOLE = True
_TRANSFER_TOPICS = 3


class _Sent(msgspec.Struct, frozen=True):
    hash: str
    nonce: str
    sender: str = msgspec.field(name="from")


class _Body(RpcHeader, frozen=True, kw_only=True):
    transactions: list[_Sent]


class _Queue(msgspec.Struct, frozen=True):
    transactions: list[_Sent]


# A union is a fine shape to msgspec and no type to mypy.
_MAYBE_BODY: type[_Body | None] = _Body | None  # type: ignore[assignment]  # see above
_MAYBE_QUEUE: type[_Queue | None] = _Queue | None  # type: ignore[assignment]  # see above


class EvmLookout:
    """One EVM node, as an `outgoing.Lookout`."""

    def __init__(
        self, url: str, network: EvmNetwork, trail: Trail, *, name: str = "", credentials: Credentials | None = None
    ) -> None:
        """Connects at the first look. Raises `NodeUrlMalformed`."""
        self._access = (url, name, credentials or Credentials())
        self._node = EvmNode(url, network, name=name, credentials=credentials or Credentials(), limits=PATIENCE)
        self._network = network
        self._safes: dict[str, EvmVaultNode] = {}
        self._untold: list[Outgoing] = []
        self.trail = trail
        self.name = self._node.name

    async def look(self, sources: Sources) -> Look:
        """See `Lookout`. What waits comes first: what leaves for a block meanwhile is then found in the block."""
        accounts = {address_bytes(account): account for account in sources.accounts}
        used = await self._used(sorted(sources.accounts)) if accounts else {}
        if accounts:
            self._untold += _of_accounts(await self._queue(), accounts, None)
        tip, headers = await self.trail.onward(self._node)
        for header in headers:
            self._untold += await self._block(header, sources, accounts)
            self.trail.read(header)
        return Look(tip, used, is_whole=self.trail.recent.get(tip.height) == tip.hash)

    def told(self) -> list[Outgoing]:
        """See `Lookout`."""
        told, self._untold = self._untold, []
        return told

    async def close(self) -> None:
        """Close the connections."""
        for safe in self._safes.values():
            await safe.close()
        await self._node.close()

    async def _used(self, accounts: Sequence[str]) -> dict[str, int]:
        """The higher of both numbers: a node that forgets what waits still counts what is in blocks."""
        calls: list[Call] = [
            ("eth_getTransactionCount", (each, block)) for each in accounts for block in ("latest", "pending")
        ]
        counts = [quantity(answered(answer)) for answer in await self._node.rpc.batch(str, calls)]
        return {each: max(counts[2 * place], counts[2 * place + 1]) for place, each in enumerate(accounts)}

    async def _queue(self) -> list[_Sent]:
        """What is about to be in a block, where the node tells."""
        [answer] = await self._node.rpc.batch(_MAYBE_QUEUE, [("eth_getBlockByNumber", ("pending", _WHOLE))])
        return [] if answer is None or isinstance(answer, NodeRefused) else answer.transactions

    async def _block(self, header: Header, sources: Sources, accounts: dict[bytes, str]) -> list[Outgoing]:
        body = await self._node.rpc.call(_MAYBE_BODY, "eth_getBlockByHash", header.hash, _WHOLE)
        if body is None:
            raise NodeBlockGone(f"{self.name}: block {header.hash}")
        if body.place != header:
            raise NodeAnswerMalformed(f"{self.name}: block {header.hash} was announced with another header")
        outgoing = _of_accounts(body.transactions, accounts, header)
        plain = sources.contracts - sources.safes
        if plain and sources.tokens:
            topics = [TRANSFER_TOPIC, [topic_of(each) for each in sorted(plain)]]
            query = {"blockHash": header.hash, "address": sorted(sources.tokens), "topics": topics}
            logs = await self._node.rpc.call(list[RpcLog], "eth_getLogs", query)
            outgoing += [self._moved(log, sources, header) for log in logs if len(log.topics) == _TRANSFER_TOPICS]
        for safe in sorted(sources.safes):
            for one in await self._vault(safe, sources).paid(header, ()):
                paid = (PaidOut(one.to, one.asset, one.units),)
                outgoing.append(Outgoing(safe, one.transaction, paid, header))
        return outgoing

    def _vault(self, safe: str, sources: Sources) -> EvmVaultNode:
        if safe not in self._safes:
            url, name, credentials = self._access
            self._safes[safe] = EvmVaultNode(
                url, self._network, safe, sources.tokens, name=name, credentials=credentials
            )
        return self._safes[safe]

    def _moved(self, log: RpcLog, sources: Sources, header: Header) -> Outgoing:
        if log.block != header.hash:
            raise NodeAnswerMalformed(f"{self.name}: logs of another block than {header.hash}")
        paid = PaidOut(_address(log.topics[2]), sources.tokens[log.address.lower()].id, quantity(log.data))
        return Outgoing(_address(log.topics[1]), log.transaction, (paid,), header)


def _of_accounts(sent: Sequence[_Sent], accounts: dict[bytes, str], header: Header | None) -> list[Outgoing]:
    named = [(accounts[sender], each) for each in sent if (sender := unhex(each.sender)) in accounts]
    return [Outgoing(f"{account}:{quantity(each.nonce)}", each.hash, (), header) for account, each in named]


def _address(topic: str) -> str:
    return checksum(unhex(topic)[12:])
