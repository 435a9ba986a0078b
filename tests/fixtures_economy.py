"""An economy on one EVM network that behaves as real ones do: customers, exchanges that forward, feeders, noise.

Made from a seed, with known truth: which address is whose. Nothing in it is tuned to what is recognised; its habits are
those that are described of exchanges: forwards at once, in batches or at a threshold, in two steps, gas sent ahead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from holdfast.core.evm import checksum
from holdfast.trace.model import Label, LabelKind, Movement, Transfer

NETWORK = "eip155:1"
COIN = f"{NETWORK}/slip44:60"
USDT = f"{NETWORK}/erc20:0xdac17f958d2ee523a2206206994597c13d831ec7"
ETHER = 10**18
DAY = 86_400
START = 1_685_600_000


@dataclass(slots=True)
class Exchange:
    """One exchange: its wallets, how it forwards, and its customers' deposit addresses."""

    name: str
    hot: list[str]
    feeder: str
    patience: int
    """Median seconds until it forwards."""
    threshold: int
    """Units of coin below which it does not forward."""
    collector: str | None
    """A first step of two-step forwards."""
    deposits: list[str] = field(default_factory=list)


class Economy:
    """Transfers that are made one after another, and the truth about their addresses."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)  # noqa: S311  the same economy in every run
        self.rows: list[tuple[int, str, str, str, int]] = []
        self.exchanges: list[Exchange] = []

    def address(self) -> str:
        return checksum(self.random.randbytes(20))

    def pay(self, time: int, source: str, target: str, units: int, asset: str = COIN) -> None:
        if units > 0:
            self.rows.append((time, source, target, asset, units))

    def exchange(self, name: str, *, is_two_step: bool = False) -> Exchange:
        made = Exchange(
            name, [self.address() for _ in range(3)], self.address(), self.random.choice([300, 1200, 7200, 30_000]),
            self.random.choice([0, 0, ETHER // 50]), self.address() if is_two_step else None,
        )  # fmt: skip
        self.exchanges.append(made)
        return made

    def customers(self, exchange: Exchange, count: int, people: Sequence[str], until: int) -> None:
        """Deposit addresses with a history: most are paid several times, by their customer and his friends."""
        for _ in range(count):
            deposit = self.address()
            exchange.deposits.append(deposit)
            friends = self.random.sample(list(people), self.random.choice([1, 1, 2, 4]))
            receipts = []
            for _ in range(self.random.choice([1, 2, 3, 5, 9])):
                asset = self.random.choice([COIN, COIN, USDT])
                units = self.random.randrange(ETHER // 10, 5 * ETHER) if asset == COIN else self.random.randrange(10**9)
                receipts.append((self.random.randrange(START, until), asset, units))
            for time, asset, units in sorted(receipts):
                self.pay(time, self.random.choice(friends), deposit, units, asset)
            self.forward(exchange, deposit, receipts)

    def forward(self, exchange: Exchange, deposit: str, receipts: Sequence[tuple[int, str, int]]) -> None:
        """What the exchange does with what arrived: waits, feeds gas for tokens, forwards all but gas."""
        waiting: dict[str, int] = {}
        ordered = sorted(receipts)
        for place, (time, asset, units) in enumerate(ordered):
            waiting[asset] = waiting.get(asset, 0) + units
            due = time + int(self.random.expovariate(1 / exchange.patience)) + 12
            following = [later for later, same, _ in ordered[place + 1 :] if same == asset]
            if following and following[0] <= due:
                continue  # the next receipt comes before the forward: both are forwarded together
            if asset == COIN and waiting[asset] < exchange.threshold:
                continue
            if asset != COIN:
                self.pay(due - 6, exchange.feeder, deposit, ETHER // 500)
            gas = self.random.randrange(3 * 10**14, 4 * 10**15) if asset == COIN else 0
            target = exchange.collector or self.random.choice(exchange.hot)
            self.pay(due, deposit, target, waiting[asset] - gas, asset)
            if exchange.collector and self.random.random() < 0.2:
                self.pay(due + 60, exchange.collector, exchange.hot[0], waiting[asset], asset)
            waiting[asset] = 0

    def pay_customers(self, exchange: Exchange, count: int, people: Sequence[str], until: int) -> None:
        for _ in range(count):
            time = self.random.randrange(START, until)
            source, target = self.random.choice(exchange.hot), self.random.choice(people)
            self.pay(time, source, target, self.random.randrange(ETHER // 20, 3 * ETHER))

    def noise(self, count: int, people: Sequence[str], until: int) -> None:
        """People pay each other; some forward all that they get to one friend, as somebody who moves house does."""
        for _ in range(count):
            source, target = self.random.sample(list(people), 2)
            asset = self.random.choice([COIN, COIN, USDT])
            self.pay(self.random.randrange(START, until), source, target, self.random.randrange(1, 2 * ETHER), asset)
        for _ in range(count // 50):
            source, mover, target = self.random.sample(list(people), 3)
            mover = self.address()
            time, units = self.random.randrange(START, until), self.random.randrange(ETHER // 10, ETHER)
            self.pay(time, source, mover, units)
            self.pay(time + self.random.randrange(60, DAY), mover, target, units - 10**15)

    def transfers(self) -> list[Transfer]:
        """All of them, in the order of time, each a transaction of its own."""
        made = []
        for order, (time, source, target, asset, units) in enumerate(sorted(self.rows)):
            made.append(
                Transfer(
                    network=NETWORK, height=17_000_000 + (time - START) // 12, order=order, time=time,
                    transaction=f"0x{order:064x}", source=source, target=target, asset=asset, units=units,
                    movement=Movement.COIN if asset == COIN else Movement.TOKEN,
                )
            )  # fmt: skip
        return made

    def labels(self, exchanges: Sequence[Exchange]) -> list[Label]:
        """What the public knows: the hot wallets of these exchanges, and no deposit address."""
        return [
            Label(NETWORK, wallet, f"{each.name} {number}", LabelKind.EXCHANGE, "public list", 80, START)
            for each in exchanges
            for number, wallet in enumerate(each.hot, 1)
        ]
