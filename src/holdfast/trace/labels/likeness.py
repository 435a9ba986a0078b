"""Addresses that look like others: alike at head and tail, which is all that people compare. Pure.

Address poisoning grinds an address that shares a few letters at both ends with one that its victim knows; whoever
invents an address, or completes one that he saw cut off, shares the head and goes on otherwise. How many letters are
too many depends on how many addresses are known: so many that chance gives one such pair in `ODDS` lists of that size.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

ODDS = 1_000
"""Lists of the known size, in one of which chance would give a likeness that is refused."""
_BUCKET = 3
"""Letters at each end by which pairs with a likeness at both ends are found."""


@dataclass(frozen=True, slots=True)
class Like:
    """A known address that another looks like."""

    key: str
    head: int
    """Letters that are shared at the start, without the network's own prefix."""
    tail: int
    odds: int
    """Lists of this size in which chance gives one such pair."""


class Likeness:
    """Known addresses, ready to be asked which of them another looks like."""

    def __init__(self, keys: Iterable[str]) -> None:
        """Keys as `addresses.key_of` makes them."""
        self._families = {
            16: _Family(16, sorted({key for key in keys if key.startswith("0x")})),
            32: _Family(32, sorted({key for key in keys if _alphabet(key) == 32})),
            58: _Family(58, sorted({key for key in keys if _alphabet(key) == 58})),
        }

    def of(self, key: str) -> Iterator[Like]:
        """Each known address that this one looks like more than chance allows; never itself."""
        return self._families[_alphabet(key)].of(key)


def _alphabet(key: str) -> int:
    """How many letters an address can be written with: hexadecimal, bech32 or base58."""
    if key.startswith("0x"):
        return 16
    return 32 if "1" in key[1:6] and key == key.lower() else 58


def _body(key: str) -> str:
    """Without what all addresses of its kind begin with."""
    if key.startswith("0x"):
        return key[2:]
    if _alphabet(key) == 32:
        return key.partition("1")[2][1:]
    return key[1:]


def told(letters: str) -> int:
    """How many letters say something: one that repeats its neighbour was chosen for looks, not drawn.

    Contracts with many leading zeros, or ones, are ground on purpose and resemble each other without any deceit.
    """
    return sum(1 for before, after in pairwise(letters) if before != after) + (letters[:1] not in ("", "0", "1"))


class _Family:
    """Known addresses of one alphabet."""

    def __init__(self, letters: int, keys: list[str]) -> None:
        self._letters, self._count = letters, len(keys)
        self._heads = keys
        self._tails = sorted(key[::-1] for key in keys)
        self._ends: dict[str, list[str]] = defaultdict(list)
        for key in keys:
            self._ends[_ends(key)].append(key)
        # Pairs, times the ways to share n letters between both ends, times their chance: in one of ODDS lists at most.
        pairs = max(self._count, 2) ** 2 / 2
        self.least = next(n for n in range(1, 100) if pairs * (n + 1) * math.pow(letters, -n) * ODDS <= 1)

    def of(self, key: str) -> Iterator[Like]:
        for other in sorted(self._near(key)):
            if other == key or len(other) != len(key):
                continue
            one, two = _body(key), _body(other)
            head = _shared(one, two)
            tail = _shared(one[::-1], two[::-1])
            said = told(one[:head]) + told(one[len(one) - tail :])
            if said >= self.least:
                odds = math.pow(self._letters, said) / (max(self._count, 2) ** 2 / 2 * (said + 1))
                yield Like(other, head, tail, int(odds))

    def _near(self, key: str) -> set[str]:
        """Neighbours by head, by tail, and whoever shares a little of both."""
        found = set(self._ends.get(_ends(key), ()))
        for keys, wanted, is_tail in ((self._heads, key, False), (self._tails, key[::-1], True)):
            at = bisect_left(keys, wanted)
            for near in keys[max(0, at - 1) : at + 2]:
                found.add(near[::-1] if is_tail else near)
        return found


def _ends(key: str) -> str:
    body = _body(key)
    return body[:_BUCKET] + body[-_BUCKET:]


def _shared(one: str, two: str) -> int:
    shared = 0
    for a, b in zip(one, two, strict=False):
        if a != b:
            break
        shared += 1
    return shared
