"""What the watchtower has stopped, read by the drill from the watchtower's own store."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from holdfast.drill.places import Places, TrustZone

STORE = "tower.sqlite"


@dataclass(frozen=True, slots=True)
class Stop:
    """A freeze."""

    id: str
    scope: str
    reason: str
    by: str
    """`signer`, `watchtower`, or a key."""
    at_ms: int
    is_ended: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """What stands in the store."""

    seq: int
    """The newest entry of the journal that it holds."""
    stops: tuple[Stop, ...]


def stops_in(places: Places) -> Told:
    """Everything that it has stopped; nothing where the store is not there, or busy."""
    path = places.of(TrustZone.WATCHTOWER) / STORE
    try:
        database = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=1)
    except sqlite3.Error:
        return Told(0, ())
    try:
        ((seq,),) = database.execute("SELECT coalesce(max(seq), 0) FROM entries")
        rows = database.execute('SELECT id, scope, reason, "by", received_ms FROM stops ORDER BY received_ms')
        return Told(int(seq), tuple(Stop(*row) for row in rows))
    except sqlite3.Error:
        return Told(0, ())
    finally:
        database.close()
