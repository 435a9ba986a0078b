"""The signer's journal as values: what an entry is, how each is bound to all before it, how a copy is checked.

The same records are read by signer, watchtower, platform and the officers' checking machine. An entry is never changed:
its hash covers the one before, so whoever holds the newest hash holds the whole history (RFC 6962 has the idea).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from holdfast.core import canonical
from holdfast.core.canonical import DocumentNotCanonical
from holdfast.core.errors import BadInput
from holdfast.core.intents import SignedIntent
from holdfast.core.orders import SignedOrder, SignedWord
from holdfast.core.quorum import Signature

ENTRY_TAG = b"holdfast journal 1\0"
ENTRY_BYTES_MAX = 1_000_000
EMPTY = "0" * 64
"""The hash before the first entry."""


class JournalBroken(BadInput):
    """A journal's entries do not follow from one another: one was edited, lost or put in. Restore an exact copy."""

    code = "journal-broken"


class Ordered(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="ordered", tag_field="kind"):
    """An officers' order was taken."""

    order: SignedOrder
    at: int


class PolicyTaken(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="policy", tag_field="kind"):
    """A signed policy was taken; when it counts, follows from what it loosens."""

    document: str
    signatures: tuple[Signature, ...]
    at: int
    """Seconds since 1970 by the signer's clock and the watchtower's, the later one: a delay that begins here ends by
    the earlier one, so that neither clock alone can shorten it."""


class CertificateTaken(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="certificate", tag_field="kind"):
    """A merchant's signed certificate was taken; a new key counts after its cooling-off."""

    document: str
    signatures: tuple[Signature, ...]
    at: int


class VetoTaken(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="veto", tag_field="kind"):
    """A merchant's veto was taken: nothing of his is signed until it is decided."""

    veto: SignedWord
    at: int


class RecoveryTaken(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="recovery", tag_field="kind"):
    """A merchant's recovery key decided which certificate of his counts."""

    recovery: SignedWord
    at: int


class Started(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="started", tag_field="kind"):
    """The signer started."""

    boot: str
    """Id of the machine's boot: boot clocks can be compared within one only."""
    version: str


class Clock(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="clock", tag_field="kind"):
    """Three clocks as they stood, and the time by which a network's limits have refilled."""

    network: str
    boot: str
    boot_seconds: int
    tower_seconds: int
    chain_seconds: int
    """Median time of the network's newest blocks."""
    refill_seconds: int
    """Since the genesis: never more than any clock allows."""


class Deposit(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="deposit", tag_field="kind"):
    """Money arrived at a merchant's deposit address and is final by the policy: his entitlement grows."""

    network: str
    key: str
    """`chains.port.Arrival.key`."""
    index: int
    merchant: str
    asset: str
    units: int
    tariff_units: int
    height: int
    hash: str


class DepositGone(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="deposit-gone", tag_field="kind"):
    """A deposit's block left the chain, deeper than the policy's confirmations."""

    network: str
    key: str


class Funding(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="funding", tag_field="kind"):
    """Money arrived at the float: a settlement, or the company's own."""

    network: str
    key: str
    """`txid:vout`, or `txhash:logindex`."""
    address: str
    asset: str
    units: int
    height: int
    hash: str


class FundingGone(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="funding-gone", tag_field="kind"):
    """A funding's block left the chain, deeper than the policy's confirmations."""

    network: str
    key: str


class Refused(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="refused", tag_field="kind"):
    """A tombstone: this payout will never be signed, and this rule is why."""

    payout: str
    rule: str
    detail: str


class Accepted(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="accepted", tag_field="kind"):
    """A payout was allowed: entitlement and limits are charged."""

    payout: str
    """The intent's id; of a standing order with its slot: `id:slot`."""
    intent: SignedIntent
    approvals: tuple[Signature, ...]
    slot: int | None
    slot_units: int
    """What a standing order pays in this slot; 0 for a payout."""
    at: int
    refill_seconds: int


