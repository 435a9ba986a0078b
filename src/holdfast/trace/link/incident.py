"""One theft as linking sees it: its trace, its store, its labels; and which addresses its thief held."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

import msgspec

from holdfast.trace.model import FEES, EndKind, Label, Movement, Reason, Step, Trace, Transfer
from holdfast.trace.reading import ListedTransfers, Names, Transfers, place

Node: TypeAlias = tuple[str, str]
"""A network (CAIP-2) and an address of it; on the Bitcoin family a transaction is a node too."""


class FeatureKind(StrEnum):
    """Private things besides addresses that serve a thief."""

    GAS = "gas-feeder"
    DEPOSIT = "deposit-address"
    DEPLOYER = "deployer"
    BYTECODE = "bytecode"
    KEY = "public-key"


class Feature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One such thing, derived from the store or written down by a person."""

    kind: FeatureKind
    value: str
    """The feeder's, deposit or deployer address; a hash of bytecode; a key."""
    network: str = ""
    """CAIP-2; empty for what is the same on every network."""
    others: int = -1
    """How many strangers are known to have the same; -1: nobody looked."""
    why: str = ""
    transactions: tuple[str, ...] = ()
    evidence_ids: tuple[str, ...] = ()


class NoNames:
    """Labels of nobody."""

    def labels(self, network: str, address: str, at: int) -> Sequence[Label]:
        """None."""
        return ()

    def service(self, network: str, address: str, at: int) -> Label | None:
        """None."""
        return None


@dataclass(frozen=True, slots=True)
class Incident:
    """What is known of one theft."""

    name: str
    trace: Trace = field(default_factory=Trace)
    transfers: Transfers = field(default_factory=lambda: ListedTransfers(()))
    """The case's store: whom else these addresses pay decides what is a service."""
    names: Names = field(default_factory=NoNames)
    addresses: tuple[Node, ...] = ()
    """Addresses that are said to be the thief's, by report and not by trace."""
    given: tuple[Feature, ...] = ()
    vouched: frozenset[Node] = frozenset()
    """Addresses of which a person vouches that they are no service."""


@dataclass(frozen=True, slots=True)
class Held:
    """How the thief came to hold an address."""

    confidence: int
    """Of the weakest step on the surest way there."""
    since: int
    """Seconds since 1970; 0 for an address that was only reported."""
    is_root: bool
    """The theft itself paid it, or it was reported as the thief's."""
    steps: tuple[str, ...] = ()
    """Ids of the steps that paid it."""


_JUMPS = frozenset({Reason.SWAP, Reason.WRAP, Reason.BRIDGE, Reason.CANDIDATE, Reason.MIXER, Reason.OVERRULED})
"""Steps that come out of a service: following saw the money go in elsewhere."""
SURE = 100


def held(incident: Incident, removed: Collection[Node] = ()) -> dict[Node, Held]:
    """The addresses that held the loot, without passing a removed one: behind a service is everybody's money."""
    out = frozenset(removed)
    found: dict[Node, Held] = {}
    for node in incident.addresses:
        if node not in out:
            found[node] = Held(SURE, 0, is_root=True)
    for theft in incident.trace.thefts:
        node = theft.network, theft.target
        if node not in out:
            found[node] = Held(SURE, theft.time, is_root=True)
    for step in sorted(incident.trace.steps, key=lambda each: place(each.transfer)):
        _take(found, out, step)
    return found


def _take(found: dict[Node, Held], out: frozenset[Node], step: Step) -> None:
    transfer = step.transfer
    source, target = (transfer.network, transfer.source), (transfer.network, transfer.target)
    if target in out or transfer.movement is Movement.FEE or transfer.target == FEES:
        return
    before = found.get(source)
    if step.reason is Reason.THEFT:
        now = found.get(target, Held(SURE, transfer.time, is_root=True))
        found[target] = Held(now.confidence, now.since, is_root=True, steps=(*now.steps, step.id))
        return
    if before is not None and before.since <= transfer.time:
        confidence = min(before.confidence, step.confidence)
    elif step.reason in _JUMPS and source not in found:
        confidence = step.confidence
    else:
        return
    confidence = min(confidence, SURE // max(1, step.of))
    known = found.get(target, Held(confidence, transfer.time, is_root=False))
    found[target] = Held(max(known.confidence, confidence), known.since, known.is_root, (*known.steps, step.id))


def victims(incident: Incident) -> frozenset[Node]:
    """Who was stolen from: never the thief's, whatever flows there."""
    return frozenset((theft.network, theft.source) for theft in incident.trace.thefts)


def ends_at_services(incident: Incident) -> dict[Node, Label | None]:
    """Where the trace itself ended at a service."""
    return {(end.network, end.address): end.label for end in incident.trace.ends if end.kind is EndKind.SERVICE}


def edges(incident: Incident) -> list[Transfer]:
    """Every transfer of the theft and the trace but fees, in the order of time."""
    found = dict.fromkeys((*incident.trace.thefts, *(step.transfer for step in incident.trace.steps)))
    return sorted((e for e in found if e.movement is not Movement.FEE and e.target != FEES), key=place)


def assets(incident: Incident) -> frozenset[str]:
    """The assets that the loot was ever in: tokens beside these may be anybody's forgery."""
    return frozenset(each.asset for each in edges(incident))


def by_network(nodes: Iterable[Node]) -> dict[str, list[str]]:
    """Addresses by their network, in a stable order, as a store wants to be asked."""
    found: dict[str, list[str]] = {}
    for network, address in sorted(set(nodes)):
        found.setdefault(network, []).append(address)
    return found
