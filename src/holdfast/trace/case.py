"""A case: one folder with everything that is known of one theft, from raw answers to the report.

case.json       what was stolen, the limits, what people decided
transfers/      stored transfers (`trace.store`)
labels/         admitted labels, and refusals with their reasons
evidence/       raw answers and their manifest (`trace.evidence`)
trace.json      the trace; links.json: links to other incidents; pictures/, report/
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeVar

import msgspec

from holdfast.core.errors import BadInput, NotFound
from holdfast.trace.evidence import Evidence
from holdfast.trace.follow.options import Options, Overrule
from holdfast.trace.model import Trace
from holdfast.trace.store import Store

T = TypeVar("T")

_DOCUMENT, _TRACE = "case.json", "trace.json"


class CaseMissing(NotFound):
    """This folder holds no case. Name the folder that `holdfast trace` made."""

    code = "case-missing"


class CaseExists(BadInput):
    """This folder holds a case already. Open that one, or name another folder."""

    code = "case-exists"


class CaseUnreadable(BadInput):
    """A file of the case is not what Holdfast writes. Restore it from a copy of the folder."""

    code = "case-unreadable"


class TraceMissing(NotFound):
    """The case has no trace yet. Run `holdfast trace` on it first."""

    code = "trace-missing"


class Theft(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the money was taken: a transaction, an address, or both; one asset of it, or all."""

    network: str
    """CAIP-2."""
    transaction: str = ""
    address: str = ""
    """With a transaction: what this address lost or got there (see `holdfast trace`). Alone: all that left it."""
    asset: str = ""
    """CAIP-19."""
    is_thief: bool = False
    """The address is the thief's: alone, it names all that came to it."""


class CaseDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole of `case.json`."""

    name: str
    created_at: int
    """Seconds since 1970."""
    currency: str = "USD"
    """In which the report tells values."""
    thefts: tuple[Theft, ...] = ()
    options: Options = Options()
    overrules: tuple[Overrule, ...] = ()
    sources: tuple[str, ...] = ()
    """As they were named on the command line, without any key."""


class Case:
    """One case's folder."""

    def __init__(self, directory: Path) -> None:
        """Opens the case in this folder. Raises `CaseMissing`, `CaseUnreadable`."""
        self.directory = directory
        self.document: CaseDocument = _read(directory / _DOCUMENT, CaseDocument, CaseMissing)

    @classmethod
    def create(cls, directory: Path, document: CaseDocument) -> Case:
        """A new case; the folder is made. Raises `CaseExists`."""
        if (directory / _DOCUMENT).exists():
            raise CaseExists(directory.name)
        directory.mkdir(parents=True, exist_ok=True)
        write_whole(directory / _DOCUMENT, document)
        return cls(directory)

    @classmethod
    def exists(cls, directory: Path) -> bool:
        """Whether this folder holds a case."""
        return (directory / _DOCUMENT).exists()

    def save(self, document: CaseDocument) -> None:
        """Let this document count from now on."""
        write_whole(self.directory / _DOCUMENT, document)
        self.document = document

    def store(self) -> Store:
        """Its transfers. Raises `StoreUnreadable`."""
        return Store(self.transfers)

    def evidence(self) -> Evidence:
        """Its evidence. Raises `EvidenceAltered`."""
        return Evidence(self.directory / "evidence")

    def save_trace(self, trace: Trace) -> None:
        """Keep a trace in place of any older one."""
        write_whole(self.directory / _TRACE, trace)

    def trace(self) -> Trace:
        """The last trace. Raises `TraceMissing`, `CaseUnreadable`."""
        return _read(self.directory / _TRACE, Trace, TraceMissing)

    @property
    def has_trace(self) -> bool:
        """Whether there is one."""
        return (self.directory / _TRACE).exists()

    @property
    def transfers(self) -> Path:
        """Folder."""
        return self.directory / "transfers"

    @property
    def labels(self) -> Path:
        """Folder."""
        return self.directory / "labels"

    @property
    def links(self) -> Path:
        """File."""
        return self.directory / "links.json"

    @property
    def pictures(self) -> Path:
        """Folder."""
        return self.directory / "pictures"

    @property
    def report(self) -> Path:
        """Folder."""
        return self.directory / "report"


def write_whole(path: Path, value: object) -> None:
    """Write JSON so that readers find the old file or the new one, and after a crash either. Integers of any size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    with fresh.open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _read(path: Path, shape: type[T], missing: type[NotFound]) -> T:
    if not path.exists():
        raise missing(path.parent.name)
    try:
        return msgspec.json.decode(path.read_bytes(), type=shape)
    except msgspec.DecodeError as error:
        raise CaseUnreadable(f"{path.name}: {error}") from None
