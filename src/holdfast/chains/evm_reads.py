"""What an EVM node is asked, and its answers made into typed facts: one function a question, many answers a request.

Every answer is held against the block hash it was asked for, so that facts of two forks are never mixed.
It never decides what a fact means; that is `evm_attribution`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from holdfast.chains.evm_contracts import selector, word
from holdfast.chains.port import Header, NodeAnswerMalformed, NodeBlockGone, NodeRefused
from holdfast.chains.rpc import Call, RpcClient
from holdfast.core.errors import Unavailable
from holdfast.core.evm import address_bytes

Fact = TypeVar("Fact")

BALANCES_MAX = 1_000
"""Addresses in one balance read: about 6.4 million gas, far below what nodes allow an `eth_call`."""

# Creation code that returns 16 bytes of balance for each 20-byte address appended to it. Run by `eth_call` without a
# destination, it needs no helper contract on the network. Balances are below 2^128 wei on any chain (EIP-3541 would
# refuse an answer that begins with 0xef, which is 3.2e20 coins of 18 places).
# Offset 0: start behind the program (46 bytes) and write from memory 32 on; 4: loop while code is left: copy 20 bytes
# to memory 12, so that word 0 is the address; write its BALANCE, shifted to the left half of a word; 38: return.
_BALANCES = bytes.fromhex(
    "602e60205b38821015602657601482600c396000513160801b815260100190601401906004565b602090036020f3"
)
WHOLE_TRANSACTIONS = True
_HASHES_ONLY = False
_BALANCE_OF = selector("balanceOf(address)")

_GONE = ("not found", "unknown block", "header for hash", "not canonical")
_PRUNED = ("missing trie node", "pruned", "historical state", "state is not available", "state not available")
_TOO_MANY = ("more than", "too many", "limit", "too large", "exceed")


class NodeStateMissing(Unavailable):
    """The node no longer has the balances of that block. Use an archive node, or let its other node catch up first."""

    code = "node-state-missing"


class NodeLimitReached(Unavailable):
    """The node refuses to answer at that length, however short the question is made. Raise its limits or replace it."""

    code = "node-limit-reached"


class RpcTransaction(msgspec.Struct, frozen=True):
    """What matters of a transaction inside a block."""

    hash: str
    value: str
    to: str | None = None


class RpcCall(RpcTransaction, frozen=True):
    """A transaction that waits for a block, with what it calls."""

    input: str = "0x"


class RpcHeader(msgspec.Struct, frozen=True):
    """A block without its transactions."""

    number: str
    hash: str
    timestamp: str
    parent: str = msgspec.field(name="parentHash")
    base_fee: str = msgspec.field(name="baseFeePerGas", default="0x0")

    @property
    def place(self) -> Header:
        """Where the block stands."""
        return Header(quantity(self.number), self.hash, self.parent, quantity(self.timestamp))


class RpcBlock(RpcHeader, frozen=True, kw_only=True):
    """A block with its transactions."""

    bloom: str = msgspec.field(name="logsBloom")
    transactions: list[RpcTransaction]


class RpcPending(msgspec.Struct, frozen=True):
    """The block that the node would make now."""

    number: str
    transactions: list[RpcCall]


class RpcLog(msgspec.Struct, frozen=True):
    """A contract's log."""

    address: str
    topics: list[str]
    data: str
    transaction: str = msgspec.field(name="transactionHash")
    index: str = msgspec.field(name="logIndex")
    block: str = msgspec.field(name="blockHash")


class RpcReceipt(msgspec.Struct, frozen=True):
    """What became of a transaction."""

    transaction: str = msgspec.field(name="transactionHash")
    block: str = msgspec.field(name="blockHash")
    status: str = "0x1"


# A union is a fine shape to msgspec and no type to mypy.
MAYBE_PENDING: type[RpcPending | None] = RpcPending | None  # type: ignore[assignment]  # see above
_MAYBE_HEADER: type[RpcHeader | None] = RpcHeader | None  # type: ignore[assignment]  # see above
_MAYBE_BLOCK: type[RpcBlock | None] = RpcBlock | None  # type: ignore[assignment]  # see above
_MAYBE_RECEIPT: type[RpcReceipt | None] = RpcReceipt | None  # type: ignore[assignment]  # see above


