"""The signer's journal as officers read it: replayed from its first entry, each one checked, nothing on trust."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from holdfast.chains.journaled_outputs import strange_outputs
from holdfast.core.errors import BadInput, Conflict
from holdfast.core.intents import Payout
from holdfast.core.journal import Accepted, Head, Mined, StoredEntry
from holdfast.policy.audit import replay
from holdfast.policy.record import Record, payout_of


class EvidenceRolledBack(Conflict):
    """The journal is shorter, or another, than the one this machine has seen. Settle nothing; call the officers."""

    code = "evidence-rolled-back"


class EvidenceUnreadable(BadInput):
    """The file is not an exported journal. Export it again by `GET /v1/evidence`, or fetch it from the watchtower."""

    code = "evidence-unreadable"


class _Exported(msgspec.Struct, frozen=True):
    entries: list[StoredEntry]


@dataclass(slots=True)
class Evidence:
    """A checked journal, and what of it the claim needs."""

    record: Record = field(default_factory=Record)
    ordered: dict[str, Payout] = field(default_factory=dict)
    """Every payout that was accepted, as the merchant signed it."""
    mined: list[Mined] = field(default_factory=list)


def read_export(data: bytes) -> list[StoredEntry]:
    """The entries in an exported journal, unchecked. Raises `EvidenceUnreadable`."""
    try:
        return msgspec.json.decode(data, type=_Exported).entries
    except msgspec.DecodeError as error:
        raise EvidenceUnreadable(str(error)[:160]) from None


def read_evidence(stored: Iterable[StoredEntry], root_fingerprint: str, seen: Head) -> Evidence:
    """The journal, if every entry follows from what people signed, and it goes on from what was seen before.

    Raises `JournalBroken`, `EvidenceFalse`, `EvidenceRolledBack`.
    """
    evidence = Evidence()
    entries = replay(evidence.record, stored, root_fingerprint, strange_outputs)
    if seen.seq and (len(entries) < seen.seq or entries[seen.seq - 1].stored.hash != seen.hash):
        raise EvidenceRolledBack(f"entry {seen.seq} was another one, or is gone")
    for entry in entries:
        if isinstance(entry.body, Accepted):
            evidence.ordered[entry.body.payout] = payout_of(entry.body)
        elif isinstance(entry.body, Mined):
            evidence.mined.append(entry.body)
    return evidence
