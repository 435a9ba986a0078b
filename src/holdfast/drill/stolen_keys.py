"""Float keys in a thief's hands: what he can do with the signer's keystore and any node, without the signer.

For scenarios only. It runs as the signer's user, on the signer's real keystore.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from coincurve import PublicKey

from holdfast.chains.bitcoin_scripts import address_of as script_address, script_of
from holdfast.chains.local_process import LocalRpc
from holdfast.core import bitcoin
from holdfast.core.bitcoin import Input, Output
from holdfast.core.evm_float import COIN, pay_call
from holdfast.core.evm_transactions import (
    Fees,
    Signature,
    Transaction,
    TransactionMalformed,
    address_of,
    assemble,
    digest,
    sender,
)
from holdfast.core.money import parse_units
from holdfast.core.networks import BitcoinNetwork, EvmNetwork, known_network
from holdfast.drill.hands import Hand
from holdfast.signer.keys import KeystoreKeys, open_keys

FEE_UNITS = 20_000
GAS_LIMIT = 400_000
TIP_WEI = 2 * 10**9


class _Unspent(msgspec.Struct):
    txid: str
    vout: int
    amount: msgspec.Raw


class _Scan(msgspec.Struct):
    unspents: list[_Unspent]


@dataclass(frozen=True, slots=True)
class StolenKeys:
    """The keys, and the nodes that the thief sends to."""

    keys: KeystoreKeys
    litecoin: LocalRpc
    evm: LocalRpc

    @staticmethod
    def of(hand: Hand) -> StolenKeys:
        """From the signer's own files; the facts `litecoin` and `anvil` are URLs of nodes."""
        keys = open_keys(hand.home / "signer.keystore", hand.home / "passphrase")
        return StolenKeys(keys, LocalRpc(hand.text("litecoin"), "thief"), LocalRpc(hand.text("anvil"), "thief"))

    async def take_litecoin(self, thief: str, share: int) -> str:
        """Send one part in `share` of the Litecoin float to the thief, the rest back; the txid, empty for nothing."""
        network = known_network("litecoin-regtest")
        assert isinstance(network, BitcoinNetwork)  # noqa: S101  by the table's own row
        point = self.keys.public_key(network.id)
        own = script_address(network, bitcoin.key_script(point, is_segwit=True))
        scan = await self.litecoin.call(_Scan, "scantxoutset", "start", [f"addr({own})"])
        waiting = await self.litecoin.call(list[str], "getrawmempool")
        coins = [(f"{one.txid}:{one.vout}", parse_units(bytes(one.amount).decode(), 8)) for one in scan.unspents]
        total = sum(units for _, units in coins)
        wanted = total // share
        if wanted <= FEE_UNITS or (waiting and share > 1):
            return ""
        outputs = [Output(script_of(network, thief), wanted - FEE_UNITS)]
        if total > wanted:
            outputs.append(Output(script_of(network, own), total - wanted))
        made = bitcoin.Transaction(tuple(Input(name) for name, _ in coins), tuple(outputs))
        digests = bitcoin.digests(made, script_of(network, own), [units for _, units in coins])
        signatures = [bitcoin.der(self.keys.sign(network.id, each)) for each in digests]
        signed = bitcoin.assemble(made, point, signatures, is_segwit=True)
        return await self.litecoin.call(str, "sendrawtransaction", signed.raw.hex())

    async def take_evm(self, contract: str, token: str, thief: str, units: int) -> str:
        """Have the float's contract pay the thief in a token, or in the coin where that is empty; the hash."""
        network = known_network("anvil")
        assert isinstance(network, EvmNetwork)  # noqa: S101  by the table's own row
        owner = address_of(PublicKey(self.keys.public_key(network.id)))
        nonce = int(await self.evm.call(str, "eth_getTransactionCount", owner, "pending"), 16)
        price = int(await self.evm.call(str, "eth_gasPrice"), 16)
        fees = Fees(2 * price + TIP_WEI, TIP_WEI)
        data = pay_call(token or COIN, [(thief, units)])
        call = Transaction(network.chain_id, nonce, fees, GAS_LIMIT, contract, 0, data)
        return await self.evm.call(str, "eth_sendRawTransaction", "0x" + self._signed(network.id, owner, call).hex())

    def _signed(self, name: str, owner: str, call: Transaction) -> bytes:
        compact = self.keys.sign(name, digest(call))
        r, s = int.from_bytes(compact[:32], "big"), int.from_bytes(compact[32:], "big")
        for parity in (0, 1):
            try:
                if sender(call, Signature(r, s, parity)) == owner:
                    return assemble(call, Signature(r, s, parity)).raw
            except TransactionMalformed:
                continue
        raise TransactionMalformed("nobody's signature")
