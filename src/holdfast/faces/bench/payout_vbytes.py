"""What a payout of the Bitcoin family costs in virtual bytes: many lines in one transaction, beside one for each.

Signed and measured on a real litecoind, which must be ready to take each transaction. Below 100 percent the float is
cheaper than paying one by one from coins of the same kind.
"""

from __future__ import annotations

import secrets
from pathlib import Path

import msgspec
from coincurve import PrivateKey

from holdfast.chains.bitcoin_scripts import address_of
from holdfast.chains.local_process import LocalRpc
from holdfast.chains.localnet import RegtestNode, litecoin_regtest
from holdfast.chains.rpc import Credentials
from holdfast.core.bitcoin import Output, assemble, der, digests, key_script
from holdfast.signer.coins import Frame, NotEnough, Utxo, select

SIZES = (1, 10, 100, 500)
UNITS = 100_000
COINS, COIN_UNITS = 8, 20_000_000
FEE_PER_KVB = 2_000


class _Spent(msgspec.Struct):
    txid: str
    vout: int
    amount: msgspec.Raw


class _Found(msgspec.Struct):
    unspents: list[_Spent]


class _Verdict(msgspec.Struct):
    allowed: bool
    vsize: int = 0
    reason: str = msgspec.field(name="reject-reason", default="")


async def run(directory: Path, seconds: float) -> dict[str, object]:
    """Virtual bytes for each payout, and how much that is of a transaction for each; it takes as long as it takes."""
    key = PrivateKey(secrets.token_bytes(32))
    script = key_script(key.public_key.format(), is_segwit=True)
    async with litecoin_regtest(directory / "litecoin") as node:
        rpc = LocalRpc(node.rpc_url, node.network.name, Credentials(cookie_file=node.cookie_file))
        coins = await _funded(node, rpc, address_of(node.network, script))
        sizes = {size: await _vbytes(rpc, key, script, (coins, size)) for size in SIZES}
    figures: dict[str, object] = {}
    for size, vbytes in sizes.items():
        figures[f"{size}_vbytes_per_payout"] = round(vbytes / size, 1)
        figures[f"{size}_percent_of_a_transaction_each"] = vbytes * 100 // (size * sizes[1])
    return figures | {"output_vbytes_limit": len(Output(script, UNITS).script) + 9}


async def _funded(node: RegtestNode, rpc: LocalRpc, address: str) -> list[Utxo]:
    for _ in range(COINS):
        await node.send(address, COIN_UNITS)
    await node.mine()
    found = await rpc.call(_Found, "scantxoutset", "start", [f"addr({address})"])
    return [Utxo(f"{one.txid}:{one.vout}", COIN_UNITS) for one in found.unspents]


async def _vbytes(rpc: LocalRpc, key: PrivateKey, script: bytes, what: tuple[list[Utxo], int]) -> int:
    """What the node says that so many payouts in one transaction weigh."""
    coins, size = what
    payments = [Output(b"\x00\x14" + secrets.token_bytes(20), UNITS + number) for number in range(size)]
    made = select(coins, payments, Frame(script, is_segwit=True, fee_per_kvb=FEE_PER_KVB))
    if isinstance(made, NotEnough):
        raise RuntimeError(f"{made.missing_units} units are missing")  # noqa: TRY004  no wrong type: too little money
    units = {coin.outpoint: coin.units for coin in made.spent}
    hashes = digests(made.transaction, script, [units[one.outpoint] for one in made.transaction.inputs])
    signatures = [der(key.sign_recoverable(each, hasher=None)[:64]) for each in hashes]
    raw = assemble(made.transaction, key.public_key.format(), signatures, is_segwit=True).raw
    [verdict] = await rpc.call(list[_Verdict], "testmempoolaccept", [raw.hex()])
    if not verdict.allowed:
        raise RuntimeError(f"the node would not take it: {verdict.reason}")
    return verdict.vsize
