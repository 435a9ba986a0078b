"""Which money arrived in an EVM block, and with which transaction: decided from facts that were fetched, purely.

A log is a contract's word and a transaction an intention; a balance is what is there. So what is credited is never more
than the balance grew by; logs and transactions only say with whom it came. Nothing here talks to a node.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from holdfast.chains.port import Arrival, NodeAnswerMalformed
from holdfast.core.money import Asset, AssetId


@dataclass(frozen=True, slots=True)
class TokenLog:
    """A listed token's `Transfer` to a watched address."""

    transaction: str
    log_index: int
    token: str
    """Contract, lower case."""
    address: str
    """The receiving address, canonical form."""
    units: int


@dataclass(frozen=True, slots=True)
class CoinPayment:
    """A transaction that paid coin to a watched address directly, and did not fail."""

    transaction: str
    address: str
    units: int


@dataclass(frozen=True, slots=True)
class Flushed:
    """Money that a deposit address itself says to have sent to the vault."""

    address: str
    token: str
    """Contract, lower case; `COIN` for the network's own coin."""
    units: int


def gained(before: int, after: int, flushed_units: int) -> int:
    """What arrived between two balances: money leaves a deposit address by a flush only, which says how much."""
    return after - before + flushed_units


def flushed_units(flushes: Iterable[Flushed], address: str, token: str) -> int:
    """What one address sent to the vault of one token."""
    return sum(flush.units for flush in flushes if flush.address == address and flush.token == token)


def token_arrivals(
    logs: Sequence[TokenLog], gains: Mapping[tuple[str, str], int], tokens: Mapping[str, Asset]
) -> list[Arrival]:
    """Arrivals for these logs of one block, each at most its log's amount, together at most what the balance grew by.

    No log is of nothing; `gains` is by (address, token). Where less arrived than was logged (a fee on transfer, or a
    log behind which nothing moved) the logs share it in proportion, exactly. What arrived without a log is nobody's and
    is not credited.
    """
    logged: dict[tuple[str, str], int] = {}
    for log in logs:
        key = (log.address, log.token)
        logged[key] = logged.get(key, 0) + log.units
    passed = dict.fromkeys(logged, 0)
    arrivals = []
    for log in logs:
        key = (log.address, log.token)
        total = logged[key]
        arrived = min(max(gains[key], 0), total)
        # Shares of a running sum: they add up to `arrived` to the unit, whatever the rounding.
        share = (passed[key] + log.units) * arrived // total - passed[key] * arrived // total
        passed[key] += log.units
        if share:
            asset = tokens[log.token].id
            name = f"{log.transaction}:{log.log_index}"
            arrivals.append(Arrival(name, log.transaction, log.address, asset, share))
    return arrivals


def coin_arrivals(
    payments: Sequence[CoinPayment], gains: Mapping[str, int], block_hash: str, asset: AssetId
) -> list[Arrival]:
    """Arrivals of the network's own coin in one block: direct payments first, then what came by internal calls.

    Raises `NodeAnswerMalformed` where balances grew by less than successful transactions paid: the node's answers
    contradict each other, and neither is to be believed.
    """
    rest = dict(gains)
    arrivals = []
    for payment in payments:
        rest[payment.address] = rest.get(payment.address, 0) - payment.units
        name = f"{payment.transaction}:native"
        arrivals.append(Arrival(name, payment.transaction, payment.address, asset, payment.units))
    for address, units in sorted(rest.items()):
        if units < 0:
            raise NodeAnswerMalformed(f"balance of {address} in block {block_hash} grew by less than was paid to it")
        if units:
            arrivals.append(Arrival(f"{block_hash}:{address}:{asset}", None, address, asset, units))
    return arrivals


def bloom_may_hold(bloom: int, *items: bytes) -> bool:
    """Whether a block's log bloom (2048 bits, as an integer) admits a log with all of these (Yellow Paper, 4.3.1).

    `items` are keccak hashes of the log's address or topics. A bloom never hides a log that is there.
    """
    for digest in items:
        for offset in (0, 2, 4):
            bit = int.from_bytes(digest[offset : offset + 2], "big") & 2047
            if not bloom >> bit & 1:
                return False
    return True
