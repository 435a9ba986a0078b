"""Where following ends by itself: at services, because behind them is everybody's money."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from holdfast.trace.follow.exchange import ZERO
from holdfast.trace.follow.library import BUSY, Account, Library
from holdfast.trace.follow.options import Options
from holdfast.trace.model import Label
from holdfast.trace.reading import Names


@dataclass(frozen=True, slots=True)
class Stop:
    """Why it goes no further there."""

    label: Label | None
    detail: str


class Judge(Protocol):
    """What of a run decides with it."""

    def limit(self, asset: str) -> int | None:
        """Sums below do not count; None: nothing of this asset was brought."""
        ...

    def is_tainted(self, account: Account) -> bool:
        """Whether anything of the theft has come to an address."""
        ...


class Stops:
    """Decides of each address once, at the moment when tainted money first comes to it."""

    def __init__(self, library: Library, names: Names, options: Options, own: Collection[Account]) -> None:
        """`own`: where stolen money came to first; many victims pay it."""
        self._library, self._names, self._options, self._own = library, names, options, own
        self._found: dict[Account, Stop] = {}

    def at(self, account: Account, time: int, run: Judge) -> Stop | None:
        """None: it is followed on."""
        network, address = account
        if address == ZERO:
            return Stop(None, "burned, or given back to its issuer")
        if not self._options.stop_at_services:
            return None
        self._library.degree(account)  # asks for many at once: names may be found out from transfers
        label = self._names.service(network, address, time)
        if label is not None and label.confidence >= self._options.service_confidence:
            return Stop(label, f"{label.name} ({label.kind}), says {label.source}")
        if account in self._own:
            return None
        if account not in self._found:
            busy = self._busy(account, run)
            if busy is None:
                return None
            self._found[account] = busy
        return self._found[account]

    def _busy(self, account: Account, run: Judge) -> Stop | None:
        degree = self._library.degree(account)
        if degree.arriving + degree.leaving > BUSY:
            return Stop(None, f"plainly a service: {degree.arriving + degree.leaving} transfers")
        if degree.sources < self._options.service_strangers:
            return None
        network, address = account
        strangers = set()
        for row in self._library.rows(account):
            least = run.limit(row.asset)
            if row.target == address and least is not None and row.units >= least:
                strangers.add(row.source)
        strangers = {each for each in strangers if not run.is_tainted((network, each))}
        if len(strangers) < self._options.service_strangers:
            return None
        return Stop(None, f"plainly a service: {len(strangers)} strangers paid it sums above the limit")
