"""Who holds what, how it is guarded, since when and until when: one row a key or grant. Pure; it names no secret."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from holdfast.faces.assess.inventory import OFFICERS_KEYS, Inventory
from holdfast.payments.api_keys import MERCHANT_SCOPES, ApiKey
from holdfast.policy.document import time_text

NEVER = "never"
"""Until when, where a grant has no end of its own."""
STANDING = "standing"
UNKNOWN = "not known here"


@dataclass(frozen=True, slots=True)
class Holding:
    """One key or grant."""

    holder: str
    holds: str
    allows: str
    guard: str
    """What stands between a thief of the file and its use."""
    factors: int | None
    """Distinct things that are needed to use it; None: not known here."""
    age_days: int | None
    until: str
    """A day, or `NEVER`."""


def holdings(inventory: Inventory) -> list[Holding]:
    """Everything, people first."""
    rows = [*_officers(inventory), *_freeze_keys(inventory), *_signer(inventory), *_tower(inventory)]
    if inventory.books is not None:
        live = [key for key in inventory.books.api_keys if key.revoked_at is None and key.expires_at > inventory.at]
        rows += [_api_key(key, inventory.at) for key in live]
        rows += [*_merchants(inventory), *_standing_orders(inventory)]
    return [*rows, *_policy(inventory)]


def coverage(rows: list[Holding]) -> dict[str, int]:
    """How many keys need more than one factor, need one, or are not known here."""
    return {
        "several": sum(row.factors is not None and row.factors > 1 for row in rows),
        "one": sum(row.factors == 1 for row in rows),
        "unknown": sum(row.factors is None for row in rows),
    }


def _officers(inventory: Inventory) -> Iterator[Holding]:
    quorum = inventory.files.quorum
    if quorum is None:
        return
    here = {one.key: one for one in inventory.files.keystores if one.kind == "officer"}
    age = _age(dict(inventory.books.key_dates).get(OFFICERS_KEYS), inventory.at) if inventory.books else None
    share = f"1 of {quorum.threshold} signatures: vault, policy, certificates, orders; freezes alone"
    for officer in quorum.officers:
        sealed = here.get(officer.key)
        guard = "elsewhere, as it should be" if sealed is None else "keystore on this host, passphrase"
        factors = None if sealed is None else 2
        yield Holding(f"officer {officer.name}", f"key {officer.key[:16]}…", share, guard, factors, age, NEVER)


def _freeze_keys(inventory: Inventory) -> Iterator[Holding]:
    tower = inventory.files.tower
    for key in tower.freeze_keys if tower else ():
        until = str(tower.freeze_keys_until.get(key, NEVER)) if tower else NEVER
        yield Holding("staff", f"freeze key {key[:16]}…", "stops payouts, nothing else", UNKNOWN, None, None, until)


def _signer(inventory: Inventory) -> Iterator[Holding]:
    signer, public = inventory.files.signer, inventory.books.record.floats if inventory.books else {}
    ages = dict(inventory.books.key_dates) if inventory.books else {}
    if signer is None and not public:
        return
    guard, factors = UNKNOWN, None
    if signer is not None:
        is_hsm = signer.hsm is not None
        guard = "hardware module, PIN in a file" if is_hsm else "keystore and its passphrase on one host"
        factors = 2 if is_hsm else 1
    networks = sorted(public or (signer.networks if signer else {}))
    for network in networks:
        since = ages.get(f"float key of {network}")
        age = _age(since, inventory.at)
        yield Holding("signer", f"float key of {network}", "spends the float, to its cap", guard, factors, age, NEVER)
    age = _age(ages.get("journal key"), inventory.at)
    yield Holding("signer", "journal key", "asks the watchtower for leases", guard, factors, age, NEVER)


def _tower(inventory: Inventory) -> Iterator[Holding]:
    ages = dict(inventory.books.key_dates) if inventory.books else {}
    if inventory.files.tower is None and not ages:
        return
    is_here = inventory.files.tower is not None
    guard = "keystore and its passphrase on one host" if is_here else UNKNOWN
    age = _age(ages.get("lease key"), inventory.at)
    yield Holding("watchtower", "lease key", "lets the signer go on", guard, 1 if is_here else None, age, NEVER)


def _api_key(key: ApiKey, at: datetime) -> Holding:
    scopes = "every scope of a merchant's" if key.scopes >= MERCHANT_SCOPES else ", ".join(sorted(key.scopes))
    places = ", ".join(str(net) for net in key.allowed_ips)
    guard = f"bearer secret, only from {places}" if places else "bearer secret, from anywhere"
    holder = f"merchant {key.merchant_id}" if key.merchant_id else "operator's staff"
    days = (at - key.created_at).days
    return Holding(holder, f"API key {key.id} ({key.name})", scopes, guard, 1, days, f"{key.expires_at:%Y-%m-%d}")


def _merchants(inventory: Inventory) -> Iterator[Holding]:
    for one in inventory.books.merchants if inventory.books else ():
        until = f"{one.certified_until:%Y-%m-%d}" if one.certified_until else "not certified"
        holds = f"payout key {one.public_key.hex()[:16]}…, and a recovery key"
        age = (inventory.at - one.created_at).days
        yield Holding(
            f"merchant {one.id}", holds, "orders payouts of its own balance", "at the merchant's", None, age, until
        )


def _standing_orders(inventory: Inventory) -> Iterator[Holding]:
    for one in inventory.books.standing_orders if inventory.books else ():
        if one.state.value == "active":
            allows = f"up to {one.units} of {one.asset} every {one.every_seconds} s to {one.destination}"
            age, until = (inventory.at - one.created_at).days, f"{one.expires_at:%Y-%m-%d}"
            yield Holding(f"merchant {one.merchant_id}", f"standing order {one.id}", allows, STANDING, None, age, until)


def _policy(inventory: Inventory) -> Iterator[Holding]:
    for policy in inventory.policies:
        until = time_text(policy.expires_at)[:10]
        allows = "everything that the signer may sign without asking"
        yield Holding("the quorum", f"policy version {policy.version}", allows, "m of n", None, None, until)
        for (merchant, network, address), end in sorted(policy.listed.items()):
            allows = f"wider limits to {address} on {network}"
            yield Holding(
                f"merchant {merchant}", "allow-listed destination", allows, STANDING, None, None, time_text(end)[:10]
            )


def _age(since: int | None, at: datetime) -> int | None:
    return None if since is None else (at - datetime.fromtimestamp(since, UTC)).days
