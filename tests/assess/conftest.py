"""A real set-up, made once, whose database runs."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from psycopg import AsyncConnection

from fixtures_assess import Assessed
from fixtures_cli import holdfast
from holdfast.faces.assess.assessing import read_inventory
from holdfast.faces.assess.reading_files import Places
from holdfast.runtime.clock import SYSTEM_CLOCK
from holdfast.runtime.config import load
from holdfast.runtime.embedded_database import embedded


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def assessed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Assessed]:
    """The set-up; a test that breaks something on the disk mends it again."""
    directory = Path(tmp_path_factory.mktemp("assess")) / "shop"
    done = holdfast("init", "--local", directory)
    assert done.code == 0, done.err
    settings = load(directory / "holdfast.toml")
    async with embedded(settings.database.data_dir) as running:
        good = await read_inventory(settings, Places(), directory, SYSTEM_CLOCK.now())
        assert good.books is not None
        yield Assessed(directory, running.owner_url, good)


@pytest_asyncio.fixture
async def in_database(assessed: Assessed) -> AsyncIterator[AsyncConnection]:
    """The set-up's database inside a transaction that is undone: whatever a test breaks is whole again."""
    async with await AsyncConnection.connect(assessed.url) as connection:
        yield connection
        await connection.rollback()
