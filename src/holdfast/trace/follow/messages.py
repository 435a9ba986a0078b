"""What bridges say on chain about where money comes out: logs and memos, decoded into one line of text each.

A source keeps the line as `Transfer.memo`; following reads it back. The table of what is understood:

bridge       sent                                   came out                        what ties them
THORChain    router `Deposit`, memo, OP_RETURN      `TransferOut`, OP_RETURN        `OUT:` and the sender's transaction
CCTP         `DepositForBurn` (versions 1, 2)       `MessageReceived`               source domain and nonce (version 1)
LayerZero    `OFTSent` (Stargate 2 too)             `OFTReceived`                   guid
Wormhole     `LogMessagePublished` of a transfer    `TransferRedeemed`              chain, emitter and sequence
Across       `V3FundsDeposited`, `FundsDeposited`   `FilledV3Relay`, `FilledRelay`  chain and depositId
deBridge     `CreatedOrder`                         `FulfilledOrder`                orderId

Layouts are those of the bridges' published contracts. A log that is shorter than its layout says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from holdfast.core.evm import checksum, keccak256

WORD = 32
CCTP_NETWORKS: Final = {0: 1, 1: 43114, 2: 10, 3: 42161, 6: 8453, 7: 137, 10: 130, 11: 59144, 13: 146}
"""Circle's domains, by EIP-155 chain id."""
LAYERZERO_NETWORKS: Final = {
    30101: 1, 30102: 56, 30106: 43114, 30109: 137, 30110: 42161, 30111: 10, 30183: 59144, 30184: 8453, 30214: 534352,
}  # fmt: skip
"""Endpoint ids of LayerZero 2."""
WORMHOLE_NETWORKS: Final = {2: 1, 4: 56, 5: 137, 6: 43114, 23: 42161, 24: 10, 30: 8453}
OTHER_FAMILIES: Final = {7565164: "solana"}
"""deBridge's chain ids are EIP-155's but for these."""


class Message(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, tag_field="bridge", tag="1"):
    """One bridge's word about one crossing."""

    name: str
    key: str
    """What both sides have in common; empty: recipient, time and amount must do."""
    is_sent: bool
    network: str = ""
    """CAIP-2 of the other side; empty: one that has no such id here."""
    recipient: str = ""
    """Who gets it there, in that network's form; empty: unknown."""


def memo_of_log(network: str, topics: Sequence[str], data: str) -> str:
    """The line to keep of one log (hex with 0x, as a node gives it); empty: no bridge that is known here."""
    if not topics:
        return ""
    decode = _DECODERS.get(topics[0].lower())
    if decode is None:
        return ""
    try:
        words = _Words(network, tuple(bytes.fromhex(t.removeprefix("0x")) for t in topics),
                       bytes.fromhex(data.removeprefix("0x")))  # fmt: skip
        return decode(words)
    except (ValueError, IndexError):  # a foreign contract's log with the same name, or cut short
        return ""


def message_of(network: str, memo: str, transaction: str) -> Message | None:
    """What a memo says, if it is a bridge's; `transaction` is the one that carries it."""
    if memo.startswith("{"):
        try:
            return msgspec.json.decode(memo, type=Message)
        except msgspec.DecodeError:
            return None
    return _thorchain(network, memo, transaction)


# --- THORChain: SWAP:ASSET:ADDRESS:LIMIT..., `=` and `s` for SWAP; OUT:HASH on the other side -----------------------

_THOR_CHAINS: Final = {
    "ETH": "eip155:1", "AVAX": "eip155:43114", "BSC": "eip155:56", "BASE": "eip155:8453",
    "BTC": "bip122:000000000019d6689c085ae165831e93", "LTC": "bip122:12a765e31ffd4059bada1e25190f6e98",
    "DOGE": "bip122:1a91e3dace36e2be3bf030a65679fe82", "BCH": "bip122:000000000000000000651ef99cb9fcbe",
}  # fmt: skip
_THOR_SHORT: Final = {"B": "BTC", "E": "ETH", "L": "LTC", "D": "DOGE", "C": "BCH", "A": "AVAX", "S": "BSC", "F": "BASE"}
_THOR_SWAP: Final = ("SWAP", "=", "S")


