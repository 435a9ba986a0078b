"""Passes over numbered transfers: taint by any policy, clusters, and what can be reached in a few hops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from holdfast.core.errors import BadInput
from holdfast.trace import kernels
from holdfast.trace.engine.stored import Stored
from holdfast.trace.flows import Flags, Nodes, Rows
from holdfast.trace.taint import Policy, Taint, spread

HOPS_MAX = 250


class HopsImpossible(BadInput):
    """A reach was asked for with no hop, too many, or from a row that is not stored. Ask for 1 to 250, of rows."""

    code = "hops-impossible"


@dataclass(frozen=True, slots=True)
class Reach:
    """Transfers that follow others in time, and how many hops behind them each stands."""

    rows: Rows
    """In order; what it began with is not among them."""
    hops: Nodes


def taint(stored: Stored, thefts: Sequence[int], policy: Policy, *, stops: Flags | None = None) -> Taint:
    """Follow what these rows stole through all that is stored. Raises `TheftUnknown`, `NumberedUnreadable`."""
    return spread(stored.flows(), thefts, policy, stops=stops)


def clusters(stored: Stored) -> Nodes:
    """Each transfer read as `these two are one owner's`: by node the smallest node of its cluster.

    Raises `NumberedUnreadable`.
    """
    left, right = stored.ends()
    found: Nodes = kernels.together(left, right, stored.facts.nodes)
    return found


def reach(stored: Stored, thefts: Sequence[int], hops: int, *, stops: Flags | None = None) -> Reach:
    """Whatever these rows can have gone on to, forwards in time, at nodes that are no services (`stops`) only.

    Poison within a number of hops: the widest answer, found by look-ups; every other policy needs the whole pass.
    Raises `HopsImpossible`, `NumberedUnreadable`.
    """
    if not 1 <= hops <= HOPS_MAX or any(not 0 <= row < len(stored) for row in thefts):
        raise HopsImpossible(f"{hops} hops from {len(thefts)} rows among {len(stored)}")
    index = stored.by_source()
    ends = np.zeros(stored.facts.nodes, np.bool_) if stops is None else stops
    begin = _reached_by(stored, thefts)
    begin = [(node, row) for node, row in begin if not ends[node]]
    nodes_and_rows = np.array(begin, dtype=np.int64).reshape(-1, 2).T.copy()
    rows, hop_of = kernels.within(index.starts, index.rows, index.targets, nodes_and_rows, hops, ends)
    is_new = ~np.isin(rows, np.array(thefts, dtype=np.int64))
    order = np.argsort(rows[is_new], kind="stable")
    return Reach(rows[is_new][order].astype(np.int64), hop_of[is_new][order].astype(np.int32))


def _reached_by(stored: Stored, thefts: Sequence[int]) -> list[tuple[int, int]]:
    """By target of these rows: the first of them."""
    first: dict[int, int] = {}
    for row in sorted(set(thefts)):
        first.setdefault(stored.target(row), row)
    return list(first.items())
