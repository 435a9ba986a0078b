"""What is lost at most where one component, or several, are in an attacker's hands: from live limits. Pure.

The rows are the promise's; the figures are `policy.bound`'s, the same that `holdfast policy explain` prints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from holdfast.core.money import format_units
from holdfast.faces.assess.inventory import Inventory
from holdfast.policy.bound import AssetBound, bounds
from holdfast.policy.document import Policy
from holdfast.policy.record import Record

SECONDS = 3_600
"""From the first theft to the freeze, unless asked otherwise."""


@dataclass(frozen=True, slots=True)
class Exposure:
    """One row."""

    owns: str
    merchants: str
    company: str
    payments_in: str
    seen_by: str


def exposures(inventory: Inventory, seconds: int = SECONDS) -> list[Exposure]:
    """The table; without a policy the company's figures are unknown."""
    policies = inventory.policies
    record = inventory.books.record if inventory.books else Record()
    found = bounds(policies, record, seconds) if policies else []
    unknown = "not known: no policy was found"
    owned = _sum(found, is_owned=True) or unknown
    honest = _sum(found, is_owned=False) or unknown
    return [
        Exposure("the platform: servers, database, credentials", "0", "0 without a merchant's signature",
                 "addresses stay payable; credited when it is rebuilt", "watchtower, signer"),
        Exposure("platform and one of its nodes", "0", "0", _credit(inventory), "watchtower"),
        Exposure("a merchant's own key", _of_merchant(policies, record, seconds), "0", "go on", "limits, the merchant"),
        Exposure("platform and a colluding merchant", "0", honest, "addresses stay payable", "limits, watchtower"),
        Exposure("the signer, or the float keys", "0", f"{owned}, and settlements in flight", "go on",
                 "watchtower, checking machine"),
        Exposure("the watchtower", "0", "0 (payouts stop)", "go on", "signer, staff"),
        Exposure("platform, signer, watchtower and a colluding merchant", "0", f"{owned}, and settlements in flight",
                 "addresses stay payable", "checking machine"),
        Exposure(_minority(inventory), "0", "0", "go on", "the other officers"),
        Exposure("what payers are shown: hosted checkout", "no bound: redirected before it arrives", "0",
                 "those that reach the vault go on", "merchants' SDK, canary"),
    ]  # fmt: skip


def _sum(found: Sequence[AssetBound], *, is_owned: bool) -> str:
    parts = [(one.owned_units if is_owned else one.honest_units, one) for one in found]
    return ", ".join(f"{format_units(units, one.decimals)} {one.symbol}" for units, one in parts)


def _of_merchant(policies: Sequence[Policy], record: Record, seconds: int) -> str:
    """The most that any one merchant's key can order out in that time: his limit, and no more than he has."""
    if not policies:
        return "that one, up to its own limit (no policy was found)"
    parts = []
    for name, asset in policies[0].assets.items():
        known = [(who, units) for (who, of), units in record.entitlements.items() if of == name]
        limits = [
            min([policy.merchant_limit(who, name).bound_units(seconds) for policy in policies if name in policy.assets])
            for who, _ in known
        ]
        most = max((min(limit, max(units, 0)) for limit, (_, units) in zip(limits, known, strict=True)), default=0)
        limit = min(policy.assets[name].merchant.bound_units(seconds) for policy in policies if name in policy.assets)
        parts.append(
            f"{format_units(most, asset.decimals)} {asset.symbol} now (limit {format_units(limit, asset.decimals)})"
        )
    return f"that one at most {', '.join(parts)}"


def _credit(inventory: Inventory) -> str:
    single = [name for name, network in inventory.settings.networks.items() if len(network.nodes) == 1]
    if single:
        return f"no second node on {', '.join(single)}: the books may lie until it is rebuilt; the signer does not"
    return "credit waits: nodes must agree"


def _minority(inventory: Inventory) -> str:
    quorum = inventory.files.quorum
    return (
        f"{quorum.threshold - 1} of {len(quorum.officers)} officers' keys"
        if quorum
        else "officers, one less than must sign"
    )
