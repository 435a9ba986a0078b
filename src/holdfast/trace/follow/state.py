"""A run in progress: what lies where, what comes next, what was written down. Transactions come in the order of time.

A place becomes active when tainted money first comes to it. Then all its transfers are read, what lay there before is
added up, and every later transaction of it is put on the agenda: so a run touches what the theft touches, no more.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from holdfast.trace.follow.drafts import Arrival, Draft, Ident, Notes, Overrules, ident, step_id
from holdfast.trace.follow.ledger import Ledger, Packet
from holdfast.trace.follow.library import Account, Library, TransactionId
from holdfast.trace.follow.messages import Message, message_of
from holdfast.trace.follow.options import Decision, Options
from holdfast.trace.follow.stops import Stop, Stops
from holdfast.trace.model import FEES, EndKind, Movement, Reason, Transfer
from holdfast.trace.reading import Names, place

Moment: TypeAlias = tuple[int, int, int, str]
"""Time, height, order, network."""
OutpointId: TypeAlias = tuple[str, str]


def moment(row: Transfer) -> Moment:
    """Where it stands in time, among all networks."""
    return row.time, row.height, row.order, row.network


class OutOfOrder(Exception):
    """No error but the wish for another run: a transaction was settled before one that pays into it.

    Block times of the Bitcoin family can go back.
    """

    def __init__(self, late: TransactionId, after: Moment) -> None:
        super().__init__(late)
        self.late, self.after = late, after


@dataclass(slots=True)
class Held:
    """An output that lies there with some of the theft."""

    packet: Packet
    hop: int
    row: Transfer
    is_later: bool = False
    """It was spent after the time limit."""


@dataclass(slots=True)
class Resting:
    """Money that came to a service in the transaction at hand, before it is looked for on another side."""

    row: Transfer
    packet: Packet
    hop: int
    step: str
    stop: Stop


@dataclass(slots=True)
class Run:
    """All that one run knows."""

    library: Library
    names: Names
    options: Options
    overrules: Overrules
    delays: dict[TransactionId, Moment]
    thefts: dict[TransactionId, set[Ident]]
    brought: dict[str, int]
    """By asset: what was stolen of it, or came out of a crossing: limits are parts of it."""
    stops: Stops
    owned: dict[Account, set[str]] = field(default_factory=dict)
    """Holdings that an earlier run found to be mostly stolen, and that had sent more before."""
    notes: Notes = field(default_factory=Notes)
    ledgers: dict[Account, dict[str, Ledger]] = field(default_factory=dict)
    hops: dict[Account, int] = field(default_factory=dict)
    held: dict[OutpointId, Held] = field(default_factory=dict)
    book: dict[Account, dict[TransactionId, list[Transfer]]] = field(default_factory=dict)
    touching: dict[TransactionId, set[Account]] = field(default_factory=lambda: defaultdict(set))
    later: set[Account] = field(default_factory=set)
    """Who sent more after the time limit."""
    arrivals: dict[TransactionId, dict[Ident, Arrival]] = field(default_factory=lambda: defaultdict(dict))
    agenda: list[tuple[Moment, TransactionId]] = field(default_factory=list)
    listed: set[TransactionId] = field(default_factory=set)
    done: set[TransactionId] = field(default_factory=set)
    lifted: set[Account] = field(default_factory=set)
    """Services past which a person wants to see."""
    resting: list[Resting] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    """What bridges say in the transaction at hand about where it goes."""

    def schedule(self, transaction: TransactionId, when: Moment) -> bool:
        """Put it on the agenda; False: it is after the time limit."""
        if self.options.until and when[0] > self.options.until:
            return False
        if transaction not in self.listed:
            self.listed.add(transaction)
            heapq.heappush(self.agenda, (max(when, self.delays.get(transaction, when)), transaction))
        return True

    def require(self, transaction: TransactionId, when: Moment, now: Moment) -> bool:
        """Put it on the agenda, where it must not have been settled yet. Raises `OutOfOrder`."""
        if transaction in self.done:
            raise OutOfOrder(transaction, now)
        return self.schedule(transaction, when)

    # --- limits -------------------------------------------------------------------------------------------------

    def limit(self, asset: str) -> int | None:
        """Fewer units are not followed; None: nothing of it was brought."""
        own = self.options.least.get(asset)
        if own is not None:
            return max(1, own)
        brought = self.brought.get(asset)
        return None if brought is None else max(1, brought * self.options.least_parts_per_million // 1_000_000)

    def is_enough(self, packet: Packet, asset: str) -> bool:
        """Whether it is followed."""
        limit = self.limit(asset) or 1
        if self.options.past_unshown and packet.suspect >= limit:
            return True
        return any(packet.by(policy) >= limit for policy in self.options.by)

    def is_moving(self, row: Transfer) -> bool:
        """Whether it can carry enough: what lies at its source decides."""
        if row.movement is Movement.INPUT:
            return (row.network, row.outpoint) in self.held
        ledgers = self.ledgers.get((row.network, row.source))
        ledger = ledgers.get(row.asset) if ledgers else None
        if ledger is None or not row.units or not ledger.is_tainted:
            return False
        limit = self.limit(row.asset) or 1
        return any(
            ledger.by(policy) and (ledger.by(policy) >= limit or policy == "poison") for policy in self.options.by
        )

    def is_tainted(self, account: Account) -> bool:
        """Whether anything of the theft has come to an address."""
        return account in self.ledgers or account in self.hops

    # --- places -------------------------------------------------------------------------------------------------

    def ledger(self, account: Account, asset: str) -> Ledger:
        """Of an active address."""
        return self.ledgers[account].setdefault(asset, Ledger())

    def activate(self, account: Account, before: Transfer, current: TransactionId, hop: int) -> None:
        """Its transfers before that one are added up; its later transactions are put on the agenda."""
        network, address = account
        ledgers: dict[str, Ledger] = defaultdict(Ledger)
        self.ledgers[account], self.hops[account] = ledgers, hop
        self.book[account] = defaultdict(list)
        for asset in self.owned.get(account, ()):
            ledgers[asset].is_own = True
        here, coming = place(before), []
        for row in self.library.rows(account):
            key = (network, row.transaction)
            if place(row) < here:
                if row.source == address:
                    ledgers[row.asset].draw(row.units)
                if row.target == address:
                    ledgers[row.asset].arrive(row.units)
            elif key != current and key not in self.done:
                coming.append((key, row))
        self._list(account, coming)

    def _list(self, account: Account, coming: list[tuple[TransactionId, Transfer]]) -> None:
        targets, transactions = set(), set()
        for key, row in coming:
            leaves = row.source == account[1]
            if not self.schedule(key, moment(row)):
                self.later.update({account} if leaves else ())
                continue
            self.book[account][key].append(row)
            self.touching[key].add(account)
            if leaves:
                transactions.add(key)
                limit = self.limit(row.asset)
                if limit is not None and row.units >= limit:
                    targets.add((account[0], row.target))
        fresh = [each for each in targets if each not in self.ledgers and each[1] != FEES]
        self.library.expect(fresh, transactions)

    def known(self, transaction: TransactionId) -> list[Transfer]:
        """Its transfers that active addresses send or get, in order; the fee last."""
        rows = {ident(row): row for account in self.touching[transaction] for row in self.book[account][transaction]}
        return sorted(rows.values(), key=lambda row: (row.movement is Movement.FEE, row.order))

    # --- writing down -------------------------------------------------------------------------------------------

    def step(self, row: Transfer, packet: Packet, hop: int, reason: Reason, sure: int = 100) -> Draft:
        """Write a step down."""
        overrule = self.overrules.about(row, step_id(row))
        draft = Draft(step_id(row), row, hop, reason, sure, packet.carried(), suspect=min(packet.suspect, row.units))
        if overrule is not None:
            draft.reason = Reason.OVERRULED
            draft.why = f"{overrule.by} decided to {overrule.decision} it: {overrule.why}."
        self.notes.drafts.append(draft)
        return draft

    def cut(self, row: Transfer, packet: Packet) -> None:
        """Too little of the theft to be followed: it counts as left at its source."""
        self.notes.skip("below the limit")
        who = row.target if row.movement is Movement.OUTPUT else row.source
        key = (row.network, who, row.asset, EndKind.BELOW)
        self.notes.end(key, packet.carried(), "sent on in parts below the limit")

    def fees(self, row: Transfer, packet: Packet) -> None:
        """To the miners."""
        key = (row.network, FEES, row.asset, EndKind.BELOW)
        self.notes.end(key, packet.carried(), "fees, to the miners")

    def heard(self, rows: Iterable[Transfer]) -> None:
        """Read what bridges say in the transaction at hand."""
        found: dict[Message, None] = {}
        for row in rows:
            message = message_of(row.network, row.memo, row.transaction) if row.memo else None
            if message is not None and message.is_sent:
                found[message] = None
        self.messages = list(found)

    # --- moving -------------------------------------------------------------------------------------------------

    def verdict(self, row: Transfer, packet: Packet) -> bool | None:
        """Whether a tainted transfer is followed; None: a person said that it is not the theft's."""
        overrule = self.overrules.about(row, step_id(row))
        if overrule is None:
            return self.is_enough(packet, row.asset)
        if overrule.decision is Decision.LEAVE:
            return None
        self.lifted.add((row.network, row.target))
        return True

    def left(self, row: Transfer, packet: Packet, hop: int) -> None:
        """A person said that this is where it ends."""
        draft = self.step(row, packet, hop, Reason.OVERRULED)
        self.notes.end((row.network, row.target, row.asset, EndKind.OVERRULED), packet.carried(), draft.why)

    def stop_at(self, row: Transfer, account: Account) -> Stop | None:
        """Whether it ends at that address."""
        if account in self.ledgers or account in self.lifted:
            return None
        stop = self.stops.at(account, row.time, self)
        if stop is None and self.messages:
            return Stop(None, f"{self.messages[0].name}, by what the transaction says")
        return stop

    def rest(self, row: Transfer, packet: Packet, hop: int, step: str, stop: Stop) -> None:
        """It came to a service."""
        self.resting.append(Resting(row, packet, hop, step, stop))


def in_order(rows: Sequence[Transfer]) -> list[Transfer]:
    """As a transaction moves them: the fee last."""
    return sorted(rows, key=lambda row: (row.movement is Movement.FEE, row.order))
