"""The application over a fresh database."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any

import psycopg
import pytest
import pytest_asyncio

from fixtures_faces import Front, Served, open_front, serve, settings_for
from holdfast.runtime.database import OWNER, PLATFORM
from holdfast.runtime.embedded_database import DATABASE


@pytest_asyncio.fixture
async def front(database: Any, tmp_path: Path) -> AsyncIterator[Front]:
    """The application, one merchant certified."""
    settings, officers = settings_for(tmp_path, database.url)
    async with open_front(settings, officers) as opened:
        yield opened


@pytest.fixture(scope="module")
def served(server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The API as a process, for a whole file of tests, with a database of its own."""
    with own_database(server) as url, serve(tmp_path_factory.mktemp("served"), url) as running:
        yield running


@contextmanager
def own_database(server: Any) -> Iterator[str]:
    """A fresh, migrated database; its URL as servers connect."""
    name = f"served_{token_hex(6)}"
    with psycopg.connect(server.url_of(OWNER, "postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {DATABASE} STRATEGY file_copy".encode())
    yield str(server.url_of(PLATFORM, name))
    with psycopg.connect(server.url_of(OWNER, "postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
