"""Whether a request is granted: one ladder of refusals, then a lease. Pure: what is stored and signed is the caller's.

It compares the signer's journal with the one held here; it never decides whether a payout is allowed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from holdfast.core.canonical import DocumentNotCanonical
from holdfast.core.journal import Entry, Head, JournalBroken, StoredEntry, read_entries
from holdfast.core.leases import (
    Ask,
    Lease,
    LeaseRefused,
    LeaseRequest,
    SignedLease,
    lease_message,
    request_message,
)
from holdfast.core.quorum import is_signed
from holdfast.watchtower.standing import GenesisUnknown, HashAt, OrderNotAllowed, Standing, following, unleased


@dataclass(frozen=True, slots=True)
class Own:
    """What the watchtower itself knows, whatever it is sent."""

    root_fingerprint: str
    lease_key: str


@dataclass(frozen=True, slots=True)
class Taken:
    """A request whose journal follows from the one that is held: its news are stored, whether or not it is granted."""

    entries: list[Entry]
    standing: Standing


def examine(request: LeaseRequest, standing: Standing, own: Own, hash_at: HashAt) -> Taken | LeaseRefused:
    """What there is to store before a lease is granted; or why none is. One rule a step, in the order of its names."""
    ask, head = request.ask, standing.head
    known = standing if standing.quorum is not None else _first(request, own)
    if isinstance(known, LeaseRefused):
        return known
    if not is_by(known.journal_key, request.signature, ask, request_message):
        return LeaseRefused("request-unsigned", *_UNTOLD)
    if ask.after > head.seq:
        return LeaseRefused("entries-missing", head.seq, head.hash)
    if ask.after < 0 or ask.after + len(request.entries) != ask.seq:
        return LeaseRefused("journal-broken", head.seq, head.hash)
    if (refused := _compare(ask, request.entries, head, hash_at)) is not None:
        return LeaseRefused(refused, head.seq, head.hash)
    return _follow(request, standing, own, hash_at)


def shortened(taken: Taken, count: int, standing: Standing, own: Own, hash_at: HashAt) -> Taken:
    """The same request's first entries alone: those before one that is false."""
    entries = taken.entries[:count]
    hashes = {entry.seq: entry.stored.hash for entry in entries}
    new = following(standing, entries, own.root_fingerprint, lambda seq: hashes.get(seq) or hash_at(seq))
    newest = unleased(standing, entries, is_withheld=withheld(standing, own) is not None)
    return Taken(entries, replace(new, unleased=max(newest, standing.unleased)))


def is_by(journal_key: str, signature: str, ask: Ask, message: Callable[[Ask], bytes]) -> bool:
    """Whether the journal key signed what this request says."""
    try:
        return is_signed(journal_key, signature, message(ask))
    except DocumentNotCanonical:
        return False


def withheld(standing: Standing, own: Own) -> str | None:
    """Why nobody gets a lease as the journal stands, although it follows; None where one is due."""
    if standing.quorum is not None and standing.lease_key != own.lease_key:
        return "lease-key-other"
    return "anchor-missing" if standing.unleased > standing.anchored else None


def grant(ask: Ask, taken: Standing, frozen: tuple[str, ...], duration_ms: int, tower_seconds: int) -> Lease:
    """The lease for a request whose news are stored."""
    return Lease(
        nonce=ask.nonce,
        seq=taken.head.seq,
        head=taken.head.hash,
        policy=taken.policy,
        enrolment=taken.enrolment,
        frozen=frozen,
        duration_ms=duration_ms,
        tower_seconds=tower_seconds,
    )


def sign(lease: Lease, key: Ed25519PrivateKey) -> SignedLease:
    """The lease as it travels."""
    return SignedLease(lease, key.sign(lease_message(lease)).hex())


_UNTOLD = (0, Head().hash)
"""What strangers learn of the head."""


def _first(request: LeaseRequest, own: Own) -> Standing | LeaseRefused:
    """Where nothing is held yet: what the request's own first entry says."""
    if request.ask.after > 0 or not request.entries:
        return LeaseRefused("entries-missing", *_UNTOLD)
    try:
        return following(Standing(), read_entries(Head(), request.entries[:1]), own.root_fingerprint, lambda _: "")
    except (JournalBroken, GenesisUnknown, OrderNotAllowed):
        return LeaseRefused("genesis-unknown", *_UNTOLD)


def _compare(ask: Ask, entries: tuple[StoredEntry, ...], head: Head, hash_at: HashAt) -> str | None:
    """Why the part of the signer's journal that is held here too is not the same, if it is not."""
    if ask.seq < head.seq:
        return "journal-behind" if ask.head == (hash_at(ask.seq) if ask.seq else Head().hash) else "journal-forked"
    known = zip(range(ask.after + 1, head.seq + 1), entries, strict=False)
    if any(one.hash != hash_at(seq) for seq, one in known):
        return "journal-forked"
    if ask.seq == head.seq and ask.head != head.hash:
        return "journal-forked"
    return None


def _follow(request: LeaseRequest, standing: Standing, own: Own, hash_at: HashAt) -> Taken | LeaseRefused:
    """Take what is news, if it follows from the head and its orders are the quorum's."""
    head = standing.head
    news = request.entries[head.seq - request.ask.after :]

    def known(seq: int) -> str:
        return hash_at(seq) if seq <= head.seq else news[seq - head.seq - 1].hash

    try:
        entries = read_entries(head, news)
        new = following(standing, entries, own.root_fingerprint, known)
    except (JournalBroken, OrderNotAllowed):
        return LeaseRefused("journal-broken", head.seq, head.hash)
    if new.head.hash != request.ask.head:
        return LeaseRefused("journal-broken", head.seq, head.hash)
    newest = unleased(standing, entries, is_withheld=withheld(standing, own) is not None)
    return Taken(entries, replace(new, unleased=max(newest, standing.unleased)))
