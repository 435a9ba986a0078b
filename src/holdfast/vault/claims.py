"""What the vault owes the company, cumulative from the beginning, and the walls that a settlement must not cross. Pure.

`claim = verified payouts + fees signed for + float to vault - all vault to float ever - vault fees`, never "since last
time". And whatever the claim says: afterwards the vault holds at least what all merchants are entitled to.
"""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.core.errors import Conflict
from holdfast.core.money import format_units


class ClaimExceeded(Conflict):
    """The settlement with its fee is more than the vault owes the company. Ask for less, and find out who asked."""

    code = "claim-exceeded"


class CapExceeded(Conflict):
    """The float would hold more than its cap, counting settlements on their way. Ask for less, or wait."""

    code = "cap-exceeded"


class MerchantsShort(Conflict):
    """The vault would hold less than its merchants are entitled to. Settle nothing; find out what is missing."""

    code = "merchants-short"


@dataclass(frozen=True, slots=True)
class Claim:
    """The company's claim on the vault, in an asset's smallest units, term by term."""

    payouts_units: int
    """Lines that merchants signed for, and that are paid in final transactions."""
    fees_units: int
    """What merchants signed to pay for those."""
    returned_units: int
    """From the float to the vault: cap sweeps, and rotated floats."""
    settled_units: int
    """From the vault to the float, ever."""
    vault_fees_units: int
    """What networks took for the vault's own transactions."""

    @property
    def units(self) -> int:
        """What is owed now."""
        return self.payouts_units + self.fees_units + self.returned_units - self.settled_units - self.vault_fees_units


@dataclass(frozen=True, slots=True)
class Holdings:
    """What lies where, by the officers' own node."""

    vault_units: int
    entitled_units: int
    """What all merchants together may still order out."""
    float_units: int
    in_flight_units: int
    """Settlements that are signed and not final."""
    cap_units: int
    """By the signed policy."""


def refuse_settlement(units: int, fee_units: int, claim: Claim, holdings: Holdings) -> None:
    """Whether this much may go from the vault to the float. Raises `ClaimExceeded`, `CapExceeded`, `MerchantsShort`."""
    if units + fee_units + holdings.in_flight_units > claim.units:
        raise ClaimExceeded(
            f"{units} and a fee of {fee_units}, where {claim.units - holdings.in_flight_units} are owed"
        )
    if holdings.float_units + holdings.in_flight_units + units > holdings.cap_units:
        raise CapExceeded(f"{holdings.float_units} + {holdings.in_flight_units} + {units} above {holdings.cap_units}")
    if holdings.vault_units - holdings.in_flight_units - units - fee_units < holdings.entitled_units:
        raise MerchantsShort(f"{holdings.vault_units} in the vault, {holdings.entitled_units} are the merchants'")


def wanted_units(claim: Claim, holdings: Holdings, fee_units: int) -> int:
    """The most that may be settled now; 0 where nothing may."""
    by_claim = claim.units - holdings.in_flight_units - fee_units
    by_cap = holdings.cap_units - holdings.float_units - holdings.in_flight_units
    by_merchants = holdings.vault_units - holdings.in_flight_units - fee_units - holdings.entitled_units
    return max(0, min(by_claim, by_cap, by_merchants))


def describe(claim: Claim, holdings: Holdings, decimals: int, symbol: str) -> list[str]:
    """The table that an officer reads: why this much."""

    def money(units: int) -> str:
        return f"{format_units(units, decimals)} {symbol}"

    return [
        f"owed for     {money(claim.payouts_units)} of payouts that merchants signed, each found in a block",
        f"             {money(claim.fees_units)} of fees that they signed for",
        f"             {money(claim.returned_units)} given back to the vault",
        f"less         {money(claim.settled_units)} settled before, {money(claim.vault_fees_units)} of vault fees",
        f"claim        {money(claim.units)}",
        f"in the vault {money(holdings.vault_units)}, of which merchants' {money(holdings.entitled_units)}",
        f"in the float {money(holdings.float_units)}, on the way {money(holdings.in_flight_units)}, "
        f"cap {money(holdings.cap_units)}",
    ]