def _thorchain(network: str, memo: str, transaction: str) -> Message | None:
    parts = memo.strip().split(":")
    verb = parts[0].upper()
    if verb in ("OUT", "REFUND") and len(parts) > 1 and len(parts[1]) == 2 * WORD:
        return Message("THORChain", _plain(parts[1]), is_sent=False)
    if verb not in _THOR_SWAP or len(parts) < 3:
        return None
    asset = parts[1].upper().replace("~", ".").replace("/", ".")
    chain = _THOR_SHORT.get(asset, asset.split(".")[0])
    recipient = parts[2].split("/")[0]
    target = _THOR_CHAINS.get(chain, "")
    if target.startswith("eip155:"):
        raw = recipient.removeprefix("0x")
        is_hex = len(raw) == 40 and all(c in "0123456789abcdefABCDEF" for c in raw)
        recipient = checksum(bytes.fromhex(raw)) if is_hex else ""  # else a THORName
    return Message("THORChain", _plain(transaction), is_sent=True, network=target, recipient=recipient)


def _plain(transaction: str) -> str:
    return transaction.lower().removeprefix("0x")


# --- logs ---------------------------------------------------------------------------------------------------------


class _Words:
    def __init__(self, network: str, topics: tuple[bytes, ...], data: bytes) -> None:
        self.network, self.topics, self.data = network, topics, data
        self.chain = int(network.partition(":")[2]) if network.startswith("eip155:") else 0

    def word(self, at: int) -> bytes:
        found = self.data[at * WORD : (at + 1) * WORD]
        if len(found) < WORD:
            raise IndexError(at)
        return found

    def number(self, at: int) -> int:
        return int.from_bytes(self.word(at))

    def topic(self, at: int) -> int:
        return int.from_bytes(self.topics[at])

    def text(self, at: int) -> bytes:
        start = self.number(at)
        size = int.from_bytes(self.data[start : start + WORD])
        found = self.data[start + WORD : start + WORD + size]
        if len(found) != size:
            raise IndexError(at)
        return found


def _line(name: str, key: str, *, is_sent: bool, network: str = "", recipient: bytes = b"") -> str:
    known = network if network != "eip155:0" else ""
    who = checksum(recipient[-20:]) if len(recipient) >= 20 and known and not any(recipient[:-20]) else ""
    return msgspec.json.encode(Message(name, key, is_sent=is_sent, network=known, recipient=who)).decode()


def _memo_at(at: int) -> Callable[[_Words], str]:
    return lambda log: log.text(at).decode("utf-8", "replace")


def _cctp_sent(log: _Words) -> str:
    own = next((domain for domain, chain in CCTP_NETWORKS.items() if chain == log.chain), None)
    key = "" if own is None else f"{own}:{log.topic(1)}"
    target = f"eip155:{CCTP_NETWORKS.get(log.number(2), 0)}"
    return _line("CCTP", key, is_sent=True, network=target, recipient=log.word(1))


def _cctp2_sent(log: _Words) -> str:
    target = f"eip155:{CCTP_NETWORKS.get(log.number(2), 0)}"
    return _line("CCTP 2", "", is_sent=True, network=target, recipient=log.word(1))


def _cctp_got(log: _Words) -> str:
    return _line("CCTP", f"{log.number(0)}:{log.topic(2)}", is_sent=False,
                 network=f"eip155:{CCTP_NETWORKS.get(log.number(0), 0)}")  # fmt: skip


def _oft(*, is_sent: bool) -> Callable[[_Words], str]:
    def decode(log: _Words) -> str:
        target = f"eip155:{LAYERZERO_NETWORKS.get(log.number(0), 0)}"
        # The log of the sender names who sends, not who receives: the guid alone ties the two.
        return _line("LayerZero", log.topics[1].hex(), is_sent=is_sent, network=target)

    return decode


def _wormhole_sent(log: _Words) -> str:
    own = next((number for number, chain in WORMHOLE_NETWORKS.items() if chain == log.chain), 0)
    payload = log.text(2)
    if len(payload) < 101 or payload[0] not in (1, 3):  # token bridge: transfer, transfer with payload
        return ""
    target = int.from_bytes(payload[99:101])
    key = f"{own}:{log.topics[1].hex()}:{log.number(0)}"
    return _line("Wormhole", key, is_sent=True, network=f"eip155:{WORMHOLE_NETWORKS.get(target, 0)}",
                 recipient=payload[67:99])  # fmt: skip


