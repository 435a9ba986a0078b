"""Posts what house transactions did, once they have their confirmations; takes it back if their blocks leave the chain.

One transaction and asset is one movement, posted once for each time that its block came to stay. It asks no node.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from psycopg import AsyncConnection

from holdfast import ledger
from holdfast.core.errors import Conflict
from holdfast.core.money import AssetId
from holdfast.core.networks import BitcoinNetwork
from holdfast.ledger import Account, LedgerRaced, Refused, Rule, Step, Transfer
from holdfast.payments import paying, transactions
from holdfast.payments.catalogue import ListedNetwork
from holdfast.payments.house_money import CAP_SWEEP, NOTHING, Booking, Movement, booking
from holdfast.payments.paying import Sum
from holdfast.payments.transactions import Outgoing

_ENDINGS = ("float", "claim", "deficit", "filled", "unattributed", "lines")
"""How the keys of a movement's transfers end."""


class HouseEntryRefused(Conflict):
    """The ledger refused an entry for a house transaction. Nothing was changed; read the rule that the detail names."""

    code = "house-entry-refused"


async def post_due(conn: AsyncConnection[Any], listed: ListedNetwork, height: int) -> None:
    """Post what the house transactions of this block did. Raises `LedgerRaced`, `HouseEntryRefused`."""
    movements = await _movements(conn, listed, height)
    if not movements:
        return
    claims = {asset: (await ledger.balance(conn, paying.claim(asset))).posted for asset in _assets(movements)}
    deficits = {asset: -(await ledger.balance(conn, paying.deficit(asset))).posted for asset in _assets(movements)}
    transfers: list[Transfer] = []
    for movement in movements:
        times = await _times(conn, movement)
        if times is None:
            continue
        asset = AssetId(movement.asset)
        key = _key(movement.network, movement.transaction, asset, times)
        made = booking(movement, key, claims[asset], deficits[asset])
        if made is NOTHING or not made.transfers:
            continue
        transfers += made.transfers
        for transfer in made.transfers:
            claims[asset] += _change(transfer, paying.claim(asset))
            deficits[asset] -= _change(transfer, paying.deficit(asset))
        await _note(conn, movement, height, made, times)
    await _post(conn, transfers)


async def undo_above(conn: AsyncConnection[Any], network: str, height: int) -> None:
    """Blocks above this height have left the chain: take their entries back. Raises as `post_due`."""
    cursor = await conn.execute(
        """
        UPDATE payments.house_entries SET is_posted = false WHERE network = %s AND height > %s AND is_posted
        RETURNING transaction, asset, times
        """,
        (network, height),
    )
    await _undo(conn, network, await cursor.fetchall())


async def undo(conn: AsyncConnection[Any], network: str, transaction: str) -> None:
    """More is known of a transaction than when it was posted: take its entries back. Raises as `post_due`."""
    cursor = await conn.execute(
        """
        UPDATE payments.house_entries SET is_posted = false WHERE network = %s AND transaction = %s AND is_posted
        RETURNING transaction, asset, times
        """,
        (network, transaction),
    )
    await _undo(conn, network, await cursor.fetchall())


async def _undo(conn: AsyncConnection[Any], network: str, entries: Sequence[tuple[str, str, int]]) -> None:
    keys = [
        f"{_key(network, transaction, asset, times)}:{ending}"
        for transaction, asset, times in entries
        for ending in _ENDINGS
    ]
    if keys:
        await _post(conn, paying.undo(await _posted(conn, keys), "undone"))


