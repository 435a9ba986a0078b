"""What platform and signer say to each other, as it travels: the signer asks, the platform answers; never the reverse.

Nothing in here is believed by the signer: documents carry their signatures, and what has none is a hint.
"""

from __future__ import annotations

from msgspec import Struct

from holdfast.core.intents import SignedIntent
from holdfast.core.journal import StoredEntry
from holdfast.core.leases import SignedLease
from holdfast.core.orders import SignedOrder, SignedWord
from holdfast.core.quorum import Signature


class SignedDocument(Struct, frozen=True, forbid_unknown_fields=True):
    """A policy or a certificate: the exact bytes as text, and officers' signatures."""

    document: str
    signatures: tuple[Signature, ...]


class OrderedPayout(Struct, frozen=True, forbid_unknown_fields=True):
    """A payout that is not decided yet."""

    payout: str
    """The intent's id; of a standing order with its slot: `id:slot`."""
    intent: SignedIntent
    approvals: tuple[Signature, ...]
    slot: int | None
    slot_units: str
    """What a standing order pays in this slot, as text; `0` for a payout."""


class DepositHint(Struct, frozen=True, forbid_unknown_fields=True):
    """A deposit is in this block."""

    network: str
    index: int
    merchant: str
    height: int


class FundingHint(Struct, frozen=True, forbid_unknown_fields=True):
    """Something arrived at the float in this block."""

    network: str
    height: int


class MinedHint(Struct, frozen=True, forbid_unknown_fields=True):
    """This transaction of the reservation is in this block."""

    reservation: int
    transaction: str
    height: int


class FlushHint(Struct, frozen=True, forbid_unknown_fields=True):
    """These deposit addresses hold something that a flush would bring to the vault (EVM)."""

    network: str
    indexes: tuple[int, ...]
    tokens: tuple[str, ...]
    """Contracts; the zero address stands for the coin."""


class WorkAnswer(Struct, frozen=True, forbid_unknown_fields=True):
    """All that waits for the signer, oldest first, at most so many of each kind."""

    version: str
    """To be sent as `after_version` with the next question: it is answered at once only if there is more by then."""
    journal_seq: int
    """The newest entry that is mirrored here."""
    policies: list[SignedDocument]
    certificates: list[SignedDocument]
    orders: list[SignedOrder]
    vetoes: list[SignedWord]
    recoveries: list[SignedWord]
    payouts: list[OrderedPayout]
    deposits: list[DepositHint]
    fundings: list[FundingHint]
    mined: list[MinedHint]
    flushes: list[FlushHint]

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return not any(getattr(self, name) for name in self.__struct_fields__ if name not in ("version", "journal_seq"))


class Waiting(Struct, frozen=True, forbid_unknown_fields=True):
    """Why a payout is not decided yet."""

    payout: str
    rule: str
    detail: str = ""


class JournalPost(Struct, frozen=True, forbid_unknown_fields=True):
    """New entries of the journal, once the watchtower holds them."""

    after: int
    """The entries follow this one."""
    entries: tuple[StoredEntry, ...] = ()
    lease: SignedLease | None = None
    """The watchtower's receipt for the last of them."""
    waiting: tuple[Waiting, ...] = ()


class JournalAnswer(Struct, frozen=True, forbid_unknown_fields=True):
    """What is mirrored now."""

    journal_seq: int
