"""What reconciliation reads from the database: accounts, deposits, flows of one asset, entries nobody accounts for.

Queries alone; every one is to be run in the snapshot that `reconciling` has opened.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection

from holdfast.core.money import AssetId
from holdfast.core.networks import BitcoinNetwork
from holdfast.payments.catalogue import ListedNetwork
from holdfast.payments.house_money import CAP_SWEEP
from holdfast.payments.reconciliation import FINDINGS_MAX, Accounts, Finding, FindingKind, Flow
from holdfast.policy.record import GAS_PURPOSES


@dataclass(frozen=True, slots=True)
class Forwarder:
    """A deposit address that has got something."""

    address: str
    index: int
    deposits: int
    """How many: an address that was found empty is looked at again when it has got another."""


async def accounts(conn: AsyncConnection[Any], asset: str) -> Accounts:
    """What the ledger says of an asset, by kind of account."""
    cursor = await conn.execute(
        "SELECT kind, sum(credits_posted - debits_posted) FROM ledger.accounts WHERE asset = %s GROUP BY kind", (asset,)
    )
    credit = {row[0]: int(row[1]) for row in await cursor.fetchall()}
    return Accounts(
        vault=-credit.get("vault", 0),
        float=-credit.get("float", 0),
        merchants=credit.get("merchant", 0),
        payable=credit.get("payable", 0),
        claim=credit.get("claim", 0),
        income=credit.get("income", 0),
        unattributed=credit.get("unattributed", 0),
        receivable=-credit.get("receivable", 0),
        company=credit.get("company", 0),
        deficit=-credit.get("deficit", 0),
    )


async def uncredited(conn: AsyncConnection[Any], asset: str, height: int) -> int:
    """Deposits in blocks that are not on anybody's balance: waiting for confirmations, held, returned, too little."""
    cursor = await conn.execute(
        """
        SELECT coalesce(sum(units), 0) FROM payments.deposits
        WHERE asset = %s AND block_height <= %s AND state <> 'confirmed'
        """,
        (asset, height),
    )
    row = await cursor.fetchone()
    return 0 if row is None else int(row[0])


async def forwarders(conn: AsyncConnection[Any], network: str) -> list[Forwarder]:
    """Deposit addresses that have got something (EVM)."""
    cursor = await conn.execute(
        """
        SELECT deposit.address, address.index, count(*) FROM payments.deposits AS deposit
        JOIN payments.addresses AS address USING (network, address)
        WHERE deposit.network = %s AND deposit.block_height IS NOT NULL
        GROUP BY deposit.address, address.index ORDER BY address.index
        """,
        (network,),
    )
    return [Forwarder(*row) for row in await cursor.fetchall()]


async def store_unflushed(
    conn: AsyncConnection[Any],
    network: str,
    found: Sequence[Forwarder],
    lying: Mapping[tuple[str, AssetId], int],
) -> None:
    """Keep what lies at deposit addresses now: the signer is told where a flush would bring something."""
    index_of = {one.address: one.index for one in found}
    rows = [(network, index_of[at], asset, units) for (at, asset), units in lying.items() if at in index_of]
    await conn.execute("DELETE FROM payments.unflushed WHERE network = %s", (network,))
    async with conn.cursor() as cursor:
        await cursor.executemany("INSERT INTO payments.unflushed VALUES (%s, %s, %s, %s)", rows)


async def flows(conn: AsyncConnection[Any], listed: ListedNetwork, asset: AssetId, height: int) -> list[Flow]:
    """Transactions of the house's whose chain and ledger are not the same, rightly or not."""
    found = await _signers(conn, listed, asset, height)
    found += await _vaults(conn, listed, asset, height)
    found += await _arrived(conn, listed, asset, height)
    return found + await _strays(conn, listed, asset)


