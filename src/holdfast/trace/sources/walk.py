"""Where a pull stands on a chain: the next height, and the hashes behind it, by which a reorganisation is noticed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import msgspec

from holdfast.chains.port import Header

REMEMBERED = 100
"""Hashes behind the cursor. A chain that changed further back is read anew from where the pull began."""


class Walk(msgspec.Struct, frozen=True):
    """A place on a chain."""

    next: int
    """The height to read next."""
    hashes: tuple[str, ...] = ()
    """Of the blocks before it, the newest last."""

    def after(self, headers: Sequence[Header]) -> Walk:
        """The place behind these blocks."""
        hashes = (*self.hashes, *(header.hash for header in headers))[-REMEMBERED:]
        return Walk(self.next + len(headers), hashes)

    def fits(self, header: Header) -> bool:
        """Whether a block follows the last one that was read."""
        return header.height == self.next and (not self.hashes or header.parent == self.hashes[-1])

    async def back(self, headers: Callable[[int, int], Awaitable[Sequence[Header]]], begin: int) -> Walk | None:
        """The place behind the last block that is still on the chain; None: all of them are. `begin`: of the pull."""
        if not self.hashes:
            return None
        first = self.next - len(self.hashes)
        found = {each.height: each.hash for each in await headers(first, self.next - 1)}
        same = 0
        while same < len(self.hashes) and found.get(first + same) == self.hashes[same]:
            same += 1
        if same == len(self.hashes):
            return None
        return Walk(first + same, self.hashes[:same]) if same else Walk(min(begin, first))
