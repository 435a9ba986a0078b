"""What a store is made of: Parquet files that never change, and one small file that says which of them count.

A part is written whole and under a new name; only then `store.json` is replaced, in one rename, by one that names it
together with its source's new cursor. So a crash anywhere leaves the store as it was before or as it is after, and
what it leaves behind is a file that nobody names. Units are DECIMAL(38, 0): any program that reads Parquet can add
them up exactly.
"""

from __future__ import annotations

import fcntl
import os
import weakref
from collections import defaultdict
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from holdfast.core.errors import BadInput, Conflict
from holdfast.trace.flows import UNITS_MAX, WORD, Words
from holdfast.trace.model import Movement, Transfer

UNITS = pa.decimal128(38, 0)
KEY_BYTES = 16
SCHEMA = pa.schema([
    ("network", pa.string()), ("height", pa.int64()), ("order", pa.int64()), ("time", pa.int64()),
    ("transaction", pa.string()), ("source", pa.string()), ("target", pa.string()), ("asset", pa.string()),
    ("units", UNITS), ("movement", pa.string()), ("outpoint", pa.string()), ("evidence", pa.string()),
    ("memo", pa.string()), ("key", pa.binary(KEY_BYTES)),
])  # fmt: skip
_TEXTS = ("network", "transaction", "source", "target", "asset", "outpoint", "evidence", "memo")
_NUMBERS = ("height", "order", "time")
_STATE, _LOCK = "store.json", "lock"


class StoreBusy(Conflict):
    """Another program writes to this case's transfers. Wait until it has ended, or end it."""

    code = "store-busy"
    retry = True


class StoreUnreadable(BadInput):
    """The transfers of this case cannot be read. Restore the folder `transfers`, or delete it and pull them again."""

    code = "store-unreadable"


class TransferImpossible(BadInput):
    """A transfer has an amount, a time or a place that no chain has. Correct the source that made it."""

    code = "transfer-impossible"


class Part(msgspec.Struct, frozen=True):
    """One Parquet file."""

    name: str
    rows: int
    spans: dict[str, tuple[int, int]]
    """By network: its least and greatest height."""


class AssetFact(msgspec.Struct, frozen=True):
    """What is known of an asset beside its id."""

    symbol: str
    decimals: int
    is_listed: bool = True
    """Whether a list of admitted tokens has it (coins always). What is not listed stays out of sums across assets."""


class Pulled(msgspec.Struct, frozen=True):
    """How far one source was read, and what of it was left out."""

    cursor: str = ""
    rows: int = 0
    """New transfers that it brought."""
    repeated: int = 0
    """Transfers that were there before."""
    left_out: dict[str, int] = {}
    """By reason."""
    noticed: dict[str, int] = {}
    """By what was noticed: kept, but somebody should know."""
    stopped: tuple[str, ...] = ()
    """What it could not tell, and why."""


class State(msgspec.Struct, frozen=True):
    """The whole of `store.json`."""

    format: int = 1
    serial: int = 0
    """Counts the parts that were ever written."""
    parts: tuple[Part, ...] = ()
    sources: dict[str, Pulled] = {}
    assets: dict[str, AssetFact] = {}


