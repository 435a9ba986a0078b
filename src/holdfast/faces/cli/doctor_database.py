"""`doctor`'s look at the database: reachable, migrated, durable, in step with this clock, backed up and proven so."""

from __future__ import annotations

from datetime import timedelta

from holdfast.core.errors import HoldfastError
from holdfast.faces.cli.findings import Finding, Level, failed
from holdfast.runtime.backup import newest
from holdfast.runtime.clock import SYSTEM_CLOCK
from holdfast.runtime.database import connected, pending_migrations
from holdfast.runtime.database_access import DatabaseAccess, platform_access
from holdfast.runtime.settings import Settings

SKEW_SECONDS_WARN = 2
SKEW_SECONDS_FAIL = 30
VERSION_MIN = 140_000
BACKUP_DAYS_WARN = 2
DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}


async def check_database(settings: Settings) -> list[Finding]:
    """Everything about the database that this user can see."""
    try:
        access = platform_access(settings.database)
        pending = await pending_migrations(access.url, password=access.password)
        findings = await _connected(access)
    except HoldfastError as error:
        found = failed("database", error)
        if settings.database.url is None:
            remedy = "Start it: `holdfast serve` (or `holdfast serve database`) runs the embedded one; then look again."
            found = Finding("database", "fail", found.detail, remedy)
        return [found]
    findings.append(_backup(settings))
    if pending:
        remedy = "Run `holdfast migrate`."
        findings.append(Finding("database tables", "fail", f"{len(pending)} migrations are pending", remedy))
    else:
        findings.append(Finding("database tables", "ok", "all migrations are done"))
    return findings


async def _connected(access: DatabaseAccess) -> list[Finding]:
    before = SYSTEM_CLOCK.now()
    async with connected(access.url, password=access.password) as connection:
        cursor = await connection.execute(
            "SELECT clock_timestamp(), current_setting('server_version_num')::int, current_setting('server_version'),"
            " (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)"
        )
        row = await cursor.fetchone()
        cursor = await connection.execute("SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", [list(DURABLE)])
        settings = dict(await cursor.fetchall())
    if row is None:
        return []
    now, number, version, is_superuser = row
    middle = before + (SYSTEM_CLOCK.now() - before) / 2
    return [
        _version(number, version),
        _skew(abs((now - middle).total_seconds())),
        _durability(settings),
        _role(is_superuser=is_superuser),
    ]


def _backup(settings: Settings) -> Finding:
    """How old the newest backup is that was restored and added up."""
    directory = settings.database.backup_dir
    remedy = "Run `holdfast backup` every day (it restores each one to prove it), and copy it to another machine."
    try:
        made = newest(directory)
    except HoldfastError as error:
        return failed("backup", error)
    if made is None:
        return Finding("backup", "warn", f"no proven backup in {directory}", remedy)
    age = SYSTEM_CLOCK.now() - made.made_at
    detail = (
        f"the newest proven one is {age.days} days and {age.seconds // 3600} hours old, of {made.size_bytes:,} bytes"
    )
    if age > timedelta(days=BACKUP_DAYS_WARN):
        return Finding("backup", "warn", detail, remedy)
    return Finding("backup", "ok", detail)


def _version(number: int, version: str) -> Finding:
    if number < VERSION_MIN:
        return Finding("database", "fail", f"PostgreSQL {version}", "Use PostgreSQL 14 or newer.")
    return Finding("database", "ok", f"PostgreSQL {version} answers")


def _skew(seconds: float) -> Finding:
    detail = f"{seconds:.3f} s between this clock and the database's"
    level: Level = "fail" if seconds > SKEW_SECONDS_FAIL else "warn" if seconds > SKEW_SECONDS_WARN else "ok"
    remedy = "" if level == "ok" else "Have both machines keep their clocks by NTP: invoices expire by them."
    return Finding("database clock", level, detail, remedy)


def _durability(settings: dict[str, str]) -> Finding:
    wrong = {name: settings.get(name, "?") for name, value in DURABLE.items() if settings.get(name) != value}
    if wrong:
        remedy = f"Set {', '.join(wrong)} to on in postgresql.conf: what is committed must survive a power cut."
        detail = ", ".join(f"{name} is {value}" for name, value in wrong.items())
        return Finding("database durability", "fail", detail, remedy)
    return Finding("database durability", "ok", "what is committed is on disk")


def _role(*, is_superuser: bool) -> Finding:
    if is_superuser:
        remedy = "Connect as holdfast_platform: append-only by grants means nothing to a superuser."
        return Finding("database role", "fail", "the servers connect as a superuser", remedy)
    return Finding("database role", "ok", "the servers' role is no superuser")
