"""A real anvil for the EVM tests, with a vault on it; each test starts from the same block."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from holdfast.chains.evm import EvmNode
from holdfast.chains.evm_contracts import COIN, artefact, float_of, plan_vault, selector, word
from holdfast.chains.evm_deploy import deploy, deploy_float
from holdfast.chains.local_process import free_port
from holdfast.chains.localnet_anvil import anvil_binary
from holdfast.chains.port import Arrival, Header, Watch
from holdfast.chains.rpc import Limits, RpcClient
from holdfast.core.evm import VaultPlan, address_bytes, deposit_address
from holdfast.core.evm_float import UNPAID_TOPIC, Unpaid, gas_limit, pay_call, read_unpaid
from holdfast.core.money import Asset
from holdfast.core.networks import EvmNetwork, erc20_asset, known_network

GAS_KEY = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")  # anvil's first, public
OWNERS = ("0x" + "a1" * 20, "0x" + "b2" * 20, "0x" + "c3" * 20)


@dataclass(frozen=True)
class LocalNode:
    url: str
    plan: VaultPlan
    deployment_gas: int


class Chain:
    """What tests do to the chain, beside the reader that they test."""

    def __init__(self, local: LocalNode) -> None:
        network = known_network("anvil")
        assert isinstance(network, EvmNetwork)
        self.url, self.plan, self.network = local.url, local.plan, network
        self.rpc = RpcClient(local.url)
        self.node = EvmNode(local.url, network)
        self.payer = ""

    async def call(self, method: str, *params: object) -> Any:
        return await self.rpc.call(object, method, *params)

    def address(self, index: int) -> str:
        return deposit_address(self.plan.factory, self.plan.implementation, index)

    async def send(self, to: str | None, data: bytes = b"", value: int = 0, gas: int | None = None) -> str:
        """A transaction of the payer; its hash. Nothing is waited for."""
        transaction = {"from": self.payer, "data": "0x" + data.hex(), "value": hex(value)}
        if to is not None:
            transaction["to"] = to
        transaction["gas"] = hex(gas or 8_000_000)
        return str(await self.call("eth_sendTransaction", transaction))

    async def receipt(self, transaction: str) -> dict[str, Any]:
        """The receipt of a transaction that anvil is about to put into a block."""
        for _ in range(500):
            found = await self.call("eth_getTransactionReceipt", transaction)
            if isinstance(found, dict):
                return found
            await asyncio.sleep(0.01)
        raise AssertionError(f"{transaction} is in no block")

    async def done(self, to: str | None, data: bytes = b"", value: int = 0) -> dict[str, Any]:
        """A transaction of the payer that is in a block and did not fail; its receipt."""
        receipt = await self.receipt(await self.send(to, data, value))
        assert receipt["status"] == "0x1"
        return receipt

    async def contract(self, name: str, arguments: bytes = b"") -> str:
        """A new contract of `localnet/`; its address, lower case."""
        receipt = await self.done(None, artefact(f"localnet/{name}").creation + arguments)
        return str(receipt["contractAddress"])

    async def mint(self, token: str, to: str, units: int) -> None:
        await self.done(token, selector("mint(address,uint256)") + address_word(to) + word(units))

    async def coin(self, address: str) -> int:
        return int(await self.call("eth_getBalance", address, "latest"), 16)

    async def tokens(self, token: str, address: str) -> int:
        data = selector("balanceOf(address)") + address_word(address)
        return int(await self.call("eth_call", {"to": token, "data": "0x" + data.hex()}, "latest"), 16)

    async def mine(self, count: int = 1) -> None:
        await self.call("anvil_mine", hex(count))

    async def in_one_block(self, transactions: Sequence[tuple[str, bytes, int]]) -> list[dict[str, Any]]:
        """These transactions of the payer, in this order, in one block; their receipts."""
        await self.call("evm_setAutomine", False)
        hashes = [await self.send(to, data, value, gas=1_500_000) for to, data, value in transactions]
        await self.mine()
        await self.call("evm_setAutomine", True)
        return [await self.receipt(one) for one in hashes]

    async def headers_since(self, height: int) -> Sequence[Header]:
        return await self.node.headers(height + 1, (await self.node.tip()).height)

    async def arrivals_since(self, height: int, watch: Watch) -> list[Arrival]:
        """Everything that the reader finds above this height."""
        blocks = await self.node.blocks(await self.headers_since(height), watch)
        return [arrival for block in blocks for arrival in block.arrivals]

    async def height(self) -> int:
        return (await self.node.tip()).height

    def watch(self, *addresses: str, tokens: dict[str, Asset] | None = None, open_: bool = True) -> Watch:
        return Watch(self.network.id, addresses, frozenset(addresses if open_ else ()), tokens or {})

    def token(self, contract: str, symbol: str = "TOK", decimals: int = 18) -> dict[str, Asset]:
        return {contract: erc20_asset(self.network, contract, symbol, decimals)}


def address_word(address: str) -> bytes:
    return address_bytes(address).rjust(32, b"\0")


async def answers(url: str) -> None:
    """Waits until the node does."""
    rpc = RpcClient(url, limits=Limits(attempts_max=60, backoff_seconds=0.05, pause_seconds_max=0.1))
    await rpc.call(str, "eth_chainId")
    await rpc.close()


@pytest.fixture(scope="session")
def local_node() -> Iterator[LocalNode]:
    port = free_port()
    command = [str(anvil_binary()), "--port", str(port), "--chain-id", "31337", "--hardfork", "prague", "--silent"]
    process = subprocess.Popen(command)  # noqa: S603  our own node
    url = f"http://127.0.0.1:{port}/"
    try:
        asyncio.run(answers(url))
        plan = plan_vault(OWNERS, 2)
        deployment = asyncio.run(deploy(url, plan, GAS_KEY))
        yield LocalNode(url, plan, deployment.gas_used)
    finally:
        process.kill()
        process.wait()


@pytest.fixture
async def chain(local_node: LocalNode) -> AsyncIterator[Chain]:
    chain = Chain(local_node)
    chain.payer = (await chain.call("eth_accounts"))[1]
    snapshot = await chain.call("evm_snapshot")
    try:
        yield chain
    finally:
        await chain.call("anvil_dropAllTransactions")  # else what waits is mined during or after the revert
        await chain.call("evm_setAutomine", True)
        assert await chain.call("evm_revert", snapshot)
        await chain.node.close()
        await chain.rpc.close()


@dataclass(frozen=True)
class Float:
    """A float whose owner is the chain's payer."""

    chain: Chain
    address: str

    async def fund(self, token: str, units: int) -> None:
        if token == COIN:
            await self.chain.done(self.address, value=units)
        else:
            await self.chain.mint(token, self.address, units)

    async def has(self, token: str) -> int:
        return await self.balance(token, self.address)

    async def balance(self, token: str, address: str) -> int:
        return await (self.chain.coin(address) if token == COIN else self.chain.tokens(token, address))

    async def try_pay(self, token: str, lines: Sequence[tuple[str, int]], gas: int) -> dict[str, Any]:
        """A call with this gas limit; its receipt."""
        return await self.chain.receipt(await self.chain.send(self.address, pay_call(token, lines), gas=gas))

    async def pay(self, token: str, lines: Sequence[tuple[str, int]]) -> list[Unpaid]:
        """A call with the gas limit that a signer gives it; the lines that were not paid."""
        receipt = await self.try_pay(token, lines, gas_limit(is_coin=token == COIN, lines=len(lines)))
        assert receipt["status"] == "0x1"
        return self.unpaid(receipt)

    def unpaid(self, receipt: dict[str, Any]) -> list[Unpaid]:
        ours = [log for log in receipt["logs"] if log["address"] == self.address.lower()]
        return [read_unpaid(bytes.fromhex(log["data"][2:])) for log in ours if log["topics"][0] == UNPAID_TOPIC]


@pytest.fixture
async def payouts(chain: Chain) -> Float:
    await deploy_float(chain.url, chain.payer, chain.plan.vault, GAS_KEY)
    return Float(chain, float_of(chain.payer, chain.plan.vault))
