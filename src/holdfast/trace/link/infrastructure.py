"""Class C: the private things that served both thieves: who paid the gas, a deposit address, a key. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from holdfast.trace.link.incident import Feature, FeatureKind, Node, victims
from holdfast.trace.link.keys import key_of
from holdfast.trace.link.meetings import Side
from holdfast.trace.link.services import (
    STRANGERS_LEAST,
    Surroundings,
    by_degree,
    customer_of,
    is_public_feeder,
)
from holdfast.trace.link.words import Evidence, Link, Removal, Removed
from holdfast.trace.model import LabelKind, Movement

CONFIDENCE: Mapping[FeatureKind, int] = {
    FeatureKind.KEY: 95,
    FeatureKind.DEPOSIT: 80,
    FeatureKind.DEPLOYER: 80,
    FeatureKind.GAS: 70,
    FeatureKind.BYTECODE: 60,
}
"""Our scale, in the order in which such things change hands: a key hardly ever, bytecode is copied in a minute."""
_ELSE: Mapping[FeatureKind, tuple[str, ...]] = {
    FeatureKind.GAS: ("a seller of gas, or a faucet, that no label and no degree gave away",
                      "a broker who prepares addresses for several thieves"),
    FeatureKind.DEPOSIT: ("one broker's account at the exchange, used for both", "an address that its exchange reused"),
    FeatureKind.DEPLOYER: ("a factory that deploys for anybody",),
    FeatureKind.BYTECODE: ("published code that anybody may copy",),
    FeatureKind.KEY: ("a key that leaked and that several people use", "a key of too little entropy"),
}  # fmt: skip


def features(side: Side, around: Surroundings, own: Collection[Node]) -> dict[tuple[str, str], Feature]:
    """What one incident's addresses show of private infrastructure, by kind and value; services are left out."""
    found: dict[tuple[str, str], Feature] = {}
    around.load(list(side.held))
    for feature in (*_gas(side, around, own), *_deposits(side, around, own), *side.incident.given):
        before = found.setdefault((feature.kind, written(feature)), feature)
        if before is not feature and before.transactions != feature.transactions:
            merged = tuple(dict.fromkeys((*before.transactions, *feature.transactions)))[:20]
            found[feature.kind, written(feature)] = Feature(
                before.kind, before.value, before.network, before.others, before.why, merged, before.evidence_ids
            )
    return found


def written(feature: Feature) -> str:
    """The feature as both sides of a comparison write it."""
    if feature.network and feature.kind in {FeatureKind.GAS, FeatureKind.DEPOSIT, FeatureKind.DEPLOYER}:
        return key_of(feature.network, feature.value) or f"{feature.network}:{feature.value}"
    return feature.value.lower()


def _gas(side: Side, around: Surroundings, own: Collection[Node]) -> list[Feature]:
    """Who sent an account the coin that it needs to act at all, before it acted and before any loot brought it some."""
    found = []
    protected = victims(side.incident)
    for network, address in side.held:
        if network.startswith("bip122:"):
            continue
        near = around.of((network, address))
        acted = min((each.time for each in near.leaving), default=None)
        coins = [each for each in near.arriving if each.movement is not Movement.TOKEN and "/slip44:" in each.asset]
        for first in coins:
            feeder = network, first.source
            if (acted is not None and first.time > acted) or feeder in own or first.units <= 0:
                break
            if feeder in protected or around.service(feeder, first.time) is not None:
                continue
            if is_public_feeder(around.of(feeder), network, own):
                continue
            why = f"{first.source} sent {address} its first {first.units} units of {first.asset}, at {first.time}"
            ids = (first.evidence,) if first.evidence else ()
            found.append(Feature(FeatureKind.GAS, first.source, network, 0, why, (first.transaction,), ids))
    return found


def _deposits(side: Side, around: Surroundings, own: Collection[Node]) -> list[Feature]:
    """Deposit addresses at exchanges that the thief's addresses paid: each is one customer's."""
    paid = [each for node in side.held for each in around.of(node).leaving if each.units > 0]
    paid = [each for each in paid if (each.network, each.target) not in own and each.movement is not Movement.FEE]
    around.load([node for each in paid if not _is_service(around, node := (each.network, each.target), each.time)])
    found = []
    for each in paid:
        target = each.network, each.target
        label = around.service(target, each.time)
        if _is_service(around, target, each.time):
            continue
        where = label.name if label is not None else customer_of(around, around.of(target))
        if where and by_degree(around.of(target), target, own) is None:
            why = f"{each.source} paid {each.target}, a deposit address at {where}, at {each.time}"
            ids = (each.evidence,) if each.evidence else ()
            found.append(Feature(FeatureKind.DEPOSIT, each.target, each.network, 0, why, (each.transaction,), ids))
    return found


def _is_service(around: Surroundings, node: Node, at: int) -> bool:
    """A service other than a deposit address: nobody's own, and too much to read."""
    label = around.service(node, at)
    return label is not None and label.kind is not LabelKind.DEPOSIT


def shared_infrastructure(
    one: Side, other: Side, around: Surroundings, own: Collection[Node]
) -> tuple[list[Link], list[Removed]]:
    """Class C links, and what is shared but too common to say anything."""
    ours, theirs = features(one, around, own), features(other, around, own)
    links, removed = _shared_keys(one, other), []
    for key in sorted(ours.keys() & theirs.keys()):
        mine, its = ours[key], theirs[key]
        others = max(mine.others, its.others)
        if others >= STRANGERS_LEAST or (mine.kind is FeatureKind.BYTECODE and others < 0):
            many = f"{others} strangers show it too" if others >= 0 else "nobody looked how many others show it"
            removed.append(Removed(mine.network, mine.value, Removal.DEGREE, f"{mine.kind}: {many}"))
            continue
        links.append(_link(mine, its, one, other))
    return links, removed


def _shared_keys(one: Side, other: Side) -> list[Link]:
    """One key on two networks. On the same network the same address is a meeting already: class B."""
    ours, theirs = _keys(one), _keys(other)
    links = []
    for key in sorted(ours.keys() & theirs.keys()):
        pairs = [(mine, its) for mine in ours[key] for its in theirs[key]]
        if all(mine[0] != its[0] for mine, its in pairs):
            mine, its = pairs[0]
            features_ = [Feature(FeatureKind.KEY, key, n, 0, f"{address} on {n}") for n, address in (mine, its)]
            links.append(_link(features_[0], features_[1], one, other))
    return links


def _keys(side: Side) -> dict[str, list[Node]]:
    found: dict[str, list[Node]] = {}
    for network, address in sorted(side.held):
        key = key_of(network, address)
        if key:
            found.setdefault(key, []).append((network, address))
    return found


def _link(mine: Feature, its: Feature, one: Side, other: Side) -> Link:
    return Link(
        id="",
        evidence=Evidence.INFRASTRUCTURE,
        why=f"{mine.kind} {mine.value}: {one.incident.name}: {mine.why or 'as given'}; "
        f"{other.incident.name}: {its.why or 'as given'}",
        alternatives=_ELSE[mine.kind],
        confidence=CONFIDENCE[mine.kind],
        network=mine.network if mine.network == its.network else "",
        addresses=(mine.value,),
        transactions=tuple(dict.fromkeys((*mine.transactions, *its.transactions))),
        evidence_ids=tuple(dict.fromkeys((*mine.evidence_ids, *its.evidence_ids))),
    )
