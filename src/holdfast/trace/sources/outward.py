"""Pulls outward from a theft where a source tells of addresses only: what is reached next is asked for next."""

from __future__ import annotations

from collections.abc import Callable, Collection

from holdfast.trace.sources.port import Source, Wanted
from holdfast.trace.sources.pull import Progress, pull
from holdfast.trace.store import Store

ADDRESSES_MOST = 2_000
"""At four requests a second and three an address: under half an hour."""


async def pull_outward(
    source: Source, first: Wanted, store: Store, reached: Callable[[], Collection[str]],
    tell: Callable[[Progress], None] = lambda _: None,
) -> list[str]:  # fmt: skip
    """Pull these addresses, then those that `reached` names now that they are stored, until it names no new ones.

    `reached` follows what is stored: usually a trace's ends that are nobody's service. Returns where it had to stop,
    for `Trace.stopped`. A run that was cut asks again only for what is newer. Raises what the source raises.
    """
    asked: set[str] = set()
    waiting = set(first.addresses)
    while waiting:
        for address in sorted(waiting):
            if len(asked) >= ADDRESSES_MOST:
                left = len(waiting - asked)
                return [
                    f"{source.name} was asked for {ADDRESSES_MOST} addresses; {left} more were reached and not asked"
                ]
            asked.add(address)
            one = Wanted(first.network, first.height_from, first.height_to, frozenset({address}))
            await pull(source, one, store, tell)
        waiting = set(reached()) - asked
    return []