class Parts:
    """The files of one store. Writing takes its lock, which `close` gives back."""

    def __init__(self, directory: Path) -> None:
        """Raises `StoreUnreadable`."""
        self.directory = directory
        self.state = self._read()
        self._lock: weakref.finalize[[int], Parts] | None = None
        """Closes the locked file, which gives the lock back."""

    def path(self, part: Part) -> Path:
        """Where a part lies."""
        return self.directory / part.name

    def take_lock(self) -> None:
        """From here on nobody else writes. Raises `StoreBusy`."""
        if self._lock is not None:
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.directory / _LOCK, os.O_RDWR | os.O_CREAT, 0o666)
        lock = weakref.finalize(self, os.close, handle)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock()
            raise StoreBusy(self.directory.name) from None
        self._lock = lock
        self.state = self._read()
        named = {part.name for part in self.state.parts}
        for left in self.directory.glob("part-*.parquet*"):  # what a crash, or a merger, left behind
            if left.name not in named:
                left.unlink()

    def write(self, table: pa.Table) -> Part:
        """A new part, on disk but not yet named by the state."""
        self.state = msgspec.structs.replace(self.state, serial=self.state.serial + 1)
        name = f"part-{self.state.serial:08d}.parquet"
        path = self.directory / name
        pq.write_table(table, path, compression="zstd", use_dictionary=list(_TEXTS), row_group_size=1 << 17)
        _sync(path)
        return Part(name, table.num_rows, _spans(table))

    def save(self, state: State) -> None:
        """Let this state count from now on, whatever happens next."""
        fresh = self.directory / (_STATE + ".new")
        fresh.write_bytes(msgspec.json.encode(state))
        _sync(fresh)
        fresh.replace(self.directory / _STATE)
        _sync(self.directory)
        self.state = state

    def read(self, parts: Sequence[Part], columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of these parts. Raises `StoreUnreadable`."""
        if not parts:
            return SCHEMA.empty_table().select(columns or SCHEMA.names)
        try:
            return pa.concat_tables([pq.read_table(self.path(part), columns=columns) for part in parts])
        except (OSError, pa.ArrowInvalid) as error:
            raise StoreUnreadable(str(error)[:200]) from None

    def close(self) -> None:
        """Let others write."""
        if self._lock is not None:
            self._lock()
            self._lock = None

    def _read(self) -> State:
        path = self.directory / _STATE
        if not path.exists():
            return State()
        try:
            state = msgspec.json.decode(path.read_bytes(), type=State)
        except msgspec.DecodeError as error:
            raise StoreUnreadable(f"{_STATE}: {error}") from None
        if state.format != State().format:
            raise StoreUnreadable(f"{_STATE}: format {state.format} is none that this program knows")
        return state


def key_of(transfer: Transfer, occurrence: int) -> bytes:
    """What a transfer is, whoever tells of it: without its place inside the block, which sources count differently.

    `occurrence`: 0, or how many equal ones its source has told before it in the same transaction.
    """
    facts = (
        transfer.network, transfer.transaction, transfer.source, transfer.target, transfer.asset, str(transfer.units),
        transfer.movement, transfer.outpoint, str(occurrence),
    )  # fmt: skip
    return blake2b("\x1f".join(facts).encode("utf-8", "surrogatepass"), digest_size=KEY_BYTES).digest()


def keys_of(transfers: Sequence[Transfer]) -> list[bytes]:
    """The key of each; a batch has all of a transaction, so that equal transfers of one are counted."""
    told: dict[bytes, int] = defaultdict(int)
    keys = []
    for transfer in transfers:
        first = key_of(transfer, 0)
        keys.append(key_of(transfer, told[first]) if told[first] else first)
        told[first] += 1
    return keys


def table_of(transfers: Sequence[Transfer], keys: Sequence[bytes]) -> pa.Table:
    """Transfers as columns. Raises `TransferImpossible`."""
    columns: dict[str, pa.Array] = {
        name: pa.array([getattr(each, name) for each in transfers], pa.string()) for name in (*_TEXTS, "movement")
    }
    try:
        columns |= {
            name: pa.array([getattr(each, name) for each in transfers], pa.int64()) for name in _NUMBERS
        }  # fmt: skip
    except (OverflowError, pa.ArrowInvalid) as error:
        raise TransferImpossible(str(error)[:120]) from None
    columns["units"] = units_column([each.units for each in transfers])
    columns["key"] = pa.array(keys, pa.binary(KEY_BYTES))
    return pa.table([columns[name] for name in SCHEMA.names], schema=SCHEMA)


def units_column(units: Sequence[int]) -> pa.Array:
    """Amounts as DECIMAL(38, 0), word by word and without any rounding. Raises `TransferImpossible`."""
    if any(not 0 <= each < UNITS_MAX for each in units):
        raise TransferImpossible("an amount above every supply, or below nothing")
    words = np.empty((len(units), 2), dtype=np.uint64)  # a decimal128 is its lower word, then its upper
    words[:, 0] = [each % WORD for each in units]
    words[:, 1] = [each // WORD for each in units]
    return pa.Array.from_buffers(UNITS, len(units), [None, pa.py_buffer(words.tobytes())])


def units_words(column: pa.ChunkedArray) -> tuple[Words, Words]:
    """The lower and the upper words of amounts."""
    pieces = [np.empty((0, 2), dtype=np.uint64)]
    for chunk in column.chunks:
        words = np.frombuffer(chunk.buffers()[1], dtype=np.uint64).reshape(-1, 2)
        pieces.append(words[chunk.offset : chunk.offset + len(chunk)])
    both = np.concatenate(pieces)
    return both[:, 0].copy(), both[:, 1].copy()


# The fields of `Transfer`, in its order.
_BEFORE_UNITS = ("network", "height", "order", "time", "transaction", "source", "target", "asset")
_AFTER_MOVEMENT = ("outpoint", "evidence", "memo")


def transfers_of(table: pa.Table) -> list[Transfer]:
    """Columns as transfers."""
    low, high = units_words(table["units"])
    units = [above * WORD + below for above, below in zip(high.tolist(), low.tolist(), strict=True)]
    kinds = {each.value: each for each in Movement}
    columns = [table[name].to_pylist() for name in _BEFORE_UNITS]
    columns += [units, [kinds[each] for each in table["movement"].to_pylist()]]
    columns += [table[name].to_pylist() for name in _AFTER_MOVEMENT]
    return [Transfer(*row) for row in zip(*columns, strict=True)]


def _spans(table: pa.Table) -> dict[str, tuple[int, int]]:
    spans = {}
    for network in pc.unique(table["network"]).to_pylist():
        heights = pc.min_max(table["height"].filter(pc.equal(table["network"], network))).as_py()
        spans[network] = (heights["min"], heights["max"])
    return spans


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
