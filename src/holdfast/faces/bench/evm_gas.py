"""What moving EVM deposits to the vault costs in gas, and how fast EVM addresses are derived and blocks are read.

On a real anvil with a real Safe. Gas is what the chain charged; a plain transfer, the least that anything costs, and
the node's own speed stand beside it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from time import perf_counter

import msgspec

from holdfast.chains.evm import EvmNode
from holdfast.chains.evm_contracts import COIN, flush_call, plan_vault, selector, word
from holdfast.chains.evm_deploy import deploy, deploy_local_contract
from holdfast.chains.evm_house import GasAccount, flush_outcome
from holdfast.chains.evm_reads import WHOLE_TRANSACTIONS, ask
from holdfast.chains.localnet import AnvilNode, anvil
from holdfast.chains.port import Header, Watch
from holdfast.chains.rpc import RpcClient
from holdfast.core.evm import VaultPlan, address_bytes, deposit_address
from holdfast.core.networks import erc20_asset

FLUSH_SIZES = (1, 10, 50, 100)
BLOCKS, TRANSACTIONS_PER_BLOCK = 64, 100
WATCHED, OPEN = 100_000, 2_000
PLAIN_TRANSFER_GAS = 21_000

# The first of anvil's ten accounts: its key is printed at every start and is worth nothing anywhere else.
_ANVIL_KEY = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
_OWNERS = tuple(f"0x{digit * 40}" for digit in "abc")


async def run(directory: Path, seconds: float) -> dict[str, object]:
    """The figures; derivation and reading take about a third of `seconds` each, the transactions some more."""
    async with anvil(directory / "anvil") as local:
        rpc = RpcClient(local.rpc_url)
        try:
            plan = plan_vault(_OWNERS, 2)
            deployment = await deploy(local.rpc_url, plan, _ANVIL_KEY)
            token = await deploy_local_contract(local.rpc_url, "NoReturnToken", b"", _ANVIL_KEY)
            return {
                "plain_transfer_gas_limit": PLAIN_TRANSFER_GAS,
                "deployment_gas": deployment.gas_used,
                "flush_gas": await _flush_gas(local, rpc, plan, token),
                "derivations_per_second": _derivations(plan, seconds / 3),
                "reading": await _reading(local, rpc, plan, seconds / 3),
            }
        finally:
            await rpc.close()


async def _flush_gas(local: AnvilNode, rpc: RpcClient, plan: VaultPlan, token: str) -> dict[str, object]:
    """Gas for each deposit address of a flush: the first one (which deploys the address), and any later one."""
    account = GasAccount(rpc, _ANVIL_KEY)
    figures: dict[str, object] = {}
    start = 0
    for name, asset in (("coin", COIN), ("erc20", token)):
        # A new vault's first token costs more once, for its balance's first storage word: not counted.
        await _pay(local, rpc, plan, asset, range(start, start + 1))
        await account.send(plan.factory, flush_call([start], [asset]))
        start += 1
        for size in FLUSH_SIZES:
            indexes = range(start, start + size)
            start += size
            for when in ("first", "later"):
                await _pay(local, rpc, plan, asset, indexes)
                outcome = flush_outcome(await account.send(plan.factory, flush_call(indexes, [asset])))
                figures[f"{name}_{size}_{when}_gas_per_address"] = outcome.gas_used // len(outcome.flushed)
    return figures


async def _pay(local: AnvilNode, rpc: RpcClient, plan: VaultPlan, asset: str, indexes: Sequence[int]) -> None:
    addresses = [deposit_address(plan.factory, plan.implementation, index) for index in indexes]
    if asset == COIN:
        await _send_in_one_block(local, rpc, [{"to": address, "value": "0x1"} for address in addresses])
    else:
        mint = "0x" + selector("mint(address,uint256)").hex()
        payloads = [mint + (address_bytes(address).rjust(32, b"\0") + word(1)).hex() for address in addresses]
        await _send_in_one_block(local, rpc, [{"to": asset, "data": data} for data in payloads])


async def _send_in_one_block(local: AnvilNode, rpc: RpcClient, transactions: Sequence[dict[str, str]]) -> None:
    payer = (await local.accounts())[1]
    await local.set_automine(on=False)
    await rpc.batch(str, [("eth_sendTransaction", ({"from": payer, "gas": "0x186a0", **one},)) for one in transactions])
    await local.mine()
    await local.set_automine(on=True)


def _derivations(plan: VaultPlan, seconds: float) -> int:
    done, start = 0, perf_counter()
    while perf_counter() - start < seconds:
        for index in range(done, done + 1_000):
            deposit_address(plan.factory, plan.implementation, index)
        done += 1_000
    return int(done / (perf_counter() - start))


async def _reading(local: AnvilNode, rpc: RpcClient, plan: VaultPlan, seconds: float) -> dict[str, object]:
    """Blocks of payments, every tenth to us: how fast they are read, and how fast the node hands them over."""
    addresses = [deposit_address(plan.factory, plan.implementation, index) for index in range(WATCHED)]
    headers, node = await _make_blocks(local, rpc, addresses), EvmNode(local.rpc_url, local.network)
    token = erc20_asset(local.network, "0x" + "33" * 20, "TOK", 6)
    watch = Watch(local.network.id, addresses, frozenset(addresses[:OPEN]), {"0x" + "33" * 20: token})
    quiet = Watch(local.network.id, addresses[-OPEN:], frozenset(addresses[-OPEN:]), watch.tokens)
    try:
        found = [arrival for block in await node.blocks(headers, watch) for arrival in block.arrivals]
        return {
            "blocks": len(headers),
            "transactions_per_block": TRANSACTIONS_PER_BLOCK,
            "watched_addresses": WATCHED,
            "open_addresses": OPEN,
            "arrivals": len(found),
            "node_blocks_per_second_limit": await _repeated(seconds / 3, headers, lambda: _fetch_raw(rpc, headers)),
            "blocks_per_second": await _repeated(seconds / 3, headers, lambda: node.blocks(headers, watch)),
            "quiet_blocks_per_second": await _repeated(seconds / 3, headers, lambda: node.blocks(headers, quiet)),
        }
    finally:
        await node.close()


async def _make_blocks(local: AnvilNode, rpc: RpcClient, addresses: Sequence[str]) -> Sequence[Header]:
    for block in range(BLOCKS):
        start = block * TRANSACTIONS_PER_BLOCK
        receivers = [
            addresses[number] if number % 10 == 0 else f"0x{number + 2**100:040x}"
            for number in range(start, start + TRANSACTIONS_PER_BLOCK)
        ]
        await _send_in_one_block(local, rpc, [{"to": to, "value": "0x1"} for to in receivers])
    node = EvmNode(local.rpc_url, local.network)
    try:
        tip = await node.tip()
        return await node.headers(tip.height - BLOCKS + 1, tip.height)
    finally:
        await node.close()


async def _fetch_raw(rpc: RpcClient, headers: Sequence[Header]) -> None:
    """The same blocks as bytes, in the same requests, and nothing done with them."""
    await ask(rpc, msgspec.Raw, [("eth_getBlockByHash", (one.hash, WHOLE_TRANSACTIONS)) for one in headers], at_once=16)


async def _repeated(seconds: float, headers: Sequence[Header], work: Callable[[], Awaitable[object]]) -> int:
    done, start = 0, perf_counter()
    while perf_counter() - start < seconds:
        await work()
        done += len(headers)
    return int(done / (perf_counter() - start))
