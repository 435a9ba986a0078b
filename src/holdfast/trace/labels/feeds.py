"""Label feeds as files: which format a file is in, its claims, and what of them can be read.

A feed is read whole and kept as one reading. The next reading of the same family follows it: what it says no longer is
not forgotten but ends (`sanctioned until`), because what was true at the time of a payment stays true of that time.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from holdfast.trace.labels import ofac, tagpacks
from holdfast.trace.labels.addresses import key_of
from holdfast.trace.labels.admission import formed
from holdfast.trace.labels.claims import UNPROVEN, Claim, Feed, Refusal, RefusedFor
from holdfast.trace.labels.kinds import kind_of_name, kind_of_words
from holdfast.trace.labels.tagpacks import Actors, FeedMalformed, moment
from holdfast.trace.model import Label, LabelKind

SIZE_MOST = 500_000_000
"""Bytes of a feed that is read whole."""

_NETWORK = ("network", "chain", "currency", "asset", "ticker")
_NAME = ("name", "label", "entity", "actor", "owner")
_KIND = ("kind", "category", "type", "role", "abuse", "concept")
_LISTS = ("labels", "tags", "addresses", "items", "data", "entries", "incidents")
_CONFIDENCE = {"high": 75, "medium": 50, "low": 25}


@dataclass(frozen=True, slots=True)
class Reading:
    """How a file is to be read."""

    family: str
    """What the feed is called from one reading to the next."""
    at: int
    """When it is read: seconds since 1970."""
    ceiling: int = UNPROVEN
    """The most that it is believed. More than `UNPROVEN` is a person's word for it: the feed is vouched for."""
    network: str = ""
    """Of rows that name none."""
    kind: LabelKind | None = None
    """Of rows that say nothing of it."""
    name: str = ""
    """Of rows without one."""
    actors: Actors | None = None
    """Who is behind names in TagPacks."""


def read_file(path: Path, how: Reading) -> Feed:
    """One feed from a file: TagPack YAML, OFAC's advanced XML (also `.bz2`), CSV, JSON, or addresses line by line.

    Raises `FeedMalformed`.
    """
    if path.is_dir():
        return _sanctions(ofac.lists_in(path, how.at), _digest(b"".join(_folder(path))), how)
    if path.stat().st_size > SIZE_MOST:
        raise FeedMalformed(f"{path.name} has more than {SIZE_MOST} bytes")
    content = path.read_bytes()
    if path.name.endswith((".xml", ".xml.bz2")):
        return _sanctions(ofac.sdn_advanced(path), _digest(content), how)
    return read_bytes(content, path.suffix.lower(), how)


def read_bytes(content: bytes, suffix: str, how: Reading) -> Feed:
    """One feed from its bytes; `suffix` says its form: `.yaml`, `.csv`, `.json`, else addresses line by line.

    Raises `FeedMalformed`.
    """
    rows: Iterator[Claim | str]
    if suffix in (".yaml", ".yml"):
        rows = tagpacks.claims_of(tagpacks.loaded(content), how.actors)
    elif suffix == ".csv":
        rows = _rows(csv.DictReader(io.StringIO(_text(content)), strict=True), how)
    elif suffix == ".json":
        rows = _rows(_objects(content), how)
    else:
        rows = _rows(({"address": line} for line in _text(content).split() if not line.startswith("#")), how)
    return _feed(rows, _digest(content), how)


def _sanctions(found: ofac.Sanctions, digest: str, how: Reading) -> Feed:
    kept = _feed(iter(found.claims), digest, _as_issued(how, found.issued_at))
    return msgspec.structs.replace(kept, read_at=found.issued_at)


def _as_issued(how: Reading, issued_at: int) -> Reading:
    """The same way of reading, as of the list's own date, and believed as the authority is."""
    return Reading(how.family, issued_at, ofac.CONFIDENCE)


def _feed(rows: Iterable[Claim | str], digest: str, how: Reading) -> Feed:
    claims: list[Claim] = []
    unread: list[Refusal] = []
    for row in _checked(rows):
        if isinstance(row, Claim):
            claims.append(row)
        else:
            unread.append(Refusal("", "", "", LabelKind.OTHER, how.family, RefusedFor.WORDS, row))
    found = formed(claims, how.family, how.at, how.ceiling)
    return Feed(
        name=how.family,
        family=how.family,
        read_at=how.at,
        sha256=digest,
        is_vouched=how.ceiling > UNPROVEN,
        labels=found.admitted,
        refused=(*unread, *found.refused),
    )


