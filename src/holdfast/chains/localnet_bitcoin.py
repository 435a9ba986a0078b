"""A litecoind or bitcoind in regtest with a wallet that has coins: pays, mines, replaces, double-spends, reorganises.

For trying out and for tests only: the one place in `chains` that uses a node's wallet.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from holdfast.chains.bitcoin import BitcoinAccess, BitcoinNode
from holdfast.chains.local_process import LocalProcess, LocalRpc, NodeBinaryMissing, free_port, until
from holdfast.chains.port import NodeRefused, NodeUnreachable
from holdfast.chains.rpc import Credentials, Limits
from holdfast.core.money import format_units, parse_units
from holdfast.core.networks import BitcoinNetwork, known_network

_WALLET = "holdfast"
_YES, _NO = True, False
"""Positional switches in calls."""
_WARMING_UP, _ALREADY_LOADED, _WALLET_EXISTS, _WALLET_MISSING = -28, -35, -4, -18
_MATURE_BLOCKS = 101
"""So many blocks and the first reward can be spent."""
_EXTENSION_HEIGHT = 432
"""Litecoin's regtest makes no block at this height, where extension blocks begin, unless somebody pegs in."""
_PEG_IN_UNITS = 1_000_000
_FEE_STEP_UNITS = 50_000


class _Input(msgspec.Struct):
    txid: str = ""
    vout: int = 0


class _Output(msgspec.Struct):
    value: msgspec.Raw


class _Transaction(msgspec.Struct):
    vin: list[_Input]
    vout: list[_Output]


class _Bumped(msgspec.Struct):
    txid: str


class _Signed(msgspec.Struct):
    hex: str
    complete: bool


class _Coin(_Input):
    amount: msgspec.Raw = msgspec.Raw()


class _Mined(msgspec.Struct):
    hash: str


class _Raw(msgspec.Struct):
    hex: str


class _Block(msgspec.Struct):
    tx: list[_Raw]


