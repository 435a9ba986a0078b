"""The watchtower's memory: one SQLite file that only grows. Entries are kept exactly as they came.

Nothing is answered before it is on the disk. Triggers refuse every change; where entries were changed past them, the
hash chain shows it and the store does not open.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import msgspec

from holdfast.core.errors import Conflict
from holdfast.core.journal import (
    Entry,
    Head,
    JournalBroken,
    Ordered,
    Stopped,
    StoredEntry,
    entry_hash,
    read_entries,
)
from holdfast.core.orders import Freeze, Restore, SignedOrder, SignedWord, Stage, read_order
from holdfast.core.tower_status import STOPS_SHOWN_MAX, StopShown
from holdfast.watchtower.standing import WEIGHTY, Standing, Step, Stop, following, stages, standing_stops

AHEAD_SECONDS_MAX = 300
"""How far ahead of the watchtower's clock an officer's may be: an order that is dated later ends no freeze."""
SIGNER, WATCHTOWER, DEAD_MAN = "signer", "watchtower", "dead-man"
"""Who stopped a scope, where it was no person."""
_MARKS = tuple(f'"kind":"{kind}"' for kind in WEIGHTY)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
  seq INTEGER PRIMARY KEY, document TEXT NOT NULL, hash TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS unleased (seq INTEGER PRIMARY KEY) STRICT;
CREATE TABLE IF NOT EXISTS stops (
  id TEXT PRIMARY KEY, scope TEXT NOT NULL, reason TEXT NOT NULL, "by" TEXT NOT NULL,
  document TEXT NOT NULL, signature TEXT NOT NULL, received_ms INTEGER NOT NULL UNIQUE
) STRICT;
CREATE TABLE IF NOT EXISTS presences (
  id TEXT PRIMARY KEY, "by" TEXT NOT NULL, document TEXT NOT NULL, signature TEXT NOT NULL, received_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS restores (
  id TEXT PRIMARY KEY, scopes TEXT NOT NULL, stage TEXT NOT NULL, at INTEGER NOT NULL,
  document TEXT NOT NULL, signatures TEXT NOT NULL, received_ms INTEGER NOT NULL UNIQUE
) STRICT;
"""
_GUARDS = "".join(
    f"CREATE TRIGGER IF NOT EXISTS {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
    f"BEGIN SELECT RAISE(ABORT, '{table}: rows are never changed'); END;\n"
    for table in ("entries", "unleased", "stops", "presences", "restores")
    for verb in ("UPDATE", "DELETE")
)


class StoreInUse(Conflict):
    """Another process holds the watchtower's data file. Stop that one first: one watchtower, one store."""

    code = "tower-store-in-use"


