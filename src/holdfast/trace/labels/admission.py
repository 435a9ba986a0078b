"""Which claims become labels. Pure rules: a feed that lies, errs or was poisoned must not stop a stranger's money.

First each claim alone (`formed`): a known network, a well formed address, a checksum that fits. Then all of them
together (`weigh`), so that the order in which feeds came makes no difference. What is refused is kept, with its reason;
a person may decide otherwise, claim by claim.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from holdfast.trace.labels.addresses import (
    LabelAddressChecksumWrong,
    LabelAddressMalformed,
    TickerUnknown,
    key_of,
    place_of,
)
from holdfast.trace.labels.claims import ACCUSING, Claim, Decision, Feed, Refusal, RefusedFor
from holdfast.trace.labels.likeness import Likeness
from holdfast.trace.model import Label, LabelKind
from holdfast.trace.reading import Degree, Transfers

AUTHORITY = 80
"""Confidence from which a source is a state's or the owner's own word, and no likeness speaks against it."""

CROWD = 1_000
"""Counterparties on each side that make an address a service. A thief pays few and is paid by his victims; a service
pays and is paid by a crowd. Both sides must be that many, because anybody can send dust to anybody."""

_Doubt = tuple[RefusedFor, str]
_KNOWN_THINGS = frozenset({LabelKind.CONTRACT, *(kind for kind in LabelKind if kind.is_service)})
_EVM_RESERVED = 0x10000
"""Addresses below are the zero address, precompiled contracts and what the network itself writes to."""
_PERIOD_MOST = 16
"""Digits after which a hand that writes an address begins anew: `1234567890abcdef1234…`."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What chains tell of addresses, where somebody asked."""

    degrees: Mapping[tuple[str, str], Degree] = field(default_factory=dict)
    """By network and address."""
    complete: frozenset[str] = frozenset()
    """Networks of which every transfer is known: there, no degree means no activity."""

    def of(self, network: str, address: str) -> Degree | None:
        """What is known of an address; None: nothing."""
        return self.degrees.get((network, address))


def facts_of(transfers: Transfers, labels: Iterable[Label], complete: Collection[str] = ()) -> Facts:
    """What a store tells of labelled addresses. `complete`: networks of which it has every transfer."""
    by_network: dict[str, set[str]] = defaultdict(set)
    for label in labels:
        by_network[label.network].add(label.address)
    degrees = {
        (network, address): degree
        for network, addresses in by_network.items()
        for address, degree in transfers.degrees(network, sorted(addresses)).items()
    }
    return Facts(degrees, frozenset(complete))


@dataclass(frozen=True, slots=True)
class Admission:
    """What became of claims."""

    admitted: tuple[Label, ...]
    refused: tuple[Refusal, ...]


def formed(claims: Iterable[Claim], feed: str, at: int, ceiling: int = 100) -> Admission:
    """Claims with an address that can exist, as labels of a feed that was read at a moment; the rest refused.

    `ceiling`: the most that this feed is believed, whatever it says of itself.
    """
    admitted, refused = [], []
    for claim in claims:
        source = f"{feed}: {claim.source}" if claim.source else feed
        try:
            place = place_of(claim.network, claim.address)
        except TickerUnknown as wrong:
            refused.append(_unread(claim, source, RefusedFor.NETWORK, wrong.detail))
        except LabelAddressMalformed as wrong:
            refused.append(_unread(claim, source, RefusedFor.MALFORMED, wrong.detail))
        except LabelAddressChecksumWrong as wrong:
            refused.append(_unread(claim, source, RefusedFor.CHECKSUM, wrong.detail))
        else:
            admitted.append(
                Label(
                    network=place.network,
                    address=place.address,
                    name=claim.name,
                    kind=claim.kind,
                    source=source,
                    confidence=max(0, min(claim.confidence, ceiling, 100)),
                    stated_at=claim.stated_at or at,
                    valid_from=claim.valid_from,
                    valid_until=claim.valid_until,
                )
            )
    return Admission(tuple(admitted), tuple(refused))


def _unread(claim: Claim, source: str, reason: RefusedFor, why: str) -> Refusal:
    return Refusal(claim.network, claim.address[:200], claim.name, claim.kind, source, reason, why)


