"""What the officers' checking machine is told about a settlement that is due: a request, never a draft to be signed.

All of it is untrusted there: the machine finds inputs, claim and evidence again by itself. It only saves the search.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from psycopg import AsyncConnection

from holdfast import ledger
from holdfast.core.descriptors import Branch
from holdfast.core.errors import Conflict
from holdfast.core.money import Asset, parse_units
from holdfast.core.networks import BitcoinNetwork
from holdfast.payments import mirror, outflow_books, paying, reconciling
from holdfast.payments.catalogue import Catalogue, ListedNetwork
from holdfast.payments.house_places import house_places
from holdfast.runtime.settings import FloatSettings

INPUTS_MAX = 50
"""What an officer's device signs in a sitting."""


class FloatMissing(Conflict):
    """Nothing is paid out on this asset's network, so there is no float to fill. Configure `float` for it first."""

    code = "float-missing"


class DraftInput(Struct, frozen=True):
    """An output of the vault that the settlement may spend (Bitcoin family)."""

    outpoint: str
    branch: int
    """0: a deposit address; 1: change."""
    index: int
    units: str
    height: int


class SettlementDraft(Struct, frozen=True):
    """A settlement that would be good to have now. All units are texts of the asset's smallest."""

    network: str
    asset: str
    float_address: str
    float_units: str
    """What lies at the float, by the newest reconciliation."""
    cap_units: str | None
    """Most that it shall hold; None: no cap is configured here (the signed policy has one)."""
    claim_units: str
    """What the vault owes the company, by the ledger."""
    wanted_units: str
    """What the settlement should bring: the claim, as far as the cap allows. The network's fee comes on top, and counts
    against the claim too."""
    inputs: list[DraftInput]
    """Enough for `wanted_units`, the largest first, at most `INPUTS_MAX` (Bitcoin family)."""
    change_index: int | None
    """A change address that nothing has been paid to (Bitcoin family)."""
    safe: str | None
    """The vault (EVM)."""
    vault_units: str
    """What lies in the vault, by the newest reconciliation; of EVM with what is not flushed yet."""
    journal_seq: int
    """The evidence up to here (`/v1/evidence`) is what `claim_units` follows from."""
    journal_hash: str


async def draft(conn: AsyncConnection[Any], catalogue: Catalogue, asset_id: str) -> SettlementDraft:
    """The settlement of an asset that would be good now. Raises `AssetNotListed`, `FloatMissing`."""
    listed, asset = catalogue.listing(asset_id), catalogue.asset(asset_id)
    given = listed.settings.float
    places = await house_places(conn, listed)
    if given is None or places.is_empty:
        raise FloatMissing(listed.network.name)
    newest = {one.asset: one.figures for one in await reconciling.newest(conn)}.get(asset_id)
    there = 0 if newest is None else int(newest.float_chain_units)
    claim = (await ledger.balance(conn, paying.claim(asset_id))).posted
    cap = _cap(given, asset)
    wanted = max(0, claim if cap is None else min(claim, cap - there - await _in_flight(conn, listed, asset_id)))
    head = await mirror.head(conn)
    is_bitcoin = isinstance(listed.network, BitcoinNetwork)
    return SettlementDraft(
        network=listed.id,
        asset=asset_id,
        float_address=given.address,
        float_units=str(there),
        cap_units=None if cap is None else str(cap),
        claim_units=str(claim),
        wanted_units=str(wanted),
        inputs=choose(await _inputs(conn, listed), wanted) if is_bitcoin else [],
        change_index=await _change_index(conn, listed.id) if is_bitcoin else None,
        safe=None if is_bitcoin else listed.settings.vault,
        vault_units="0" if newest is None else newest.vault_chain_units,
        journal_seq=head.seq,
        journal_hash=head.hash,
    )


def choose(inputs: Sequence[DraftInput], wanted: int) -> list[DraftInput]:
    """The largest until they are enough, and the fee's worth more: as few as can be, for officers sign each."""
    chosen: list[DraftInput] = []
    sum_units = 0
    for one in sorted(inputs, key=lambda each: (-int(each.units), each.outpoint)):
        if sum_units > wanted or len(chosen) == INPUTS_MAX or wanted == 0:
            break
        chosen.append(one)
        sum_units += int(one.units)
    return chosen


def _cap(given: FloatSettings, asset: Asset) -> int | None:
    text = given.cap.get(asset.symbol)
    return None if text is None else parse_units(text, asset.decimals)


async def _in_flight(conn: AsyncConnection[Any], listed: ListedNetwork, asset: str) -> int:
    """Settlements that came after the newest reconciliation: they count towards the cap like what lies there."""
    cursor = await conn.execute(
        """
        SELECT coalesce(sum(units), 0) FROM payments.vault_payments
        WHERE network = %(network)s AND asset = %(asset)s AND place = 'float'
          AND height > (SELECT coalesce(max(height), 0) FROM payments.reconciliations WHERE asset = %(asset)s)
        """,
        {"network": listed.id, "asset": asset},
    )
    row = await cursor.fetchone()
    return 0 if row is None else int(row[0])


async def _inputs(conn: AsyncConnection[Any], listed: ListedNetwork) -> list[DraftInput]:
    """Outputs of the vault that nothing has spent, and that have their confirmations."""
    places = await house_places(conn, listed)
    unspent = {one.outpoint for one in await outflow_books.unspent(conn, listed.id) if one.place == "vault"}
    cursor = await conn.execute(
        """
        SELECT deposit.key, %(deposit)s, address.index, NULL, deposit.units, deposit.block_height
        FROM payments.deposits AS deposit JOIN payments.addresses AS address USING (network, address)
        WHERE deposit.network = %(network)s AND deposit.state = 'confirmed'
        UNION ALL
        SELECT key, %(change)s, NULL, address, units, height FROM payments.house_arrivals
        WHERE network = %(network)s AND place = 'vault'
          AND height <= (SELECT height FROM payments.outflow_cursors WHERE network = %(network)s) - %(depth)s
        """,
        {
            "network": listed.id,
            "deposit": int(Branch.DEPOSIT),
            "change": int(Branch.CHANGE),
            "depth": listed.settings.confirmations[-1].count - 1,
        },
    )
    found = []
    for outpoint, branch, index, address, units, height in await cursor.fetchall():
        place = index if address is None else places.vault.get(address)
        if outpoint in unspent and place is not None:
            found.append(DraftInput(outpoint, branch, place, str(int(units)), height))
    return found


async def _change_index(conn: AsyncConnection[Any], network: str) -> int:
    """As many change addresses as were used: officers take them one after the other."""
    cursor = await conn.execute(
        "SELECT count(DISTINCT address) FROM payments.house_arrivals WHERE network = %s AND place = 'vault'", (network,)
    )
    row = await cursor.fetchone()
    return 0 if row is None else int(row[0])