class RegtestNode:
    """One running node of the Bitcoin family in regtest. `height`s and hashes as the node counts them."""

    def __init__(  # noqa: PLR0913  two of them by name only
        self,
        binary: str,
        network: BitcoinNetwork,
        data_dir: Path,
        port: int | None = None,
        *,
        peer_port: int | None = None,
        has_extension: bool = True,
    ) -> None:
        """`port`: of its JSON-RPC, `peer_port`: where peers find it; None for any free one.

        `has_extension`: whether a litecoind has extension blocks from height 432 on; then `mine_only` ends there.
        """
        self.network = network
        self.data_dir = data_dir
        rpc_port, self._peer_port = port or free_port(), peer_port or free_port()
        self.rpc_url = f"http://127.0.0.1:{rpc_port}/"
        self.cookie_file = data_dir / "regtest" / ".cookie"
        credentials = Credentials(cookie_file=self.cookie_file)
        self._rpc = LocalRpc(self.rpc_url, network.name, credentials)
        self._wallet = LocalRpc(f"{self.rpc_url}wallet/{_WALLET}", network.name, credentials)
        command = _command(binary, data_dir, (rpc_port, self._peer_port), has_extension=has_extension)
        self._process = LocalProcess(command, data_dir / "node.log")
        self._has_extension = has_extension

    # --- its life

    async def start(self) -> None:
        """Start the program on its data, load the wallet, and give it coins if it has none."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        await self._process.start(self._is_ready)
        try:
            await self._rpc.call(msgspec.Raw, "loadwallet", _WALLET)
        except NodeRefused as refusal:
            if refusal.rpc_code not in {_ALREADY_LOADED, _WALLET_EXISTS, _WALLET_MISSING}:
                raise
        if _WALLET not in await self._rpc.call(list[str], "listwallets"):
            await self._rpc.call(msgspec.Raw, "createwallet", _WALLET)
        if await self.height() < _MATURE_BLOCKS:
            await self.mine(_MATURE_BLOCKS)

    async def stop(self) -> None:
        """End it in order: everything is on disk afterwards."""
        await self._process.end(signal.SIGTERM)

    async def kill(self) -> None:
        """kill -9. Blocks that were not flushed may be lost; see `flush`."""
        await self._process.end(signal.SIGKILL)

    async def flush(self) -> None:
        """Write the chain to disk now, as a node does every hour or so."""
        await self._rpc.call(msgspec.Raw, "gettxoutsetinfo")

    async def _is_ready(self) -> None:
        try:
            await self._rpc.call(int, "getblockcount")
        except NodeRefused as refusal:
            if refusal.rpc_code == _WARMING_UP:
                raise NodeUnreachable("still starting") from None
            raise

    # --- what the rest of Holdfast sees of it

    def access(self, name: str = "") -> BitcoinAccess:
        """How to reach it."""
        return BitcoinAccess(self.rpc_url, cookie_file=self.cookie_file, name=name)

    def node(self, name: str = "", limits: Limits = Limits()) -> BitcoinNode:  # noqa: B008  a frozen value
        """It as the follower sees it."""
        return BitcoinNode(self.access(name), self.network, limits)

    # --- its chain

    async def height(self) -> int:
        """Height of its newest block."""
        return await self._rpc.call(int, "getblockcount")

    async def best_hash(self) -> str:
        """Hash of its newest block."""
        return await self._rpc.call(str, "getbestblockhash")

    async def block_hash(self, height: int) -> str:
        """Hash of the block at this height of its chain."""
        return await self._rpc.call(str, "getblockhash", height)

    async def mine(self, blocks: int = 1, to: str | None = None) -> list[str]:
        """Make so many blocks of what waits; rewards go to the wallet, or to an address. Their hashes."""
        address = to or await self.new_address()
        is_litecoin = self.network.uri_scheme == "litecoin"
        missing = _EXTENSION_HEIGHT - await self.height() if is_litecoin and self._has_extension else 0
        if not 0 < missing <= blocks:
            return await self._rpc.call(list[str], "generatetoaddress", blocks, address)
        before = await self._rpc.call(list[str], "generatetoaddress", missing - 1, address)
        await self.send(await self._wallet.call(str, "getnewaddress", "", "mweb"), _PEG_IN_UNITS)
        return before + await self._rpc.call(list[str], "generatetoaddress", blocks - missing + 1, address)

    async def mine_only(self, transactions: Sequence[str] = ()) -> str:
        """Make one block with these transactions (txids that wait, or raw hex) and nothing else. Its hash."""
        mined = await self._rpc.call(_Mined, "generateblock", await self.new_address(), list(transactions))
        return mined.hash

    async def invalidate(self, block_hash: str) -> None:
        """Have the node give up this block and all after it."""
        await self._rpc.call(msgspec.Raw, "invalidateblock", block_hash)

    async def reconsider(self, block_hash: str) -> None:
        """Take `invalidate` back."""
        await self._rpc.call(msgspec.Raw, "reconsiderblock", block_hash)

    async def reorganise(self, depth: int, *, with_transactions: bool = True) -> list[str]:
        """Replace the newest `depth` blocks by `depth + 1` others. The new hashes.

        What was in the old blocks waits again and gets into the new ones, unless `with_transactions` is false.
        """
        await self.invalidate(await self.block_hash(await self.height() - depth + 1))
        if with_transactions:
            return await self.mine(depth + 1)
        return [await self.mine_only() for _ in range(depth + 1)]

    # --- its wallet

    async def new_address(self) -> str:
        """A new address of the node's own wallet."""
        return await self._wallet.call(str, "getnewaddress")

    async def send(self, address: str, units: int) -> str:
        """Pay; replaceable by fee (BIP 125). The txid."""
        amount = format_units(units, self.network.coin.decimals)
        return await self._wallet.call(str, "sendtoaddress", address, amount, "", "", _NO, _YES)

    async def send_many(self, units_by_address: Mapping[str, int]) -> str:
        """Pay many addresses by one transaction. The txid."""
        amounts = {each: format_units(units, self.network.coin.decimals) for each, units in units_by_address.items()}
        return await self._wallet.call(str, "sendmany", "", amounts)

    async def bump(self, txid: str) -> str:
        """Replace a payment by one that pays the same with a higher fee. The new txid."""
        return (await self._wallet.call(_Bumped, "bumpfee", txid)).txid

    async def double_spend(self, txid: str) -> str:
        """Replace a waiting payment by one of the same coins to the wallet itself. The new txid."""
        raw = await self._rpc.call(str, "getrawtransaction", txid)
        spent = await self._rpc.call(_Transaction, "decoderawtransaction", raw)
        places = self.network.coin.decimals
        units = sum(parse_units(bytes(output.value).decode(), places) for output in spent.vout) - _FEE_STEP_UNITS
        inputs = [{"txid": each.txid, "vout": each.vout} for each in spent.vin]
        outputs = {await self.new_address(): format_units(units, places)}
        conflicting = await self._rpc.call(str, "createrawtransaction", inputs, outputs, 0, _YES)
        signed = await self._wallet.call(_Signed, "signrawtransactionwithwallet", conflicting)
        return await self._rpc.call(str, "sendrawtransaction", signed.hex)

    async def rival_payments(self, address: str, units: int) -> tuple[str, str]:
        """Two signed transactions of the same coins, at least so much and no change: to the address, and to the wallet
        itself. Neither is sent; the coins are the wallet's largest, and locked."""
        places, chosen, total = self.network.coin.decimals, list[_Coin](), 0
        found = await self._wallet.call(list[_Coin], "listunspent")
        worth = {each.txid + str(each.vout): parse_units(bytes(each.amount).decode(), places) for each in found}
        for each in sorted(found, key=lambda one: -worth[one.txid + str(one.vout)]):
            if total < units + _FEE_STEP_UNITS:
                chosen.append(each)
                total += worth[each.txid + str(each.vout)]
        inputs = [{"txid": each.txid, "vout": each.vout} for each in chosen]
        await self._wallet.call(bool, "lockunspent", _NO, inputs)
        made = []
        for to in (address, await self.new_address()):
            outputs = {to: format_units(total - _FEE_STEP_UNITS, places)}
            raw = await self._rpc.call(str, "createrawtransaction", inputs, outputs, 0, _YES)
            made.append((await self._wallet.call(_Signed, "signrawtransactionwithwallet", raw)).hex)
        return made[0], made[1]

    async def spend(self, outpoint: str, address: str, units: int) -> str:
        """Pay from one output of the wallet (`txid:vout`); what is left is the fee. The txid."""
        return await self.spend_all([outpoint], {address: units})

    async def spend_all(self, outpoints: Sequence[str], units_by_address: Mapping[str, int]) -> str:
        """Pay from just these outputs of the wallet, to these in this order; what is left is the fee. The txid."""
        places = [outpoint.partition(":") for outpoint in outpoints]
        inputs = [{"txid": txid, "vout": int(place)} for txid, _, place in places]
        decimals = self.network.coin.decimals
        outputs = [{address: format_units(units, decimals)} for address, units in units_by_address.items()]
        raw = await self._rpc.call(str, "createrawtransaction", inputs, outputs)
        signed = await self._wallet.call(_Signed, "signrawtransactionwithwallet", raw)
        return await self._rpc.call(str, "sendrawtransaction", signed.hex)

    async def transactions(self, height: int) -> list[str]:
        """What the block at this height holds beside its reward, as hex."""
        block = await self._rpc.call(_Block, "getblock", await self.block_hash(height), 2)
        return [each.hex for each in block.tx[1:]]

    async def waiting(self) -> list[str]:
        """What waits for a block, as hex."""
        return [await self._rpc.call(str, "getrawtransaction", each) for each in await self.mempool()]

    async def send_raw(self, raw: str) -> str:
        """Hand in a signed transaction. The txid."""
        return await self._rpc.call(str, "sendrawtransaction", raw)

    async def mempool(self) -> list[str]:
        """Txids that wait for a block."""
        return await self._rpc.call(list[str], "getrawmempool")

    # --- its peers

    async def join(self, other: RegtestNode) -> None:
        """Connect the two and wait until both have the same newest block."""
        await self._rpc.call(msgspec.Raw, "addnode", f"127.0.0.1:{other._peer_port}", "onetry")

        async def same() -> bool:
            return await self.best_hash() == await other.best_hash()

        await until(same)

    async def part(self, other: RegtestNode) -> None:
        """Disconnect the two."""
        await self._rpc.call(msgspec.Raw, "setnetworkactive", _NO)

        async def apart() -> bool:
            return not (await self.peers() or await other.peers())

        await until(apart)
        await self._rpc.call(msgspec.Raw, "setnetworkactive", _YES)

    async def peers(self) -> int:
        """How many nodes it is connected to."""
        return await self._rpc.call(int, "getconnectioncount")


