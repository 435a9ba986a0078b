"""The words of linking: six classes of evidence, three verdicts, and what each link rests on. Pure values.

A link is never proof of who did it: "consistent with", never "is". A person signs; the program never claims.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Evidence(StrEnum):
    """Classes of evidence, the strongest first. Only A to C can link; D and F can only liken; E is worth nothing."""

    DIRECT = "A"
    """An address that held one loot paid an address of the other, and neither is a service."""
    COMINGLED = "B"
    """Both loots met in one address, or were spent in one transaction, that is no service."""
    INFRASTRUCTURE = "C"
    """The same private thing served both: who paid the gas, an exchange deposit address, a deployer, a key."""
    ROUTE = "D"
    """The same rare order of services and assets, measured against how often strangers would show it."""
    SERVICE = "E"
    """The same exchange, bridge or mixer, which everybody uses."""
    RHYTHM = "F"
    """The same hours of the day."""


LINKING = frozenset({Evidence.DIRECT, Evidence.COMINGLED, Evidence.INFRASTRUCTURE})
"""Classes without which nothing is called linked."""
LIKELIER_THAN_NOT = 50
"""Confidence under which a link counts for nothing: the balance of probabilities."""


class Verdict(StrEnum):
    """What the evidence is worth together."""

    LINKED = "linked"
    SIMILAR = "similar"
    NOTHING = "nothing"


class Removal(StrEnum):
    """Why an address was taken out before anything was compared."""

    LABEL = "label"
    DEPOSIT = "deposit-behaviour"
    """It passes everything on to one exchange."""
    DEGREE = "degree"
    """Most who pay it, or whom it pays, have nothing to do with either theft."""
    FRONT = "front"
    """Unlabelled, and all that it ever does is feed a service: it may be that service's own address."""
    NOBODY = "nobody"
    """The null address, or the contract of an asset."""


class Link(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One thing that two incidents share."""

    id: str
    """`L01`, the strongest class first."""
    evidence: Evidence
    why: str
    """In a sentence, with the figures."""
    alternatives: tuple[str, ...]
    """What else would explain it, in words."""
    confidence: int
    """0 to 100: of the weakest step that it rests on; 0 for a class that is worth nothing alone."""
    network: str = ""
    """CAIP-2; empty where it is of no network."""
    addresses: tuple[str, ...] = ()
    transactions: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()
    """`case:E0001`: the steps of the traces that it rests on."""
    evidence_ids: tuple[str, ...] = ()
    """Of raw replies in the cases' evidence."""


class Removed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An address that both share and that says nothing, since it is everybody's."""

    network: str
    address: str
    removal: Removal
    why: str


class Overlap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many addresses both incidents paid, beside how many strangers with as many payments would."""

    shared: int
    expected_thousandths: int
    """Mean over the shuffles, in thousandths of an address."""
    as_many: int
    """In how many of the shuffles at least as many were shared."""
    shuffles: int
    seed: int


class Comparison(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Two incidents, compared."""

    cases: tuple[str, str]
    verdict: Verdict
    sentence: str
    """The verdict as it may be quoted."""
    links: tuple[Link, ...]
    removed: tuple[Removed, ...]
    """Of what both share, what was taken out as a service, and why."""
    naive: Overlap
    """Before services are removed: what a plain intersection would have said."""
    overlap: Overlap
    """After."""
    untested: tuple[str, ...] = ()
    """What could not be looked at, and what it would need."""
    signed_by: str = ""
    """The person who takes responsibility; the program leaves it empty."""
    signed_at: int = 0


class Linking(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All pairs of the cases that were given: the content of `links.json`."""

    cases: tuple[str, ...]
    comparisons: tuple[Comparison, ...]
    program: str = ""
    """Name and version of what compared."""