def _checked(rows: Iterable[Claim | str]) -> Iterator[Claim | str]:
    try:
        yield from rows
    except csv.Error as wrong:
        raise FeedMalformed(str(wrong)) from wrong


def _rows(rows: Iterable[Mapping[str, Any]], how: Reading) -> Iterator[Claim | str]:
    for number, row in enumerate(rows, 1):
        plain = {str(key).strip().casefold(): value for key, value in row.items()}
        yield _claim(plain, number, how)


def _claim(row: Mapping[str, Any], number: int, how: Reading) -> Claim | str:
    network, address = _first(row, _NETWORK) or how.network, _first(row, ("address", "wallet"))
    if not network or not address:
        return f"row {number} names no address or no network"
    name = _first(row, _NAME) or how.name
    words = [_first(row, (column,)) for column in _KIND]
    kind = kind_of_words(word for word in words if word) or kind_of_name(name) or how.kind
    if kind is None:
        return f"row {number} does not say what the address is"
    said = _first(row, ("confidence",)).casefold()
    confidence = _CONFIDENCE.get(said, int(said) if said.isascii() and said.isdigit() and len(said) < 4 else UNPROVEN)
    return Claim(
        network=network,
        address=address,
        name=name or str(kind),
        kind=kind,
        confidence=confidence,
        stated_at=moment(row.get("stated_at") or row.get("date")),
        valid_from=moment(row.get("valid_from")),
        valid_until=moment(row.get("valid_until")),
        source=_first(row, ("ref", "reference", "source")),
    )


def _first(row: Mapping[str, Any], columns: Sequence[str]) -> str:
    for column in columns:
        value = row.get(column)
        if isinstance(value, str | int) and str(value).strip():
            return str(value).strip()
    return ""


def _objects(content: bytes) -> Iterator[Mapping[str, Any]]:
    try:
        document = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as wrong:
        raise FeedMalformed(str(wrong)) from wrong
    if isinstance(document, dict):
        document = next((document[name] for name in _LISTS if isinstance(document.get(name), list)), None)
    if not isinstance(document, list):
        raise FeedMalformed("a JSON feed is a list of objects, or an object with such a list as `labels`")
    for each in document:
        yield from _members(each)


def _members(each: object) -> Iterator[Mapping[str, Any]]:
    """One row, or the rows of one incident: what is said of it holds of each of its addresses that does not differ."""
    if isinstance(each, str):
        yield {"address": each}
    elif isinstance(each, dict) and isinstance(each.get("addresses"), list):
        common = {key: value for key, value in each.items() if isinstance(value, str | int)}
        for member in each["addresses"]:
            yield {**common, **(member if isinstance(member, dict) else {"address": member})}
    else:
        yield each if isinstance(each, dict) else {}


def followed(before: Feed, now: Feed) -> Feed:
    """The newer reading of a feed, with what only the older one says: it ends at the newer one's date.

    What both say keeps the earliest moment from which it holds.
    """
    known = {_what(label): label for label in before.labels if _is_open(label, now.read_at)}
    labels = [label for label in before.labels if not _is_open(label, now.read_at)]
    for label in now.labels:
        old = known.pop(_what(label), None)
        since = min(old.valid_from, label.valid_from) if old is not None else label.valid_from
        labels.append(msgspec.structs.replace(label, valid_from=since))
    labels += [msgspec.structs.replace(old, valid_until=now.read_at) for old in known.values()]
    return msgspec.structs.replace(now, labels=tuple(labels))


def _is_open(label: Label, at: int) -> bool:
    """Whether it has not ended by then. What was said until some later day can be taken back before that day."""
    return not label.valid_until or label.valid_until > at


def _what(label: Label) -> tuple[str, str, str]:
    """What of a label makes it the same claim in the next reading; the name may have been written otherwise."""
    return (*key_of(label.network, label.address), label.kind)


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as wrong:
        raise FeedMalformed(str(wrong)) from wrong


def _digest(content: bytes) -> str:
    return sha256(content).hexdigest()


def _folder(directory: Path) -> Iterator[bytes]:
    for path in sorted(directory.iterdir()):
        if path.suffix == ".txt":
            yield path.name.encode() + b"\n" + path.read_bytes()
