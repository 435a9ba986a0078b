"""The mirrored journal folded with the signer's own code, entry by entry as they come: what merchants may order out.

The platform's copy of what the signer believes, to compare the ledger with. It decides nothing.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from psycopg import AsyncConnection

from holdfast.core.errors import HoldfastError
from holdfast.core.journal import StoredEntry, read_entries
from holdfast.payments import mirror
from holdfast.payments.reconciliation import Entitlement
from holdfast.policy.record import Record

_AT_ONCE = 2_000


@dataclass(slots=True)
class MirroredRecord:
    """The record that the mirrored entries fold into."""

    record: Record = field(default_factory=Record)
    error: str | None = None
    """Why the journal cannot be followed; it is not tried again until the process starts anew."""

    async def catch_up(self, conn: AsyncConnection[Any]) -> None:
        """Take the entries that have come since."""
        while self.error is None and (stored := await mirror.stored(conn, self.record.head.seq, _AT_ONCE)):
            # Some thousands of entries take a second: other networks go on meanwhile.
            await asyncio.to_thread(self._fold, stored)

    async def entitlements(self, conn: AsyncConnection[Any], asset: str) -> list[Entitlement] | None:
        """What each merchant may order out by the journal, and by ledger and payouts; None without a journal."""
        if self.error is not None or self.record.head.seq == 0:
            return None
        by_journal = {who: units for (who, of), units in self.record.entitlements.items() if of == asset}
        ahead, behind = await _sums(conn, _AHEAD, asset), await _sums(conn, _BEHIND, asset)
        by_ledger = await _sums(conn, _LEDGER, asset)
        return [
            Entitlement(who, by_journal.get(who, 0) + behind.get(who, 0) - ahead.get(who, 0), by_ledger.get(who, 0))
            for who in sorted({*by_journal, *by_ledger})
        ]

    def _fold(self, stored: list[StoredEntry]) -> None:
        try:
            for entry in read_entries(self.record.head, stored):
                self.record.apply(entry)
        except (HoldfastError, KeyError, IndexError) as error:
            self.error = f"after entry {self.record.head.seq}: {type(error).__name__} {error}"[:300]


async def _sums(conn: AsyncConnection[Any], query: str, asset: str) -> dict[str, int]:
    cursor = await conn.execute(query, {"asset": asset})
    return {row[0]: int(row[1]) for row in await cursor.fetchall()}


# Deposits that the signer has journaled and that are not credited here yet: its policy may ask for fewer confirmations.
_AHEAD = """
    SELECT deposit.merchant_id, sum(deposit.units - deposit.units * merchant.tariff_basis_points / 10000)
    FROM payments.deposits AS deposit JOIN payments.merchants AS merchant ON merchant.id = deposit.merchant_id
    WHERE deposit.asset = %(asset)s AND deposit.state <> 'confirmed' AND (
        SELECT count(*) FILTER (WHERE kind = 'deposit') - count(*) FILTER (WHERE kind = 'deposit-gone')
        FROM payments.journal WHERE kind IN ('deposit', 'deposit-gone') AND subject = deposit.key
          AND network = deposit.network) > 0
    GROUP BY deposit.merchant_id
"""
# Deposits that are credited here and not journaled yet.
_BEHIND = """
    SELECT deposit.merchant_id, sum(deposit.units - deposit.tariff_units) FROM payments.deposits AS deposit
    JOIN payments.signer_hints AS hint ON hint.kind = 'deposit' AND hint.network = deposit.network
        AND hint.key = deposit.key
    WHERE deposit.asset = %(asset)s AND deposit.state = 'confirmed' AND hint.is_open GROUP BY deposit.merchant_id
"""
# What the ledger has for him, without what he ordered and the signer has not taken on yet, minus what he owes.
_LEDGER = """
    SELECT owner, sum(units) FROM (
        SELECT owner, CASE kind WHEN 'merchant' THEN credits_posted - debits_posted - debits_pending
                                ELSE credits_posted - debits_posted END AS units
        FROM ledger.accounts WHERE asset = %(asset)s AND kind IN ('merchant', 'receivable')
        UNION ALL
        SELECT merchant_id, lines_units + fee_units FROM payments.payouts
        WHERE asset = %(asset)s AND state IN ('reserved', 'awaiting-approval') AND accepted_at IS NULL
    ) AS parts GROUP BY owner
"""
