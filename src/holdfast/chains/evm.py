"""Facts from nodes of the EVM family: headers, blocks with what arrived in them, and what waits for a block.

Coin may arrive without any trace but a balance, so balances of open addresses are compared between blocks; a whole
range at once where nothing changed. The decisions are in `evm_attribution`, the questions in `evm_reads`; this file
joins them. It holds no key and sends no transaction.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from holdfast.chains.evm_attribution import (
    CoinPayment,
    Flushed,
    TokenLog,
    bloom_may_hold,
    coin_arrivals,
    flushed_units,
    gained,
    token_arrivals,
)
from holdfast.chains.evm_contracts import COIN, FLUSHED_TOPIC, TRANSFER_SELECTOR, TRANSFER_TOPIC
from holdfast.chains.evm_reads import (
    MAYBE_PENDING,
    WHOLE_TRANSACTIONS,
    BalanceQuestion,
    LogQuestion,
    RpcBlock,
    RpcLog,
    TokenQuestion,
    answered,
    ask,
    blocks_by_hash,
    coin_balances,
    header,
    headers_at,
    logs,
    quantity,
    receipts,
    token_balances,
    unhex,
)
from holdfast.chains.port import (
    Arrival,
    Block,
    Header,
    NodeAnswerMalformed,
    NodeOnWrongNetwork,
    Unconfirmed,
    Watch,
)
from holdfast.chains.rpc import Credentials, Limits, RpcClient
from holdfast.core.evm import keccak256
from holdfast.core.networks import EvmNetwork

# A chain id is configuration, a genesis hash is not: another chain may answer to the same id.
_GENESIS = {
    1: "0xd4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3",
    10: "0x7ca38a1916c42007829c55e69d3e9a73265554b586a499015373241b8a3fa48b",
    56: "0x0d21840abff46b96c84b2ac9e10e4f5cdaeb5693cb665db62a2f3b02d2d57b5b",
    137: "0xa9c28ce2141b56c474f1dc504bee9b01eb1bd7d1a507580d5519d4437a97de1b",
    8453: "0xf712aa9241cc24369b143cf6dce85f0902a9731e70d66818a3a5845b296c73dd",
    42161: "0x7ee576b35482195fc49205cec9af72ce14f003b9ae69f6ba0faef4514be8b442",
    43114: "0x31ced5b9beb7f8782b014660da0cb18cc409f121f408186886e1ca3e8eeca96b",
    11155111: "0x25a5cc106eea7138acab33231d7160d69cb777ee0c2c553fcddf5138993e6dd9",
}

_ADDRESS_TOPIC_HEAD = bytes(12)
_BLOCK_MADE_SECONDS = 0.5
"""Between carrying out a block's transactions and telling of it as the newest: milliseconds, on a starved machine."""
_NO_CREDENTIALS = Credentials()
_LIMITS = Limits()


@dataclass(slots=True)
class _Found:
    """What one block says, before balances are compared."""

    header: Header
    payments: list[CoinPayment] = field(default_factory=list)
    transfers: list[TokenLog] = field(default_factory=list)
    flushes: list[Flushed] = field(default_factory=list)


