"""Transfers: post, reserve, void. One row each; added, never changed.

Guarantees: a key is used once, for ever, whatever is replayed in whatever order; an account with a floor never goes
below it, and what is pending counts as spent; all transfers of a call take effect with the caller's transaction.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from psycopg import AsyncConnection
from psycopg.errors import DeadlockDetected, UniqueViolation

from holdfast.core.errors import BadInput, Conflict
from holdfast.core.money import UNITS_MAX
from holdfast.ledger.accounts import Account

_WORDS = re.compile(r"[ -~]{0,200}")
"""What a database takes for certain: one odd text would fail the others of its batch."""


class TransferMalformed(BadInput):
    """A transfer's amount, words, or step with what it settles are impossible. Correct it; nothing was posted."""

    code = "transfer-malformed"


class LedgerRaced(Conflict):
    """Another transaction posted the same key or held the same accounts. Run the whole transaction again."""

    code = "ledger-raced"
    retry = True


class Step(StrEnum):
    """What a transfer does to the two accounts."""

    POSTED = "posted"
    PENDING = "pending"
    POST = "post"
    VOID = "void"


class Rule(StrEnum):
    """Why a transfer is refused, in the order in which the rules are looked at."""

    KEY_REUSED = "key-reused"
    """The key belongs to a transfer with another content."""
    ACCOUNTS_SAME = "accounts-same"
    ASSETS_DIFFER = "assets-differ"
    PENDING_UNKNOWN = "pending-unknown"
    PENDING_DIFFERS = "pending-differs"
    """It names other accounts than the pending transfer that it ends."""
    PENDING_ENDED = "pending-ended"
    PENDING_EXCEEDED = "pending-exceeded"
    """It posts more than is pending, or voids another amount."""
    BALANCE_TOO_LOW = "balance-too-low"


@dataclass(frozen=True, slots=True)
class Transfer:
    """`units` of one asset from the debited to the credited account: the debited one has less credit afterwards."""

    key: str
    """Idempotency key, unique for ever."""
    debit: Account
    credit: Account
    units: int
    about: str
    """Id of what caused it: a deposit, a payout."""
    kind: str
    """What it is for, in one word: `deposit`, `tariff`, `reorg`."""
    step: Step = Step.POSTED
    settles: str | None = None
    """Key of the pending transfer that it ends."""

    def __post_init__(self) -> None:
        ends = self.step in (Step.POST, Step.VOID)
        words = all(_WORDS.fullmatch(text) for text in (self.key, self.about, self.kind))
        if not words or not self.key or not 0 < self.units <= UNITS_MAX or ends != (self.settles is not None):
            raise TransferMalformed(f"key={self.key!r} units={self.units} step={self.step} settles={self.settles!r}")


def reserve(transfer: Transfer) -> Transfer:
    """The same transfer as a pending one: what it debits counts as spent, and is not yet the other's."""
    return replace(transfer, step=Step.PENDING)


def post_pending(pending: Transfer, key: str, units: int | None = None) -> Transfer:
    """The transfer that makes a pending one real, for `units` or all of it; the rest is released."""
    amount = pending.units if units is None else units
    return replace(pending, key=key, units=amount, step=Step.POST, settles=pending.key)


def void(pending: Transfer, key: str) -> Transfer:
    """The transfer that takes a pending one back."""
    return replace(pending, key=key, step=Step.VOID, settles=pending.key)


@dataclass(frozen=True, slots=True)
class Posted:
    """It is in the ledger, at this place."""

    seq: int


@dataclass(frozen=True, slots=True)
class Replayed:
    """It was in the ledger already, at this place; nothing moved."""

    seq: int


@dataclass(frozen=True, slots=True)
class Refused:
    """It is not in the ledger; nothing moved."""

    rule: Rule


Outcome = Posted | Replayed | Refused

POST = (
    b"SELECT place, seq, rule FROM ledger.post(%b::text[], %b::text[], %b::text[], %b::text[], %b::numeric[],"
    b" %b::text[], %b::text[], %b::text[]) ORDER BY place"
)


async def post(connection: AsyncConnection, transfers: Sequence[Transfer]) -> list[Outcome]:
    """Post transfers in order, within the connection's transaction; one outcome for each.

    A later transfer sees what the earlier ones did. Call it once per transaction: accounts are locked in one order
    within a call. Raises `LedgerRaced`; the transaction is then to be run again, whole.
    """
    if not transfers:
        return []
    columns = (
        [transfer.key for transfer in transfers],
        [transfer.step.value for transfer in transfers],
        [transfer.debit.code for transfer in transfers],
        [transfer.credit.code for transfer in transfers],
        [transfer.units for transfer in transfers],
        [transfer.settles for transfer in transfers],
        [transfer.about for transfer in transfers],
        [transfer.kind for transfer in transfers],
    )
    try:
        cursor = await connection.execute(POST, columns, prepare=True)
        rows = await cursor.fetchall()
    except (UniqueViolation, DeadlockDetected) as error:
        raise LedgerRaced(type(error).__name__) from error
    return [_outcome(seq, rule) for _, seq, rule in rows]


def _outcome(seq: int | None, rule: str | None) -> Outcome:
    if rule is None and seq is not None:
        return Posted(seq)
    if rule == "replayed" and seq is not None:
        return Replayed(seq)
    return Refused(Rule(rule or ""))
