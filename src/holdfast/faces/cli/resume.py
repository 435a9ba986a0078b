"""`holdfast resume`: a person says from which block a network is followed on, after a change beyond finality."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from holdfast.core.errors import NotFound
from holdfast.faces.cli.terminal import ConfigOption, JsonOption, emit, load_settings, say

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    from holdfast.chains.port import Header, Node
    from holdfast.core.networks import NetworkId
    from holdfast.runtime.settings import Settings


class NetworkNotConfigured(NotFound):
    """The configuration has no network of this name. Use the name of one of its `[networks.…]` tables."""

    code = "network-not-configured"


class BlockNotThere(NotFound):
    """The nodes have no block at this height. Choose one that all of them have."""

    code = "block-not-there"


def resume(
    network: Annotated[str, typer.Argument(help="The network's name in the configuration.")],
    *,
    height: Annotated[int, typer.Option(min=0, help="The last block to be taken as read; the next one is followed.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Follow a network again from a block that you choose, after `finality-violated` stopped it.

    Deposits above that block are not undone by it: look at each of them first. All nodes must agree on the block.

    Example: `holdfast resume litecoin --height 2800000 --config pay/holdfast.toml`
    """
    settings = load_settings(config)
    if network not in settings.networks:
        raise NetworkNotConfigured(f"{network[:60]!r}; there are {', '.join(sorted(settings.networks))}")
    if not yes:
        typer.confirm(f"Have the deposits above block {height} been checked by hand?", abort=True, err=True)
    header = asyncio.run(_resume(settings, network, height))
    say(f"{network} is followed from block {header.height + 1} on")
    emit({"network": network, "height": header.height, "hash": header.hash}, header.hash, as_json=as_json)


async def _resume(settings: Settings, name: str, height: int) -> Header:
    from holdfast.faces.cli.open_database import with_database
    from holdfast.payments.nodes import open_node
    from holdfast.runtime.database import connected

    chosen = settings.networks[name]
    node = open_node(chosen)
    try:
        async with with_database(settings) as access, connected(access.url, password=access.password) as connection:
            return await choose_block(connection, node, chosen.network.id, height)
    finally:
        await node.close()


async def choose_block(connection: AsyncConnection[Any], node: Node, network: NetworkId, height: int) -> Header:
    """Take this block as the last one that was read. Raises `BlockNotThere`, and what the nodes raise."""
    from holdfast.chains.follower import Cursor
    from holdfast.payments import positions

    headers = await node.headers(height, height)
    if not headers:
        raise BlockNotThere(str(height))
    async with connection.transaction():
        await positions.choose(connection, network, Cursor(headers[0].height, headers[0].hash))
    return headers[0]
