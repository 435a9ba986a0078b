"""Which of the float's coins pay for a transaction (Bitcoin family). Pure and without randomness.

First it looks for coins that need no change (branch and bound, Erhardt 2016), then takes the largest until there is
enough; final coins before change that is still on its way. Every payment is in the transaction, exactly as asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from holdfast.core.bitcoin import Input, Output, Transaction, input_vbytes, output_vbytes, sorted_transaction, vbytes

INPUTS_MAX = 200
CHAIN_MAX = 20
"""How many of our own transactions may wait one behind the other: nodes stop relaying at 25."""
ADDED_MAX = 3
"""Coins that a replacement may add."""
_TRIES_MAX = 20_000
_DUST_RATE = 3_000
"""Smallest units per 1,000 vbytes at which nodes measure dust."""


@dataclass(frozen=True, slots=True)
class Utxo:
    """A coin of the float."""

    outpoint: str
    units: int
    depth: int = 0
    """How many unconfirmed transactions of ours it stands upon; 0: final."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What all transactions of one float share."""

    script: bytes
    """Of the float's address: its coins, and where change returns to."""
    is_segwit: bool
    fee_per_kvb: int
    """Smallest units per 1,000 vbytes."""
    dust_units: int = 0
    """Least that nodes of this network relay, where that is more than the family's rule (Dogecoin)."""

    def fee_units(self, weight_vbytes: int) -> int:
        """The fee of so many vbytes, rounded up."""
        return -(-weight_vbytes * self.fee_per_kvb // 1000)

    @property
    def input_fee_units(self) -> int:
        """What it costs to spend one coin."""
        return self.fee_units(input_vbytes(is_segwit=self.is_segwit))

    def is_dust(self, output: Output) -> bool:
        """Whether nodes would not relay it: it costs a third of itself to spend."""
        spend = 67 if output.script[:1] <= b"\x60" and output.script[:1] not in (b"\x76", b"\xa9") else 148
        least = (output_vbytes(output.script) + spend) * _DUST_RATE // 1000
        return output.units < max(least, self.dust_units)


@dataclass(frozen=True, slots=True)
class Selection:
    """A transaction that pays."""

    transaction: Transaction
    spent: tuple[Utxo, ...]
    fee_units: int
    change_index: int | None
    change_units: int


@dataclass(frozen=True, slots=True)
class NotEnough:
    """The coins that may be spent now do not reach."""

    missing_units: int


def select(coins: Sequence[Utxo], payments: Sequence[Output], frame: Frame) -> Selection | NotEnough:
    """A transaction that makes these payments at the frame's fee rate."""
    worth = [coin for coin in coins if coin.units > frame.input_fee_units and coin.depth < CHAIN_MAX]
    order = sorted(worth, key=lambda coin: (coin.depth, -coin.units, coin.outpoint))
    largest = sorted(worth, key=lambda coin: (-coin.units, coin.depth, coin.outpoint))
    bare = vbytes(Transaction((), tuple(payments)), is_segwit=frame.is_segwit)
    target = sum(payment.units for payment in payments) + frame.fee_units(bare)
    exact = _without_change([coin for coin in order if coin.depth == 0][:INPUTS_MAX], target, frame)
    if exact is not None and (made := _changeless(exact, payments, frame)) is not None:
        return made
    # The largest of all come second: a crowd of small final coins must not stand before a large one that waits.
    for choice in (order, largest):
        chosen: list[Utxo] = []
        for coin in choice[:INPUTS_MAX]:
            chosen.append(coin)
            made = _made(chosen, payments, frame)
            if made is not None:
                return made
    have = sum(coin.units - frame.input_fee_units for coin in largest[:INPUTS_MAX])
    return NotEnough(max(1, target - have))


def everything_to(coins: Sequence[Utxo], script: bytes, frame: Frame) -> Selection | NotEnough:
    """All coins (at most `INPUTS_MAX`, the largest first), less the fee, to one script: cap sweep, rotation,
    consolidation."""
    worth = [coin for coin in coins if coin.units > frame.input_fee_units and coin.depth < CHAIN_MAX]
    chosen = sorted(worth, key=lambda coin: (-coin.units, coin.outpoint))[:INPUTS_MAX]
    inputs = tuple(Input(coin.outpoint) for coin in chosen)
    total = sum(coin.units for coin in chosen)
    fee = frame.fee_units(vbytes(Transaction(inputs, (Output(script, total),)), is_segwit=frame.is_segwit))
    output = Output(script, max(0, total - fee))
    if not chosen or frame.is_dust(output):
        return NotEnough(1)
    transaction = sorted_transaction(Transaction(inputs, (output,)))
    is_own = script == frame.script
    return Selection(transaction, tuple(chosen), fee, 0 if is_own else None, output.units if is_own else 0)


def replacement(
    old: tuple[Transaction, int | None, int], spent: Sequence[Utxo], frame: Frame, spare: Sequence[Utxo] = ()
) -> Selection | None:
    """The same payments at a higher fee (BIP 125): from the same coins and their change, and where that does not reach,
    from a few of `spare` besides, which must be final. `old`: the transaction, the place of its change, its fee. None
    where the fee is high enough already or nothing reaches."""
    transaction, change_index, old_fee_units = old
    payments = [output for place, output in enumerate(transaction.outputs) if place != change_index]
    for count in range(min(len(spare), ADDED_MAX) + 1):
        made = _made([*spent, *spare[:count]], payments, frame)
        if made is None:
            continue
        relay = vbytes(made.transaction, is_segwit=frame.is_segwit)  # rule 4: one unit a vbyte more than before
        if made.fee_units >= old_fee_units + relay:
            return made
        if frame.fee_units(relay) <= old_fee_units:
            return None
    return None


def _made(chosen: Sequence[Utxo], payments: Sequence[Output], frame: Frame) -> Selection | None:
    """The transaction of these coins, with change if that is worth spending and no dust. None: not enough."""
    inputs = tuple(Input(coin.outpoint) for coin in chosen)
    total = sum(coin.units for coin in chosen) - sum(payment.units for payment in payments)
    with_change = Transaction(inputs, (*payments, Output(frame.script, 1)))
    change = Output(frame.script, total - frame.fee_units(vbytes(with_change, is_segwit=frame.is_segwit)))
    if change.units > frame.input_fee_units and not frame.is_dust(change):
        transaction = sorted_transaction(Transaction(inputs, (*payments, change)))
        place = transaction.outputs.index(change)
        return Selection(transaction, tuple(chosen), total - change.units, place, change.units)
    return _changeless(chosen, payments, frame)


def _changeless(chosen: Sequence[Utxo], payments: Sequence[Output], frame: Frame) -> Selection | None:
    """The transaction of these coins whose rest is fee. None: not enough."""
    inputs = tuple(Input(coin.outpoint) for coin in chosen)
    total = sum(coin.units for coin in chosen) - sum(payment.units for payment in payments)
    bare = sorted_transaction(Transaction(inputs, tuple(payments)))
    if total < frame.fee_units(vbytes(bare, is_segwit=frame.is_segwit)):
        return None
    return Selection(bare, tuple(chosen), total, None, 0)


def _without_change(coins: Sequence[Utxo], target: int, frame: Frame) -> list[Utxo] | None:
    """Coins whose effective value meets the target within the cost of making and spending change."""
    values = [coin.units - frame.input_fee_units for coin in coins]
    left = sum(values)
    tolerance = frame.fee_units(output_vbytes(frame.script)) + frame.input_fee_units
    chosen: list[int] = []
    value, place = 0, 0
    for _ in range(_TRIES_MAX):
        if target <= value <= target + tolerance:
            return [coins[at] for at in chosen]
        if value > target + tolerance or value + left < target or place == len(values):
            # Back to the last coin that was taken, and on without it.
            while chosen and place > chosen[-1] + 1:
                place -= 1
                left += values[place]
            if not chosen:
                return None
            place = chosen[-1]
            value -= values[chosen.pop()]
            place += 1
            continue
        left -= values[place]
        value += values[place]
        chosen.append(place)
        place += 1
    return None
