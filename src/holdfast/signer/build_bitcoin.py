"""Builds the float's transactions on the Bitcoin family: one pays many, change returns to the float. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.chains.bitcoin_scripts import script_of
from holdfast.core.bitcoin import Output, read_unsigned, unsigned
from holdfast.core.intents import Payout
from holdfast.core.journal import Reserved
from holdfast.core.networks import BitcoinNetwork
from holdfast.policy.record import PAYOUT, Coin, Record, Reservation
from holdfast.signer.coins import CHAIN_MAX, Frame, NotEnough, Selection, Utxo, everything_to, replacement, select

CAP_SWEEP, CONSOLIDATION = "cap-sweep", "consolidation"
LINES_MAX = 1_000
"""Outputs of one transaction: a third of what nodes relay as standard (400,000 weight units)."""


def frame(network: BitcoinNetwork, address: str, fee_per_kvb: int) -> Frame:
    """What all transactions of the float at this address share."""
    dust = network.coin_dust_units
    return Frame(script_of(network, address), network.hrp is not None, fee_per_kvb, dust)


def outputs(network: BitcoinNetwork, payout: Payout) -> list[Output]:
    """A payout's lines as outputs."""
    return [Output(script_of(network, line.destination), line.units) for line in payout.lines]


def fits(network: BitcoinNetwork, address: str, payout: Payout) -> bool:
    """Whether nodes relay each of its lines."""
    its = frame(network, address, 1)
    return not any(its.is_dust(output) for output in outputs(network, payout))


def batches(payouts: Sequence[tuple[str, Payout]]) -> list[list[tuple[str, Payout]]]:
    """The payouts, in order, cut into transactions. A payout is never cut."""
    found: list[list[tuple[str, Payout]]] = []
    room = 0
    for payout_id, payout in payouts:
        if len(payout.lines) > room:
            found.append([])
            room = LINES_MAX
        found[-1].append((payout_id, payout))
        room -= len(payout.lines)
    return found


def spendable(record: Record, network: str, address: str) -> list[Utxo]:
    """The coins at an address: final ones, and change of transactions of which there is one version only.

    Change of a transaction that was replaced is left alone until one version is final: the other one may be mined.
    """
    coins = [coin for coin in record.coins.get(network, {}).values() if coin.address == address]
    found = []
    for coin in coins:
        depth = _depth(record, network, coin)
        if depth <= CHAIN_MAX and (coin.made_by is None or record.reservations[coin.made_by].body.replaces is None):
            found.append(Utxo(coin.outpoint, coin.units, depth))
    return found


def pay(
    record: Record, network: BitcoinNetwork, payouts: Sequence[tuple[str, Payout]], fee_per_kvb: int
) -> Reserved | NotEnough:
    """One transaction that pays these payouts."""
    address = record.floats[network.id].address
    payments = [output for _, payout in payouts for output in outputs(network, payout)]
    made = select(spendable(record, network.id, address), payments, frame(network, address, fee_per_kvb))
    if isinstance(made, NotEnough):
        return made
    ids = tuple(payout_id for payout_id, _ in payouts)
    return _reserved(record, network, (PAYOUT, address, sum(payment.units for payment in payments), ids), made)


def to_vault(
    record: Record, network: BitcoinNetwork, address: str, units: int | None, fee_per_kvb: int
) -> Reserved | NotEnough:
    """Units of the float at this address go to the vault; None: all of it."""
    key = record.float_of(network.id, address)
    if key is None:
        return NotEnough(1)
    script, its = script_of(network, key.vault), frame(network, address, fee_per_kvb)
    coins = [coin for coin in spendable(record, network.id, address) if coin.depth == 0]
    made = everything_to(coins, script, its) if units is None else select(coins, [Output(script, units)], its)
    if isinstance(made, NotEnough):
        return made
    out = sum(output.units for output in made.transaction.outputs) - made.change_units
    return _reserved(record, network, (CAP_SWEEP, address, out, ()), made)


def consolidate(record: Record, network: BitcoinNetwork, fee_per_kvb: int) -> Reserved | NotEnough:
    """The float's final coins become one."""
    address = record.floats[network.id].address
    its = frame(network, address, fee_per_kvb)
    made = everything_to([coin for coin in spendable(record, network.id, address) if coin.depth == 0], its.script, its)
    return made if isinstance(made, NotEnough) else _reserved(record, network, (CONSOLIDATION, address, 0, ()), made)


def bump(record: Record, network: BitcoinNetwork, old: Reservation, fee_per_kvb: int) -> Reserved | None:
    """The same payments from the same coins at a higher fee; None where that is not needed or not possible.

    A transaction whose change is spent already is left alone: its child would vanish with it, and helps it instead.
    """
    body = old.body
    change = None if old.signed is None else f"{old.signed.transaction}:{body.change_index}"
    if body.change_index is not None and change not in record.coins.get(network.id, {}):
        return None
    if any(_depth(record, network.id, coin) > CHAIN_MAX for coin in old.spent.values()):
        return None
    spent = [Utxo(coin.outpoint, coin.units) for coin in old.spent.values()]
    its = frame(network, body.account, fee_per_kvb)
    final = [coin for coin in spendable(record, network.id, body.account) if coin.depth == 0]
    spare = sorted(final, key=lambda coin: (-coin.units, coin.outpoint))
    before = (read_unsigned(bytes.fromhex(body.transaction)), body.change_index, body.fee_units)
    made = replacement(before, spent, its, spare)
    if made is None:
        return None
    return _reserved(record, network, (body.purpose, body.account, body.out_units, body.payouts), made, old)


def _reserved(
    record: Record,
    network: BitcoinNetwork,
    facts: tuple[str, str, int, tuple[str, ...]],
    made: Selection,
    old: Reservation | None = None,
) -> Reserved:
    purpose, address, out_units, payouts = facts
    return Reserved(
        network=network.id,
        asset=network.coin.id,
        purpose=purpose,
        account=address,
        payouts=payouts,
        transaction=unsigned(made.transaction).hex(),
        inputs=tuple(one.outpoint for one in made.transaction.inputs),
        nonce=None,
        out_units=out_units,
        change_index=made.change_index,
        change_units=made.change_units,
        fee_units=made.fee_units,
        extra_fee_units=made.fee_units - (old.body.fee_units if old is not None else 0),
        replaces=old.seq if old is not None else None,
        refill_seconds=record.refill_seconds(network.id),
    )


def _depth(record: Record, network: str, coin: Coin) -> int:
    """How many unconfirmed transactions of ours a coin stands upon, the longest way; too many where it stands upon a
    funding that left the chain."""
    if (network, coin.outpoint) in record.gone:
        return CHAIN_MAX + 1
    maker = None if coin.made_by is None else record.reservations[coin.made_by]
    if maker is None or maker.mined is not None:
        return 0
    return 1 + max((_depth(record, network, spent) for spent in maker.spent.values()), default=0)
