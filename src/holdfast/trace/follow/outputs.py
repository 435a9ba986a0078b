"""One transaction of the Bitcoin family: what is spent together stays together; the fee comes last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from holdfast.trace.follow.drafts import Arrival, ident
from holdfast.trace.follow.ledger import Ledger, Packet, stolen
from holdfast.trace.follow.library import TransactionId
from holdfast.trace.follow.state import Held, Run, moment
from holdfast.trace.model import FEES, EndKind, Movement, Reason, Transfer


@dataclass(slots=True)
class _Pool:
    """What a transaction took in."""

    ledger: Ledger = field(default_factory=Ledger)
    hop: int = 0
    payers: set[str] = field(default_factory=set)
    """Addresses whose outputs it spends: what goes back to them is change."""


def settle(run: Run, transaction: TransactionId, rows: Sequence[Transfer]) -> None:
    """Move what it moves. Raises `OutOfOrder`."""
    thefts = run.thefts.get(transaction, set())
    arrivals = run.arrivals.get(transaction, {})
    pool = _Pool()
    for row in rows:
        if row.movement is Movement.INPUT:
            _spent(run, row, pool, is_theft=ident(row) in thefts)
    run.library.expect({(row.network, row.target) for row in rows if row.movement is Movement.OUTPUT}, ())
    for row in (each for each in rows if each.movement is not Movement.INPUT and each.units):
        if ident(row) in thefts:
            _stolen_again(run, row, row.target, pool.ledger.rob(row.units))
            _brought(run, transaction, row, Arrival(stolen(row.units), 0, Reason.THEFT, 100, (), ""), pool)
            continue
        packet = pool.ledger.draw(row.units)
        arrival = arrivals.get(ident(row))
        if row.movement is Movement.FEE or row.target == FEES:
            run.fees(row, packet)
        elif arrival is not None:
            _brought(run, transaction, row, arrival, pool)
        elif packet.is_tainted:
            _brought(run, transaction, row, Arrival(packet, pool.hop, Reason.DIRECT, 100, (), ""), pool)


def _stolen_again(run: Run, row: Transfer, address: str, again: Mapping[str, int]) -> None:
    if any(again.values()):
        key = (row.network, address, row.asset, EndKind.BELOW)
        run.notes.end(key, again, "stolen a second time: counted with the later theft")


def _spent(run: Run, row: Transfer, pool: _Pool, *, is_theft: bool) -> None:
    held = run.held.pop((row.network, row.outpoint), None)
    pool.payers.add(row.source)
    if is_theft:
        if held is not None:
            _stolen_again(run, row, row.source, held.packet.carried())
        packet, hop = stolen(row.units), 0
    elif held is None:
        pool.ledger.arrive(row.units)
        return
    else:
        packet, hop = held.packet, held.hop + 1
    if run.overrules.leaves(row):
        run.left(row, packet, hop)
        pool.ledger.arrive(row.units)
        return
    pool.hop = min(pool.hop, hop) if pool.ledger.is_tainted else hop
    run.step(row, packet, hop, Reason.THEFT if is_theft else Reason.DIRECT)
    pool.ledger.take(packet)


def _brought(run: Run, transaction: TransactionId, row: Transfer, arrival: Arrival, pool: _Pool) -> None:
    """An output gets some of it."""
    packet, hop = arrival.packet, arrival.hop
    follows = run.verdict(row, packet)
    if follows is None:
        run.left(row, packet, hop)
        return
    if not follows and arrival.reason is Reason.DIRECT:
        run.cut(row, packet)
        return
    draft = run.step(row, packet, hop, arrival.reason, arrival.sure)
    draft.after, draft.of, draft.why = arrival.after, arrival.of, draft.why or arrival.why
    account = (row.network, row.target)
    is_own = row.target in pool.payers
    stop = None if is_own and run.messages else run.stop_at(row, account)
    if stop is None:
        run.hops[account] = min(hop, run.hops.get(account, hop))
        _held(run, row, packet, hop)
    else:
        run.rest(row, packet, hop, draft.id, stop)


def _held(run: Run, row: Transfer, packet: Packet, hop: int) -> None:
    """It lies there until it is spent."""
    held = run.held[row.network, row.outpoint] = Held(packet, hop, row)
    for spend in run.library.rows((row.network, row.target)):
        if spend.movement is Movement.INPUT and spend.outpoint == row.outpoint:
            into = (row.network, spend.transaction)
            held.is_later = not run.require(into, moment(spend), moment(row))
            if not held.is_later:
                run.library.expect((), (into,))
            return
