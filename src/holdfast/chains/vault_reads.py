"""What is asked of a node about the vault: what a transaction of it paid to whom, and what lies there at one block.

For the platform's reconciliation alone. Of several nodes all must say the same; families implement `VaultNode`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from holdfast.chains.agreement import NodesMissing
from holdfast.chains.port import Header, NodesDisagree
from holdfast.core.money import Asset, AssetId

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class VaultPayment:
    """One thing that a transaction out of the vault paid."""

    transaction: str
    key: str
    """Unique on its network: `txid:vout`, `txhash:logindex`, `txhash:safe`."""
    to: str | None
    """Its address; None: it has none, or the node's logs do not say."""
    asset: AssetId
    units: int
    """0 where only a trace of the execution would tell (a Safe run by another contract)."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where to look at the end of a block."""

    outpoints: Sequence[str] = ()
    """Bitcoin family."""
    addresses: Sequence[str] = ()
    """EVM."""
    tokens: Mapping[str, Asset] = field(default_factory=dict)
    """Listed token contracts, lower case, and their assets (EVM)."""


class VaultNode(Protocol):
    """One node, or several that must agree."""

    name: str

    async def paid(self, header: Header, spenders: Sequence[str]) -> Sequence[VaultPayment]:
        """What left the vault in this block, in chain order.

        Bitcoin family: every output of `spenders`, the transactions that spend something of ours. EVM: what the Safe
        paid; `spenders` is not looked at. Raises `NodeBlockGone`, `NodeAnswerMalformed`, `NodesDisagree`.
        """

    async def lying(self, header: Header, places: Places) -> Mapping[tuple[str, AssetId], int] | None:
        """What lies at each outpoint or address at the end of exactly this block; what holds nothing is left out.

        None where the node stands on another block and cannot look back: ask again on its next one.
        """

    async def close(self) -> None:
        """Close the connections."""


class AgreeingVaultNodes:
    """All of these nodes as one `VaultNode`."""

    def __init__(self, nodes: Sequence[VaultNode]) -> None:
        """Raises `NodesMissing` for none."""
        if not nodes:
            raise NodesMissing
        self._nodes = tuple(nodes)
        self.name = " and ".join(node.name for node in nodes)

    async def paid(self, header: Header, spenders: Sequence[str]) -> Sequence[VaultPayment]:
        """See `VaultNode`."""
        return self._same(await self._all(lambda node: node.paid(header, spenders)), header)

    async def lying(self, header: Header, places: Places) -> Mapping[tuple[str, AssetId], int] | None:
        """See `VaultNode`."""
        answers = await self._all(lambda node: node.lying(header, places))
        return None if any(answer is None for answer in answers) else self._same(answers, header)

    async def close(self) -> None:
        """Close the connections of all."""
        await self._all(lambda node: node.close())

    def _same(self, answers: Sequence[T], header: Header) -> T:
        for number, answer in enumerate(answers):
            if answer != answers[0]:
                names = f"{self._nodes[0].name} and {self._nodes[number].name}"
                raise NodesDisagree(f"{names} differ about the vault at block {header.hash}")
        return answers[0]

    async def _all(self, ask: Callable[[VaultNode], Awaitable[T]]) -> list[T]:
        return list(await asyncio.gather(*(ask(node) for node in self._nodes)))
