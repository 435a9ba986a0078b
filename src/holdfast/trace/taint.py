"""How much of what was stolen each transfer carried, by the policies that courts, papers and analysts use.

poison   whatever touches it is tainted: the reach, no share (over-counts without end)
haircut  each transfer carries its proportion: the expected share (Möser, Böhme, Breuker 2014); spreads thin
fifo     what came first leaves first (Clayton's Case 1816; Anderson, Shumailov, Ahmed 2018): what lawyers follow
most     tainted money leaves first: the most that can have left a node so far, of what is known to have come
least    clean money leaves first: the least that can have left it so far

The last two are extremes of one step each. They bound what has left a node, not what somebody further on received: who
is paid early gets more under `most`, who is paid late under `least`.

Every number is exact. For all but poison: what was stolen = what lies somewhere + what was cut, to the unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from holdfast.core.errors import BadInput
from holdfast.trace import kernels
from holdfast.trace.flows import WORD, Flags, Flows, Rows, Words


class Policy(StrEnum):
    """Which money of several a transfer carries."""

    POISON = "poison"
    HAIRCUT = "haircut"
    FIFO = "fifo"
    MOST = "most"
    LEAST = "least"


_BY_SUMS = {
    Policy.POISON: kernels.POISON, Policy.HAIRCUT: kernels.HAIRCUT,
    Policy.MOST: kernels.MOST, Policy.LEAST: kernels.LEAST,
}  # fmt: skip


class TheftUnknown(BadInput):
    """A theft is named that is no transfer of these. Name rows in order, each once."""

    code = "theft-unknown"


@dataclass(frozen=True, slots=True)
class Taint:
    """Where the theft went under one policy. Poison says no amounts of nodes: there a node is reached (1) or not."""

    policy: Policy
    rows: Rows
    """Transfers that carried some of it, in order."""
    moved_high: Words
    moved_low: Words
    """How much of it each of those carried."""
    lies_high: Words
    lies_low: Words
    """By node: what lies there at the end."""
    cut_units: int
    """Moves too small to be followed, and what was stolen a second time: it is no part of what lies anywhere."""

    def moved(self) -> dict[int, int]:
        """By row: how much it carried."""
        high, low = self.moved_high.tolist(), self.moved_low.tolist()
        return {row: high[at] * WORD + low[at] for at, row in enumerate(self.rows.tolist())}

    def lies(self) -> dict[int, int]:
        """By node with anything of it: how much lies there."""
        nodes = np.flatnonzero(self.lies_high | self.lies_low)
        high, low = self.lies_high[nodes].tolist(), self.lies_low[nodes].tolist()
        return {node: high[at] * WORD + low[at] for at, node in enumerate(nodes.tolist())}


def spread(
    flows: Flows, thefts: Sequence[int], policy: Policy, *, stops: Flags | None = None, least_units: int = 1
) -> Taint:
    """Follow what these rows stole. Raises `TheftUnknown`.

    `stops`: by node, where it is not followed further (a service mixes it with everybody's). `least_units`: smaller
    moves are cut; 1 follows everything.
    """
    if list(thefts) != sorted(set(thefts)) or (thefts and not 0 <= thefts[0] <= thefts[-1] < len(flows)):
        raise TheftUnknown(f"{len(thefts)} rows among {len(flows)}")
    ends = np.zeros(flows.nodes, np.bool_) if stops is None else stops
    sizes = np.array([flows.nodes, least_units // WORD, least_units % WORD], dtype=np.uint64)
    begin = np.array(thefts, dtype=np.int64)
    columns = (flows.source, flows.target, flows.low, flows.high, begin, ends, sizes)
    # The room that is looked at in no order is numpy's, which asks the system for huge pages; a kernel's own is not.
    if policy is Policy.FIFO:
        parcels = np.empty((3 if len(flows.high) else 2) * (len(flows) + 2), np.int64)
        found = kernels.first_in_first_out(*columns, np.zeros(2 * flows.nodes + 2, np.int32), parcels)
    else:
        found = kernels.proportion(*columns, np.zeros(4 * flows.nodes, np.uint64), _BY_SUMS[policy])
    rows, moved_high, moved_low, lies_high, lies_low, cut_high, cut_low = found
    cut = int(cut_high) * WORD + int(cut_low)
    return Taint(policy, rows, moved_high, moved_low, lies_high, lies_low, cut)
