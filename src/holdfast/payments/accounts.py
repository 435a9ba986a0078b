"""A merchant's money as he may see it: balances and ledger entries of his own accounts. Reads only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection

from holdfast import ledger
from holdfast.ledger import AccountKind, Entry
from holdfast.payments.catalogue import Catalogue
from holdfast.payments.paying import merchant, receivable


@dataclass(frozen=True, slots=True)
class AssetBalance:
    """What a merchant has of one asset, in its smallest unit."""

    asset: str
    available_units: int
    """What may be ordered out now."""
    pending_units: int
    """Reserved for payouts that are under way."""
    owed_units: int
    """What he owes, because money that he had ordered out was reorganised away; new deposits repay it first."""


async def balances(conn: AsyncConnection[Any], merchant_id: str) -> list[AssetBalance]:
    """Every asset that the merchant has or had, by asset id."""
    held = await ledger.balances(conn, merchant_id)
    assets = sorted({account.asset for account in held})
    found = []
    for asset in assets:
        mine = held.get(merchant(asset, merchant_id), ledger.Balance())
        debt = held.get(receivable(asset, merchant_id), ledger.Balance())
        found.append(AssetBalance(asset, mine.available, mine.debits_pending, -debt.posted))
    return found


async def balance_at(conn: AsyncConnection[Any], merchant_id: str, asset: str, at: datetime) -> AssetBalance:
    """What the merchant had of an asset at a time."""
    mine = await ledger.balance(conn, merchant(asset, merchant_id), at)
    debt = await ledger.balance(conn, receivable(asset, merchant_id), at)
    return AssetBalance(asset, mine.available, mine.debits_pending, -debt.posted)


@dataclass(frozen=True, slots=True)
class EntryFilter:
    """Which ledger entries to list."""

    merchant_id: str
    asset: str
    kind: AccountKind = AccountKind.MERCHANT
    """His balance, or with `receivable` what he owes."""
    before: int | None = None
    """The last `seq` of the page before; newest come first."""
    limit: int = 50


async def entries(conn: AsyncConnection[Any], catalogue: Catalogue, wanted: EntryFilter) -> Sequence[Entry]:
    """A merchant's ledger entries of one asset, newest first, with balances. Raises `AssetNotListed`."""
    asset = catalogue.asset(wanted.asset).id
    account = ledger.Account(wanted.kind, asset, wanted.merchant_id)
    return await ledger.history(conn, account, before=wanted.before, limit=wanted.limit)
