"""What following, naming and linking ask of stored transfers and of labels; and the smallest of such stores, a list."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from holdfast.trace.model import Label, Transfer


@dataclass(frozen=True, slots=True)
class Degree:
    """How much passes an address, of any asset. Services have many counterparts, people few."""

    arriving: int = 0
    """Transfers to it."""
    leaving: int = 0
    sources: int = 0
    """Different addresses that paid it."""
    targets: int = 0


class Transfers(Protocol):
    """Stored transfers of a case, of any number of networks. Answers are in the order of time, without duplicates."""

    def leaving(self, network: str, addresses: Collection[str]) -> Sequence[Transfer]:
        """Transfers whose source is one of these."""
        ...

    def arriving(self, network: str, addresses: Collection[str]) -> Sequence[Transfer]:
        """Transfers whose target is one of these."""
        ...

    def of_transactions(self, network: str, transactions: Collection[str]) -> Sequence[Transfer]:
        """Everything that these transactions moved."""
        ...

    def degrees(self, network: str, addresses: Collection[str]) -> dict[str, Degree]:
        """Of each of these, over the whole store; zeros where it is unknown."""
        ...


class Names(Protocol):
    """What is said of addresses."""

    def labels(self, network: str, address: str, at: int) -> Sequence[Label]:
        """All labels that hold at a moment (seconds since 1970), the surest first."""
        ...

    def service(self, network: str, address: str, at: int) -> Label | None:
        """The surest label that names a service there; None: it is nobody's that we know."""
        ...


def place(transfer: Transfer) -> tuple[int, int, int]:
    """Where it stands in time, on its network and between networks."""
    return transfer.time, transfer.height, transfer.order


class ListedTransfers:
    """Transfers in memory, for small cases and tests."""

    def __init__(self, transfers: Iterable[Transfer]) -> None:
        """Puts them in order; the same transfer twice counts once."""
        self._leaving: dict[tuple[str, str], list[Transfer]] = defaultdict(list)
        self._arriving: dict[tuple[str, str], list[Transfer]] = defaultdict(list)
        self._of: dict[tuple[str, str], list[Transfer]] = defaultdict(list)
        for each in sorted(set(transfers), key=place):
            self._leaving[each.network, each.source].append(each)
            self._arriving[each.network, each.target].append(each)
            self._of[each.network, each.transaction].append(each)

    def __len__(self) -> int:
        return sum(len(each) for each in self._of.values())

    def leaving(self, network: str, addresses: Collection[str]) -> Sequence[Transfer]:
        """As `Transfers.leaving`."""
        return _gathered(self._leaving, network, addresses)

    def arriving(self, network: str, addresses: Collection[str]) -> Sequence[Transfer]:
        """As `Transfers.arriving`."""
        return _gathered(self._arriving, network, addresses)

    def of_transactions(self, network: str, transactions: Collection[str]) -> Sequence[Transfer]:
        """As `Transfers.of_transactions`."""
        return _gathered(self._of, network, transactions)

    def degrees(self, network: str, addresses: Collection[str]) -> dict[str, Degree]:
        """As `Transfers.degrees`."""
        found = {}
        for address in addresses:
            arriving, leaving = self._arriving[network, address], self._leaving[network, address]
            found[address] = Degree(
                len(arriving), len(leaving), len({each.source for each in arriving}), len({e.target for e in leaving})
            )
        return found


def _gathered(index: dict[tuple[str, str], list[Transfer]], network: str, keys: Collection[str]) -> list[Transfer]:
    return sorted((each for key in set(keys) for each in index.get((network, key), ())), key=place)