class LogQuestion(msgspec.Struct, frozen=True):
    """Logs of one block: by contracts (none named: any), first topic, and addresses as third topic (none: any)."""

    block: str
    topic: str
    contracts: tuple[str, ...] = ()
    payees: tuple[str, ...] = ()


class BalanceQuestion(msgspec.Struct, frozen=True):
    """Coin balances of addresses at the end of one block."""

    block: str
    addresses: tuple[str, ...]


class TokenQuestion(msgspec.Struct, frozen=True):
    """The token balance of an address at the end of one block."""

    block: str
    token: str
    address: str


def quantity(text: str) -> int:
    """A JSON-RPC quantity. Raises `NodeAnswerMalformed`."""
    try:
        return int(text, 16) if text != "0x" else 0
    except ValueError:
        raise NodeAnswerMalformed(f"{text[:80]!r} is not a quantity") from None


def refusal(refused: NodeRefused) -> Unavailable:
    """What a node's error answer means: nodes agree neither on codes nor on words, so known phrases are looked for."""
    words = refused.detail.rsplit(": ", 1)[-1].lower()
    if any(phrase in words for phrase in _PRUNED):
        return NodeStateMissing(refused.detail)
    if any(phrase in words for phrase in _GONE):
        return NodeBlockGone(refused.detail)
    if any(phrase in words for phrase in _TOO_MANY):
        return NodeLimitReached(refused.detail)
    return refused


async def ask(
    rpc: RpcClient, shape: type[Fact], calls: Sequence[Call], *, at_once: int = 100
) -> list[Fact | NodeRefused]:
    """The answers to these calls in their order, `at_once` calls a request, two requests at a time."""
    parts = [calls[at : at + at_once] for at in range(0, len(calls), at_once)]
    found: list[Fact | NodeRefused] = []
    for pair in range(0, len(parts), 2):
        for answers in await asyncio.gather(*(rpc.batch(shape, part) for part in parts[pair : pair + 2])):
            found += answers
    return found


def answered(answer: Fact | NodeRefused) -> Fact:
    """The answer, if it is one. Raises what the node's refusal means."""
    if isinstance(answer, NodeRefused):
        raise refusal(answer)
    return answer


async def header(rpc: RpcClient, block: str) -> RpcHeader:
    """The header of a height (hexadecimal) or of `latest`."""
    return await rpc.call(RpcHeader, "eth_getBlockByNumber", block, _HASHES_ONLY)


async def headers_at(rpc: RpcClient, heights: Sequence[int]) -> list[RpcHeader | None]:
    """Headers by height on the node's present chain; None where there is none."""
    calls: list[Call] = [("eth_getBlockByNumber", (hex(height), _HASHES_ONLY)) for height in heights]
    return [answered(answer) for answer in await ask(rpc, _MAYBE_HEADER, calls)]


async def blocks_by_hash(rpc: RpcClient, hashes: Sequence[str]) -> list[RpcBlock]:
    """Blocks with whole transactions, in order. Raises `NodeBlockGone` where the node does not know one."""
    calls: list[Call] = [("eth_getBlockByHash", (block, WHOLE_TRANSACTIONS)) for block in hashes]
    blocks = []
    for wanted, answer in zip(hashes, await ask(rpc, _MAYBE_BLOCK, calls, at_once=16), strict=True):
        block = answered(answer)
        if block is None or block.hash != wanted:
            raise NodeBlockGone(f"block {wanted}")
        blocks.append(block)
    return blocks


async def logs(rpc: RpcClient, questions: Sequence[LogQuestion]) -> list[list[RpcLog]]:
    """Logs for each question. A question that a node finds too large is asked contract by contract.

    Raises `NodeBlockGone`, and `NodeLimitReached` where even one contract's logs of one block are refused.
    """
    calls: list[Call] = [("eth_getLogs", (_filter(question),)) for question in questions]
    found = []
    for question, answer in zip(questions, await ask(rpc, list[RpcLog], calls), strict=True):
        if _is_too_large(answer) and len(question.contracts) > 1:
            half = len(question.contracts) // 2
            parts = (question.contracts[:half], question.contracts[half:])
            halves = [msgspec.structs.replace(question, contracts=part) for part in parts]
            both = await logs(rpc, halves)
            found.append([log for part in both for log in part])
        else:
            found.append(_logs_of_block(answered(answer), question.block))
    return found


