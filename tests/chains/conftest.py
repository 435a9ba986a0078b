"""Nodes that one test has to itself."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from holdfast.chains.localnet import RegtestNode, litecoin_regtest


@pytest.fixture
async def second_litecoin(tmp_path: Path) -> AsyncIterator[RegtestNode]:
    """A litecoind of the test's own: to be killed, parted, or given another chain."""
    async with litecoin_regtest(tmp_path / "litecoin") as node:
        yield node
