"""What is wrong with zones, settings, dependencies and the assessment itself. Pure."""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Iterator
from urllib.parse import urlsplit

from holdfast.core.networks import BitcoinNetwork
from holdfast.faces.assess.advisories import ECOSYSTEM, matches
from holdfast.faces.assess.inventory import Inventory
from holdfast.faces.assess.severities import Finding, Judge
from holdfast.runtime.settings import LogLevel

LEASE_MILLISECONDS_MAX = 10_000
SOURCES_MIN = 3
BACKUP_DAYS = 2
CONFIRMATIONS_WANTED = {True: 3, False: 12}
"""For deposits without an upper bound, by whether the network is of the Bitcoin family."""


def find(inventory: Inventory, judge: Judge) -> Iterator[Finding]:
    """Every finding about the set-up."""
    yield from _zones(inventory, judge)
    yield from _watchtower(inventory, judge)
    yield from _nodes(inventory, judge)
    yield from _api(inventory, judge)
    yield from _settings(inventory, judge)
    yield from _backups(inventory, judge)
    yield from _dependencies(inventory, judge)
    yield from _assessment(inventory, judge)


def _zones(inventory: Inventory, judge: Judge) -> Iterator[Finding]:
    owners = defaultdict[int, list[str]](list)
    for zone in inventory.files.zones:
        owners[zone.owner].append(zone.name)
    for names in owners.values():
        if len(names) > 1:
            yield judge.found("zones-share-a-user", ", ".join(names))
    others = [zone.name for zone in inventory.files.zones if zone.name != "platform"]
    if others:
        yield judge.found("zones-share-a-host", ", ".join(others))


def _watchtower(inventory: Inventory, judge: Judge) -> Iterator[Finding]:
    tower = inventory.files.tower
    if tower is not None and tower.lease_milliseconds > LEASE_MILLISECONDS_MAX:
        yield judge.found("lease-long", str(inventory.files.tower_file), milliseconds=tower.lease_milliseconds)
    if tower is not None and inventory.files.signer is not None:
        for network in sorted(inventory.files.signer.networks.keys() - tower.networks.keys()):
            yield judge.found("watchtower-without-nodes", network)
    if inventory.tower is not None:
        for seen in inventory.tower.networks:
            if seen.fault:
                yield judge.found("watchtower-blind", seen.network, fault=seen.fault)
        for scope, stage in inventory.tower.stages.items():
            yield judge.found("payouts-not-normal", scope, stage=stage)


def nodes_by_zone(inventory: Inventory) -> dict[str, dict[str, set[str]]]:
    """URLs of the nodes that each zone asks, by network and zone. A URL in a file is not looked at: it holds a key."""
    found = defaultdict[str, dict[str, set[str]]](dict)
    for settings in inventory.settings.networks.values():
        found[settings.network.id]["platform"] = {one.url for one in settings.nodes if one.url}
    for zone, networks in (("signer", inventory.files.signer), ("watchtower", inventory.files.tower)):
        for name, access in (networks.networks if networks else {}).items():
            found[name][zone] = {one.url for one in access.nodes if one.url}
    return dict(found)


def _nodes(inventory: Inventory, judge: Judge) -> Iterator[Finding]:
    for network, zones in nodes_by_zone(inventory).items():
        asked = defaultdict[str, list[str]](list)
        for zone, urls in zones.items():
            for url in urls:
                asked[url].append(zone)
        shared = sorted({zone for names in asked.values() if len(names) > 1 for zone in names})
        if shared:
            yield judge.found("node-shared", network, zones=" and ".join(shared))
    for name, settings in inventory.settings.networks.items():
        if len(settings.nodes) == 1:
            yield judge.found("node-single", name)
        wanted = CONFIRMATIONS_WANTED[isinstance(settings.network, BitcoinNetwork)]
        count = settings.confirmations[-1].count
        if count < wanted:
            yield judge.found("confirmations-few", name, count=count, wanted=wanted)


