"""A spend of the vault on the Bitcoin family, as a value: which of the vault's outputs, paid to whom.

Whoever makes one and whoever reads one out of a PSBT goes through the same checks. Whether it *should* be signed is
no question here.
"""

from __future__ import annotations

from dataclasses import dataclass

from embit.base import EmbitError
from embit.transaction import Transaction

from holdfast.chains.bitcoin_scripts import address_of, script_of
from holdfast.core.addresses import parse_address
from holdfast.core.descriptors import Branch, Place, VaultDescriptor
from holdfast.core.errors import BadInput
from holdfast.core.money import format_units
from holdfast.core.networks import BitcoinNetwork, ScriptType

INPUTS_MAX = 50
"""A device shows, hashes and signs each: beyond it some take a quarter of an hour and some refuse."""
OUTPUTS_MAX = 50
"""Each is a line that an officer reads."""
UNITS_MAX = 2**63 - 1
_SIGNATURE_BYTES = 72
"""A DER signature with its hash type, at most."""
EMBIT_ERRORS = (EmbitError, ValueError, IndexError, OverflowError, AssertionError, RuntimeError, TypeError, KeyError)
"""What embit raises for bytes that are not what they should be: only some of it is its own."""


class SpendMalformed(BadInput):
    """The spend contradicts itself or is too large to be signed. Have a new draft made."""

    code = "spend-malformed"


class InputNotOurs(BadInput):
    """An input of the spend is not an output of this vault at the index that it names. Sign nothing; report it."""

    code = "input-not-ours"


class OutputNotOurs(BadInput):
    """An output claims to be the vault's own and is not. Sign nothing; report it: so money is led away unseen."""

    code = "output-not-ours"


@dataclass(frozen=True, slots=True)
class VaultInput:
    """An output of the vault that is spent."""

    txid: str
    vout: int
    place: Place
    units: int
    previous: bytes = b""
    """The raw transaction that made it; may be empty where the signature itself covers the amount (SegWit)."""


@dataclass(frozen=True, slots=True)
class VaultOutput:
    """Where money goes."""

    address: str
    units: int
    place: Place | None = None
    """Where in this vault it lies; None for everybody else's."""


@dataclass(frozen=True, slots=True)
class VaultSpend:
    """One transaction out of the vault, before any signature. Inputs and outputs in the order of the transaction."""

    network: BitcoinNetwork
    descriptor: str
    inputs: tuple[VaultInput, ...]
    outputs: tuple[VaultOutput, ...]

    @property
    def vault(self) -> VaultDescriptor:
        """The descriptor, parsed. Raises as `VaultDescriptor.parse`."""
        return VaultDescriptor.parse(self.descriptor)

    @property
    def fee_units(self) -> int:
        """What the miners get."""
        return sum(one.units for one in self.inputs) - sum(one.units for one in self.outputs)

    @property
    def vbytes(self) -> int:
        """Its size once signed, at most (BIP 141); for networks without SegWit its plain size."""
        return vbytes(self.vault, len(self.inputs), [script_of(self.network, one.address) for one in self.outputs])


def checked(spend: VaultSpend) -> VaultSpend:
    """The same spend, once everything below holds.

    0. The descriptor says from which seeds its keys come, or no device would find its own: `SpendMalformed`.
    1. It has 1 to `INPUTS_MAX` inputs, no two the same, and 1 to `OUTPUTS_MAX` outputs: `SpendMalformed`.
    2. Every amount is positive, and the inputs cover the outputs: `SpendMalformed`.
    3. Every input's previous transaction, where it is given, made an output of that amount with the script that the
       descriptor gives there; without SegWit it must be given: `InputNotOurs`.
    4. Every output is an address of this network in its one form: `SpendMalformed`. One that says it is the vault's
       own is, and lies on the change branch, for on the other it would be some merchant's deposit: `OutputNotOurs`.
    """
    # 0
    if not all(key.fingerprint for key in spend.vault.keys):
        raise SpendMalformed("a key of the descriptor is without its origin")
    # 1
    outpoints = {(one.txid, one.vout) for one in spend.inputs}
    if not 1 <= len(outpoints) == len(spend.inputs) <= INPUTS_MAX or not 1 <= len(spend.outputs) <= OUTPUTS_MAX:
        raise SpendMalformed(f"{len(outpoints)} different inputs of {len(spend.inputs)}, {len(spend.outputs)} outputs")
    # 2
    amounts = [*(one.units for one in spend.inputs), *(one.units for one in spend.outputs)]
    if not all(0 < units <= UNITS_MAX for units in amounts) or spend.fee_units < 0:
        raise SpendMalformed(f"the amounts do not add up: a fee of {spend.fee_units}")
    # 3
    for spent in spend.inputs:
        _check_previous(spend, spent)
    # 4
    for paid in spend.outputs:
        _check_output(spend, paid)
    return spend


