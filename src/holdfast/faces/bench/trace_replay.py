"""A theft whose truth is known, hidden in a town's noise and followed from its sources; what was found of it.

The tracer gets a file of transfers, the addresses where the theft began, and what public feeds say. The verifiers'
labels, the ends and the edges are kept from it.
"""

from __future__ import annotations

import asyncio
import resource
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time
from typing import TypeAlias

import msgspec

from holdfast.core.networks import EVM_PREFIX
from holdfast.faces.bench.trace_heist import Heist, read_heist
from holdfast.faces.bench.trace_noise import Town
from holdfast.trace.follow.engine import follow
from holdfast.trace.follow.thefts import Stolen, rows_of
from holdfast.trace.labels.book import Book
from holdfast.trace.labels.deposits import NamesWithBehaviour
from holdfast.trace.labels.feeds import Reading, read_file
from holdfast.trace.labels.shelf import KeptBook, Shelf
from holdfast.trace.labels.tagpacks import FeedMalformed
from holdfast.trace.model import LabelKind, Trace, Transfer
from holdfast.trace.sources.files import FileSource
from holdfast.trace.sources.port import Wanted
from holdfast.trace.sources.pull import pull
from holdfast.trace.store import Store

SEED = 2023
GOAL_PERCENT, GOAL_TIMES = 95, 3
_FEEDS_READ_AT = 1_760_000_000
_KIBIBYTE = 1024
_Edge: TypeAlias = tuple[str, str, str, str, str, int]


@dataclass(frozen=True, slots=True)
class Replay:
    """What a run was asked for."""

    heist: str
    """File or folder."""
    noise_rows: int
    feeds: tuple[str, ...] = ()
    """Public label feeds, files or folders of them."""
    seed: int = SEED


def feeds_in(data: Path) -> tuple[str, ...]:
    """TagPacks and sanctions lists in a folder of public data."""
    packs = sorted((data / "graphsense-tagpacks").glob("*.yaml"))
    lists = [data / name for name in ("ofac-2024-09",) if (data / name).is_dir()]
    return tuple(str(path) for path in (*packs, *lists))


def book_of(feeds: Iterable[Path], directory: Path) -> tuple[Book, int]:
    """What these feeds say, admitted by the rules; and how many files were no feed."""
    shelf, unread = Shelf(directory), 0
    for path in feeds:
        try:
            shelf.keep(read_file(path, Reading(path.stem, _FEEDS_READ_AT)))
        except FeedMalformed:
            unread += 1
    return KeptBook(directory), unread


def replay(asked: Replay, directory: Path) -> dict[str, object]:
    """The figures of one run. Raises what reading the heist raises."""
    heist = asyncio.run(read_heist(Path(asked.heist)))
    began = perf_counter()
    book, _ = book_of(map(Path, asked.feeds), directory / "labels")
    labels_seconds = perf_counter() - began
    rows = directory / "transfers.csv"
    network = heist.transfers[0].network
    noise = Town(heist, asked.noise_rows, asked.seed, _exchanges(book, network)).write(rows)
    with Store(directory / "transfers") as store:
        began = perf_counter()
        pulled = asyncio.run(pull(FileSource(rows), Wanted(), store))
        stored_seconds = perf_counter() - began
        began, processor = perf_counter(), process_time()
        thefts = _thefts(store, heist)
        trace = follow(store, NamesWithBehaviour(book, store), thefts)
        seconds, processor = perf_counter() - began, process_time() - processor
    return {
        "heist": heist.name,
        "true_edges": len(heist.transfers),
        "noise_transfers": noise,
        "seed": asked.seed,
        "labels_from_public_feeds": len(book),
        "refused_as_poison_or_malformed": {str(why): count for why, count in pulled.left_out.items()},
        **score(heist, trace),
        "goal_edges_percent": GOAL_PERCENT,
        "goal_value_percent": GOAL_PERCENT,
        "goal_returned_times_true_most": GOAL_TIMES,
        "labels_seconds": round(labels_seconds, 1),
        "store_seconds": round(stored_seconds, 1),
        "trace_seconds": round(seconds, 1),
        "trace_processor_seconds": round(processor, 1),
    }


def score(heist: Heist, trace: Trace) -> dict[str, object]:
    """What of the truth was found, and what else was returned.

    An edge is one transfer: a transaction, its two ends, the asset and the units. Recall is over the edges that lie
    forwards in time from the sources (others led to them); value is the sum of their units, asset by asset alike.
    """
    ahead = {_edge(each) for each in heist.ahead}
    every = {_edge(each) for each in heist.transfers}
    returned = {_edge(step.transfer) for step in trace.steps}
    found, right = ahead & returned, every & returned
    reached = {step.transfer.target for step in trace.steps} & heist.ends
    told = {end.address for end in trace.ends} & heist.ends
    named = {end.address for end in trace.ends if end.label is not None} & heist.ends
    behind = {step.transfer for step in trace.steps if step.transfer.source in heist.ends} - set(heist.transfers)
    return {
        "edges_ahead_of_sources": len(ahead),
        "edges_found": len(found),
        "edges_found_percent": _percent(len(found), len(ahead)),
        "edges_found_of_all_percent": _percent(len(right), len(every)),
        "value_found_percent": _percent(_units(found), _units(ahead)),
        "ends": len(heist.ends),
        "ends_reached": len(reached),
        "ends_told_as_ends": len(told),
        "ends_with_a_name": len(named),
        "returned": len(returned),
        "returned_times_true": round(len(returned) / len(every), 2),
        "precision_percent": _percent(len(right), len(returned)),
        "returned_behind_true_ends": len(behind),
        "stopped": list(trace.stopped)[:5],
    }


def _thefts(store: Store, heist: Heist) -> Sequence[Transfer]:
    """All that left the sources of the assets that were stolen."""
    network = heist.transfers[0].network
    assets = {each.asset for each in heist.transfers}
    rows = [row for source in sorted(heist.sources) for row in rows_of(store, Stolen(network, address=source))]
    return sorted((row for row in rows if row.asset in assets), key=lambda row: (row.time, row.height, row.order))


def _exchanges(book: Book, network: str) -> list[str]:
    """Exchanges' own wallets that the feeds name."""
    kinds = [label for label in book if label.kind is LabelKind.EXCHANGE and label.network.startswith(EVM_PREFIX)]
    return sorted({label.address for label in kinds if label.network in (network, "eip155:*")})


def _edge(each: Transfer) -> _Edge:
    return each.network, each.transaction, each.source, each.target, each.asset, each.units


def _units(edges: Iterable[_Edge]) -> int:
    return sum(edge[-1] for edge in edges)


def _percent(part: int, whole: int) -> float:
    return round(100 * part / whole, 2) if whole else 0.0


def main(asked: bytes, directory: Path) -> None:
    """One run in a process of its own, so that its memory is its own; prints JSON."""
    figures = replay(msgspec.json.decode(asked, type=Replay), directory)
    figures["peak_memory_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KIBIBYTE
    sys.stdout.write(msgspec.json.encode(figures).decode() + "\n")


if __name__ == "__main__":
    main(sys.argv[1].encode(), Path(sys.argv[2]))
