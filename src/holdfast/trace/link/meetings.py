"""Classes A and B: one thief paid the other, or both loots met. Pure; over addresses that are no service."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from holdfast.trace.link.incident import Held, Incident, Node, assets
from holdfast.trace.link.services import Surroundings
from holdfast.trace.link.words import Evidence, Link
from holdfast.trace.model import Movement, Transfer

COINJOIN_EQUAL_LEAST = 3
"""Equal outputs and different owners of inputs from which a transaction is taken for a CoinJoin: three equal outputs
beside three inputs are what Chaumian CoinJoins (Wasabi, Whirlpool, JoinMarket) start from and payments do not show."""

_DIRECT_ELSE = (
    "the second address was bought, sold or shared between two thieves",
    "a payment for a service between strangers, over an address that neither holds now",
    "an address of a service that no label and no behaviour gave away",
)
_MET_ELSE = (
    "both thieves paid the same broker or launderer, who is neither",
    "an address of a service that no label and no behaviour gave away",
    "a trace that went one hop too far: look at the steps that are named",
)


@dataclass(frozen=True, slots=True)
class Side:
    """One incident, and what its thief held once services are out."""

    incident: Incident
    held: Mapping[Node, Held]


def direct(one: Side, other: Side, around: Surroundings) -> list[Link]:
    """Class A: transfers of a genuine asset from what one thief held to what the other's held before."""
    found: dict[tuple[Node, Node], list[Transfer]] = {}
    known = assets(one.incident) | assets(other.incident)
    for payer, payee in ((one, other), (other, one)):
        for sender, each in _payments(payer, payee, around):
            target = each.network, each.target
            if target in payee.held and _counts(each, known) and _is_own(target, each, payer, (payee, around)):
                found.setdefault((sender, target), []).append(each)
    return [_direct_link(source, transfers, one, other) for (source, _), transfers in found.items()]


def _payments(payer: Side, payee: Side, around: Surroundings) -> Iterator[tuple[Node, Transfer]]:
    """Who paid, and what: in the Bitcoin family the outputs of a transaction that an address paid into, change too."""
    senders = [node for node in payer.held if node not in payee.held]
    around.load(senders)
    spends = {
        (each.network, each.target): node
        for node in senders
        for each in around.of(node).leaving
        if each.movement is Movement.INPUT
    }
    around.load(spends)
    for node in senders:
        if node not in spends:
            yield from ((node, each) for each in around.of(node).leaving)
    for transaction, node in spends.items():
        if not _is_coinjoin(around, transaction):
            yield from ((node, each) for each in around.of(transaction).leaving)


def _is_own(target: Node, transfer: Transfer, payer: Side, to: tuple[Side, Surroundings]) -> bool:
    """Whether the payee's thief used the address before: it was reported, robbed into, or had passed on his loot."""
    payee, around = to
    if target not in payer.held or payee.held[target].is_root:
        return True
    since = payee.held[target].since
    return any(since <= each.time < transfer.time for each in around.of(target).leaving)


def _counts(transfer: Transfer, known: Collection[str]) -> bool:
    """Not nothing, and of an asset that a token's maker cannot have forged for the purpose."""
    if transfer.units <= 0 or transfer.movement is Movement.FEE:
        return False
    return transfer.movement is not Movement.TOKEN or not known or transfer.asset in known


def _direct_link(source: Node, transfers: Sequence[Transfer], one: Side, other: Side) -> Link:
    first = transfers[0]
    target = first.network, first.target
    payer, payee = (one, other) if source in one.held else (other, one)
    confidence = min(payer.held[source].confidence, payee.held[target].confidence)
    how = "reported or robbed into" if payee.held[target].is_root else f"held since {payee.held[target].since}"
    amounts = ", ".join(f"{each.units} units of {each.asset} at {each.time}" for each in transfers[:3])
    more = f" and {len(transfers) - 3} more" if len(transfers) > 3 else ""
    return Link(
        id="",
        evidence=Evidence.DIRECT,
        why=f"{source[1]}, which held loot of {payer.incident.name}, paid {first.target}, an address of "
        f"{payee.incident.name} ({how}): {amounts}{more}",
        alternatives=_DIRECT_ELSE,
        confidence=confidence,
        network=first.network,
        addresses=(source[1], first.target),
        transactions=tuple(dict.fromkeys(each.transaction for each in transfers)),
        steps=_steps((payer, source), (payee, target)),
        evidence_ids=tuple(dict.fromkeys(each.evidence for each in transfers if each.evidence)),
    )


def _steps(*of: tuple[Side, Node]) -> tuple[str, ...]:
    return tuple(f"{side.incident.name}:{step}" for side, node in of for step in side.held[node].steps)


def comingled(one: Side, other: Side, around: Surroundings) -> list[Link]:
    """Class B: addresses (or transactions) where both loots arrived; those that follow from an earlier one left out."""
    shared = [node for node in one.held if node in other.held]
    around.load(shared)
    met = [node for node in shared if not _is_coinjoin(around, node)]
    common = frozenset(shared)
    first = [node for node in met if _is_first(node, one, other, common)]
    return [_met_link(node, one, other, len(met) - len(first)) for node in first]


def _is_first(node: Node, one: Side, other: Side, common: frozenset[Node]) -> bool:
    """Whether either loot came there from an address that only one of the two held."""
    for side in (one, other):
        if side.held[node].is_root:
            return True
        wanted = frozenset(side.held[node].steps)
        sources = {(s.transfer.network, s.transfer.source) for s in side.incident.trace.steps if s.id in wanted}
        if sources - common:
            return True
    return False


def _is_coinjoin(around: Surroundings, node: Node) -> bool:
    near = around.of(node)
    inputs = {each.source for each in near.arriving if each.movement is Movement.INPUT}
    outputs = [each.units for each in near.leaving if each.movement is Movement.OUTPUT]
    equal = max((outputs.count(units) for units in outputs), default=0)
    return len(inputs) >= COINJOIN_EQUAL_LEAST and equal >= COINJOIN_EQUAL_LEAST


def _met_link(node: Node, one: Side, other: Side, downstream: int) -> Link:
    network, address = node
    further = f"; {downstream} further shared addresses follow from such meetings" if downstream else ""
    roots = [side.incident.name for side in (one, other) if side.held[node].is_root]
    told = f", which is itself where {' and '.join(roots)} began" if roots else ""
    wanted = {side.incident.name: frozenset(side.held[node].steps) for side in (one, other)}
    transfers = [
        step.transfer
        for side in (one, other)
        for step in side.incident.trace.steps
        if step.id in wanted[side.incident.name]
    ]
    return Link(
        id="",
        evidence=Evidence.COMINGLED,
        why=f"loot of {one.incident.name} and of {other.incident.name} both came to {address}{told}{further}",
        alternatives=_MET_ELSE,
        confidence=min(one.held[node].confidence, other.held[node].confidence),
        network=network,
        addresses=(address,),
        transactions=tuple(dict.fromkeys(each.transaction for each in transfers)),
        steps=_steps((one, node), (other, node)),
        evidence_ids=tuple(dict.fromkeys(each.evidence for each in transfers if each.evidence)),
    )
