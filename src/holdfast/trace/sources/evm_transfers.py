"""An EVM block as transfers: coin of transactions, coin of calls inside them, tokens by their logs, and fees.

Pure: a node's answers in, transfers out. Logs by ERC-20 (EIP-20), recognised as ERC-721 (EIP-721) and ERC-1155 where
they move a single thing; wrapped coins by `Deposit` and `Withdrawal` of the contracts that the token list names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import msgspec

from holdfast.chains.evm_contracts import TRANSFER_TOPIC
from holdfast.chains.evm_reads import quantity, unhex
from holdfast.chains.port import Header, NodeAnswerMalformed
from holdfast.core.evm import checksum, keccak256
from holdfast.trace.flows import UNITS_MAX
from holdfast.trace.follow.messages import memo_of_log
from holdfast.trace.model import FEES, Movement, Transfer
from holdfast.trace.sources.port import ORDER_BITS, LeftOut, Noticed
from holdfast.trace.sources.tokens import TokenList
from holdfast.trace.store_parts import AssetFact

_INSIDE, _LOGS, _FEE = 1, 1 << 22, (1 << ORDER_BITS) - 1
"""Places inside a transaction: its own coin, calls, logs, and the fee last. Whether a call was before a log no node
tells; taint is moved within one transaction in this order."""
_ZERO = "0x" + "00" * 20
_WORD = 32
_SINGLE_TOPICS = 4


def _topic(signature: str) -> str:
    return "0x" + keccak256(signature.encode()).hex()


_DEPOSIT, _UNWRAPPED = _topic("Deposit(address,uint256)"), _topic("Withdrawal(address,uint256)")
_PIECES = frozenset({
    _topic("TransferSingle(address,address,address,uint256,uint256)"),
    _topic("TransferBatch(address,address,address,uint256[],uint256[])"),
})  # fmt: skip


class EvmTransaction(msgspec.Struct, frozen=True):
    """What matters of a transaction."""

    hash: str
    sender: str = msgspec.field(name="from")
    value: str = "0x0"
    to: str | None = None


class EvmBlock(msgspec.Struct, frozen=True):
    """A block with its transactions."""

    number: str
    hash: str
    parent: str = msgspec.field(name="parentHash")
    timestamp: str
    transactions: list[EvmTransaction]

    @property
    def header(self) -> Header:
        """Where it stands."""
        return Header(quantity(self.number), self.hash, self.parent, quantity(self.timestamp))


class EvmLog(msgspec.Struct, frozen=True):
    """A contract's log."""

    address: str
    topics: list[str]
    data: str


class EvmReceipt(msgspec.Struct, frozen=True):
    """What became of a transaction."""

    transaction: str = msgspec.field(name="transactionHash")
    block: str = msgspec.field(name="blockHash")
    gas: str = msgspec.field(name="gasUsed")
    price: str = msgspec.field(name="effectiveGasPrice", default="0x0")
    l1_fee: str | None = msgspec.field(name="l1Fee", default=None)
    """Rollups: what the data costs on the chain below."""
    status: str = "0x1"
    contract: str | None = msgspec.field(name="contractAddress", default=None)
    logs: list[EvmLog] = []


@dataclass(frozen=True, slots=True)
class Inside:
    """Coin that a call inside a transaction moved."""

    source: str
    target: str
    units: int


@dataclass(slots=True)
class Told:
    """What became of blocks."""

    transfers: list[Transfer] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    noticed: Counter[str] = field(default_factory=Counter)
    assets: dict[str, AssetFact] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Exhibits:
    """Ids of the raw answers."""

    block: str = ""
    receipts: str = ""
    calls: str = ""


@dataclass(frozen=True, slots=True)
class Mined:
    """One transaction of a block, and all that is known of it."""

    block: EvmBlock
    place: int
    receipt: EvmReceipt
    inside: Sequence[Inside] = ()
    exhibits: Exhibits = Exhibits()


@dataclass(frozen=True, slots=True)
class _Move:
    source: str
    target: str
    asset: str
    units: int
    movement: Movement
    evidence: str
    place: int


