"""Following a theft: transaction after transaction in the order of time, over all networks and assets at once. Pure.

The same transfers, names, options and decisions give the same trace, whatever the machine and the day.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Sequence
from functools import cache

from holdfast.trace.follow import accounts, exchange, outputs, passages
from holdfast.trace.follow.drafts import Overrules, ident, step_id
from holdfast.trace.follow.library import Account, Library, TransactionId
from holdfast.trace.follow.options import Options, Overrule
from holdfast.trace.follow.state import Moment, OutOfOrder, Run, moment
from holdfast.trace.follow.stops import Stops
from holdfast.trace.follow.telling import told
from holdfast.trace.model import Movement, Trace, Transfer
from holdfast.trace.reading import Names, Transfers
from holdfast.trace.sources.places import coin_of
from holdfast.trace.sources.tokens import TokenList, common_tokens

ATTEMPTS = 100
"""Runs until the order is right. Each puts one more transaction after what pays into it; real chains need few."""


def follow(
    transfers: Transfers, names: Names, thefts: Sequence[Transfer], options: Options | None = None,
    overrules: Sequence[Overrule] = (),
) -> Trace:  # fmt: skip
    """Where these stolen transfers went.

    `thefts`: rows of the store; all of each was stolen. `overrules`: what people decided about single transfers.
    Raises what `transfers` and `names` raise.
    """
    delays: dict[TransactionId, Moment] = {}
    library = Library(transfers, names, (options or Options()).service_strangers)
    owned: dict[Account, set[str]] = defaultdict(set)
    for attempt in range(ATTEMPTS):
        run = _begun(library, names, thefts, options or Options(), overrules, delays)
        run.owned = owned
        try:
            _all(run)
            more = [(account, asset) for account, asset in _turned_out(run) if asset not in owned[account]]
            for account, asset in more:
                owned[account].add(asset)
            if more and attempt < ATTEMPTS - 1:
                continue
        except OutOfOrder as late:
            delays[late.late] = max(late.after, delays.get(late.late, late.after))
            if attempt < ATTEMPTS - 1:
                continue
            run.notes.stop(f"{late.late[1]} spends what came later than it: its transfers are not in order.")
        return told(run, list(thefts))
    raise AssertionError


def _begun(  # noqa: PLR0913  what `follow` was given
    library: Library, names: Names, thefts: Sequence[Transfer], options: Options, overrules: Sequence[Overrule],
    delays: dict[TransactionId, Moment],
) -> Run:  # fmt: skip
    brought: dict[str, int] = defaultdict(int)
    stolen: dict[TransactionId, set[tuple[int, int, str, str, str, int, str]]] = defaultdict(set)
    own = set()
    for theft in thefts:
        if theft.units and ident(theft) not in stolen[theft.network, theft.transaction]:
            brought[theft.asset] += theft.units
            stolen[theft.network, theft.transaction].add(ident(theft))
            own |= {(theft.network, theft.target), (theft.network, theft.source)}
    run = Run(
        library, names, options, Overrules(tuple(overrules)), delays, dict(stolen), dict(brought),
        Stops(library, names, options, own),
    )  # fmt: skip
    library.expect({(each.network, each.target) for each in thefts}, stolen.keys())
    for theft in thefts:
        if not run.schedule((theft.network, theft.transaction), moment(theft)):
            run.notes.stop(f"The theft {theft.transaction} is after the time limit.")
    return run


def _all(run: Run) -> None:
    while run.agenda:
        now, transaction = heapq.heappop(run.agenda)
        run.done.add(transaction)
        rows = run.known(transaction)
        is_given = transaction in run.thefts or transaction in run.arrivals
        held = any(row.movement is Movement.INPUT for row in rows)
        if is_given or held or not rows or any(run.is_moving(row) or _is_decided(run, row) for row in rows):
            rows = run.library.whole(transaction) or rows
            rows = [*rows, *exchange.wrapping_not_told(rows, *_wrapping(transaction[0]))]
            run.heard(rows)
        else:
            run.messages = []
        if any(row.movement in (Movement.INPUT, Movement.OUTPUT) for row in rows):
            outputs.settle(run, transaction, rows)
        elif rows:
            accounts.settle(run, transaction, rows)
        passages.finish(run, now)
        if run.library.read > run.options.transfers_most:
            left = len(run.agenda)
            run.notes.stop(f"{run.library.read} transfers were read, the most allowed: {left} transactions wait.")
            break


@cache
def _wrapping(network: str) -> tuple[frozenset[str], str]:
    """Contracts that wrap a network's coin, from the list of tokens that comes with Holdfast; and the coin."""
    contracts = TokenList(common_tokens()).wrapped(network) if network.startswith("eip155:") else frozenset()
    return contracts, coin_of(network).asset if contracts else ""


def _turned_out(run: Run) -> set[tuple[Account, str]]:
    """Holdings that are mostly stolen all in all, and sent more than was known to have come before that was clear."""
    if not run.options.past_unshown:
        return set()
    return {
        (account, asset)
        for account, ledgers in run.ledgers.items()
        for asset, ledger in ledgers.items()
        if ledger.is_mostly_stolen and ledger.missed >= (run.limit(asset) or 1)
    }


def _is_decided(run: Run, row: Transfer) -> bool:
    return run.overrules.about(row, step_id(row)) is not None
