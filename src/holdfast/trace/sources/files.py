"""Transfers from files: CSV (any delimiter) and Parquet, by a column mapping. Every row that is no transfer is counted.

A file is an exhibit as a whole; its rows point to it.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from hashlib import blake2b, sha256
from itertools import islice
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from holdfast.core.errors import BadInput
from holdfast.trace.evidence import Evidence, Exhibit
from holdfast.trace.model import Transfer
from holdfast.trace.sources.amounts import TimeUnreadable, read_time
from holdfast.trace.sources.mapping import Columns, FileMapping, columns_of
from holdfast.trace.sources.port import Batch, LeftOut, Wanted
from holdfast.trace.sources.rows import Reader, RowRefused
from holdfast.trace.sources.tokens import TokenList, common_tokens

ROWS_AT_ONCE = 50_000
_LOOKED_AT = 2_000
"""Rows from the top by which a file's direction in time is told."""
_NEWEST_FIRST = 1 << 40
_DELIMITERS = ",;\t|"
_COPY_BYTES = 1 << 20


class FileUnreadable(BadInput):
    """The file cannot be read as CSV or Parquet. Check its name, and that its first line has the headings."""

    code = "file-unreadable"


class _Cursor(msgspec.Struct, frozen=True):
    digest: str
    rows: int


class FileSource:
    """One file of transfers."""

    def __init__(
        self,
        path: Path,
        mapping: FileMapping = FileMapping(),  # noqa: B008  a frozen value
        *,
        tokens: TokenList | None = None,
        evidence: Evidence | None = None,
        at: int = 0,
    ) -> None:
        """`tokens`: the list that comes with Holdfast by default. `at`: now, for the manifest.

        Raises `FileUnreadable`, `ColumnsUnknown`, `MappingMalformed`.
        """
        self._path, self._mapping, self._evidence, self._at = path, mapping, evidence, at
        self._tokens = tokens or TokenList((*common_tokens(), *mapping.token), keeps_to_list=mapping.listed_only)
        self.headings = _headings(path)
        self.columns: Columns = columns_of(self.headings, mapping)

    @property
    def name(self) -> str:
        """`file:` and its name, without its folder."""
        return f"file:{self._path.name}"

    async def pull(self, wanted: Wanted, cursor: str) -> AsyncIterator[Batch]:
        """Batches of rows; a file that has changed is read anew from its top."""
        digest = _digest(self._path)
        skipped = _skipped(cursor, digest)
        exhibit = Exhibit("", "", 0, self.name, "the whole file", self._at)
        evidence = self._evidence.keep_file(self._path, exhibit) if self._evidence is not None else ""
        reader = Reader(self.columns, self._mapping, self._tokens, evidence=evidence)
        counter = _Counter(self, reader, wanted)
        rows = _rows(self._path)
        total = _total(self._path)
        for _ in islice(rows, skipped):
            pass
        number = skipped
        for row in rows:
            if counter.is_full(row):
                yield counter.batch(_cursor(digest, number), number, total)
            number += 1
            counter.take(row, number)
        if number > skipped or not cursor:
            yield counter.batch(_cursor(digest, number), number, number)

    async def close(self) -> None:
        """Nothing is open."""

    def newest_first(self) -> bool:
        """Whether the rows go back in time, as explorers' exports do."""
        place = self.columns.places.get("time")
        if place is None:
            return False
        first = None
        for row in islice(_rows(self._path), _LOOKED_AT):
            try:
                time = read_time(row[place], self._mapping.time_format)
            except (TimeUnreadable, IndexError):
                continue
            if first is not None and time != first:
                return time < first
            first = time
        return False