class Store:
    """An open store, for one process; its methods are called one after the other."""

    def __init__(self, path: Path, root_fingerprint: str) -> None:
        """Open the file, or make it.

        Raises `StoreInUse`, and `JournalBroken`, `GenesisUnknown` or `OrderNotAllowed` for a store that was edited.
        """
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with ExitStack() as opened:
            opened.callback(os.close, _locked(path.with_name(f"{path.name}.lock")))
            path.touch(mode=0o600)
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            opened.callback(self._db.close)
            self._db.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;" + _SCHEMA + _GUARDS)
            self.standing = self._read(root_fingerprint)
            self.stages = self._stages()
            """Of every scope that is not normal."""
            self._opened = opened.pop_all()

    def close(self) -> None:
        """Let go of the file."""
        self._opened.close()

    @property
    def frozen(self) -> tuple[str, ...]:
        """Scopes that stand still now."""
        return tuple(scope for scope, stage in self.stages.items() if stage is Stage.FROZEN)

    def hash_at(self, seq: int) -> str:
        """The hash of an entry that is held."""
        ((found,),) = self._db.execute("SELECT hash FROM entries WHERE seq = ?", (seq,))
        return str(found)

    def entries(self, after: int, count_max: int) -> list[StoredEntry]:
        """Entries behind `after`, oldest first."""
        rows = self._db.execute(
            "SELECT document, hash FROM entries WHERE seq > ? ORDER BY seq LIMIT ?", (after, count_max)
        )
        return [StoredEntry(*row) for row in rows]

    def take(self, entries: list[Entry], standing: Standing, now_ms: int) -> None:
        """Keep these entries and whatever they stop and restore, in their order; all of it or nothing."""
        with self._transaction():
            self._db.executemany(
                "INSERT INTO entries (seq, document, hash) VALUES (?, ?, ?)",
                [(one.seq, one.stored.document, one.stored.hash) for one in entries],
            )
            if standing.unleased > self.standing.unleased:
                self._db.execute("INSERT INTO unleased VALUES (?)", (standing.unleased,))
            for entry in entries:
                if isinstance(entry.body, Stopped):
                    self._stop(Freeze(entry.body.scope, entry.body.reason, SIGNER, 0), entry.stored.hash, now_ms)
                elif isinstance(entry.body, Ordered):
                    order = read_order(entry.body.order.document.encode())
                    if isinstance(order, Restore) and order.at <= now_ms // 1_000 + AHEAD_SECONDS_MAX:
                        self._restore(order, entry.body.order, now_ms)
        self.standing = standing
        self.stages = self._stages()

    def stop(self, scope: str, reason: str, now_ms: int, by: str = WATCHTOWER) -> None:
        """Freeze by the watchtower's own judgement, or because nobody is there."""
        with self._transaction():
            self._stop(Freeze(scope, reason, by, 0), f"{by} {now_ms} {reason}", now_ms)
        self.stages = self._stages()

    def freeze(self, freeze: Freeze, word: SignedWord, now_ms: int) -> bool:
        """Keep a freeze; whether it is a new one."""
        with self._transaction():
            is_new = self._stop(freeze, _id(word.document), now_ms, word)
        self.stages = self._stages()
        return is_new

    def present(self, by: str, word: SignedWord, now_ms: int) -> None:
        """Keep a sign of presence; the same one counts once."""
        with self._transaction():
            row = (_id(word.document), by, word.document, word.signature, now_ms)
            self._db.execute("INSERT OR IGNORE INTO presences VALUES (?, ?, ?, ?, ?)", row)

    def present_ms(self, now_ms: int) -> int:
        """When somebody was there last; before the first sign, when it was first asked."""
        find = "SELECT max(received_ms) FROM presences"
        ((found,),) = self._db.execute(find)
        if found is None:
            self.present(WATCHTOWER, SignedWord(f"{WATCHTOWER} begins {now_ms}", ""), now_ms)
            return now_ms
        return int(found)

    def _stop(self, freeze: Freeze, id_: str, now_ms: int, word: SignedWord | None = None) -> bool:
        signed = (word.document, word.signature) if word else ("", "")
        row = (id_, freeze.scope, freeze.reason, freeze.by, *signed, self._next_ms(now_ms))
        return self._db.execute("INSERT OR IGNORE INTO stops VALUES (?, ?, ?, ?, ?, ?, ?)", row).rowcount == 1

    def _restore(self, step: Restore, order: SignedOrder, now_ms: int) -> None:
        signatures = msgspec.json.encode(order.signatures).decode()
        scopes = msgspec.json.encode(step.scopes).decode()
        row = (_id(order.document), scopes, step.stage.value, step.at, order.document, signatures)
        self._db.execute("INSERT OR IGNORE INTO restores VALUES (?, ?, ?, ?, ?, ?, ?)", (*row, self._next_ms(now_ms)))

    def _next_ms(self, now_ms: int) -> int:
        """A time of receipt after every other, even where the clock was set back."""
        last = "SELECT max(ms) FROM (SELECT max(received_ms) ms FROM stops UNION SELECT max(received_ms) FROM restores)"
        ((newest,),) = self._db.execute(last)
        return max(now_ms, (newest or 0) + 1)

    def _stages(self) -> dict[str, Stage]:
        return stages(self._stops(), self.steps())

    def _stops(self) -> list[Stop]:
        return [Stop(*row) for row in self._db.execute("SELECT id, scope, received_ms FROM stops")]

    def stops(self) -> tuple[StopShown, ...]:
        """The newest freezes, oldest first."""
        standing = {stop.id for stop in standing_stops(self._stops(), self.steps())}
        find = 'SELECT id, scope, reason, "by", received_ms FROM stops ORDER BY received_ms DESC LIMIT ?'
        rows = self._db.execute(find, (STOPS_SHOWN_MAX,)).fetchall()
        return tuple(
            StopShown(id_, scope, reason, by, received_ms, id_ not in standing)
            for id_, scope, reason, by, received_ms in reversed(rows)
        )

    def is_stopped_for(self, scope: str, reason: str) -> bool:
        """Whether this was a reason for a freeze before, ended or not: what is past stops nothing twice."""
        find = "SELECT 1 FROM stops WHERE scope = ? AND reason = ?"
        return self._db.execute(find, (scope, reason)).fetchone() is not None

    def steps(self) -> list[Step]:
        """Every step of a restore, oldest first."""
        rows = self._db.execute("SELECT id, scopes, stage, at, received_ms FROM restores ORDER BY received_ms")
        return [
            Step(id_, tuple(msgspec.json.decode(scopes, type=list[str])), Stage(stage), at, received_ms)
            for id_, scopes, stage, at, received_ms in rows
        ]

    def _read(self, root_fingerprint: str) -> Standing:
        standing = Standing()
        rows = self._db.execute("SELECT seq, document, hash FROM entries ORDER BY seq")
        for seq, document, hash_ in rows:
            stored, head = StoredEntry(document, hash_), standing.head
            # Inside a string the quotes would be escaped, so a mark is found where the kind stands and nowhere else.
            if any(mark in document for mark in _MARKS):
                standing = following(standing, read_entries(head, [stored]), root_fingerprint, self.hash_at)
            elif seq != head.seq + 1 or hash_ != entry_hash(head.hash, document.encode()):
                raise JournalBroken(f"entry {seq} does not follow from entry {head.seq}")
            standing = replace(standing, head=Head(seq, hash_))
        ((newest,),) = self._db.execute("SELECT max(seq) FROM unleased")
        return replace(standing, unleased=newest or 0)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")


def _locked(path: Path) -> int:
    """Held until it is closed or the process ends, however it ends. Raises `StoreInUse`."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise StoreInUse(str(path)) from None
    return handle


def _id(document: str) -> str:
    return hashlib.sha256(document.encode()).hexdigest()
