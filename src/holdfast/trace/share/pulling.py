"""A peer's collection mirrored here, so that what he adds later is read together with what he said before."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from holdfast.trace.labels.claims import UNPROVEN, Refusal
from holdfast.trace.labels.shelf import Shelf
from holdfast.trace.share import intake, stix
from holdfast.trace.share.collections import Collections
from holdfast.trace.share.notice import Notice
from holdfast.trace.share.taxii_client import TaxiiClient


@dataclass(frozen=True, slots=True)
class Peer:
    """Whose words these are."""

    name: str
    ceiling: int = UNPROVEN
    """The most that he is believed; above `UNPROVEN` whoever runs this place vouches for him."""


@dataclass(frozen=True, slots=True)
class Pulled:
    """What came."""

    notices: tuple[Notice, ...]
    fresh: int
    """How many objects were new."""
    refused: tuple[str, ...]


def pull(client: TaxiiClient, collection: str, directory: Path, peer: str, now: int) -> Pulled:
    """Everything new of a collection, and all notices in it as they stand now. `now`: microseconds since 1970.

    Raises `TaxiiServerRefused`, `CollectionUnreadable`.
    """
    name = hashlib.sha256(f"{peer} {collection}".encode()).hexdigest()[:32]
    mirror, cursor = Collections(directory), directory / f"{name}.cursor"
    after = cursor.read_text() if cursor.exists() else ""
    page = client.objects(collection, after)
    mirror.add(name, page.objects, peer, now)
    if page.added_last and page.added_last != after:
        fresh = cursor.with_suffix(".new")
        with fresh.open("w") as file:
            file.write(page.added_last)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(cursor)
    read = stix.read_objects([entry.object for entry in mirror.entries(name)])
    return Pulled(read.notices, len(page.objects), read.refused)


def take_in(notices: Sequence[Notice], shelf: Shelf, peer: Peer, at: int) -> tuple[int, tuple[Refusal, ...]]:
    """Notices onto a shelf of labels: what reads it has them at its next look. How many labels, and what was refused.

    Raises `ShelfUnreadable`.
    """
    kept = {feed.family: feed for feed in shelf.feeds()}
    refused: list[Refusal] = []
    count = 0
    for notice in notices:
        feed = intake.feed(notice, peer.name, at, kept.get(intake.family(notice, peer.name)), peer.ceiling)
        shelf.keep(feed)
        count += len(feed.labels)
        refused += feed.refused
    return count, tuple(refused)
