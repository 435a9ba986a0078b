"""What a feed says, as it says it, and what became of it: a label, or a refusal with its reason. Pure values."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from holdfast.trace.model import Label, LabelKind

ACCUSING = frozenset({LabelKind.THEFT, LabelKind.CRIME})
"""Kinds that say ill of the owner: whoever can place them on a stranger's address can stop a stranger's money."""

UNPROVEN = 50
"""The most that a list is believed of which nobody has said more."""


class Claim(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of a feed. Its address and network are text that nobody has checked."""

    network: str
    """A ticker or a CAIP-2 id."""
    address: str
    name: str
    kind: LabelKind
    confidence: int = UNPROVEN
    stated_at: int = 0
    """0: the feed's own date."""
    valid_from: int = 0
    valid_until: int = 0
    source: str = ""
    """Where the feed has it from; empty: the feed itself."""


class RefusedFor(StrEnum):
    """Why a claim is not a label."""

    NETWORK = "network-unknown"
    """Nobody here can check an address of that network."""
    MALFORMED = "address-malformed"
    CHECKSUM = "checksum-broken"
    PLACEHOLDER = "placeholder"
    """An address that nobody can own, said to be somebody's: zero, burnt, written by hand."""
    LOOKALIKE = "look-alike"
    """It shares more digits with a known address than chance allows, and then goes on otherwise."""
    SERVICE = "service-address"
    """Another source knows it as a service or a contract: it cannot be a person's who did ill."""
    CONTRADICTED = "contradicted"
    """It calls a service what a source that somebody vouches for knows as a thief's: that would end traces there."""
    SILENT = "no-activity"
    """Every transfer of that network is known, and none is its."""
    WORDS = "malformed-row"
    PERSON = "refused-by-a-person"


class Refusal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A claim that did not become a label."""

    network: str
    address: str
    name: str
    kind: LabelKind
    source: str
    reason: RefusedFor
    why: str
    """In a sentence, with what it was measured against."""


class Feed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One reading of one source: what has a well formed address, and what was refused while reading."""

    name: str
    """The source with its version: `OFAC SDN 2025-11-19`. The next reading of a feed bears the same `family`."""
    family: str
    read_at: int
    sha256: str
    """Of the bytes that were read."""
    is_vouched: bool = False
    """Whether whoever runs this place has said that it is to be believed. Others are doubted where it could do harm."""
    labels: tuple[Label, ...] = ()
    refused: tuple[Refusal, ...] = ()


class Decision(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a person decided of one claim, against the rules of admission."""

    network: str
    address: str
    source: str
    admit: bool
    by: str
    at: int
    why: str
