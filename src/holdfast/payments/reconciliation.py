"""Chain, ledger and journal of one asset at one block: do they say the same, and if not, what makes the difference.

Pure: facts in, figures and findings out. What is on its way (in a block, but not in the ledger yet, or the other way
round) is counted and is no gap; everything else is one, and is named to the transaction, deposit or entry.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from msgspec import Struct

FINDINGS_MAX = 50


class FindingKind(StrEnum):
    """What is wrong."""

    ENTRY_WITHOUT_CHAIN = "entry-without-chain"
    """A ledger entry moves something that no deposit, settlement or payout accounts for."""
    CHAIN_WITHOUT_ENTRY = "chain-without-entry"
    """Something moved on the chain that the ledger should have and has not, or not so much."""
    OUTPUT_MISSING = "output-missing"
    """An output that should lie in the vault or the float is not there."""
    OUTFLOW_UNEXPLAINED = "outflow-unexplained"
    """A transaction took money of ours that neither signer nor officers account for."""
    ENTITLEMENT_DIFFERS = "entitlement-differs"
    """Ledger and signer's journal differ about what a merchant has."""
    BACKING_SHORT = "backing-short"
    """The ledger owes more than lies in the vault."""
    JOURNAL_UNREADABLE = "journal-unreadable"
    """The mirrored journal cannot be followed."""
    UNNAMED = "unnamed"
    """A difference that nothing here accounts for."""


class Finding(Struct, frozen=True):
    """One thing that is wrong."""

    kind: FindingKind
    subject: str
    """The transaction, outpoint, deposit, entry or merchant that it is about."""
    units: str
    """By how much, in the asset's smallest units; negative: less than there should be."""
    detail: str = ""


class Figures(Struct, frozen=True):
    """What is there. All units are texts of the asset's smallest."""

    vault_chain_units: str
    """Unspent outputs of the vault; of EVM the Safe and forwarders that are not flushed."""
    vault_ledger_units: str
    vault_on_the_way_units: str
    """In blocks, and rightly not in the ledger yet: deposits without their confirmations, settlements that are not
    final, money that is held or too little to be credited."""
    vault_gap_units: str
    """Chain minus all that should be there."""
    float_chain_units: str
    float_ledger_units: str
    float_on_the_way_units: str
    float_gap_units: str
    merchants_units: str
    payable_units: str
    claim_units: str
    income_units: str
    unattributed_units: str
    receivable_units: str
    company_units: str
    deficit_units: str
    entitlements_units: str | None
    """By the mirrored journal; None without one."""
    entitlements_ledger_units: str | None
    """What they should be by the ledger."""


@dataclass(frozen=True, slots=True)
class Accounts:
    """What the ledger says of an asset, each as a positive number where it is as it should be."""

    vault: int = 0
    float: int = 0
    merchants: int = 0
    payable: int = 0
    claim: int = 0
    income: int = 0
    unattributed: int = 0
    receivable: int = 0
    company: int = 0
    deficit: int = 0


