"""Several nodes of one network asked about money going out, behind the port of one.

What is in a block is only said where all say it. Of fees, times and balances the lowest counts, so that a lying node
can make us wait, never pay more or sooner. A spend that one of them cannot explain is unexplained: any may raise the
alarm. Bytes are handed to all, and only there a node that is lost does no harm.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar, assert_never

from holdfast.chains.agreement import NodesMissing, ask_all, common_headers, common_tip
from holdfast.chains.bitcoin import BitcoinAccess
from holdfast.chains.bitcoin_outflow import BitcoinOutflow
from holdfast.chains.evm_outflow import EvmOutflow
from holdfast.chains.outflow import FeeRate, Holding, Known, Mined, OutflowBlock, OutflowNode, Status, Wanted
from holdfast.chains.port import Header, NodesDisagree
from holdfast.chains.rpc import Credentials
from holdfast.core.errors import HoldfastError
from holdfast.core.networks import BitcoinNetwork, EvmNetwork, Network

T = TypeVar("T")
K = TypeVar("K")

_NO_CREDENTIALS = Credentials()


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach a node of any family; `name` stands for it in errors."""

    url: str
    credentials: Credentials = _NO_CREDENTIALS
    name: str = ""

    def bitcoin(self) -> BitcoinAccess:
        """The same in the words of the Bitcoin family."""
        files = self.credentials
        return BitcoinAccess(self.url, files.cookie_file, files.user, files.password_file, self.name)


def open_outflow(network: Network, accesses: Sequence[Access]) -> AgreeingOutflows:
    """All these nodes of a network as one. They connect when they are first asked.

    Raises `NodesMissing`, `NodeUrlMalformed`.
    """
    return AgreeingOutflows([_open_one(network, access) for access in accesses])


def _open_one(network: Network, access: Access) -> OutflowNode:
    match network:
        case BitcoinNetwork():
            return BitcoinOutflow(access.bitcoin(), network)
        case EvmNetwork():
            return EvmOutflow(access.url, network, name=access.name, credentials=access.credentials)
        case never:
            assert_never(never)


class AgreeingOutflows:
    """All of these nodes as one `OutflowNode`."""

    def __init__(self, nodes: Sequence[OutflowNode]) -> None:
        """Raises `NodesMissing` for none."""
        if not nodes:
            raise NodesMissing
        self._nodes = tuple(nodes)
        self.name = " and ".join(node.name for node in nodes)

    async def tip(self) -> Header:
        """The newest block that every node has in its chain. Raises as `agreement.common_tip`."""
        return await common_tip(self._nodes)

    async def headers(self, height_from: int, height_to: int) -> Sequence[Header]:
        """See `OutflowNode`: up to where the nodes part. Raises `NodesDisagree` if they part at the first."""
        return await common_headers(self._nodes, height_from, height_to)

    async def block(self, height: int, wanted: Wanted) -> OutflowBlock:
        """See `OutflowNode`. Raises `NodesDisagree`."""
        answers = await self._all(lambda node: node.block(height, wanted))
        return self._same([[answer] for answer in answers], answers[0].header)[0]

    async def holding(self, wanted: Wanted) -> Holding:
        """The least of everything; an outpoint that one of them does not have is not there."""
        answers = await self._all(lambda node: node.holding(wanted))
        return Holding(
            tip=min((answer.tip for answer in answers), key=lambda tip: tip.height),
            units=_least([answer.units for answer in answers]),
            confirmations=_least([answer.confirmations for answer in answers]),
            nonces=_least([answer.nonces for answer in answers]),
        )

    async def status(self, transaction: str, outputs: int = 1) -> Status:
        """In a block only if it is in the same for all; else it waits, if one of them says that it waits or more."""
        answers = await self._all(lambda node: node.status(transaction, outputs))
        if all(answer == answers[0] for answer in answers):
            return answers[0]
        return Status(is_waiting=any(answer.is_waiting or answer.block is not None for answer in answers))

    async def mined(self, header: Header, transactions: Sequence[str]) -> Sequence[Mined]:
        """See `OutflowNode`. Raises `NodesDisagree`."""
        return self._same(await self._all(lambda node: node.mined(header, transactions)), header)

    async def unexplained(self, known: Known) -> Sequence[str]:
        """What any of them sees."""
        found = await self._all(lambda node: node.unexplained(known))
        return list(dict.fromkeys(each for one in found for each in one))

    async def median_time(self) -> int:
        """The earliest: time that one node has not seen has not passed."""
        return min(await self._all(lambda node: node.median_time()))

    async def fees(self) -> FeeRate:
        """The lowest of each: a lying node can make us wait, not pay."""
        rates = await self._all(lambda node: node.fees())
        return FeeRate(
            min(rate.per_kvb for rate in rates),
            min(rate.base_fee_wei for rate in rates),
            min(rate.priority_fee_wei for rate in rates),
        )

    async def send(self, raw: bytes) -> None:
        """To all; one that takes it is enough. Raises the first error where none does."""
        answers = await asyncio.gather(*(node.send(raw) for node in self._nodes), return_exceptions=True)
        errors = [answer for answer in answers if isinstance(answer, BaseException)]
        for error in errors:
            if not isinstance(error, HoldfastError):
                raise error
        if len(errors) == len(answers):
            raise errors[0]

    async def close(self) -> None:
        """Close the connections of all."""
        await self._all(lambda node: node.close())

    def _same(self, answers: Sequence[Sequence[T]], header: Header) -> Sequence[T]:
        for number, answer in enumerate(answers):
            if list(answer) != list(answers[0]):
                names = f"{self._nodes[0].name} and {self._nodes[number].name}"
                raise NodesDisagree(f"{names} differ about what went out in block {header.hash}")
        return answers[0]

    async def _all(self, ask: Callable[[OutflowNode], Awaitable[T]]) -> list[T]:
        return await ask_all(self._nodes, ask)


def _least(answers: Sequence[Mapping[K, int]]) -> dict[K, int]:
    """The lowest number under each key that all of them have."""
    return {key: min(answer[key] for answer in answers) for key in answers[0] if all(key in one for one in answers)}