async def _movements(conn: AsyncConnection[Any], listed: ListedNetwork, height: int) -> list[Movement]:
    """What the house transactions of one block did, by transaction and asset."""
    found: dict[tuple[str, str], Movement] = {}

    def at(transaction: str, asset: str) -> Movement:
        return found.get((transaction, asset)) or Movement(listed.id, transaction, asset, None, is_out_of_vault=False)

    arrived = await _sums(conn, _ARRIVED, listed.id, height)
    paid = await _sums(conn, _PAID, listed.id, height)
    out_of_vault = {transaction for transaction, *_ in paid}
    ours = await transactions.by_transaction(
        conn, listed.id, {transaction for transaction, *_ in arrived} | await _swept(conn, listed.id, height)
    )
    for transaction, asset, place, units in paid:
        one = replace(at(transaction, asset), is_out_of_vault=True)
        found[transaction, asset] = _paid(one, place, units, is_evm=not isinstance(listed.network, BitcoinNetwork))
    _name_direct(found, await _direct(conn, listed.id, height))
    for transaction, asset, units in await _spent(conn, listed, height):
        if transaction in out_of_vault:
            one = at(transaction, asset)
            found[transaction, asset] = replace(one, out_of_vault=one.out_of_vault + units)
    for transaction, asset, place, units in arrived:
        if transaction not in out_of_vault:
            one = at(transaction, asset)
            field = "to_float" if place == "float" else "to_vault"
            found[transaction, asset] = replace(one, **{field: getattr(one, field) + units})
    for outgoing in ours.values():
        _name(found, listed, outgoing)
    # What comes back from a spend of the float that nobody journaled is no capital: reconciliation names the spend.
    stray = await _spenders_of_float(conn, listed.id, height) - set(ours)
    return [found[key] for key in sorted(found) if key[0] not in stray]


def _paid(one: Movement, place: str | None, units: int, *, is_evm: bool) -> Movement:
    """One thing that a transaction out of the vault paid. A Safe's payments are all that leaves it; of the Bitcoin
    family what leaves is what is spent, the fee included."""
    left = one.out_of_vault + units if is_evm else one.out_of_vault
    if place == "float":
        return replace(one, out_of_vault=left, to_float=one.to_float + units)
    if place == "vault":
        return replace(one, out_of_vault=left, to_vault=one.to_vault + units)
    return replace(one, out_of_vault=left, to_others=one.to_others + units)


def _name_direct(found: dict[tuple[str, str], Movement], direct: Sequence[tuple[str, Sum]]) -> None:
    """Say of what the vault paid that the quorum ordered it."""
    for transaction, taken in direct:
        found[transaction, taken.asset] = replace(found[transaction, taken.asset], direct=taken)


def _name(found: dict[tuple[str, str], Movement], listed: ListedNetwork, outgoing: Outgoing) -> None:
    """Say of a movement that the signer made it. A Safe's balance shows no single arrival: of a cap sweep the
    reservation says how much."""
    if outgoing.transaction is None:
        return
    for key, one in list(found.items()):
        if key[0] == outgoing.transaction:
            found[key] = replace(one, purpose=outgoing.purpose)
    is_sweep = outgoing.purpose == CAP_SWEEP and not outgoing.is_reverted
    if is_sweep and not isinstance(listed.network, BitcoinNetwork):
        key = (outgoing.transaction, outgoing.asset)
        found[key] = Movement(listed.id, *key, outgoing.purpose, is_out_of_vault=False, to_vault=outgoing.out_units)


async def _sums(
    conn: AsyncConnection[Any], query: str, network: str, height: int
) -> list[tuple[str, str, str | None, int]]:
    cursor = await conn.execute(query, (network, height))
    return [(row[0], row[1], row[2], int(row[3])) for row in await cursor.fetchall()]


_ARRIVED = """
    SELECT transaction, asset, place, sum(units) FROM payments.house_arrivals
    WHERE network = %s AND height = %s GROUP BY transaction, asset, place ORDER BY transaction, asset, place
"""
_PAID = """
    SELECT transaction, asset, place, sum(units) FROM payments.vault_payments
    WHERE network = %s AND height = %s GROUP BY transaction, asset, place ORDER BY transaction, asset, place
"""


async def _direct(conn: AsyncConnection[Any], network: str, height: int) -> list[tuple[str, Sum]]:
    """Direct payouts that transactions of a block pay."""
    cursor = await conn.execute(
        """
        SELECT DISTINCT paid.transaction, payout.id, payout.merchant_id, payout.asset, payout.lines_units,
            payout.fee_units
        FROM payments.vault_payments AS paid JOIN payments.payouts AS payout ON payout.id = paid.payout_id
        WHERE paid.network = %s AND paid.height = %s
        """,
        (network, height),
    )
    return [(row[0], Sum(row[1], row[2], row[3], int(row[4]), int(row[5]))) for row in await cursor.fetchall()]


