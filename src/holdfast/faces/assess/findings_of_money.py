"""What is wrong with grants that expire, with limits, and with limits against balances. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from holdfast.core.money import format_units, parse_units
from holdfast.core.states import StandingOrderState
from holdfast.faces.assess.inventory import Books, Inventory
from holdfast.faces.assess.severities import Finding, Judge
from holdfast.payments.reconciling import Reconciliation
from holdfast.policy import document
from holdfast.policy.document import AssetPolicy, Policy, time_text

HOUR_SECONDS = 3_600
SOON_DAYS = 30
LONG_DAYS = 366
"""A grant that goes on for longer than a year."""
REVIEW_DAYS = 180
RECONCILED_HOURS = 24
FLOORS = {
    "loosening_seconds": document.LOOSENING_SECONDS_MIN,
    "key_change_seconds": document.KEY_CHANGE_SECONDS_MIN,
    "recovery_seconds": document.RECOVERY_SECONDS_MIN,
    "ageing_seconds": document.AGEING_SECONDS_MIN,
    "restore_soak_seconds": document.RESTORE_SOAK_SECONDS_MIN,
}
DAY = "%Y-%m-%d"


def find(inventory: Inventory, judge: Judge) -> Iterator[Finding]:
    """Every finding about grants, limits and balances."""
    if inventory.books is not None:
        yield from _certificates(inventory, inventory.books, judge)
        yield from _vetoes(inventory.books, judge)
        yield from _standing_orders(inventory, inventory.books, judge)
        yield from _reconciliations(inventory, inventory.books, judge)
    yield from _policy(inventory, judge)


def _certificates(inventory: Inventory, books: Books, judge: Judge) -> Iterator[Finding]:
    for one in books.merchants:
        if one.state != "active" or one.certified_until is None:
            continue
        days = (one.certified_until - inventory.at).days
        facts = {"name": one.name, "until": one.certified_until.strftime(DAY), "days": days}
        if days < 0:
            yield judge.found("certificate-expired", one.id, **facts)
        elif days < SOON_DAYS:
            yield judge.found("certificate-expires-soon", one.id, **facts)
        elif days > LONG_DAYS:
            yield judge.found("certificate-long", one.id, **facts)


def _vetoes(books: Books, judge: Judge) -> Iterator[Finding]:
    for merchant, record in books.record.merchants.items():
        if record.vetoed and not record.decided:
            yield judge.found("merchant-key-vetoed", merchant)


def _standing_orders(inventory: Inventory, books: Books, judge: Judge) -> Iterator[Finding]:
    closed = {one.id for one in books.merchants if one.state == "closed"}
    for one in books.standing_orders:
        if one.state is not StandingOrderState.ACTIVE:
            continue
        days = (one.expires_at - inventory.at).days
        if one.merchant_id in closed:
            yield judge.found("standing-order-of-closed-merchant", one.id, holder=one.merchant_id)
        elif days > LONG_DAYS:
            yield judge.found("standing-order-long", one.id, holder=one.merchant_id, days=days)


def _policy(inventory: Inventory, judge: Judge) -> Iterator[Finding]:
    policies = inventory.policies
    if not policies:
        if inventory.settings.signer.token_file is not None:
            yield judge.found("policy-missing")
        return
    policy = policies[0]
    days = (policy.expires_at - int(inventory.at.timestamp())) // 86_400
    if days < 0:
        yield judge.found("policy-expired", until=time_text(policy.expires_at))
    elif days < SOON_DAYS:
        yield judge.found("policy-expires-soon", until=time_text(policy.expires_at), days=days)
    yield from _review(inventory, policy, judge)
    for name, floor in FLOORS.items():
        if getattr(policy.delays, name) < floor:
            yield judge.found("delays-below-floor", name, seconds=getattr(policy.delays, name), floor=floor)
    yield from _allow_list(inventory, policy, judge)
    for name, asset in policy.assets.items():
        yield from _asset(name, asset, inventory, judge)
    yield from _merchants_limits(policy, judge)


def _review(inventory: Inventory, policy: Policy, judge: Judge) -> Iterator[Finding]:
    taken = inventory.books.record.policies.taken if inventory.books else []
    for one, at in taken:
        days = (inventory.at - datetime.fromtimestamp(at, UTC)).days
        if one.hash == policy.hash and days > REVIEW_DAYS:
            yield judge.found("policy-not-reviewed", days=days)


def _allow_list(inventory: Inventory, policy: Policy, judge: Judge) -> Iterator[Finding]:
    states = {one.id: one.state for one in inventory.books.merchants} if inventory.books else None
    now = int(inventory.at.timestamp())
    for (merchant, _, address), until in sorted(policy.listed.items()):
        state = None if states is None else states.get(merchant, "unknown here")
        days = (until - now) // 86_400
        if days < 0:
            continue  # it opens nothing any more
        if state in {"closed", "unknown here"}:
            yield judge.found("allow-list-forgotten", address, state=state)
        elif days > LONG_DAYS:
            yield judge.found("allow-list-long", address, days=days)


def _asset(name: str, asset: AssetPolicy, inventory: Inventory, judge: Judge) -> Iterator[Finding]:
    cap, symbol = asset.float_cap_units, asset.symbol
    in_an_hour = asset.total.bound_units(HOUR_SECONDS)
    if cap and asset.total.burst_units >= cap:
        yield judge.found(
            "limit-not-binding", symbol, burst=_text(asset.total.burst_units, asset), cap=_text(cap, asset)
        )
    elif 2 * in_an_hour > cap > 0:
        yield judge.found("limit-fast", symbol, out=_text(in_an_hour, asset), cap=_text(cap, asset))
    if cap and not asset.approvals:
        yield judge.found("approvals-missing", symbol)
    held = _held(name, inventory)
    if held > cap:
        yield judge.found("float-above-cap", symbol, held=_text(held, asset), cap=_text(cap, asset))
    configured = _configured(name, asset, inventory)
    if configured is not None and configured > cap:
        yield judge.found("cap-differs", symbol, configured=_text(configured, asset), cap=_text(cap, asset))


def _merchants_limits(policy: Policy, judge: Judge) -> Iterator[Finding]:
    for (merchant, name), limit in sorted(policy.merchants.items()):
        asset = policy.assets[name]
        if limit.burst_units > asset.total.burst_units:
            facts = {"holder": merchant, "units": _text(limit.burst_units, asset)}
            yield judge.found("merchant-limit-above-total", asset.symbol, **facts)


def _held(asset: str, inventory: Inventory) -> int:
    """What lies in the float by the newest reconciliation."""
    found = [one for one in (inventory.books.reconciliations if inventory.books else ()) if one.asset == asset]
    return max((int(one.figures.float_chain_units) for one in found), default=0)


def _configured(asset: str, limits: AssetPolicy, inventory: Inventory) -> int | None:
    for network in inventory.settings.networks.values():
        if network.float is not None and asset in network.assets and limits.symbol in network.float.cap:
            return parse_units(network.float.cap[limits.symbol], limits.decimals)
    return None


def _reconciliations(inventory: Inventory, books: Books, judge: Judge) -> Iterator[Finding]:
    newest: dict[str, Reconciliation] = {one.asset: one for one in books.reconciliations}
    for network in inventory.settings.networks.values():
        for name, asset in network.assets.items():
            one = newest.get(name)
            if one is None:
                yield judge.found("reconciliation-missing", asset.symbol)
                continue
            hours = int((inventory.at - one.made_at).total_seconds()) // HOUR_SECONDS
            if one.findings:
                said = "; ".join(f"{part.kind.value} {part.subject}".strip() for part in one.findings[:3])
                yield judge.found("reconciliation-gap", asset.symbol, said=said)
            if hours > RECONCILED_HOURS:
                yield judge.found("reconciliation-old", asset.symbol, hours=hours)


def _text(units: int, asset: AssetPolicy) -> str:
    return f"{format_units(units, asset.decimals)} {asset.symbol}"
