"""An incident as a value: a timeline to which lines are only ever added, and all that follows from it. Pure.

Each line's hash covers the one before, and the incident process signs every line: an edited, lost or added one shows.
A line says what was seen, what was decided by whom, what was sealed, or who was handed it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from holdfast.core import canonical
from holdfast.core.canonical import DocumentNotCanonical
from holdfast.core.errors import BadInput, Conflict
from holdfast.core.quorum import is_signed, tagged
from holdfast.core.states import IncidentState, move_incident

TIMELINE_TAG = b"holdfast incident timeline 1\0"
LINE_TAG = b"holdfast incident line 1\0"
DECISION_TAG = b"holdfast incident decision 1\0"
EMPTY = "0" * 64
"""The hash before the first line."""
LINE_BYTES_MAX = 1_000_000
STOPPED, STOP_ENDED, ALARM = "stopped", "stop-ended", "alarm"
"""Kinds of what is seen that say whether an incident is over."""


class TimelineBroken(BadInput):
    """An incident's timeline does not follow from its lines: one was edited, lost or put in. Compare it with a copy."""

    code = "timeline-broken"


class DecisionUnsigned(BadInput):
    """The signature is not by this key, or not over this decision. Sign it anew with `holdfast incident decide`."""

    code = "decision-unsigned"


class IncidentNotOver(Conflict):
    """What the incident is about still stands still. Restore it, or have the watchtower's stop ended, then close it."""

    code = "incident-not-over"


class Touched(msgspec.Struct, frozen=True, forbid_unknown_fields=True, order=True):
    """A transaction that has to do with an incident, so that a program can follow it on the chain."""

    network: str
    """CAIP-2 id."""
    transaction: str
    """Id by which the network knows it."""
    output: int | None = None
    """Bitcoin family: place of the output; EVM: index of the log. None: the whole transaction."""


class Opened(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="opened", tag_field="line"):
    """The first line: which incident this is, and what opened it."""

    incident: str
    why: str


class Seen(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="seen", tag_field="line", kw_only=True):
    """Something happened or changed in a zone."""

    zone: str
    kind: str
    scope: str = ""
    """`*`, a CAIP-2 id, a CAIP-19 id or a merchant's id, where it has one."""
    text: str
    transactions: tuple[Touched, ...] = ()
    by: str = ""
    """Who did it, where that is known: `signer`, `watchtower`, or a key."""
    happened_ms: int
    """Milliseconds since 1970 by the zone's own clock."""
    ref: str = ""
    """What names it in that zone: the same thing is written down once."""


class Noted(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="noted", tag_field="line"):
    """What a person wrote down."""

    by: str
    text: str
    transactions: tuple[Touched, ...] = ()