async def strange_entries(conn: AsyncConnection[Any], network: str, asset: str, *, is_coin: bool) -> list[Finding]:
    """Ledger entries on vault and float that no deposit, payout or house transaction accounts for, by what they are
    about. Reads all entries of both accounts."""
    values = {"asset": asset, "network": network, "limit": FINDINGS_MAX}
    found = await _strange(conn, "vault", _VAULT_EXPECTED, values)
    return found + await _strange(conn, "float", _FLOAT_EXPECTED + (_FEES_EXPECTED if is_coin else ""), values)


async def _signers(conn: AsyncConnection[Any], listed: ListedNetwork, asset: AssetId, height: int) -> list[Flow]:
    """The signer's transactions that are in a block or in the ledger, but not in both."""
    cursor = await conn.execute(_SIGNERS, {"network": listed.id, "height": height})
    found = []
    for (
        transaction,
        of,
        purpose,
        is_mined,
        is_final,
        is_reverted,
        out,
        fee,
        unpaid,
        is_posted,
    ) in await cursor.fetchall():
        left = 0 if is_reverted else int(out) - int(unpaid)
        moved = left if of == asset else 0
        cost = int(fee) if asset == listed.network.coin.id and purpose not in GAS_PURPOSES else 0
        is_sweep = purpose == CAP_SWEEP
        chain = -(moved + cost) if is_mined else 0
        in_ledger = -(moved if (is_posted if is_sweep else is_final) else 0) - (cost if is_final else 0)
        to_vault = moved if is_sweep else 0
        flow = Flow(
            transaction,
            is_explained=True,
            vault_chain=to_vault if is_mined else 0,
            vault_ledger=to_vault if is_posted else 0,
            float_chain=chain,
            float_ledger=in_ledger,
            is_settled=False,
        )
        if (flow.vault_chain, flow.float_chain) != (flow.vault_ledger, flow.float_ledger):
            found.append(flow)
    return found


async def _vaults(conn: AsyncConnection[Any], listed: ListedNetwork, asset: AssetId, height: int) -> list[Flow]:
    """Transactions out of the vault that are not in the ledger as they are in their block."""
    query = _OUT_OF_VAULT_BITCOIN if isinstance(listed.network, BitcoinNetwork) else _OUT_OF_VAULT_EVM
    due = height - listed.settings.confirmations[-1].count + 1
    cursor = await conn.execute(query, {"network": listed.id, "asset": asset, "due": due})
    return [
        Flow(
            transaction,
            is_explained=not others,
            vault_chain=int(vault),
            vault_ledger=int(booked_vault),
            float_chain=int(arrived),
            float_ledger=int(booked_float),
            is_settled=bool(is_due),
            detail=f"the vault paid {others}" if others else "",
        )
        for transaction, vault, arrived, booked_vault, booked_float, others, is_due in await cursor.fetchall()
    ]


async def _arrived(conn: AsyncConnection[Any], listed: ListedNetwork, asset: AssetId, height: int) -> list[Flow]:
    """Money from outside at the float's or the vault's own addresses that is not in the ledger."""
    due = height - listed.settings.confirmations[-1].count + 1
    cursor = await conn.execute(
        _ARRIVED, {"network": listed.id, "asset": asset, "due": due, "gas": sorted(GAS_PURPOSES)}
    )
    return [
        Flow(transaction, is_explained=True, vault_chain=int(vault), float_chain=int(to_float), is_settled=bool(is_due))
        for transaction, vault, to_float, is_due in await cursor.fetchall()
    ]


async def _strays(conn: AsyncConnection[Any], listed: ListedNetwork, asset: AssetId) -> list[Flow]:
    """Spends of the float that are in nobody's journal."""
    if asset != listed.network.coin.id and isinstance(listed.network, BitcoinNetwork):
        return []
    cursor = await conn.execute(_STRAYS, {"network": listed.id, "asset": asset})
    return [
        Flow(
            transaction,
            is_explained=False,
            float_chain=int(back) - int(spent),
            detail=f"block {height} spends {', '.join(keys[:5])} of the float",
        )
        for transaction, spent, back, height, keys in await cursor.fetchall()
    ]


