"""One step along a chain: asks the node what `chains.follower` wants to know and brings the blocks it decides on.

Keeps no position of its own: whoever calls stores the cursor with the effects of each step, in one transaction, so a
crash between two steps loses nothing. Never decides what a block means for money.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import assert_never

from holdfast.chains.follower import Apply, Bounds, Cursor, Decision, Idle, Need, WalkBack, advance
from holdfast.chains.port import Block, Header, Node, NodeAnswerMalformed, Watch


@dataclass(frozen=True, slots=True)
class Applied:
    """The chain went on: `blocks`, in order, follow the cursor. The last of them is the new cursor."""

    blocks: tuple[Block, ...]
    tip: Header


@dataclass(frozen=True, slots=True)
class WalkedBack:
    """The blocks above `to` are no longer in the chain. `to` is the new cursor."""

    to: Cursor
    tip: Header


@dataclass(frozen=True, slots=True)
class UpToDate:
    """Nothing to do now. A `tip` below the cursor: the node is behind, and its word undoes nothing."""

    tip: Header


Step = Applied | WalkedBack | UpToDate


class Reader:
    """Reads one network's chain through one node (or several that agree)."""

    def __init__(
        self, node: Node, finality_depth: int, *, batch_blocks_max: int = 32, start_height: int | None = None
    ) -> None:
        self._node = node
        self._bounds = Bounds(finality_depth, batch_blocks_max, start_height)

    async def next_step(
        self, cursor: Cursor | None, recent: Mapping[int, str], watch: Callable[[], Awaitable[Watch]]
    ) -> Step:
        """What comes after `cursor`. `recent`: see `follower.advance`.

        `watch` brings the watch up to date. It is called after it is settled which blocks come next, because only
        then must every address that they can pay already be committed: an address given out later cannot be in them.

        Raises `FinalityViolated`, and what the node raises (`NodeUnreachable`, `NodesDisagree`, ...): then nothing has
        happened and the same step is asked for again later.
        """
        tip = await self._node.tip()
        decision = await self._decide(cursor, recent, tip)
        match decision:
            case Apply(headers, ahead):
                self._node.prepare((*headers, *ahead))
                blocks = await self._node.blocks(headers, await watch())
                if tuple(block.header for block in blocks) != headers:
                    raise NodeAnswerMalformed(f"{self._node.name}: other blocks than those that were asked for")
                return Applied(tuple(blocks), tip)
            case WalkBack(to):
                return WalkedBack(to, tip)
            case Need() | Idle():
                return UpToDate(tip)
            case _ as never:
                assert_never(never)

    async def _decide(self, cursor: Cursor | None, recent: Mapping[int, str], tip: Header) -> Decision:
        headers = [tip]
        asked: set[Need] = set()
        decision = advance(cursor, recent, headers, self._bounds)
        while isinstance(decision, Need) and decision not in asked:
            asked.add(decision)
            headers += await self._node.headers(decision.height_from, decision.height_to)
            decision = advance(cursor, recent, headers, self._bounds)
        return decision
