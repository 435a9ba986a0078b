"""A block of the Bitcoin family as transfers: each input into its transaction, each output out of it, then the fee.

Pure: bytes in, transfers out. The bytes prove themselves (`chains.bitcoin_blocks`): what is told here is what the
block's hash commits to. Amounts of inputs are those of the outputs that they spend.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from holdfast.chains.bitcoin_blocks import BlockContents, Payment, moves_in_block
from holdfast.chains.bitcoin_scripts import ScriptWithoutAddress, address_of
from holdfast.chains.port import Header
from holdfast.core.networks import BitcoinNetwork
from holdfast.trace.model import FEES, Movement, Transfer
from holdfast.trace.sources.port import ORDER_BITS

NO_OUTPUT = f"{'00' * 32}:{0xFFFFFFFF}"
"""What a miner's reward spends."""
DUST_UNITS = 546
"""Bitcoin Core's dust limit of a plain output at its default fee; Dogecoin has one of its own."""
_RETURN = 0x6A
_PUSH_MAX = 0x4B
_PUSH_SIZES = {0x4C: 1, 0x4D: 2, 0x4E: 4}
_SCRIPT_SHOWN = 40


class _Everything(Mapping[bytes, object]):
    """Contains whatever is asked for: every script and every outpoint of a block is wanted."""

    def __contains__(self, _: object) -> bool:
        return True

    def __getitem__(self, _: bytes) -> object:
        return None

    def __iter__(self) -> Iterator[bytes]:
        return iter(())

    def __len__(self) -> int:
        return 0


EVERYTHING = _Everything()


@dataclass(frozen=True, slots=True)
class Output:
    """What an output held."""

    script: bytes
    units: int
    holder: str = ""
    """Where it is known without the script."""


@dataclass(frozen=True, slots=True)
class Moves:
    """One transaction of a block."""

    transaction: str
    place: int
    spends: Sequence[str]
    """Outpoints."""
    pays: Sequence[Payment]


@dataclass(slots=True)
class Told:
    """What became of blocks."""

    transfers: list[Transfer] = field(default_factory=list)
    unknown_inputs: int = 0
    dust: int = 0


def moves_of(raw: bytes) -> list[Moves]:
    """The transactions of a block. Raises `BytesMalformed`."""
    contents: BlockContents = moves_in_block(raw, EVERYTHING, EVERYTHING)[0]
    spends: dict[str, list[str]] = defaultdict(list)
    for outpoint, transaction in contents.spends:
        if outpoint != NO_OUTPUT:
            spends[transaction].append(outpoint)
    pays: dict[str, list[Payment]] = defaultdict(list)
    for payment in contents.payments:
        pays[payment.transaction].append(payment)
    return [Moves(name, place, spends[name], pays[name]) for place, name in enumerate(contents.transactions)]


@dataclass(frozen=True, slots=True)
class Teller:
    """Makes transfers of one network's transactions."""

    network: BitcoinNetwork

    def tell(
        self, header: Header, moves: Moves, spent: Callable[[str], Output | None], told: Told, evidence: str = ""
    ) -> None:
        """Adds a transaction's transfers. Where an input is unknown it is counted, and no fee is told."""
        order = moves.place << ORDER_BITS
        memo = next((text for each in moves.pays if (text := memo_of(each.script))), "")

        def add(source: str, target: str, units: int, movement: Movement, outpoint: str = "") -> None:
            nonlocal order
            told.transfers.append(Transfer(
                self.network.id, header.height, order, header.time, moves.transaction, source, target,
                self.network.coin.id, units, movement, outpoint, evidence, memo,
            ))  # fmt: skip
            order += 1

        left: int | None = 0
        for outpoint in moves.spends:
            output = spent(outpoint)
            if output is None:
                told.unknown_inputs += 1
                left = None
                continue
            add(self.holder(output), moves.transaction, output.units, Movement.INPUT, outpoint)
            left = None if left is None else left + output.units
        for payment in moves.pays:
            if payment.units:
                holder = self.holder(Output(payment.script, payment.units))
                add(moves.transaction, holder, payment.units, Movement.OUTPUT, payment.key)
                told.dust += payment.units < (self.network.coin_dust_units or DUST_UNITS)
        fee = 0 if left is None or not moves.spends else left - sum(each.units for each in moves.pays)
        if fee > 0:
            add(moves.transaction, FEES, fee, Movement.FEE)

    def holder(self, output: Output) -> str:
        """The address of its script; `script:` and the script, or its hash where it is long, where it has none."""
        if output.holder:
            return output.holder
        script = output.script
        try:
            return address_of(self.network, script)
        except (ScriptWithoutAddress, IndexError):
            return "script:" + (script.hex() if len(script) <= _SCRIPT_SHOWN else sha256(script).hexdigest())


def memo_of(script: bytes) -> str:
    """The text that an OP_RETURN output carries, hexadecimal where it is no text; empty for every other output."""
    if not script or script[0] != _RETURN:
        return ""
    data, at = b"", 1
    while at < len(script):
        size, at = script[at], at + 1
        if size in _PUSH_SIZES:
            width = _PUSH_SIZES[size]
            size, at = int.from_bytes(script[at : at + width], "little"), at + width
        elif size > _PUSH_MAX:
            break
        data += script[at : at + size]
        at += size
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return data.hex()
    return text if text.isprintable() else data.hex()
