"""A float of the Bitcoin family for tests: one key, real coins, and whoever has the key can spend them."""

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

from coincurve import PrivateKey

from holdfast.chains.bitcoin_outflow import BitcoinOutflow
from holdfast.chains.bitcoin_scripts import address_of, script_of
from holdfast.chains.localnet import RegtestNode
from holdfast.chains.outflow import Wanted
from holdfast.core import bitcoin
from holdfast.core.bitcoin import Input, Output, Signed, Transaction

COIN_UNITS = 10_000_000
PAID_UNITS = 1_000_000
FEE_UNITS = 10_000
_NUMBERS = itertools.count(1)


def _new_key() -> PrivateKey:
    return PrivateKey(hashlib.sha256(f"float {next(_NUMBERS)}".encode()).digest())


@dataclass
class Float:
    """A P2WPKH key of its own on a regtest chain, and the node that is tested."""

    chain: RegtestNode
    node: BitcoinOutflow
    key: PrivateKey = field(default_factory=_new_key)

    @property
    def script(self) -> bytes:
        return bitcoin.key_script(self.key.public_key.format(), is_segwit=True)

    @property
    def address(self) -> str:
        return address_of(self.chain.network, self.script)

    @property
    def wanted(self) -> Wanted:
        return Wanted(addresses=frozenset({self.address}))

    async def fund(self, units: int = COIN_UNITS) -> str:
        """A coin of so much, in a block of its own: its outpoint."""
        await self.chain.send(self.address, units)
        await self.chain.mine()
        [arrival] = (await self.node.block(await self.chain.height(), self.wanted)).funded
        return arrival.key

    def sign(self, inputs: Sequence[str], units: Sequence[int], outputs: Sequence[Output]) -> Signed:
        """A transaction of these coins, which hold so much each."""
        transaction = Transaction(tuple(Input(each) for each in inputs), tuple(outputs))
        digests = bitcoin.digests(transaction, self.script, list(units))
        signatures = [self.key.sign(digest, hasher=None) for digest in digests]
        return bitcoin.assemble(transaction, self.key.public_key.format(), signatures, is_segwit=True)

    async def payment(self, coin: str, units: int = COIN_UNITS, fee: int = FEE_UNITS) -> Signed:
        """Pays `PAID_UNITS` to somebody (output 0) from a coin; the rest comes back as change (output 1)."""
        somebody = script_of(self.chain.network, await self.chain.new_address())
        change = units - PAID_UNITS - fee
        return self.sign([coin], [units], [Output(somebody, PAID_UNITS), Output(self.script, change)])

    async def theft(self, coin: str, units: int = COIN_UNITS, fee: int = 5 * FEE_UNITS) -> Signed:
        """All of a coin to somebody else, at a fee that replaces a waiting payment."""
        thief = script_of(self.chain.network, await self.chain.new_address())
        return self.sign([coin], [units], [Output(thief, units - fee)])
