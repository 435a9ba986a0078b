"""The journal's meaning, folded by the watchtower itself: no entry counts because the signer wrote it.

Entries are judged once, before they are stored; what the store gives back after a restart was judged before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from holdfast.chains.journaled_outputs import strange_outputs
from holdfast.core.errors import HoldfastError
from holdfast.core.journal import Deposit, Entry, Funding, Head, StoredEntry, read_entries
from holdfast.policy import audit
from holdfast.policy.record import Record


@dataclass(slots=True)
class Fold:
    """The record, and who wants to hear of new entries."""

    root_fingerprint: str
    record: Record = field(default_factory=Record)
    false: str = ""
    """What the first false entry was. From then on nothing is granted: the record stands before it for good."""
    lowest: dict[str, int] = field(default_factory=dict)
    """By network: the first block in which anything of the journal happened."""
    listeners: list[deque[Entry]] = field(default_factory=list)

    def restore(self, stored: Iterable[StoredEntry]) -> None:
        """Take entries that were judged when they came. Raises `JournalBroken`."""
        head = self.record.head
        for entry in read_entries(Head(head.seq, head.hash), stored):
            self.record.apply(entry)
            self._tell(entry)

    def judge(self, entries: Sequence[Entry]) -> int:
        """Take further entries; how many were right before the first false one."""
        before = self.record.head.seq
        try:
            audit.judge(self.record, entries, self.root_fingerprint, strange_outputs)
        except (HoldfastError, KeyError, ValueError, IndexError, TypeError) as error:
            detail = error.detail if isinstance(error, HoldfastError) else f"{type(error).__name__} {error}"
            self.false = f"entry {self.record.head.seq + 1}: {detail[:300]}"
        right = self.record.head.seq - before
        for entry in entries[:right]:
            self._tell(entry)
        return right

    def _tell(self, entry: Entry) -> None:
        if isinstance(entry.body, Deposit | Funding):
            network, height = entry.body.network, entry.body.height
            self.lowest[network] = min(height, self.lowest.get(network, height))
        for listener in self.listeners:
            listener.append(entry)
