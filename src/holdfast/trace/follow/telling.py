"""The trace of a run that has ended: ends, sentences, and the steps in the order of time."""

from __future__ import annotations

from holdfast.trace.follow import shapes
from holdfast.trace.follow.drafts import Draft
from holdfast.trace.follow.ledger import SHARES, Ledger
from holdfast.trace.follow.state import Run, moment
from holdfast.trace.follow.words import amount, share, short
from holdfast.trace.model import EndKind, Reason, Step, Trace, Transfer
from holdfast.trace.reading import place


def told(run: Run, thefts: list[Transfer]) -> Trace:
    """Everything that was found, counted and skipped."""
    _lying(run)
    known = run.library

    def was_paid(output: Transfer) -> bool:
        if known.degree((output.network, output.target)).sources >= run.options.service_strangers:
            return True
        rows = known.rows((output.network, output.target))
        return any(row.target == output.target and place(row) < place(output) for row in rows)

    shapes.mark_outputs(run.notes.drafts, lambda row: known.whole((row.network, row.transaction)), was_paid)
    chains = shapes.chains(run.notes.drafts, run.options)
    drafts = sorted(run.notes.drafts, key=lambda draft: (moment(draft.row), draft.id))
    steps = [_step(draft) for draft in drafts]
    ends = sorted(run.notes.told(), key=lambda end: (end.network, end.kind, end.address, end.asset))
    return Trace(thefts, steps, ends, run.notes.skipped, run.notes.crossings, chains, list(run.notes.stopped))


def _lying(run: Run) -> None:
    for (network, address), ledgers in run.ledgers.items():
        for asset, ledger in ledgers.items():
            amounts = ledger.amounts()
            is_reached = run.options.past_unshown and ledger.suspect >= (run.limit(asset) or 1)
            if any(amounts.values()) or is_reached:
                kind = _kind(run, ledger, asset, is_later=(network, address) in run.later)
                run.notes.end((network, address, asset, kind), amounts, _DETAILS[kind], is_reached=is_reached)
    for (network, _), held in run.held.items():
        kind = EndKind.TIME if held.is_later else EndKind.UNSPENT
        run.notes.end(
            (network, held.row.target, held.row.asset, kind), held.packet.carried(), _DETAILS[kind], is_reached=True
        )


_DETAILS = {
    EndKind.UNSPENT: "", EndKind.TIME: "moved after the time limit", EndKind.BELOW: "left behind, below the limit",
}  # fmt: skip


def _kind(run: Run, ledger: Ledger, asset: str, *, is_later: bool) -> EndKind:
    limit = run.limit(asset) or 1
    if run.options.past_unshown and ledger.suspect >= limit:
        return EndKind.TIME if is_later else EndKind.UNSPENT
    if not any(ledger.by(policy) >= limit for policy in SHARES if policy in run.options.by):
        return EndKind.BELOW
    return EndKind.TIME if is_later else EndKind.UNSPENT


def _step(draft: Draft) -> Step:
    row = draft.row
    sure = draft.sure
    if draft.reason not in {Reason.CANDIDATE, Reason.MIXER} and row.units:
        expected = max(draft.carried["haircut"], draft.suspect // 2)
        sure = max(1, draft.sure * expected // row.units)
    return Step(
        draft.id, row, draft.hop, draft.reason, min(100, sure), draft.carried, draft.of, _why(draft), draft.after
    )


def _why(draft: Draft) -> str:
    row, carried = draft.row, draft.carried
    if draft.reason in {Reason.CANDIDATE, Reason.MIXER}:
        return draft.why
    if draft.reason is Reason.THEFT and not draft.why:
        return f"Named as stolen: {amount(row.units, row.asset)} from {short(row.source)} to {short(row.target)}."
    figures = (
        f"Of {amount(row.units, row.asset)} from {short(row.source)} to {short(row.target)},"
        f" {share(carried['haircut'], row.units)} is expected to be stolen;"
        f" {amount(carried['fifo'], row.asset)} first in first out,"
        f" {amount(carried['least'], row.asset)} to {amount(carried['most'], row.asset)} by the bounds."
    )
    if draft.suspect > carried["haircut"]:
        figures += (
            f" Its source sent {amount(draft.suspect - carried['haircut'], row.asset)} more than is known to have come"
            " there or before, and at least half of what is known was stolen: followed on suspicion."
        )
    return f"{draft.why} {figures}" if draft.why else figures
