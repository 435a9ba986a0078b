"""Look-ups over a whole store: its columns as numbers in files that are mapped, not read; built anew when needed.

Rows are in the order of time. By source, by target and by transaction each there is a list of rows and where each
name's part of it begins, so that a look-up reads what it returns and nothing else, of ten million rows as of ten.
Names are numbers by their place in one sorted list.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from holdfast.trace.flows import WORD, Nodes, Rows
from holdfast.trace.model import Movement, Transfer
from holdfast.trace.store_parts import units_words

_FORMAT = 1
_MOVEMENTS = tuple(Movement)
_IN, _OUT = _MOVEMENTS.index(Movement.INPUT), _MOVEMENTS.index(Movement.OUTPUT)
_SHORT = ("network", "asset", "movement", "evidence", "memo")


class Covered(msgspec.Struct, frozen=True):
    """What an index was built of."""

    format: int
    parts: tuple[str, ...]
    rows: int


class SortedNames:
    """A sorted list of texts in a mapped file: a text's number is its place."""

    def __init__(self, path: Path) -> None:
        """Maps the file."""
        with pa.memory_map(str(path)) as mapped:
            self._names = pa.ipc.open_file(mapped).read_all()["name"].combine_chunks()

    def __len__(self) -> int:
        """How many."""
        return len(self._names)

    def __getitem__(self, number: int) -> str:
        """The text with this number."""
        return str(self._names[number].as_py())

    def find(self, name: str) -> int:
        """A text's number; -1 where it is not there."""
        low, high = 0, len(self._names)
        wanted = name.encode()
        while low < high:
            middle = (low + high) // 2
            if self._names[middle].as_py().encode() < wanted:  # Arrow sorts by bytes
                low = middle + 1
            else:
                high = middle
        return low if low < len(self._names) and self[low] == name else -1


class Index:
    """One built index, opened."""

    def __init__(self, directory: Path) -> None:
        """Maps its files."""
        self.covered = msgspec.json.decode((directory / "covered.json").read_bytes(), type=Covered)
        self.names = SortedNames(directory / "names.arrow")
        self.transactions = SortedNames(directory / "transactions.arrow")
        self.short = {name: pq.read_table(directory / f"{name}.parquet")["name"].to_pylist() for name in _SHORT}
        self._directory = directory
        self._open: dict[str, NDArray[np.int64]] = {}

    def __len__(self) -> int:
        """How many rows."""
        return self.covered.rows

    def column(self, name: str) -> NDArray[np.int64]:
        """A column of numbers, mapped at its first use."""
        if name not in self._open:
            self._open[name] = np.load(self._directory / f"{name}.npy", mmap_mode="r")
        return self._open[name]

    def rows(self, by: str, network: str, names: Collection[str]) -> Rows:
        """Rows whose `source`, `target` or `transaction` is one of these, in order."""
        book = self.transactions if by == "transaction" else self.names
        numbers = sorted({number for name in set(names) if (number := book.find(name)) >= 0})
        starts, rows = self.column(f"{by}_starts"), self.column(f"{by}_rows")
        pieces = [rows[starts[number] : starts[number + 1]] for number in numbers]
        if not pieces or network not in self.short["network"]:
            return np.empty(0, dtype=np.int64)
        found = np.sort(np.concatenate(pieces)).astype(np.int64)
        if len(self.short["network"]) > 1:
            found = found[self.column("network")[found] == self.short["network"].index(network)]
        return found

    def transfers(self, rows: Rows) -> list[Transfer]:
        """These rows as transfers."""
        return [self._transfer(row) for row in rows.tolist()]

    def _transfer(self, row: int) -> Transfer:
        short = {name: self.short[name][self.column(name)[row]] for name in _SHORT if name != "movement"}
        outpoint = int(self.column("outpoint")[row])
        return Transfer(
            network=short["network"],
            height=int(self.column("height")[row]),
            order=int(self.column("order")[row]),
            time=int(self.column("time")[row]),
            transaction=self.transactions[int(self.column("transaction")[row])],
            source=self.names[int(self.column("source")[row])],
            target=self.names[int(self.column("target")[row])],
            asset=short["asset"],
            units=int(self.column("high")[row]) * WORD + int(self.column("low")[row]),
            movement=Movement(self.short["movement"][self.column("movement")[row]]),
            outpoint=self.names[outpoint],
            evidence=short["evidence"],
            memo=short["memo"],
        )

    def nodes(self, rows: Rows) -> tuple[Nodes, Nodes]:
        """Where taint lies before and after each of these rows, as numbers of names: at the outpoint in the Bitcoin
        family, at the address elsewhere."""
        kinds = self.column("movement")[rows]
        of = self.short["movement"]
        source, target = self.column("source")[rows].copy(), self.column("target")[rows].copy()
        outpoint = self.column("outpoint")[rows]
        for column, kind in ((source, Movement.INPUT), (target, Movement.OUTPUT)):
            if kind in of:
                at = kinds == of.index(kind)
                column[at] = outpoint[at]
        return source.astype(np.int32), target.astype(np.int32)


