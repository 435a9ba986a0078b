"""One measured task in a process of its own, so that its memory is its own: `python -m … TASK FOLDER`; prints JSON."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time

import msgspec
import numpy as np

from holdfast.faces.bench import trace_peers
from holdfast.faces.bench.trace_chain import THEFTS, services
from holdfast.trace import kernels
from holdfast.trace.engine import passes
from holdfast.trace.engine.stored import Stored
from holdfast.trace.flows import flows_of
from holdfast.trace.taint import Policy, spread

HOPS = 4
_KIBIBYTE = 1024


def fifo(stored: Stored) -> int:
    """Transfers that carried some of it."""
    return len(passes.taint(stored, list(THEFTS), Policy.FIFO).rows)


def haircut(stored: Stored) -> int:
    """Transfers that carried some of it."""
    return len(passes.taint(stored, list(THEFTS), Policy.HAIRCUT).rows)


def clusters(stored: Stored) -> int:
    """How many there are."""
    found = passes.clusters(stored)
    return int((found == np.arange(len(found), dtype=np.int32)).sum())


def reach(stored: Stored) -> int:
    """Transfers within four hops, not through services."""
    return len(passes.reach(stored, list(THEFTS), HOPS, stops=services(stored.facts.nodes)).rows)


def index(stored: Stored) -> int:
    """The look-up that `reach` uses, built."""
    return len(stored.by_source().rows)


def _warm_up() -> None:
    """Loads what was compiled before, so that no measurement pays for the compiler."""
    small = flows_of([(0, 1, 5), (1, 2, 5)], 3)
    for policy in (Policy.FIFO, Policy.HAIRCUT):
        spread(small, [0], policy)
    source, target = small.source, small.target
    kernels.together(source, target, 3)
    starts, rows = kernels.index_of(source, 3)
    kernels.within(starts, rows, target[rows], np.zeros((2, 1), np.int64), 1, np.zeros(3, np.bool_))


TASKS: dict[str, Callable[[Stored], int]] = {
    "fifo": fifo, "haircut": haircut, "clusters": clusters, "index": index, "reach": reach,
    **trace_peers.TASKS,
}  # fmt: skip


def main(task: str, directory: Path) -> None:
    """Measures one task."""
    stored = Stored(directory)
    _warm_up()
    began, processor = perf_counter(), process_time()
    answer = TASKS[task](stored)
    figures = {
        "seconds": round(perf_counter() - began, 2),
        "processor_seconds": round(process_time() - processor, 2),
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KIBIBYTE,
        "answer": answer,
    }
    sys.stdout.write(msgspec.json.encode(figures).decode() + "\n")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