class Reserved(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="reserved", tag_field="kind"):
    """A transaction is going to be signed: these exact bytes, these inputs or this nonce. Its `seq` is its name."""

    network: str
    asset: str
    purpose: str
    """`payout`, or the kind of house transaction."""
    account: str
    """Whose coins and nonces it takes: the float's address, or the gas account's."""
    payouts: tuple[str, ...]
    transaction: str
    """Unsigned bytes, hex."""
    inputs: tuple[str, ...]
    """Outpoints (Bitcoin family)."""
    nonce: int | None
    """EVM."""
    out_units: int
    """What leaves the float, fee aside, in the asset."""
    change_index: int | None
    """Place of the output that returns to the float (Bitcoin family)."""
    change_units: int
    fee_units: int
    """Most that it can cost, in the network's coin."""
    extra_fee_units: int
    """What it adds to the fees charged before: all of `fee_units`, or a replacement's surplus."""
    replaces: int | None
    """`seq` of the reservation whose place it takes: it shares an input or the nonce."""
    refill_seconds: int


class Signed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="signed", tag_field="kind"):
    """The bytes of a reservation, signed. They leave once this entry is witnessed."""

    reservation: int
    transaction: str
    """Id by which the network knows it."""
    raw: str


class Mined(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="mined", tag_field="kind"):
    """A signed transaction is final by the policy."""

    reservation: int
    transaction: str
    height: int
    hash: str
    is_reverted: bool
    fee_units: int
    """What it did cost, in the network's coin."""
    unpaid: tuple[tuple[str, int], ...]
    """Lines that moved nothing: payout and place among its lines. Their entitlement comes back."""


class Abandoned(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="abandoned", tag_field="kind"):
    """An accepted payout that was not and will not be signed: the entitlement comes back, limits do not."""

    payout: str
    rule: str


class Stopped(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="stopped", tag_field="kind"):
    """The signer stopped itself: only a quorum's restore lets this scope go on."""

    scope: str
    reason: str


Body = (
    Ordered | PolicyTaken | CertificateTaken | VetoTaken | RecoveryTaken | Started | Clock
    | Deposit | DepositGone | Funding | FundingGone
    | Refused | Accepted | Reserved | Signed | Mined | Abandoned | Stopped
)  # fmt: skip


class _Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    body: Body
    seq: int
    written_at: int


class StoredEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An entry as it is kept and sent."""

    document: str
    hash: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry, read."""

    seq: int
    """From 1, without gaps."""
    written_at: int
    """Milliseconds since 1970 by the signer's clock: for people, never for a decision."""
    body: Body
    stored: StoredEntry


@dataclass(frozen=True, slots=True)
class Head:
    """Where a journal stands."""

    seq: int = 0
    hash: str = EMPTY


def make_entry(head: Head, body: Body, written_at: int) -> Entry:
    """The entry that follows `head`. Raises `DocumentNotCanonical`."""
    seq = head.seq + 1
    document = canonical.write(_Record(body, seq, written_at))
    return Entry(seq, written_at, body, StoredEntry(document.decode(), entry_hash(head.hash, document)))


def entry_hash(previous: str, document: bytes) -> str:
    """SHA-256 over the tag, the hash before and the entry's canonical bytes, hex."""
    return hashlib.sha256(ENTRY_TAG + bytes.fromhex(previous) + document).hexdigest()


def read_entries(head: Head, stored: Iterable[StoredEntry]) -> list[Entry]:
    """These entries, if each follows from the one before, the first from `head`. Raises `JournalBroken`."""
    entries = []
    for one in stored:
        entry = _follow(head, one)
        entries.append(entry)
        head = Head(entry.seq, one.hash)
    return entries


def head_of(entry: Entry) -> Head:
    """The head once this is the newest entry."""
    return Head(entry.seq, entry.stored.hash)


def _follow(head: Head, stored: StoredEntry) -> Entry:
    place = head.seq + 1
    document = stored.document.encode()
    if stored.hash != entry_hash(head.hash, document):
        raise JournalBroken(f"entry {place} does not follow from entry {head.seq}")
    try:
        record = canonical.read(document, _Record, ENTRY_BYTES_MAX)
    except DocumentNotCanonical as error:
        raise JournalBroken(f"entry {place}: {error.detail}") from None
    if record.seq != place:
        raise JournalBroken(f"entry {place} calls itself {record.seq}")
    return Entry(record.seq, record.written_at, record.body, stored)
