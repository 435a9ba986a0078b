"""What tests of several rooms share: one embedded PostgreSQL a worker, and a fresh, migrated database a test."""

import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

import psycopg
import pytest
import pytest_asyncio
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from holdfast.runtime.database import OWNER, PLATFORM, migrate, open_pool
from holdfast.runtime.embedded_database import DATABASE, SUPERUSER, EmbeddedDatabase, embedded

pytest_plugins = ["fixtures_nodes", "fixtures_real_data", "fixtures_report"]

# Durability costs time and shows nothing here: the tests that kill PostgreSQL start one of their own, with fsync on.
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "64MB"}

RECURSION = sys.getrecursionlimit()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """A library of the tests' own (py_ecc, below eth-account) raises this so far that deep JSON ends the process."""
    sys.setrecursionlimit(RECURSION)


@dataclass(frozen=True)
class FreshDatabase:
    """A migrated database of one test."""

    url: str
    """As servers connect: the platform's role."""
    owner_url: str
    server: EmbeddedDatabase


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedDatabase]:
    """A PostgreSQL whose database `holdfast` is migrated and is the template of the others."""
    async with embedded(Path(tmp_path_factory.mktemp("postgres")), FAST) as running:
        await migrate(running.owner_url)
        yield running


@pytest.fixture
def database(server: EmbeddedDatabase) -> Iterator[FreshDatabase]:
    """A fresh, migrated database."""
    name = f"test_{token_hex(6)}"
    with psycopg.connect(server.url_of(OWNER, "postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {DATABASE} STRATEGY file_copy".encode())
    yield FreshDatabase(server.url_of(PLATFORM, name), server.url_of(OWNER, name), server)
    with psycopg.connect(server.url_of(SUPERUSER, "postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest_asyncio.fixture
async def pool(database: FreshDatabase) -> AsyncIterator[AsyncConnectionPool[AsyncConnection]]:
    """Connections as servers have them."""
    opened = await open_pool(database.url, size_min=1, size_max=8)
    yield opened
    await opened.close()


@pytest_asyncio.fixture
async def connection(database: FreshDatabase) -> AsyncIterator[AsyncConnection]:
    """One connection as servers have them; each statement commits unless the test opens a transaction."""
    async with await AsyncConnection.connect(database.url, autocommit=True) as opened:
        yield opened