@dataclass(frozen=True, slots=True)
class Teller:
    """Makes transfers of one network's transactions."""

    network: str
    coin: str
    """CAIP-19."""
    tokens: TokenList
    named: Callable[[str], tuple[str, int | None]]
    """Symbol and decimal places that a contract (lower case) says of itself."""

    def tell(self, mined: Mined, told: Told) -> list[Transfer]:
        """The transfers of one transaction; what it left out is counted in `told`."""
        transaction, header = mined.block.transactions[mined.place], mined.block.header
        memos = _memos(self.network, mined.receipt.logs)
        return [
            Transfer(
                self.network, header.height, (mined.place << ORDER_BITS) + move.place, header.time, transaction.hash,
                move.source, move.target, move.asset, move.units, move.movement, "", move.evidence,
                _memo_for(move, memos),
            )
            for move in self._moves(transaction, mined, told)
        ]  # fmt: skip

    def _moves(self, transaction: EvmTransaction, mined: Mined, told: Told) -> Iterator[_Move]:
        sender, receipt, exhibits = address(transaction.sender), mined.receipt, mined.exhibits
        if quantity(receipt.status) == 1:
            units = quantity(transaction.value)
            target = transaction.to or receipt.contract
            if units and target is not None:
                yield _Move(sender, address(target), self.coin, units, Movement.COIN, exhibits.block, 0)
            for number, call in enumerate(mined.inside):
                yield _Move(
                    call.source, call.target, self.coin, call.units, Movement.INTERNAL, exhibits.calls, _INSIDE + number
                )
            yield from self._logged(receipt, told, exhibits.receipts)
        else:
            told.left_out[LeftOut.FAILED] += 1
        fee = quantity(receipt.gas) * quantity(receipt.price) + quantity(receipt.l1_fee or "0x0")
        if fee:
            yield _Move(sender, FEES, self.coin, fee, Movement.FEE, exhibits.receipts, _FEE)

    def _logged(self, receipt: EvmReceipt, told: Told, evidence: str) -> Iterator[_Move]:
        wrappers = self.tokens.wrapped(self.network)
        minted = {_mint(log) for log in receipt.logs} - {None}
        for number, log in enumerate(receipt.logs):
            moved = transfer_log(log)
            if moved is None and log.address.lower() in wrappers and (log.address, log.data) not in minted:
                moved = _wrapped(log)
            if isinstance(moved, LeftOut):
                told.left_out[moved] += 1
                continue
            if moved is None:
                continue
            source, target, units = moved
            asset = self._asset(log.address, told)
            if asset:
                yield _Move(source, target, asset, units, Movement.TOKEN, evidence, _LOGS + number)

    def _asset(self, contract: str, told: Told) -> str:
        token = self.tokens.listed(self.network, address(contract))
        symbol, places = (token.symbol, token.decimals) if token is not None else self.named(contract.lower())
        verdict = self.tokens.judge(self.network, address(contract), symbol, places)
        if verdict.fact is None:
            told.left_out[verdict.refused or LeftOut.MALFORMED] += 1
            return ""
        if not verdict.fact.is_listed:
            told.noticed[Noticed.UNLISTED] += 1
            told.noticed[Noticed.DECIMALS] += places is None
        told.assets[verdict.asset] = verdict.fact
        return verdict.asset


def transfer_log(log: EvmLog) -> tuple[str, str, int] | LeftOut | None:
    """Source, target and units of a log that says that a token moved; why it is none; None: it says something else."""
    topic = log.topics[0].lower() if log.topics else ""
    if topic in _PIECES:
        return LeftOut.COLLECTIBLE
    if topic != TRANSFER_TOPIC:
        return None
    if len(log.topics) == _SINGLE_TOPICS:
        return LeftOut.COLLECTIBLE
    words = b"".join(unhex(each).rjust(_WORD, b"\0") for each in log.topics[1:]) + unhex(log.data)
    if len(words) != 3 * _WORD or any(words[:12]) or any(words[_WORD : _WORD + 12]):
        return LeftOut.MALFORMED
    units = int.from_bytes(words[2 * _WORD :])
    if not units:
        return LeftOut.NOTHING
    if units >= UNITS_MAX:
        return LeftOut.UNITS
    return checksum(words[12:_WORD]), checksum(words[_WORD + 12 : 2 * _WORD]), units


