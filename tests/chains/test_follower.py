"""The follower as a pure decision: on any tree of blocks, with any answers cut short, torn or stale."""

from dataclasses import dataclass, field
from typing import assert_never

import pytest
from hypothesis import given, settings, strategies as st

from holdfast.chains.follower import (
    Apply,
    Bounds,
    Cursor,
    Decision,
    FinalityViolated,
    Idle,
    Need,
    WalkBack,
    advance,
)
from holdfast.chains.port import Header

BOUNDS = Bounds(finality_depth=4, batch_blocks_max=3)


def chain(text: str, start: int = 0, parent: str = "") -> list[Header]:
    """A chain in short: each letter is a block's branch. Same letters from the same parent are the same blocks."""
    headers: list[Header] = []
    for height, branch in enumerate(text, start):
        name = f"{parent}{branch}"
        headers.append(Header(height, name, parent, 0))
        parent = name
    return headers


@dataclass
class Ledger:
    """What a caller of the follower keeps, and the proof that it was led through the chain without a gap."""

    finality_depth: int = BOUNDS.finality_depth
    applied: list[Header] = field(default_factory=list)
    recent: dict[int, str] = field(default_factory=dict)
    undone_most: int = 0
    highest: int = -1

    @property
    def cursor(self) -> Cursor | None:
        return Cursor(self.applied[-1].height, self.applied[-1].hash) if self.applied else None

    def take(self, decision: Apply | WalkBack) -> None:
        match decision:
            case Apply(headers):
                for header in headers:
                    if self.applied:
                        assert header.parent == self.applied[-1].hash, "a block was skipped or is on another branch"
                        assert header.height == self.applied[-1].height + 1
                    self.applied.append(header)
                    self.recent[header.height] = header.hash
                self.highest = max(self.highest, self.applied[-1].height)
                floor = self.applied[-1].height - self.finality_depth
                self.recent = {height: name for height, name in self.recent.items() if height >= floor}
            case WalkBack(to):
                while Cursor(self.applied[-1].height, self.applied[-1].hash) != to:
                    del self.recent[self.applied.pop().height]
                self.undone_most = max(self.undone_most, self.highest - to.height)
            case _ as never:
                assert_never(never)


def step(ledger: Ledger, node: list[Header], bounds: Bounds = BOUNDS) -> Decision:
    """One step against a node that answers fully and does not change meanwhile."""
    told, asked = [node[-1]], set()
    while True:
        decision = advance(ledger.cursor, ledger.recent, told, bounds)
        if not isinstance(decision, Need):
            return decision
        assert decision not in asked, "asked twice for what a willing node has told"
        asked.add(decision)
        told += [header for header in node if decision.height_from <= header.height <= decision.height_to]


def follow(ledger: Ledger, node: list[Header], bounds: Bounds = BOUNDS) -> list[Decision]:
    """Steps until there is nothing to do."""
    decisions: list[Decision] = []
    while not isinstance(decision := step(ledger, node, bounds), Idle):
        assert isinstance(decision, Apply | WalkBack)
        ledger.take(decision)
        decisions.append(decision)
    return decisions


def followed(text: str) -> Ledger:
    ledger = Ledger()
    follow(ledger, chain(text))
    return ledger


def test_a_new_follower_begins_where_it_can_still_walk_back() -> None:
    assert followed("aaaaaaaaaa").applied[0].height == 9 - BOUNDS.finality_depth


def test_a_new_follower_on_a_short_chain_begins_at_the_genesis_block() -> None:
    assert followed("aaa").applied[0].height == 0


def test_a_new_follower_begins_at_the_height_it_is_told() -> None:
    ledger = Ledger()
    follow(ledger, chain("aaaaaaaaaa"), Bounds(4, 3, start_height=2))
    assert [header.height for header in ledger.applied] == list(range(2, 10))


def test_a_start_too_close_to_the_tip_is_moved_back() -> None:
    ledger = Ledger()
    follow(ledger, chain("aaaaaaaaaa"), Bounds(4, 3, start_height=9))
    assert ledger.applied[0].height == 5


def test_one_new_block_needs_no_question() -> None:
    ledger = followed("aaaa")
    decision = advance(ledger.cursor, ledger.recent, [chain("aaaaa")[-1]], BOUNDS)
    assert decision == Apply((chain("aaaaa")[-1],))


def test_catching_up_takes_batches_in_order() -> None:
    ledger = followed("a")
    sizes = [len(decision.headers) for decision in follow(ledger, chain("aaaaaaaa")) if isinstance(decision, Apply)]
    assert sizes == [3, 3, 1]


def test_what_comes_after_the_batch_is_named_so_that_it_can_be_fetched_early() -> None:
    ledger = followed("a")
    decision = step(ledger, chain("aaaaaaaa"))
    assert isinstance(decision, Apply)
    assert [header.height for header in decision.ahead] == [4, 5, 6, 7]


@pytest.mark.parametrize("depth", range(1, BOUNDS.finality_depth + 1))
def test_a_reorganisation_up_to_the_finality_depth_is_walked_back(depth: int) -> None:
    ledger = followed("aaaaaaaa")
    decisions = follow(ledger, chain("a" * (8 - depth) + "b" * (depth + 1)))
    assert decisions[0] == WalkBack(Cursor(7 - depth, "a" * (8 - depth)))
    assert ledger.applied[-1].hash == "a" * (8 - depth) + "b" * (depth + 1)


