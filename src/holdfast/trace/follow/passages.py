"""Where money comes out that went into a service: told by the chain (bridges), or one of several (swappers, mixers).

A candidate is never a fact: it carries nothing, and nothing is followed behind it until a person says that it is the
one. Then the run is made again, and what was paid in comes out there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from holdfast.trace.follow.drafts import Arrival, Draft, ident, step_id
from holdfast.trace.follow.library import BUSY, Account
from holdfast.trace.follow.messages import Message, message_of
from holdfast.trace.follow.options import Decision
from holdfast.trace.follow.state import Moment, Resting, Run, moment
from holdfast.trace.follow.words import amount, short, span
from holdfast.trace.model import Crossing, EndKind, LabelKind, Movement, Reason, Transfer

EVERY_EVM = "eip155:*"
"""Of labels that hold on every EVM network: asked for on the payer's."""
KEYED_SURE, RECIPIENT_SURE = 100, 80
"""The same number on both sides; or only the recipient, and one payment to it in the time."""


@runtime_checkable
class Roster(Protocol):
    """Names that can also be asked the other way round."""

    def addresses(self, name: str) -> Sequence[Account]:
        """Of an actor, on any network: where a service pays from."""
        ...


def finish(run: Run, now: Moment) -> None:
    """Look for the other side of what came to services in the transaction at hand. Raises `OutOfOrder`."""
    resting, run.resting = run.resting, []
    for each in resting:
        if run.messages:
            _bridged(run, each, run.messages[0], now)
        elif each.stop.label is not None and each.stop.label.kind is LabelKind.SWAPPER:
            _swapped(run, each, now)
        elif each.stop.label is not None and each.stop.label.kind is LabelKind.MIXER:
            _mixed(run, each, now)
        else:
            _ends(run, each)


def _ends(run: Run, each: Resting, more: str = "") -> None:
    detail = f"{each.stop.detail}; {more}" if more and each.stop.detail else each.stop.detail or more
    key = (each.row.network, each.row.target, each.row.asset, EndKind.SERVICE)
    run.notes.end(key, each.packet.carried(), detail, each.stop.label, is_reached=True)


# --- bridges ------------------------------------------------------------------------------------------------------


def _bridged(run: Run, each: Resting, message: Message, now: Moment) -> None:
    row = each.row
    found, sure = _other_side(run, each, message)
    where = message.network or "a network that is not read here"
    who = message.recipient or "a recipient that is not named"
    if found is None:
        run.notes.stop(
            f"{message.name}: {amount(row.units, row.asset)} of {short(row.transaction)} went to {who} on {where}; the"
            " other side is not among the transfers that were read."
        )
        _ends(run, each, f"{message.name}, to {who} on {where}: not read")
        return
    tie = (
        f"the number {short(message.key)} on both sides" if sure == KEYED_SURE else "the only payment to its recipient"
    )
    why = (
        f"{message.name} took {amount(row.units, row.asset)} in {short(row.transaction)} and paid"
        f" {amount(found.units, found.asset)} to {short(found.target)} {span(found.time - row.time)} later: {tie}."
    )
    _comes_out(run, each, found, now, (Reason.BRIDGE, sure, why))


def _other_side(run: Run, each: Resting, message: Message) -> tuple[Transfer | None, int]:
    network, recipient = message.network, message.recipient
    if not recipient and network.startswith("eip155:") and each.row.network.startswith("eip155:"):
        recipient = each.row.source  # a number without a name: most bridge to themselves, and the number must agree
    if not network or not recipient:
        return None, 0
    first, last = each.row.time, each.row.time + run.options.bridge_window_seconds
    rows = [
        row for row in run.library.rows((network, recipient))
        if row.target == recipient and row.units and first <= row.time <= last
        and (network, row.transaction) != (each.row.network, each.row.transaction)
    ]  # fmt: skip
    said = [(row, _received(run, row)) for row in rows]
    if message.key:
        keyed = [
            row for row, messages in said if any(m.name == message.name and m.key == message.key for m in messages)
        ]
        if keyed:
            return keyed[-1], KEYED_SURE
    taken = {at for arrivals in run.arrivals.values() for at in arrivals}
    silent = [row for row, messages in said if not messages and ident(row) not in taken]
    if len(silent) == 1 and message.recipient and silent[0].units:
        return silent[0], RECIPIENT_SURE
    return None, 0


def _received(run: Run, row: Transfer) -> list[Message]:
    found = []
    for each in run.library.whole((row.network, row.transaction)) or [row]:
        message = message_of(each.network, each.memo, each.transaction) if each.memo else None
        if message is not None and not message.is_sent:
            found.append(message)
    return found


def _comes_out(run: Run, each: Resting, row: Transfer, now: Moment, said: tuple[Reason, int, str]) -> None:
    """What went in comes out there, in the proportion of the whole."""
    reason, sure, why = said
    transaction = (row.network, row.transaction)
    if not run.require(transaction, max(moment(row), (*now[:3], row.network)), now):
        _ends(run, each, "came out after the time limit")
        return
    packet = each.packet.scaled(row.units)
    known = run.arrivals[transaction].get(ident(row))
    if known is not None:  # two payments in, one out: both count, up to all of it
        _ends(run, each, "its other side is already told of an earlier payment")
        return
    run.brought[row.asset] = run.brought.get(row.asset, 0) + packet.haircut
    run.arrivals[transaction][ident(row)] = Arrival(packet, each.hop + 1, reason, sure, (each.step,), why)
    run.notes.crossings.append(
        Crossing(reason, sure, {each.row.asset: each.packet.carried()}, {row.asset: packet.carried()},
                 (each.step,), (step_id(row),), why)
    )  # fmt: skip


