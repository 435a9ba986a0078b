"""From a trace to a notice: the only way out. Pure.

Never leaves: the victim's addresses, customers' addresses of our own, services' addresses, any text of the case.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from msgspec.structs import replace

from holdfast.core.errors import BadInput
from holdfast.trace.link.incident import Held, Incident, Node, edges, held, victims
from holdfast.trace.link.keys import key_of
from holdfast.trace.link.services import Surroundings, public
from holdfast.trace.model import LabelKind, Movement, Transfer
from holdfast.trace.share.notice import Notice, Role, SharedAddress, SharedSide, SharedTransaction, Tlp

VALID_SECONDS = 365 * 86_400
"""An indicator that nobody says again ends after a year: a forgotten list must not stop people for ever."""


class NothingToShare(BadInput):
    """The trace reached no address that may be shared. Trace the theft first, or look why everything is a service."""

    code = "nothing-to-share"


@dataclass(frozen=True, slots=True)
class Telling:
    """Who tells whom, when."""

    incident: str
    name: str
    by: str
    at: int
    """Now, seconds since 1970."""
    created_at: int = 0
    """When it was first told of; 0: now."""
    tlp: Tlp = Tlp.AMBER_STRICT
    confidence: int = 50
    valid_seconds: int = VALID_SECONDS
    own: frozenset[Node] = frozenset()
    """Addresses of the operator and his customers: they never leave, whatever the thief did with them."""


def private_nodes(incident: Incident) -> tuple[dict[Node, Held], Surroundings]:
    """What the thief held, services and victims out."""
    around = Surroundings((incident,))
    robbed = victims(incident)
    out: set[Node] = set(robbed)
    found = held(incident, out)
    while True:
        more = public(around, (found,)).keys() - out
        if not more:
            return found, around
        out |= more
        found = held(incident, out)


def notice(incident: Incident, telling: Telling) -> Notice:
    """What may be told of a theft. Raises `NothingToShare`."""
    nodes, around = private_nodes(incident)
    kept = _kept(nodes, telling.own)
    transfers = edges(incident)
    hidden = bitcoin_transactions(transfers)
    addresses = [
        _address(node, kept[node], transfers, telling, _role(node, kept, transfers, hidden))
        for node in sorted(kept)
        if node not in hidden
    ]
    addresses += _deposits(kept, around, transfers, telling)
    if not addresses:
        raise NothingToShare(incident.name)
    shown = frozenset((each.network, each.address) for each in addresses)
    return Notice(
        incident=telling.incident,
        name=telling.name,
        by=telling.by,
        started_at=min((each.time for each in incident.trace.thefts), default=telling.at),
        created_at=telling.created_at or telling.at,
        modified_at=telling.at,
        tlp=telling.tlp,
        confidence=telling.confidence,
        addresses=tuple(addresses),
        transactions=_transactions(transfers, shown),
    )


def _kept(nodes: dict[Node, Held], own: Collection[Node]) -> dict[Node, Held]:
    """Without the operator's own, whatever network of the EVM family they are written for."""
    mine = {owner_of(node) for node in own}
    return {node: how for node, how in nodes.items() if owner_of(node) not in mine}


def owner_of(node: Node) -> str:
    """The key behind an address, or the address itself: what is one owner's on every network."""
    return key_of(*node) or f"{node[0]}:{node[1]}"


def _role(node: Node, kept: dict[Node, Held], transfers: Iterable[Transfer], hidden: Collection[Node]) -> Role:
    """The theft paid it, in the Bitcoin family through a transaction of its own."""
    if kept[node].is_root:
        return Role.THIEF
    payers = {(each.network, each.source) for each in transfers if (each.network, each.target) == node}
    return (
        Role.THIEF
        if any(each in hidden and each in kept and kept[each].is_root for each in payers)
        else Role.LAUNDERING
    )


def bitcoin_transactions(transfers: Iterable[Transfer]) -> frozenset[Node]:
    """Nodes that are transactions and no addresses."""
    found = set()
    for each in transfers:
        if each.movement is Movement.INPUT:
            found.add((each.network, each.target))
        elif each.movement in {Movement.OUTPUT, Movement.FEE}:
            found.add((each.network, each.source))
    return frozenset(found)


def _address(node: Node, how: Held, transfers: Iterable[Transfer], telling: Telling, role: Role) -> SharedAddress:
    touching = [each for each in transfers if node in ((each.network, each.source), (each.network, each.target))]
    units: dict[str, int] = {}
    for each in touching:
        if each.target == node[1]:
            units[each.asset] = units.get(each.asset, 0) + each.units
    return SharedAddress(
        network=node[0],
        address=node[1],
        role=role,
        confidence=min(how.confidence, telling.confidence) if role is not Role.THIEF else how.confidence,
        first_seen=min((each.time for each in touching), default=how.since),
        last_seen=max((each.time for each in touching), default=how.since),
        units=units,
        valid_until=telling.at + telling.valid_seconds,
    )


def _deposits(
    kept: dict[Node, Held], around: Surroundings, transfers: list[Transfer], telling: Telling
) -> list[SharedAddress]:
    """Deposit addresses that what the thief held paid straight: the service knows its customer."""
    mine = {owner_of(node) for node in telling.own}
    found: dict[Node, SharedAddress] = {}
    for each in transfers:
        node = each.network, each.target
        label = around.service(node, each.time)
        is_deposit = label is not None and label.kind is LabelKind.DEPOSIT
        if not is_deposit or label is None or (each.network, each.source) not in kept or owner_of(node) in mine:
            continue
        how = Held(min(label.confidence, kept[each.network, each.source].confidence), each.time, is_root=False)
        found[node] = replace(_address(node, how, transfers, telling, Role.DEPOSIT), service=label.name)
    return [found[node] for node in sorted(found)]


def _transactions(transfers: list[Transfer], shown: frozenset[Node]) -> tuple[SharedTransaction, ...]:
    """Transactions in which a shared address took part; sides that are not shared have no address."""
    rows: dict[tuple[str, str], list[Transfer]] = {}
    for each in transfers:
        rows.setdefault((each.network, each.transaction), []).append(each)
    found = []
    for (network, transaction), moved in rows.items():
        sides = [(network, each.source) for each in moved] + [(network, each.target) for each in moved]
        if not any(side in shown for side in sides):
            continue
        inputs = tuple(
            SharedSide(each.source if (network, each.source) in shown else "", each.asset, each.units)
            for each in moved
            if each.movement not in {Movement.OUTPUT, Movement.FEE}
        )
        outputs = tuple(
            SharedSide(each.target if (network, each.target) in shown else "", each.asset, each.units)
            for each in moved
            if each.movement not in {Movement.INPUT, Movement.FEE}
        )
        found.append(SharedTransaction(network, transaction, moved[0].time, inputs, outputs))
    return tuple(found)