def test_a_deeper_reorganisation_is_reported_and_undoes_nothing() -> None:
    ledger = followed("aaaaaaaa")
    with pytest.raises(FinalityViolated):
        follow(ledger, chain("aaa" + "b" * 9))
    assert ledger.applied[-1].hash == "aaaaaaaa"


def test_two_reorganisations_in_a_row_cannot_undo_more_than_one_may() -> None:
    ledger = followed("aaaaaaaa")
    first = step(ledger, chain("aaaaa" + "b" * 4))
    assert isinstance(first, WalkBack)
    ledger.take(first)
    with pytest.raises(FinalityViolated):
        follow(ledger, chain("aa" + "c" * 9))


def test_a_node_that_is_behind_undoes_nothing() -> None:
    ledger = followed("aaaaaaaa")
    for behind in range(1, 8):
        assert isinstance(step(ledger, chain("a" * behind)), Idle)


def test_a_node_that_is_behind_on_another_branch_is_followed() -> None:
    ledger = followed("aaaaaaaa")
    assert step(ledger, chain("aaaaabb")) == WalkBack(Cursor(4, "aaaaa"))


def test_a_shorter_chain_that_left_ours_below_finality_is_reported() -> None:
    ledger = followed("a" * 12)
    with pytest.raises(FinalityViolated):
        step(ledger, chain("aaaaaaabbb"))


def test_headers_of_two_chains_in_one_answer_decide_nothing() -> None:
    ledger = followed("aaaa")
    here, _ = chain("aaaab")[3:]
    torn = [chain("ccccccc")[-1], here, chain("cccccc")[4]]
    assert isinstance(advance(ledger.cursor, ledger.recent, torn, BOUNDS), Idle)


def test_a_walk_through_headers_of_two_chains_accuses_nobody() -> None:
    ledger = followed("aaaaaaaa")
    torn = chain("bbbbbb")[3:] + chain("cccccccc")[6:]
    assert isinstance(advance(ledger.cursor, ledger.recent, torn, BOUNDS), Idle)


def test_finality_holds_even_where_more_blocks_are_remembered() -> None:
    ledger = followed("aaaaaaaa")
    remembered = {header.height: header.hash for header in chain("aaaaaaaa")}
    with pytest.raises(FinalityViolated):
        advance(ledger.cursor, remembered, chain("aaa" + "b" * 9), BOUNDS)


@dataclass
class Change:
    """Before a question is answered: the node may take another branch, and may hide what it has."""

    fork_back: int
    new_blocks: int
    hidden: int


CHANGES = st.builds(
    Change, fork_back=st.integers(0, BOUNDS.finality_depth), new_blocks=st.integers(0, 6), hidden=st.integers(0, 4)
)


class RestlessNode:
    """A node whose chain changes between any two of its answers, never deeper than the follower may walk back."""

    def __init__(self, changes: list[Change]) -> None:
        self.best = chain("a" * 3)
        self.changes = changes
        self.branch = 0

    def change(self, floor: int) -> int:
        """Make the next change; how many of the newest blocks the node hides this time."""
        if not self.changes:
            return 0
        change = self.changes.pop(0)
        if change.new_blocks:
            fork = max(floor, self.best[-1].height - change.fork_back)
            kept = self.best[: fork + 1]
            longer = max(change.new_blocks, len(self.best) - len(kept) + 1)
            self.branch += 1
            letter = chr(ord("b") + self.branch % 20)
            self.best = kept + chain(letter * longer, len(kept), kept[-1].hash)
        return change.hidden

    def tip(self, floor: int) -> Header:
        hidden = self.change(floor)
        return self.best[max(0, len(self.best) - 1 - hidden)]

    def headers(self, need: Need, floor: int) -> list[Header]:
        hidden = self.change(floor)
        return self.best[need.height_from : need.height_to + 1][: max(0, len(self.best) - hidden)]


@settings(max_examples=400)
@given(st.lists(CHANGES, max_size=40))
def test_the_follower_ends_on_the_best_chain_having_applied_each_block_once_in_order(changes: list[Change]) -> None:
    node, ledger = RestlessNode(changes), Ledger()
    while node.changes:
        floor = min(ledger.recent, default=len(node.best))
        told = [node.tip(floor)]
        asked: set[Need] = set()
        while isinstance(decision := advance(ledger.cursor, ledger.recent, told, BOUNDS), Need):
            if decision in asked:
                break
            asked.add(decision)
            told += node.headers(decision, floor)
        if isinstance(decision, Apply | WalkBack):
            ledger.take(decision)
    follow(ledger, node.best)
    assert ledger.applied == node.best[ledger.applied[0].height :]
    assert ledger.undone_most <= BOUNDS.finality_depth


@given(st.integers(6, 20), st.integers(1, 20), st.integers(1, 6))
def test_a_reorganisation_is_walked_back_exactly_when_finality_allows_it(height: int, depth: int, longer: int) -> None:
    depth = min(depth, height)
    ledger = followed("a" * height)
    other = chain("a" * (height - depth) + "b" * (depth + longer))
    if depth > BOUNDS.finality_depth:
        with pytest.raises(FinalityViolated):
            follow(ledger, other)
        assert ledger.applied[-1].hash == "a" * height
    else:
        follow(ledger, other)
        assert ledger.applied[-1] == other[-1]
