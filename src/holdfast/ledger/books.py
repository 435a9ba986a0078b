"""Reading the ledger: balances now and as of any time, an account's history, and whether everything adds up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg import AsyncConnection

from holdfast.ledger.accounts import Account

SEQ_MAX = 2**63 - 1
"""No transfer has it: a bigint goes no further."""


@dataclass(frozen=True, slots=True)
class Balance:
    """What an account holds, in its asset's smallest unit."""

    debits_posted: int = 0
    credits_posted: int = 0
    debits_pending: int = 0
    credits_pending: int = 0

    @property
    def posted(self) -> int:
        """Posted credits minus posted debits: positive is what its owner has."""
        return self.credits_posted - self.debits_posted

    @property
    def available(self) -> int:
        """What may still be debited from an account with a floor: what is pending counts as spent."""
        return self.posted - self.debits_pending


@dataclass(frozen=True, slots=True)
class Entry:
    """One transfer as one of its accounts sees it."""

    seq: int
    key: str
    step: str
    kind: str
    about: str
    counterpart: Account
    change: int
    """What it did to the posted balance: credits positive, pending and voided ones nothing."""
    units: int
    balance: int
    """The posted balance after it."""
    made_at: datetime


@dataclass(frozen=True, slots=True)
class Audit:
    """What adding everything up again showed."""

    transfers: int
    accounts: int
    faults: tuple[str, ...]
    """What does not add up, one sentence each; none where the books balance."""

    @property
    def balanced(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults


async def balance(connection: AsyncConnection, account: Account, at: datetime | None = None) -> Balance:
    """What the account holds now, or what it held at a time. Zero for an account that no transfer has named."""
    if at is not None:
        cursor = await connection.execute(BALANCE_AT, {"code": account.code, "at": at})
    else:
        cursor = await connection.execute(BALANCE_NOW, [account.code])
    row = await cursor.fetchone()
    return Balance() if row is None else Balance(*(int(total) for total in row))


async def balances(connection: AsyncConnection, owner: str) -> dict[Account, Balance]:
    """Every account of one owner, with what it holds."""
    cursor = await connection.execute(BALANCES_OF_OWNER, [owner])
    rows = await cursor.fetchall()
    return {Account.parse(row[0]): Balance(*(int(total) for total in row[1:])) for row in rows}


async def history(
    connection: AsyncConnection, account: Account, *, before: int | None = None, limit: int = 100
) -> Sequence[Entry]:
    """The account's transfers, newest first: those before the one with seq `before`, or the newest."""
    values = {"code": account.code, "before": SEQ_MAX if before is None else before, "limit": limit}
    cursor = await connection.execute(HISTORY, values)
    return [
        Entry(
            seq=row[0],
            key=row[1],
            step=row[2],
            kind=row[3],
            about=row[4],
            counterpart=Account.parse(row[5]),
            change=int(row[6]),
            units=int(row[7]),
            balance=int(row[8]),
            made_at=row[9],
        )
        for row in await cursor.fetchall()
    ]


async def audit(connection: AsyncConnection) -> Audit:
    """Add every transfer up again and compare with what is kept: reads the whole ledger."""
    cursor = await connection.execute(
        "SELECT (SELECT count(*) FROM ledger.transfers), (SELECT count(*) FROM ledger.accounts)"
    )
    row = await cursor.fetchone()
    transfers, accounts = row if row is not None else (0, 0)
    faults: list[str] = []
    for query in (UNBALANCED_ASSETS, WRONG_TOTALS, WRONG_RUNNING_BALANCES, BELOW_FLOOR):
        cursor = await connection.execute(query)
        faults += [fault for (fault,) in await cursor.fetchall()]
    return Audit(transfers, accounts, tuple(faults))


BALANCE_NOW = b"""
SELECT debits_posted, credits_posted, debits_pending, credits_pending FROM ledger.accounts WHERE code = %s
"""

BALANCES_OF_OWNER = b"""
SELECT code, debits_posted, credits_posted, debits_pending, credits_pending
FROM ledger.accounts WHERE owner = %s ORDER BY code
"""

# What is pending at a time: pending transfers made by then that none made by then has ended.
BALANCE_AT = b"""
WITH account AS (SELECT id FROM ledger.accounts WHERE code = %(code)s),
past AS (
    SELECT t.*, t.debit = account.id AS is_debit FROM account JOIN ledger.transfers t ON t.debit = account.id
    WHERE t.made_at <= %(at)s
    UNION ALL
    SELECT t.*, false FROM account JOIN ledger.transfers t ON t.credit = account.id WHERE t.made_at <= %(at)s
), standing AS (
    SELECT * FROM past WHERE step = 'pending' AND NOT EXISTS (SELECT FROM past ended WHERE ended.settles = past.key)
)
SELECT coalesce((SELECT sum(units) FROM past WHERE is_debit AND step IN ('posted', 'post')), 0),
       coalesce((SELECT sum(units) FROM past WHERE NOT is_debit AND step IN ('posted', 'post')), 0),
       coalesce((SELECT sum(units) FROM standing WHERE is_debit), 0),
       coalesce((SELECT sum(units) FROM standing WHERE NOT is_debit), 0)
"""

# The account's number by a subquery, not a join: so each half is read backwards off its index, and stops at the limit.
HISTORY = b"""
WITH mine AS (
    (SELECT t.*, -1 AS sign, t.credit AS other, t.debit_balance AS balance FROM ledger.transfers t
     WHERE t.debit = (SELECT id FROM ledger.accounts WHERE code = %(code)s) AND t.seq < %(before)s
     ORDER BY t.seq DESC LIMIT %(limit)s)
    UNION ALL
    (SELECT t.*, 1, t.debit, t.credit_balance FROM ledger.transfers t
     WHERE t.credit = (SELECT id FROM ledger.accounts WHERE code = %(code)s) AND t.seq < %(before)s
     ORDER BY t.seq DESC LIMIT %(limit)s)
)
SELECT mine.seq, mine.key, mine.step, mine.kind, mine.about, other.code,
       CASE WHEN mine.step IN ('posted', 'post') THEN mine.sign * mine.units ELSE 0 END,
       mine.units, mine.balance, mine.made_at
FROM mine JOIN ledger.accounts other ON other.id = mine.other
ORDER BY mine.seq DESC LIMIT %(limit)s
"""

UNBALANCED_ASSETS = b"""
SELECT format('asset %s: accounts sum to %s, not to zero', asset, sum(credits_posted - debits_posted))
FROM ledger.accounts GROUP BY asset
HAVING sum(credits_posted) <> sum(debits_posted) OR sum(credits_pending) <> sum(debits_pending)
"""

WRONG_TOTALS = b"""
WITH leg AS (
    SELECT debit AS account, true AS is_debit, key, step, units FROM ledger.transfers
    UNION ALL SELECT credit, false, key, step, units FROM ledger.transfers
), added AS (
    SELECT account,
           coalesce(sum(units) FILTER (WHERE is_debit AND step IN ('posted', 'post')), 0) AS debits_posted,
           coalesce(sum(units) FILTER (WHERE NOT is_debit AND step IN ('posted', 'post')), 0) AS credits_posted,
           coalesce(sum(units) FILTER (WHERE is_debit AND step = 'pending' AND NOT ended), 0) AS debits_pending,
           coalesce(sum(units) FILTER (WHERE NOT is_debit AND step = 'pending' AND NOT ended), 0) AS credits_pending
    FROM (SELECT leg.*, leg.step = 'pending'
                 AND EXISTS (SELECT FROM ledger.transfers e WHERE e.settles = leg.key) AS ended FROM leg) AS legs
    GROUP BY account
)
SELECT format('account %s: its totals differ from its transfers', a.code)
FROM ledger.accounts a LEFT JOIN added ON added.account = a.id
WHERE (a.debits_posted, a.credits_posted, a.debits_pending, a.credits_pending) IS DISTINCT FROM
      (coalesce(added.debits_posted, 0), coalesce(added.credits_posted, 0),
       coalesce(added.debits_pending, 0), coalesce(added.credits_pending, 0))
UNION ALL
SELECT format('account number %s is in a transfer and in no list', added.account)
FROM added LEFT JOIN ledger.accounts a ON a.id = added.account WHERE a.id IS NULL
"""

WRONG_RUNNING_BALANCES = b"""
WITH leg AS (
    SELECT seq, debit AS account, CASE WHEN step IN ('posted', 'post') THEN -units ELSE 0 END AS change,
           debit_balance AS written FROM ledger.transfers
    UNION ALL
    SELECT seq, credit, CASE WHEN step IN ('posted', 'post') THEN units ELSE 0 END, credit_balance FROM ledger.transfers
)
SELECT format('transfer %s: the balance written with it is %s and should be %s', seq, written, added)
FROM (SELECT *, sum(change) OVER (PARTITION BY account ORDER BY seq) AS added FROM leg) AS running
WHERE written <> added
"""

BELOW_FLOOR = b"""
SELECT format('account %s is below its floor', a.code) FROM ledger.accounts a JOIN ledger.account_kinds USING (kind)
WHERE account_kinds.has_floor AND a.credits_posted - a.debits_posted - a.debits_pending < 0
"""
