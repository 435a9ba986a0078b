"""Backups that are proven: each is restored into a PostgreSQL of its own, and its books added up, before it counts.

The proof needs nothing of the server that was backed up. Never deletes an older backup, and never restores over data.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import shutil
import tempfile
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct
from psycopg import AsyncConnection, IsolationLevel, sql
from psycopg.conninfo import make_conninfo

from holdfast.core.errors import BadInput, Conflict, NotFound, Unavailable
from holdfast.runtime.database import connected, pending_migrations
from holdfast.runtime.database_access import DatabaseAccess
from holdfast.runtime.embedded_database import embedded, programs

Audit = Callable[[AsyncConnection], Awaitable[Sequence[str]]]
"""What does not add up in a ledger, one sentence each. The caller brings it: the ledger is not seen from here."""

SCRATCH = {"fsync": "off", "full_page_writes": "off", "max_wal_size": "4GB"}
"""Settings of the server of a proof: it is thrown away."""
MAKING = ".making-"


class BackupRunning(Conflict):
    """Another process is writing a backup into this directory. Wait for it, or name another directory."""

    code = "backup-running"
    retry = True


class BackupFailed(Unavailable):
    """PostgreSQL's program did not dump or restore. Mend what it says in the detail; nothing was kept."""

    code = "backup-failed"


class BackupNotProven(Conflict):
    """What was restored is not what was backed up. Keep the older backups, and look for the cause first."""

    code = "backup-not-proven"


class BackupMissing(NotFound):
    """There is no such backup: a dump and its manifest lie side by side. Name the `.dump` file of one."""

    code = "backup-missing"


class BackupDamaged(BadInput):
    """The backup's bytes are not those that its manifest names. Restore another one, or fetch this one's copy again."""

    code = "backup-damaged"


class DatabaseNotEmpty(Conflict):
    """The database has tables, and a restore never writes over data. Use a new database or `data_dir`."""

    code = "database-not-empty"


class Contents(Struct, frozen=True):
    """What is in a database, counted: the same in the original and in what was restored."""

    revision: str
    """The last migration that it has."""
    head: int
    """`seq` of the ledger's last transfer; 0 where there is none."""
    rows: dict[str, int]
    """Rows of every table, by its name with its schema."""


class Backup(Struct, frozen=True):
    """A backup's manifest, as it lies beside the dump. It is written only after the proof."""

    made_at: datetime
    file: str
    size_bytes: int
    sha256: str
    contents: Contents


async def backup(access: DatabaseAccess, directory: Path, *, now: datetime, audit: Audit) -> Backup:
    """Dump the database as it is at this moment, prove the dump, and keep it. `access` is the owner's.

    Raises `DatabaseUnreachable`, `DatabaseNotMigrated` (a newer program's tables), `BackupRunning`, `BackupFailed`,
    `BackupNotProven`; the directory is then as it was.
    """
    name = f"holdfast-{now.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}.dump"
    with _alone(directory), tempfile.TemporaryDirectory(prefix=MAKING, dir=directory) as making:
        dump = Path(making, name)
        contents = await _dump(access, dump)
        async with embedded(Path(making, "proof"), SCRATCH) as scratch:
            await _restore(DatabaseAccess(scratch.owner_url), dump, contents, audit)
        return await asyncio.to_thread(_keep, dump, directory, now, contents)


async def restore(access: DatabaseAccess, dump: Path, *, audit: Audit) -> Backup:
    """Restore a backup into an empty database, and prove the result as when it was made. `access` is the owner's.

    Raises `BackupMissing`, `BackupDamaged`, `DatabaseNotEmpty`, `DatabaseUnreachable`, `BackupFailed`,
    `BackupNotProven`.
    """
    made = read_manifest(dump)
    if await asyncio.to_thread(_digest, dump) != made.sha256:
        raise BackupDamaged(dump.name)
    async with connected(access.url, password=access.password) as connection:
        if tables := await _tables(connection):
            raise DatabaseNotEmpty(f"{'.'.join(tables[0])} and {len(tables) - 1} more")
    await _restore(access, dump, made.contents, audit)
    return made


def newest(directory: Path) -> Backup | None:
    """The newest proven backup in the directory; None where there is none. Raises as `read_manifest`."""
    manifests = sorted(directory.glob("holdfast-*.json"))
    return read_manifest(manifests[-1].with_suffix(".dump")) if manifests else None


def read_manifest(dump: Path) -> Backup:
    """The manifest of the dump. Raises `BackupMissing`, `BackupDamaged` (it is not one of ours)."""
    if not dump.is_file():
        raise BackupMissing(dump.name)
    try:
        return msgspec.json.decode(dump.with_suffix(".json").read_bytes(), type=Backup)
    except FileNotFoundError:
        raise BackupMissing(dump.with_suffix(".json").name) from None
    except msgspec.MsgspecError as error:
        raise BackupDamaged(f"{dump.with_suffix('.json').name}: {error}") from None


