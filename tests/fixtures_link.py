"""Thefts told by hand, for tests of linking and sharing: who paid whom, what a trace made of it, who is labelled."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from holdfast.core.evm import checksum, keccak256
from holdfast.trace.labels.book import Book
from holdfast.trace.link.incident import Feature, Incident, Node
from holdfast.trace.model import End, EndKind, Label, LabelKind, Movement, Reason, Step, Trace, Transfer
from holdfast.trace.reading import ListedTransfers, place

ETHEREUM = "eip155:1"
ETH = "eip155:1/slip44:60"
USDT = "eip155:1/erc20:0xdac17f958d2ee523a2206206994597c13d831ec7"
NOON = 1_690_000_000


def account(name: str) -> str:
    """An EVM address of this name: the same in every test."""
    return checksum(keccak256(name.encode())[-20:])


def label(name: str, kind: LabelKind, who: str = "", network: str = ETHEREUM) -> Label:
    return Label(network, account(name), who or name, kind, "test feed 1", 90, NOON)


@dataclass
class Story:
    """One theft told by hand; names are accounts."""

    name: str
    start: int = NOON
    thefts: list[Transfer] = field(default_factory=list)
    moves: list[tuple[Transfer, Reason, int]] = field(default_factory=list)
    others: list[Transfer] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    given: tuple[Feature, ...] = ()
    vouched: frozenset[Node] = frozenset()

    def transfer(
        self, source: str, target: str, units: int, asset: str = ETH, minutes: int = 0, network: str = ETHEREUM
    ) -> Transfer:
        number = len(self.thefts) + len(self.moves) + len(self.others) + 1
        time = self.start + 60 * (minutes or number)
        transaction = "0x" + keccak256(f"{self.name}{number}".encode()).hex()
        movement = Movement.TOKEN if "erc20" in asset else Movement.COIN
        return Transfer(
            network=network, height=time // 12, order=number, time=time, transaction=transaction,
            source=account(source), target=account(target), asset=asset, units=units, movement=movement,
            evidence=f"{self.name}-{number}",
        )  # fmt: skip

    def theft(self, source: str, target: str, units: int, **how: object) -> "Story":
        self.thefts.append(self.transfer(source, target, units, **how))  # type: ignore[arg-type]  as the builder's own
        return self

    def move(
        self, source: str, target: str, units: int, reason: Reason = Reason.DIRECT, confidence: int = 95, **how: object
    ) -> "Story":
        moved = self.transfer(source, target, units, **how)  # type: ignore[arg-type]  as the builder's own
        self.moves.append((moved, reason, confidence))
        return self

    def beside(self, source: str, target: str, units: int, **how: object) -> "Story":
        """A transfer that is in the store and not in the trace."""
        self.others.append(self.transfer(source, target, units, **how))  # type: ignore[arg-type]  as the builder's own
        return self

    def label(self, name: str, kind: LabelKind, who: str = "") -> "Story":
        self.labels.append(label(name, kind, who))
        return self

    def trace(self) -> Trace:
        rows = [(each, Reason.THEFT, 100) for each in self.thefts] + self.moves
        rows.sort(key=lambda row: place(row[0]))
        steps = [
            Step(f"E{number:04d}", each, number, reason, confidence, {"haircut": each.units})
            for number, (each, reason, confidence) in enumerate(rows, 1)
        ]
        named = {each.address: each for each in self.labels if each.kind.is_service}
        ends = [
            End(s.transfer.network, s.transfer.target, s.transfer.asset, EndKind.SERVICE, {}, named[s.transfer.target])
            for s in steps
            if s.transfer.target in named
        ]
        return Trace(list(self.thefts), steps, ends)

    def all_transfers(self) -> list[Transfer]:
        return [*self.thefts, *(each for each, _, _ in self.moves), *self.others]

    def incident(self, beside: Iterable[Transfer] = (), labels: Sequence[Label] = ()) -> Incident:
        return Incident(
            self.name,
            self.trace(),
            ListedTransfers([*self.all_transfers(), *beside]),
            Book([*self.labels, *labels]),
            given=self.given,
            vouched=self.vouched,
        )
