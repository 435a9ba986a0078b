"""Everything that a report is made of. Two reports of the same material are the same bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from holdfast.trace.model import Label, Trace, Transfer
from holdfast.trace.report.prices import Prices
from holdfast.trace.report.statement import Statement


class AssetName(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How an asset is written."""

    asset: str
    """CAIP-19."""
    symbol: str
    decimals: int


class Evidence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One raw reply of a node, an explorer or a file, as it is kept."""

    id: str
    sha256: str
    source: str
    """Who answered: a node's name, an explorer, a file."""
    request: str
    time: int
    """When it was taken, seconds since 1970."""
    height: int = 0
    hash: str = ""
    """The block that it speaks of; empty where it speaks of none."""
    network: str = ""
    version: str = ""
    """What the source says that it runs."""


class Software(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What made the report."""

    name: str
    version: str
    sha256: str
    """Over the program's own files: which program it was, to the byte."""


class Link(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ties this theft to another incident, as the report prints it."""

    incident: str
    verdict: str
    """`linked`, `similar` or `nothing`."""
    classes: tuple[str, ...]
    """Evidence classes, strongest first: A direct flow to F rhythm."""
    facts: tuple[str, ...]
    alternatives: tuple[str, ...]
    expected: str = ""
    """What shuffles of the same graphs have in common by chance."""


class Overruling(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a person decided against the program."""

    what: str
    decision: str
    by: str
    at: int
    why: str


class Balance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What lay at an address, by somebody's word."""

    units: int
    height: int
    source: str
    evidence: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Material:
    """The case as the report has it."""

    name: str
    made_at: int
    """The report's date, seconds since 1970: an argument, so that it can be made again byte by byte."""
    software: Software
    trace: Trace
    transfers: tuple[Transfer, ...]
    """Every transfer that the following looked at, in the order of time: what a second program starts from."""
    labels: tuple[Label, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    assets: Mapping[str, AssetName] = field(default_factory=dict)
    prices: Prices = field(default_factory=Prices)
    statement: Statement = field(default_factory=Statement)
    links: tuple[Link, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    """Cut-offs and choices of the following, by name, as text."""
    rules: Mapping[str, object] = field(default_factory=dict)
    """The same as the following's own JSON: what the second program needs to follow again."""
    overruled: tuple[Overruling, ...] = ()
    sources: tuple[str, ...] = ()
    refused: Mapping[str, int] = field(default_factory=dict)
    """Labels that were not admitted, by reason."""
    balances: Mapping[tuple[str, str, str], Balance] = field(default_factory=dict)
    """By network, address and asset: what a node said lies there."""
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    """SVG by name: `sankey`, `graph`."""
    annexes: Mapping[str, bytes] = field(default_factory=dict)
    """Further files of the case that go into the bundle as they are, by path: STIX, links."""
