"""Which addresses of the Bitcoin family one owner spends from: proposals of unions, each with its reason. Pure.

Common input: who signs for several inputs holds their keys (Nakamoto 2008, section 10; Meiklejohn et al., IMC 2013). It
fails where several owners sign together, so what looks like a CoinJoin or a PayJoin (BIP 78) proposes nothing.
Change: of several outputs one goes back to the payer. A wrong guess merges strangers (cluster collapse: Möser and
Narayanan, "Resurrecting Address Clustering in Bitcoin", FC 2022), so one output alone must show at least two signs.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from holdfast.trace.model import FEES, Movement, Transfer
from holdfast.trace.reading import Transfers

EQUAL_OUTPUTS = 3
"""Outputs of one amount, beside as many owners of inputs, from which a transaction is taken for a CoinJoin."""
SIGNS_LEAST = 2
"""Signs that an output is change, before a union is proposed for it."""
_ROUND = 10**5
"""An amount that ends in so many zeros was chosen by a person: one to be paid, not one that was left over."""


class UnionReason(StrEnum):
    """Why two addresses are one owner's."""

    INPUTS = "common-input"
    CHANGE = "change"
    KEY = "same-key"
    PERSON = "person"


class Union(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A proposal: these two are one owner's. Revoked by its id."""

    id: str
    network: str
    one: str
    two: str
    reason: UnionReason
    confidence: int
    transaction: str
    time: int
    why: str


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A transaction that proposes nothing, and why."""

    transaction: str
    why: str


@dataclass(frozen=True, slots=True)
class Proposals:
    """What transactions show."""

    unions: tuple[Union, ...]
    left_out: tuple[LeftOut, ...]


def propose(rows: Iterable[Transfer], known: Transfers | None = None) -> Proposals:
    """What all transactions among these rows show of owners; `known` tells which outputs' addresses are fresh.

    A transaction must be whole among the rows. Without `known` no change is proposed.
    """
    by_transaction: dict[tuple[str, str], list[Transfer]] = defaultdict(list)
    for row in rows:
        if row.movement in (Movement.INPUT, Movement.OUTPUT):
            by_transaction[row.network, row.transaction].append(row)
    unions: list[Union] = []
    left_out: list[LeftOut] = []
    for (_, transaction), moved in by_transaction.items():
        inputs = [row for row in moved if row.movement is Movement.INPUT]
        outputs = [row for row in moved if row.movement is Movement.OUTPUT and row.units and row.target != FEES]
        why = together_by_many(inputs, outputs)
        if why:
            left_out.append(LeftOut(transaction, why))
            continue
        unions += _inputs(inputs)
        if known is not None and inputs:
            unions += _change(inputs, outputs, known)
    return Proposals(tuple(unions), tuple(left_out))


def together_by_many(inputs: Sequence[Transfer], outputs: Sequence[Transfer]) -> str:
    """Why a transaction may have several signers; empty: nothing points to it."""
    owners = {row.source for row in inputs}
    if len(owners) < 2 or not outputs:
        return ""
    amount, equal = Counter(row.units for row in outputs).most_common(1)[0]
    if equal >= EQUAL_OUTPUTS and len(owners) >= EQUAL_OUTPUTS:
        return f"{equal} outputs of {amount} units beside {len(owners)} owners of inputs: a CoinJoin"
    if equal == 2 and len(outputs) in (3, 4):
        return f"two outputs of {amount} units and the change of two: a CoinJoin of two"
    if len(outputs) == 2 and _needless(inputs, outputs):
        return "an input without which the larger output could be paid: a PayJoin, or a careless wallet"
    return ""


def _needless(inputs: Sequence[Transfer], outputs: Sequence[Transfer]) -> bool:
    """The unnecessary-input sign of BIP 78: a wallet that pays alone does not add what it does not need."""
    rest = sum(row.units for row in inputs) - min(row.units for row in inputs)
    return rest >= max(row.units for row in outputs)


def _inputs(inputs: Sequence[Transfer]) -> list[Union]:
    owners = sorted({row.source for row in inputs})
    return [
        _union(inputs[0], owners[0], other, UnionReason.INPUTS, 90, f"{len(owners)} addresses signed one transaction")
        for other in owners[1:]
    ]


def _change(inputs: Sequence[Transfer], outputs: Sequence[Transfer], known: Transfers) -> list[Union]:
    owners = {row.source for row in inputs}
    if len(outputs) < 2 or any(row.target in owners for row in outputs):
        return []  # what comes back to an address that paid is the change; nothing is left to guess
    fresh = fresh_of(outputs, known)
    guess = change_of(inputs, outputs, fresh)
    if guess is None:
        return []
    row, signs = guess
    why = f"the output that alone shows {len(signs)} signs of change: {', '.join(signs)}"
    return [_union(inputs[0], sorted(owners)[0], row.target, UnionReason.CHANGE, 40 + 10 * len(signs), why)]


def fresh_of(outputs: Sequence[Transfer], known: Transfers) -> frozenset[str]:
    """Addresses that are paid by this transaction for the first time."""
    targets = {row.target for row in outputs}
    earlier = {
        row.target
        for row in known.arriving(outputs[0].network, targets)
        if (row.height, row.order) < (outputs[0].height, outputs[0].order) and row.transaction != outputs[0].transaction
    }
    return frozenset(targets - earlier)


def change_of(
    inputs: Sequence[Transfer], outputs: Sequence[Transfer], fresh: Collection[str]
) -> tuple[Transfer, tuple[str, ...]] | None:
    """The one output that shows signs of change, with its signs; None: none does, or two could be it."""
    signs = {row: _signs(row, inputs, outputs, fresh) for row in outputs}
    likely = [row for row in outputs if len(signs[row]) >= SIGNS_LEAST]
    best = max((len(each) for each in signs.values()), default=0)
    if len(likely) != 1 or sum(len(each) == best for each in signs.values()) != 1:
        return None
    return likely[0], signs[likely[0]]


def _signs(
    row: Transfer, inputs: Sequence[Transfer], outputs: Sequence[Transfer], fresh: Collection[str]
) -> tuple[str, ...]:
    """What of one output is so of no other."""
    others = [each for each in outputs if each is not row]
    found = []
    if row.target in fresh and not any(other.target in fresh for other in others):
        found.append("the only address never paid before")
    kinds = {script_kind(each.source) for each in inputs}
    if {script_kind(row.target)} == kinds and all(script_kind(other.target) not in kinds for other in others):
        found.append("the only one of the inputs' script type")
    if row.units % _ROUND and all(other.units % _ROUND == 0 for other in others):
        found.append("the only amount that is not round")
    least = min(each.units for each in inputs)
    if len(inputs) > 1 and row.units < least and all(other.units >= least for other in others):
        found.append("the only one smaller than every input")
    return tuple(found)


def script_kind(address: str) -> str:
    """What sort of script an address is of, as far as its text tells."""
    if "1" in address[1:6] and address == address.lower():
        return f"segwit {address.partition('1')[2][:1]} {len(address)}"
    return address[:1]


def _union(row: Transfer, one: str, two: str, reason: UnionReason, confidence: int, why: str) -> Union:  # noqa: PLR0913  a record's columns
    return Union(
        f"{row.transaction}:{reason}:{one}:{two}", row.network, one, two, reason, confidence, row.transaction,
        row.time, why,
    )  # fmt: skip
