"""What the reader asks, and when."""

from collections.abc import Callable, Sequence

import pytest

from holdfast.chains.follower import Cursor
from holdfast.chains.port import Block, Header, NodeAnswerMalformed, Unconfirmed, Watch
from holdfast.chains.reader import Applied, Reader, UpToDate
from holdfast.core.networks import NetworkId

CHAIN = [Header(height, f"block {height}", f"block {height - 1}", 0) for height in range(20)]


class ListeningNode:
    """A node on a fixed chain that writes down what it is asked."""

    name = "listening"

    def __init__(self, log: list[str]) -> None:
        self.log = log

    async def tip(self) -> Header:
        self.log.append("tip")
        return CHAIN[-1]

    async def headers(self, height_from: int, height_to: int) -> Sequence[Header]:
        self.log.append("headers")
        return CHAIN[height_from : height_to + 1]

    async def blocks(self, headers: Sequence[Header], watch: Watch) -> Sequence[Block]:
        self.log.append("blocks")
        return [Block(header, ()) for header in headers]

    async def unconfirmed(self, watch: Watch) -> Unconfirmed:
        return Unconfirmed(None, ())

    def prepare(self, headers: Sequence[Header]) -> None:
        self.log.append(f"prepare {headers[0].height} to {headers[-1].height}")

    async def close(self) -> None:
        pass


class SilentNode(ListeningNode):
    """A node that has a tip and tells nothing below it."""

    async def headers(self, height_from: int, height_to: int) -> Sequence[Header]:
        self.log.append("headers")
        return []


async def test_the_watch_is_loaded_after_the_headers_are_known_and_before_the_blocks_are_searched() -> None:
    log: list[str] = []

    async def watch() -> Watch:
        log.append("watch")
        return Watch(NetworkId("test"))

    reader = Reader(ListeningNode(log), finality_depth=6, batch_blocks_max=4)
    step = await reader.next_step(Cursor(9, "block 9"), {9: "block 9"}, watch)
    assert isinstance(step, Applied)
    assert [block.header.height for block in step.blocks] == [10, 11, 12, 13]
    assert log == ["tip", "headers", "prepare 10 to 17", "watch", "blocks"]


async def test_a_node_that_cannot_tell_is_asked_once_and_left_in_peace() -> None:
    log: list[str] = []

    async def watch() -> Watch:
        raise AssertionError("nothing to search")

    reader = Reader(SilentNode(log), finality_depth=6)
    assert await reader.next_step(Cursor(9, "block 9"), {9: "block 9"}, watch) == UpToDate(CHAIN[-1])
    assert log == ["tip", "headers"]


@pytest.mark.parametrize("wrong", [lambda told: told[:-1], lambda told: told[::-1], lambda told: told[:0]])
async def test_blocks_that_were_not_asked_for_are_not_applied(
    wrong: Callable[[Sequence[Block]], Sequence[Block]],
) -> None:
    class Node(ListeningNode):
        async def blocks(self, headers: Sequence[Header], watch: Watch) -> Sequence[Block]:
            return wrong(await super().blocks(headers, watch))

    async def watch() -> Watch:
        return Watch(NetworkId("test"))

    with pytest.raises(NodeAnswerMalformed):
        await Reader(Node([]), finality_depth=6).next_step(Cursor(9, "block 9"), {9: "block 9"}, watch)
