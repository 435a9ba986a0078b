"""Accounts: whose money of which asset a transfer moves. An account is opened by the first transfer that names it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from holdfast.core.errors import BadInput
from holdfast.core.money import AssetId

_WORD = re.compile(r"[!-~]{0,200}")


class AccountMalformed(BadInput):
    """An account's asset or owner is no printable ASCII or too long. Use the CAIP-19 id and an id of ours."""

    code = "account-malformed"


class AccountKind(StrEnum):
    """What an account stands for. `merchant`, `payable`, `claim` and `unattributed` are somebody's own and may never be
    debited below zero; the others say what chains show, or what is owed."""

    VAULT = "vault"
    """What lies on the vault's addresses. Debits are what came in."""
    MERCHANT = "merchant"
    """What a merchant may spend."""
    RECEIVABLE = "receivable"
    """What a merchant owes, after a reorganisation took back what he had already spent."""
    INCOME = "income"
    """The operator's tariffs."""
    UNATTRIBUTED = "unattributed"
    """Arrived in the vault, and nobody's until a person has decided."""
    PAYABLE = "payable"
    """What a merchant has ordered out and is not paid yet: his fee with it."""
    CLAIM = "claim"
    """What the vault owes the company, for payouts that the float has paid."""
    FLOAT = "float"
    """What lies at the float. Debits are what came in."""
    COMPANY = "company"
    """The company's own: behind the float, and behind what merchants owe."""
    DEFICIT = "deficit"
    """What the vault lacks beyond the claim. Debits are what the company must fill."""


@dataclass(frozen=True, slots=True)
class Account:
    """One account, by its natural key."""

    kind: AccountKind
    asset: AssetId
    owner: str = ""
    """A merchant's id; empty where the kind has one account per asset."""

    def __post_init__(self) -> None:
        if not self.asset or not _WORD.fullmatch(self.asset) or not _WORD.fullmatch(self.owner):
            raise AccountMalformed(f"{self.asset[:80]!r} {self.owner[:80]!r}")

    @property
    def code(self) -> str:
        """The natural key as the database keeps it."""
        return f"{self.kind.value} {self.asset} {self.owner}"

    @classmethod
    def parse(cls, code: str) -> Account:
        """The account with this code. Raises `ValueError`, for only our own database is read by it."""
        kind, asset, owner = code.split(" ")
        return cls(AccountKind(kind), AssetId(asset), owner)
