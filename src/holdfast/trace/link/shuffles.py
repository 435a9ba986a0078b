"""How many addresses two strangers would share by chance: shuffles that keep every degree. Pure, by a seed.

The configuration model (Newman, Strogatz and Watts 2001): every address that either theft paid keeps as many payments
as it received in the whole store, each theft keeps as many as it made, and who paid whom is drawn anew among all that
is stored. An address that receives much is shared by chance; one that receives two payments in its life is not.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence, Sized

import numpy as np

from holdfast.trace.link.incident import Incident, Node, by_network, edges
from holdfast.trace.link.words import Overlap

SHUFFLES = 200
_RECEIVED_MOST = 10**6
"""More payments to one address say nothing more: it is shared by nearly every draw already."""
_ELSEWHERE_MOST = 5 * 10**8
"""What the draw can hold together with the rest."""


def overlap(incidents: Sequence[Incident], out: Collection[Node], seed: int, shuffles: int = SHUFFLES) -> Overlap:
    """Addresses that both of two incidents paid, `out` left aside, beside what shuffles give."""
    one, other = (_paid(incident, out) for incident in incidents)
    targets = sorted(one.keys() | other.keys())
    shared = len(one.keys() & other.keys())
    if not one or not other:
        return Overlap(shared, 0, shuffles if shared == 0 else 0, shuffles, seed)
    received = _received(incidents, targets)
    stubs = np.array(
        [min(max(received[node], one.get(node, 0) + other.get(node, 0)), _RECEIVED_MOST) for node in targets],
        dtype=np.int64,
    )
    stored = max((len(each.transfers) for each in incidents if isinstance(each.transfers, Sized)), default=0)
    elsewhere = min(max(0, stored - int(stubs.sum())), _ELSEWHERE_MOST)
    stubs = np.append(stubs, elsewhere)
    mine, its = sum(one.values()), sum(other.values())
    random = np.random.default_rng(seed)
    total, as_many = 0, 0
    for _ in range(shuffles):
        first = random.multivariate_hypergeometric(stubs, mine, method="marginals")
        second = random.multivariate_hypergeometric(stubs - first, its, method="marginals")
        drawn = int(np.count_nonzero((first[:-1] > 0) & (second[:-1] > 0)))
        total += drawn
        as_many += drawn >= shared
    return Overlap(shared, total * 1_000 // shuffles, as_many, shuffles, seed)


def _paid(incident: Incident, out: Collection[Node]) -> dict[Node, int]:
    """By address, how many addresses of the theft paid it. A pair counts once, however often it paid."""
    pairs = {(each.network, each.source, each.target) for each in edges(incident)}
    found: dict[Node, int] = {}
    for network, source, target in sorted(pairs):
        if (network, target) not in out and (network, source) not in out:
            found[network, target] = found.get((network, target), 0) + 1
    return found


def _received(incidents: Sequence[Incident], nodes: Collection[Node]) -> dict[Node, int]:
    found = dict.fromkeys(nodes, 0)
    for network, addresses in by_network(nodes).items():
        for incident in incidents:
            for address, degree in incident.transfers.degrees(network, addresses).items():
                found[network, address] = max(found[network, address], degree.sources)
    return found
