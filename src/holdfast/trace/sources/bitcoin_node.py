"""Transfers from full nodes of the Bitcoin family: blocks as bytes, by height, or following what is spent.

Any node will do that keeps its blocks. What an input spends is known from blocks read before, from what is stored, or
else asked of the node, which can tell it with `txindex=1`; where nobody knows, the input is counted and said.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from holdfast.chains.bitcoin import BitcoinAccess, BitcoinNode
from holdfast.chains.bitcoin_blocks import BytesMalformed, payments_in_transaction
from holdfast.chains.port import Header, NodeAnswerMalformed, NodeBlockGone, NodeRefused
from holdfast.chains.rpc import Credentials, Limits, RpcClient
from holdfast.core.networks import BitcoinNetwork
from holdfast.trace.evidence import Exhibit
from holdfast.trace.model import Movement
from holdfast.trace.sources.beside import ALONE, Beside
from holdfast.trace.sources.bitcoin_transfers import EVERYTHING, Moves, Output, Teller, Told, moves_of
from holdfast.trace.sources.port import Batch, Noticed, WalkBack, Wanted
from holdfast.trace.sources.walk import Walk
from holdfast.trace.store_parts import AssetFact

BLOCKS_AT_ONCE = 50
_TRANSFERS_AT_ONCE = 20_000
_OUTPUTS_KEPT = 2_000_000
"""Of blocks read before; the oldest go first."""
_WATCHED_MAX = 200_000
_ASKED_AT_ONCE = 100
_RAW = False


class _Place(msgspec.Struct):
    blockhash: str = ""


class _Height(msgspec.Struct):
    height: int


class _Cursor(msgspec.Struct, frozen=True):
    walk: Walk
    watched: tuple[str, ...] = ()
    """Outpoints that are followed and not spent yet."""


@dataclass(slots=True)
class _Following:
    """What one pull is after."""

    wanted: Wanted
    watched: dict[str, None] = field(default_factory=dict)
    is_full: bool = False

    def takes(self, moves: Moves, touches: Callable[[Moves], bool]) -> bool:
        """Whether a transaction is wanted; its outputs are then watched, where spends are followed."""
        if not self.wanted.transactions:
            return not self.wanted.addresses or touches(moves)
        spent = [outpoint for outpoint in moves.spends if outpoint in self.watched]
        if not spent and moves.transaction not in self.wanted.transactions:
            return False
        for outpoint in spent:
            del self.watched[outpoint]
        if len(self.watched) < _WATCHED_MAX:
            self.watched |= dict.fromkeys(each.key for each in moves.pays if each.units)
        else:
            self.is_full = True
        return True


class BitcoinNodeSource:
    """One network, by one node or by two that are compared."""

    def __init__(
        self,
        nodes: Sequence[BitcoinAccess],
        network: BitcoinNetwork,
        beside: Beside = ALONE,
        limits: Limits = Limits(),  # noqa: B008  a frozen value
    ) -> None:
        """The first node is read, the others are compared with it. Raises `NodeUrlMalformed`."""
        self._network, self._beside, self._teller = network, beside, Teller(network)
        self._nodes = [BitcoinNode(access, network, limits) for access in nodes]
        self._rpcs = [_client(access, limits) for access in nodes]
        self._outputs: dict[str, Output] = {}
        self._is_silent = False
        """The node does not tell earlier transactions."""

    @property
    def name(self) -> str:
        """By its network: several nodes of one are one source."""
        return f"node:{self._network.name}"

    async def pull(self, wanted: Wanted, cursor: str) -> AsyncIterator[Batch]:
        """Blocks from the cursor on, or from the first block wanted. Raises what nodes raise."""
        begin = await self._first(wanted)
        after = msgspec.json.decode(cursor, type=_Cursor) if cursor else _Cursor(Walk(begin))
        following, walk = _Following(wanted, dict.fromkeys(after.watched)), after.walk
        last, is_checked = 0, False
        while True:
            tip = await self._nodes[0].tip()
            last = min(wanted.height_to or tip.height, tip.height)
            headers = await self._nodes[0].headers(walk.next, min(walk.next + BLOCKS_AT_ONCE - 1, last))
            if not is_checked or not headers or not walk.fits(headers[0]):
                back = await walk.back(self._nodes[0].headers, begin)
                if back is not None:
                    gone = WalkBack(self._network.id, back.next, walk.next - 1)
                    # Who spent what is not known of the past: what is followed is followed anew from its beginning.
                    walk = Walk(begin) if wanted.transactions else back
                    following.watched.clear()
                    self._outputs.clear()
                    yield Batch(cursor=self._cursor(walk, following), forget=gone, done=walk.next - 1, total=last)
                    continue
                is_checked = True
            if walk.next > last:
                return
            if not headers or not walk.fits(headers[0]):
                raise NodeBlockGone(f"{self.name}: the chain changed at height {walk.next}")
            told, stopped, read = await self._read(headers, following)
            walk = walk.after(headers[:read])
            noticed = {Noticed.PREVOUT: told.unknown_inputs, Noticed.DUST: told.dust}
            yield Batch(
                tuple(told.transfers), self._cursor(walk, following),
                noticed={name: count for name, count in noticed.items() if count},
                stopped=stopped, assets=self._assets(), done=walk.next - 1, total=last,
            )  # fmt: skip

    async def close(self) -> None:
        """Close the connections."""
        for node, rpc in zip(self._nodes, self._rpcs, strict=True):
            await node.close()
            await rpc.close()

    async def _first(self, wanted: Wanted) -> int:
        """Where to begin: where spends are followed, at the first of their transactions, if the node can say."""
        if wanted.height_from or not wanted.transactions:
            return wanted.height_from
        heights = []
        for transaction in sorted(wanted.transactions):
            try:
                place = await self._rpcs[0].call(_Place, "getrawtransaction", transaction, True)  # noqa: FBT003  as the node wants it
                header = await self._rpcs[0].call(_Height, "getblockheader", place.blockhash)
            except NodeRefused:
                return 0
            heights.append(header.height)
        return min(heights)

    async def _read(self, headers: Sequence[Header], following: _Following) -> tuple[Told, list[str], int]:
        """Transfers of these blocks, what was not told, and how many blocks were read."""
        told, stopped, read = Told(), list[str](), 0
        for header in headers:
            raw = await self._block(self._rpcs[0], header)
            try:
                every = moves_of(raw)
            except BytesMalformed as error:
                raise NodeAnswerMalformed(f"{self.name}: block {header.hash}: {error}") from None
            before = len(told.transfers), told.unknown_inputs
            await self._tell(header, every, following, told)
            if len(told.transfers) > before[0]:
                evidence = self._keep(raw, header, self._nodes[0].name)
                told.transfers[before[0] :] = [
                    msgspec.structs.replace(each, evidence=evidence) for each in told.transfers[before[0] :]
                ]
                stopped += await self._compared(raw, header)
            if told.unknown_inputs > before[1]:
                stopped.append(f"{self.name} does not tell what all inputs spend: start it with txindex=1")
            read += 1
            if len(told.transfers) >= _TRANSFERS_AT_ONCE:
                break
        if following.is_full:
            stopped.append(f"{self.name}: more than {_WATCHED_MAX} outputs to follow: later ones are not followed")
        return told, stopped, read

    async def _tell(self, header: Header, every: Sequence[Moves], following: _Following, told: Told) -> None:
        self._remember(every)
        needs_all = bool(following.wanted.addresses) and not following.wanted.transactions
        if needs_all:
            await self._look_up([outpoint for moves in every for outpoint in moves.spends])
        taken = [moves for moves in every if following.takes(moves, lambda one: self._touches(one, following.wanted))]
        await self._look_up([outpoint for moves in taken for outpoint in moves.spends])
        for moves in taken:
            self._teller.tell(header, moves, self._outputs.get, told)
        for moves in every:
            for outpoint in moves.spends:
                self._outputs.pop(outpoint, None)

    def _touches(self, moves: Moves, wanted: Wanted) -> bool:
        spent = [self._outputs[each] for each in moves.spends if each in self._outputs]
        outputs = (*spent, *(Output(payment.script, payment.units) for payment in moves.pays))
        return any(self._teller.holder(each) in wanted.addresses for each in outputs)

    def _remember(self, every: Sequence[Moves]) -> None:
        for moves in every:
            for payment in moves.pays:
                self._outputs[payment.key] = Output(payment.script, payment.units)
        while len(self._outputs) > _OUTPUTS_KEPT:
            del self._outputs[next(iter(self._outputs))]

    async def _look_up(self, outpoints: Sequence[str]) -> None:
        """Outputs that no block of this run made: from the store, then from the node."""
        missing = {outpoint for outpoint in outpoints if outpoint not in self._outputs}
        if self._beside.known is not None and missing:
            names = {outpoint.partition(":")[0] for outpoint in missing}
            for each in self._beside.known.of_transactions(self._network.id, names):
                if each.movement is Movement.OUTPUT and each.outpoint in missing:
                    self._outputs[each.outpoint] = Output(b"", each.units, each.target)
            missing -= self._outputs.keys()
        if self._is_silent or not missing:
            return
        names_left = sorted({outpoint.partition(":")[0] for outpoint in missing})
        for at in range(0, len(names_left), _ASKED_AT_ONCE):
            await self._ask(names_left[at : at + _ASKED_AT_ONCE])

    async def _ask(self, names: Sequence[str]) -> None:
        answers = await self._rpcs[0].batch(str, [("getrawtransaction", (name, _RAW)) for name in names])
        self._is_silent = all(isinstance(answer, NodeRefused) for answer in answers)
        for name, answer in zip(names, answers, strict=True):
            if isinstance(answer, NodeRefused):
                continue
            try:
                payments = payments_in_transaction(bytes.fromhex(answer), name, EVERYTHING)
            except (ValueError, BytesMalformed) as error:
                raise NodeAnswerMalformed(f"{self.name}: {error}") from None
            self._outputs |= {each.key: Output(each.script, each.units) for each in payments}

    async def _block(self, rpc: RpcClient, header: Header) -> bytes:
        text = await rpc.call(str, "getblock", header.hash, _RAW)
        try:
            return bytes.fromhex(text)
        except ValueError:
            raise NodeAnswerMalformed(f"{self.name}: block {header.hash} is not hexadecimal") from None

    async def _compared(self, raw: bytes, header: Header) -> list[str]:
        """What the other nodes say of this block; a difference, in a sentence."""
        differences = []
        for node, rpc in zip(self._nodes[1:], self._rpcs[1:], strict=True):
            try:
                other = await self._block(rpc, header)
            except NodeRefused:
                differences.append(f"{node.name} does not have block {header.hash} (height {header.height})")
                continue
            self._keep(other, header, node.name)
            if other != raw:
                differences.append(f"{node.name} tells block {header.hash} otherwise than {self._nodes[0].name}")
        return differences

    def _keep(self, raw: bytes, header: Header, node: str) -> str:
        if self._beside.evidence is None:
            return ""
        exhibit = Exhibit(
            "", "", 0, node, f"getblock {header.hash}", self._beside.clock(), self._network.id, header.height,
            header.hash,
        )  # fmt: skip
        return self._beside.evidence.keep(raw, exhibit)

    def _assets(self) -> dict[str, AssetFact]:
        coin = self._network.coin
        return {coin.id: AssetFact(coin.symbol, coin.decimals)}

    def _cursor(self, walk: Walk, following: _Following) -> str:
        return msgspec.json.encode(_Cursor(walk, tuple(following.watched))).decode()


def _client(access: BitcoinAccess, limits: Limits) -> RpcClient:
    credentials = Credentials(access.cookie_file, access.user, access.password_file)
    return RpcClient(access.url, name=access.name, credentials=credentials, limits=limits)
