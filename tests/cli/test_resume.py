"""After a reorganisation beyond finality a person chooses the block to go on from."""

import pytest
from psycopg import AsyncConnection

from fixtures_cli import holdfast
from holdfast.chains.follower import Cursor
from holdfast.chains.localnet import RegtestNode
from holdfast.core.networks import NetworkId
from holdfast.faces.cli.resume import BlockNotThere, choose_block
from holdfast.payments import positions

NETWORK = NetworkId("bip122:530827f38f93b43ed12af0b3ad25a288")


@pytest.mark.node
async def test_the_follower_goes_on_after_the_block_that_was_chosen(
    litecoin: RegtestNode, connection: AsyncConnection
) -> None:
    height = await litecoin.height()
    async with connection.transaction():
        await positions.open_position(connection, NETWORK)
    node = litecoin.node()
    try:
        header = await choose_block(connection, node, NETWORK, height - 2)
        async with connection.transaction():
            cursor = (await positions.position(connection, NETWORK)).cursor
        assert cursor == Cursor(height - 2, header.hash)
        with pytest.raises(BlockNotThere):
            await choose_block(connection, node, NETWORK, height + 1000)
    finally:
        await node.close()


def test_the_command_asks_before_it_does_anything(tmp_path: object) -> None:
    assert "resume" in holdfast("--help").out
    assert "--height" in holdfast("resume", "--help").out
    assert holdfast("resume", "litecoin", "--height", "1", "--config", "/nowhere.toml").code != 0
