"""The embedded PostgreSQL: one server a directory, whoever starts, kills or restarts it, root or not."""

import asyncio
import os
import stat
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import psycopg
import pytest

from holdfast.runtime import unprivileged
from holdfast.runtime.database import OWNER, PLATFORM, connected
from holdfast.runtime.embedded_database import (
    SUPERUSER,
    DatabaseDirectoryUnsafe,
    DatabaseInUse,
    DatabaseNotStarted,
    EmbeddedDatabase,
    embedded,
)
from holdfast.runtime.unprivileged import AS_NOBODY, NOBODY, RootNotDropped

STARTER = """
import asyncio, sys
from pathlib import Path
from holdfast.runtime.embedded_database import embedded

async def main():
    async with embedded(Path(sys.argv[1])) as database:
        print(database.process.pid, flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to drop")


async def shown(url: str, setting: str) -> str:
    async with connected(url) as connection:
        row = await (await connection.execute(f"SHOW {setting}".encode())).fetchone()
    assert row is not None
    return str(row[0])


async def test_what_is_committed_is_on_disk_and_damage_to_it_is_seen(tmp_path: Path) -> None:
    async with embedded(tmp_path) as database:
        for setting in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums"):
            assert await shown(database.url, setting) == "on"


async def test_nothing_listens_on_a_network_and_only_the_owner_reaches_the_socket(tmp_path: Path) -> None:
    async with embedded(tmp_path) as database:
        assert await shown(database.url, "listen_addresses") == ""
        assert stat.S_IMODE(database.socket_dir.stat().st_mode) == 0o700


async def test_each_role_needs_its_password_and_no_url_contains_one(tmp_path: Path) -> None:
    async with embedded(tmp_path) as database:
        assert stat.S_IMODE(database.passfile.stat().st_mode) == 0o600
        words = [line.split(":")[4] for line in database.passfile.read_text().splitlines()]
        assert len(set(words)) == 3
        for role in (SUPERUSER, OWNER, PLATFORM):
            url = database.url_of(role)
            assert not any(word in url for word in words)
            with pytest.raises(psycopg.OperationalError, match="password"):
                await psycopg.AsyncConnection.connect(url, passfile="/dev/null", password="wrong")


async def test_a_directory_has_one_server(tmp_path: Path) -> None:
    async with embedded(tmp_path) as first:
        second = EmbeddedDatabase(tmp_path)
        with pytest.raises(DatabaseInUse):
            await second.start()
        assert second.process is None
        assert await shown(first.url, "fsync") == "on"


async def test_a_server_whose_starter_was_killed_stops_and_the_next_one_waits_for_that(tmp_path: Path) -> None:
    starter = await asyncio.create_subprocess_exec(sys.executable, "-c", STARTER, str(tmp_path), stdout=PIPE)
    assert starter.stdout is not None
    orphan = int(await starter.stdout.readline())
    starter.kill()
    await starter.wait()
    async with embedded(tmp_path) as database:
        assert database.process is not None
        assert database.process.pid != orphan
        assert not _runs(orphan)


async def test_a_server_killed_with_9_leaves_a_directory_that_starts(tmp_path: Path) -> None:
    async with embedded(tmp_path) as database:
        assert database.process is not None
        database.process.kill()
        assert await database.ended() == -9
        assert (tmp_path / "cluster" / "postmaster.pid").exists()
        await database.start()
        assert await shown(database.url, "fsync") == "on"


async def test_a_first_start_that_was_cut_off_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "cluster.new" / "base").mkdir(parents=True)
    async with embedded(tmp_path) as database:
        assert await shown(database.url, "fsync") == "on"
    assert not (tmp_path / "cluster.new").exists()


async def test_a_path_too_long_for_a_socket_is_no_obstacle(tmp_path: Path) -> None:
    directory = tmp_path / ("x" * 120)
    async with embedded(directory) as database:
        assert directory not in database.socket_dir.parents
        assert await shown(database.url, "fsync") == "on"


async def test_a_socket_directory_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    (tmp_path / "socket").mkdir()
    (tmp_path / "socket").chmod(0o777)
    with pytest.raises(DatabaseDirectoryUnsafe):
        async with embedded(tmp_path):
            pass


async def test_what_postgresql_says_when_it_does_not_start_is_passed_on(tmp_path: Path) -> None:
    with pytest.raises(DatabaseNotStarted, match="no_such_setting"):
        async with embedded(tmp_path, {"no_such_setting": "1"}):
            pass


@as_root
async def test_root_starts_it_where_namespaces_are_forbidden_too_and_moves_between_such_hosts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for forbidden in (False, True, False):
        with monkeypatch.context() as patch:
            if forbidden:
                patch.setattr(unprivileged, "NAMESPACE", ("false",))
            unprivileged.forget()
            async with embedded(tmp_path) as database:
                assert (unprivileged.prefix() == AS_NOBODY) is forbidden
                assert (tmp_path / "cluster").stat().st_uid == (NOBODY if forbidden else 0)
                assert await shown(database.url, "fsync") == "on"
    unprivileged.forget()


@as_root
def test_root_that_cannot_drop_its_rights_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unprivileged, "NAMESPACE", ("false",))
    monkeypatch.setattr(unprivileged, "AS_NOBODY", ("no-such-program",))
    unprivileged.forget()
    with pytest.raises(RootNotDropped, match="no-such-program"):
        unprivileged.prefix()
    unprivileged.forget()


def _runs(pid: int) -> bool:
    """Whether it runs: a process that has ended and was not yet reaped does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