class Decision(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a person decides, as he signs it."""

    incident: str
    head: str
    """Hash of the newest line that he knew of."""
    name: str
    key: str
    """Ed25519 public key, hex."""
    at_ms: int
    what: str
    why: str


class Decided(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="decided", tag_field="line"):
    """A decision was taken."""

    document: str
    """Canonical bytes of a `Decision`, as text."""
    signature: str


class Sealed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="sealed", tag_field="line"):
    """Evidence was taken and sealed."""

    number: int
    manifest: str
    """SHA-256 of the manifest's exact bytes, hex."""
    files: int
    missing: int
    by: str


class HandedOver(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="handed-over", tag_field="line"):
    """A seal of evidence went from one person to another: the chain of custody."""

    manifest: str
    giver: str
    receiver: str
    why: str


class Moved(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="moved", tag_field="line"):
    """The incident's state changed."""

    state: IncidentState
    by: str


Body = Opened | Seen | Noted | Decided | Sealed | HandedOver | Moved
B = TypeVar("B", Opened, Seen, Noted, Decided, Sealed, HandedOver, Moved)


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    seq: int
    at_ms: int
    body: Body


class StoredLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A line as it is kept."""

    document: str
    hash: str
    signature: str
    """By the incident process' key, over the hash."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a timeline, read."""

    seq: int
    """From 1, without gaps."""
    at_ms: int
    """When it was written, milliseconds since 1970."""
    body: Body
    stored: StoredLine


@dataclass(frozen=True, slots=True)
class Incident:
    """One incident, as its lines tell it."""

    id: str = ""
    key: str = ""
    """The incident process' public key, hex: every line is signed by it."""
    state: IncidentState = IncidentState.OPEN
    lines: tuple[Line, ...] = ()
    refs: frozenset[str] = frozenset()
    """What is written down already."""
    stops: dict[str, str] = field(default_factory=dict)
    """Stops that have not ended: their scope by their ref."""

    @property
    def head(self) -> str:
        """Hash of the newest line."""
        return self.lines[-1].stored.hash if self.lines else EMPTY

    @property
    def opened_ms(self) -> int:
        """When it was opened, milliseconds since 1970."""
        return self.lines[0].at_ms

    @property
    def is_open(self) -> bool:
        """Whether it is not closed."""
        return self.state is not IncidentState.CLOSED

    def of(self, kind: type[B]) -> list[B]:
        """Bodies of one kind, oldest first."""
        return [line.body for line in self.lines if isinstance(line.body, kind)]

    @property
    def decisions(self) -> list[Decision]:
        """What was decided, each checked against its signature."""
        return [read_decision(one) for one in self.of(Decided)]

    @property
    def alarmed(self) -> frozenset[str]:
        """Scopes of its alarms; one without any is about everything."""
        return frozenset(one.scope or "*" for one in self.of(Seen) if one.kind == ALARM)

    @property
    def transactions(self) -> tuple[Touched, ...]:
        """Every transaction that any line names, each once, in the order in which they came."""
        named = [one for line in self.lines if isinstance(line.body, Seen | Noted) for one in line.body.transactions]
        return tuple(dict.fromkeys(named))


def make_line(incident: Incident, body: Body, at_ms: int, key: Ed25519PrivateKey) -> Line:
    """The line that comes next. Raises `DocumentNotCanonical`."""
    document = canonical.write(_Document(len(incident.lines) + 1, at_ms, body))
    hash_ = _hash(incident.head, document)
    signature = key.sign(tagged(LINE_TAG, bytes.fromhex(hash_))).hex()
    return Line(len(incident.lines) + 1, at_ms, body, StoredLine(document.decode(), hash_, signature))


def with_line(incident: Incident, line: Line) -> Incident:
    """The incident with one more line.

    Raises `TimelineBroken`, `TransitionForbidden`, `DecisionUnsigned`, `IncidentNotOver`.
    """
    body, after = line.body, replace(incident, lines=(*incident.lines, line))
    if isinstance(body, Opened) != (not incident.lines):
        raise TimelineBroken(f"line {line.seq}: a timeline has one beginning")
    match body:
        case Opened():
            return replace(after, id=body.incident)
        case Seen():
            return replace(after, refs=incident.refs | {body.ref}, stops=_stops(incident.stops, body))
        case Decided():
            if read_decision(body).incident != incident.id:
                raise DecisionUnsigned("it is about another incident")
        case Moved():
            if body.state is IncidentState.CLOSED and incident.stops:
                raise IncidentNotOver(", ".join(sorted(set(incident.stops.values()))))
            return replace(after, state=move_incident(incident.state, body.state))
        case _:
            pass  # tells; changes nothing
    return after


def read_incident(stored: Iterable[StoredLine], key: str) -> Incident:
    """The incident that these lines tell, each checked: hash, signature by this key, and what it says.

    Raises `TimelineBroken`, `TransitionForbidden`, `DecisionUnsigned`, `IncidentNotOver`.
    """
    incident = Incident(key=key)
    for one in stored:
        incident = with_line(incident, _read(incident, one))
    if not incident.lines:
        raise TimelineBroken("it has no line")
    return incident


def read_decision(decided: Decided) -> Decision:
    """The decision, if the key that it names signed it. Raises `DecisionUnsigned`."""
    document = decided.document.encode()
    try:
        decision = canonical.read(document, Decision)
    except DocumentNotCanonical as error:
        raise DecisionUnsigned(error.detail) from None
    if not is_signed(decision.key, decided.signature, tagged(DECISION_TAG, document)):
        raise DecisionUnsigned(f"{decision.name[:80]} did not sign it")
    return decision


def sign_decision(decision: Decision, key: Ed25519PrivateKey) -> Decided:
    """The decision as it is written down. Raises `DocumentNotCanonical`."""
    document = canonical.write(decision)
    return Decided(document.decode(), key.sign(tagged(DECISION_TAG, document)).hex())


def state_for(incident: Incident, frozen: Sequence[str], news: Sequence[str]) -> IncidentState:
    """Contained once every scope of its alarms and stops stands still; open again at news of a scope that does not.

    `frozen`: what stands still now; `news`: scopes of alarms and stops that came just now. A closed one stays closed.
    """
    if incident.state is IncidentState.CONTAINED:
        return incident.state if all(_is_covered(one, frozen) for one in news) else IncidentState.OPEN
    scopes = {*incident.alarmed, *incident.stops.values()}
    is_still = bool(scopes) and all(_is_covered(one, frozen) for one in scopes)
    return IncidentState.CONTAINED if incident.is_open and is_still else incident.state


def _is_covered(scope: str, frozen: Sequence[str]) -> bool:
    """Whether this scope stands still: everything does, itself, or the network of an asset."""
    return "*" in frozen or scope in frozen or any(scope.startswith(f"{one}/") for one in frozen)


def _stops(stops: dict[str, str], seen: Seen) -> dict[str, str]:
    if seen.kind == STOPPED:
        return {**stops, seen.ref: seen.scope}
    if seen.kind == STOP_ENDED:
        return {ref: scope for ref, scope in stops.items() if f"{ref}:ended" != seen.ref}
    return stops


def _hash(previous: str, document: bytes) -> str:
    return hashlib.sha256(TIMELINE_TAG + bytes.fromhex(previous) + document).hexdigest()


def _read(incident: Incident, stored: StoredLine) -> Line:
    place, document = len(incident.lines) + 1, stored.document.encode()
    if stored.hash != _hash(incident.head, document):
        raise TimelineBroken(f"line {place} does not follow from line {place - 1}")
    if not is_signed(incident.key, stored.signature, tagged(LINE_TAG, bytes.fromhex(stored.hash))):
        raise TimelineBroken(f"line {place} was not signed by {incident.key}")
    try:
        read = canonical.read(document, _Document, LINE_BYTES_MAX)
    except DocumentNotCanonical as error:
        raise TimelineBroken(f"line {place}: {error.detail}") from None
    if read.seq != place:
        raise TimelineBroken(f"line {place} calls itself {read.seq}")
    return Line(read.seq, read.at_ms, read.body, stored)
