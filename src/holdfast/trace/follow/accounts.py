"""One transaction between accounts (EVM): plain transfers, money passed on within it, and exchanges."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from holdfast.trace.follow import exchange
from holdfast.trace.follow.drafts import Arrival, Draft, ident, step_id
from holdfast.trace.follow.exchange import ZERO, Holding, Plan, Routed, contract_of
from holdfast.trace.follow.ledger import Ledger, Packet, stolen, together
from holdfast.trace.follow.library import TransactionId
from holdfast.trace.follow.options import Decision
from holdfast.trace.follow.state import Run
from holdfast.trace.follow.words import amount, share
from holdfast.trace.model import FEES, Crossing, EndKind, Movement, Reason, Transfer

ROWS_SORTED = 300
"""Larger transactions are payments to many, in the order in which they are told."""
SWAP_SURE, MINT_SURE = 95, 70
"""Net flow tells who exchanged what; that a mint answers a payment elsewhere is a guess."""


@dataclass(slots=True)
class _Within:
    """What passes through addresses inside one transaction: it never mixes with what lay there before."""

    first: Transfer
    ledgers: dict[Holding, Ledger] = field(default_factory=dict)
    hops: dict[Holding, int] = field(default_factory=dict)
    owed: dict[Holding, int] = field(default_factory=lambda: defaultdict(int))
    last: dict[Holding, tuple[Transfer, str]] = field(default_factory=dict)


def settle(run: Run, transaction: TransactionId, rows: Sequence[Transfer]) -> None:
    """Move what it moves. `rows`: everything of it, where it can carry anything."""
    network = transaction[0]
    thefts = run.thefts.get(transaction, set())
    tainted = {(row.source, row.asset) for row in rows if run.is_moving(row)}
    tainted |= {(row.source, row.asset) for row in rows if ident(row) in thefts}
    if tainted and len({row.asset for row in rows if row.units and row.movement is not Movement.FEE}) > 1:
        time = rows[0].time

        def is_service(address: str) -> bool:
            account = (network, address)
            return account not in run.ledgers and run.stops.at(account, time, run) is not None

        plan = exchange.plan(rows, tainted, is_service)
        if plan is not None and _exchanged(run, transaction, rows, plan):
            return
    _passed(run, transaction, rows)


def _downstream(rows: Sequence[Transfer]) -> Sequence[Transfer]:
    """Rows so that money comes to an address before it goes on: files do not always tell the order in a transaction.

    Circles stay as they are told.
    """
    gave: set[Holding] = set()
    is_inverted = False
    for row in rows:
        is_inverted |= row.source != row.target and (row.target, row.asset) in gave
        gave.add((row.source, row.asset))
    if not is_inverted or len(rows) > ROWS_SORTED:
        return rows
    waiting, found = list(rows), []
    while waiting:
        coming = {(row.target, row.asset) for row in waiting if row.source != row.target}
        row = next((each for each in waiting if (each.source, each.asset) not in coming), waiting[0])
        waiting.remove(row)
        found.append(row)
    return sorted(found, key=lambda row: row.movement is Movement.FEE)


def _passed(run: Run, transaction: TransactionId, rows: Sequence[Transfer]) -> None:
    rows = _downstream(rows)
    givers = {(row.source, row.asset) for row in rows if row.units}
    within = _Within(
        rows[0], {key: Ledger() for key in givers & {(row.target, row.asset) for row in rows if row.units}}
    )
    for row in rows:
        if row.units:
            _move(run, transaction, row, within)
    for (address, asset), ledger in within.ledgers.items():
        _merged(run, transaction, within, (address, asset), ledger)


def _move(run: Run, transaction: TransactionId, row: Transfer, within: _Within) -> None:
    arrival = run.arrivals[transaction].get(ident(row)) if transaction in run.arrivals else None
    if ident(row) in run.thefts.get(transaction, ()):
        _robbed(run, row)
        _brought(run, transaction, row, Arrival(stolen(row.units), 0, Reason.THEFT, 100, (), ""), within)
    elif arrival is not None:
        mixed = _left_by(run, row, within.ledgers.get((row.source, row.asset)), within)
        if mixed.is_tainted:
            run.cut(row, mixed)
        _brought(run, transaction, row, arrival, within)
    else:
        _sent(run, transaction, row, within)


def _brought(run: Run, transaction: TransactionId, row: Transfer, arrival: Arrival, within: _Within) -> None:
    """Stolen here, or come out here."""
    if run.overrules.leaves(row):
        run.left(row, arrival.packet, arrival.hop)
        _clean(run, row, within)
        return
    draft = run.step(row, arrival.packet, arrival.hop, arrival.reason, arrival.sure)
    draft.after, draft.of, draft.why = arrival.after, arrival.of, draft.why or arrival.why
    _arrive(run, transaction, row, arrival.packet, arrival.hop, draft, within)


def _sent(run: Run, transaction: TransactionId, row: Transfer, within: _Within) -> None:
    """A plain transfer."""
    holding = (row.source, row.asset)
    inside = within.ledgers.get(holding)
    packet = _left_by(run, row, inside, within)
    if not packet.is_tainted:
        _clean(run, row, within)
        return
    if row.movement is Movement.FEE or row.target == FEES:
        run.fees(row, packet)
        return
    hop = within.hops.get(holding, run.hops.get((row.network, row.source), -1)) + 1
    follows = run.verdict(row, packet)
    if follows:
        draft = run.step(row, packet, hop, Reason.DIRECT)
        if holding in within.hops:
            draft.why = draft.why or "Passed on within the same transaction."
        _arrive(run, transaction, row, packet, hop, draft, within)
        return
    if follows is None:
        run.left(row, packet, hop)
    else:
        run.cut(row, packet)
    _clean(run, row, within)


def _robbed(run: Run, row: Transfer) -> None:
    ledgers = run.ledgers.get((row.network, row.source))
    if ledgers is not None and row.asset in ledgers:
        again = ledgers[row.asset].rob(row.units)
        if any(again.values()):
            key = (row.network, row.source, row.asset, EndKind.BELOW)
            run.notes.end(key, again, "stolen a second time: counted with the later theft")


def _left_by(run: Run, row: Transfer, inside: Ledger | None, within: _Within) -> Packet:
    """What came in this transaction leaves first; then what lay there."""
    parts, left = [], row.units
    if inside is not None and inside.lies:
        parts.append(inside.draw(min(left, inside.lies)))
        left -= parts[0].units
    if left:
        ledgers = run.ledgers.get((row.network, row.source))
        if ledgers is not None:
            parts.append(ledgers.setdefault(row.asset, Ledger()).draw(left))
        else:
            within.owed[row.source, row.asset] += left
            parts.append(Packet(left))
    return parts[0] if len(parts) == 1 else together(parts)


def _clean(run: Run, row: Transfer, within: _Within) -> None:
    inside = within.ledgers.get((row.target, row.asset))
    if inside is not None:
        inside.arrive(row.units)
        return
    ledgers = run.ledgers.get((row.network, row.target))
    if ledgers is not None:
        ledgers.setdefault(row.asset, Ledger()).arrive(row.units)


def _arrive(  # noqa: PLR0913  one arrival, whole
    run: Run, transaction: TransactionId, row: Transfer, packet: Packet, hop: int, draft: Draft, within: _Within
) -> None:
    holding = (row.target, row.asset)
    inside = within.ledgers.get(holding)
    if inside is not None:
        inside.take(packet)
        within.hops[holding] = min(hop, within.hops.get(holding, hop))
        within.last[holding] = (row, draft.id)
        return
    _land(run, transaction, row, packet, hop, draft.id, row)


def _land(  # noqa: PLR0913  one arrival, whole
    run: Run, transaction: TransactionId, row: Transfer, packet: Packet, hop: int, step: str, before: Transfer,
    owed: int = 0,
) -> None:  # fmt: skip
    """It has come to an address and stays there, for now."""
    account = (row.network, row.target)
    stop = run.stop_at(row, account)
    if stop is not None:
        run.rest(row, packet, hop, step, stop)
        return
    if account not in run.ledgers:
        run.activate(account, before, transaction, hop)
        run.ledger(account, row.asset).draw(owed)
    run.hops[account] = min(hop, run.hops[account])
    run.ledger(account, row.asset).take(packet)


def _merged(run: Run, transaction: TransactionId, within: _Within, holding: Holding, ledger: Ledger) -> None:
    """What was not passed on stays at the address."""
    address, asset = holding
    network = transaction[0]
    packet = ledger.draw(ledger.lies) if ledger.lies else Packet(0)
    if holding in within.last and packet.is_tainted:
        row, step = within.last[holding]
        owed = within.owed.get(holding, 0)
        _land(run, transaction, row, packet, within.hops[holding], step, within.first, owed)
    elif (network, address) in run.ledgers and packet.units:
        run.ledger((network, address), asset).arrive(packet.units)


# --- exchanges ----------------------------------------------------------------------------------------------------


def _exchanged(run: Run, transaction: TransactionId, rows: Sequence[Transfer], plan: Plan) -> bool:
    """False: it is told transfer by transfer. A person decided about a leg, or some of it comes from elsewhere, or who
    was robbed has no less of it."""
    network = transaction[0]
    thefts = run.thefts.get(transaction, set())
    decided = {(row.source, row.asset) for row in rows if run.overrules.leaves(row)}
    robbed = {(row.source, row.asset) for row in rows if ident(row) in thefts}
    if decided & plan.origins.keys() or robbed - plan.origins.keys() or transaction in run.arrivals:
        return False
    packets = {holding: _given(run, transaction, rows, holding, units) for holding, units in plan.origins.items()}
    routed = exchange.route(plan, packets)
    _others(run, network, plan, routed)
    into = _legs(run, rows, plan, packets, routed)
    _delivered(run, transaction, rows, plan, routed, into)
    for asset, packet in routed.vanished.items():
        who = next(who for who, paid in plan.origins if paid == asset or paid)
        key = (network, who, asset, EndKind.UNREADABLE)
        run.notes.end(key, packet.carried(), "went in, and the source does not show who got it")
    for row in rows:
        if row.movement is Movement.FEE and (network, row.source) in run.ledgers:
            paid = run.ledger((network, row.source), row.asset).draw(row.units)
            if paid.is_tainted:
                run.fees(row, paid)
    return True


def _given(run: Run, transaction: TransactionId, rows: Sequence[Transfer], holding: Holding, units: int) -> Packet:
    """What an origin gives, all in all."""
    who, asset = holding
    thefts = run.thefts.get(transaction, set())
    sent = [row for row in rows if (row.source, row.asset) == holding]
    named = sum(row.units for row in sent if ident(row) in thefts)
    taken = min(units, named)
    parts = [stolen(taken)] if taken else []
    if named > taken:
        back = stolen(named - taken).carried()
        run.notes.end((transaction[0], who, asset, EndKind.UNSPENT), back, "came back within the same transaction")
    if (transaction[0], who) in run.ledgers:
        if taken:
            _robbed(run, next(row for row in sent if ident(row) in thefts))
        parts.append(run.ledger((transaction[0], who), asset).draw(units - taken))
    packet = together(parts) if parts else Packet(units)
    if packet.is_tainted and not taken and not run.is_enough(packet, asset):
        run.cut(sent[0], packet)
        return Packet(units)
    return packet


def _others(run: Run, network: str, plan: Plan, routed: Routed) -> None:
    """Active addresses whose clean holdings change."""
    for asset, nets in plan.nets.items():
        for who, units in nets.items():
            account = (network, who)
            if account not in run.ledgers or (who, asset) in plan.origins or (who, asset) in routed.deliveries:
                continue
            if units > 0:
                run.ledger(account, asset).arrive(units)
            elif units < 0:
                packet = run.ledger(account, asset).draw(-units)
                if packet.is_tainted:
                    key = (network, who, asset, EndKind.BELOW)
                    run.notes.end(key, packet.carried(), "sent on in parts below the limit")


def _legs(
    run: Run, rows: Sequence[Transfer], plan: Plan, packets: dict[Holding, Packet], routed: Routed
) -> dict[str, tuple[str, ...]]:
    """Steps into the exchange, by asset."""
    into: dict[str, tuple[str, ...]] = {}
    reason = Reason.WRAP if exchange.is_wrap(plan, routed) else Reason.SWAP
    for (who, asset), packet in packets.items():
        if not packet.is_tainted:
            continue
        legs = [r for r in rows if r.source == who and r.asset == asset and r.units and r.movement is not Movement.FEE]
        hop = run.hops.get((rows[0].network, who), -1) + 1
        for row, carried in zip(legs, exchange.allotted(packet, legs), strict=True):
            if (row.target, asset) in routed.deliveries or not any(carried.values()):
                continue
            sure = 100 if reason is Reason.WRAP else SWAP_SURE if plan.is_sure else MINT_SURE
            draft = run.step(row, packet, hop, reason, sure)
            draft.carried = carried
            if ident(row) in run.thefts.get((row.network, row.transaction), ()):
                draft.reason, draft.hop = Reason.THEFT, 0
            into[asset] = (*into.get(asset, ()), draft.id)
    return into


def _delivered(  # noqa: PLR0913  the whole exchange
    run: Run, transaction: TransactionId, rows: Sequence[Transfer], plan: Plan, routed: Routed,
    into: dict[str, tuple[str, ...]],
) -> None:  # fmt: skip
    network = transaction[0]
    is_wrap = exchange.is_wrap(plan, routed)
    for asset, packet in routed.got.items():
        run.brought[asset] = run.brought.get(asset, 0) + packet.haircut
    told = _Told(
        reason=Reason.WRAP if is_wrap else Reason.SWAP,
        sure=100 if is_wrap else SWAP_SURE if plan.is_sure else MINT_SURE,
        after=tuple(step for steps in into.values() for step in steps),
        hop=min((run.hops.get((network, who), -1) for who, _ in plan.origins), default=-1) + 1,
        why={asset: _said(plan, routed, asset, is_wrap=is_wrap) for asset in routed.got},
    )
    out: list[str] = []
    for (who, asset), packet in routed.deliveries.items():
        comes = [r for r in rows if r.asset == asset and r.units and _gets(r, who, asset)]
        if not packet.is_tainted or not comes:
            _unseen(run, network, who, asset, packet)
        elif not run.is_enough(packet, asset) or any(run.overrules.leaves(row) for row in comes):
            run.cut(comes[-1], packet)
            if (network, who) in run.ledgers:
                run.ledger((network, who), asset).arrive(packet.units)
        else:
            steps = _got(run, comes, packet, told)
            out += steps if asset in routed.got else ()
            _land(run, transaction, comes[-1], packet, told.hop, steps[-1], rows[0])
    if routed.gave:
        gave = {asset: packet.carried() for asset, packet in routed.gave.items()}
        got = {asset: packet.carried() for asset, packet in routed.got.items()}
        why = "; ".join(told.why.values())
        run.notes.crossings.append(Crossing(told.reason, told.sure, gave, got, told.after, tuple(out), why))


@dataclass(frozen=True, slots=True)
class _Told:
    """What all steps out of one exchange have in common."""

    reason: Reason
    sure: int
    after: tuple[str, ...]
    hop: int
    why: dict[str, str]


def _got(run: Run, comes: Sequence[Transfer], packet: Packet, told: _Told) -> list[str]:
    """Steps of what one address got of one asset."""
    steps = []
    for row, carried in zip(comes, exchange.allotted(packet, comes), strict=True):
        is_traded = row.asset in told.why
        draft = run.step(row, packet, told.hop, told.reason if is_traded else Reason.DIRECT,
                         told.sure if is_traded else 100)  # fmt: skip
        draft.carried = carried
        if is_traded:
            draft.after, draft.why = told.after, told.why[row.asset]
        forced = run.overrules.about(row, step_id(row))
        if forced is not None and forced.decision is Decision.FOLLOW:
            run.lifted.add((row.network, row.target))
        steps.append(draft.id)
    return steps


def _gets(row: Transfer, who: str, asset: str) -> bool:
    return row.target == who or (row.target == ZERO and contract_of(asset) == who)


def _unseen(run: Run, network: str, who: str, asset: str, packet: Packet) -> None:
    if packet.is_tainted:
        run.notes.end((network, who, asset, EndKind.SERVICE), packet.carried(), "its own share of an exchange")
    elif (network, who) in run.ledgers:
        run.ledger((network, who), asset).arrive(packet.units)


def _said(plan: Plan, routed: Routed, asset: str, *, is_wrap: bool) -> str:
    gave = ", ".join(
        f"{amount(packet.units, each)}, {share(packet.haircut, packet.units)} of it expected to be stolen,"
        for each, packet in routed.gave.items() if each != asset
    )  # fmt: skip
    got = amount(routed.got[asset].units, asset)
    if is_wrap:
        return f"{gave} became {got} at the token's own contract, one for one"
    guess = "" if plan.is_sure else " (minted in the same transaction by another contract than the one paid: a guess)"
    return f"{gave} went in and {got} came out in the same transaction, by everybody's net change{guess}"
