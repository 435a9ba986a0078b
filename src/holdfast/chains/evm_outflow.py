"""What an EVM node says about the float: its owner's nonces, receipts of its calls, what came to its contract.

What came is read from logs, not from balances as deposits are: the float pays and is paid in one and the same block.
Nothing is credited to anybody by it; a token that logs more than it moved only leaves lines unpaid.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from holdfast.chains.evm import EvmNode
from holdfast.chains.evm_contracts import TRANSFER_TOPIC
from holdfast.chains.evm_reads import (
    BalanceQuestion,
    LogQuestion,
    RpcHeader,
    RpcLog,
    TokenQuestion,
    answered,
    coin_balances,
    logs,
    quantity,
    token_balances,
    unhex,
)
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
from holdfast.chains.rpc import Call, Credentials, Limits
from holdfast.core.evm import address_bytes, keccak256
from holdfast.core.evm_float import RECEIVED_TOPIC, UNPAID_TOPIC, read_unpaid
from holdfast.core.money import AssetId
from holdfast.core.networks import EvmNetwork

_WHOLE, _HASHES = True, False


class _Receipt(msgspec.Struct, frozen=True):
    transaction: str = msgspec.field(name="transactionHash")
    block: str = msgspec.field(name="blockHash")
    gas: str = msgspec.field(name="gasUsed")
    to: str | None = None
    price: str = msgspec.field(name="effectiveGasPrice", default="0x0")
    l1_fee: str | None = msgspec.field(name="l1Fee", default=None)
    """What a rollup of the OP stack adds for its data."""
    status: str = "0x1"
    logs: list[RpcLog] = []


class _Names(RpcHeader, frozen=True, kw_only=True):
    transactions: list[str]


class _Sent(msgspec.Struct, frozen=True):
    hash: str
    nonce: str
    sender: str = msgspec.field(name="from")


class _Body(RpcHeader, frozen=True, kw_only=True):
    transactions: list[_Sent]


class _Queue(msgspec.Struct, frozen=True):
    transactions: list[_Sent]


class _Place(msgspec.Struct, frozen=True):
    block: str | None = msgspec.field(name="blockHash", default=None)


class _FeeHistory(msgspec.Struct, frozen=True):
    base_fees: list[str] = msgspec.field(name="baseFeePerGas")


# A union is a fine shape to msgspec and no type to mypy.
_MAYBE_RECEIPT: type[_Receipt | None] = _Receipt | None  # type: ignore[assignment]  # see above
_MAYBE_NAMES: type[_Names | None] = _Names | None  # type: ignore[assignment]  # see above
_MAYBE_BODY: type[_Body | None] = _Body | None  # type: ignore[assignment]  # see above
_MAYBE_QUEUE: type[_Queue | None] = _Queue | None  # type: ignore[assignment]  # see above
_MAYBE_PLACE: type[_Place | None] = _Place | None  # type: ignore[assignment]  # see above
_MAYBE_HEADER: type[RpcHeader | None] = RpcHeader | None  # type: ignore[assignment]  # see above


class EvmOutflow:
    """One EVM node, as an `outflow.OutflowNode`."""

    def __init__(
        self,
        url: str,
        network: EvmNetwork,
        *,
        name: str = "",
        credentials: Credentials | None = None,
        limits: Limits | None = None,
    ) -> None:
        """Connects at the first question. Raises `NodeUrlMalformed`."""
        self._node = EvmNode(
            url, network, name=name, credentials=credentials or Credentials(), limits=limits or Limits()
        )
        self._rpc = self._node.rpc
        self._network = network
        self.name = self._node.name

    async def tip(self) -> Header:
        """See `OutflowNode`."""
        return await self._node.tip()

    async def headers(self, height_from: int, height_to: int) -> Sequence[Header]:
        """See `OutflowNode`."""
        return await self._node.headers(height_from, height_to)

    async def median_time(self) -> int:
        """See `OutflowNode`."""
        return (await self.tip()).time

    async def block(self, height: int, wanted: Wanted) -> OutflowBlock:
        """See `OutflowNode`."""
        header, inside, spent = await self._body(height, wanted)
        names = [each for each in inside if each in wanted.transactions]
        mined = await self.mined(header, names)
        if len(mined) != len(names):
            raise NodeBlockGone(f"{self.name}: a receipt of another block than {header.hash}")
        return OutflowBlock(header, await self._funded(header, wanted), tuple(mined), spent)

    async def mined(self, header: Header, transactions: Sequence[str]) -> Sequence[Mined]:
        """See `OutflowNode`: by each transaction's receipt, if it names this very block."""
        found = []
        for transaction, receipt in zip(transactions, await self._receipts(transactions), strict=True):
            if receipt is None or receipt.block != header.hash:
                continue
            if receipt.transaction != transaction:
                raise NodeAnswerMalformed(f"{self.name}: a receipt of another transaction than {transaction}")
            found.append(_mined(receipt))
        return found

    async def unexplained(self, known: Known) -> Sequence[str]:
        """Nonces of the owner that are used, or wait, and are not ours; those of ours that something else took.

        Looked at twice before it is said, since the answers are of different moments. Raises `NodeBehind`.
        """
        first = await self._taken(known)
        if not first:
            return []
        second = await self._taken(known)
        return [each for each in first if each in second]

    async def holding(self, wanted: Wanted) -> Holding:
        """See `OutflowNode`: coin and listed tokens of all wanted addresses, nonces of all wanted senders."""
        tip = await self.tip()
        addresses, senders = sorted(wanted.addresses), sorted(wanted.senders)
        units: dict[tuple[str, AssetId], int] = {}
        if addresses:
            [coins] = await coin_balances(self._rpc, [BalanceQuestion(tip.hash, tuple(addresses))])
            units |= {(address, self._network.coin.id): coins[address] for address in addresses}
        pairs = [(address, token) for address in addresses for token in sorted(wanted.tokens)]
        questions = [TokenQuestion(tip.hash, token, address) for address, token in pairs]
        for (address, token), balance in zip(pairs, await token_balances(self._rpc, questions), strict=True):
            units[address, wanted.tokens[token].id] = balance
        nonces = {sender: await self._count(sender, hex(tip.height)) for sender in senders}
        return Holding(tip, units, nonces=nonces)

    async def status(self, transaction: str, outputs: int = 1) -> Status:
        """See `OutflowNode`. EVM transactions have no outputs, so `outputs` says nothing here."""
        await self.tip()
        place = await self._rpc.call(_MAYBE_PLACE, "eth_getTransactionByHash", transaction)
        if place is None or place.block is None:
            return Status(is_waiting=place is not None)
        found = await self._rpc.call(_MAYBE_HEADER, "eth_getBlockByHash", place.block, _HASHES)
        return Status(block=found.place if found is not None else None)

    async def fees(self) -> FeeRate:
        """The next block's base fee, and the tip that the node suggests; what it does not tell is worked out."""
        await self.tip()
        base = await self._next_base_fee()
        try:
            tip = quantity(await self._rpc.call(str, "eth_maxPriorityFeePerGas"))
        except NodeRefused:
            tip = max(0, quantity(await self._rpc.call(str, "eth_gasPrice")) - base)
        return FeeRate(base_fee_wei=base, priority_fee_wei=tip)

    async def send(self, raw: bytes) -> None:
        """See `OutflowNode`. A refusal is none if the node has this very transaction, in a block or waiting."""
        await self.tip()
        try:
            await self._rpc.call(str, "eth_sendRawTransaction", "0x" + raw.hex())
        except NodeRefused as refused:
            name = "0x" + keccak256(raw).hex()
            if await self._rpc.call(_MAYBE_PLACE, "eth_getTransactionByHash", name) is None:
                raise SendRefused(refused.detail) from None

    async def close(self) -> None:
        """Close the connections."""
        await self._node.close()

    async def _taken(self, known: Known) -> list[str]:
        tip = await self.tip()
        if tip.height < known.height:
            raise NodeBehind(f"{self.name}: at height {tip.height}, {known.height} was read before")
        used = await self._count(known.owner, hex(tip.height))
        waiting = await self._count(known.owner, "pending")
        past = sorted(nonce for nonce in known.nonces if nonce < used)
        foreign = [nonce for nonce in past if not any(await self._receipts(sorted(known.nonces[nonce])))]
        taken = [f"nonce {nonce} of {known.owner} is used by a transaction that is not ours" for nonce in foreign]
        if max(used, waiting) > known.next_nonce:
            taken.append(f"nonce {known.next_nonce} of {known.owner} is used, and we have signed nothing for it")
        return taken + await self._rivals(known)

    async def _rivals(self, known: Known) -> list[str]:
        """Transactions of the owner that are not ours and about to be in a block, where the node tells."""
        if not known.nonces:
            return []
        ours = {name for names in known.nonces.values() for name in names}
        [answer] = await self._rpc.batch(_MAYBE_QUEUE, [("eth_getBlockByNumber", ("pending", _WHOLE))])
        if answer is None or isinstance(answer, NodeRefused):
            return []
        owner = address_bytes(known.owner)
        rivals = [each for each in answer.transactions if unhex(each.sender) == owner and each.hash not in ours]
        return [
            f"nonce {quantity(each.nonce)} of {known.owner} is used by {each.hash}, which waits"
            for each in rivals
            if quantity(each.nonce) in known.nonces
        ]

    async def _body(self, height: int, wanted: Wanted) -> tuple[Header, list[str], tuple[Spent, ...]]:
        """A block's header, its transactions' names, and what wanted senders sent."""
        if not wanted.senders:
            named = await self._rpc.call(_MAYBE_NAMES, "eth_getBlockByNumber", hex(height), _HASHES)
            return self._place(named, height), named.transactions if named is not None else [], ()
        body = await self._rpc.call(_MAYBE_BODY, "eth_getBlockByNumber", hex(height), _WHOLE)
        sent = body.transactions if body is not None else []
        senders = {address_bytes(sender): sender for sender in wanted.senders}
        of_ours = [(senders[sender], each) for each in sent if (sender := unhex(each.sender)) in senders]
        spent = tuple(Spent(f"{sender}:{quantity(each.nonce)}", each.hash) for sender, each in of_ours)
        return self._place(body, height), [each.hash for each in sent], spent

    def _place(self, found: RpcHeader | None, height: int) -> Header:
        if found is None:
            raise NodeBlockGone(f"{self.name}: height {height}")
        if found.place.height != height:
            raise NodeAnswerMalformed(f"{self.name}: asked for {height}, got {found.number}")
        return found.place

    async def _funded(self, header: Header, wanted: Wanted) -> tuple[Arrival, ...]:
        if not wanted.addresses:
            return ()
        ours = {address_bytes(address): address for address in wanted.addresses}
        addresses = tuple(sorted(wanted.addresses))
        questions = [LogQuestion(header.hash, RECEIVED_TOPIC, addresses)]
        if wanted.tokens:
            questions.append(LogQuestion(header.hash, TRANSFER_TOPIC, tuple(sorted(wanted.tokens)), addresses))
        found = [log for part in await logs(self._rpc, questions) for log in part]
        arrivals = [self._arrival(log, ours, wanted) for log in sorted(found, key=lambda log: quantity(log.index))]
        return tuple(arrival for arrival in arrivals if arrival is not None)

    def _arrival(self, log: RpcLog, ours: dict[bytes, str], wanted: Wanted) -> Arrival | None:
        """What a log says to have come; None for one that says nothing of the kind: others may log what they like."""
        data, token = unhex(log.data), log.address.lower()
        if log.topics[:1] == [RECEIVED_TOPIC]:
            address, asset = ours.get(unhex(log.address)), self._network.coin.id
        elif token in wanted.tokens and len(log.topics) == 3:
            address, asset = ours.get(_address(log.topics[2])), wanted.tokens[token].id
        else:
            return None
        units = int.from_bytes(data, "big")
        if address is None or len(data) != 32 or not units:
            return None
        key = f"{log.transaction}:{quantity(log.index)}"
        return Arrival(key, log.transaction, address, asset, units)

    async def _receipts(self, transactions: Sequence[str]) -> list[_Receipt | None]:
        calls: list[Call] = [("eth_getTransactionReceipt", (each,)) for each in transactions]
        return [answered(answer) for answer in await self._rpc.batch(_MAYBE_RECEIPT, calls)]

    async def _count(self, account: str, block: str) -> int:
        return quantity(await self._rpc.call(str, "eth_getTransactionCount", account, block))

    async def _next_base_fee(self) -> int:
        """Nothing on networks without one."""
        try:
            history = await self._rpc.call(_FeeHistory, "eth_feeHistory", "0x1", "latest", [])
        except NodeRefused:
            return quantity((await self._rpc.call(RpcHeader, "eth_getBlockByNumber", "latest", _HASHES)).base_fee)
        return quantity(history.base_fees[-1]) if history.base_fees else 0


def _mined(receipt: _Receipt) -> Mined:
    unpaid = [log for log in receipt.logs if log.topics[:1] == [UNPAID_TOPIC] and log.address == receipt.to]
    return Mined(
        transaction=receipt.transaction,
        is_reverted=quantity(receipt.status) != 1,
        fee_units=quantity(receipt.gas) * quantity(receipt.price) + quantity(receipt.l1_fee or "0x0"),
        unpaid=tuple(read_unpaid(unhex(log.data)).index for log in unpaid),
    )


def _address(topic: str) -> bytes:
    data = unhex(topic)
    return data[12:] if not any(data[:12]) else b""
