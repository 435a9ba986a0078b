"""Labels kept on disk, in a case's `labels/` or in a directory that several cases and the platform share.

    feeds/<name>.jsonl     one reading of one feed: a head, then its labels and what was refused of it
    decisions.jsonl        what persons decided of single claims, against the rules

Each file is written whole and put in place at once. What the rules refuse of all feeds together is worked out when the
book is opened, so that the order in which feeds came makes no difference, and a rule that changes holds for old feeds.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from secrets import token_hex

import msgspec

from holdfast.core.errors import BadInput, NotFound
from holdfast.trace.labels.addresses import key_of
from holdfast.trace.labels.admission import Admission, Facts, weigh
from holdfast.trace.labels.book import Book
from holdfast.trace.labels.claims import Decision, Feed, Refusal
from holdfast.trace.labels.feeds import followed
from holdfast.trace.labels.public_contracts import public_contracts
from holdfast.trace.model import Label

_SLUG = re.compile(r"[^a-z0-9]+")


class ShelfUnreadable(BadInput):
    """A file of kept labels is not as it was written. Remove that file and read its feed again."""

    code = "label-shelf-unreadable"


class ClaimNotFound(NotFound):
    """No feed that is kept here says anything of that address. Look the address up in the feed, and add the feed."""

    code = "label-claim-not-found"


class _Line(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One line of a feed's file: its head, a label, or a refusal."""

    head: Feed | None = None
    label: Label | None = None
    refusal: Refusal | None = None


_LINE = msgspec.json.Decoder(_Line)
_DECISION = msgspec.json.Decoder(Decision)


class Shelf:
    """Feeds and decisions in one directory."""

    def __init__(self, directory: Path) -> None:
        """Nothing is written before something is kept."""
        self.directory = directory
        self._read: dict[str, tuple[tuple[int, int], Feed]] = {}

    def keep(self, feed: Feed) -> Feed:
        """Keeps a reading; what only the former reading of its family said ends with it. Returns what is kept."""
        path = self._path(feed.family)
        with self._alone():
            if path.exists():
                before = self._feed(path)
                if before.sha256 == feed.sha256 and before.read_at == feed.read_at:
                    return before
                feed = followed(before, feed)
            self._write(path, feed)
        return feed

    def add(self, family: str, labels: Sequence[Label], at: int) -> Feed:
        """Adds to a feed that comes label by label, such as a peer's; nothing of it ends."""
        path = self._path(family)
        with self._alone():
            before = self._feed(path) if path.exists() else Feed(family, family, at, "")
            known = dict.fromkeys((*before.labels, *labels))
            feed = msgspec.structs.replace(before, read_at=at, labels=tuple(known))
            self._write(path, feed)
        return feed

    def feeds(self) -> tuple[Feed, ...]:
        """All that is kept; only files that changed since are read again. Raises `ShelfUnreadable`."""
        found = {}
        for name, mark in self._marks().items():
            kept = self._read.get(name)
            found[name] = kept if kept is not None and kept[0] == mark else (mark, self._feed(self._feeds / name))
        self._read = found
        return tuple(feed for _, feed in found.values())

    def decide(self, decision: Decision) -> None:
        """Keeps what a person decided. Raises `ClaimNotFound` where nobody claims that."""
        key = key_of(decision.network, decision.address)
        said = any(
            key_of(label.network, label.address) == key and label.source == decision.source
            for feed in self.feeds()
            for label in feed.labels
        )
        if not said:
            raise ClaimNotFound(f"{decision.network} {decision.address} by {decision.source!r}")
        with self._alone():
            lines = [*self.decisions(), decision]
            _put(self.directory / "decisions.jsonl", b"".join(msgspec.json.encode(each) + b"\n" for each in lines))

    def decisions(self) -> tuple[Decision, ...]:
        """In the order in which they were made; a later one of the same claim counts. Raises `ShelfUnreadable`."""
        path = self.directory / "decisions.jsonl"
        if not path.exists():
            return ()
        try:
            return tuple(_DECISION.decode(line) for line in path.read_bytes().splitlines())
        except msgspec.DecodeError as wrong:
            raise ShelfUnreadable(f"{path.name}: {wrong}") from wrong

    def stamp(self) -> tuple[object, ...]:
        """What changes when anything on it does."""
        decisions = self.directory / "decisions.jsonl"
        return (*self._marks().items(), _mark(decisions) if decisions.exists() else None)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No two processes change the shelf at once: an addition that is read, changed and written is not lost."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @property
    def _feeds(self) -> Path:
        return self.directory / "feeds"

    def _marks(self) -> Mapping[str, tuple[int, int]]:
        if not self._feeds.is_dir():
            return {}
        return {path.name: _mark(path) for path in sorted(self._feeds.glob("*.jsonl"))}

    def _path(self, family: str) -> Path:
        slug = _SLUG.sub("-", family.casefold()).strip("-")[:60]
        return self._feeds / f"{slug}-{sha256(family.encode()).hexdigest()[:8]}.jsonl"

    def _feed(self, path: Path) -> Feed:
        head, labels, refused = None, [], []
        try:
            for text in path.read_bytes().splitlines():
                line = _LINE.decode(text)
                head = line.head or head
                if line.label is not None:
                    labels.append(line.label)
                if line.refusal is not None:
                    refused.append(line.refusal)
        except msgspec.DecodeError as wrong:
            raise ShelfUnreadable(f"{path.name}: {wrong}") from wrong
        if head is None:
            raise ShelfUnreadable(f"{path.name} has no head")
        return msgspec.structs.replace(head, labels=tuple(labels), refused=tuple(refused))

    def _write(self, path: Path, feed: Feed) -> None:
        def lines() -> Iterator[_Line]:
            yield _Line(head=msgspec.structs.replace(feed, labels=(), refused=()))
            for label in feed.labels:
                yield _Line(label=label)
            for refusal in feed.refused:
                yield _Line(refusal=refusal)

        _put(path, b"".join(msgspec.json.encode(line) + b"\n" for line in lines()))


def _mark(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_ino


def _put(path: Path, content: bytes) -> None:
    """Whole or not at all, also when the machine stops."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{token_hex(4)}")
    with fresh.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


class KeptBook(Book):
    """The book of what lies on shelves, weighed. `refresh` takes in what was put there since, by whomever."""

    def __init__(self, *directories: Path, facts: Facts | None = None) -> None:
        """Raises `ShelfUnreadable`."""
        super().__init__()
        self._shelves = [Shelf(directory) for directory in directories]
        self._facts = facts
        self._stamp: object = None
        self.refused: tuple[Refusal, ...] = ()
        """All claims that are no labels, with their reasons."""
        self.feeds: tuple[Feed, ...] = ()
        self.refresh()

    def refresh(self) -> bool:
        """Whether anything had changed. Raises `ShelfUnreadable`; then the book stays as it was."""
        stamp = [shelf.stamp() for shelf in self._shelves]
        if stamp == self._stamp:
            return False
        feeds = (public_contracts(), *(feed for shelf in self._shelves for feed in shelf.feeds()))
        decisions = [decision for shelf in self._shelves for decision in shelf.decisions()]
        found: Admission = weigh(feeds, self._facts, decisions)
        self.replace(found.admitted)
        self.refused = (*(each for feed in feeds for each in feed.refused), *found.refused)
        self.feeds, self._stamp = feeds, stamp
        return True

    def refused_by_reason(self) -> dict[str, int]:
        """How many claims were refused, by reason."""
        return dict(sorted(Counter(str(each.reason) for each in self.refused).items()))