def address_at(spend: VaultSpend, place: Place) -> str:
    """The vault's address there. Raises as `VaultDescriptor.address`."""
    return spend.vault.address(place.index, spend.network, place.branch)


def vbytes(vault: VaultDescriptor, inputs: int, output_scripts: list[bytes]) -> int:
    """The size of a spend with so many inputs, once signed, at most: what a fee is reckoned by."""
    script_bytes = 3 + 34 * len(vault.keys)
    plain = 10 + 41 * inputs + sum(9 + len(script) for script in output_scripts)
    signatures = 1 + vault.threshold * (1 + _SIGNATURE_BYTES)  # the one: an empty element that CHECKMULTISIG eats
    if vault.script_type is ScriptType.WSH:
        witness = 2 + inputs * (1 + signatures + (1 if script_bytes < 253 else 3) + script_bytes)
        return plain + (witness + 3) // 4
    unlocking = signatures + (2 if script_bytes < 256 else 3) + script_bytes
    return plain + inputs * (unlocking + (0 if unlocking < 253 else 2))


def describe(spend: VaultSpend) -> list[str]:
    """What an officer reads on his own screen: where from, where to, what it costs. Computed from the spend alone."""

    def money(units: int) -> str:
        return f"{format_units(units, spend.network.coin.decimals)} {spend.network.coin.symbol}"

    total = sum(one.units for one in spend.inputs)
    lines = [f"spends       {money(total)}, {len(spend.inputs)} outputs of the vault on {spend.network.name}"]
    for paid in spend.outputs:
        if paid.place is None:
            lines.append(f"pays         {money(paid.units)} to {paid.address}")
        else:
            where = f"{paid.place.branch.name.lower()} {paid.place.index}"
            lines.append(f"gives back   {money(paid.units)} to the vault, {where}: {paid.address}")
    return [*lines, f"fee          {money(spend.fee_units)}, {spend.fee_units // spend.vbytes} a vbyte"]


def _check_output(spend: VaultSpend, paid: VaultOutput) -> None:
    address = parse_address(spend.network, paid.address)
    if address_of(spend.network, script_of(spend.network, address)) != paid.address:
        raise SpendMalformed(f"{paid.address} is not the form in which {spend.network.name} writes that address")
    if paid.place is None:
        return
    if paid.place.branch is not Branch.CHANGE or address_at(spend, paid.place) != address:
        raise OutputNotOurs(f"{address} is not change of the vault at {paid.place}")


def _check_previous(spend: VaultSpend, spent: VaultInput) -> None:
    where = f"{spent.txid}:{spent.vout}"
    address = address_at(spend, spent.place)
    if not spent.previous:
        if spend.vault.script_type is ScriptType.SH:
            raise InputNotOurs(f"{where} comes without its transaction, so nothing proves its amount")
        return
    try:
        previous = Transaction.parse(spent.previous)
        made = previous.vout[spent.vout]
    except EMBIT_ERRORS:
        raise InputNotOurs(f"{where}: its transaction cannot be read") from None
    if previous.txid().hex() != spent.txid:
        raise InputNotOurs(f"{where}: the transaction that comes with it is another")
    if (made.value, made.script_pubkey.data) != (spent.units, script_of(spend.network, address)):
        raise InputNotOurs(f"{where} is not {spent.units} units at {address}")