def _api(inventory: Inventory, judge: Judge) -> Iterator[Finding]:
    api = inventory.settings.api
    url = urlsplit(api.public_url)
    if url.scheme != "https" and not _is_loopback(url.hostname or ""):
        yield judge.found("api-unencrypted", api.public_url)
    if not _is_loopback(api.host) and not api.trusted_proxies:
        yield judge.found("api-open", f"{api.host}:{api.port}")
    if api.requests_per_minute == 0:
        yield judge.found("rate-limit-off")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _settings(inventory: Inventory, judge: Judge) -> Iterator[Finding]:
    settings = inventory.settings
    if settings.webhooks.allow_private:
        yield judge.found("private-webhooks")
    if settings.rates.fixed:
        yield judge.found("fixed-rates")
    elif settings.rates.sources_min < SOURCES_MIN:
        yield judge.found("rate-sources-few", count=settings.rates.sources_min)
    if settings.logs.level is LogLevel.DEBUG:
        yield judge.found("debug-logs")
    if settings.signer.token_file is None:
        yield judge.found("signer-missing")


def _backups(inventory: Inventory, judge: Judge) -> Iterator[Finding]:
    made = inventory.files.backup_at
    if made is None:
        yield judge.found("backup-missing", str(inventory.settings.database.backup_dir))
    elif (inventory.at - made).days > BACKUP_DAYS:
        yield judge.found("backup-old", days=(inventory.at - made).days)


def _dependencies(inventory: Inventory, judge: Judge) -> Iterator[Finding]:
    settings, packages = inventory.settings.assessment, inventory.packages
    if inventory.advisories is None:
        yield judge.found("advisories-missing", str(settings.advisories_dir))
    else:
        days = (inventory.at - inventory.advisories.updated_at).days
        if days > settings.advisories_days:
            yield judge.found("advisories-old", days=days, days_max=settings.advisories_days)
        yield from _vulnerable(inventory, judge)
    if not packages.lock_files:
        yield judge.found("lock-file-missing")
        return
    locked = {name: version for ecosystem, name, version in packages.locked if ecosystem == ECOSYSTEM}
    for _, name, version in packages.installed:
        if name in locked and locked[name] != version:
            yield judge.found("dependency-not-locked", name, installed=version, locked=locked[name])


def _vulnerable(inventory: Inventory, judge: Judge) -> Iterator[Finding]:
    """What is installed, and what is locked and not installed here: each package once."""
    if inventory.advisories is None:
        return
    installed = {(ecosystem, name) for ecosystem, name, _ in inventory.packages.installed}
    elsewhere = [one for one in inventory.packages.locked if one[:2] not in installed]
    for one in matches(inventory.advisories.entries, [*inventory.packages.installed, *elsewhere]):
        upgrade = f"Raise {one.package} to {one.fixed} or above: `make lock`, then install from the lock file."
        finding = judge.found(
            "dependency-vulnerable",
            f"{one.package}/{one.advisory}",
            package=one.package,
            version=one.version,
            advisory=one.advisory,
            summary=f", {one.summary}"[:160] if one.summary else "",
            upgrade=upgrade
            if one.fixed
            else f"No fixed version is known: do without {one.package}, or read {one.advisory}.",
        )
        yield finding if one.severity is None else finding.weighing(one.severity)


def _assessment(inventory: Inventory, judge: Judge) -> Iterator[Finding]:
    days_max = inventory.settings.assessment.every_days
    if inventory.last_at is None:
        yield judge.found("assessment-first", days_max=days_max)
    elif (inventory.at - inventory.last_at).days > days_max:
        yield judge.found("assessment-overdue", days=(inventory.at - inventory.last_at).days, days_max=days_max)
    for one in (*inventory.files.not_looked_at, *inventory.not_looked_at):
        yield judge.found("part-not-looked-at", one.part, reason=one.reason, how=one.how)
    if inventory.books is not None and inventory.books.journal_error:
        how = "`holdfast doctor`; the signer's own journal is the truth, and the watchtower has it too."
        yield judge.found("part-not-looked-at", "signer's journal", reason=inventory.books.journal_error, how=how)
    if inventory.advisories is not None:
        for name in inventory.advisories.unreadable:
            how = "`holdfast assess --update-advisories URL|DIR`"
            yield judge.found("part-not-looked-at", f"advisory {name}", reason="it is no OSV entry", how=how)
