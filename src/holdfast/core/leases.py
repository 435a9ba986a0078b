"""What signer and watchtower say to each other: a request with the new entries, and a lease that is a receipt as well.

One line of JSON each way over TCP. A lease lets the signer sign, and release what its head contains, for some seconds
counted from the moment of the request on the signer's own boot clock; without a watchtower nothing leaves.
"""

from __future__ import annotations

import msgspec

from holdfast.core import canonical
from holdfast.core.errors import Unavailable
from holdfast.core.journal import Head, StoredEntry
from holdfast.core.orders import EVERYTHING
from holdfast.core.quorum import is_signed, tagged

LEASE_TAG = b"holdfast lease 1\0"
REQUEST_TAG = b"holdfast lease request 1\0"
FETCH_TAG = b"holdfast journal fetch 1\0"
ENTRIES_MAX = 20_000
"""Entries in one answer to a fetch."""
LINE_BYTES_MAX = 64_000_000


class LeaseInvalid(Unavailable):
    """The watchtower's answer is not a lease for what was asked. Nothing was signed; look at the watchtower's log."""

    code = "lease-invalid"


class Ask(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the signer signs when it asks."""

    nonce: str
    """32 random bytes, hex: no answer can be used for two requests."""
    after: int
    """Entries from here on come along."""
    seq: int
    head: str
    """Hash of entry `seq`, with the ones that come along."""


class LeaseRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request as it travels."""

    ask: Ask
    entries: tuple[StoredEntry, ...]
    signature: str
    """By the journal key, over the canonical bytes of `ask`."""


class Lease(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the watchtower signs."""

    nonce: str
    seq: int
    head: str
    """The watchtower holds every entry up to this one."""
    policy: str
    """SHA-256 of the newest policy document in the journal, hex; empty without one."""
    enrolment: str
    """SHA-256 over all certificates in the journal, hex."""
    frozen: tuple[str, ...]
    """Scopes in which nothing may be signed or released."""
    duration_ms: int
    tower_seconds: int
    """Seconds since 1970 by the watchtower's clock."""

    @property
    def witnessed(self) -> Head:
        """The head that it proves to be stored."""
        return Head(self.seq, self.head)

    def is_frozen(self, *scopes: str) -> bool:
        """Whether any of these scopes, or everything, is frozen."""
        return EVERYTHING in self.frozen or any(scope in self.frozen for scope in scopes)


class SignedLease(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A lease as it travels."""

    lease: Lease
    signature: str


class LeaseRefused(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The watchtower's answer when it grants none: what it holds, and why."""

    refused: str
    """`journal-behind`: the signer's journal is older than this head; it must not go on.
    `journal-forked`: two histories under one key; everything is frozen.
    `journal-broken`: what was sent does not follow from this head, or has an order that the quorum did not sign.
    `journal-false`: an entry does not follow from what people signed; everything is frozen.
    `entries-missing`: not a fault; send the entries after this head.
    `anchor-missing`: there are signatures that this watchtower never leased; only a quorum's re-anchoring leads on.
    `lease-key-other`: the journal names another watchtower.
    `genesis-unknown`, `request-unsigned`: not from the signer of the pinned quorum; the head is not told.
    `unreadable`: not a request.
    """
    seq: int
    head: str


class Fetched(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The watchtower's answer to a signer that fetches its journal back: entries after the one it named."""

    entries: tuple[StoredEntry, ...]
    """None: there are no more."""


class Frozen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The watchtower's answer to a freeze: what is frozen now."""

    frozen: tuple[str, ...]
    is_news: bool
    """False where this very word was there already."""


class Seen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The watchtower's answer to a sign of presence."""

    present_until: int
    """Seconds since 1970: without another one everything is frozen then; 0: it waits for none."""


def request_message(ask: Ask) -> bytes:
    """What the journal key signs."""
    return tagged(REQUEST_TAG, canonical.write(ask))


def fetch_message(ask: Ask) -> bytes:
    """What the journal key signs to get its journal back: entries after `ask.after`."""
    return tagged(FETCH_TAG, canonical.write(ask))


def lease_message(lease: Lease) -> bytes:
    """What the lease key signs."""
    return tagged(LEASE_TAG, canonical.write(lease))


def accept(signed: SignedLease, ask: Ask, lease_key: str) -> Lease:
    """The lease, if it answers this very request and the watchtower signed it. Raises `LeaseInvalid`."""
    lease = signed.lease
    if lease.nonce != ask.nonce or (lease.seq, lease.head) != (ask.seq, ask.head):
        raise LeaseInvalid("it answers another request")
    if not is_signed(lease_key, signed.signature, lease_message(lease)):
        raise LeaseInvalid("the watchtower's key did not sign it")
    return lease
