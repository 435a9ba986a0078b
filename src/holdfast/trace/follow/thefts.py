"""What was stolen, as stored transfers: from a transaction, an address, or both. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from holdfast.core.errors import NotFound
from holdfast.trace.model import FEES, Movement, Transfer
from holdfast.trace.reading import Transfers


class TheftNotStored(NotFound):
    """None of the stored transfers is this theft. Check its network and spelling, and that a source tells of it."""

    code = "theft-not-stored"


@dataclass(frozen=True, slots=True)
class Stolen:
    """How a person names it. At least a transaction or an address."""

    network: str
    transaction: str = ""
    address: str = ""
    asset: str = ""
    """Empty: of every asset."""
    is_thief: bool = False
    """The address is the thief's: what came to it was stolen. Else it was robbed: what left it was."""


def rows_of(transfers: Transfers, stolen: Stolen) -> list[Transfer]:
    """The transfers that took it. Raises `TheftNotStored`.

    Of a transaction alone: what everybody lost who ended with less of an asset; in the Bitcoin family every output that
    does not go back to an address that paid in.
    """
    network = stolen.network
    if stolen.transaction:
        rows = list(transfers.of_transactions(network, [stolen.transaction]))
    elif stolen.is_thief:
        rows = list(transfers.arriving(network, [stolen.address]))
    else:
        rows = list(transfers.leaving(network, [stolen.address]))
    rows = [row for row in rows if row.units and row.movement is not Movement.FEE and row.target != FEES]
    if not stolen.transaction:
        found = rows
    elif any(row.movement is Movement.INPUT for row in rows):
        found = _outputs(rows, stolen)
    else:
        found = _accounts(rows, stolen)
    if stolen.asset:
        found = [row for row in found if row.asset == stolen.asset]
    if not found:
        named = stolen.transaction or stolen.address
        raise TheftNotStored(f"{named[:90]} on {network}" + (f", of {stolen.asset}" if stolen.asset else ""))
    return found


def _outputs(rows: Sequence[Transfer], stolen: Stolen) -> list[Transfer]:
    payers = {row.source for row in rows if row.movement is Movement.INPUT}
    outputs = [row for row in rows if row.movement is Movement.OUTPUT]
    if stolen.address and stolen.address not in payers:
        return [row for row in outputs if row.target == stolen.address]
    return [row for row in outputs if row.target not in payers]


def _accounts(rows: Sequence[Transfer], stolen: Stolen) -> list[Transfer]:
    if stolen.address:
        sent = [row for row in rows if row.source == stolen.address]
        got = [row for row in rows if row.target == stolen.address]
        return got if stolen.is_thief or not sent else sent
    nets: dict[tuple[str, str], int] = defaultdict(int)
    for row in rows:
        nets[row.asset, row.source] -= row.units
        nets[row.asset, row.target] += row.units
    return [row for row in rows if nets[row.asset, row.source] < 0]
