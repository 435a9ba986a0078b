"""Screening: what is known of whoever sends or gets money, and what a policy makes of it. Pure: it moves nothing.

Two sorts of facts count: labels (what sources say of an address, at that moment) and taint (that money of a known
theft lay there, by a trace of ours or a peer's). The strictest rule that applies decides; its sentence says by what.
Nothing is final: what is held waits for a person, and what is refused can be ordered again once the fact is gone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from holdfast.trace.labels.addresses import key_of
from holdfast.trace.model import Label, LabelKind, Trace
from holdfast.trace.reading import Names

DAY = 86_400


class Verdict(StrEnum):
    """What happens with the money."""

    CREDIT = "credit"
    HOLD = "hold"
    """A person decides."""
    REFUSE = "refuse"
    """A payout is not taken on. A deposit cannot be refused, it is there: it is held."""


_STRICTNESS = {Verdict.CREDIT: 0, Verdict.HOLD: 1, Verdict.REFUSE: 2}


class LabelRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a kind of label leads to."""

    kind: LabelKind
    verdict: Verdict = Verdict.HOLD
    confidence_min: int = 50
    """Labels that are less sure do not count."""
    days_max: int = 0
    """Labels that were said longer ago do not count; 0: however long ago."""


class TaintRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What money of a known theft leads to."""

    verdict: Verdict = Verdict.HOLD
    hops_max: int = 20
    """Further from the theft it does not count."""
    share_min_ppm: int = 10_000
    """Parts in a million of what lay there that were the theft's; less does not count."""
    confidence_min: int = 50


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What screening makes of facts."""

    labels: tuple[LabelRule, ...] = (
        LabelRule(kind=LabelKind.SANCTIONED, verdict=Verdict.REFUSE, confidence_min=80),
        LabelRule(kind=LabelKind.THEFT, verdict=Verdict.HOLD),
        LabelRule(kind=LabelKind.CRIME, verdict=Verdict.HOLD),
        LabelRule(kind=LabelKind.FROZEN, verdict=Verdict.HOLD),
        LabelRule(kind=LabelKind.MIXER, verdict=Verdict.HOLD),
    )
    taint: tuple[TaintRule, ...] = (TaintRule(),)
    unknown: Verdict = Verdict.CREDIT
    """Where nobody can tell who sent it."""


class Exposure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Money of a known theft at an address, or in a transaction."""

    incident: str
    network: str
    address: str
    hop: int
    share_ppm: int
    """Parts in a million of what moved there, by the share of the theft in it (haircut)."""
    confidence: int
    transaction: str


@dataclass(frozen=True, slots=True)
class Screened:
    """What was decided, and by what."""

    verdict: Verdict
    why: str = ""


class Exposures:
    """Where money of known thefts lay, by address and by transaction."""

    def __init__(self, exposures: Iterable[Exposure] = ()) -> None:
        """Takes them in; the nearest to its theft counts first."""
        self._at: dict[tuple[str, str], list[Exposure]] = defaultdict(list)
        self._in: dict[tuple[str, str], list[Exposure]] = defaultdict(list)
        for each in sorted(exposures, key=lambda one: (one.hop, -one.share_ppm, one.incident)):
            self._at[key_of(each.network, each.address)].append(each)
            self._in[each.network, each.transaction.lower()].append(each)

    def __len__(self) -> int:
        return len(self._at)

    def of(self, network: str, address: str) -> Sequence[Exposure]:
        """Of an address."""
        return self._at.get(key_of(network, address), ())

    def of_transaction(self, network: str, transaction: str, address: str) -> Sequence[Exposure]:
        """Of what a transaction brought to an address."""
        found = self._in.get((network, transaction.lower()), ())
        return [each for each in found if key_of(network, each.address) == key_of(network, address)]


def exposures_of(incident: str, trace: Trace, policy: str = "haircut") -> list[Exposure]:
    """Every address that a trace reached, with the share of the theft in what came there. Services are left out.

    `policy`: how taint was shared out; one of `taint.Policy`.
    """
    services = {(end.network, end.address) for end in trace.ends if end.label is not None and end.label.kind.is_service}
    found = []
    for step in trace.steps:
        moved = step.transfer
        carried = step.carried.get(policy, 0)
        if (moved.network, moved.target) in services or moved.units <= 0 or carried <= 0:
            continue
        found.append(
            Exposure(
                incident=incident,
                network=moved.network,
                address=moved.target,
                hop=step.hop,
                share_ppm=min(carried * 1_000_000 // moved.units, 1_000_000),
                confidence=step.confidence,
                transaction=moved.transaction,
            )
        )
    return found


def judge(labels: Sequence[Label], exposures: Sequence[Exposure], policy: Policy, at: int) -> Screened:
    """The strictest that any rule makes of these facts at a moment. A known service is not tainted by who uses it."""
    found = [Screened(Verdict.CREDIT)]
    for label in labels:
        for rule in policy.labels:
            if _applies(rule, label, at):
                found.append(Screened(rule.verdict, _said(label)))  # noqa: PERF401  the loop reads better than its square
    if not any(label.kind.is_service for label in labels):
        for exposure in exposures:
            for taint in policy.taint:
                if _counts(taint, exposure):
                    found.append(Screened(taint.verdict, _lay(exposure)))  # noqa: PERF401  the loop reads better
    return strictest(found)


def strictest(found: Iterable[Screened]) -> Screened:
    """Of several, the one that lets the least through; the first of equals."""
    return max(found, key=lambda each: _STRICTNESS[each.verdict], default=Screened(Verdict.CREDIT))


def screen(names: Names, exposures: Exposures, policy: Policy, parties: Iterable[tuple[str, str]], at: int) -> Screened:
    """What becomes of money of, or for, these addresses (network and address) at a moment."""
    return strictest(
        judge(names.labels(network, address, at), exposures.of(network, address), policy, at)
        for network, address in parties
    )


def _applies(rule: LabelRule, label: Label, at: int) -> bool:
    is_fresh = rule.days_max == 0 or at - label.stated_at <= rule.days_max * DAY
    return label.kind is rule.kind and label.confidence >= rule.confidence_min and is_fresh


def _counts(rule: TaintRule, exposure: Exposure) -> bool:
    return (
        exposure.hop <= rule.hops_max
        and exposure.share_ppm >= rule.share_min_ppm
        and exposure.confidence >= rule.confidence_min
    )


def _said(label: Label) -> str:
    return f"{label.address} is {label.kind} ({label.name}), says {label.source[:200]}, confidence {label.confidence}"


def _lay(exposure: Exposure) -> str:
    percent, rest = divmod(exposure.share_ppm, 10_000)
    return (
        f"money of {exposure.incident} lay at {exposure.address}: hop {exposure.hop}, {percent}.{rest // 100:02} % of "
        f"what transaction {exposure.transaction} brought, confidence {exposure.confidence}"
    )
