"""What somebody with the float's keys can do with them, without the signer and its journal: raw transactions to a node.

It is attackers' code, for their own process, and it uses nothing of the signer but the way to open its keystore.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from coincurve import PublicKey

from holdfast.chains.bitcoin_scripts import script_of
from holdfast.core import bitcoin
from holdfast.core.bitcoin import Input, Output
from holdfast.core.evm_transactions import Fees, Signature, Transaction, address_of, assemble, digest, sender
from holdfast.core.money import parse_units
from holdfast.core.networks import BitcoinNetwork, known_network
from holdfast.drill.chain import COIN_DECIMALS
from holdfast.drill.hands import Hand
from holdfast.signer.keys import Keys, open_keys

EVM_NAME = "eip155:31337"
EVM_GAS_NAME = f"{EVM_NAME}/gas"
TIP_WEI = 2 * 10**9
GAS = 900_000
PLAIN_GAS = 21_000
RELAY_PER_KVB = 20_000


@dataclass(frozen=True, slots=True)
class Purse:
    """The stolen keys, and a way to each network."""

    keys: Keys
    litecoin_url: str
    evm_url: str

    async def litecoin(self, paid: Sequence[tuple[str, int]], *, change: bool = False) -> str:
        """Spend all coins of the float to these addresses, -1 units for all that is left; the id, empty if refused."""
        network = known_network("litecoin-regtest")
        assert isinstance(network, BitcoinNetwork)  # noqa: S101  by the table's own row
        point = self.keys.public_key(network.id)
        script = bitcoin.key_script(point, is_segwit=True)
        scan = await call(self.litecoin_url, "scantxoutset", "start", [f"raw({script.hex()})"])
        coins = [(f"{one['txid']}:{one['vout']}", _units(one["amount"])) for one in scan["unspents"]]
        if not coins:
            return ""
        fee = (len(coins) * 70 + len(paid) * 40 + 60) * RELAY_PER_KVB // 1000
        rest = sum(units for _, units in coins) - fee - sum(units for _, units in paid if units > 0)
        outputs = [Output(script_of(network, address), rest if units < 0 else units) for address, units in paid]
        if change:
            outputs.append(Output(script, rest))
        made = bitcoin.Transaction(tuple(Input(outpoint) for outpoint, _ in coins), tuple(outputs))
        signatures = [
            bitcoin.der(self.keys.sign(network.id, each))
            for each in bitcoin.digests(made, script, [units for _, units in coins])
        ]
        signed = bitcoin.assemble(made, point, signatures, is_segwit=True)
        return str(await call(self.litecoin_url, "sendrawtransaction", signed.raw.hex()) or "")

    async def evm(self, to: str, data: bytes, value: int = 0, *, name: str = EVM_NAME) -> str:
        """A call by one of the accounts; the hash, empty if refused. `value`: -1 for all that it has."""
        owner = address_of(PublicKey(self.keys.public_key(name)))
        nonce = int(await call(self.evm_url, "eth_getTransactionCount", owner, "pending"), 16)
        price = 2 * int(await call(self.evm_url, "eth_gasPrice"), 16) + TIP_WEI
        gas = GAS if data else PLAIN_GAS
        if value < 0:
            value = int(await call(self.evm_url, "eth_getBalance", owner, "pending"), 16) - 2 * gas * price
        made = Transaction(31_337, nonce, Fees(price, TIP_WEI), gas, to, max(0, value), data)
        compact = self.keys.sign(name, digest(made))
        r, s = int.from_bytes(compact[:32], "big"), int.from_bytes(compact[32:], "big")
        signature = next(one for one in (Signature(r, s, 0), Signature(r, s, 1)) if sender(made, one) == owner)
        raw = assemble(made, signature).raw
        return str(await call(self.evm_url, "eth_sendRawTransaction", "0x" + raw.hex()) or "")


async def call(url: str, method: str, *params: object) -> Any:
    """A JSON-RPC call; None where the node refuses."""
    import aiohttp

    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
    async with aiohttp.ClientSession(trust_env=False) as http, http.post(url, json=body) as answer:
        return (await answer.json(content_type=None)).get("result")


def stolen(hand: Hand) -> Purse:
    """The keys out of the owned signer's own files, and its own nodes."""
    from holdfast.signer.settings import load

    settings = load(hand.home / "signer.toml")
    assert settings.keystore_file is not None  # noqa: S101  a local set-up has one
    assert settings.passphrase_file is not None  # noqa: S101  a local set-up has one
    urls = {name.partition(":")[0]: access.nodes[0].url or "" for name, access in settings.networks.items()}
    return Purse(open_keys(settings.keystore_file, settings.passphrase_file), urls["bip122"], urls["eip155"])


def _units(amount: object) -> int:
    return parse_units(f"{amount:.8f}", COIN_DECIMALS)