async def receipts(rpc: RpcClient, transactions: Sequence[tuple[str, str]]) -> dict[str, RpcReceipt]:
    """Receipts of (transaction, block) pairs, by transaction. Raises `NodeBlockGone` where one stands elsewhere now."""
    calls: list[Call] = [("eth_getTransactionReceipt", (name,)) for name, _ in transactions]
    found = {}
    for (name, block), answer in zip(transactions, await ask(rpc, _MAYBE_RECEIPT, calls), strict=True):
        receipt = answered(answer)
        if receipt is None or receipt.block != block:
            raise NodeBlockGone(f"transaction {name} is not in block {block}")
        found[name] = receipt
    return found


async def coin_balances(rpc: RpcClient, questions: Sequence[BalanceQuestion]) -> list[dict[str, int]]:
    """Coin balances for each question. Raises `NodeBlockGone`, `NodeStateMissing`."""
    pieces = [
        (number, question.block, question.addresses[at : at + BALANCES_MAX])
        for number, question in enumerate(questions)
        for at in range(0, len(question.addresses), BALANCES_MAX)
    ]
    calls: list[Call] = [("eth_call", _balances_call(block, part)) for _, block, part in pieces]
    found: list[dict[str, int]] = [{} for _ in questions]
    for (number, _, part), answer in zip(pieces, await ask(rpc, str, calls, at_once=20), strict=True):
        data = unhex(answered(answer))
        if len(data) != 16 * len(part):
            raise NodeAnswerMalformed(f"{len(data)} bytes of balances for {len(part)} addresses")
        for place, address in enumerate(part):
            found[number][address] = int.from_bytes(data[16 * place : 16 * place + 16], "big")
    return found


async def token_balances(rpc: RpcClient, questions: Sequence[TokenQuestion]) -> list[int]:
    """Token balances; nothing where the contract does not stand yet. Raises `NodeBlockGone`, `NodeStateMissing`."""
    calls: list[Call] = []
    for question in questions:
        data = _BALANCE_OF + address_bytes(question.address).rjust(32, b"\0")
        call = {"to": question.token, "data": "0x" + data.hex()}
        calls.append(("eth_call", (call, {"blockHash": question.block})))
    found = []
    for answer in await ask(rpc, str, calls):
        data = unhex(answered(answer))
        if len(data) not in (0, 32):
            raise NodeAnswerMalformed(f"{len(data)} bytes for one token balance")
        found.append(int.from_bytes(data, "big"))
    return found


def unhex(text: str) -> bytes:
    """Bytes from a JSON-RPC data field. Raises `NodeAnswerMalformed`."""
    try:
        return bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        raise NodeAnswerMalformed(f"{text[:80]!r} is not hexadecimal data") from None


def topic_of(address: str) -> str:
    """An address as a log's topic."""
    return "0x" + word(int.from_bytes(address_bytes(address), "big")).hex()


def _balances_call(block: str, addresses: Sequence[str]) -> tuple[object, ...]:
    data = _BALANCES.hex() + "".join(address[2:] for address in addresses)
    return ({"data": "0x" + data}, {"blockHash": block})


def _filter(question: LogQuestion) -> dict[str, object]:
    topics: list[object] = [question.topic]
    if question.payees:
        topics += [None, [topic_of(payee) for payee in question.payees]]
    asked: dict[str, object] = {"blockHash": question.block, "topics": topics}
    if question.contracts:
        asked["address"] = list(question.contracts)
    return asked


def _is_too_large(answer: object) -> bool:
    return isinstance(answer, NodeRefused) and isinstance(refusal(answer), NodeLimitReached)


def _logs_of_block(found: list[RpcLog], block: str) -> list[RpcLog]:
    if any(log.block != block for log in found):
        raise NodeBlockGone(f"a log of another block than {block}")
    return sorted(found, key=lambda log: quantity(log.index))