class EvmNode:
    """One EVM node behind the port."""

    def __init__(
        self,
        url: str,
        network: EvmNetwork,
        *,
        name: str = "",
        credentials: Credentials = _NO_CREDENTIALS,
        limits: Limits = _LIMITS,
    ) -> None:
        """`name` stands for the node in errors. Raises `NodeUrlMalformed`."""
        self._rpc = RpcClient(url, name=name, credentials=credentials, limits=limits)
        self._network = network
        self._genesis_seen = network.chain_id not in _GENESIS
        self.name = self._rpc.name

    async def tip(self) -> Header:
        """The newest block. Raises `NodeUnreachable`, `NodeAnswerMalformed`, `NodeOnWrongNetwork`."""
        await self._check_network()
        return (await header(self._rpc, "latest")).place

    async def headers(self, height_from: int, height_to: int) -> Sequence[Header]:
        """Headers of these heights, both included, each the parent of the next; fewer where the chain ends."""
        found: list[Header] = []
        for answer in await headers_at(self._rpc, range(height_from, height_to + 1)):
            if answer is None or (found and answer.parent != found[-1].hash):
                break
            if quantity(answer.number) != height_from + len(found):
                raise NodeAnswerMalformed(f"{self.name}: asked for {height_from + len(found)}, got {answer.number}")
            found.append(answer.place)
        return found

    async def blocks(self, headers: Sequence[Header], watch: Watch) -> Sequence[Block]:
        """These blocks with their arrivals. Raises `NodeBlockGone`, `NodeStateMissing`, `NodeLimitReached`."""
        if not watch.addresses or not headers:
            return [Block(one, ()) for one in headers]
        if any(later.parent != earlier.hash for earlier, later in pairwise(headers)):
            raise NodeAnswerMalformed("headers do not follow each other")
        if (
            headers[0].height == 0
        ):  # nothing arrives in the first block, and there is no state before it to compare with
            return [Block(headers[0], ()), *await self.blocks(headers[1:], watch)]
        found = await self._found(headers, watch)
        coin = await self._coin_gains(found, watch)
        await self._ask_again(found[-1], coin[-1])
        token = await self._token_gains(found)
        return [
            Block(
                block.header,
                (
                    *coin_arrivals(block.payments, coin[place], block.header.hash, self._network.coin.id),
                    *token_arrivals(block.transfers, token[place], watch.tokens),
                ),
            )
            for place, block in enumerate(found)
        ]

    async def unconfirmed(self, watch: Watch) -> Unconfirmed:
        """Direct coin payments and token transfers in the block that the node would make now.

        Internal calls are not seen before their block is. A token transfer's key ends in `:pending`, since its log's
        place is not known yet.
        """
        tip = await self.tip()
        pending = answered(
            (await ask(self._rpc, MAYBE_PENDING, [("eth_getBlockByNumber", ("pending", WHOLE_TRANSACTIONS))]))[0]
        )
        if pending is None or quantity(pending.number) != tip.height + 1:
            return Unconfirmed(tip, ())
        watched = watch.by_key(_key)
        arrivals: list[Arrival] = []
        for call in pending.transactions:
            if call.to is None:
                continue
            address = watched.get(unhex(call.to))
            if address is not None and (units := quantity(call.value)):
                arrivals.append(Arrival(f"{call.hash}:native", call.hash, address, self._network.coin.id, units))
            elif (asset := watch.tokens.get(call.to.lower())) is not None:
                to, units = _transfer_arguments(unhex(call.input))
                if to in watched and units:
                    arrivals.append(Arrival(f"{call.hash}:pending", call.hash, watched[to], asset.id, units))
        return Unconfirmed(tip, tuple(arrivals))

    @property
    def rpc(self) -> RpcClient:
        """The node itself, for what `evm_outflow` asks beyond this port."""
        return self._rpc

    def prepare(self, headers: Sequence[Header]) -> None:
        """Nothing: an EVM block is asked for with its facts, in few requests."""

    async def close(self) -> None:
        """Close the connections."""
        await self._rpc.close()

    async def _check_network(self) -> None:
        chain_id = quantity(await self._rpc.call(str, "eth_chainId"))
        if chain_id != self._network.chain_id:
            self._genesis_seen = self._network.chain_id not in _GENESIS
            raise NodeOnWrongNetwork(f"{self.name} is on chain {chain_id}, not on {self._network.id}")
        if not self._genesis_seen:
            genesis = (await header(self._rpc, "0x0")).hash
            if genesis != _GENESIS[chain_id]:
                raise NodeOnWrongNetwork(f"{self.name} has the id of {self._network.id} but another first block")
            self._genesis_seen = True

    async def _found(self, headers: Sequence[Header], watch: Watch) -> list[_Found]:
        """Direct payments that did not fail, listed tokens' transfers and flushes, block by block."""
        bodies = await blocks_by_hash(self._rpc, [one.hash for one in headers])
        found = [_Found(one) for one in headers]
        await self._find_payments(bodies, found, watch)
        questions, places = _log_questions(bodies, watch)
        for question, place, answer in zip(questions, places, await logs(self._rpc, questions), strict=True):
            if question.topic == FLUSHED_TOPIC:
                found[place].flushes += _flushes(answer, watch)
            else:
                found[place].transfers += _transfers(answer, watch)
        return found

    async def _find_payments(self, bodies: Sequence[RpcBlock], found: Sequence[_Found], watch: Watch) -> None:
        watched = watch.by_key(_key)
        direct = []
        for place, body in enumerate(bodies):
            for transaction in body.transactions:
                # "0x0" before anything is converted: most transactions carry no coin.
                if transaction.to is None or transaction.value == "0x0":
                    continue
                address = watched.get(unhex(transaction.to))
                if address is not None:
                    units = quantity(transaction.value)
                    direct.append((place, body.hash, CoinPayment(transaction.hash, address, units)))
        outcomes = await receipts(self._rpc, [(payment.transaction, block) for _, block, payment in direct])
        for place, _, payment in direct:
            if quantity(outcomes[payment.transaction].status) == 1:
                found[place].payments.append(payment)

    async def _coin_gains(self, found: Sequence[_Found], watch: Watch) -> list[dict[str, int]]:
        """How much coin each address gained in each block, for open addresses and those paid directly.

        A range in which an address gained nothing in all holds no block in which it gained anything, because gains are
        never negative: so ranges are halved only where something came in. A quiet range costs two reads.
        """
        gains: list[dict[str, int]] = [{} for _ in found]
        paid = {payment.address for block in found for payment in block.payments}
        addresses = tuple(sorted((watch.open_addresses & watch.addresses) | paid))
        if not addresses:
            return gains
        first = found[0].header
        ends = await coin_balances(
            self._rpc,
            [BalanceQuestion(first.parent, addresses), BalanceQuestion(found[-1].header.hash, addresses)],
        )
        ranges = [_Range(0, len(found), ends[0], ends[1])]
        while ranges:
            for one in ranges:
                _drop_quiet(one, found)
            for one in ranges:
                if one.stop - one.start == 1:
                    flushes = found[one.start].flushes
                    for address, before in one.before.items():
                        out = flushed_units(flushes, address, COIN)
                        gains[one.start][address] = gained(before, one.after[address], out)
            wide = [one for one in ranges if one.stop - one.start > 1 and one.before]
            middles = await coin_balances(
                self._rpc,
                [BalanceQuestion(found[one.middle - 1].header.hash, tuple(one.before)) for one in wide],
            )
            ranges = [half for one, middle in zip(wide, middles, strict=True) for half in one.halves(middle)]
        return gains

    async def _ask_again(self, last: _Found, gains: Mapping[str, int]) -> None:
        """Make sure of coin that came without a transaction: balances alone tell of it.

        A node that is just making the next block may tell the next block's balance for its newest: the same payment
        would be credited here by its balance and there by its transaction. Raises `NodeAnswerMalformed`.
        """
        paid: Counter[str] = Counter()
        for payment in last.payments:
            paid[payment.address] += payment.units
        apart = tuple(address for address, units in gains.items() if units > paid[address])
        if not apart:
            return
        await asyncio.sleep(_BLOCK_MADE_SECONDS)
        places = (last.header.parent, last.header.hash)
        before, after = await coin_balances(self._rpc, [BalanceQuestion(place, apart) for place in places])
        for address in apart:
            if gained(before[address], after[address], flushed_units(last.flushes, address, COIN)) != gains[address]:
                raise NodeAnswerMalformed(f"{self.name}: two balances of {address} in block {last.header.hash}")

    async def _token_gains(self, found: Sequence[_Found]) -> list[dict[tuple[str, str], int]]:
        """How much of each token each address gained in each block in which a transfer to it was logged."""
        pairs = [
            (place, pair)
            for place, block in enumerate(found)
            for pair in sorted({(log.address, log.token) for log in block.transfers})
        ]
        questions = [
            TokenQuestion(block, token, address)
            for place, (address, token) in pairs
            for block in (found[place].header.parent, found[place].header.hash)
        ]
        answers = await token_balances(self._rpc, questions)
        gains: list[dict[tuple[str, str], int]] = [{} for _ in found]
        for number, (place, (address, token)) in enumerate(pairs):
            out = flushed_units(found[place].flushes, address, token)
            gains[place][address, token] = gained(answers[2 * number], answers[2 * number + 1], out)
        return gains


