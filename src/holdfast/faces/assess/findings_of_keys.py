"""What is wrong with who holds what: the quorum, files with secrets, keystores, API keys. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from holdfast.core.keystore import COST
from holdfast.faces.assess.inventory import OFFICERS_KEYS, Inventory
from holdfast.faces.assess.severities import Finding, Judge
from holdfast.payments.api_keys import MERCHANT_SCOPES, ApiKey
from holdfast.watchtower.settings import TowerSettings

UNUSED_DAYS = 60
"""A key that nothing has used for so long is not needed."""
EXPIRES_SOON_DAYS = 14
OPERATOR_KEYS_MAX = 3
YEAR_DAYS = 365


def find(inventory: Inventory, judge: Judge) -> Iterator[Finding]:
    """Every finding about keys."""
    yield from _quorum(inventory, judge)
    yield from _files(inventory, judge)
    yield from _zones(inventory, judge)
    yield from _ages(inventory, judge)
    yield from _api_keys(inventory, judge)


def _quorum(inventory: Inventory, judge: Judge) -> Iterator[Finding]:
    quorum = inventory.files.quorum
    if quorum is None:
        return
    officers, threshold = len(quorum.officers), quorum.threshold
    if threshold == 1:
        yield judge.found("quorum-of-one", officers=officers)
    elif 2 * threshold <= officers:
        yield judge.found("quorum-minority", officers=officers, threshold=threshold)
    elif threshold == officers:
        yield judge.found("quorum-without-spare", officers=officers)
    ours = quorum.fingerprint()
    for settings, path in (
        (inventory.files.signer, inventory.files.signer_file),
        (inventory.files.tower, inventory.files.tower_file),
    ):
        if settings is not None and settings.root_fingerprint != ours:
            theirs = settings.root_fingerprint[:12]
            yield judge.found("root-fingerprint-differs", str(path), theirs=theirs, ours=ours[:12])


def _files(inventory: Inventory, judge: Judge) -> Iterator[Finding]:
    files = inventory.files
    if files.directory_mode & 0o022:
        yield judge.found("directory-writable", str(inventory.settings.directory), mode=f"{files.directory_mode:04o}")
    exposed = {one.path: one for one in (*files.secrets, *(key.file for key in files.keystores)) if one.mode & 0o077}
    for path, one in sorted(exposed.items()):
        yield judge.found("secret-exposed", str(path), mode=f"{one.mode:04o}")
    for key in files.keystores:
        if key.cost < COST:
            facts = {"cost": key.cost, "wanted": COST, "times": COST // key.cost}
            yield judge.found("keystore-cheap", str(key.file.path), **facts)
    yield from _officers_keys(inventory, judge)


def _officers_keys(inventory: Inventory, judge: Judge) -> Iterator[Finding]:
    """Officers' keystores on this host, by directory in the report, together in the count."""
    found = [one for one in inventory.files.keystores if one.kind == "officer"]
    if not found:
        return
    threshold = inventory.files.quorum.threshold if inventory.files.quorum else 1
    where = ", ".join(sorted({str(one.file.path.parent) for one in found}))
    code = "vault-keys-online" if len({one.key for one in found}) >= threshold else "officer-key-online"
    yield judge.found(code, where, count=len(found), threshold=threshold)


def _zones(inventory: Inventory, judge: Judge) -> Iterator[Finding]:
    files = inventory.files
    if files.signer is not None and files.signer.hsm is None:
        yield judge.found("float-keys-in-software", str(files.signer_file))
    if files.tower is not None:
        yield judge.found("lease-key-in-software", str(files.tower_file))
        if not files.tower.freeze_keys:
            yield judge.found("freeze-keys-missing", str(files.tower_file))
        if files.tower.present_seconds == 0:
            yield judge.found("presence-not-asked-for", str(files.tower_file))
        yield from _freeze_keys(files.tower, str(files.tower_file), inventory.at, judge)


def _freeze_keys(tower: TowerSettings, subject: str, at: datetime, judge: Judge) -> Iterator[Finding]:
    """Keys that may freeze, and when each is to be replaced."""
    for key in tower.freeze_keys:
        until, facts = tower.freeze_keys_until.get(key), {"key": key[:16], "whole": key}
        if until is None:
            a_year = f"{at + timedelta(days=YEAR_DAYS):%Y-%m-%d}"
            yield judge.found("freeze-key-without-end", subject, until=a_year, **facts)
        elif until < at.date():
            yield judge.found("freeze-key-over", subject, until=until, **facts)
        elif (until - at.date()).days < EXPIRES_SOON_DAYS:
            yield judge.found("freeze-key-ends-soon", subject, until=until, **facts)


def _ages(inventory: Inventory, judge: Judge) -> Iterator[Finding]:
    days_max = inventory.settings.assessment.key_days
    for name, since in inventory.books.key_dates if inventory.books else ():
        days = (inventory.at - datetime.fromtimestamp(since, UTC)).days
        if name == OFFICERS_KEYS:
            if days > (officers_max := inventory.settings.assessment.officer_key_days):
                yield judge.found("officers-keys-old", name, days=days, days_max=officers_max)
        elif days > days_max:
            is_float = name.startswith("float")
            how = "`holdfast rotate float`" if is_float else "`holdfast signer re-anchor`, with a fresh key"
            yield judge.found("key-old", name, days=days, days_max=days_max, how=how)


def _api_keys(inventory: Inventory, judge: Judge) -> Iterator[Finding]:
    if inventory.books is None:
        return
    live = [key for key in inventory.books.api_keys if key.revoked_at is None and key.expires_at > inventory.at]
    closed = {one.id for one in inventory.books.merchants if one.state == "closed"}
    for key in live:
        if key.merchant_id in closed:
            yield judge.found("api-key-of-closed-merchant", key.id, **_facts(key))
            continue
        yield from _of_key(key, inventory, judge)
    operators = Counter(key.merchant_id is None for key in live)[True]
    if operators > OPERATOR_KEYS_MAX:
        yield judge.found("operator-keys-many", count=operators)


def _of_key(key: ApiKey, inventory: Inventory, judge: Judge) -> Iterator[Finding]:
    at, days_max = inventory.at, inventory.settings.assessment.api_key_days
    unused = (at - (key.last_used_at or key.created_at)).days
    if unused > UNUSED_DAYS:
        yield judge.found("api-key-unused", key.id, days=unused, **_facts(key))
    elif (at - key.created_at).days > days_max:
        days = (at - key.created_at).days
        yield judge.found("api-key-old", key.id, days=days, days_max=days_max, **_facts(key))
    left = (key.expires_at - at).days
    if left < EXPIRES_SOON_DAYS:
        yield judge.found("api-key-expires-soon", key.id, days=left, **_facts(key))
    if key.merchant_id is None and not key.allowed_ips:
        yield judge.found("operator-key-anywhere", key.id, **_facts(key))
    if key.scopes >= MERCHANT_SCOPES:
        yield judge.found("api-key-broad", key.id, **_facts(key))


def _facts(key: ApiKey) -> dict[str, object]:
    holder = key.merchant_id or "the operator"
    return {
        "name": key.name,
        "holder": holder,
        "of_merchant": f" --merchant {key.merchant_id}" if key.merchant_id else "",
    }
