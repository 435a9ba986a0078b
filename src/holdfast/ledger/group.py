"""Group commit: requests that come while a batch is in flight join the next one, so callers share a disk flush.

One hot account does not serialise its callers either: within a batch its transfers are added up in one step.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Generic, TypeVar

from holdfast.core.errors import Unavailable

Request = TypeVar("Request")
Reply = TypeVar("Reply")


class GroupClosed(Unavailable):
    """The process is stopping and takes no more requests. Send the same request again, with the same key."""

    code = "group-closed"


class GroupCommit(Generic[Request, Reply]):
    """Collects single requests into batches for `commit`, which answers a batch in order, all or nothing."""

    def __init__(
        self,
        commit: Callable[[Sequence[Request]], Awaitable[Sequence[Reply]]],
        *,
        size_max: int = 512,
        flights_max: int = 1,
    ) -> None:
        self._commit = commit
        self._size_max = size_max
        self._flights_max = flights_max
        self._waiting: deque[tuple[Request, asyncio.Future[Reply]]] = deque()
        self._flights: set[asyncio.Task[Sequence[Reply]]] = set()
        self._closed = False

    async def submit(self, request: Request) -> Reply:
        """The reply to this request, once its batch is committed.

        Raises what `commit` raised for the batch, or `GroupClosed`. Cancelling a caller does not undo its request.
        """
        if self._closed:
            raise GroupClosed
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, reply))
        if len(self._flights) < self._flights_max:
            # Not at once: callers that are ready in this turn of the loop share the batch.
            asyncio.get_running_loop().call_soon(self._fly)
        return await reply

    async def close(self) -> None:
        """Take no more requests, and wait until those taken are answered."""
        self._closed = True
        while self._flights or self._waiting:
            self._fly()
            await asyncio.wait(self._flights)

    def _fly(self) -> None:
        if not self._waiting or len(self._flights) >= self._flights_max:
            return
        # What is waiting is shared out among the flights that are free, so that no flight takes all of a small crowd.
        free = self._flights_max - len(self._flights)
        size = min(self._size_max, -(-len(self._waiting) // free))
        batch = [self._waiting.popleft() for _ in range(size)]
        flight = asyncio.get_running_loop().create_task(self._answer([request for request, _ in batch]))
        self._flights.add(flight)
        flight.add_done_callback(partial(self._land, [reply for _, reply in batch]))
        if free > 1:
            self._fly()

    async def _answer(self, batch: list[Request]) -> Sequence[Reply]:
        replies = await self._commit(batch)
        if len(replies) != len(batch):  # a bug of ours: better told than waited for
            raise AssertionError(f"{len(batch)} requests, {len(replies)} replies")
        return replies

    def _land(self, replies: list[asyncio.Future[Reply]], flight: asyncio.Task[Sequence[Reply]]) -> None:
        self._flights.discard(flight)
        self._fly()
        error = None if flight.cancelled() else flight.exception()
        for place, reply in enumerate(replies):
            if reply.done():  # its caller has gone
                continue
            if flight.cancelled():
                reply.cancel()
            elif error is not None:
                reply.set_exception(error)
            else:
                reply.set_result(flight.result()[place])