@dataclass(slots=True)
class _Range:
    """Blocks `start` to `stop` (not included), and balances before the first and after the last of them."""

    start: int
    stop: int
    before: dict[str, int]
    after: Mapping[str, int]

    @property
    def middle(self) -> int:
        return (self.start + self.stop) // 2

    def halves(self, middle: Mapping[str, int]) -> tuple[_Range, _Range]:
        return (
            _Range(self.start, self.middle, dict(self.before), middle),
            _Range(self.middle, self.stop, dict(middle), self.after),
        )


def _drop_quiet(one: _Range, found: Sequence[_Found]) -> None:
    """Looks no further at addresses that gained nothing in a range. A loss is a lie: it ends in `coin_arrivals`."""
    flushes = [flush for block in found[one.start : one.stop] for flush in block.flushes]
    for address in list(one.before):
        gain = gained(one.before[address], one.after[address], flushed_units(flushes, address, COIN))
        if gain == 0:
            del one.before[address]


def _key(address: str) -> bytes:
    return bytes.fromhex(address[2:])


def _log_questions(bodies: Sequence[RpcBlock], watch: Watch) -> tuple[list[LogQuestion], list[int]]:
    """Which blocks to ask for logs at all: a block's bloom tells for most that there are none of ours.

    An empty bloom over transactions tells nothing: some networks never fill it.
    """
    contracts = {token: keccak256(unhex(token)) for token in sorted(watch.tokens)}
    transfer, flushed = keccak256(unhex(TRANSFER_TOPIC)), keccak256(unhex(FLUSHED_TOPIC))
    questions, places = [], []
    for place, body in enumerate(bodies):
        if not body.transactions:
            continue
        bloom = quantity(body.bloom)
        may = [token for token, digest in contracts.items() if not bloom or bloom_may_hold(bloom, transfer, digest)]
        if may:
            questions.append(LogQuestion(body.hash, TRANSFER_TOPIC, tuple(may)))
            places.append(place)
        if not bloom or bloom_may_hold(bloom, flushed):
            questions.append(LogQuestion(body.hash, FLUSHED_TOPIC))
            places.append(place)
    return questions, places


