"""The application over a fresh database."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from fixtures_faces import Front, Served, open_front, own_database, serve, settings_for


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
