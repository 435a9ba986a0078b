"""Deposit addresses of exchanges, recognised by what they do on account chains (EVM, TRON). Pure.

Public labels name an exchange's own wallets, of which there are few; a thief ends at deposit addresses, of which each
customer has his own and which nobody lists. But what a deposit address does gives it away: what arrives is forwarded,
whole and soon, to the exchange's wallet, and nothing ever goes anywhere else (Victor, "Address Clustering Heuristics
for Ethereum", FC 2020: at most 0.01 ether less, at most 3,200 blocks later). Here that is told of any asset and of
several receipts forwarded together; the coin that a feeder sends ahead so that a token can be forwarded is no receipt.

Nobody sends to an exchange's own wallet by hand: the exchange could not tell whose money that is. Of swappers and
bridges that is not so, therefore their own wallets show nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

from holdfast.trace.labels.forwards import Forwards, counts, of_address
from holdfast.trace.model import Label, LabelKind, Transfer
from holdfast.trace.reading import Names, Transfers

SOURCE = "Holdfast, by behaviour (Victor 2020)"
PROMPT_SECONDS = 12 * 3600
"""Victor's 3,200 blocks, in seconds: later ones count, but for less."""
PAYEES_MOST = 100
"""Different addresses that one that is looked at pays, at most: forged logs may add some to a deposit address's few."""
EXCLUSIVE = 90
"""Percent of its payments that go to the one owner: what is left allows a refund or two."""
EMPTYING = 90
"""Percent of its forwards that leave nothing but gas."""
CUSTOMERS = 100
"""Reused forwarders that make an unlabelled address the collector of a service: a launderer's ring has fewer, and uses
each address once."""
WALLETS_MOST = 10
"""Wallets that one service forwards to, at most, where no label tells that they are one's."""
UNNAMED = 50
"""How sure it is that an unlabelled collector is a service's."""
SAMPLE = 300
"""Forwarders of an unlabelled collector that are looked at."""

_CUSTODIANS = frozenset({
    LabelKind.EXCHANGE, LabelKind.CUSTODY, LabelKind.PAYMENT, LabelKind.GAMBLING,
})  # fmt: skip
"""Services that give each customer an address of his own and forward it."""


@dataclass(frozen=True, slots=True)
class Found:
    """A deposit address, with what shows it."""

    label: Label
    collector: str
    """The wallet that most of it went on to."""
    why: str


@dataclass(frozen=True, slots=True)
class _Owner:
    """Whose wallets an address forwards to."""

    name: str
    confidence: int
    wallets: frozenset[str]
    is_named: bool = True
    """Whether a label names the service, not only its behaviour."""


@dataclass(slots=True)
class _Case:
    """Everything that is looked at of one network."""

    transfers: Transfers
    names: Names
    network: str
    hubs: dict[str, _Owner | None] = field(default_factory=dict)
    """Unlabelled collectors that were looked at."""


def recognise(
    transfers: Transfers, names: Names, network: str, addresses: Collection[str], *,
    hubs: dict[str, _Owner | None] | None = None,
) -> dict[str, Found]:  # fmt: skip
    """Which of these addresses behave as deposit addresses of a service, and whose. Labelled services are left out.

    `hubs`: collectors of this network that were looked at before, for the next call.
    """
    case = _Case(transfers, names, network, {} if hubs is None else hubs)
    degrees = transfers.degrees(network, addresses)
    looked_at = sorted(
        address
        for address in set(addresses)
        if 0 < degrees[address].targets <= PAYEES_MOST and names.service(network, address, _always()) is None
    )
    found = {}
    for address, forwards in _forwards(case, looked_at).items():
        owner = _owner(case, forwards)
        recognised = None if owner is None else _found(network, address, forwards, owner)
        if recognised is not None:
            found[address] = recognised
    return found


def _always() -> int:
    """A moment after all that is said: labels of services do not end because their word did."""
    return 1 << 40


def _forwards(case: _Case, addresses: Sequence[str]) -> dict[str, Forwards]:
    arriving, leaving = (
        _by(case.transfers.arriving(case.network, addresses), is_target=True),
        _by(case.transfers.leaving(case.network, addresses), is_target=False),
    )
    return {address: of_address(arriving.get(address, ()), leaving.get(address, ())) for address in addresses}


