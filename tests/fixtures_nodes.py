"""Real nodes for tests, one of each for a whole test run (per worker)."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from holdfast.chains.localnet import AnvilNode, RegtestNode, anvil, litecoin_regtest


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def litecoin(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RegtestNode]:
    """A litecoind in regtest whose wallet has coins. Tests share its chain: expect any height, and no extension blocks,
    so that blocks of chosen transactions can be made at all of them."""
    async with litecoin_regtest(tmp_path_factory.mktemp("litecoin"), has_extension=False) as node:
        yield node


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def anvil_node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AnvilNode]:
    """An anvil with rich accounts. Tests share its chain."""
    async with anvil(tmp_path_factory.mktemp("anvil")) as node:
        yield node
