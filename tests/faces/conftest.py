"""The application over a fresh database."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_asyncio

from fixtures_faces import Front, open_front, settings_for


@pytest_asyncio.fixture
async def front(database: Any, tmp_path: Path) -> AsyncIterator[Front]:
    """The application, one merchant certified."""
    settings, officers = settings_for(tmp_path, database.url)
    async with open_front(settings, officers) as opened:
        yield opened