def _wormhole_got(log: _Words) -> str:
    key = f"{log.topic(1)}:{log.topics[2].hex()}:{log.topic(3)}"
    return _line("Wormhole", key, is_sent=False, network=f"eip155:{WORMHOLE_NETWORKS.get(log.topic(1), 0)}")


def _across_sent(recipient_at: int) -> Callable[[_Words], str]:
    return lambda log: _line(
        "Across", f"{log.chain}:{log.topic(2)}", is_sent=True, network=f"eip155:{log.topic(1)}",
        recipient=log.word(recipient_at),
    )  # fmt: skip


def _across_got(log: _Words) -> str:
    return _line("Across", f"{log.topic(1)}:{log.topic(2)}", is_sent=False, network=f"eip155:{log.topic(1)}")


def _debridge(*, is_sent: bool) -> Callable[[_Words], str]:
    def decode(log: _Words) -> str:
        order = _Words(log.network, (), log.data[log.number(0) :])
        give, take = order.number(2), order.number(5)
        other = take if is_sent else give
        target = "" if other in OTHER_FAMILIES else f"eip155:{other}"
        return _line("deBridge", log.word(1).hex(), is_sent=is_sent, network=target,
                     recipient=order.text(8) if is_sent else b"")  # fmt: skip

    return decode


def _topic(signature: str) -> str:
    return "0x" + keccak256(signature.encode()).hex()


_ORDER = "(uint64,bytes,uint256,bytes,uint256,uint256,bytes,uint256,bytes,bytes,bytes,bytes,bytes,bytes)"
_BY_SIGNATURE: Final[dict[str, Callable[[_Words], str]]] = {
    "Deposit(address,address,uint256,string)": _memo_at(1),
    "TransferOut(address,address,address,uint256,string)": _memo_at(2),
    "DepositForBurn(uint64,address,uint256,address,bytes32,uint32,bytes32,bytes32)": _cctp_sent,
    "DepositForBurn(address,uint256,address,bytes32,uint32,bytes32,bytes32,uint256,uint32,bytes)": _cctp2_sent,
    "MessageReceived(address,uint32,uint64,bytes32,bytes)": _cctp_got,
    "OFTSent(bytes32,uint32,address,uint256,uint256)": _oft(is_sent=True),
    "OFTReceived(bytes32,uint32,address,uint256)": _oft(is_sent=False),
    "LogMessagePublished(address,uint64,uint32,bytes,uint8)": _wormhole_sent,
    "TransferRedeemed(uint16,bytes32,uint64)": _wormhole_got,
    "V3FundsDeposited(address,address,uint256,uint256,uint256,uint32,uint32,uint32,uint32,address,address,address,bytes)":
        _across_sent(7),
    "FundsDeposited(bytes32,bytes32,uint256,uint256,uint256,uint256,uint32,uint32,uint32,bytes32,bytes32,bytes32,bytes)":
        _across_sent(7),
    "FilledV3Relay(address,address,uint256,uint256,uint256,uint256,uint32,uint32,uint32,address,address,address,"
    "address,bytes,(address,bytes,uint256,uint8))": _across_got,
    "FilledRelay(bytes32,bytes32,uint256,uint256,uint256,uint256,uint256,uint32,uint32,bytes32,bytes32,bytes32,"
    "bytes32,bytes32,(bytes32,bytes32,uint256,uint8))": _across_got,
    f"CreatedOrder({_ORDER},bytes32,bytes,uint256,uint256,uint32,bytes)": _debridge(is_sent=True),
    f"FulfilledOrder({_ORDER},bytes32,address,address)": _debridge(is_sent=False),
}  # fmt: skip
_DECODERS: Final = {_topic(signature): decode for signature, decode in _BY_SIGNATURE.items()}

TOPICS: Final = frozenset(_DECODERS)
"""First topics of the logs that are understood: what a source asks a node for."""