async def _dump(access: DatabaseAccess, dump: Path) -> Contents:
    """Dump and count in one snapshot: what is written meanwhile is in neither."""
    async with connected(access.url, password=access.password) as connection:
        await connection.set_isolation_level(IsolationLevel.REPEATABLE_READ)
        await connection.set_read_only(True)
        async with connection.transaction():
            cursor = await connection.execute("SELECT pg_export_snapshot()")
            row = await cursor.fetchone()
            snapshot = str(row[0]) if row else ""
            contents = await _contents(connection)
            with _conninfo(access) as conninfo, _private(dump) as output:
                await _run(
                    "pg_dump", "--format=custom", f"--snapshot={snapshot}", f"--dbname={conninfo}", output=output
                )
    return contents


def _keep(dump: Path, directory: Path, now: datetime, contents: Contents) -> Backup:
    """Put the dump where backups are, and then its manifest: with that it is one."""
    made = Backup(now, dump.name, dump.stat().st_size, _digest(dump), contents)
    manifest = dump.with_suffix(".json")
    manifest.write_bytes(msgspec.json.format(msgspec.json.encode(made)) + b"\n")
    for path in (dump, manifest):
        _sync(path)
        path.rename(directory / path.name)
    _sync(directory)
    return made


async def _restore(access: DatabaseAccess, dump: Path, expected: Contents, audit: Audit) -> None:
    """Restore whole or not at all, then compare. The target has both roles and no tables."""
    with _conninfo(access) as conninfo:
        await _run("pg_restore", "--single-transaction", "--exit-on-error", f"--dbname={conninfo}", str(dump))
    await pending_migrations(access.url, password=access.password)
    async with connected(access.url, password=access.password) as connection:
        found = await _contents(connection)
        if found != expected:
            raise BackupNotProven(_difference(expected, found))
        if faults := await audit(connection):
            raise BackupNotProven("; ".join(faults[:3]))


async def _contents(connection: AsyncConnection) -> Contents:
    rows: dict[str, int] = {}
    for table in await _tables(connection):
        rows[".".join(table)] = await _number(
            connection, sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(*table))
        )
    cursor = await connection.execute("SELECT version_num FROM public.alembic_version")
    row = await cursor.fetchone()
    head = await _number(connection, sql.SQL("SELECT coalesce(max(seq), 0) FROM ledger.transfers"))
    return Contents(str(row[0]) if row else "", head, rows)


async def _tables(connection: AsyncConnection) -> list[tuple[str, str]]:
    cursor = await connection.execute(
        "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        " ORDER BY 1, 2"
    )
    return [(schema, table) for schema, table in await cursor.fetchall()]


async def _number(connection: AsyncConnection, query: sql.SQL | sql.Composed) -> int:
    row = await (await connection.execute(query)).fetchone()
    return int(row[0]) if row else 0


def _difference(expected: Contents, found: Contents) -> str:
    if expected.revision != found.revision or expected.head != found.head:
        return f"revision {found.revision}, head {found.head}; was {expected.revision}, {expected.head}"
    names = sorted(expected.rows.keys() | found.rows.keys())
    return ", ".join(
        f"{name}: {found.rows.get(name)} rows, were {expected.rows.get(name)}"
        for name in names
        if found.rows.get(name) != expected.rows.get(name)
    )


async def _run(program: str, *arguments: str, output: int = DEVNULL) -> None:
    process = await asyncio.create_subprocess_exec(
        programs() / program, *arguments, stdin=DEVNULL, stdout=output, stderr=PIPE
    )
    try:
        _, said = await process.communicate()
    finally:
        if process.returncode is None:  # we are cancelled
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise BackupFailed(said.decode(errors="replace").strip()[-500:])


@contextmanager
def _conninfo(access: DatabaseAccess) -> Iterator[str]:
    """How the programs connect: a password goes by a file that only we may read, never by argument or environment."""
    if access.password is None:
        yield make_conninfo(access.url)
        return
    with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:  # made with mode 0600
        word = access.password.replace("\\", "\\\\").replace(":", "\\:")
        file.write(f"*:*:*:*:{word}\n")
        file.flush()
        yield make_conninfo(access.url, passfile=file.name)


@contextmanager
def _private(path: Path) -> Iterator[int]:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        yield handle
    finally:
        os.close(handle)


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Nobody else backs up into the directory meanwhile, and what a killed backup left there is gone."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for left in directory.glob(f"{MAKING}*"):
            shutil.rmtree(left, ignore_errors=True)
        yield
    except BlockingIOError:
        raise BackupRunning(str(directory)) from None
    finally:
        os.close(handle)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
