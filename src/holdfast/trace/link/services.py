"""Which addresses are everybody's: by label, by how they behave, by how many strangers pass there. Pure.

Taken out before anything is intersected: else every two thefts are linked, by an exchange. The dangerous one carries
no label: it only feeds a bridge, two strangers' loot went through it, and a filter of labels lets it pass.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from holdfast.trace.labels.deposits import NamesWithBehaviour
from holdfast.trace.link.incident import Held, Incident, Node, by_network, edges, ends_at_services
from holdfast.trace.link.words import Removal, Removed
from holdfast.trace.model import Label, LabelKind, Movement, Transfer
from holdfast.trace.reading import place

STRANGERS_LEAST = 10
"""Fewer strangers could be dust and address poisoning, which anybody may send to a thief's address; and a thief's own
other addresses, which the trace did not reach."""
DUST_PARTS = 1_000
"""What strangers paid counts from a thousandth of the least that the incidents themselves paid there, per asset."""
FETCHED_MOST = 20_000
"""Transfers of one address beyond which it is judged by its counts alone: no thief's address has as many."""
_FRONTED = frozenset({LabelKind.BRIDGE, LabelKind.DEX, LabelKind.SWAPPER, LabelKind.MIXER, LabelKind.ISSUER})
"""Services with addresses of their own in front, which are no customer's: routers, relays, vaults."""
_CUSTODIAL = frozenset({LabelKind.EXCHANGE, LabelKind.PAYMENT, LabelKind.GAMBLING})
"""Services that set an address aside for one customer."""
NULL_ADDRESSES = frozenset({
    "0x0000000000000000000000000000000000000000", "0x000000000000000000000000000000000000dead",
    "t9yd14nj9j7xab4dbgeix9h8unkkhxuwwb",
})  # fmt: skip
"""Nobody's, in lower case: where tokens are made and burnt."""


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """What the stores say of one address, both cases' together."""

    arriving: tuple[Transfer, ...] = ()
    leaving: tuple[Transfer, ...] = ()
    crowd: int = 0
    """How many different addresses paid it or were paid by it, where it has too many transfers to read them."""


class Surroundings:
    """Incidents' stores and labels, asked once for each address."""

    def __init__(self, incidents: Sequence[Incident]) -> None:
        """Reads nothing yet."""
        self.incidents = incidents
        self.vouched: frozenset[Node] = frozenset().union(*(incident.vouched for incident in incidents))
        self.ended: dict[Node, Label | None] = {}
        for incident in incidents:
            self.ended |= ends_at_services(incident)
        self._known: dict[Node, Neighbourhood] = {}
        self.latest = max((each.time for incident in incidents for each in edges(incident)), default=0)
        """The last moment that any of the traces speaks of, seconds since 1970."""
        for network, addresses in by_network(self._targets()).items():
            self._learn(network, addresses)

    def _targets(self) -> set[Node]:
        """Whom the traces paid: names are asked for all of these, once each."""
        return {(each.network, each.target) for incident in self.incidents for each in edges(incident)}

    def load(self, nodes: Collection[Node]) -> None:
        """Asks for many addresses at once."""
        missing = by_network(node for node in nodes if node not in self._known)
        for network, addresses in missing.items():
            self._learn(network, addresses)
            crowds = self._crowds(network, addresses)
            few = [address for address in addresses if not crowds[address]]
            arriving: dict[str, set[Transfer]] = {address: set() for address in few}
            leaving: dict[str, set[Transfer]] = {address: set() for address in few}
            for incident in self.incidents:
                for each in incident.transfers.arriving(network, few):
                    arriving[each.target].add(each)
                for each in incident.transfers.leaving(network, few):
                    leaving[each.source].add(each)
            for address in few:
                self._known[network, address] = Neighbourhood(_timely(arriving[address]), _timely(leaving[address]))
            for address in set(addresses) - set(few):
                self._known[network, address] = Neighbourhood(crowd=crowds[address])

    def _learn(self, network: str, addresses: Sequence[str]) -> None:
        """Many at a time, where names come from behaviour."""
        for incident in self.incidents:
            if isinstance(incident.names, NamesWithBehaviour):
                incident.names.learn(network, addresses)

    def _crowds(self, network: str, addresses: Sequence[str]) -> dict[str, int]:
        crowds = dict.fromkeys(addresses, 0)
        for incident in self.incidents:
            for address, degree in incident.transfers.degrees(network, addresses).items():
                if degree.arriving + degree.leaving > FETCHED_MOST:
                    crowds[address] = max(crowds[address], degree.sources, degree.targets, 1)
        return crowds

    def of(self, node: Node) -> Neighbourhood:
        """Everything stored of an address; nothing where no store knows it."""
        if node not in self._known:
            self.load((node,))
        return self._known[node]

    def service(self, node: Node, at: int) -> Label | None:
        """The surest label of a service (or of public code) there, from any case."""
        found = []
        for incident in self.incidents:
            label = incident.names.service(*node, at)
            contracts = (each for each in incident.names.labels(*node, at) if each.kind is LabelKind.CONTRACT)
            found += [one for one in (label, next(contracts, None), self.ended.get(node)) if one is not None]
        return max(found, key=lambda label: label.confidence, default=None)