def weigh(feeds: Sequence[Feed], facts: Facts | None = None, decisions: Iterable[Decision] = ()) -> Admission:
    """All labels of all feeds, weighed against each other and against what chains tell.

    Claims that speak ill of an owner (`ACCUSING`) are doubted most: a wrong "exchange" loses a trace, a wrong "thief"
    stops somebody's money. A state's list of sanctions is law, true or not, and is not doubted.
    What a feed says that nobody has vouched for counts for nothing against one that somebody has.
    """
    decided = {(*key_of(each.network, each.address), each.source): each for each in decisions}
    weighing = _Weighing(feeds, facts or Facts())
    admitted, refused = [], []
    for feed in feeds:
        for label in feed.labels:
            decision = decided.get((*key_of(label.network, label.address), label.source))
            found = weighing.against(label, feed) if decision is None else _by_a_person(decision)
            if found is None:
                admitted.append(label)
            else:
                refused.append(
                    Refusal(label.network, label.address, label.name, label.kind, label.source, found[0], found[1])
                )
    return Admission(tuple(admitted), tuple(refused))


def _by_a_person(decision: Decision) -> _Doubt | None:
    return None if decision.admit else (RefusedFor.PERSON, f"{decision.by}: {decision.why}")


class _Weighing:
    """What one label is weighed against: everything else that is said, and what chains tell."""

    def __init__(self, feeds: Sequence[Feed], facts: Facts) -> None:
        self._facts = facts
        self._said: dict[str, list[tuple[Feed, Label]]] = defaultdict(list)
        for feed in feeds:
            for label in feed.labels:
                self._said[key_of(label.network, label.address)[1]].append((feed, label))
        self._likeness = Likeness(self._said)

    def against(self, label: Label, feed: Feed) -> _Doubt | None:
        """What speaks against it; None: nothing that is known here."""
        if label.kind not in ACCUSING:
            return self._clearing(label, feed)
        degree = self._facts.of(label.network, label.address)
        return (
            _placeholder(label)
            or self._service(label, feed, degree)
            or _silent(label, degree, self._facts)
            or self._lookalike(label, feed, degree)
        )

    def _clearing(self, label: Label, feed: Feed) -> _Doubt | None:
        """A stranger's word that a known thief's address is a service."""
        if feed.is_vouched or label.kind not in _KNOWN_THINGS:
            return None
        for source, other in self._said[key_of(label.network, label.address)[1]]:
            if source.is_vouched and other.kind in ACCUSING:
                return RefusedFor.CONTRADICTED, f"{other.source} knows it as {other.name} ({other.kind})"
        return None

    def _service(self, label: Label, feed: Feed, degree: Degree | None) -> _Doubt | None:
        """Another feed's word that it is a service, or a crowd on both sides."""
        for source, other in self._said[key_of(label.network, label.address)[1]]:
            is_heard = source.family != feed.family and (source.is_vouched or not feed.is_vouched)
            if other.kind in _KNOWN_THINGS and is_heard and not (feed.is_vouched and _outranks(label, other)):
                return RefusedFor.SERVICE, f"{other.source} knows it as {other.name} ({other.kind})"
        if degree is not None and degree.sources >= CROWD and degree.targets >= CROWD:
            return RefusedFor.SERVICE, (
                f"{degree.sources} addresses paid it and it paid {degree.targets}: a service, whoever's it is"
            )
        return None

    def _lookalike(self, label: Label, feed: Feed, degree: Degree | None) -> _Doubt | None:
        """An address that was made, or mistyped, to look like another. One that has itself been used is real."""
        if feed.is_vouched or (degree is not None and degree.leaving):
            return None
        key = key_of(label.network, label.address)[1]
        if any(source.family != feed.family for source, _ in self._said[key]):
            return None
        for like in self._likeness.of(key):
            source, other = max(self._said[like.key], key=lambda each: (each[0].is_vouched, each[1].confidence))
            return RefusedFor.LOOKALIKE, (
                f"its first {like.head} and last {like.tail} letters are those of {other.address} ({other.name}, "
                f"{source.name}); chance gives that to one honest claim in {like.odds:,}"
            )
        return None


def _placeholder(label: Label) -> _Doubt | None:
    address = label.address.lower()
    if not address.startswith("0x"):
        return None
    if int(address, 16) < _EVM_RESERVED:
        return RefusedFor.PLACEHOLDER, "the network itself has that address; nobody holds its key"
    digits = address[2:]
    if any(digits[period:] == digits[:-period] for period in range(1, _PERIOD_MOST + 1)):
        return RefusedFor.PLACEHOLDER, "an address that was written by hand, and of which nobody can hold the key"
    return None


def _silent(label: Label, degree: Degree | None, facts: Facts) -> _Doubt | None:
    if label.network not in facts.complete or (degree is not None and (degree.arriving or degree.leaving)):
        return None
    return RefusedFor.SILENT, f"every transfer on {label.network} is known here, and none is to or from it"


def _outranks(label: Label, other: Label) -> bool:
    """Whether an authority says ill of what a mere list calls a service: then both stand, and the conflict is shown."""
    return label.confidence >= AUTHORITY > other.confidence