@asynccontextmanager
async def regtest(data_dir: Path) -> AsyncIterator[RegtestNode]:
    """A running regtest node: bitcoind where it is on the PATH, litecoind otherwise. Raises `NodeBinaryMissing`."""
    name = "bitcoind" if shutil.which("bitcoind") else "litecoind"
    async with _running(name, data_dir) as node:
        yield node


@asynccontextmanager
async def litecoin_regtest(
    data_dir: Path, port: int | None = None, *, has_extension: bool = True
) -> AsyncIterator[RegtestNode]:
    """A running litecoind in regtest. Raises `NodeBinaryMissing`, `LocalNodeFailed`."""
    async with _running("litecoind", data_dir, port, has_extension=has_extension) as node:
        yield node


@asynccontextmanager
async def _running(
    program: str, data_dir: Path, port: int | None = None, *, has_extension: bool = True
) -> AsyncIterator[RegtestNode]:
    binary = shutil.which(program)
    if binary is None:
        raise NodeBinaryMissing(f"{program} is not on the PATH (Debian: apt-get install {program})")
    network = known_network("bitcoin-regtest" if program == "bitcoind" else "litecoin-regtest")
    assert isinstance(network, BitcoinNetwork)  # noqa: S101  by the table's own rows
    node = RegtestNode(binary, network, data_dir, port, has_extension=has_extension)
    try:
        await node.start()
        yield node
    finally:
        await node.stop()


def _command(binary: str, data_dir: Path, ports: tuple[int, int], *, has_extension: bool) -> list[str]:
    rpc_port, peer_port = ports
    command = [
        binary, "-regtest", f"-datadir={data_dir}", "-server", "-printtoconsole=0",
        f"-rpcport={rpc_port}", "-rpcbind=127.0.0.1", "-rpcallowip=127.0.0.1",
        "-listen=1", f"-bind=127.0.0.1:{peer_port}", "-listenonion=0", "-dnsseed=0", "-discover=0",
        "-fallbackfee=0.0002", "-dbcache=16", "-par=1", "-rpcworkqueue=64",
        "-rpcservertimeout=2",  # when it ends, a node waits for connections that idle
    ]  # fmt: skip
    if Path(binary).name == "litecoind":
        command.append("-mempoolreplacement=1")  # off there by default
        if not has_extension:
            command.append("-vbparams=mweb:9999999999:9999999999")  # not before the year 2286
    return command