@dataclass(frozen=True, slots=True)
class Flow:
    """What one transaction did on the chain, and what the ledger says of it."""

    transaction: str
    is_explained: bool
    """Whether the signer or the officers account for it."""
    vault_chain: int = 0
    vault_ledger: int = 0
    float_chain: int = 0
    float_ledger: int = 0
    is_settled: bool = True
    """False: it has not its confirmations yet, or the signer has not called it final, so the ledger may wait."""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Entitlement:
    """What one merchant may order out."""

    merchant_id: str
    by_journal: int
    by_ledger: int


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything about one asset at one block."""

    accounts: Accounts
    vault_chain: int
    float_chain: int
    uncredited: int
    """Deposits in blocks that are not credited."""
    flows: Sequence[Flow]
    """Transactions of ours whose chain and ledger need not be the same yet, or are not."""
    missing: Mapping[str, int] = field(default_factory=dict)
    """Outputs that should be there and are not."""
    strange_entries: Sequence[Finding] = ()
    """Entries of the ledger that nothing accounts for; looked for only where there is a gap."""
    entitlements: Sequence[Entitlement] | None = None
    journal_error: str | None = None


def on_the_way(facts: Facts) -> tuple[int, int]:
    """Of vault and float: what is in blocks and rightly not in the ledger yet, minus what the ledger has too early."""
    waiting = [flow for flow in facts.flows if flow.is_explained and not flow.is_settled]
    vault = sum(flow.vault_chain - flow.vault_ledger for flow in waiting)
    return vault + facts.uncredited, sum(flow.float_chain - flow.float_ledger for flow in waiting)


def gaps(facts: Facts) -> tuple[int, int]:
    """Of vault and float: what lies there minus all that should."""
    vault_waiting, float_waiting = on_the_way(facts)
    return (
        facts.vault_chain - facts.accounts.vault - vault_waiting,
        facts.float_chain - facts.accounts.float - float_waiting,
    )


def findings(facts: Facts) -> list[Finding]:
    """What is wrong, the most telling first; empty where all say the same."""
    found = [finding for flow in facts.flows if (finding := _of_flow(flow)) is not None]
    found += [
        Finding(FindingKind.OUTPUT_MISSING, outpoint, str(-units)) for outpoint, units in sorted(facts.missing.items())
    ]
    found += facts.strange_entries
    found += _short(facts)
    vault_gap, float_gap = gaps(facts)
    if (vault_gap or float_gap) and not found:
        found.append(
            Finding(FindingKind.UNNAMED, "", str(vault_gap + float_gap), f"vault {vault_gap}, float {float_gap}")
        )
    found += [
        Finding(FindingKind.ENTITLEMENT_DIFFERS, one.merchant_id, str(one.by_ledger - one.by_journal))
        for one in facts.entitlements or ()
        if one.by_ledger != one.by_journal
    ]
    if facts.journal_error is not None:
        found.append(Finding(FindingKind.JOURNAL_UNREADABLE, "signer", "0", facts.journal_error))
    return found[:FINDINGS_MAX]


def figures(facts: Facts) -> Figures:
    """The figures as they are stored and shown."""
    accounts = facts.accounts
    vault_waiting, float_waiting = on_the_way(facts)
    vault_gap, float_gap = gaps(facts)
    entitled = facts.entitlements
    return Figures(
        vault_chain_units=str(facts.vault_chain),
        vault_ledger_units=str(accounts.vault),
        vault_on_the_way_units=str(vault_waiting),
        vault_gap_units=str(vault_gap),
        float_chain_units=str(facts.float_chain),
        float_ledger_units=str(accounts.float),
        float_on_the_way_units=str(float_waiting),
        float_gap_units=str(float_gap),
        merchants_units=str(accounts.merchants),
        payable_units=str(accounts.payable),
        claim_units=str(accounts.claim),
        income_units=str(accounts.income),
        unattributed_units=str(accounts.unattributed),
        receivable_units=str(accounts.receivable),
        company_units=str(accounts.company),
        deficit_units=str(accounts.deficit),
        entitlements_units=None if entitled is None else str(sum(one.by_journal for one in entitled)),
        entitlements_ledger_units=None if entitled is None else str(sum(one.by_ledger for one in entitled)),
    )


def _of_flow(flow: Flow) -> Finding | None:
    chain, booked = flow.vault_chain + flow.float_chain, flow.vault_ledger + flow.float_ledger
    if not flow.is_explained:
        return Finding(FindingKind.OUTFLOW_UNEXPLAINED, flow.transaction, str(chain), flow.detail)
    differs = (flow.vault_chain, flow.float_chain) != (flow.vault_ledger, flow.float_ledger)
    if flow.is_settled and differs:
        return Finding(FindingKind.CHAIN_WITHOUT_ENTRY, flow.transaction, str(chain - booked), flow.detail)
    return None


def _short(facts: Facts) -> list[Finding]:
    """Invariant 3: what lies in the vault, with the deficit that the company must fill, covers all that is owed."""
    accounts = facts.accounts
    owed = accounts.merchants + accounts.payable + accounts.claim
    short = owed - accounts.vault - accounts.deficit
    return [Finding(FindingKind.BACKING_SHORT, "vault", str(-short))] if short > 0 else []