def _timely(transfers: Iterable[Transfer]) -> tuple[Transfer, ...]:
    return tuple(sorted(transfers, key=lambda each: (place(each), each.transaction)))


def public(around: Surroundings, sides: Sequence[Mapping[Node, Held]]) -> dict[Node, Removed]:
    """Of what the thieves held, the addresses that are everybody's, each with its reason."""
    nodes = {node for side in sides for node in side} | set(around.ended)
    found = {}
    for node in sorted(nodes - around.vouched):
        verdict = _by_name(around, node, _when(around, node, sides))
        if verdict is not None:
            found[node] = Removed(node[0], node[1], *verdict)
    rest = nodes - around.vouched - found.keys()
    around.load(rest)
    for node in sorted(rest):
        verdict = _by_history(around, node, sides)
        if verdict is not None:
            found[node] = Removed(node[0], node[1], *verdict)
    return found


def _when(around: Surroundings, node: Node, sides: Sequence[Mapping[Node, Held]]) -> int:
    """The moment of which a label must speak: when it was first paid, else the end of what is known."""
    return max((side[node].since for side in sides if node in side), default=0) or around.latest


def _by_name(around: Surroundings, node: Node, at: int) -> tuple[Removal, str] | None:
    """Without a look at its transfers: a service has too many to read them for nothing."""
    if node[1].lower() in NULL_ADDRESSES:
        return Removal.NOBODY, "the null address"
    label = around.service(node, at)
    if label is not None:
        if label.kind is LabelKind.DEPOSIT:
            return Removal.DEPOSIT, f"{label.source} names it a deposit address of {label.name}"
        return Removal.LABEL, f"{label.source} names it {label.name} ({label.kind})"
    return (Removal.LABEL, "the trace ended there at a service") if node in around.ended else None


def _by_history(around: Surroundings, node: Node, sides: Sequence[Mapping[Node, Held]]) -> tuple[Removal, str] | None:
    near = around.of(node)
    if any(each.asset.lower().endswith(node[1].lower()) for each in near.arriving):
        return Removal.NOBODY, "an asset's own contract"
    if any(node in side and side[node].is_root for side in sides):
        return None
    own = {each for side in sides for each in side}
    return by_degree(near, node, own) or _by_customers(around, near) or _by_feeding(around, near, sides)


