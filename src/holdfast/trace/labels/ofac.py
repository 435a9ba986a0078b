"""Sanctioned addresses of the US Treasury (OFAC): lists of addresses by asset, and the SDN list in advanced XML.

An address is sanctioned from a date and, where its owner was delisted, until one. The XML is read as a stream, with
expat; a document type, and with it every entity of its own, is refused (XML external entities, billion laughs).
Format: https://sanctionslistservice.ofac.treas.gov, ADVANCED_XML. Lists of addresses: one a line, file by asset.
"""

from __future__ import annotations

import bz2
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO
from xml.parsers import expat

from holdfast.trace.labels.claims import Claim
from holdfast.trace.labels.tagpacks import FeedMalformed
from holdfast.trace.model import LabelKind

CONFIDENCE = 95
"""It is the authority's own word; what is left is that it, too, mistypes addresses."""
UNPACKED_MOST = 2_000_000_000
"""Bytes that a compressed list may unpack to; the whole SDN list was 121 million in November 2025."""

_LIST = re.compile(r"sanctioned_addresses_([A-Z0-9]+)\.txt")
_FEATURE = "Digital Currency Address - "
_CHUNK = 1 << 20
_LATIN = "215"
"""The script in which every party's main name is given."""
_PROFILE = {"Profile": "ID", "SanctionsEntry": "ProfileID"}
"""Where an element names the party's profile, and a feature its type."""
_FEATURE_TYPE = {"Feature": "FeatureTypeID", "FeatureType": "ID"}
_DATES = frozenset({"Year", "Month", "Day"})
_OF_PARTIES = frozenset({"VersionDetail", "NamePartValue", "DistinctParty"})


@dataclass(frozen=True, slots=True)
class Sanctions:
    """One issue of the list."""

    issued_at: int
    """Seconds since 1970."""
    claims: tuple[Claim, ...]
    parties: int


def lists_in(directory: Path, issued_at: int) -> Sanctions:
    """The lists of addresses by asset in a folder (`sanctioned_addresses_ETH.txt`, …). Raises `FeedMalformed`."""
    claims: list[Claim] = []
    for path in sorted(directory.iterdir()):
        match = _LIST.fullmatch(path.name)
        if match is None:
            continue
        lines = path.read_text(encoding="utf-8", errors="replace").split()
        claims += [_claim(match[1], line, "sanctioned by OFAC", issued_at, issued_at) for line in lines]
    if not claims:
        raise FeedMalformed(f"no file sanctioned_addresses_*.txt in {directory.name}")
    return Sanctions(issued_at, tuple(claims), 0)


def _claim(ticker: str, address: str, name: str, issued_at: int, since: int) -> Claim:
    return Claim(
        network=ticker,
        address=address,
        name=name,
        kind=LabelKind.SANCTIONED,
        confidence=CONFIDENCE,
        stated_at=issued_at,
        valid_from=since,
    )


def sdn_advanced(path: Path) -> Sanctions:
    """The SDN list as advanced XML, plain or compressed by bzip2. Raises `FeedMalformed`."""
    with path.open("rb") as file:
        return parsed(_chunks(bz2.BZ2File(file) if path.suffix == ".bz2" else file))


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    size = 0
    try:
        while chunk := file.read(_CHUNK):
            size += len(chunk)
            if size > UNPACKED_MOST:
                raise FeedMalformed(f"more than {UNPACKED_MOST} bytes")
            yield chunk
    except (OSError, EOFError) as wrong:
        raise FeedMalformed(f"{wrong}") from wrong


def parsed(chunks: Iterable[bytes]) -> Sanctions:
    """The addresses in advanced XML. Raises `FeedMalformed`."""
    reader = _Reader()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _no_document_type
    parser.StartElementHandler = reader.starts
    parser.EndElementHandler = reader.ends
    parser.CharacterDataHandler = reader.says
    try:
        for chunk in chunks:
            parser.Parse(chunk, False)  # noqa: FBT003  expat's own signature
        parser.Parse(b"", True)  # noqa: FBT003  expat's own signature
    except expat.ExpatError as wrong:
        raise FeedMalformed(str(wrong)) from wrong
    return reader.result()


def _no_document_type(*_: object) -> None:
    raise FeedMalformed("the list has a document type, which the Treasury's does not; entities are not read")


@dataclass(slots=True)
class _Party:
    """What is read of one party until its end."""

    name: list[str] = field(default_factory=list)
    addresses: list[tuple[str, str]] = field(default_factory=list)
    """Ticker and text."""


class _Reader:
    """What the elements of the list mean, one after another."""

    def __init__(self) -> None:
        self._path: list[str] = []
        self._text: list[str] = []
        self._tickers: dict[str, str] = {}
        self._party = _Party()
        self._found: dict[str, _Party] = {}
        """By profile, with an address."""
        self._profile = ""
        self._feature = ""
        self._is_main_name = False
        self._is_latin = True
        self._date: dict[str, int] = {}
        self._issued_at = 0
        self._listed: dict[str, int] = {}

    def starts(self, name: str, attributes: dict[str, str]) -> None:
        plain = name.rpartition(" ")[2]
        self._path.append(plain)
        self._text.clear()
        if plain == "DistinctParty":
            self._party = _Party()
        elif plain in _PROFILE:
            self._profile = attributes.get(_PROFILE[plain], "")
        elif plain in _FEATURE_TYPE:
            self._feature = attributes.get(_FEATURE_TYPE[plain], "")
        elif plain == "Alias":
            self._is_main_name = attributes.get("Primary") == "true"
        elif plain == "NamePartValue":
            self._is_latin = attributes.get("ScriptID", _LATIN) == _LATIN
        elif plain in ("DateOfIssue", "EntryEvent"):
            self._date = {}

    def says(self, text: str) -> None:
        self._text.append(text)

    def ends(self, name: str) -> None:
        plain = self._path.pop()
        text = "".join(self._text).strip()
        self._text.clear()
        if plain in _DATES and text.isascii() and text.isdigit():
            self._date[plain] = int(text)
        elif plain in _OF_PARTIES:
            self._ends_in_party(plain, text)
        elif plain == "FeatureType" and text.startswith(_FEATURE):
            self._tickers[self._feature] = text.removeprefix(_FEATURE).strip()
        elif plain == "DateOfIssue":
            self._issued_at = _moment(self._date)
        elif plain == "EntryEvent" and self._profile in self._found:
            before, listed = self._listed.get(self._profile, 0), _moment(self._date)
            self._listed[self._profile] = min(before, listed) if before else listed

    def _ends_in_party(self, plain: str, text: str) -> None:
        if plain == "VersionDetail" and self._feature in self._tickers and text:
            self._party.addresses.append((self._tickers[self._feature], text))
        elif plain == "NamePartValue" and self._is_main_name and self._is_latin:
            self._party.name.append(text)
        elif plain == "DistinctParty" and self._party.addresses:
            self._found[self._profile] = self._party

    def result(self) -> Sanctions:
        if not self._issued_at or not self._tickers:
            raise FeedMalformed("the list names no date of issue, or no kind of digital currency address")
        claims = tuple(
            _claim(ticker, address, " ".join(party.name), self._issued_at, self._listed.get(profile, self._issued_at))
            for profile, party in self._found.items()
            for ticker, address in party.addresses
        )
        return Sanctions(self._issued_at, claims, len(self._found))


def _moment(date: dict[str, int]) -> int:
    try:
        return int(datetime(date["Year"], date["Month"], date["Day"], tzinfo=UTC).timestamp())
    except (KeyError, ValueError):
        return 0
