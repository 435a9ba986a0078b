"""Where following ends by itself: at services, because behind them is everybody's money."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

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


class Stops:
    """Decides of each address once, at the moment when tainted money first comes to it."""

    def __init__(
        self,
        library: Library,
        names: Names,
        options: Options,
        own: Collection[Account],
        limit: Callable[[str], int | None],
    ) -> None:
        """`own`: where stolen money came to first; many victims pay it. `limit`: by asset, of sums that count."""
        self._library, self._names, self._options = library, names, options
        self._own, self._limit = own, limit

    def at(self, account: Account, time: int, is_tainted: Callable[[Account], bool]) -> Stop | None:
        """None: it is followed on."""
        network, address = account
        if address == ZERO:
            return Stop(None, "burned, or given back to its issuer")
        if not self._options.stop_at_services:
            return None
        label = self._names.service(network, address, time)
        if label is not None:
            return Stop(label, f"{label.name} ({label.kind}), says {label.source}")
        return None if account in self._own else self._busy(account, is_tainted)

    def _busy(self, account: Account, is_tainted: Callable[[Account], bool]) -> Stop | None:
        degree = self._library.degree(account)
        if degree.arriving + degree.leaving > BUSY:
            return Stop(None, f"plainly a service: {degree.arriving + degree.leaving} transfers")
        if degree.sources < self._options.service_strangers:
            return None
        network, address = account
        strangers = set()
        for row in self._library.rows(account):
            least = self._limit(row.asset)
            if row.target == address and least is not None and row.units >= least:
                strangers.add(row.source)
        strangers = {each for each in strangers if not is_tainted((network, each))}
        if len(strangers) < self._options.service_strangers:
            return None
        return Stop(None, f"plainly a service: {len(strangers)} strangers paid it sums above the limit")
