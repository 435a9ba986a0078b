"""What leaves watched outputs, as one node of the Bitcoin family shows it: what is new in its memory pool, its blocks.

Only what is new in the pool is fetched, once, and every input of it is looked up in one table. Bytes are proven by
their ids, blocks by their Merkle root.
"""

from __future__ import annotations

from io import BytesIO

from embit.base import EmbitError
from embit.transaction import Transaction

from holdfast.chains.bitcoin import BitcoinAccess, BitcoinNode
from holdfast.chains.bitcoin_blocks import (
    BytesMalformed,
    Payment,
    inputs_of_transaction,
    moves_in_block,
    outpoint_bytes,
    outpoint_text,
    payments_in_transaction,
)
from holdfast.chains.bitcoin_scripts import ScriptWithoutAddress, address_of
from holdfast.chains.outgoing import PATIENCE, Look, Outgoing, PaidOut, Sources, Trail
from holdfast.chains.port import Header, NodeAnswerMalformed, NodeRefused
from holdfast.core.networks import BitcoinNetwork

_RAW = False
_TRANSACTIONS_PER_BATCH = 200


class BitcoinLookout:
    """One full node of the Bitcoin family, as an `outgoing.Lookout`."""

    def __init__(self, access: BitcoinAccess, network: BitcoinNetwork, trail: Trail) -> None:
        """Connects at the first look. Raises `NodeUrlMalformed`."""
        self._node = BitcoinNode(access, network, PATIENCE)
        self._network = network
        self._pool: dict[str, list[bytes]] = {}
        """What waits, and what each takes."""
        self._taken: dict[bytes, str] = {}
        """The same by what is taken."""
        self._suspects: dict[str, None] = {}
        """Transactions in the pool that take from a source, and are to be told."""
        self._untold: list[Outgoing] = []
        self._known = 0
        """So many of the sources were looked up in the pool."""
        self.trail = trail
        self.name = self._node.name

    async def look(self, sources: Sources) -> Look:
        """See `Lookout`. The pool comes first: what leaves it for a block meanwhile is then found in the block."""
        names = set(await self._node.rpc.call(list[str], "getrawmempool"))
        for name in self._pool.keys() - names:
            self._forget(name)
        await self._read_pool(sorted(names - self._pool.keys()), sources)
        suspects = self._suspects
        for outpoint in sources.added[self._known :]:
            if outpoint in self._taken:
                suspects[self._taken[outpoint]] = None
        known = len(sources.added)
        for name in list(suspects):
            self._untold += await self._waiting(name, sources)
            del suspects[name]
        self._known = known
        tip, headers = await self.trail.onward(self._node)
        for header in headers:
            self._untold += await self._block(header, sources)
            self.trail.read(header)
        return Look(tip, is_whole=self.trail.recent.get(tip.height) == tip.hash)

    def told(self) -> list[Outgoing]:
        """See `Lookout`."""
        told, self._untold = self._untold, []
        return told

    async def close(self) -> None:
        """Close the connections."""
        await self._node.close()

    async def _read_pool(self, names: list[str], sources: Sources) -> None:
        for start in range(0, len(names), _TRANSACTIONS_PER_BATCH):
            part = names[start : start + _TRANSACTIONS_PER_BATCH]
            answers = await self._node.rpc.batch(str, [("getrawtransaction", (name, _RAW)) for name in part])
            for name, answer in zip(part, answers, strict=True):
                if isinstance(answer, NodeRefused):
                    continue  # it left the pool in the meantime: for a block, where it will be found, or for good
                inputs = self._remember(name, answer, sources)
                if any(each in sources.outpoints for each in inputs):
                    self._suspects[name] = None

    def _remember(self, name: str, text: str, sources: Sources) -> list[bytes]:
        try:
            raw = bytes.fromhex(text)
            inputs = inputs_of_transaction(raw, name)
            self._found(payments_in_transaction(raw, name, sources.scripts), sources)
        except (BytesMalformed, ValueError, IndexError) as error:
            raise NodeAnswerMalformed(f"{self.name}: transaction {name}: {str(error)[:120]}") from None
        self._pool[name] = inputs
        for each in inputs:
            self._taken[each] = name
        return inputs

    def _forget(self, name: str) -> None:
        for each in self._pool.pop(name):
            if self._taken.get(each) == name:
                del self._taken[each]

    async def _waiting(self, name: str, sources: Sources) -> list[Outgoing]:
        """What a transaction in the pool takes and pays. Its name alone, where it has left the pool by now."""
        try:
            raw = bytes.fromhex(await self._node.rpc.call(str, "getrawtransaction", name, _RAW))
            inputs_of_transaction(raw, name)
            paid = self._paid(raw, 0)
        except NodeRefused:
            paid = ()
        except (BytesMalformed, ValueError) as error:
            raise NodeAnswerMalformed(f"{self.name}: transaction {name}: {str(error)[:120]}") from None
        taken = [each for each in self._pool.get(name, ()) if each in sources.outpoints]
        return [Outgoing(outpoint_text(each), name, paid) for each in taken]

    async def _block(self, header: Header, sources: Sources) -> list[Outgoing]:
        found, raw = await self._node.raw_block(header.hash, header.height)
        if found != header:
            raise NodeAnswerMalformed(f"{self.name}: block {header.hash} was announced with another header")
        try:
            contents, places = moves_in_block(raw, sources.scripts, sources.outpoints)
            if self._found(contents.payments, sources):  # what the very block makes may be spent in it
                contents, places = moves_in_block(raw, {}, sources.outpoints)
            paid = {name: self._paid(raw, at) for name, at in places.items()}
        except BytesMalformed as error:
            raise NodeAnswerMalformed(f"{self.name}: block {header.hash}: {error}") from None
        return [Outgoing(outpoint, name, paid[name], header) for outpoint, name in contents.spends]

    def _found(self, payments: list[Payment], sources: Sources) -> bool:
        """Watch what these pay too; whether any was not watched."""
        before = len(sources.added)
        for payment in payments:
            sources.add_outpoint(outpoint_bytes(payment.key))
            sources.found[payment.key] = sources.scripts[payment.script]
        return len(sources.added) > before

    def _paid(self, raw: bytes, at: int) -> tuple[PaidOut, ...]:
        try:
            outputs = Transaction.read_from(BytesIO(raw[at:])).vout
        except (EmbitError, ValueError) as error:
            raise BytesMalformed(str(error)[:120]) from None
        coin = self._network.coin.id
        return tuple(PaidOut(self._address(each.script_pubkey.data), coin, int(each.value)) for each in outputs)

    def _address(self, script: bytes) -> str | None:
        try:
            return address_of(self._network, script)
        except ScriptWithoutAddress:
            return None
