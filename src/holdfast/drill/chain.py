"""What the drill itself reads from the chains, over connections of its own: balances, and who spent what.

None of the code that moves money, or that watches it, is used here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from holdfast.chains.local_process import LocalRpc
from holdfast.chains.localnet import AnvilNode, RegtestNode
from holdfast.chains.rpc import Credentials
from holdfast.core.money import parse_units

COIN_DECIMALS = 8
_BALANCE_OF = "70a08231"
_MINT, _TRANSFER = "40c10f19", "a9059cbb"
_TOKEN_GAS = hex(200_000)


class _Unspent(msgspec.Struct):
    txid: str
    vout: int
    desc: str
    amount: msgspec.Raw


class _Scan(msgspec.Struct):
    unspents: list[_Unspent]


class _In(msgspec.Struct):
    txid: str = ""
    vout: int = 0


class _Script(msgspec.Struct):
    address: str = ""
    addresses: list[str] = []


class _Out(msgspec.Struct):
    n: int
    value: msgspec.Raw
    script: _Script = msgspec.field(name="scriptPubKey")

    @property
    def to(self) -> str:
        """Its address, where it has one."""
        return self.script.address or next(iter(self.script.addresses), "")

    @property
    def units(self) -> int:
        """What it carries."""
        return parse_units(bytes(self.value).decode(), COIN_DECIMALS)


class _Transaction(msgspec.Struct):
    txid: str
    vin: list[_In]
    vout: list[_Out]


class _Block(msgspec.Struct):
    tx: list[_Transaction]


class EvmTransaction(msgspec.Struct, frozen=True, rename="camel"):
    """A transaction in a block of an EVM network."""

    hash: str
    sender: str = msgspec.field(name="from")
    to: str | None
    input: str


class _EvmBlock(msgspec.Struct):
    transactions: list[EvmTransaction]


class _Receipt(msgspec.Struct, rename="camel"):
    gas_used: str
    effective_gas_price: str


@dataclass(frozen=True, slots=True)
class Spend:
    """A transaction in a block that spent from watched addresses."""

    transaction: str
    paid: tuple[tuple[str, int], ...]
    """Every output: (address, units)."""
    fee_units: int


@dataclass(frozen=True, slots=True)
class Outside:
    """The drill's own nodes: they mine, they pay, and they are asked what is so."""

    litecoin: RegtestNode
    evm: AnvilNode
    token: str
    _sending: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Two payers of one EVM account at once would be given the same nonce."""

    async def mine(self) -> None:
        """A block on each chain."""
        await self.litecoin.mine()
        await self.evm.mine()

    async def pay(self, symbol: str, address: str, units: int) -> str:
        """As somebody out there pays. The transaction's id."""
        if symbol == "rLTC":
            return await self.litecoin.send(address, units)
        async with self._sending:
            return await self._pay_evm(symbol, address, units)

    async def _pay_evm(self, symbol: str, address: str, units: int) -> str:
        if symbol == "ETH":
            return await self.evm.send(address, units)
        payer = (await self.evm.accounts())[1]
        made = ""
        for selector, target in ((_MINT, payer), (_TRANSFER, address)):
            data = f"0x{selector}{target[2:].lower():0>64}{units:064x}"
            # The gas of before the payments that wait for a block may not do after them.
            made = await self.evm.transact({"from": payer, "to": self.token, "data": data, "gas": _TOKEN_GAS})
        return made

    async def balance(self, symbol: str, addresses: Iterable[str]) -> int:
        """What lies in blocks at these addresses, together."""
        wanted = sorted(set(addresses))
        if symbol == "rLTC":
            return sum(units for _, units in await self.coins(wanted))
        total = 0
        for address in wanted:
            if symbol == "ETH":
                answer = await self.evm.call("eth_getBalance", address, "latest")
            else:
                data = f"0x{_BALANCE_OF}{address[2:].lower():0>64}"
                answer = await self.evm.call("eth_call", {"to": self.token, "data": data}, "latest")
            total += int(answer, 16)
        return total

    async def coins(self, addresses: Sequence[str]) -> list[tuple[str, int]]:
        """Litecoin's unspent coins at these addresses: (outpoint, units)."""
        if not addresses:
            return []
        scan = await self._rpc().call(_Scan, "scantxoutset", "start", [f"addr({one})" for one in addresses])
        return [
            (f"{one.txid}:{one.vout}", parse_units(bytes(one.amount).decode(), COIN_DECIMALS)) for one in scan.unspents
        ]

    async def spends(self, address: str, coins: Sequence[tuple[str, int]], after: int) -> list[Spend]:
        """Litecoin transactions above this height that spend from the address, which held these coins there."""
        lay = dict(coins)
        found = []
        for height in range(after + 1, await self.litecoin.height() + 1):
            block = await self._rpc().call(_Block, "getblock", await self.litecoin.block_hash(height), 2)
            for one in block.tx:
                spent = [lay.pop(key) for each in one.vin if (key := f"{each.txid}:{each.vout}") in lay]
                if spent:
                    paid = tuple((output.to, output.units) for output in one.vout)
                    found.append(Spend(one.txid, paid, sum(spent) - sum(units for _, units in paid)))
                lay |= {f"{one.txid}:{output.n}": output.units for output in one.vout if output.to == address}
        return found

    async def evm_sent(self, senders: Iterable[str], after: int) -> list[tuple[EvmTransaction, int]]:
        """Transactions of these accounts above this height, and what each cost in wei."""
        wanted, rpc = {one.lower() for one in senders}, LocalRpc(self.evm.rpc_url, "drill")
        found = []
        for height in range(after + 1, await self.evm.height() + 1):
            block = await rpc.call(_EvmBlock, "eth_getBlockByNumber", hex(height), True)  # noqa: FBT003  as the call has it
            for one in block.transactions:
                if one.sender.lower() in wanted:
                    receipt = await rpc.call(_Receipt, "eth_getTransactionReceipt", one.hash)
                    found.append((one, int(receipt.gas_used, 16) * int(receipt.effective_gas_price, 16)))
        return found

    async def waiting(self) -> set[str]:
        """Ids of all transactions that wait for a block, on both chains."""
        rpc = LocalRpc(self.evm.rpc_url, "drill")
        pool = await rpc.call(_Pool, "txpool_content")
        evm = {one.hash for part in (pool.pending, pool.queued) for by in part.values() for one in by.values()}
        return {*await self.litecoin.mempool(), *evm}

    def _rpc(self) -> LocalRpc:
        return LocalRpc(self.litecoin.rpc_url, "drill", Credentials(cookie_file=self.litecoin.cookie_file))


class _Pooled(msgspec.Struct):
    hash: str


class _Pool(msgspec.Struct):
    pending: dict[str, dict[str, _Pooled]]
    queued: dict[str, dict[str, _Pooled]]


class BlockHash(msgspec.Struct):
    """A block of an EVM network, as far as its name."""

    hash: str
