"""Whether what leaves a watched place is what people signed: the float by its transactions, the vault by payees. Pure.

The float and the gas account: each transaction is one that the journal says was signed, from the very inputs or with
the very nonce. The vault: every output goes to the float, to the vault, to where the quorum ordered a payout or a
migration.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from holdfast.chains.outgoing import Outgoing, PaidOut
from holdfast.policy.record import Record


class Role(StrEnum):
    """Whose place it is."""

    FLOAT = "float"
    GAS = "gas account"
    VAULT = "vault"
    OLD_FLOAT = "old float"
    """Its key was taken out of use: what a thief still takes from it is told, and stops nothing again."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A transaction that nobody who may order it has ordered."""

    role: Role
    transaction: str
    detail: str


@dataclass(slots=True)
class Ground:
    """Watched places of one network, and whose they are."""

    network: str
    addresses: dict[str, Role] = field(default_factory=dict)
    outpoints: dict[str, str] = field(default_factory=dict)
    """The address at which each output lies (Bitcoin family)."""
    direct_paid: dict[tuple[str, str, int], set[str]] = field(default_factory=dict)
    """By payee, asset and units: transactions in blocks that paid an ordered direct payout."""

    def role(self, source: str, found: dict[str, str]) -> Role:
        """Whose place this is. An output that is watched for no other reason is a deposit: the vault's."""
        address = self.outpoints.get(source) or found.get(source)
        if address is None:
            address = source.rpartition(":")[0] if source.startswith("0x") and ":" in source else source
        return self.addresses.get(address, Role.VAULT)


def judge(record: Record, ground: Ground, outgoing: Sequence[Outgoing], found: dict[str, str]) -> list[Mismatch]:
    """Those of these that do not match, one for each transaction and owner, in their order."""
    told: dict[tuple[Role, str], Mismatch] = {}
    for one in outgoing:
        role = ground.role(one.source, found)
        detail = _of_vault(record, ground, one) if role is Role.VAULT else _of_key(record, ground, role, one)
        if detail is not None:
            told.setdefault((role, one.transaction), Mismatch(role, one.transaction, detail))
    return list(told.values())


def _of_key(record: Record, ground: Ground, role: Role, one: Outgoing) -> str | None:
    """Why the journal does not explain it."""
    seq = record.transactions.get(one.transaction)
    if seq is None:
        return f"the {role} is spent by {one.transaction}, which the journal does not have"
    reserved = record.reservations[seq].body
    if reserved.network != ground.network:
        return f"the {role} is spent by {one.transaction}, which the journal has for {reserved.network}"
    place, _, number = one.source.rpartition(":")
    is_so = (
        place == "" or reserved.nonce == int(number) if one.source.startswith("0x") else one.source in reserved.inputs
    )
    return None if is_so else f"{one.source} is spent by {one.transaction}, which the journal has from other inputs"


def _of_vault(record: Record, ground: Ground, one: Outgoing) -> str | None:
    """Whom it pays that it may not pay."""
    ordered = Counter(
        (line.destination, payout.asset, line.units)
        for payout in record.direct.values()
        if payout.network == ground.network
        for line in payout.lines
    )
    for paid in one.paid:
        if _is_own(record, ground, paid):
            continue
        key = (paid.to or "", paid.asset, paid.units)
        payers = ground.direct_paid.setdefault(key, set()) if key in ordered else set()
        if key not in ordered or (one.transaction not in payers and len(payers) >= ordered[key]):
            to = paid.to or "where only a trace would tell"
            return f"the vault pays {paid.units} of {paid.asset} to {to} in {one.transaction}, which no officer ordered"
        if one.block is not None:
            payers.add(one.transaction)
    return None if one.paid else f"the vault is spent by {one.transaction}, whose outputs the node does not show"


def _is_own(record: Record, ground: Ground, paid: PaidOut) -> bool:
    role = ground.addresses.get(paid.to or "")
    migration = record.migrations.get(ground.network)
    return role in (Role.FLOAT, Role.VAULT) or (migration is not None and paid.to == migration[0].address)
