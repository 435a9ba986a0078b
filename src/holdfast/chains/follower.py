"""Which block comes next: the pure decision behind every follower. It reads nothing and stores nothing.

The caller shows what it knows (its cursor, the recent blocks, some headers from the node) and is told either which
headers are missing or what to do. No block is skipped and none is applied twice: `Apply` always continues the cursor's
own chain, and whenever the node's chain has left it, `WalkBack` comes first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from holdfast.chains.port import Header
from holdfast.core.errors import Unavailable


class FinalityViolated(Unavailable):
    """The chain has changed deeper than its configured finality. Find out what happened on the network, check the
    deposits of those blocks by hand, and only then `holdfast resume` from a block that you choose."""

    code = "finality-violated"
    retry = False


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last block that was applied."""

    height: int
    hash: str


@dataclass(frozen=True, slots=True)
class Bounds:
    """What limits a follower."""

    finality_depth: int
    """How many blocks may be undone. Deeper is not walked back but reported."""
    batch_blocks_max: int = 32
    """How many blocks are applied in one step at most."""
    start_height: int | None = None
    """Where to begin when there is no cursor. Never later than `finality_depth` below the tip, so that there is
    always a block to walk back to; that is also where it begins when this is None."""


@dataclass(frozen=True, slots=True)
class Need:
    """Ask the node for the headers of these heights, both included, and decide again with them added."""

    height_from: int
    height_to: int


@dataclass(frozen=True, slots=True)
class Apply:
    """These blocks come next, in this order: the first continues the cursor, each is the parent of the next."""

    headers: tuple[Header, ...]
    ahead: tuple[Header, ...] = ()
    """Headers that will come after these as far as is known now: worth fetching, not yet to be applied."""


@dataclass(frozen=True, slots=True)
class WalkBack:
    """The blocks above `to` have left the chain: undo them, newest first; `to` is the cursor then."""

    to: Cursor


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing can be decided now: everything is applied, or the node is behind the cursor, or its answers were torn by
    a reorganisation. Ask again later from a new tip. A node that is behind undoes nothing."""


Decision = Need | Apply | WalkBack | Idle


def advance(cursor: Cursor | None, recent: Mapping[int, str], headers: Iterable[Header], bounds: Bounds) -> Decision:
    """What to do next.

    `recent` holds the hashes by height of applied blocks: the cursor's own and those down to `finality_depth` below
    it. Whoever stores it forgets what is deeper each time it applies, and never brings it back: so two walks in a row
    cannot undo more than `finality_depth` either. `headers` is what the node told in this step: first its tip alone,
    then with each `Need` answered also what came, even if less came than was asked for. A later header of a height
    replaces the earlier one. The same `Need` twice means that the node cannot answer it now.

    Raises `FinalityViolated` when the node's chain has left ours deeper than `recent` or `finality_depth` reach.
    """
    known = {header.height: header for header in headers}
    tip = max(known)
    if cursor is None:
        return _start(known, tip, bounds)
    shared = min(tip, cursor.height)
    ours = cursor.hash if shared == cursor.height else recent.get(shared)
    theirs = known.get(shared)
    if theirs is not None and ours is not None and theirs.hash != ours:
        return _back(cursor, recent, known, bounds)
    if tip <= cursor.height:
        return Idle()
    return _onward(cursor.height + 1, cursor.hash, known, bounds)


def _start(known: Mapping[int, Header], tip: int, bounds: Bounds) -> Decision:
    height = max(0, tip - bounds.finality_depth)
    if bounds.start_height is not None:
        height = min(height, bounds.start_height)
    return _onward(height, None, known, bounds)


def _onward(height: int, parent: str | None, known: Mapping[int, Header], bounds: Bounds) -> Decision:
    """Apply what follows `parent` (None: anything) from `height` on, or ask for it."""
    chain: list[Header] = []
    while (header := known.get(height + len(chain))) and parent in {None, header.parent}:
        chain.append(header)
        parent = header.hash
    if chain:
        batch = bounds.batch_blocks_max
        return Apply(tuple(chain[:batch]), tuple(chain[batch:]))
    if height in known and height - 1 in known:
        return Idle()  # it continues another block than ours, which the node had when it told us: torn
    # Our own block's header is asked for once more: if the node has left it, that shows in the same answer.
    return Need(max(0, height - 1), min(max(known), height - 1 + 2 * bounds.batch_blocks_max))


def _back(cursor: Cursor, recent: Mapping[int, str], known: Mapping[int, Header], bounds: Bounds) -> Decision:
    """Where the node's chain left ours."""
    floor = max(0, cursor.height - bounds.finality_depth)
    top = min(max(known), cursor.height)
    for height in range(top, floor - 1, -1):
        theirs = known.get(height)
        if theirs is None:
            return Need(floor, top)
        if theirs.hash == recent.get(height):
            return WalkBack(Cursor(height, theirs.hash))
        child = known.get(height + 1)
        if height < top and child is not None and child.parent != theirs.hash:
            return Idle()  # headers of two different chains: torn
    raise FinalityViolated(
        f"the node's chain has left ours at or below height {floor}, our cursor is at {cursor.height}"
    )
