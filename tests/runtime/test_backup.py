"""Backups: proven before they count, whole or not at all, and never written over data."""

import asyncio
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from secrets import token_hex

import psycopg
import pytest
from psycopg import AsyncConnection

from conftest import FreshDatabase
from holdfast.core.money import AssetId
from holdfast.ledger import Account, AccountKind, Posted, Replayed, Transfer, audit, balance, post
from holdfast.runtime.backup import (
    Backup,
    BackupDamaged,
    BackupFailed,
    BackupMissing,
    BackupNotProven,
    BackupRunning,
    DatabaseNotEmpty,
    backup,
    newest,
    restore,
)
from holdfast.runtime.database import OWNER, PLATFORM, connected, migrate, with_passfile
from holdfast.runtime.database_access import DatabaseAccess

NOW = datetime(2026, 11, 21, 2, 15, tzinfo=UTC)
COIN = AssetId("a/slip44:1")
VAULT, SHOP = Account(AccountKind.VAULT, COIN), Account(AccountKind.MERCHANT, COIN, "mer_1")
DEPOSIT = Transfer("deposit:1", VAULT, SHOP, 100, "dep_1", "deposit")


async def books(connection: AsyncConnection) -> Sequence[str]:
    return (await audit(connection)).faults


@pytest.fixture
def access(database: FreshDatabase) -> DatabaseAccess:
    return DatabaseAccess(database.owner_url)


@pytest.fixture
async def paid(connection: AsyncConnection) -> AsyncConnection:
    """The connection of a database with one deposit."""
    await post(connection, [DEPOSIT])
    return connection


async def empty_database(database: FreshDatabase) -> tuple[str, str]:
    """A new database without tables: the owner's URL and the servers'."""
    name = f"test_{token_hex(6)}"
    async with connected(database.server.url_of(OWNER, "postgres")) as owner:
        await owner.execute(f"CREATE DATABASE {name}".encode())
    return database.server.url_of(OWNER, name), database.server.url_of(PLATFORM, name)