def build(directory: Path, column: Callable[[str], pa.ChunkedArray], parts: Sequence[str]) -> Index:
    """An index of stored rows, in place of any older one. `column` reads one column of all of them: they are read one
    after the other, so that never more than a few are in memory."""
    fresh = directory.with_name(directory.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    numbers = {name: column(name).to_numpy() for name in ("order", "height", "time")}
    order = np.lexsort(list(numbers.values()))
    for name, each in (*numbers.items(), *zip(("low", "high"), units_words(column("units")), strict=True)):
        _save(fresh, name, each[order])
    del numbers
    for name in _SHORT:
        [coded], texts = _numbered([column(name)])
        _save(fresh, name, coded[order])
        pq.write_table(pa.table({"name": texts}), fresh / f"{name}.parquet")
    for book, fields in (("names", ("source", "target", "outpoint")), ("transactions", ("transaction",))):
        coded_fields, texts = _numbered([column(name) for name in fields])
        with pa.ipc.new_file(fresh / f"{book}.arrow", pa.schema([("name", texts.type)])) as writer:
            writer.write_table(pa.table({"name": texts}))
        for name, coded in zip(fields, coded_fields, strict=True):
            _save(fresh, name, coded[order])
            if name != "outpoint":
                _save_look_up(fresh, name, coded[order], len(texts))
    covered = Covered(_FORMAT, tuple(parts), len(order))
    (fresh / "covered.json").write_bytes(msgspec.json.encode(covered))
    shutil.rmtree(directory, ignore_errors=True)
    fresh.rename(directory)
    return Index(directory)


def opened(directory: Path, parts: Collection[str]) -> Index | None:
    """The index of a store, if there is one and all that it was built of is still part of the store."""
    try:
        covered = msgspec.json.decode((directory / "covered.json").read_bytes(), type=Covered)
    except (OSError, msgspec.DecodeError):
        return None
    if covered.format != _FORMAT or not set(covered.parts) <= set(parts):
        return None
    return Index(directory)


def _numbered(columns: Sequence[pa.ChunkedArray]) -> tuple[list[NDArray[np.int32]], pa.Array]:
    """Texts of several columns as places in one sorted list of all that occur."""
    chunks = [chunk for column in columns for chunk in column.chunks]
    coded = pa.chunked_array(chunks, pa.string()).cast(pa.large_string()).combine_chunks().dictionary_encode()
    texts = coded.dictionary
    order = pc.array_sort_indices(texts)
    place = np.empty(len(texts), dtype=np.int32)
    place[order.to_numpy()] = np.arange(len(texts), dtype=np.int32)
    whole = place[coded.indices.to_numpy()]
    return np.split(whole, np.cumsum([len(column) for column in columns])[:-1]), texts.take(order)


def _save_look_up(directory: Path, name: str, column: NDArray[np.int32], names: int) -> None:
    """The rows of each name, one name's after another's."""
    _save(directory, f"{name}_rows", np.argsort(column, kind="stable").astype(np.int32))
    _save(directory, f"{name}_starts", np.concatenate([[0], np.cumsum(np.bincount(column, minlength=names))]))


def _save(directory: Path, name: str, column: NDArray[np.generic]) -> None:
    np.save(directory / f"{name}.npy", column)
