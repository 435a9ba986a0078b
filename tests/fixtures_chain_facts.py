"""What the chains and the journal say about money out, read without any of the code that moved it."""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from holdfast.chains.local_process import LocalRpc
from holdfast.chains.localnet import AnvilNode, RegtestNode
from holdfast.chains.rpc import Credentials
from holdfast.core.journal import Entry, Head, StoredEntry, read_entries

DAY_SECONDS = 86_400


class _Unspent(msgspec.Struct):
    desc: str
    amount: msgspec.Raw


class _Scan(msgspec.Struct):
    unspents: list[_Unspent]


async def litecoin_balances(node: RegtestNode, addresses: Iterable[str]) -> Counter[str]:
    """What lies at each address, in smallest units."""
    rpc = LocalRpc(node.rpc_url, "checks", Credentials(cookie_file=node.cookie_file))
    found: Counter[str] = Counter()
    wanted = list(addresses)
    for start in range(0, len(wanted), 500):
        part = [f"addr({one})" for one in wanted[start : start + 500]]
        scan = await rpc.call(_Scan, "scantxoutset", "start", part)
        for unspent in scan.unspents:
            found[unspent.desc.partition("(")[2].partition(")")[0]] += smallest(bytes(unspent.amount).decode())
    return found


def smallest(amount: str) -> int:
    """A node's decimal number in smallest units, without a float in between."""
    mantissa, _, exponent = amount.lower().partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits, shift = int(whole + fraction), 8 - len(fraction) + int(exponent or 0)
    assert shift >= 0 or digits % 10**-shift == 0
    return digits * 10**shift if shift >= 0 else digits // 10**-shift


async def evm_balances(node: AnvilNode, addresses: Iterable[str]) -> Counter[str]:
    """What lies at each address, in wei."""
    return Counter({one: int(await node.call("eth_getBalance", one, "latest"), 16) for one in addresses})


async def evm_nonce(node: AnvilNode, address: str) -> int:
    """How many transactions of this account are in blocks."""
    return int(await node.call("eth_getTransactionCount", address, "latest"), 16)


async def spends_of(node: RegtestNode, address: str) -> list[str]:
    """Ids of all transactions in blocks that spend something which lay at this address."""
    rpc = LocalRpc(node.rpc_url, "checks", Credentials(cookie_file=node.cookie_file))
    lay: set[str] = set()
    spends = []
    for height in range(1, await node.height() + 1):
        block = await rpc.call(_Block, "getblock", await node.block_hash(height), 2)
        for transaction in block.tx:
            if any(f"{one.txid}:{one.vout}" in lay for one in transaction.vin):
                spends.append(transaction.txid)
            lay |= {f"{transaction.txid}:{one.n}" for one in transaction.vout if one.script.is_at(address)}
    return spends


class _In(msgspec.Struct):
    txid: str = ""
    vout: int = 0


class _Script(msgspec.Struct):
    address: str = ""
    addresses: list[str] = []

    def is_at(self, address: str) -> bool:
        return address in (self.address, *self.addresses)


class _Out(msgspec.Struct):
    n: int
    script: _Script = msgspec.field(name="scriptPubKey")


class _Transaction(msgspec.Struct):
    txid: str
    vin: list[_In]
    vout: list[_Out]


class _Block(msgspec.Struct):
    tx: list[_Transaction]


def journal_in(path: Path) -> list[Entry]:
    """All entries of a journal or of a watchtower's store, the chain checked. Only once its process is gone."""
    database = sqlite3.connect(path)
    try:
        rows = database.execute("SELECT document, hash FROM entries ORDER BY seq").fetchall()
    finally:
        database.close()
    return read_entries(Head(), [StoredEntry(*row) for row in rows])


def over_limit(spent: Iterable[tuple[int, int]], burst: int, per_day: int, slack_ms: int) -> int:
    """By how much these (time in ms, units) went over burst and rate in the worst of all windows; 0 for never.

    A bucket by the wall clock, with so much slack: the signer's own is slower and never faster.
    """
    level, last, worst = burst * DAY_SECONDS * 1_000, None, 0
    for at, units in spent:
        if last is not None:
            level = min(burst * DAY_SECONDS * 1_000, level + per_day * max(0, at - last))
        last = at if last is None else max(at, last)
        level -= units * DAY_SECONDS * 1_000
        worst = max(worst, -level - per_day * slack_ms)
    return -(-worst // (DAY_SECONDS * 1_000))


def differing(wanted: Mapping[str, int], found: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """Where two accounts differ: wanted and found."""
    return {
        key: (wanted.get(key, 0), found.get(key, 0))
        for key in {*wanted, *found}
        if wanted.get(key, 0) != found.get(key, 0)
    }
