"""The true edges of a theft, as somebody verified them by hand: what a tracer is measured against.

A folder with a CSV of transfers and, beside it, lists of addresses (one a line) where it began (`source` in the
file's name) and where it ended (`terminal` or `end`); or the CSV alone: then it began where nothing came in and ended
where nothing went on. Any headings that `trace.sources.files` understands.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from holdfast.core.errors import BadInput
from holdfast.trace.model import Transfer
from holdfast.trace.sources.files import FileSource
from holdfast.trace.sources.mapping import FileMapping
from holdfast.trace.sources.places import address_on
from holdfast.trace.sources.port import Wanted


class HeistUnusable(BadInput):
    """There are no true edges here to make noise around. Name a CSV of transfers on EVM networks, with times."""

    code = "bench-heist-unusable"


@dataclass(frozen=True, slots=True)
class Heist:
    """One theft whose truth is known."""

    name: str
    transfers: tuple[Transfer, ...]
    """The true edges, in the order of time."""
    sources: frozenset[str]
    """Addresses from which it is followed."""
    ends: frozenset[str]
    labels: Mapping[str, str]
    """By address: what the verifiers say it is. Hidden from the tracer; the noise behaves accordingly."""

    @property
    def ahead(self) -> tuple[Transfer, ...]:
        """Edges that lie forwards in time from the sources; the others led to them."""
        reached = set(self.sources)
        found = []
        for group in _transactions(self.transfers):
            left = list(group)
            while more := [each for each in left if each.source in reached]:
                reached |= {each.target for each in more}
                found += more
                left = [each for each in left if each not in more]
        return tuple(found)


async def read_heist(path: Path) -> Heist:
    """The truth in this file or folder. Raises `HeistUnusable`, and what reading a file raises."""
    edges, *lists = _files(path)
    source = FileSource(edges, FileMapping(keep_repeated=True))
    batches = [batch async for batch in source.pull(Wanted(), "")]
    rows = [each for batch in batches for each in batch.transfers]
    rows.sort(key=lambda each: (each.time, each.height))
    if not rows or not rows[0].time or any(not each.network.startswith("eip155:") for each in rows):
        raise HeistUnusable(edges.name)
    network = rows[0].network
    paid, payers = {each.target for each in rows}, {each.source for each in rows}
    return Heist(
        name=edges.stem,
        transfers=tuple(rows),
        sources=_listed(lists, ("source",), network) & payers or frozenset(payers - paid),
        ends=_listed(lists, ("terminal", "end"), network) & paid or frozenset(paid - payers),
        labels=_labels(edges, network),
    )


def _files(path: Path) -> list[Path]:
    """The edges, and whatever else is beside them."""
    files = sorted(path.glob("*.csv"), key=lambda each: -each.stat().st_size) if path.is_dir() else [path]
    if not files:
        raise HeistUnusable(path.name)
    return files


def _listed(files: Sequence[Path], words: Sequence[str], network: str) -> frozenset[str]:
    chosen = [path for path in files if any(word in path.stem.casefold() for word in words)]
    lines = [line.strip() for path in chosen for line in path.read_text("utf-8").splitlines()]
    return frozenset(address for line in lines if (address := address_on(network, line)))


def _labels(path: Path, network: str) -> dict[str, str]:
    """From columns whose heading is that of an address with `label` behind it."""
    found: dict[str, str] = {}
    with path.open(newline="", encoding="utf-8-sig") as file:
        for row in csv.DictReader(file):
            for heading, text in row.items():
                if heading and heading.casefold().endswith("label") and text:
                    address = address_on(network, (row.get(heading[:-6]) or "").strip())
                    found |= {address: text} if address else {}
    return found


def _transactions(rows: Sequence[Transfer]) -> list[list[Transfer]]:
    groups: dict[str, list[Transfer]] = defaultdict(list)
    for each in rows:
        groups[each.transaction].append(each)
    return list(groups.values())
