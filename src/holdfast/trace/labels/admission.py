"""Which claims become labels. Pure rules: a feed that lies, errs or was poisoned must not stop a stranger's money.

First each claim alone (`formed`): a known network, a well formed address, a checksum that fits. Then all of them
together (`weigh`), so that the order in which feeds came makes no difference. What is refused is kept, with its reason;
a person may decide otherwise, claim by claim.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from holdfast.trace.labels.addresses import (
    LabelAddressChecksumWrong,
    LabelAddressMalformed,
    TickerUnknown,
    key_of,
    place_of,
)
from holdfast.trace.labels.claims import ACCUSING, UNPROVEN, Claim, Decision, Refusal, RefusedFor
from holdfast.trace.labels.likeness import Likeness
from holdfast.trace.model import Label, LabelKind
from holdfast.trace.reading import Degree

AUTHORITY = 80
"""Confidence from which a source is a state's or the owner's own word, and no likeness speaks against it."""

CROWD = 1_000
"""Counterparties on each side that make an address a service. A thief pays few and is paid by his victims; a service
pays and is paid by a crowd. Both sides must be that many, because anybody can send dust to anybody."""

_KNOWN_THINGS = frozenset({LabelKind.CONTRACT, *(kind for kind in LabelKind if kind.is_service)})
_EVM_RESERVED = 0x10000
"""Addresses below are the zero address, precompiled contracts and what the network itself writes to."""
_BURNT = re.compile(r"0x(0*dead0*|(.)\2{39}|0*dead.*dead|(.{1,8}?)\3{4,})", re.IGNORECASE)
_SEQUENCE = "0123456789abcdef" * 4


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


def weigh(labels: Sequence[Label], facts: Facts | None = None, decisions: Iterable[Decision] = ()) -> Admission:
    """All labels of all feeds, weighed against each other and against what chains tell.

    Only claims that speak ill of an owner (`ACCUSING`) are doubted here: a wrong "exchange" loses a trace, a wrong
    "thief" stops somebody's money. A state's list of sanctions is law, true or not, and is not doubted either.
    """
    facts = facts or Facts()
    decided = {(*key_of(each.network, each.address), each.source): each for each in decisions}
    weighing = _Weighing(labels, facts)
    admitted, refused = [], []
    for label in labels:
        decision = decided.get((*key_of(label.network, label.address), label.source))
        if decision is not None and decision.admit:
            admitted.append(label)
            continue
        found = (
            (RefusedFor.PERSON, f"{decision.by}: {decision.why}") if decision is not None else weighing.against(label)
        )
        if found is None:
            admitted.append(label)
        else:
            refused.append(
                Refusal(label.network, label.address, label.name, label.kind, label.source, found[0], found[1])
            )
    return Admission(tuple(admitted), tuple(refused))


class _Weighing:
    """What one label is weighed against: everything else that is said, and what chains tell."""

    def __init__(self, labels: Sequence[Label], facts: Facts) -> None:
        self._facts = facts
        self._said: dict[str, list[Label]] = defaultdict(list)
        for label in labels:
            self._said[key_of(label.network, label.address)[1]].append(label)
        self._likeness = Likeness(self._said)

    def against(self, label: Label) -> tuple[RefusedFor, str] | None:
        """What speaks against it; None: nothing that is known here."""
        if label.kind not in ACCUSING:
            return None
        degree = self._facts.of(label.network, label.address)
        return (
            _placeholder(label)
            or self._service(label, degree)
            or _silent(label, degree, self._facts)
            or self._lookalike(label, degree)
        )

    def _service(self, label: Label, degree: Degree | None) -> tuple[RefusedFor, str] | None:
        """Another source's word that it is a service, or a crowd on both sides."""
        for other in self._said[key_of(label.network, label.address)[1]]:
            if other.kind in _KNOWN_THINGS and _is_other(other, label) and not _outranks(label, other):
                return RefusedFor.SERVICE, f"{other.source} knows it as {other.name} ({other.kind})"
        if degree is not None and degree.sources >= CROWD and degree.targets >= CROWD:
            return RefusedFor.SERVICE, (
                f"{degree.sources} addresses paid it and it paid {degree.targets}: a service, whoever's it is"
            )
        return None

    def _lookalike(self, label: Label, degree: Degree | None) -> tuple[RefusedFor, str] | None:
        """An address that was made, or mistyped, to look like another. One that has itself been used is real."""
        if label.confidence >= AUTHORITY or (degree is not None and degree.leaving):
            return None
        key = key_of(label.network, label.address)[1]
        if any(_is_other(other, label) for other in self._said[key]):
            return None
        for like in self._likeness.of(key):
            other = max(self._said[like.key], key=lambda each: each.confidence)
            if other.kind not in ACCUSING or other.confidence >= label.confidence:
                return RefusedFor.LOOKALIKE, (
                    f"its first {like.head} and last {like.tail} letters are those of {other.address} "
                    f"({other.name}, {other.source}); by chance that happens once in {like.odds:,} such lists"
                )
        return None


def _placeholder(label: Label) -> tuple[RefusedFor, str] | None:
    address = label.address.lower()
    if not address.startswith("0x"):
        return None
    if int(address, 16) < _EVM_RESERVED:
        return RefusedFor.PLACEHOLDER, "the network itself has that address; nobody holds its key"
    if _BURNT.fullmatch(address) or address[2:22] in _SEQUENCE:
        return RefusedFor.PLACEHOLDER, "an address that was written by hand, and of which nobody can hold the key"
    return None


def _silent(label: Label, degree: Degree | None, facts: Facts) -> tuple[RefusedFor, str] | None:
    if label.network not in facts.complete or (degree is not None and (degree.arriving or degree.leaving)):
        return None
    return RefusedFor.SILENT, f"every transfer on {label.network} is known here, and none is to or from it"


def _is_other(one: Label, two: Label) -> bool:
    """Whether two labels are of different sources: a feed cannot vouch for itself."""
    return one.source.partition(":")[0] != two.source.partition(":")[0]


def _outranks(label: Label, other: Label) -> bool:
    """Whether an authority says ill of what a mere list calls a service: then both stand, and the conflict is shown."""
    return label.confidence >= AUTHORITY > other.confidence


def doubtful(label: Label) -> bool:
    """Whether a label rests on nothing but a list that nobody has vouched for."""
    return label.confidence <= UNPROVEN
