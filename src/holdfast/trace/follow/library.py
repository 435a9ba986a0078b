"""What a run has read: whole addresses and whole transactions, asked for in batches ahead of need.

A store answers a thousand addresses about as fast as one. So what is likely to be asked for next (where tainted money
is about to go) is collected, and read together at the first question that cannot be answered.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import Protocol, TypeAlias, runtime_checkable

from holdfast.trace.model import Movement, Transfer
from holdfast.trace.reading import Degree, Names, Transfers, place

Account: TypeAlias = tuple[str, str]
"""Network and address."""
TransactionId: TypeAlias = tuple[str, str]
"""Network and transaction."""

BATCH = 4_000
"""As many addresses are read at once: what fits into memory whatever they are."""
BUSY = 200_000
"""Nobody reads more transfers than this of one address: it is a service, or of no use."""


@runtime_checkable
class Learner(Protocol):
    """Names that are found out from transfers, and faster for many addresses at once."""

    def learn(self, network: str, addresses: Collection[str]) -> object:
        """Look at all of these."""
        ...


class Library:
    """Transfers that were read so far."""

    def __init__(self, transfers: Transfers, names: Names, strangers: int) -> None:
        """`strangers`: addresses with as many payers are not read ahead of need."""
        self._transfers = transfers
        self._names = names
        self._strangers = strangers
        self._rows: dict[Account, list[Transfer]] = {}
        self._whole: dict[TransactionId, list[Transfer]] = {}
        self._degrees: dict[Account, Degree] = {}
        self._ahead: set[Account] = set()
        self._wanted: set[TransactionId] = set()
        self.read = 0
        """Transfers, so far."""

    def expect(self, accounts: Iterable[Account], transactions: Iterable[TransactionId]) -> None:
        """These will probably be asked for."""
        self._ahead.update(each for each in accounts if each not in self._rows)
        self._wanted.update(each for each in transactions if each not in self._whole)

    def degree(self, account: Account) -> Degree:
        """How busy an address is."""
        if account not in self._degrees:
            self._ahead.add(account)
            self._look()
        return self._degrees[account]

    def rows(self, account: Account) -> list[Transfer]:
        """All that left and came to an address, in the order of time."""
        if account not in self._rows:
            self._ahead.add(account)
            self._look()
            quiet = sorted(each for each in self._ahead if self._degrees[each].sources < self._strangers)
            self._read({account, *quiet[: BATCH - 1]})
            self._ahead = {each for each in quiet[BATCH - 1 :] if each not in self._rows}
        return self._rows[account]

    def _look(self) -> None:
        """Ask how busy all these are that will probably be asked for."""
        wanted = defaultdict(list)
        for network, address in sorted(self._ahead):
            if (network, address) not in self._degrees:
                wanted[network].append(address)
        for network, addresses in wanted.items():
            found = self._transfers.degrees(network, addresses)
            for address in addresses:
                self._degrees[network, address] = found.get(address, Degree())
            if isinstance(self._names, Learner):
                self._names.learn(network, addresses)

    def whole(self, transaction: TransactionId) -> list[Transfer]:
        """Everything that a transaction moved, in order; the fee last."""
        if transaction not in self._whole:
            self._wanted.add(transaction)
            by_network = defaultdict(list)
            for network, each in self._wanted:
                by_network[network].append(each)
            for network, ids in by_network.items():
                for each in ids:
                    self._whole[network, each] = []
                for row in self._transfers.of_transactions(network, ids):
                    self._whole[network, row.transaction].append(row)
                    self.read += 1
                for each in ids:
                    self._whole[network, each].sort(key=lambda row: (row.movement is Movement.FEE, row.order))
            self._wanted.clear()
        return self._whole[transaction]

    def _read(self, accounts: set[Account]) -> None:
        by_network = defaultdict(list)
        for network, address in sorted(accounts):
            by_network[network].append(address)
            self._rows[network, address] = []
        for network, addresses in by_network.items():
            changed = [(network, address) for address in addresses]
            for row in self._transfers.leaving(network, addresses):
                self._rows[network, row.source].append(row)
                self.read += 1
            for row in self._transfers.arriving(network, addresses):
                if row.source != row.target:
                    self._rows[network, row.target].append(row)
                    self.read += 1
            for account in changed:
                self._rows[account].sort(key=place)
