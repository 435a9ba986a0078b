"""The words of a trace: transfers as a chain has them, labels, and what was found, each with its reason. Pure values.

Units are integers of the asset's smallest unit. An address is in the network's canonical form (EIP-55 on EVM).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

FEES = "fees"
"""`Transfer.target` of a fee: miners have addresses too, but nobody follows money to them."""


class Movement(StrEnum):
    """What moved it."""

    COIN = "coin"
    """A transaction of the account itself (EVM)."""
    INTERNAL = "internal"
    """A call inside a transaction (EVM, where the node tells)."""
    TOKEN = "token"  # noqa: S105  a kind of asset, no secret
    """A log of a token's contract."""
    INPUT = "input"
    """An output's units into the transaction that spends it (Bitcoin family); `target` is the transaction."""
    OUTPUT = "output"
    """A transaction's units to an output's address (Bitcoin family); `source` is the transaction."""
    FEE = "fee"
    """What a transaction left to the miner; the last thing that it pays."""


class Transfer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One movement of one asset. Its place (`height`, `order`) is its place in time."""

    network: str
    """CAIP-2."""
    height: int
    order: int
    """Place inside the block, transactions first: no two transfers of a block share it."""
    time: int
    """The block's, seconds since 1970."""
    transaction: str
    source: str
    target: str
    asset: str
    """CAIP-19."""
    units: int
    movement: Movement = Movement.COIN
    outpoint: str = ""
    """`txid:vout` of the output that is spent or made (Bitcoin family): it is the node that taint lies at."""
    evidence: str = ""
    """Id of the raw reply that shows it, in the case's evidence."""
    memo: str = ""
    """What the transaction says beside: text of an OP_RETURN output, or of a bridge's log."""


class LabelKind(StrEnum):
    """What a labelled address is. Services end a trace: behind them is everybody's money."""

    EXCHANGE = "exchange"
    DEPOSIT = "exchange-deposit"
    """A customer's deposit address at an exchange: the exchange knows whose."""
    SWAPPER = "swapper"
    """A custodial swap service: in one asset, out another, from its own stock."""
    DEX = "dex"
    BRIDGE = "bridge"
    MIXER = "mixer"
    ISSUER = "issuer"
    GAMBLING = "gambling"
    PAYMENT = "payment-processor"
    CUSTODY = "custodial-service"
    """Another that holds many people's money: a hosted wallet, a market, a pool."""
    CONTRACT = "contract"
    SANCTIONED = "sanctioned"
    THEFT = "theft"
    CRIME = "crime"
    """Of money that was got by another crime: ransom, fraud, a market of forbidden goods."""
    FROZEN = "frozen"
    """An issuer has frozen its token there."""
    VICTIM = "victim"
    OTHER = "other"

    @property
    def is_service(self) -> bool:
        """Whether many people's money mixes there."""
        return self in _SERVICES


_SERVICES = frozenset({
    LabelKind.EXCHANGE, LabelKind.DEPOSIT, LabelKind.SWAPPER, LabelKind.DEX, LabelKind.BRIDGE, LabelKind.MIXER,
    LabelKind.ISSUER, LabelKind.GAMBLING, LabelKind.PAYMENT, LabelKind.CUSTODY,
})  # fmt: skip


class Label(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What somebody says of an address: a claim with its source, never a fact."""

    network: str
    """CAIP-2, or `eip155:*` for an account that is the same on every EVM network."""
    address: str
    name: str
    """Of the actor: `Binance`, `Lazarus Group`."""
    kind: LabelKind
    source: str
    """The feed or document, with its version."""
    confidence: int
    """0 to 100, as STIX has it."""
    stated_at: int
    """Seconds since 1970: when the source said so."""
    valid_from: int = 0
    valid_until: int = 0
    """0: still. An address is sanctioned from and until."""


class Reason(StrEnum):
    """Why a step was taken."""

    THEFT = "theft"
    DIRECT = "direct"
    """The tainted node sent it."""
    CHANGE = "change"
    PEEL = "peel"
    SWAP = "swap"
    """Another asset came back in the same transaction."""
    WRAP = "wrap"
    BRIDGE = "bridge"
    """The chain itself says where it came out."""
    CANDIDATE = "candidate"
    """Amount and time fit: one of several."""
    MIXER = "mixer"
    OVERRULED = "overruled"
    """A person decided."""


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One edge of a trace."""

    id: str
    """`E` and twelve hex digits of a hash of what it says: the same in every run, so that a decision about it stays."""
    transfer: Transfer
    hop: int
    reason: Reason
    confidence: int
    """0 to 100."""
    carried: dict[str, int]
    """By `taint.Policy`: how much of the theft it carried, in units of its asset."""
    of: int = 1
    """Of how many candidates this is one."""
    why: str = ""
    """In a sentence, with the figures that decided."""
    after: tuple[str, ...] = ()
    """Ids of the steps whose money this is, where the chain does not show it: the leg into a swap or a bridge, the
    payment to a swapper. Empty: those that paid its source."""


class EndKind(StrEnum):
    """Why a trace goes no further at an address."""

    SERVICE = "service"
    UNSPENT = "unspent"
    BELOW = "below-the-limit"
    TIME = "after-the-limit"
    UNREADABLE = "unreadable"
    """The source could not tell."""
    OVERRULED = "overruled"


class End(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where some of it is now."""

    network: str
    address: str
    asset: str
    kind: EndKind
    lies: dict[str, int]
    """By policy: how much of the theft lies there, in units of the asset."""
    label: Label | None = None
    detail: str = ""


class Crossing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where money became another asset, or came out on another network: what was given and what was got for it.

    Per asset and policy: stolen + all got = all ends + all given.
    """

    reason: Reason
    confidence: int
    gave: dict[str, dict[str, int]]
    """By asset and policy: how much of the theft went in."""
    got: dict[str, dict[str, int]]
    """How much of it came out."""
    into: tuple[str, ...]
    """Ids of the steps that went in."""
    out: tuple[str, ...]
    why: str = ""


class Chain(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A peel chain: a remainder that goes on and on, and what was peeled off at each hop. Shown and counted as one."""

    steps: tuple[str, ...]
    """Ids of the remainder's steps, in order."""
    peels: tuple[str, ...]
    longest_gap: int
    """Seconds that the remainder rested, at most."""
    ambiguous: int
    """Hops at which another output could have been the remainder."""
    ended: str
    """Why it ends there."""


@dataclass(slots=True)
class Trace:
    """What was found of one theft."""

    thefts: list[Transfer] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    ends: list[End] = field(default_factory=list)
    skipped: dict[str, int] = field(default_factory=dict)
    """By reason: rows that were left out (spam tokens, poison, malformed), counted and never silent."""
    crossings: list[Crossing] = field(default_factory=list)
    chains: list[Chain] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    """Where it had to stop, and why."""
