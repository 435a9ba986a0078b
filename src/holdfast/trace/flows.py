"""Transfers as columns: what every kernel of this room reads. Nodes and rows are numbers; names live in the store.

A node is an address of one asset's ledger; in the Bitcoin family an output or a transaction, so that what is spent
together stays together. Rows are in the order in which the chain has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from holdfast.core.errors import BadInput

Nodes: TypeAlias = NDArray[np.int32]
Rows: TypeAlias = NDArray[np.int64]
Words: TypeAlias = NDArray[np.uint64]
Flags: TypeAlias = NDArray[np.bool_]

WORD = 1 << 64
UNITS_MAX = 1 << 120
"""More than any asset's supply; sums of it stay below the 128 bits of a kernel."""


class FlowsMalformed(BadInput):
    """The columns of these transfers do not fit together, or hold an impossible amount. Import the source again."""

    code = "flows-malformed"


@dataclass(frozen=True, slots=True)
class Flows:
    """Transfers of one asset, in order."""

    source: Nodes
    target: Nodes
    low: Words
    """Units, the lower 64 bits."""
    high: Words
    """The upper bits; empty where every amount fits into one word."""
    nodes: int
    """All nodes are below it."""

    def __post_init__(self) -> None:
        """Raises `FlowsMalformed`."""
        count = len(self.source)
        if len(self.target) != count or len(self.low) != count or len(self.high) not in (0, count):
            raise FlowsMalformed(f"{count} sources, {len(self.target)} targets, {len(self.low)} amounts")
        for column in (self.source, self.target):
            if count and not (int(column.min()) >= 0 and int(column.max()) < self.nodes):
                raise FlowsMalformed("a node that there is not")
        if len(self.high) and int(self.high.max()) * WORD >= UNITS_MAX:
            raise FlowsMalformed("an amount above every supply")

    def __len__(self) -> int:
        """How many transfers."""
        return len(self.source)

    def units(self, row: int) -> int:
        """What a transfer moved."""
        high = int(self.high[row]) if len(self.high) else 0
        return high * WORD + int(self.low[row])


def flows_of(transfers: Sequence[tuple[int, int, int]], nodes: int) -> Flows:
    """Columns of (source, target, units). Raises `FlowsMalformed`."""
    amounts = [units for _, _, units in transfers]
    if any(not 0 <= units < UNITS_MAX for units in amounts):
        raise FlowsMalformed("an amount above every supply, or below nothing")
    is_wide = any(units >= WORD for units in amounts)
    return Flows(
        source=np.array([source for source, _, _ in transfers], dtype=np.int32),
        target=np.array([target for _, target, _ in transfers], dtype=np.int32),
        low=np.array([units % WORD for units in amounts], dtype=np.uint64),
        high=np.array([units // WORD for units in amounts] if is_wide else [], dtype=np.uint64),
        nodes=nodes,
    )


def whole(high: Words, low: Words) -> list[int]:
    """Numbers of two words each."""
    return [int(above) * WORD + int(below) for above, below in zip(high, low, strict=True)]