# --- candidates ---------------------------------------------------------------------------------------------------


def _swapped(run: Run, each: Resting, now: Moment) -> None:
    label = each.stop.label
    houses: list[Account] = [(each.row.network, each.row.target)]
    if label is not None and isinstance(run.names, Roster):
        own = each.row.network
        for network, address in run.names.addresses(label.name):
            house = (own if network == EVERY_EVM and own.startswith("eip155:") else network, address)
            if house not in houses and house[0] != EVERY_EVM:
                houses.append(house)
    first, last = each.row.time, each.row.time + run.options.window_seconds
    fits = [row for row in _paid_by(run, houses, first, last)
            if row.transaction != each.row.transaction and _is_worth(run, each.row, row)]  # fmt: skip
    _told(run, each, fits, now, Reason.CANDIDATE)


def _paid_by(run: Run, houses: Sequence[Account], first: int, last: int) -> list[Transfer]:
    """What a service paid out, wherever it pays from, in the order of time; not what it moved within itself."""
    own = set(houses)
    found: dict[Transfer, None] = {}
    for house in houses:
        degree = run.library.degree(house)
        if degree.arriving + degree.leaving > BUSY:
            run.notes.stop(f"{short(house[1])} has more transfers than are read of one address: no candidates from it.")
            continue
        for row in run.library.rows(house):
            if row.source != house[1] or not first <= row.time <= last or row.movement is Movement.FEE:
                continue
            rows: Sequence[Transfer] = (row,)
            if row.movement is Movement.INPUT:
                whole = run.library.whole((row.network, row.transaction))
                rows = [each for each in whole if each.movement is Movement.OUTPUT]
            found.update(dict.fromkeys(each for each in rows if (each.network, each.target) not in own))
    return sorted(found, key=moment)


def _is_worth(run: Run, paid: Transfer, got: Transfer) -> bool:
    """Whether it can have been paid for that, less the fee. Without rates: only the same asset."""
    options = run.options
    expected, units = paid.units, got.units
    if got.asset != paid.asset:
        rate_in, rate_out = options.worth.get(paid.asset), options.worth.get(got.asset)
        if rate_in is None or rate_out is None or not rate_in.units or not rate_out.cents:
            return False
        expected = paid.units * rate_in.cents * rate_out.units // (rate_in.units * rate_out.cents)
    least = expected * (1_000_000 - options.fee_parts_per_million) // 1_000_000
    return least <= units <= expected * (1_000_000 + options.spread_parts_per_million) // 1_000_000


def _mixed(run: Run, each: Resting, now: Moment) -> None:
    mixer = (each.row.network, each.row.target)
    first, last = each.row.time, each.row.time + run.options.mixer_window_seconds
    least = each.row.units * (1_000_000 - run.options.fee_parts_per_million) // 1_000_000
    fits = [row for row in _paid_by(run, [mixer], first, last)
            if row.asset == each.row.asset and least <= row.units <= each.row.units
            and row.transaction != each.row.transaction]  # fmt: skip
    _told(run, each, fits, now, Reason.MIXER)


def _told(run: Run, each: Resting, fits: list[Transfer], now: Moment, reason: Reason) -> None:
    """Candidates as steps that carry nothing; one that a person chose is followed."""
    count = len(fits)
    what = "an anonymity set" if reason is Reason.MIXER else "candidates"
    for row in fits:
        overrule = run.overrules.about(row, step_id(row, each.step))
        if overrule is not None and overrule.decision is Decision.FOLLOW:
            why = f"{overrule.by} decided that it is this one of {count}: {overrule.why}."
            _comes_out(run, each, row, now, (Reason.OVERRULED, 100 // count, why))
            return
    if count > run.options.candidates_most:
        run.notes.stop(f"{short(each.row.target)}: {what} of {count} for {short(each.row.transaction)}; not listed.")
    else:
        for row in fits:
            run.notes.drafts.append(_candidate(each, row, count, reason))
    if not count and reason is Reason.CANDIDATE and each.row.asset not in run.options.worth:
        run.notes.stop(f"No rate of {each.row.asset}: candidates in other assets cannot be compared.")
    _ends(run, each, f"{what} of {count}" if count else "no candidate among the transfers that were read")


def _candidate(each: Resting, row: Transfer, count: int, reason: Reason) -> Draft:
    paid, got = amount(each.row.units, each.row.asset), amount(row.units, row.asset)
    why = f"{got} left {span(row.time - each.row.time)} after {paid} came: one of {count} that fit by amount and time."
    carried = dict.fromkeys(each.packet.carried(), 0)
    return Draft(
        step_id(row, each.step), row, each.hop + 1, reason, 100 // count, carried, of=count, why=why, after=(each.step,)
    )