async def test_what_is_restored_is_what_was_backed_up_and_goes_on(
    database: FreshDatabase, access: DatabaseAccess, paid: AsyncConnection, tmp_path: Path
) -> None:
    made = await backup(access, tmp_path, now=NOW, audit=books)
    await post(paid, [replace(DEPOSIT, key="deposit:2")])  # after the backup: not in it
    owner_url, url = await empty_database(database)
    assert await restore(DatabaseAccess(owner_url), tmp_path / made.file, audit=books) == made
    assert made.contents.rows["ledger.transfers"] == 1
    assert await migrate(owner_url) == []
    async with connected(url) as restored:
        assert (await balance(restored, SHOP)).posted == 100
        outcomes = await post(restored, [DEPOSIT, replace(DEPOSIT, key="deposit:3")])
        assert outcomes == [Replayed(made.contents.head), Posted(made.contents.head + 1)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await restored.execute("DELETE FROM ledger.transfers")
    async with connected(owner_url) as owner:
        with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
            await owner.execute("DELETE FROM ledger.transfers")


async def test_a_backup_under_load_is_of_one_moment(
    access: DatabaseAccess, connection: AsyncConnection, tmp_path: Path
) -> None:
    running = asyncio.create_task(backup(access, tmp_path, now=NOW, audit=books))
    count = 0
    while not running.done():
        await post(connection, [replace(DEPOSIT, key=f"deposit:{count}")])
        count += 1
    made = await running
    assert made.contents.head < count  # had it seen all, this would have been no load
    assert made.contents.head == made.contents.rows["ledger.transfers"]


async def test_only_the_owner_of_the_files_may_read_them(
    access: DatabaseAccess, paid: AsyncConnection, tmp_path: Path
) -> None:
    made = await backup(access, tmp_path / "backups", now=NOW, audit=books)
    assert (tmp_path / "backups").stat().st_mode & 0o077 == 0
    assert (tmp_path / "backups" / made.file).stat().st_mode & 0o077 == 0


async def test_books_that_do_not_add_up_make_no_backup(
    access: DatabaseAccess, paid: AsyncConnection, tmp_path: Path
) -> None:
    async with connected(access.url) as owner:
        await owner.execute("UPDATE ledger.accounts SET credits_posted = credits_posted + 1 WHERE kind = 'merchant'")
    with pytest.raises(BackupNotProven, match="sum to"):
        await backup(access, tmp_path, now=NOW, audit=books)
    assert os.listdir(tmp_path) == []


async def test_a_restore_that_lacks_rows_is_not_taken_for_one(
    database: FreshDatabase, access: DatabaseAccess, paid: AsyncConnection, tmp_path: Path
) -> None:
    made = await backup(access, tmp_path, now=NOW, audit=books)
    manifest = (tmp_path / made.file).with_suffix(".json")
    written = json.loads(manifest.read_text())
    written["contents"]["rows"]["ledger.transfers"] = 2
    manifest.write_text(json.dumps(written))
    owner_url, _ = await empty_database(database)
    with pytest.raises(BackupNotProven, match=r"ledger.transfers: 1 rows, were 2"):
        await restore(DatabaseAccess(owner_url), tmp_path / made.file, audit=books)


async def test_a_changed_byte_is_seen_before_anything_is_restored(
    database: FreshDatabase, access: DatabaseAccess, paid: AsyncConnection, tmp_path: Path
) -> None:
    made = await backup(access, tmp_path, now=NOW, audit=books)
    dump = tmp_path / made.file
    content = bytearray(dump.read_bytes())
    content[len(content) // 2] ^= 1
    dump.write_bytes(content)
    owner_url, _ = await empty_database(database)
    with pytest.raises(BackupDamaged):
        await restore(DatabaseAccess(owner_url), dump, audit=books)
    async with connected(owner_url) as owner:
        row = await (await owner.execute("SELECT to_regclass('ledger.transfers')")).fetchone()
    assert row == (None,)


async def test_a_backup_is_a_dump_and_its_manifest(access: DatabaseAccess, tmp_path: Path) -> None:
    with pytest.raises(BackupMissing, match="gone"):
        await restore(access, tmp_path / "gone.dump", audit=books)
    (tmp_path / "lonely.dump").touch()
    with pytest.raises(BackupMissing, match=r"lonely\.json"):
        await restore(access, tmp_path / "lonely.dump", audit=books)
    (tmp_path / "lonely.json").write_text("{}")
    with pytest.raises(BackupDamaged, match="made_at"):
        await restore(access, tmp_path / "lonely.dump", audit=books)


async def test_a_restore_never_writes_over_data(access: DatabaseAccess, paid: AsyncConnection, tmp_path: Path) -> None:
    made = await backup(access, tmp_path, now=NOW, audit=books)
    with pytest.raises(DatabaseNotEmpty):
        await restore(access, tmp_path / made.file, audit=books)
    assert (await balance(paid, SHOP)).posted == 100


async def test_what_pg_dump_says_is_passed_on_and_nothing_is_left(database: FreshDatabase, tmp_path: Path) -> None:
    with pytest.raises(BackupFailed, match="privilege"):
        await backup(DatabaseAccess(database.url), tmp_path, now=NOW, audit=books)
    assert os.listdir(tmp_path) == []


async def test_a_password_that_stands_apart_from_the_url_is_used(database: FreshDatabase, tmp_path: Path) -> None:
    server = database.server
    words = dict(line.split(":")[3:5] for line in server.passfile.read_text().splitlines())
    name = database.owner_url.split("@/")[1].split("?")[0]
    apart = with_passfile(OWNER, name, str(server.socket_dir), "/dev/null")
    made = await backup(DatabaseAccess(apart, words[OWNER]), tmp_path, now=NOW, audit=books)
    assert made.contents.rows["ledger.transfers"] == 0


async def test_the_newest_is_found_and_what_a_killed_backup_left_is_not_taken_for_one(
    access: DatabaseAccess, tmp_path: Path
) -> None:
    assert newest(tmp_path) is None
    (tmp_path / ".making-killed" / "proof").mkdir(parents=True)
    (tmp_path / "holdfast-20990101T000000.000000Z.dump").touch()  # no manifest: the proof was not reached
    later = (NOW + timedelta(minutes=5)).astimezone(timezone(timedelta(hours=-8)))
    await backup(access, tmp_path, now=NOW, audit=books)
    made = await backup(access, tmp_path, now=later, audit=books)
    assert newest(tmp_path) == made
    assert not (tmp_path / ".making-killed").exists()


async def test_one_directory_has_one_backup_at_a_time(access: DatabaseAccess, tmp_path: Path) -> None:
    first, second = await asyncio.gather(
        *(backup(access, tmp_path, now=NOW, audit=books) for _ in range(2)), return_exceptions=True
    )
    assert isinstance(first, Backup)
    assert isinstance(second, BackupRunning)
