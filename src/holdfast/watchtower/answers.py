"""One line in, one line out: what the watchtower answers to a request for a lease and to a freeze.

Whatever it answers is on the disk before. It knows nothing of sockets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import UNSET, UnsetType

from holdfast.core.errors import HoldfastError, NotPermitted
from holdfast.core.journal import StoredEntry
from holdfast.core.leases import (
    ENTRIES_MAX,
    Ask,
    Fetched,
    Frozen,
    LeaseRefused,
    LeaseRequest,
    SignedLease,
    fetch_message,
)
from holdfast.core.orders import EVERYTHING, FREEZE_TAG, Freeze, SignedWord, read_word
from holdfast.core.quorum import is_signed, tagged
from holdfast.watchtower import leases
from holdfast.watchtower.leases import Own, examine
from holdfast.watchtower.store import Store

SCOPE_LENGTH_MAX = 120
REASON_LENGTH_MAX = 500


class FreezeNotAllowed(NotPermitted):
    """This key may not freeze, or did not sign. Use an officer's keystore, or a key from the watchtower's settings."""

    code = "freeze-not-allowed"


class WordRefused(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The answer to a freeze that was not taken."""

    refused: str
    detail: str


Answer = SignedLease | LeaseRefused | Fetched | Frozen | WordRefused


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request: for a lease (`ask`, `entries`, `signature`), to fetch the journal back, or to freeze."""

    ask: Ask | UnsetType = UNSET
    fetch: Ask | UnsetType = UNSET
    entries: tuple[StoredEntry, ...] = ()
    signature: str = ""
    freeze: SignedWord | UnsetType = UNSET


@dataclass(frozen=True, slots=True)
class Tower:
    """Everything that an answer depends on."""

    store: Store
    key: Ed25519PrivateKey
    root_fingerprint: str
    freeze_keys: tuple[str, ...]
    lease_milliseconds: int
    now_ms: Callable[[], int]
    """Milliseconds since 1970."""

    def answer(self, line: bytes) -> Answer:
        """The answer to one line. Raises `sqlite3.Error` when the disk fails: the process must end then."""
        try:
            request = msgspec.json.decode(line, type=Line)
        except (msgspec.DecodeError, RecursionError):
            return LeaseRefused("unreadable", 0, "")
        try:
            if not isinstance(request.freeze, UnsetType):
                return self._freeze(request.freeze)
        except HoldfastError as error:
            return WordRefused(error.code, error.detail)
        if not isinstance(request.fetch, UnsetType):
            return self._fetch(request.fetch, request.signature)
        if isinstance(request.ask, UnsetType):
            return LeaseRefused("unreadable", 0, "")
        return self._lease(LeaseRequest(request.ask, request.entries, request.signature))

    def _lease(self, request: LeaseRequest) -> SignedLease | LeaseRefused:
        own = Own(self.root_fingerprint, self.key.public_key().public_bytes_raw().hex())
        taken = examine(request, self.store.standing, own, self.store.hash_at)
        now_ms = self.now_ms()
        if isinstance(taken, LeaseRefused):
            if taken.refused == "journal-forked" and EVERYTHING not in self.store.frozen:
                self.store.stop(EVERYTHING, f"journal-forked at {request.ask.seq} {request.ask.head}", now_ms)
            return taken
        if taken.entries:
            self.store.take(taken.entries, taken.standing, now_ms)
        standing, frozen = self.store.standing, self.store.frozen
        if (why := leases.withheld(standing, own)) is not None:
            return LeaseRefused(why, standing.head.seq, standing.head.hash)
        lease = leases.grant(request.ask, standing, frozen, self.lease_milliseconds, now_ms // 1_000)
        return leases.sign(lease, self.key)

    def _fetch(self, ask: Ask, signature: str) -> Fetched | LeaseRefused:
        if not leases.is_by(self.store.standing.journal_key, signature, ask, fetch_message):
            return LeaseRefused("request-unsigned", 0, "")
        return Fetched(tuple(self.store.entries(ask.after, ENTRIES_MAX)))

    def _freeze(self, word: SignedWord) -> Frozen:
        freeze = read_word(word.document.encode(), Freeze)
        quorum = self.store.standing.quorum
        allowed = {*self.freeze_keys, *(officer.key for officer in (quorum.officers if quorum else ()))}
        if freeze.by not in allowed:
            raise FreezeNotAllowed(f"{freeze.by[:64]} is not on the list")
        if not is_signed(freeze.by, word.signature, tagged(FREEZE_TAG, word.document.encode())):
            raise FreezeNotAllowed("the signature is not by this key")
        if not _is_text(freeze.scope, SCOPE_LENGTH_MAX) or not _is_text(freeze.reason, REASON_LENGTH_MAX):
            raise FreezeNotAllowed("scope or reason is empty, too long or not printable")
        is_new = self.store.freeze(freeze, word, self.now_ms())
        return Frozen(self.store.frozen, is_new)


def _is_text(text: str, length_max: int) -> bool:
    return 0 < len(text) <= length_max and text.isprintable()