def by_degree(near: Neighbourhood, node: Node, own: Collection[Node]) -> tuple[Removal, str] | None:
    """A service where most of who pays it, or whom it pays, has nothing to do with the thefts."""
    if near.crowd:
        return Removal.DEGREE, f"at least {near.crowd} different addresses paid it or were paid"
    network = node[0]
    mine, strangers = _payers(near, network, own)
    if strangers >= STRANGERS_LEAST and strangers > mine:
        return Removal.DEGREE, f"{strangers} strangers paid it, and {mine} addresses of the thefts"
    paid = {each.target for each in near.leaving if each.movement is not Movement.FEE}
    known = sum((network, target) in own for target in paid)
    if len(paid) - known >= STRANGERS_LEAST and len(paid) > 2 * known and mine + strangers >= STRANGERS_LEAST:
        return Removal.DEGREE, f"it paid {len(paid) - known} strangers, and {known} addresses of the thefts"
    return None


def _payers(near: Neighbourhood, network: str, own: Collection[Node]) -> tuple[int, int]:
    """How many addresses of the thefts paid it, and how many others, dust and forged tokens left out."""
    ours = [each for each in near.arriving if (network, each.source) in own]
    least: dict[str, int] = {}
    for each in ours:
        least[each.asset] = min(each.units, least.get(each.asset, each.units))
    others = {
        each.source
        for each in near.arriving
        if (network, each.source) not in own
        and each.units > 0
        and each.units * DUST_PARTS >= least.get(each.asset, 0)
        and (each.asset in least or each.movement is not Movement.TOKEN or not least)
    }
    return len({each.source for each in ours}), len(others)


def is_public_feeder(near: Neighbourhood, network: str, own: Collection[Node]) -> bool:
    """Whether most of whom it feeds are strangers, and enough of them that it is a service's hot wallet."""
    fed = {each.target for each in near.leaving}
    strangers = sum((network, target) not in own for target in fed)
    return bool(near.crowd) or (strangers >= STRANGERS_LEAST and 2 * strangers > len(fed))


def fed_services(around: Surroundings, near: Neighbourhood) -> list[Label] | None:
    """The services that are all it ever paid; None where it paid anybody else, or nobody."""
    labels = []
    for each in near.leaving:
        if each.movement is Movement.FEE:
            continue
        label = around.service((each.network, each.target), each.time)
        if label is None:
            return None
        labels.append(label)
    return labels or None


def customer_of(around: Surroundings, near: Neighbourhood) -> str:
    """The one custodial service that is all it ever paid: it behaves as a customer's deposit address there; or empty.

    After Victor, Address Clustering Heuristics for Ethereum (Financial Cryptography 2020).
    """
    fed = fed_services(around, near)
    if fed is None or not all(label.kind in _CUSTODIAL for label in fed) or len({label.name for label in fed}) != 1:
        return ""
    return fed[0].name


def _by_customers(around: Surroundings, near: Neighbourhood) -> tuple[Removal, str] | None:
    where = customer_of(around, near)
    return (
        (Removal.DEPOSIT, f"all that it ever paid is {where}, as a customer's deposit address does") if where else None
    )


def _by_feeding(
    around: Surroundings, near: Neighbourhood, sides: Sequence[Mapping[Node, Held]]
) -> tuple[Removal, str] | None:
    fed = fed_services(around, near)
    if fed is None or not all(label.kind in _FRONTED for label in fed) or merges(near, sides):
        return None
    names = ", ".join(sorted({label.name for label in fed}))
    return Removal.FRONT, f"unlabelled, and all that it ever paid is {names}: it may be that service's own front"


def merges(near: Neighbourhood, sides: Sequence[Mapping[Node, Held]]) -> bool:
    """Whether one transfer out of it can only be paid with money of every side: a front passes on, a purse collects.

    It is larger than all that had come in the asset from anywhere but one side, for each of the sides.
    """
    total: dict[str, int] = {}
    of_side: list[dict[str, int]] = [{} for _ in sides]
    for each in sorted((*near.arriving, *near.leaving), key=place):
        if each in near.arriving:
            total[each.asset] = total.get(each.asset, 0) + each.units
            for nodes, sums in zip(sides, of_side, strict=True):
                if (each.network, each.source) in nodes:
                    sums[each.asset] = sums.get(each.asset, 0) + each.units
        elif all(each.units > total.get(each.asset, 0) - sums.get(each.asset, 0) for sums in of_side):
            return True
    return False
