"""What arrives at an address and how it leaves again, asset by asset: the raw matter of behaviour. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from holdfast.trace.model import Movement, Transfer
from holdfast.trace.reading import place

_GAS_ALLOWANCE = {"slip44:195": 50_000_000}
"""Units of a coin that stay behind for gas at each forward, where that is not Victor's 0.01 of a coin of 18 decimals:
on TRON 50 TRX, more than a token transfer without energy burns."""
_GAS_OF_EVM = 10**16
_DUST_PARTS = 100
"""One part in so many of an asset may stay behind: rounding, and tokens that take a fee."""


@dataclass(frozen=True, slots=True)
class Forward:
    """One payment out of an address that had received."""

    target: str
    asset: str
    time: int
    seconds: int
    """Since the first receipt that it forwards."""
    is_emptying: bool
    """Whether nothing but gas or dust of that asset was left."""


@dataclass(frozen=True, slots=True)
class Forwards:
    """How one address passes on what it gets."""

    made: tuple[Forward, ...]
    targets: dict[str, int]
    """Payments by target, of assets that it had received."""
    payments: int
    payers: frozenset[str]
    """Who paid it, without those who only sent coin for gas."""
    feeders: frozenset[str]
    """Who sent it coin for gas ahead of a token's forward."""
    is_reused: bool
    """Whether it received again after it had forwarded, and forwarded that too."""

    def emptied(self, wallets: frozenset[str]) -> bool:
        """Whether nine in ten of its forwards to these wallets left nothing behind."""
        to_them = [forward for forward in self.made if forward.target in wallets]
        return bool(to_them) and sum(forward.is_emptying for forward in to_them) * 10 >= 9 * len(to_them)


def counts(row: Transfer) -> bool:
    """Whether a row moves anything from one address to another: fees and transfers of nothing do not."""
    return row.units > 0 and row.movement is not Movement.FEE and row.source != row.target


def of_address(arriving: Sequence[Transfer], leaving: Sequence[Transfer]) -> Forwards:
    """What one address does, from all that arrived at it and left it (see `counts`)."""
    by_asset: dict[str, list[Transfer]] = defaultdict(list)
    for row in (*arriving, *leaving):
        by_asset[row.asset].append(row)
    has_token_forwards = any(row.movement is Movement.TOKEN for row in leaving)
    made: list[Forward] = []
    targets: dict[str, int] = defaultdict(int)
    payers: set[str] = set()
    feeders: set[str] = set()
    is_reused = False
    for asset, rows in by_asset.items():
        address_rows = sorted(rows, key=place)
        received = {row.asset for row in arriving}
        if asset not in received:
            continue  # what leaves and never arrived is a forged log, or came before the store begins
        feeding = _feeding(asset, address_rows, arriving, is_fed=has_token_forwards)
        feeders |= {row.source for row in feeding}
        payers |= {row.source for row in arriving if row.asset == asset and row not in feeding}
        here = _forwarded(asset, address_rows, {id(row) for row in arriving}, sorted(row.time for row in leaving))
        made += here.forwards
        is_reused |= here.is_reused
        for forward in here.forwards:
            targets[forward.target] += 1
    return Forwards(
        made=tuple(sorted(made, key=lambda each: (each.time, each.asset))),
        targets=dict(targets),
        payments=sum(targets.values()),
        payers=frozenset(payers),
        feeders=frozenset(feeders - payers),
        is_reused=is_reused,
    )


def _feeding(asset: str, rows: Sequence[Transfer], arriving: Sequence[Transfer], *, is_fed: bool) -> set[Transfer]:
    """Coin that arrived for gas: as little as a forward needs, at an address from which tokens are forwarded."""
    if not is_fed or not is_coin(asset):
        return set()
    here = set(arriving)
    return {row for row in rows if row in here and row.units <= gas_allowance(asset)}


@dataclass(frozen=True, slots=True)
class _Forwarded:
    forwards: list[Forward]
    is_reused: bool


def _forwarded(asset: str, rows: Sequence[Transfer], arrived: set[int], paying: Sequence[int]) -> _Forwarded:
    """Forwards of one asset. What came before the store begins may make the balance negative: then it is empty.

    `paying`: when it paid anything; each time may have cost gas, which no transfer shows.
    """
    allowance = gas_allowance(asset) if is_coin(asset) else 0
    forwards: list[Forward] = []
    balance, received, waiting_since = 0, 0, 0
    is_reused = False
    for row in rows:
        if id(row) in arrived:
            balance, received = balance + row.units, received + row.units
            waiting_since = waiting_since or row.time
            continue
        balance -= row.units
        is_emptying = balance <= allowance * (1 + bisect_right(paying, row.time)) or balance * _DUST_PARTS <= received
        is_reused |= bool(forwards) and bool(waiting_since)
        forwards.append(Forward(row.target, asset, row.time, row.time - (waiting_since or row.time), is_emptying))
        if is_emptying:
            waiting_since = 0
    return _Forwarded(forwards, is_reused)


def is_coin(asset: str) -> bool:
    """Whether a CAIP-19 id is a network's own coin."""
    return "/slip44:" in asset


def gas_allowance(asset: str) -> int:
    """Units of a coin that a forward may leave behind, or that a feeder sends ahead of one."""
    return _GAS_ALLOWANCE.get(asset.rpartition("/")[2], _GAS_OF_EVM)
