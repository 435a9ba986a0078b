"""A signer's journal, written by hand: entries that follow from one another, and the receipt that goes with them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from holdfast.core.journal import Body, Entry, Head, StoredEntry, head_of, make_entry
from holdfast.core.leases import Lease, SignedLease
from holdfast.payments.signer_messages import JournalPost, Waiting


@dataclass
class WrittenJournal:
    """What a signer would have on its disk."""

    entries: list[Entry] = field(default_factory=list)

    @property
    def head(self) -> Head:
        return head_of(self.entries[-1]) if self.entries else Head()

    def write(self, *bodies: Body) -> list[Entry]:
        made = []
        for body in bodies:
            made.append(make_entry(self.head, body, 1_700_000_000_000))
            self.entries.append(made[-1])
        return made

    def stored(self, after: int = 0) -> tuple[StoredEntry, ...]:
        return tuple(entry.stored for entry in self.entries[after:])

    def post(self, after: int = 0, waiting: Sequence[Waiting] = ()) -> JournalPost:
        """All entries behind `after`, with the receipt for the last."""
        lease = Lease("ab" * 32, self.head.seq, self.head.hash, "", "", (), 5_000, 1_700_000_000)
        signed = SignedLease(lease, "cd" * 64) if self.entries else None
        return JournalPost(after, self.stored(after), signed, tuple(waiting))

    def wire(self, after: int = 0, waiting: Sequence[Waiting] = ()) -> Any:
        return msgspec.to_builtins(self.post(after, waiting))