def _transfers(found: Sequence[RpcLog], watch: Watch) -> list[TokenLog]:
    """Transfers of listed tokens to watched addresses; a transfer of nothing is spam."""
    watched = watch.by_key(_key)
    transfers = []
    for log in found:
        token = log.address.lower()
        data = unhex(log.data)
        if token not in watch.tokens or len(log.topics) != 3 or len(data) != 32:
            continue  # four topics: an ERC-721 token's transfer of the same name
        address = watched.get(_address_in(log.topics[2]))
        units = int.from_bytes(data, "big")
        if address is not None and units:
            transfers.append(TokenLog(log.transaction, quantity(log.index), token, address, units))
    return transfers


def _flushes(found: Sequence[RpcLog], watch: Watch) -> list[Flushed]:
    """What watched addresses themselves say to have sent to the vault. The same event of anybody else is nothing."""
    watched = watch.by_key(_key)
    flushes = []
    for log in found:
        address = watched.get(unhex(log.address))
        if address is not None and len(log.topics) == 2:
            token = "0x" + _address_in(log.topics[1]).hex()
            flushes.append(Flushed(address, token, int.from_bytes(unhex(log.data), "big")))
    return flushes


def _address_in(topic: str) -> bytes:
    data = unhex(topic)
    return data[12:] if data[:12] == _ADDRESS_TOPIC_HEAD else b""


def _transfer_arguments(data: bytes) -> tuple[bytes, int]:
    """Whom a call of `transfer(address,uint256)` pays how much; nobody for any other call."""
    if len(data) != 68 or data[:4] != TRANSFER_SELECTOR or data[4:16] != _ADDRESS_TOPIC_HEAD:
        return b"", 0
    return data[16:36], int.from_bytes(data[36:], "big")
