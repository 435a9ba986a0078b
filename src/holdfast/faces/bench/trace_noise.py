"""A seeded town around a theft: what else goes on on a chain meanwhile, as rows among which the true edges are hidden.

Exchanges give each customer a deposit address, feed it gas and sweep it to a wallet from which others are paid; routers
take and give back in one transaction; swappers and bridges take here and give there; people with power-law habits pay
each other; crumbs and look-alike addresses lie about. The theft's own addresses live in that town: its ends behave as
the services that they are, with customers of their own, and its wallets are paid, fed and dusted by strangers. What
leaves a thief's wallet is in the truth and is never added to. Nothing here depends on which theft it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from holdfast.faces.bench.trace_heist import Heist

HEADINGS = "network,time,height,transaction,source,target,asset,units"
_DAY, _BLOCK_SECONDS = 86_400, 12
_BEFORE_AND_AFTER = 3 * _DAY
_MARGIN = 20
"""A usual payment is so many times smaller than a usual edge of the theft."""
_Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Shares:
    """What part of the rows each custom makes; the rest is people who pay each other."""

    deposits: float = 0.30
    paid_out: float = 0.18
    routers: float = 0.15
    swappers: float = 0.10
    crumbs: float = 0.03


@dataclass(frozen=True, slots=True)
class Rows:
    """Columns of transfers; `group` is one transaction, `place` the order in it."""

    time: _Numbers
    group: _Numbers
    place: _Numbers
    source: _Numbers
    target: _Numbers
    asset: _Numbers
    units: NDArray[np.float64]


class Town:
    """Everybody and everything that happens around one theft."""

    def __init__(self, heist: Heist, rows: int, seed: int, wallets: Sequence[str] = ()) -> None:
        """`rows`: of noise, at the least. `wallets`: exchanges' own that public feeds name; half of the exchanges use
        one of them, the others' are on no list.
        """
        self._heist, self._rows, self._shares = heist, rows, Shares()
        self._random = np.random.default_rng(seed)
        self._seed = seed
        self._groups = 0
        self._own = frozenset(name for each in heist.transfers for name in (each.source, each.target))
        self.names: list[str] = sorted(self._own)
        self._number = {name: at for at, name in enumerate(self.names)}
        self._people = self._born(max(200, rows // 8))
        self._feeders = self._born(12)
        self._hot = self._wallets(wallets)
        self._routers, self._swappers = self._born(6), self._born(8)
        self._assets = _Assets(heist)
        times = [each.time for each in heist.transfers]
        self._from, self._until = min(times) - _BEFORE_AND_AFTER, max(times) + _BEFORE_AND_AFTER

    def happenings(self) -> list[Rows]:
        """All of the noise."""
        share, rows = self._shares, self._rows
        found = [
            *self._around_the_theft(),
            *self._customers(int(rows * share.deposits / 3), self._born(max(20, rows // 20))),
            self._payments(int(rows * share.paid_out), self._hot, self._people),
            self._passing(self._routers, int(rows * share.routers / 2)),
            self._payments(int(rows * share.swappers / 2), self._people, self._swappers),
            self._payments(int(rows * share.swappers / 2), self._swappers, self._people),
            self._crumbs(self._people[: max(1, len(self._people) // 10)], int(rows * share.crumbs)),
        ]
        rest = rows - sum(len(each.time) for each in found)
        return [*found, self._payments(max(0, rest), self._people, self._people)]

    def _around_the_theft(self) -> list[Rows]:
        heist = self._heist
        passing = {name for name in self._own - heist.ends if self._passes(name)}
        deposits = {name for name in heist.ends if self._is_deposit(name)}
        services = heist.ends - deposits
        wallets = self._numbers(self._own - heist.ends - passing)
        customers = max(150, self._rows // 1_000)
        found = [self._passing(self._numbers(passing), customers * len(passing))] if passing else []
        for name in sorted(services):
            many = int(customers * (0.5 + self._random.pareto(2)))
            found.append(self._payments(many, self._people, self._numbers({name})))
            found.append(self._payments(many, self._numbers({name}), self._people))
        found += self._swept_ends(sorted(deposits))
        found.append(self._payments(len(wallets) // 2, self._people, wallets))
        found.append(self._crumbs(wallets, len(wallets)))
        found.append(self._fed(self._some(wallets, len(wallets)), self._moments(len(wallets))))
        found.append(self._look_alikes())
        return found

    # --- who is who

    def _passes(self, name: str) -> bool:
        """A router: what comes to it leaves it in the same transaction."""
        came = {each.transaction for each in self._heist.transfers if each.target == name}
        left = {each.transaction for each in self._heist.transfers if each.source == name}
        return bool(came) and came <= left

    def _is_deposit(self, name: str) -> bool:
        """By the verifiers' word; without one, what few pay is a customer's own."""
        label = self._heist.labels.get(name, "").casefold()
        if label:
            return "deposit" in label
        return len({each.source for each in self._heist.transfers if each.target == name}) < 3

    def _wallets(self, known: Sequence[str]) -> _Numbers:
        chosen = [name for name in self._random.permutation(sorted(known))[:4].tolist() if name not in self._number]
        first = len(self.names)
        self.names += chosen
        self._number |= {name: first + at for at, name in enumerate(chosen)}
        return np.concatenate([np.arange(first, len(self.names)), self._born(8 - len(chosen))])

    def _born(self, count: int) -> _Numbers:
        first = len(self.names)
        self.names += [f"0x{raw.hex()}" for raw in self._raw(count)]
        return np.arange(first, first + count)

    def _raw(self, count: int) -> list[bytes]:
        everything = self._random.bytes(20 * count)
        return [everything[20 * at : 20 * at + 20] for at in range(count)]

    def _numbers(self, names: set[str] | frozenset[str]) -> _Numbers:
        return np.array(sorted(self._number[name] for name in names), dtype=np.int64)

    def _some(self, of: _Numbers, count: int) -> _Numbers:
        """A few do most of it."""
        return of[(len(of) * self._random.random(count) ** 3).astype(np.int64)]

    def _moments(self, count: int) -> _Numbers:
        return self._random.integers(self._from, self._until, count)

    # --- what happens

    def _rows_of(self, time: _Numbers, source: _Numbers, target: _Numbers, asset: _Numbers | None = None) -> Rows:
        count = len(time)
        kind = self._assets.drawn(self._random, count) if asset is None else asset
        units = self._assets.usual(kind) / _MARGIN * np.exp(self._random.normal(0, 2, count))
        groups = np.arange(self._groups, self._groups + count)
        self._groups += count
        return Rows(time, groups, np.zeros(count, np.int64), source, target, kind, np.maximum(1, np.floor(units)))

    def _payments(self, count: int, payers: _Numbers, paid: _Numbers) -> Rows:
        return self._rows_of(self._moments(count), self._some(payers, count), self._some(paid, count))

    def _passing(self, routers: _Numbers, count: int) -> Rows:
        """In and out of a router in one transaction, less a fee of three tenths of a percent."""
        came = self._rows_of(self._moments(count), self._some(self._people, count), self._some(routers, count))
        back = Rows(
            came.time, came.group, came.place + 1, came.target, came.source, came.asset, np.ceil(came.units * 0.997)
        )
        return _together([came, back])

    def _customers(self, count: int, deposits: _Numbers) -> list[Rows]:
        """Customers pay their deposit addresses, which are fed and swept."""
        used = self._random.integers(0, len(deposits), count)
        own = self._some(self._people, len(deposits))[used]
        payer = np.where(self._random.random(count) < 0.9, own, self._some(self._people, count))
        came = self._rows_of(self._moments(count), payer, deposits[used])
        return [came, *self._swept(came, self._hot[used % len(self._hot)])]

    def _swept(self, came: Rows, hot: _Numbers) -> list[Rows]:
        """All that came goes on to the exchange within six hours, after a feeder has sent gas."""
        count = len(came.time)
        later = came.time + self._random.integers(300, 6 * 3600, count)
        out = self._rows_of(later, came.target, hot, came.asset)
        out = Rows(out.time, out.group, out.place, out.source, out.target, out.asset, came.units)
        return [out, self._fed(came.target, later - 60)]

    def _fed(self, addresses: _Numbers, time: _Numbers) -> Rows:
        """Gas for them."""
        count = len(addresses)
        gas = self._rows_of(time, self._some(self._feeders, count), addresses, np.zeros(count, np.int64))
        units = self._random.integers(10**15, 10**16, count).astype(np.float64)
        return Rows(gas.time, gas.group, gas.place, gas.source, gas.target, gas.asset, units)

    def _swept_ends(self, deposits: Sequence[str]) -> list[Rows]:
        """The theft's deposit addresses: swept as all are, and used by their owner before and after."""
        if not deposits:
            return []
        hot = dict(zip(deposits, self._some(self._hot, len(deposits)).tolist(), strict=True))
        true = [each for each in self._heist.transfers if each.target in hot]
        came = Rows(
            time=np.array([each.time for each in true]),
            group=np.zeros(len(true), np.int64),
            place=np.zeros(len(true), np.int64),
            source=np.array([self._number[each.source] for each in true]),
            target=np.array([self._number[each.target] for each in true]),
            asset=np.array([self._assets.number(each.asset) for each in true]),
            units=np.array([each.units for each in true], dtype=np.float64),
        )
        numbers = self._numbers(frozenset(deposits))
        used = numbers[self._random.integers(0, len(numbers), 2 * len(numbers))]
        own = self._rows_of(self._moments(len(used)), self._some(self._people, len(used)), used)
        by_number = {self._number[name]: wallet for name, wallet in hot.items()}
        found = self._swept(came, np.array([by_number[at] for at in came.target.tolist()]))
        return [*found, own, *self._swept(own, np.array([by_number[at] for at in used.tolist()]))]

    def _crumbs(self, receivers: _Numbers, count: int) -> Rows:
        """A few units each, from nowhere to everybody."""
        made = self._rows_of(self._moments(count), self._some(self._born(20), count), self._some(receivers, count))
        units = self._random.integers(1, 100, count).astype(np.float64)
        return Rows(made.time, made.group, made.place, made.source, made.target, made.asset, units)

    def _look_alikes(self) -> Rows:
        """After a true edge, a crumb to its payer from an address that looks like the one that he paid."""
        true = [self._heist.transfers[at] for at in range(0, len(self._heist.transfers), 10)]
        first = len(self.names)
        for each, raw in zip(true, self._raw(len(true)), strict=True):
            like = each.target.lower()
            self.names.append(f"{like[:6]}{raw.hex()[4:36]}{like[-4:]}")
        time = np.array([each.time + 600 for each in true])
        fakes = np.arange(first, first + len(true))
        made = self._rows_of(time, fakes, np.array([self._number[each.source] for each in true]))
        return Rows(made.time, made.group, made.place, made.source, made.target, made.asset, np.full(len(true), 1.0))

    def write(self, path: Path) -> int:
        """The town with the theft in it, in the order of time, as a CSV. How many rows of noise."""
        noise = _together(self.happenings())
        order = np.lexsort([noise.place, noise.group, noise.time])
        height = self._heights(noise.time)
        assets = self._assets.names
        true = iter([*self._heist.transfers, None])
        next_true = next(true)
        with path.open("w", encoding="ascii") as file:
            file.write(HEADINGS + "\n")
            for at in order.tolist():
                moment = int(noise.time[at])
                while next_true is not None and next_true.time <= moment:
                    file.write(_line(next_true))
                    next_true = next(true)
                network, asset = assets[noise.asset[at]]
                number = blake2b(f"{self._seed} {noise.group[at]}".encode(), digest_size=32).hexdigest()
                ends = f"{self.names[noise.source[at]]},{self.names[noise.target[at]]}"
                file.write(f"{network},{moment},{height[at]},0x{number},{ends},{asset},{int(noise.units[at])}\n")
            while next_true is not None:
                file.write(_line(next_true))
                next_true = next(true)
        return len(order)

    def _heights(self, time: _Numbers) -> _Numbers:
        """Of blocks, between and beyond those of the theft."""
        known = sorted({(each.time, each.height) for each in self._heist.transfers})
        (first, low), (last, high) = known[0], known[-1]
        known = [(first - _DAY * 9, low - _DAY * 9 // _BLOCK_SECONDS), *known]
        known.append((last + _DAY * 9, high + _DAY * 9 // _BLOCK_SECONDS))
        found = np.interp(time, [moment for moment, _ in known], [at for _, at in known])
        return np.maximum(0, found).astype(np.int64)


class _Assets:
    """The theft's assets as often as in the theft, and first the coin that pays for gas."""

    def __init__(self, heist: Heist) -> None:
        network = heist.transfers[0].network
        often = Counter((each.network, each.asset) for each in heist.transfers)
        self.names = [(network, f"{network}/slip44:60"), *sorted(often)]
        self._often = np.array([often[name] for name in self.names[1:]]) / len(heist.transfers)
        by: Mapping[tuple[str, str], list[int]] = {
            name: sorted(each.units for each in heist.transfers if (each.network, each.asset) == name)
            for name in self.names[1:]
        }
        self._usual = np.array([10**17, *(units[len(units) // 2] for units in by.values())], dtype=np.float64)

    def number(self, asset: str) -> int:
        """Its place among the names, the theft's own before gas."""
        return max(at for at, (_, name) in enumerate(self.names) if name == asset)

    def drawn(self, random: np.random.Generator, count: int) -> _Numbers:
        """Some of the theft's."""
        return 1 + random.choice(len(self._often), count, p=self._often).astype(np.int64)

    def usual(self, kind: _Numbers) -> NDArray[np.float64]:
        """The median edge of the theft in that asset."""
        found: NDArray[np.float64] = self._usual[kind]
        return found


def _together(rows: Sequence[Rows]) -> Rows:
    return Rows(*(np.concatenate([getattr(each, name) for each in rows]) for name in Rows.__slots__))


def _line(each: object) -> str:
    fields = ("network", "time", "height", "transaction", "source", "target", "asset", "units")
    return ",".join(str(getattr(each, name)) for name in fields) + "\n"
