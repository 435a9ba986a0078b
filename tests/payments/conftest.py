"""Shops on their networks."""

from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio

from fixtures_payments import Pool, Shop, bitcoin_settings
from holdfast.runtime.database import open_pool


@pytest_asyncio.fixture
async def index_pool(database: Any) -> AsyncIterator[Pool]:
    """The one connection that indexes are taken by."""
    opened = await open_pool(database.url, size_min=1, size_max=1)
    yield opened
    await opened.close()


@pytest_asyncio.fixture
async def shop(pool: Pool, index_pool: Pool) -> Shop:
    """A shop that takes Litecoin and Bitcoin; no node runs."""
    networks = [bitcoin_settings("litecoin-regtest"), bitcoin_settings("bitcoin-regtest")]
    return await Shop(pool, index_pool, networks).open()