def inside_of_trace(entries: Sequence[Mapping[str, object]]) -> dict[str, list[Inside]]:
    """By transaction: coin moved inside it, from `trace_block`. What an undone call did is left out."""
    found: dict[str, list[Inside]] = {}
    undone: dict[str, list[list[object]]] = {}
    for entry in entries:
        name, action, path = entry.get("transactionHash"), entry.get("action"), entry.get("traceAddress")
        if not isinstance(name, str) or not isinstance(action, dict) or not isinstance(path, list):
            continue
        if entry.get("error") is not None:
            undone.setdefault(name, []).append(path)
        if any(path[: len(above)] == above for above in undone.get(name, ())):
            continue
        moved = _parity(str(entry.get("type")), action, entry.get("result"))
        if path and moved is not None:
            found.setdefault(name, []).append(moved)
    return found


def inside_of_calls(frame: Mapping[str, object]) -> list[Inside]:
    """Coin moved inside a transaction, from geth's `callTracer`; the outermost frame is the transaction itself."""
    if frame.get("error") is not None:
        return []
    found = []
    calls = frame.get("calls")
    for call in calls if isinstance(calls, list) else ():
        if not isinstance(call, dict) or call.get("error") is not None:
            continue
        if call.get("type") in ("CALL", "CREATE", "CREATE2", "SELFDESTRUCT"):
            moved = _inside(call.get("from"), call.get("to"), call.get("value"))
            found += [moved] if moved is not None else []
        found += inside_of_calls(call)
    return found


@lru_cache(maxsize=1 << 18)
def address(text: str) -> str:
    """EIP-55. Raises `NodeAnswerMalformed`."""
    raw = unhex(text)
    if len(raw) != len(_ZERO) // 2 - 1:
        raise NodeAnswerMalformed(f"{text[:80]!r} is no address")
    return checksum(raw)


def _parity(kind: str, action: Mapping[str, object], result: object) -> Inside | None:
    if kind == "call" and action.get("callType") == "call":
        return _inside(action.get("from"), action.get("to"), action.get("value"))
    if kind == "create" and isinstance(result, dict):
        return _inside(action.get("from"), result.get("address"), action.get("value"))
    if kind == "suicide":
        return _inside(action.get("address"), action.get("refundAddress"), action.get("balance"))
    return None


def _inside(source: object, target: object, value: object) -> Inside | None:
    if not isinstance(source, str) or not isinstance(target, str) or not isinstance(value, str):
        return None
    units = quantity(value)
    return Inside(address(source), address(target), units) if units else None


def _wrapped(log: EvmLog) -> tuple[str, str, int] | LeftOut | None:
    """A wrapped coin that is made or taken back, where its contract tells no transfer of it."""
    if len(log.topics) != 2 or log.topics[0].lower() not in (_DEPOSIT, _UNWRAPPED):
        return None
    holder, units = checksum(unhex(log.topics[1])[-20:]), int.from_bytes(unhex(log.data)[:_WORD])
    if not units:
        return LeftOut.NOTHING
    if units >= UNITS_MAX:
        return LeftOut.UNITS
    contract = address(log.address)
    return (contract, holder, units) if log.topics[0].lower() == _DEPOSIT else (holder, contract, units)


def _mint(log: EvmLog) -> tuple[str, str] | None:
    """Contract and amount of a transfer out of nothing or into it: then the wrapping is told already."""
    moved = transfer_log(log)
    return (log.address, log.data) if isinstance(moved, tuple) and _ZERO in moved[:2] else None


def _memos(network: str, logs: Sequence[EvmLog]) -> list[tuple[str, bytes]]:
    """What bridges say in this transaction, with the words in which they say it."""
    lines = ((memo_of_log(network, log.topics, log.data), log) for log in logs)
    return [(line, b"".join(unhex(each) for each in log.topics) + unhex(log.data)) for line, log in lines if line]


def _memo_for(move: _Move, memos: Sequence[tuple[str, bytes]]) -> str:
    """Of several bridges' words in one transaction, the one that names this transfer's amount and addresses."""
    if not memos or move.movement is Movement.FEE:
        return ""
    words = [move.units.to_bytes(_WORD)]
    words += [unhex(each).rjust(_WORD, b"\0") for each in (move.source, move.target)]
    return max(memos, key=lambda memo: sum(word in memo[1] for word in words))[0]