class _Counter:
    """One batch in the making."""

    def __init__(self, source: FileSource, reader: Reader, wanted: Wanted) -> None:
        self._reader, self._wanted = reader, wanted
        self._width = len(source.headings)
        self._is_backwards = source.newest_first()
        self._transaction = source.columns.places.get("transaction", -1)
        self._has_order = "order" in source.columns.places
        self._keeps_repeated = source._mapping.keep_repeated
        self._seen: set[bytes] = set()
        self._transfers: list[Transfer] = []
        self._left_out: Counter[str] = Counter()
        self._last = ""

    def is_full(self, row: Sequence[str]) -> bool:
        """Whether the batch ends before this row: a transaction is not cut."""
        if len(self._transfers) < ROWS_AT_ONCE:
            return False
        return not 0 <= self._transaction < len(row) or row[self._transaction] != self._last

    def take(self, row: Sequence[str], number: int) -> None:
        """One row, the `number`th."""
        if 0 <= self._transaction < len(row):
            self._last = row[self._transaction]
        if not self._keeps_repeated and self._is_repeated(row):
            self._left_out[LeftOut.REPEATED] += 1
            return
        try:
            place = _NEWEST_FIRST - number if self._is_backwards else number
            transfer = self._reader.read(row, place, self._width)
        except RowRefused as refused:
            self._left_out[refused.reason] += 1
            return
        if self._wanted.network and transfer.network != self._wanted.network:
            self._left_out[LeftOut.OTHER] += 1
        else:
            self._transfers.append(transfer)

    def batch(self, cursor: str, done: int, total: int) -> Batch:
        """What has come together; begins a new one."""
        made = Batch(
            tuple(self._transfers), cursor, dict(self._left_out), dict(+self._reader.noticed),
            assets=dict(self._reader.assets), done=done, total=max(done, total),
        )  # fmt: skip
        self._transfers, self._left_out = [], Counter()
        self._reader.noticed.clear()
        return made

    def _is_repeated(self, row: Sequence[str]) -> bool:
        """The very same row: an export that was pasted twice. (With a log's number in it, it is the same log.)"""
        digest = blake2b("\x1f".join(row).encode("utf-8", "surrogatepass"), digest_size=12).digest()
        if digest in self._seen:
            return True
        self._seen.add(digest)
        return False


def _rows(path: Path) -> Iterator[list[str]]:
    """Rows below the headings, as texts. A line is a row: a stray quote spoils its own line and no other."""
    if _is_parquet(path):
        yield from _parquet_rows(path)
        return
    delimiter = _delimiter(path)
    with path.open(encoding="utf-8-sig", errors="replace", newline="\n") as file:
        next(file, "")
        for line in file:
            text = line.rstrip("\r\n")
            if text.strip():
                yield _split(text, delimiter)


def _split(line: str, delimiter: str) -> list[str]:
    if '"' not in line:
        return line.split(delimiter)
    try:
        return next(csv.reader([line], delimiter=delimiter))
    except csv.Error:
        return []


def _parquet_rows(path: Path) -> Iterator[list[str]]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=ROWS_AT_ONCE):
            columns = [[_text(each) for each in column.to_pylist()] for column in batch.columns]
            yield from (list(row) for row in zip(*columns, strict=True))


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bytes):
        return "0x" + value.hex()
    return str(value)


def _headings(path: Path) -> list[str]:
    try:
        if _is_parquet(path):
            return [str(name) for name in pq.read_schema(path).names]
        with path.open(encoding="utf-8-sig", errors="replace", newline="\n") as file:
            first = file.readline().rstrip("\r\n")
    except (OSError, pa.ArrowInvalid) as error:
        raise FileUnreadable(f"{path.name}: {str(error)[:200]}") from None
    return [heading.strip() for heading in _split(first, _delimiter(path))]


def _delimiter(path: Path) -> str:
    with path.open(encoding="utf-8-sig", errors="replace", newline="\n") as file:
        first = file.readline()
    return max(_DELIMITERS, key=first.count)


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


def _total(path: Path) -> int:
    if _is_parquet(path):
        return int(pq.read_metadata(path).num_rows)
    with path.open("rb") as file:
        return max(0, sum(part.count(b"\n") for part in iter(lambda: file.read(_COPY_BYTES), b"")) - 1)


def _digest(path: Path) -> str:
    hasher = sha256()
    with path.open("rb") as file:
        for part in iter(lambda: file.read(_COPY_BYTES), b""):
            hasher.update(part)
    return hasher.hexdigest()


def _cursor(digest: str, rows: int) -> str:
    return msgspec.json.encode(_Cursor(digest, rows)).decode()


def _skipped(cursor: str, digest: str) -> int:
    if not cursor:
        return 0
    found = msgspec.json.decode(cursor, type=_Cursor)
    return found.rows if found.digest == digest else 0