def _by(rows: Iterable[Transfer], *, is_target: bool) -> Mapping[str, list[Transfer]]:
    found: dict[str, list[Transfer]] = defaultdict(list)
    for row in rows:
        if counts(row):
            found[row.target if is_target else row.source].append(row)
    return found


def _owner(case: _Case, forwards: Forwards) -> _Owner | None:
    """Whom nearly all of its payments go to: the wallets of one service, labelled or known by the crowd that pays them.

    Wallets of a service that nobody labelled count to the one that is labelled, if it is only one.
    """
    labelled: dict[str, list[tuple[str, Label]]] = defaultdict(list)
    unlabelled: dict[str, _Owner] = {}
    for target in forwards.targets:
        label = case.names.service(case.network, target, _always())
        if label is not None and label.kind in _CUSTODIANS:
            labelled[owner_of(label.name).casefold()].append((target, label))
        elif label is None and len(forwards.targets) <= WALLETS_MOST and (hub := _hub(case, target)) is not None:
            unlabelled[target] = hub
    for wallets in labelled.values():
        own = [wallet for wallet, _ in wallets] + (list(unlabelled) if len(labelled) == 1 else [])
        if _share(forwards, own) >= EXCLUSIVE:
            surest = max((label for _, label in wallets), key=lambda each: each.confidence)
            return _Owner(owner_of(surest.name), surest.confidence, frozenset(own))
    if labelled or not unlabelled or _share(forwards, unlabelled) < EXCLUSIVE:
        return None
    names = {hub.name: hub for hub in unlabelled.values() if hub.is_named}
    if len(names) > 1:
        return None
    most = next(iter(names.values())) if names else unlabelled[_most(forwards, unlabelled)]
    return replace(most, wallets=frozenset(unlabelled))


def _share(forwards: Forwards, wallets: Iterable[str]) -> int:
    """Percent of its payments that went to these."""
    return sum(forwards.targets[wallet] for wallet in wallets) * 100 // max(forwards.payments, 1)


def _most(forwards: Forwards, wallets: Iterable[str]) -> str:
    return max(wallets, key=lambda each: (forwards.targets.get(each, 0), each))


def _hub(case: _Case, collector: str) -> _Owner | None:
    """An unlabelled collector as a service: a crowd of reused addresses forwards to it, each paid by somebody else."""
    if collector not in case.hubs:
        case.hubs[collector] = _looked_at(case, collector)
    return case.hubs[collector]


def _looked_at(case: _Case, collector: str) -> _Owner | None:
    degree = case.transfers.degrees(case.network, [collector])[collector]
    if degree.sources < CUSTOMERS:
        return None
    payers = sorted({row.source for row in case.transfers.arriving(case.network, [collector]) if counts(row)})[:SAMPLE]
    degrees = case.transfers.degrees(case.network, payers)
    customers: set[str] = set()
    forwarders = 0
    forwarding = _forwards(case, [payer for payer in payers if degrees[payer].targets <= WALLETS_MOST])
    crowded = case.transfers.degrees(case.network, {target for each in forwarding.values() for target in each.targets})
    for forwards in forwarding.values():
        wallets = frozenset(target for target in forwards.targets if crowded[target].sources >= CUSTOMERS)
        if forwards.is_reused and _share(forwards, wallets) >= EXCLUSIVE and forwards.emptied(wallets):
            forwarders += 1
            customers |= forwards.payers
    if forwarders < CUSTOMERS or len(customers) < CUSTOMERS:
        return None
    unnamed = _Owner(f"unnamed service at {collector}", UNNAMED, frozenset({collector}), is_named=False)
    return _named_further(case, collector) or (unnamed if degree.targets >= CUSTOMERS else None)


def _named_further(case: _Case, collector: str) -> _Owner | None:
    """The owner of a collector that itself forwards all to one wallet: many exchanges forward in two steps."""
    forwards = _forwards(case, [collector])[collector]
    most = _most(forwards, forwards.targets) if forwards.targets else ""
    if not most or _share(forwards, [most]) < EXCLUSIVE:
        return None
    label = case.names.service(case.network, most, _always())
    if label is not None and label.kind in _CUSTODIANS:
        return _Owner(owner_of(label.name), label.confidence, frozenset({collector}))
    if label is None and case.transfers.degrees(case.network, [most])[most].targets >= CUSTOMERS:
        return _Owner(f"unnamed service at {most}", UNNAMED, frozenset({collector}), is_named=False)
    return None


