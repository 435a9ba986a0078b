"""What the watchtower tells to whoever asks: where payouts stand, what it sees on its own nodes, what does not fit.

One line of JSON: `{"status":{}}` is answered with a `TowerStatus`. Nothing in it is secret and nothing is signed: it is
for people and for what watches beside them, never a reason to sign.
"""

from __future__ import annotations

import msgspec

STATUS_REQUEST = b'{"status":{}}\n'
"""The line that asks for it."""


class StopShown(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A freeze, whoever made it."""

    id: str
    scope: str
    reason: str
    by: str
    """`signer`, `watchtower`, `dead-man`, or the public key of who signed it."""
    received_ms: int
    """Milliseconds since 1970 by the watchtower's clock; no two are alike."""
    ended: bool
    """A restore of its scope was begun after it."""


class NetworkSeen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the watchtower's own nodes of one network showed it."""

    network: str
    height: int
    """Up to this block every node was looked through."""
    looked_ms: int
    """When all of them were last looked at in full, milliseconds since 1970; 0: never yet."""
    fault: str
    """Why it does not see now; empty: it sees."""


class Alarm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something that does not fit. Where it proves a theft, the scope is stopped as well."""

    at_ms: int
    kind: str
    """As `watchtower.alarms` lists them."""
    scope: str
    detail: str
    transactions: tuple[str, ...] = ()


class TowerStatus(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The answer."""

    now_ms: int
    seq: int
    """Of the newest journal entry that is held, with its hash."""
    head: str
    policy: str
    """SHA-256 of the newest policy in the journal, hex; empty without one."""
    frozen: tuple[str, ...]
    """Scopes for which no lease is granted: frozen ones, and networks that are not seen."""
    stages: dict[str, str]
    """Of every scope that is not normal."""
    stops: tuple[StopShown, ...]
    """Oldest first, the newest `STOPS_SHOWN_MAX`."""
    networks: tuple[NetworkSeen, ...]
    lease_ms: int
    """When the last lease was granted, milliseconds since 1970; 0: none since the watchtower started."""
    alarms: tuple[Alarm, ...]
    """Since the watchtower started, oldest first, the newest `ALARMS_SHOWN_MAX`."""


STOPS_SHOWN_MAX = 1_000
ALARMS_SHOWN_MAX = 1_000
