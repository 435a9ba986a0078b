"""The transfers of a case on disk: appended in parts, looked up at once, exact to the unit.

    transfers/store.json        which parts count, how far each source was read, what was left out
    transfers/part-*.parquet    the transfers themselves, readable by any program
    transfers/index/            look-ups, derived from the parts and built anew when they have grown

The same transfer, pulled twice or by two sources, is there once. A store is written by one program at a time and read
by any number.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import pyarrow.compute as pc

from holdfast.core.errors import NotFound
from holdfast.trace.flows import Flows, Nodes, Rows
from holdfast.trace.model import Transfer
from holdfast.trace.reading import Degree, place
from holdfast.trace.store_index import Index, build, opened
from holdfast.trace.store_parts import AssetFact, Part, Parts, Pulled, keys_of, table_of, transfers_of

_BESIDE_MAX = 50_000
"""So many transfers are kept in memory beside the index before it is built anew."""
_SMALL_ROWS = 1 << 16
_SMALL_PARTS_MAX = 32


class AssetNotStored(NotFound):
    """No stored transfer moves this asset. Use an id that `Store.assets` lists."""

    code = "asset-not-stored"


@dataclass(frozen=True, slots=True)
class Fresh:
    """What a source brings at once: all of each transaction that it names, so that equal transfers are counted."""

    transfers: Sequence[Transfer] = ()
    source: str = ""
    """Who brings it: the cursor and the counts are kept by this name."""
    cursor: str = ""
    left_out: Mapping[str, int] = field(default_factory=dict)
    noticed: Mapping[str, int] = field(default_factory=dict)
    stopped: Sequence[str] = ()
    assets: Mapping[str, AssetFact] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Columns:
    """The transfers of one asset for the kernels of taint, in the order of the chain."""

    asset: str
    flows: Flows
    rows: Rows
    """By row of the flows: its number for `Store.numbered`."""
    names: Nodes
    """By node of the flows: the number of its name for `Store.name`."""


class Store:
    """Stored transfers, as `reading.Transfers`. Close it after writing, or use it in `with`."""

    def __init__(self, directory: Path) -> None:
        """Opens the store in this folder, or an empty one that is made at the first writing.

        Raises `StoreUnreadable`.
        """
        self._parts = Parts(directory)
        self._index: Index | None = None
        self._beside: _Beside | None = None
        """None: not looked at yet, or too much was added since."""
        self._keys: dict[str, np.ndarray[tuple[int], np.dtype[np.bytes_]]] = {}

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        """How many transfers."""
        return sum(part.rows for part in self._parts.state.parts)

    def close(self) -> None:
        """Let others write."""
        self._parts.close()

    # --- writing

    def append(self, fresh: Fresh) -> int:
        """Keep what a source brings, together with its cursor: both or, whatever happens, neither. How many are new.

        Raises `StoreBusy`, `TransferImpossible`.
        """
        self._parts.take_lock()
        keys = keys_of(fresh.transfers)
        known = self._known(fresh.transfers, keys)
        new = [each for each, key in zip(fresh.transfers, keys, strict=True) if key not in known]
        state = self._parts.state
        if new:
            part = self._parts.write(table_of(new, [key for key in keys if key not in known]))
            state = msgspec.structs.replace(self._parts.state, parts=(*state.parts, part))
        sources = {**state.sources, fresh.source: _advanced(state.sources.get(fresh.source, Pulled()), fresh, len(new))}
        self._parts.save(msgspec.structs.replace(state, sources=sources, assets={**state.assets, **fresh.assets}))
        self._merge_small()
        self._remember(new)
        return len(new)

    def forget(self, network: str, height_from: int, height_to: int, *, source: str = "", cursor: str = "") -> int:
        """Take out what blocks of these heights moved: they are no longer part of the chain. Sets the source's cursor.

        How many were taken out. Raises `StoreBusy`.
        """
        self._parts.take_lock()
        kept: list[Part] = []
        gone = 0
        for part in self._parts.state.parts:
            low, high = part.spans.get(network, (1, 0))
            if high < height_from or low > height_to or low > high:
                kept.append(part)
                continue
            table = self._parts.read([part])
            heights = table["height"]
            between = pc.and_(pc.greater_equal(heights, height_from), pc.less_equal(heights, height_to))
            rest = table.filter(pc.invert(pc.and_(between, pc.equal(table["network"], network))))
            gone += table.num_rows - rest.num_rows
            if rest.num_rows:
                kept.append(part if rest.num_rows == table.num_rows else self._parts.write(rest))
        state = self._parts.state
        before = state.sources.get(source, Pulled())
        sources = {**state.sources, source: msgspec.structs.replace(before, cursor=cursor)}
        self._parts.save(msgspec.structs.replace(state, parts=tuple(kept), sources=sources))
        self._keys.clear()
        self._index = self._beside = None
        return gone

    # --- what is known of sources and assets

    def cursor(self, source: str) -> str:
        """How far a source was read, in its own words; empty: not at all."""
        return self.pulled.get(source, Pulled()).cursor

    @property
    def pulled(self) -> Mapping[str, Pulled]:
        """By source: how far, how much, and what was left out."""
        return self._parts.state.sources

    @property
    def left_out(self) -> dict[str, int]:
        """By reason: what all sources left out, for `Trace.skipped`."""
        total: Counter[str] = Counter()
        for each in self.pulled.values():
            total.update(each.left_out)
        return dict(total)

    @property
    def assets(self) -> Mapping[str, AssetFact]:
        """By id: symbol and decimal places of every asset that a source told of."""
        return self._parts.state.assets

    @property
    def networks(self) -> Mapping[str, tuple[int, int]]:
        """By network: the least and the greatest height of what is stored."""
        spans: dict[str, tuple[int, int]] = {}
        for part in self._parts.state.parts:
            for network, (low, high) in part.spans.items():
                before = spans.get(network, (low, high))
                spans[network] = (min(low, before[0]), max(high, before[1]))
        return spans

    @property
    def files(self) -> Sequence[Path]:
        """The Parquet files that count, for programs that read columns themselves."""
        return [self._parts.path(part) for part in self._parts.state.parts]

    def addresses(self) -> Iterator[tuple[str, str]]:
        """Network and address of every side of every transfer, those of the Bitcoin family aside."""
        for part in self._parts.state.parts:
            if all(network.startswith("bip122:") for network in part.spans):
                continue
            table = self._parts.read([part], ["network", "source", "target", "outpoint"])
            table = table.filter(pc.equal(table["outpoint"], ""))
            for side in ("source", "target"):
                pairs = table.group_by(["network", side]).aggregate([])
                yield from zip(pairs["network"].to_pylist(), pairs[side].to_pylist(), strict=True)

    # --- reading.Transfers

    def leaving(self, network: str, addresses: Collection[str]) -> Sequence[Transfer]:
        """As `Transfers.leaving`."""
        return self._found("source", network, addresses)

    def arriving(self, network: str, addresses: Collection[str]) -> Sequence[Transfer]:
        """As `Transfers.arriving`."""
        return self._found("target", network, addresses)

    def of_transactions(self, network: str, transactions: Collection[str]) -> Sequence[Transfer]:
        """As `Transfers.of_transactions`."""
        return self._found("transaction", network, transactions)

    def degrees(self, network: str, addresses: Collection[str]) -> dict[str, Degree]:
        """As `Transfers.degrees`."""
        index, beside = self._look()
        found = {}
        for address in set(addresses):
            counts = []
            for by, other in (("target", "source"), ("source", "target")):
                late = beside.found(by, network, address)
                names = {getattr(each, other) for each in late}
                if index is None:
                    counts.append((len(late), len(names)))
                    continue
                rows = index.rows(by, network, [address])
                numbers = np.unique(index.column(other)[rows])
                more = sum(index.names.find(name) not in numbers for name in names)
                counts.append((len(late) + len(rows), len(numbers) + more))
            (arriving, sources), (leaving, targets) = counts
            found[address] = Degree(arriving, leaving, sources, targets)
        return found

    # --- columns

    def columns(self, asset: str) -> Columns:
        """All transfers of one asset for `taint.spread`. Taint lies at the outpoint in the Bitcoin family, at the
        address elsewhere. Raises `AssetNotStored`.
        """
        index = self._whole()
        if index is None or asset not in index.short["asset"]:
            raise AssetNotStored(asset[:100])
        rows = np.flatnonzero(index.column("asset") == index.short["asset"].index(asset))
        order = np.lexsort([index.column(name)[rows] for name in ("order", "time", "height")])
        rows = rows[order]
        source, target = index.nodes(rows)
        seen = np.zeros(len(index.names), dtype=np.bool_)
        seen[source] = seen[target] = True
        names = np.flatnonzero(seen).astype(np.int32)
        node = np.cumsum(seen, dtype=np.int32) - 1
        high = index.column("high")[rows].astype(np.uint64)
        flows = Flows(
            source=node[source],
            target=node[target],
            low=index.column("low")[rows].astype(np.uint64),
            high=high if high.any() else np.empty(0, dtype=np.uint64),
            nodes=len(names),
        )
        return Columns(asset, flows, rows.astype(np.int64), names)

    def numbered(self, rows: Sequence[int]) -> list[Transfer]:
        """Transfers by their numbers in `Columns.rows`, as long as nothing was added since."""
        index = self._whole()
        return [] if index is None else index.transfers(np.array(rows, dtype=np.int64))

    def name(self, number: int) -> str:
        """The address, outpoint or transaction with this number in `Columns.names`."""
        index = self._whole()
        return "" if index is None else index.names[number]

    def number(self, name: str) -> int:
        """The number of an address, outpoint or transaction; -1: it is not here."""
        index = self._whole()
        return -1 if index is None else index.names.find(name)

    # --- how it works

    def _found(self, by: str, network: str, names: Collection[str]) -> list[Transfer]:
        index, beside = self._look()
        found = [each for name in set(names) for each in beside.found(by, network, name)]
        if index is not None:
            found += index.transfers(index.rows(by, network, names))
        return sorted(found, key=place)

    def _look(self) -> tuple[Index | None, _Beside]:
        """The index, and what came after it was built."""
        if self._beside is not None:
            return self._index, self._beside
        state = self._parts.state
        index = opened(self._directory, {part.name for part in state.parts})
        covered = set(index.covered.parts) if index is not None else set()
        late = [part for part in state.parts if part.name not in covered]
        if sum(part.rows for part in late) > _room(index):
            index, late = self._built(), []
        self._index = index
        self._beside = _Beside()
        self._beside.add(transfers_of(self._parts.read(late)))
        return self._index, self._beside

    def _whole(self) -> Index | None:
        """The index of everything; None: there is nothing."""
        _, beside = self._look()
        if beside.count:
            self._index, self._beside = self._built(), _Beside()
        return self._index

    def _built(self) -> Index:
        parts = self._parts.state.parts
        return build(self._directory, lambda name: self._parts.read(parts, [name])[name], [part.name for part in parts])

    @property
    def _directory(self) -> Path:
        return self._parts.directory / "index"

    def _remember(self, new: Sequence[Transfer]) -> None:
        if self._beside is None:
            return
        if self._beside.count + len(new) > _room(self._index):
            self._index = self._beside = None
        else:
            self._beside.add(new)

    def _known(self, transfers: Sequence[Transfer], keys: Sequence[bytes]) -> set[bytes]:
        """Those of these keys that are stored. Only parts are asked that have blocks of the same heights."""
        spans: dict[str, tuple[int, int]] = {}
        for each in transfers:
            low, high = spans.get(each.network, (each.height, each.height))
            spans[each.network] = (min(low, each.height), max(high, each.height))
        wanted = np.array(keys, dtype="S16") if keys else np.empty(0, dtype="S16")
        known: set[bytes] = set()
        for part in self._parts.state.parts:
            if any(_overlap(span, part.spans.get(network)) for network, span in spans.items()):
                stored = self._keys_of(part)
                at = np.minimum(np.searchsorted(stored, wanted), len(stored) - 1)
                known |= {keys[hit] for hit in np.flatnonzero(stored[at] == wanted).tolist()}
        return known

    def _keys_of(self, part: Part) -> np.ndarray[tuple[int], np.dtype[np.bytes_]]:
        if part.name not in self._keys:
            column = self._parts.read([part], ["key"])["key"].combine_chunks()
            self._keys[part.name] = np.sort(np.frombuffer(column.buffers()[1], dtype="S16", count=len(column)))
        return self._keys[part.name]

    def _merge_small(self) -> None:
        """Makes one part of many small ones, so that a store that was filled by crumbs is read as fast as any."""
        state = self._parts.state
        small = [part for part in state.parts if part.rows < _SMALL_ROWS]
        if len(small) < _SMALL_PARTS_MAX:
            return
        large = tuple(part for part in state.parts if part.rows >= _SMALL_ROWS)
        merged = self._parts.write(self._parts.read(small).combine_chunks())
        self._parts.save(msgspec.structs.replace(self._parts.state, parts=(*large, merged)))
        for part in small:
            self._keys.pop(part.name, None)


class _Beside:
    """Transfers that came after the index was built."""

    def __init__(self) -> None:
        self.count = 0
        self._by: dict[str, dict[tuple[str, str], list[Transfer]]] = {
            by: defaultdict(list) for by in ("source", "target", "transaction")
        }

    def add(self, transfers: Sequence[Transfer]) -> None:
        """Each is new."""
        self.count += len(transfers)
        for by, found in self._by.items():
            for each in transfers:
                found[each.network, getattr(each, by)].append(each)

    def found(self, by: str, network: str, name: str) -> Sequence[Transfer]:
        """Those with this name, in the order in which they came."""
        return self._by[by].get((network, name), ())


def _room(index: Index | None) -> int:
    return max(_BESIDE_MAX, len(index) // 8 if index is not None else 0)


def _overlap(one: tuple[int, int], other: tuple[int, int] | None) -> bool:
    return other is not None and one[0] <= other[1] and other[0] <= one[1]


def _advanced(before: Pulled, fresh: Fresh, new: int) -> Pulled:
    return Pulled(
        cursor=fresh.cursor or before.cursor,
        rows=before.rows + new,
        repeated=before.repeated + len(fresh.transfers) - new,
        left_out=dict(Counter(before.left_out) + Counter(fresh.left_out)),
        noticed=dict(Counter(before.noticed) + Counter(fresh.noticed)),
        stopped=tuple(dict.fromkeys((*before.stopped, *fresh.stopped))),
    )