def _found(network: str, address: str, forwards: Forwards, owner: _Owner) -> Found | None:
    made = [forward for forward in forwards.made if forward.target in owner.wallets]
    if not made or not forwards.emptied(owner.wallets) or forwards.payers <= owner.wallets:
        return None
    prompt = sum(1 for forward in made if forward.seconds <= PROMPT_SECONDS)
    behaviour = _behaviour(len(made), prompt, forwards)
    collector = _most(forwards, owner.wallets)
    whole = sum(forward.is_emptying for forward in made)
    why = (
        f"{whole} of {len(made)} forwards passed on all that had arrived to {collector} ({owner.name}), "
        f"{prompt} of them within {PROMPT_SECONDS // 3600} hours (median "
        f"{int(median(forward.seconds for forward in made)) // 60} minutes); {len(forwards.payers)} addresses paid it; "
        f"{forwards.payments - len(made)} of its {forwards.payments} payments went elsewhere"
    )
    if forwards.feeders:
        why += f"; coin for gas came from {', '.join(sorted(forwards.feeders)[:2])}"
    label = Label(
        network=network,
        address=address,
        name=owner.name,
        kind=LabelKind.DEPOSIT,
        source=f"{SOURCE}: {why}",
        confidence=behaviour * (50 + owner.confidence // 2) // 100,
        stated_at=max(forward.time for forward in made),
    )
    return Found(label, collector, why)


def _behaviour(forwards: int, prompt: int, seen: Forwards) -> int:
    """How sure the behaviour alone is, 0 to 95: one forward may be chance, each further one is less so."""
    sure = 65 + 5 * min(forwards - 1, 3) + 5 * (len(seen.payers) > 1) + 5 * bool(seen.feeders)
    return min(95, sure) - (15 if prompt * 2 < forwards else 0)


def owner_of(name: str) -> str:
    """Whose wallet a label means: `Binance` of `Binance 14` and of `Binance: Hot Wallet`."""
    words = name.partition(":")[0].split()
    while len(words) > 1 and (not any(char.isalpha() for char in words[-1]) or words[-1].casefold() in _WALLET_WORDS):
        words.pop()
    return " ".join(words).removesuffix(".com") or name


_WALLET_WORDS = frozenset({
    "wallet", "wallets", "hot", "cold", "reserve", "reserves", "btc", "eth", "usdt", "usdc", "trx", "erc20",
    "eth/erc20", "deposit", "deposits", "funder", "withdrawals", "exchange", "old", "new", "address",
})  # fmt: skip


class NamesWithBehaviour:
    """Names of a book, and of what behaviour shows where the book says nothing. Implements `reading.Names`.

    Each address is looked at once, when it is first asked about or, many at a time, by `learn`.
    """

    def __init__(self, names: Names, transfers: Transfers) -> None:
        self._names, self._transfers = names, transfers
        self._looked_at: dict[tuple[str, str], Found | None] = {}
        self._hubs: dict[str, dict[str, _Owner | None]] = defaultdict(dict)

    def learn(self, network: str, addresses: Collection[str]) -> dict[str, Found]:
        """Looks at all of these at once; what was recognised of them."""
        fresh = [address for address in addresses if (network, address) not in self._looked_at]
        if fresh and not network.startswith("bip122:"):
            found = recognise(self._transfers, self._names, network, fresh, hubs=self._hubs[network])
            self._looked_at |= {(network, address): found.get(address) for address in fresh}
        known = ((address, self._looked_at.get((network, address))) for address in addresses)
        return {address: found for address, found in known if found is not None}

    def labels(self, network: str, address: str, at: int) -> Sequence[Label]:
        """As `Names.labels`; what behaviour shows comes after what somebody says."""
        found = self.learn(network, [address]).get(address)
        said = self._names.labels(network, address, at)
        return said if found is None else (*said, found.label)

    def service(self, network: str, address: str, at: int) -> Label | None:
        """As `Names.service`."""
        said = self._names.service(network, address, at)
        if said is not None:
            return said
        found = self.learn(network, [address]).get(address)
        return None if found is None else found.label

    def addresses(self, name: str) -> Sequence[tuple[str, str]]:
        """What the book says an actor has, where it can be asked that; without deposit addresses."""
        asked = getattr(self._names, "addresses", None)
        return asked(name) if callable(asked) else ()
