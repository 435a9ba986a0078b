"""Numbered transfers of one asset on disk: what passes over a whole chain read.

    facts.json           how many rows and nodes, which files
    rows-*.parquet       source, target (32 bits), low, and high where amounts need it (64 bits): in the order of time
    starts, rows, targets.npy   rows by their source, mapped and not read: a look-up touches what it returns

A case's own store (`trace.store`) keeps texts; its `columns` are what a `Writer` here takes. Whole chains are numbered
once, by whoever reads them in; names stay there.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from holdfast.core.errors import BadInput
from holdfast.trace import kernels
from holdfast.trace.flows import Flows, Nodes, Words

ROWS_MAX = 2**31 - 2
"""Rows and nodes are 32-bit numbers: two thousand million transfers of one asset."""
_GROUP_ROWS = 1 << 20
_FACTS = "facts.json"
_Columns: TypeAlias = dict[str, Nodes | Words]


class NumberedUnreadable(BadInput):
    """These numbered transfers cannot be read, or there are too many. Number them again from their store."""

    code = "numbered-transfers-unreadable"


class Facts(msgspec.Struct, frozen=True):
    """The whole of `facts.json`."""

    format: int = 1
    rows: int = 0
    nodes: int = 0
    is_wide: bool = False
    files: tuple[tuple[str, int], ...] = ()
    """Name and rows of each, in the order of time."""


@dataclass(frozen=True, slots=True)
class BySource:
    """Rows by their source: those of node n stand from `starts[n]` to `starts[n + 1]`, in the order of time."""

    starts: NDArray[np.int64]
    rows: Nodes
    targets: Nodes


class Writer:
    """Takes transfers in the order of time, as many at a time as there are. Counts only after `close`."""

    def __init__(self, directory: Path, *, is_wide: bool = False) -> None:
        """A new folder, or what was in it before is replaced."""
        directory.mkdir(parents=True, exist_ok=True)
        for left in (_FACTS, "starts.npy", "rows.npy", "targets.npy"):
            (directory / left).unlink(missing_ok=True)
        self._directory = directory
        self._facts = Facts(is_wide=is_wide)

    def append(self, flows: Flows) -> None:
        """The next transfers. Raises `NumberedUnreadable` where there are too many, or wider ones than was said."""
        if self._facts.rows + len(flows) > ROWS_MAX or (len(flows.high) and not self._facts.is_wide):
            raise NumberedUnreadable(f"{self._facts.rows} rows, {len(flows)} more")
        columns = {"source": flows.source, "target": flows.target, "low": flows.low}
        if self._facts.is_wide:
            columns["high"] = flows.high if len(flows.high) else np.zeros(len(flows), np.uint64)
        name = f"rows-{len(self._facts.files):05d}.parquet"
        # Numbers of nodes and amounts hardly repeat: a dictionary would cost time and save nothing.
        pq.write_table(
            pa.table(columns), self._directory / name,
            compression="none", use_dictionary=False, row_group_size=_GROUP_ROWS, write_statistics=False,
        )  # fmt: skip
        self._facts = msgspec.structs.replace(
            self._facts,
            rows=self._facts.rows + len(flows),
            nodes=max(self._facts.nodes, flows.nodes),
            files=(*self._facts.files, (name, len(flows))),
        )

    def close(self) -> Stored:
        """From now on they can be read."""
        (self._directory / _FACTS).write_bytes(msgspec.json.encode(self._facts))
        return Stored(self._directory)


class Stored:
    """Numbered transfers of one asset."""

    def __init__(self, directory: Path) -> None:
        """Opens them. Raises `NumberedUnreadable`."""
        self._directory = directory
        try:
            self.facts = msgspec.json.decode((directory / _FACTS).read_bytes(), type=Facts)
        except (OSError, msgspec.DecodeError) as error:
            raise NumberedUnreadable(f"{directory.name}: {str(error)[:100]}") from None

    def __len__(self) -> int:
        """How many transfers."""
        return self.facts.rows

    @property
    def files(self) -> list[Path]:
        """Its Parquet files, in the order of time."""
        return [self._directory / name for name, _ in self.facts.files]

    def flows(self) -> Flows:
        """All columns, in memory: 16 bytes a row, 24 where amounts are wide. Raises `NumberedUnreadable`."""
        low = np.empty(len(self), np.uint64)
        high = np.empty(len(self) if self.facts.is_wide else 0, np.uint64)
        source, target = np.empty(len(self), np.int32), np.empty(len(self), np.int32)
        wanted: _Columns = {"source": source, "target": target, "low": low}
        if self.facts.is_wide:
            wanted["high"] = high
        self._read(wanted)
        return Flows(source, target, low, high, self.facts.nodes)

    def ends(self) -> tuple[Nodes, Nodes]:
        """Sources and targets only. Raises `NumberedUnreadable`."""
        source, target = np.empty(len(self), np.int32), np.empty(len(self), np.int32)
        self._read({"source": source, "target": target})
        return source, target

    def target(self, row: int) -> int:
        """Where one transfer went. Raises `NumberedUnreadable`."""
        for path, (begin, rows) in self._places().items():
            if begin <= row < begin + rows:
                file = pq.ParquetFile(path, memory_map=True)
                group, place = divmod(row - begin, _GROUP_ROWS)
                return int(file.read_row_group(group, columns=["target"])["target"][place].as_py())
        raise NumberedUnreadable(f"row {row} of {len(self)}")

    def by_source(self) -> BySource:
        """The look-up, mapped; built at its first use, which reads everything once."""
        if not (self._directory / "targets.npy").exists():
            source, target = self.ends()
            starts, rows = kernels.index_of(source, self.facts.nodes)
            np.save(self._directory / "starts.npy", starts)
            np.save(self._directory / "rows.npy", rows)
            np.save(self._directory / "targets.npy", target[rows])
        return BySource(*(np.load(self._directory / f"{name}.npy", mmap_mode="r") for name in BySource.__slots__))

    def _read(self, wanted: _Columns) -> None:
        """Two files at a time: decoding is what takes the time, and a machine that traces has two cores at least."""
        places = [(path, begin) for path, (begin, _) in self._places().items()]
        try:
            with ThreadPoolExecutor(2) as pool:
                list(pool.map(lambda place: _read_into(place[0], place[1], wanted), places))
        except (OSError, pa.ArrowInvalid, ValueError) as error:
            raise NumberedUnreadable(f"{self._directory.name}: {str(error)[:100]}") from None

    def _places(self) -> dict[Path, tuple[int, int]]:
        """By file: the first of its rows, and how many."""
        places, begin = {}, 0
        for path, (_, rows) in zip(self.files, self.facts.files, strict=True):
            places[path] = (begin, rows)
            begin += rows
        return places


def _read_into(path: Path, begin: int, wanted: _Columns) -> None:
    file = pq.ParquetFile(path, memory_map=True)
    for batch in file.iter_batches(batch_size=_GROUP_ROWS, columns=list(wanted), use_threads=False):
        for name, column in wanted.items():
            column[begin : begin + len(batch)] = batch[name].to_numpy()
        begin += len(batch)
