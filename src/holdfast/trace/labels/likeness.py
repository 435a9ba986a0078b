"""Addresses that look like others: alike at head and tail, which is all that people compare. Pure.

Address poisoning grinds an address that shares a few letters at both ends with one that its victim knows; whoever
invents an address, or completes one that he saw cut off, shares the head and goes on otherwise. How many letters are
too many depends on how many addresses are known: as many as chance gives to one honest claim in `ODDS`, at most.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

ODDS = 10_000
"""Honest claims, of which one may be refused for a likeness that chance gave it. A person can admit it."""
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
    """Honest claims, to one of which chance gives such a likeness."""


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
    """How many letters say something: three or more alike in a row were chosen for looks, and count as one.

    Contracts with many leading zeros, or ones, are ground on purpose and resemble each other without any deceit.
    """
    return len(_RUN.sub(r"\1", letters))


_RUN = re.compile(r"(.)\1{2,}")


class _Family:
    """Known addresses of one alphabet."""

    def __init__(self, letters: int, keys: list[str]) -> None:
        self._letters, self._count = letters, len(keys)
        self._heads = keys
        self._tails = sorted(key[::-1] for key in keys)
        self._ends: dict[str, list[str]] = defaultdict(list)
        for key in keys:
            self._ends[_ends(key)].append(key)
        self.least = next(n for n in range(1, 100) if self._odds(n) >= ODDS)

    def of(self, key: str) -> Iterator[Like]:
        for other in sorted(self._near(key)):
            if other == key or len(other) != len(key):
                continue
            one, two = _body(key), _body(other)
            head = _shared(one, two)
            tail = _shared(one[::-1], two[::-1])
            said = told(one[:head]) + told(one[len(one) - tail :])
            if said >= self.least:
                yield Like(other, head, tail, self._odds(said))

    def _odds(self, letters: int) -> int:
        """All known addresses, times the ways to split so many letters between both ends, against their chance."""
        return int(self._letters**letters) // (max(self._count, 1) * (letters + 1))

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
