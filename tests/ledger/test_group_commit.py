"""Group commit without a database: who shares a batch, and what each caller is told."""

import asyncio
from collections.abc import Sequence

import pytest

from holdfast.ledger import GroupClosed, GroupCommit


class Disk:
    """Answers batches by doubling, one at a time, when it is let go."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.free = asyncio.Event()

    async def commit(self, batch: Sequence[int]) -> Sequence[int]:
        self.batches.append(list(batch))
        await self.free.wait()
        if 13 in batch:
            raise ValueError(13)
        return [2 * number for number in batch]


async def test_requests_that_come_while_a_batch_is_in_flight_join_the_next_one() -> None:
    disk = Disk()
    group = GroupCommit(disk.commit)
    first = asyncio.create_task(group.submit(1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    later = [asyncio.create_task(group.submit(number)) for number in (2, 3, 4)]
    await asyncio.sleep(0)
    disk.free.set()
    assert await asyncio.gather(first, *later) == [2, 4, 6, 8]
    assert disk.batches == [[1], [2, 3, 4]]


async def test_a_batch_is_never_larger_than_its_limit() -> None:
    disk = Disk()
    disk.free.set()
    group = GroupCommit(disk.commit, size_max=10)
    assert await asyncio.gather(*(group.submit(number) for number in range(100, 135))) == list(range(200, 270, 2))
    assert max(len(batch) for batch in disk.batches) == 10


async def test_two_flights_share_what_is_waiting() -> None:
    disk = Disk()
    group = GroupCommit(disk.commit, flights_max=2)
    callers = [asyncio.create_task(group.submit(number)) for number in range(20, 28)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [len(batch) for batch in disk.batches] == [4, 4]
    disk.free.set()
    assert await asyncio.gather(*callers) == list(range(40, 56, 2))


async def test_a_failing_batch_fails_its_own_callers_and_nobody_else() -> None:
    disk = Disk()
    group = GroupCommit(disk.commit)
    unlucky = asyncio.create_task(group.submit(13))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    lucky = asyncio.create_task(group.submit(7))
    await asyncio.sleep(0)
    disk.free.set()
    with pytest.raises(ValueError, match="13"):
        await unlucky
    assert await lucky == 14


async def test_a_batch_that_is_not_answered_whole_leaves_nobody_waiting() -> None:
    async def forgetful(batch: Sequence[int]) -> Sequence[int]:
        return batch[1:]

    group = GroupCommit(forgetful)
    outcomes = await asyncio.gather(group.submit(1), group.submit(2), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [AssertionError, AssertionError]


async def test_a_caller_that_goes_away_takes_nobody_with_him() -> None:
    disk = Disk()
    group = GroupCommit(disk.commit)
    gone, stays = asyncio.create_task(group.submit(1)), asyncio.create_task(group.submit(2))
    await asyncio.sleep(0)
    gone.cancel()
    disk.free.set()
    assert await stays == 4
    assert disk.batches == [[1, 2]]


async def test_closing_answers_what_was_taken_and_takes_no_more() -> None:
    disk = Disk()
    group = GroupCommit(disk.commit)
    taken = [asyncio.create_task(group.submit(number)) for number in (1, 2)]
    await asyncio.sleep(0)
    disk.free.set()
    await group.close()
    assert await asyncio.gather(*taken) == [2, 4]
    with pytest.raises(GroupClosed):
        await group.submit(3)
