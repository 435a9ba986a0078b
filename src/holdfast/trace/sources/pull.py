"""Pulls from a source into a store: goes on where it stopped, refuses poison, walks back, and tells how far it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from holdfast.trace.model import Transfer
from holdfast.trace.sources.lookalikes import Acquaintance
from holdfast.trace.sources.port import Batch, LeftOut, Noticed, Source, Wanted
from holdfast.trace.store import Fresh, Store
from holdfast.trace.store_parts import Pulled

_acquainted: WeakKeyDictionary[Store, Acquaintance] = WeakKeyDictionary()
"""Of stores that are open: all addresses of a store are looked through once, not once a pull."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one pull is."""

    source: str
    done: int
    """In blocks, rows or addresses."""
    total: int
    """0: unknown."""
    transfers: int
    """New ones, in this run."""


async def pull(
    source: Source, wanted: Wanted, store: Store, tell: Callable[[Progress], None] = lambda _: None
) -> Pulled:
    """Pull all that is wanted. A run that was cut anywhere goes on at the last batch that was kept.

    Returns what this source has brought to the store so far, in all runs. Raises what the source and the store raise.
    """
    key = f"{source.name} {wanted.name()}"
    new = 0
    async for batch in source.pull(wanted, store.cursor(key)):
        noticed: Counter[str] = Counter(batch.noticed)
        if batch.forget is not None:
            gone = batch.forget
            store.forget(gone.network, gone.height_from, gone.height_to, source=key, cursor=batch.cursor)
            noticed[Noticed.REORGANISED] += gone.height_to - gone.height_from + 1
        transfers, refused = _without_poison(batch, store)
        left_out = Counter(batch.left_out) + Counter(refused)
        new += store.append(
            Fresh(
                transfers, source=key, cursor=batch.cursor, left_out=left_out, noticed=noticed,
                stopped=batch.stopped, assets=batch.assets,
            )
        )  # fmt: skip
        tell(Progress(source.name, batch.done, batch.total, new))
    return store.pulled.get(key, Pulled())


def _without_poison(batch: Batch, store: Store) -> tuple[list[Transfer], Mapping[str, int]]:
    """What is left of a batch. Outputs of the Bitcoin family are all kept: what comes in must go out."""

    def known(network: str, addresses: Collection[str]) -> Iterable[Transfer]:
        return (*store.leaving(network, addresses), *store.arriving(network, addresses))

    if store not in _acquainted:
        _acquainted[store] = Acquaintance(store.addresses())
    accounts = [each for each in batch.transfers if not each.outpoint]
    found = {id(accounts[number]) for number in _acquainted[store].poison(accounts, known)}
    kept = [each for each in batch.transfers if id(each) not in found] if found else list(batch.transfers)
    return kept, {LeftOut.POISON: len(found)} if found else {}
