"""Which transactions and balances an incident touches, in words that a program can go on from. Pure.

What the chain shows is put beside what the signer's journal says should be there: the difference is the loss.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from embit.transaction import Transaction as BitcoinTransaction

from holdfast.chains.bitcoin_scripts import ScriptWithoutAddress, address_of
from holdfast.chains.evm_reads import RpcLog, quantity
from holdfast.core.money import AssetId
from holdfast.core.networks import BitcoinNetwork, EvmNetwork, erc20_asset
from holdfast.incident.record import Touched
from holdfast.policy.record import Record

TRANSFER_TOPIC = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
"""`Transfer(address,address,uint256)` (ERC-20)."""
_TRANSFER_TOPICS = 3
_ADDRESS_DIGITS = 40


class Payment(msgspec.Struct, frozen=True):
    """What one transaction paid to one place."""

    place: int | None
    """Bitcoin family: the output; EVM: index of the log, None for the transaction's own coin."""
    source: str
    """Bitcoin family: empty, the inputs say it; EVM: the account that paid."""
    destination: str
    asset: str
    units: str
    """In the asset's smallest unit; a string, so that every reader keeps it."""


class TransactionShown(msgspec.Struct, frozen=True):
    """One transaction as one node shows it."""

    network: str
    transaction: str
    node: str
    block: str
    """Hash of its block; empty: it waits for one."""
    height: int | None
    is_journaled: bool
    """Whether the signer's journal has it: it was ordered."""
    inputs: tuple[str, ...]
    """Outpoints that it spends (Bitcoin family)."""
    payments: tuple[Payment, ...]


class BalanceShown(msgspec.Struct, frozen=True):
    """What lies somewhere, by the journal and by the chain."""

    holder: str
    """`float`, or a merchant's id: what he may still order out."""
    network: str
    account: str
    """The float's address; empty for a merchant."""
    asset: str
    journal_units: str
    chain_units: str | None
    """None: the chain does not know merchants, or no node answered."""


class Affected(msgspec.Struct, frozen=True):
    """Everything that an incident touches, as far as it was found when evidence was taken."""

    incident: str
    at_ms: int
    transactions: tuple[TransactionShown, ...]
    balances: tuple[BalanceShown, ...]


class EvmSent(msgspec.Struct, frozen=True):
    """An EVM transaction, as far as payments go."""

    sender: str = msgspec.field(name="from")
    value: str
    to: str | None = None
    block: str | None = msgspec.field(name="blockHash", default=None)
    height: str | None = msgspec.field(name="blockNumber", default=None)


def bitcoin_payments(network: BitcoinNetwork, raw: bytes) -> tuple[tuple[str, ...], tuple[Payment, ...]]:
    """Inputs and payments of a transaction's bytes. Raises `ValueError` for bytes that are none."""
    try:
        parsed = BitcoinTransaction.parse(raw)
    except (IndexError, RuntimeError) as error:
        raise ValueError(str(error)) from None
    inputs = tuple(f"{one.txid.hex()}:{one.vout}" for one in parsed.vin)
    payments = [
        Payment(place, "", _address(network, bytes(one.script_pubkey.data)), network.coin.id, str(one.value))
        for place, one in enumerate(parsed.vout)
    ]
    return inputs, tuple(payments)


def evm_payments(network: EvmNetwork, sent: EvmSent, logs: Iterable[RpcLog]) -> tuple[Payment, ...]:
    """Coin of the transaction itself, and every ERC-20 transfer in its receipt. Raises `NodeAnswerMalformed`."""
    found = []
    if quantity(sent.value):
        found.append(Payment(None, sent.sender, sent.to or "", network.coin.id, str(quantity(sent.value))))
    for log in logs:
        if len(log.topics) == _TRANSFER_TOPICS and log.topics[0] == TRANSFER_TOPIC:
            source, destination = (f"0x{topic[-_ADDRESS_DIGITS:]}" for topic in log.topics[1:])
            asset = erc20_asset(network, log.address, "", 0).id
            units = str(int(log.data[:66], 16) if log.data != "0x" else 0)
            found.append(Payment(int(log.index, 16), source, destination, asset, units))
    return tuple(found)


def networks_of(scopes: Iterable[str], transactions: Iterable[Touched], known: Sequence[str]) -> list[str]:
    """Networks that an incident of these scopes and transactions concerns, of the known ones."""
    names = {scope.partition("/")[0] for scope in scopes} | {one.network for one in transactions}
    whole = not names & set(known)
    return [network for network in known if whole or "*" in names or network in names]


def balances(
    record: Record, networks: Sequence[str], on_chain: Mapping[tuple[str, str], int]
) -> tuple[BalanceShown, ...]:
    """Floats and merchants' entitlements on these networks; `on_chain`: units by address and asset."""
    found = []
    for key in (*record.floats.values(), *record.old_floats):
        assets = {asset for address, asset in (*record.float_units, *on_chain) if address == key.address}
        for asset in sorted(assets) if key.network in networks else ():
            units, there = record.float_units.get((key.address, asset), 0), on_chain.get((key.address, asset))
            shown = None if there is None else str(there)
            found.append(BalanceShown("float", key.network, key.address, asset, str(units), shown))
    for (merchant, asset), units in sorted(record.entitlements.items()):
        network = asset.partition("/")[0]
        if network in networks:
            found.append(BalanceShown(merchant, network, "", asset, str(units), None))
    return tuple(found)


def outpoints(record: Record, network: str) -> list[str]:
    """Coins of the floats that should be there and are final (Bitcoin family)."""
    return [coin.outpoint for coin in record.coins.get(network, {}).values() if coin.made_by is None]


def by_asset(units: Mapping[tuple[str, AssetId], int]) -> dict[tuple[str, str], int]:
    """Holdings with plain names."""
    return {(address, str(asset)): amount for (address, asset), amount in units.items()}


def _address(network: BitcoinNetwork, script: bytes) -> str:
    try:
        return address_of(network, script)
    except ScriptWithoutAddress:
        return f"script:{script.hex()}"
