"""Accounts and transfers: nothing is changed, only added."""

from holdfast.ledger.accounts import Account, AccountKind, AccountMalformed
from holdfast.ledger.books import Audit, Balance, Entry, audit, balance, balances, history
from holdfast.ledger.group import GroupClosed, GroupCommit
from holdfast.ledger.transfers import (
    LedgerRaced,
    Outcome,
    Posted,
    Refused,
    Replayed,
    Rule,
    Step,
    Transfer,
    TransferMalformed,
    post,
    post_pending,
    reserve,
    void,
)
from holdfast.ledger.writer import LedgerUnreachable, Writer

__all__ = [
    "Account", "AccountKind", "AccountMalformed", "Audit", "Balance", "Entry", "GroupClosed", "GroupCommit",
    "LedgerRaced", "LedgerUnreachable", "Outcome", "Posted", "Refused", "Replayed", "Rule", "Step", "Transfer",
    "TransferMalformed", "Writer", "audit", "balance", "balances", "history", "post", "post_pending", "reserve", "void",
]  # fmt: skip