async def _strange(conn: AsyncConnection[Any], kind: str, expected: str, values: Mapping[str, object]) -> list[Finding]:
    cursor = await conn.execute(_STRANGE.format(expected=expected), {**values, "code": f"{kind} {values['asset']} "})
    return [
        Finding(
            FindingKind.ENTRY_WITHOUT_CHAIN if booked else FindingKind.CHAIN_WITHOUT_ENTRY,
            about,
            str(int(booked) - int(wanted)),
            f"{kind}: {int(booked)} by entries {', '.join(keys or [])[:200]}; {int(wanted)} accounted for",
        )
        for about, booked, wanted, keys in await cursor.fetchall()
    ]


_SIGNERS = """
    SELECT kept.transaction, kept.asset, kept.purpose, kept.height <= %(height)s AS is_mined, kept.state = 'final',
        coalesce(kept.is_reverted, false), kept.out_units, coalesce(kept.paid_fee_units, kept.fee_units),
        coalesce(kept.unpaid_units, 0),
        EXISTS (SELECT FROM payments.house_entries AS posted WHERE posted.is_posted
            AND (posted.network, posted.transaction) = (kept.network, kept.transaction))
    FROM payments.transactions AS kept
    WHERE kept.network = %(network)s AND kept.height IS NOT NULL AND (
        kept.state = 'mined' OR kept.height > %(height)s OR (kept.purpose = 'cap-sweep' AND kept.state = 'final'))
"""
_OUT_OF_VAULT_BITCOIN = """
    SELECT out.transaction, paid.vault - out.units, paid.float, coalesce(posted.vault_units, 0),
        coalesce(posted.float_units, 0), paid.others, out.height <= %(due)s
    FROM (
        SELECT transaction, sum(units) AS units, min(height) AS height FROM payments.outflows
        WHERE network = %(network)s AND place = 'vault' GROUP BY transaction
    ) AS out
    JOIN LATERAL (
        SELECT coalesce(sum(units) FILTER (WHERE place = 'vault'), 0) AS vault,
            coalesce(sum(units) FILTER (WHERE place = 'float'), 0) AS float,
            string_agg(units || ' to ' || coalesce(address, key), ', ')
                FILTER (WHERE place IS NULL AND payout_id IS NULL) AS others
        FROM payments.vault_payments WHERE network = %(network)s AND transaction = out.transaction
    ) AS paid ON true
    LEFT JOIN payments.house_entries AS posted ON posted.is_posted AND posted.network = %(network)s
        AND posted.transaction = out.transaction AND posted.asset = %(asset)s
    WHERE paid.others IS NOT NULL OR (paid.vault - out.units, paid.float)
        IS DISTINCT FROM (coalesce(posted.vault_units, 0), coalesce(posted.float_units, 0))
"""
_OUT_OF_VAULT_EVM = """
    SELECT paid.transaction, -paid.units, paid.float, coalesce(posted.vault_units, 0), coalesce(posted.float_units, 0),
        paid.others, paid.height <= %(due)s
    FROM (
        SELECT transaction, min(height) AS height, sum(units) AS units,
            coalesce(sum(units) FILTER (WHERE place = 'float'), 0) AS float,
            string_agg(units || ' to ' || coalesce(address, key), ', ')
                FILTER (WHERE place IS NULL AND payout_id IS NULL) AS others
        FROM payments.vault_payments WHERE network = %(network)s AND asset = %(asset)s GROUP BY transaction
    ) AS paid
    LEFT JOIN payments.house_entries AS posted ON posted.is_posted AND posted.network = %(network)s
        AND posted.transaction = paid.transaction AND posted.asset = %(asset)s
    WHERE paid.others IS NOT NULL OR (-paid.units, paid.float)
        IS DISTINCT FROM (coalesce(posted.vault_units, 0), coalesce(posted.float_units, 0))
"""
_ARRIVED = """
    SELECT came.transaction, coalesce(sum(came.units) FILTER (WHERE came.place = 'vault'), 0),
        coalesce(sum(came.units) FILTER (WHERE came.place = 'float'), 0), min(came.height) <= %(due)s
    FROM payments.house_arrivals AS came
    LEFT JOIN payments.transactions AS kept ON (kept.network, kept.transaction) = (came.network, came.transaction)
    WHERE came.network = %(network)s AND came.asset = %(asset)s
      AND (came.origin = 'outside' OR kept.purpose = ANY(%(gas)s))
      AND NOT EXISTS (SELECT FROM payments.house_entries AS posted WHERE posted.is_posted
        AND (posted.network, posted.transaction, posted.asset) = (came.network, came.transaction, came.asset))
      AND NOT EXISTS (SELECT FROM payments.outflows AS out
        WHERE (out.network, out.transaction) = (came.network, came.transaction))
    GROUP BY came.transaction
"""
_STRAYS = """
    SELECT out.transaction, sum(out.units), (
            SELECT coalesce(sum(back.units), 0) FROM payments.house_arrivals AS back WHERE back.asset = %(asset)s
            AND back.network = %(network)s AND back.transaction = out.transaction AND back.place = 'float'),
        min(out.height), array_agg(out.key ORDER BY out.key)
    FROM payments.outflows AS out
    WHERE out.network = %(network)s AND out.place = 'float' AND NOT EXISTS (
        SELECT FROM payments.transactions AS kept
        WHERE (kept.network, kept.transaction) = (out.network, out.transaction))
    GROUP BY out.transaction
"""
_VAULT_EXPECTED = """
    SELECT id AS about, units FROM payments.deposits WHERE asset = %(asset)s AND state = 'confirmed'
    UNION ALL SELECT network || ' ' || transaction, vault_units FROM payments.house_entries
    WHERE asset = %(asset)s AND is_posted
"""
_FLOAT_EXPECTED = """
    SELECT network || ' ' || transaction AS about, float_units AS units FROM payments.house_entries
    WHERE asset = %(asset)s AND is_posted
    UNION ALL SELECT payout.id, -sum(line.units) FROM payments.payouts AS payout
    JOIN payments.payout_lines AS line ON line.payout_id = payout.id
    WHERE payout.asset = %(asset)s AND line.state = 'paid' AND NOT payout.is_direct GROUP BY payout.id
"""
_FEES_EXPECTED = """
    UNION ALL SELECT transaction, -paid_fee_units FROM payments.transactions
    WHERE network = %(network)s AND state = 'final' AND paid_fee_units > 0
      AND purpose NOT IN ('flush', 'forwarder-deployment', 'gas-top-up')
"""
_STRANGE = """
    WITH account AS (SELECT id FROM ledger.accounts WHERE code = %(code)s),
    moved AS (
        SELECT about, sum(units) AS units, (array_agg(key ORDER BY seq))[1:5] AS keys FROM (
            SELECT t.about, t.units, t.key, t.seq FROM ledger.transfers AS t JOIN account ON t.debit = account.id
            WHERE t.step IN ('posted', 'post')
            UNION ALL
            SELECT t.about, -t.units, t.key, t.seq FROM ledger.transfers AS t JOIN account ON t.credit = account.id
            WHERE t.step IN ('posted', 'post')
        ) AS legs GROUP BY about
    ), expected AS (SELECT about, sum(units) AS units FROM ({expected}) AS parts GROUP BY about)
    SELECT coalesce(moved.about, expected.about), coalesce(moved.units, 0), coalesce(expected.units, 0), moved.keys
    FROM moved FULL JOIN expected ON moved.about = expected.about
    WHERE coalesce(moved.units, 0) <> coalesce(expected.units, 0)
    ORDER BY 1 LIMIT %(limit)s
"""
