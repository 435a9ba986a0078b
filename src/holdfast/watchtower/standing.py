"""What follows from the journal that the watchtower holds: who may order what, and which hashes a lease names. Pure.

It folds the entries by itself, with less code than the signer, so that a fault in the signer's fold shows up here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from holdfast.core.errors import BadInput
from holdfast.core.journal import CertificateTaken, Entry, Head, Ordered, PolicyTaken, Signed, head_of
from holdfast.core.orders import (
    EVERYTHING,
    ORDER_TAG,
    Genesis,
    Order,
    OrderMalformed,
    Reanchor,
    SignedOrder,
    Stage,
    read_order,
)
from holdfast.core.quorum import Quorum, QuorumMalformed, QuorumNotReached, read_quorum, require_quorum

HashAt = Callable[[int], str]
"""Hash of an entry that is held."""
WEIGHTY = ("ordered", "policy", "certificate")
"""Kinds of entries that change a standing. All others only move the head."""


class GenesisUnknown(BadInput):
    """The journal does not begin with a genesis order of the pinned quorum. Compare the root fingerprints."""

    code = "genesis-unknown"


class OrderNotAllowed(BadInput):
    """The quorum did not sign this order, or it cannot stand where it stands. Have enough officers sign it."""

    code = "order-not-allowed"


@dataclass(frozen=True, slots=True)
class Stop:
    """A scope that stands still, from the moment of `received_ms` on."""

    id: str
    """SHA-256 of what was signed; of the entry, where the signer stopped itself."""
    scope: str
    received_ms: int
    """By the watchtower's clock; no two are alike, later ones are larger."""


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a restore, and when it was received first."""

    id: str
    scopes: tuple[str, ...]
    stage: Stage
    at: int
    received_ms: int


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the journal stands, and whose word counts."""

    head: Head = field(default_factory=Head)
    quorum: Quorum | None = None
    journal_key: str = ""
    lease_key: str = ""
    """The watchtower that the journal obeys."""
    policy: str = ""
    enrolment: str = ""
    anchored: int = 0
    """Up to this entry the quorum vouches for the journal, whatever was leased."""
    unleased: int = 0
    """The newest entry with a signature for which no lease can have been granted here."""


def following(standing: Standing, entries: Iterable[Entry], root_fingerprint: str, hash_at: HashAt) -> Standing:
    """The standing once these entries follow. Raises `GenesisUnknown`, `OrderNotAllowed`."""
    for entry in entries:
        match entry.body:
            case Ordered(order=order):
                standing = _ordered(standing, order, root_fingerprint, hash_at)
            case PolicyTaken(document=document):
                standing = replace(standing, policy=hashlib.sha256(document.encode()).hexdigest())
            case CertificateTaken(document=document):
                chained = hashlib.sha256((standing.enrolment + document).encode()).hexdigest()
                standing = replace(standing, enrolment=chained)
            case _:
                pass
        if standing.quorum is None:
            raise GenesisUnknown(f"entry {entry.seq} is no genesis order")
        standing = replace(standing, head=head_of(entry))
    return standing


def unleased(standing: Standing, entries: Iterable[Entry], *, is_withheld: bool) -> int:
    """The newest signature among these entries that nobody with this standing can have leased; 0 for none.

    A reservation is witnessed before it is signed. One that is still news here was leased elsewhere or not at all: by a
    watchtower whose store was lost, or by none.
    """
    newest = 0
    for entry in entries:
        if isinstance(entry.body, Signed) and (is_withheld or entry.body.reservation > standing.head.seq):
            newest = entry.seq
    return newest


def standing_stops(stops: Iterable[Stop], steps: Iterable[Step]) -> list[Stop]:
    """The stops that no restore of their scope, begun by an order made and received after them, has ended."""
    ended: dict[str, int] = {}
    for step in steps:
        if step.stage is not Stage.ALLOWLISTED:
            continue  # later steps loosen what has begun to come back, and end no freeze that came meanwhile
        # The second in which it was made counts to its end: the officers' clocks have no finer hand.
        reaches = min((step.at + 1) * 1_000, step.received_ms)
        for scope in step.scopes:
            ended[scope] = max(reaches, ended.get(scope, 0))
    everything = ended.get(EVERYTHING, 0)
    return [stop for stop in stops if stop.received_ms > max(everything, ended.get(stop.scope, 0))]


def stages(stops: Iterable[Stop], steps: Iterable[Step]) -> dict[str, Stage]:
    """The stage of every scope that is not normal: frozen while a stop of it stands, else that of its newest step."""
    steps = sorted(steps, key=lambda step: step.received_ms)
    found = {scope: step.stage for step in steps for scope in step.scopes}
    found |= {stop.scope: Stage.FROZEN for stop in standing_stops(stops, steps)}
    return {scope: stage for scope, stage in sorted(found.items()) if stage is not Stage.NORMAL}


def read_signed(order: SignedOrder, quorum: Quorum) -> Order:
    """The order, once the quorum's signatures are found under it. Raises `OrderNotAllowed`."""
    document = order.document.encode()
    try:
        found = read_order(document)
        require_quorum(ORDER_TAG, document, order.signatures, quorum)
    except (OrderMalformed, QuorumNotReached) as error:
        raise OrderNotAllowed(f"{error.code}: {error.detail}") from None
    return found


def _ordered(standing: Standing, signed: SignedOrder, root_fingerprint: str, hash_at: HashAt) -> Standing:
    if standing.quorum is None:
        return _begin(signed, root_fingerprint)
    order = read_signed(signed, standing.quorum)
    if isinstance(order, Genesis):
        raise OrderNotAllowed("a journal begins once")
    if not isinstance(order, Reanchor):
        return standing
    if not 0 < order.seq <= standing.head.seq or order.head != hash_at(order.seq):
        raise OrderNotAllowed(f"it re-anchors at entry {order.seq}, which has another hash or is none yet")
    return replace(standing, lease_key=order.lease_key, anchored=max(order.seq, standing.anchored))


def _begin(signed: SignedOrder, root_fingerprint: str) -> Standing:
    try:
        genesis = read_order(signed.document.encode())
        if not isinstance(genesis, Genesis):
            raise GenesisUnknown("the first entry is another order")
        quorum = read_quorum(genesis.quorum.encode())
    except (OrderMalformed, QuorumMalformed) as error:
        raise GenesisUnknown(f"{error.code}: {error.detail}") from None
    if quorum.fingerprint() != root_fingerprint:
        raise GenesisUnknown(f"its quorum is {quorum.fingerprint()}")
    read_signed(signed, quorum)
    return Standing(quorum=quorum, journal_key=genesis.journal_key, lease_key=genesis.lease_key)