async def _spent(conn: AsyncConnection[Any], listed: ListedNetwork, height: int) -> list[tuple[str, str, int]]:
    """Outputs of the vault that were spent in a block (Bitcoin family), by transaction."""
    cursor = await conn.execute(
        """
        SELECT transaction, sum(units) FROM payments.outflows
        WHERE network = %s AND height = %s AND place = 'vault' GROUP BY transaction
        """,
        (listed.id, height),
    )
    return [(row[0], str(listed.network.coin.id), int(row[1])) for row in await cursor.fetchall()]


async def _spenders_of_float(conn: AsyncConnection[Any], network: str, height: int) -> set[str]:
    cursor = await conn.execute(
        "SELECT transaction FROM payments.outflows WHERE network = %s AND height = %s AND place = 'float'",
        (network, height),
    )
    return {row[0] for row in await cursor.fetchall()}


async def _swept(conn: AsyncConnection[Any], network: str, height: int) -> set[str]:
    cursor = await conn.execute(
        "SELECT transaction FROM payments.transactions WHERE network = %s AND height = %s AND purpose = %s",
        (network, height, CAP_SWEEP),
    )
    return {row[0] for row in await cursor.fetchall()}


async def _times(conn: AsyncConnection[Any], movement: Movement) -> int | None:
    """How often it is posted with this: a block that comes back after a reorganisation is posted again. None: it is
    posted, and only later blocks have changed."""
    cursor = await conn.execute(
        "SELECT times, is_posted FROM payments.house_entries WHERE (network, transaction, asset) = (%s, %s, %s)",
        (movement.network, movement.transaction, movement.asset),
    )
    row = await cursor.fetchone()
    if row is None:
        return 1
    return None if row[1] else int(row[0]) + 1


async def _note(conn: AsyncConnection[Any], movement: Movement, height: int, made: Booking, times: int) -> None:
    await conn.execute(
        """
        INSERT INTO payments.house_entries (network, transaction, asset, times, height, vault_units, float_units)
        VALUES (%s, %s, %s, %s, %s, %s, %s)
        ON CONFLICT (network, transaction, asset) DO UPDATE SET times = excluded.times, is_posted = true,
            height = excluded.height, vault_units = excluded.vault_units, float_units = excluded.float_units
        """,
        (
            movement.network,
            movement.transaction,
            movement.asset,
            times,
            height,
            made.vault_units,
            made.float_units,
        ),
    )


async def _posted(conn: AsyncConnection[Any], keys: Sequence[str]) -> list[Transfer]:
    """Transfers with these keys, as they were posted."""
    cursor = await conn.execute(
        """
        SELECT t.key, debit.code, credit.code, t.units, t.about, t.kind FROM ledger.transfers AS t
        JOIN ledger.accounts AS debit ON debit.id = t.debit JOIN ledger.accounts AS credit ON credit.id = t.credit
        WHERE t.key = ANY(%s) AND t.step = 'posted' ORDER BY t.seq
        """,
        (list(keys),),
    )
    return [
        Transfer(key, Account.parse(debit), Account.parse(credit), int(units), about, kind, Step.POSTED)
        for key, debit, credit, units, about, kind in await cursor.fetchall()
    ]


async def _post(conn: AsyncConnection[Any], transfers: Sequence[Transfer]) -> None:
    if not transfers:
        return
    for transfer, outcome in zip(transfers, await ledger.post(conn, transfers), strict=True):
        if isinstance(outcome, Refused):
            if outcome.rule is Rule.BALANCE_TOO_LOW:
                raise LedgerRaced(f"{transfer.key}: the balance was read before another transaction took from it")
            raise HouseEntryRefused(f"{transfer.key}: {outcome.rule}")


def _key(network: str, transaction: str, asset: str, times: int) -> str:
    return f"house:{network}:{transaction}:{asset.rpartition('/')[2]}:{times}"


def _change(transfer: Transfer, account: Account) -> int:
    return transfer.units * ((transfer.credit == account) - (transfer.debit == account))


def _assets(movements: Sequence[Movement]) -> set[AssetId]:
    return {AssetId(one.asset) for one in movements}
