"""The local network, left running for a long time."""

from pathlib import Path

import pytest

from holdfast.chains.localnet import litecoin_regtest

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("cli")]


async def test_a_local_litecoin_goes_on_beyond_the_height_where_extension_blocks_begin(tmp_path: Path) -> None:
    async with litecoin_regtest(tmp_path) as node:
        before = await node.height()
        assert len(await node.mine(431 - before + 2)) == 431 - before + 2
        await node.mine()
        assert await node.height() == 434
