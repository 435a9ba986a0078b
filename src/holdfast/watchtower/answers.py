"""One line in, one line out: what the watchtower answers to a request for a lease, a freeze, a sign of presence.

Whatever it answers is on the disk before. It knows nothing of sockets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

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
    Seen,
    SignedLease,
    fetch_message,
)
from holdfast.core.orders import EVERYTHING, FREEZE_TAG, PRESENT_TAG, Freeze, Present, SignedWord, read_word
from holdfast.core.quorum import is_signed, tagged
from holdfast.core.tower_status import Alarm, TowerStatus
from holdfast.watchtower import leases
from holdfast.watchtower.eyes import Eyes, status
from holdfast.watchtower.fold import Fold
from holdfast.watchtower.leases import Own, Taken, examine, shortened
from holdfast.watchtower.store import AHEAD_SECONDS_MAX, DEAD_MAN, Store

SCOPE_LENGTH_MAX = 120
REASON_LENGTH_MAX = 500


class FreezeNotAllowed(NotPermitted):
    """This key may not freeze, or did not sign just now. Use an officer's keystore, or one named in its settings."""

    code = "freeze-not-allowed"


class WordRefused(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The answer to a freeze or sign of presence that was not taken."""

    refused: str
    detail: str


Answer = SignedLease | LeaseRefused | Fetched | Frozen | Seen | TowerStatus | WordRefused


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`{}`: there is only one question of its kind."""


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request: for a lease (`ask`, `entries`, `signature`), to fetch the journal, to freeze, a sign of presence."""

    ask: Ask | UnsetType = UNSET
    fetch: Ask | UnsetType = UNSET
    entries: tuple[StoredEntry, ...] = ()
    signature: str = ""
    freeze: SignedWord | UnsetType = UNSET
    present: SignedWord | UnsetType = UNSET
    status: Nothing | UnsetType = UNSET


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
    present_seconds: int = 0
    """How long payouts go on without a sign of presence; 0: they wait for none."""
    reader_keys: tuple[str, ...] = field(default=(), kw_only=True)
    """Keys that may read the journal, besides the signer's own."""
    fold: Fold | None = None
    """None: entries are kept without being judged, as a store of one's own in a test does."""
    eyes: Eyes = field(default_factory=Eyes)
    """What is seen beside the journal."""

    def answer(self, line: bytes) -> Answer:
        """The answer to one line. Raises `sqlite3.Error` when the disk fails: the process must end then."""
        try:
            request = msgspec.json.decode(line, type=Line)
        except (msgspec.DecodeError, RecursionError):
            return LeaseRefused("unreadable", 0, "")
        self.mind_absence()
        try:
            if not isinstance(request.freeze, UnsetType):
                return self._freeze(request.freeze)
            if not isinstance(request.present, UnsetType):
                return self._present(request.present)
        except HoldfastError as error:
            return WordRefused(error.code, error.detail)
        if not isinstance(request.status, UnsetType):
            return status(self.store, self.eyes, self._blind(self.now_ms()), self.now_ms())
        if not isinstance(request.fetch, UnsetType):
            return self._fetch(request.fetch, request.signature)
        if isinstance(request.ask, UnsetType):
            return LeaseRefused("unreadable", 0, "")
        return self._lease(LeaseRequest(request.ask, request.entries, request.signature))

    def mind_absence(self) -> None:
        """Stop everything once nobody who may freeze has shown himself for too long: the dead man's switch."""
        now_ms = self.now_ms()
        if not self.present_seconds or EVERYTHING in self.store.frozen:
            return
        absent_ms = now_ms - self.store.present_ms(now_ms)
        if absent_ms >= self.present_seconds * 1_000:
            self.store.stop(EVERYTHING, f"nobody showed himself for {absent_ms // 1_000} seconds", now_ms, DEAD_MAN)

    def _lease(self, request: LeaseRequest) -> SignedLease | LeaseRefused:
        own = Own(self.root_fingerprint, self.key.public_key().public_bytes_raw().hex())
        taken = examine(request, self.store.standing, own, self.store.hash_at)
        now_ms = self.now_ms()
        if isinstance(taken, LeaseRefused):
            if taken.refused == "journal-forked" and EVERYTHING not in self.store.frozen:
                self.store.stop(EVERYTHING, f"journal-forked at {request.ask.seq} {request.ask.head}", now_ms)
            return taken
        if self.fold is not None:
            taken = self._judged(taken, own, self.fold, now_ms)
        if taken.entries:
            self.store.take(taken.entries, taken.standing, now_ms)
        standing, frozen = self.store.standing, self.store.frozen
        if self.fold is not None and self.fold.false:
            return LeaseRefused("journal-false", standing.head.seq, standing.head.hash)
        if (why := leases.withheld(standing, own)) is not None:
            return LeaseRefused(why, standing.head.seq, standing.head.hash)
        frozen = tuple(sorted({*frozen, *self._blind(now_ms)}))
        lease = leases.grant(request.ask, standing, frozen, self.lease_milliseconds, now_ms // 1_000)
        self.eyes.lease_ms = now_ms
        return leases.sign(lease, self.key)

    def _blind(self, now_ms: int) -> tuple[str, ...]:
        return self.eyes.blind(now_ms, self.fold.record.floats if self.fold is not None else ())

    def _judged(self, taken: Taken, own: Own, fold: Fold, now_ms: int) -> Taken:
        """What of it is right. The first false entry is not kept: it stops everything, and nothing follows on it."""
        count = 0 if fold.false else fold.judge(taken.entries)
        if count == len(taken.entries):
            return taken
        reason = f"journal-false: {fold.false}"
        if not self.store.is_stopped_for(EVERYTHING, reason):
            self.store.stop(EVERYTHING, reason, now_ms)
        self.eyes.alarm(Alarm(now_ms, "journal-false", EVERYTHING, fold.false))
        return shortened(taken, count, self.store.standing, own, self.store.hash_at)

    def _fetch(self, ask: Ask, signature: str) -> Fetched | LeaseRefused:
        readers = (self.store.standing.journal_key, *self.reader_keys)
        if not any(leases.is_by(key, signature, ask, fetch_message) for key in readers):
            return LeaseRefused("request-unsigned", 0, "")
        return Fetched(tuple(self.store.entries(ask.after, ENTRIES_MAX)))

    def _freeze(self, word: SignedWord) -> Frozen:
        freeze = read_word(word.document.encode(), Freeze)
        self._require_key(freeze.by, FREEZE_TAG, word)
        if not _is_text(freeze.scope, SCOPE_LENGTH_MAX) or not _is_text(freeze.reason, REASON_LENGTH_MAX):
            raise FreezeNotAllowed("scope or reason is empty, too long or not printable")
        is_new = self.store.freeze(freeze, word, self.now_ms())
        return Frozen(self.store.frozen, is_new)

    def _present(self, word: SignedWord) -> Seen:
        present, now_ms = read_word(word.document.encode(), Present), self.now_ms()
        self._require_key(present.by, PRESENT_TAG, word)
        if abs(present.at - now_ms // 1_000) > AHEAD_SECONDS_MAX:
            raise FreezeNotAllowed(
                f"it was signed {now_ms // 1_000 - present.at} seconds ago by the watchtower's clock"
            )
        self.store.present(present.by, word, now_ms)
        until = self.store.present_ms(now_ms) // 1_000 + self.present_seconds
        return Seen(until if self.present_seconds else 0)

    def _require_key(self, by: str, tag: bytes, word: SignedWord) -> None:
        """That one person with an officer's key or a freeze key says it."""
        quorum = self.store.standing.quorum
        if by not in {*self.freeze_keys, *(officer.key for officer in (quorum.officers if quorum else ()))}:
            raise FreezeNotAllowed(f"{by[:64]} is not on the list")
        if not is_signed(by, word.signature, tagged(tag, word.document.encode())):
            raise FreezeNotAllowed("the signature is not by this key")


def _is_text(text: str, length_max: int) -> bool:
    return 0 < len(text) <= length_max and text.isprintable()
