"""The journal on disk: SQLite, every commit flushed, entries only ever added, the whole chain checked at each start.

The record in memory is what the entries say and nothing more. If a commit fails the process must end: what it would go
on to believe is not written.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from holdfast.core.errors import Conflict, Unavailable
from holdfast.core.journal import Body, Entry, Head, StoredEntry, make_entry, read_entries
from holdfast.core.orders import OrderMalformed, Reanchor, SignedOrder, read_order
from holdfast.policy import admit
from holdfast.policy.admit import DocumentStale
from holdfast.policy.record import Record

_CHUNK = 1_000
_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (seq INTEGER PRIMARY KEY, document TEXT NOT NULL, hash TEXT NOT NULL) STRICT;
CREATE TRIGGER IF NOT EXISTS never_changed BEFORE UPDATE ON entries
BEGIN SELECT RAISE(ABORT, 'entries are never changed'); END;
CREATE TRIGGER IF NOT EXISTS never_deleted BEFORE DELETE ON entries
BEGIN SELECT RAISE(ABORT, 'entries are never deleted'); END;
"""


class JournalInUse(Conflict):
    """Another signer has the journal open. There is only ever one: stop it first."""

    code = "journal-in-use"


class JournalUnwritable(Unavailable):
    """The journal cannot be read or written. Nothing was signed; look at the disk, then start the signer again."""

    code = "journal-unwritable"
    retry = False


class Journal:
    """The signer's journal and the record that it folds into. One per process."""

    def __init__(self, path: Path) -> None:
        """Open, check and fold it. Raises `JournalInUse`, `JournalBroken`, `JournalUnwritable`."""
        self.record = Record()
        self._pending: list[Entry] = []
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            self._db = sqlite3.connect(path, isolation_level=None, timeout=1)
            self._db.executescript(
                "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;" + _SCHEMA
            )
            path.chmod(0o600)
            self._fold()
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise JournalInUse(str(path)) from None
            raise JournalUnwritable(f"{path}: {error}") from None
        except sqlite3.DatabaseError as error:
            raise JournalUnwritable(f"{path}: {error}") from None

    @property
    def written(self) -> Head:
        """The newest entry that is on disk."""
        first = self._pending[0] if self._pending else None
        return self.record.head if first is None else self._before(first)

    def add(self, body: Body, written_at_ms: int) -> Entry:
        """The record takes it now; the disk with the next `commit`. Nothing may leave the process between the two."""
        entry = make_entry(self.record.head, body, written_at_ms)
        self.record.apply(entry)
        self._pending.append(entry)
        return entry

    def commit(self) -> None:
        """Write what was added, flushed to the disk. Raises `JournalUnwritable`: the process must end then."""
        if not self._pending:
            return
        rows = [(entry.seq, entry.stored.document, entry.stored.hash) for entry in self._pending]
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("INSERT INTO entries (seq, document, hash) VALUES (?, ?, ?)", rows)
            self._db.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            raise JournalUnwritable(str(error)) from None
        self._pending.clear()

    def entries(self, after: int, up_to: int, count_max: int = 100_000) -> list[StoredEntry]:
        """Entries on disk behind `after`, `up_to` included, oldest first."""
        cursor = self._db.execute(
            "SELECT document, hash FROM entries WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?",
            (after, up_to, count_max),
        )
        return [StoredEntry(document, digest) for document, digest in cursor]

    def head_at(self, seq: int) -> Head | None:
        """The head as it was when `seq` was the newest entry; None where there is none."""
        if seq == 0:
            return Head()
        row = self._db.execute("SELECT hash FROM entries WHERE seq = ?", (seq,)).fetchone()
        return None if row is None else Head(seq, str(row[0]))

    def close(self) -> None:
        """Close the file. What was added and not committed is lost."""
        self._db.close()

    def _fold(self) -> None:
        while stored := self.entries(self.record.head.seq, 2**62, _CHUNK):
            for entry in read_entries(self.record.head, stored):
                self.record.apply(entry)

    def _before(self, entry: Entry) -> Head:
        head = self.head_at(entry.seq - 1)
        if head is None:
            raise JournalUnwritable(f"entry {entry.seq - 1} is not there")
        return head


def re_anchor(path: Path, signed: SignedOrder, now_ms: int) -> Head:
    """Take a re-anchoring order while no signer runs, since without a lease none can; the new head.

    Raises what `Journal` and `admit.order` raise, and `DocumentStale` for an order that was taken before.
    """
    order = read_order(signed.document.encode())
    journal = Journal(path)
    try:
        # With another entry's hash the watchtower would refuse the journal for ever.
        if (
            not isinstance(order, Reanchor)
            or order.seq < 1
            or journal.head_at(order.seq) != Head(order.seq, order.head)
        ):
            raise OrderMalformed("it does not name an entry of this journal")
        body = admit.order(journal.record, signed, now_ms // 1000)
        if body is None:
            raise DocumentStale(f"order {order.number}")
        journal.add(body, now_ms)
        journal.commit()
        return journal.written
    finally:
        journal.close()


def replay(path: Path, entries: Sequence[StoredEntry]) -> None:
    """Write a whole journal, as the watchtower holds it, into a new file: a lost disk is a replay.

    Raises `JournalBroken`, and `JournalInUse` where a journal is there already.
    """
    if path.exists():
        raise JournalInUse(f"{path} exists: move it away first")
    checked = read_entries(Head(), entries)
    journal = Journal(path)
    try:
        journal._pending.extend(checked)
        journal.commit()
    finally:
        journal.close()
