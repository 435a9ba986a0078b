"""A chain's worth of numbered transfers for measurements: seeded, skewed, in the order of time."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from holdfast.trace.engine.stored import Stored, Writer
from holdfast.trace.flows import Flags, Flows

SEED = 7
PER_NODE = 3
"""Transfers for each address."""
THEFTS = range(100, 200)
"""Rows that are stolen."""
_SKEW = 3
"""A node's number is `nodes * u**3` of an even u: the first thousandth of all nodes makes a tenth of all payments."""
_SERVICES = 1_000
"""One node of so many is a service: the busiest."""
_FILE_ROWS = 2_000_000
_UNITS_MOST = 10**12


def made(directory: Path, rows: int) -> Stored:
    """So many transfers, stored."""
    random = np.random.default_rng(SEED)
    nodes = max(rows // PER_NODE, 10)
    writer = Writer(directory)
    for begin in range(0, rows, _FILE_ROWS):
        count = min(_FILE_ROWS, rows - begin)
        source, target = ((random.random(count) ** _SKEW * nodes).astype(np.int32) for _ in range(2))
        units = random.integers(1, _UNITS_MOST, count).astype(np.uint64)
        writer.append(Flows(source, target, units, np.empty(0, np.uint64), nodes))
    return writer.close()


def services(nodes: int) -> Flags:
    """Where a trace stops."""
    stops = np.zeros(nodes, np.bool_)
    stops[: nodes // _SERVICES] = True
    return stops
