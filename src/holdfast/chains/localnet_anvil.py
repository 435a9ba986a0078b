"""An anvil node (EVM) of one's own: mines at will, reorganises, goes back in time, and has rich accounts."""

from __future__ import annotations

import shutil
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from holdfast.chains.local_process import LocalProcess, LocalRpc, NodeBinaryMissing, free_port, until
from holdfast.core.networks import EvmNetwork, known_network

_PLATFORM_PACKAGES = "node_modules/@foundry-rs/anvil-*/bin/anvil*"


class AnvilNode:
    """One running anvil. Its ten accounts have 10,000 coins each and are unlocked."""

    def __init__(self, binary: Path, data_dir: Path, *, chain_id: int = 31337, port: int | None = None) -> None:
        """`port`: of its JSON-RPC; None for any free one."""
        network = known_network("anvil")
        assert isinstance(network, EvmNetwork)  # noqa: S101  by the table's own row
        self.network = network
        self.data_dir = data_dir
        port = port or free_port()
        self.rpc_url = f"http://127.0.0.1:{port}/"
        self._rpc = LocalRpc(self.rpc_url, "anvil")
        self._is_automining = True
        self._process = LocalProcess(
            [
                str(binary), "--host", "127.0.0.1", "--port", str(port), "--chain-id", str(chain_id),
                "--state", str(data_dir / "anvil-state.json"), "--state-interval", "1",
                "--preserve-historical-states",
            ],
            data_dir / "anvil.log",
        )  # fmt: skip

    async def start(self) -> None:
        """Start it, on the chain of its last run if there was one."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        await self._process.start(lambda: self._rpc.call(str, "eth_chainId"))

    async def stop(self) -> None:
        """End it in order; the chain is kept."""
        await self._process.end(signal.SIGINT)

    async def kill(self) -> None:
        """kill -9: the chain of about the last second is lost."""
        await self._process.end(signal.SIGKILL)

    async def accounts(self) -> list[str]:
        """Its rich accounts."""
        return await self._rpc.call(list[str], "eth_accounts")

    async def height(self) -> int:
        """Height of its newest block."""
        return int(await self._rpc.call(str, "eth_blockNumber"), 16)

    async def mine(self, blocks: int = 1) -> None:
        """Make so many blocks."""
        await self._rpc.call(msgspec.Raw, "anvil_mine", hex(blocks))

    async def set_automine(self, *, on: bool) -> None:
        """Whether each transaction gets a block of its own at once (as at the start)."""
        await self._rpc.call(msgspec.Raw, "evm_setAutomine", on)
        self._is_automining = on

    async def snapshot(self) -> str:
        """Remember this moment; the id for `revert`."""
        return await self._rpc.call(str, "evm_snapshot")

    async def revert(self, snapshot: str) -> None:
        """Go back to a moment that was remembered."""
        await self._rpc.call(bool, "evm_revert", snapshot)

    async def reorganise(self, depth: int) -> None:
        """Replace the newest `depth` blocks by as many empty ones, and add one."""
        await self._rpc.call(msgspec.Raw, "anvil_reorg", depth, [])
        await self.mine()

    async def send(self, address: str, units: int, *, sender: str | None = None) -> str:
        """Pay in the network's coin from one of its accounts (the first). The transaction's hash."""
        sender = sender or (await self.accounts())[0]
        return await self.transact({"from": sender, "to": address, "value": hex(units)})

    async def transact(self, transaction: Mapping[str, str]) -> str:
        """Send a transaction; where blocks are made at once, it is in one when this returns. Its hash."""
        made = await self.call("eth_sendTransaction", transaction)

        async def is_mined() -> bool:
            return bytes(await self._rpc.call(msgspec.Raw, "eth_getTransactionReceipt", made)) != b"null"

        if self._is_automining:  # "at once" is a moment after the answer
            await until(is_mined)
        return made

    async def impersonate(self, address: str) -> None:
        """Let this node sign for any address."""
        await self._rpc.call(msgspec.Raw, "anvil_impersonateAccount", address)

    async def call(self, method: str, *params: object) -> str:
        """Any other call whose result is a text."""
        return await self._rpc.call(str, method, *params)


@asynccontextmanager
async def anvil(data_dir: Path, port: int | None = None) -> AsyncIterator[AnvilNode]:
    """A running anvil. Raises `NodeBinaryMissing`, `LocalNodeFailed`."""
    node = AnvilNode(anvil_binary(), data_dir, port=port)
    try:
        await node.start()
        yield node
    finally:
        await node.stop()


def anvil_binary() -> Path:
    """The program itself from npm's platform package (npm's own launcher would outlive a kill), else from the PATH.

    Raises `NodeBinaryMissing`.
    """
    for place in (Path.cwd(), *Path(__file__).resolve().parents):
        if found := sorted(place.glob(_PLATFORM_PACKAGES)):
            return found[0]
    if on_path := shutil.which("anvil"):
        return Path(on_path)
    raise NodeBinaryMissing("anvil: npm install @foundry-rs/anvil")
