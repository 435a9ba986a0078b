"""What a transaction of the house's means for the ledger: settlements, capital, cap sweeps. Pure.

Payouts are posted by the signer's word (`progress`); all else that moves vault or float is read from the chain and
posted here, transaction by transaction, once it has its confirmations. What cannot be explained is not posted, so
that reconciliation finds it and names it.
"""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.ledger import Account, AccountKind, Transfer
from holdfast.payments import paying
from holdfast.payments.paying import Sum
from holdfast.policy.record import GAS_PURPOSES

CAP_SWEEP = "cap-sweep"


@dataclass(frozen=True, slots=True)
class Movement:
    """All that one transaction did to vault and float, in one asset. Units are its smallest."""

    network: str
    transaction: str
    asset: str
    purpose: str | None
    """Of the signer's own: `payout` or a house kind; None: it is not the signer's."""
    is_out_of_vault: bool
    """Whether it spends something of the vault's."""
    to_float: int = 0
    to_vault: int = 0
    """Of a spend of the vault: its change. Of EVM what came to the Safe from neither forwarders nor the float."""
    out_of_vault: int = 0
    """Outputs of the vault that it spends, or what the Safe paid."""
    to_others: int = 0
    """What of that went to addresses that are not ours."""
    direct: Sum | None = None
    """The direct payout that all of this pays."""


@dataclass(frozen=True, slots=True)
class Booking:
    """What is posted for a movement, and by how much it changes what the ledger says of vault and float."""

    transfers: tuple[Transfer, ...]
    vault_units: int
    float_units: int


NOTHING = Booking((), 0, 0)


def booking(movement: Movement, key: str, claim_units: int, deficit_units: int) -> Booking:
    """The transfers of a movement. `claim_units`, `deficit_units`: what these accounts hold now."""
    about = f"{movement.network} {movement.transaction}"
    if movement.is_out_of_vault:
        return _settlement(movement, key, claim_units, about)
    if movement.purpose == CAP_SWEEP:
        units = movement.to_vault
        transfers = [
            *paying.out_of_float(key, movement.asset, units, about),
            *paying.into_vault(key, movement.asset, units, deficit_units, about),
        ]
        return Booking(tuple(transfers), units, -units) if units else NOTHING
    if movement.purpose is not None and movement.purpose not in GAS_PURPOSES:
        return NOTHING  # the float's own change; what it paid is posted by the signer's word
    capital = paying.into_float(key, movement.asset, movement.to_float, about)
    found = _unattributed(key, movement.asset, movement.to_vault, about)
    return Booking((*capital, *found), movement.to_vault, movement.to_float)


def _settlement(movement: Movement, key: str, claim_units: int, about: str) -> Booking:
    """Vault to float. The network's fee is the company's: its claim falls by it. What went to others is not posted,
    but for what the quorum ordered."""
    left = movement.out_of_vault - movement.to_vault - movement.to_others
    transfers = [
        *paying.out_of_vault(key, movement.asset, left, claim_units, about),
        *paying.into_float(key, movement.asset, movement.to_float, about),
    ]
    if movement.direct is not None:
        left += movement.direct.lines_units
        transfers += paying.paid_by_vault(key, movement.direct, about)
    return Booking(tuple(transfers), -left, movement.to_float)


def _unattributed(key: str, asset: str, units: int, about: str) -> list[Transfer]:
    """Money that came to the vault's own address and is nobody's until a person has decided."""
    if units == 0:
        return []
    nobody = Account(AccountKind.UNATTRIBUTED, paying.vault(asset).asset)
    return [Transfer(f"{key}:unattributed", paying.vault(asset), nobody, units, about, "unattributed")]
