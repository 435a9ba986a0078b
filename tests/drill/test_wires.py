"""What stands between zones and nodes in a drill does what is said of it: lies, goes dark, is cut, takes powers."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from holdfast.chains.local_process import LocalRpc
from holdfast.chains.localnet import AnvilNode
from holdfast.chains.port import NodeUnreachable
from holdfast.chains.rpc import Credentials
from holdfast.drill.proxies import Link, NodeProxy

pytestmark = [pytest.mark.node, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(loop_scope="session")
async def proxy(anvil_node: AnvilNode) -> AsyncIterator[NodeProxy]:
    made = NodeProxy(anvil_node.rpc_url, Credentials())
    await made.start()
    yield made
    await made.stop()


def through(proxy: NodeProxy) -> LocalRpc:
    return LocalRpc(f"http://127.0.0.1:{proxy.port}", "through")


async def test_a_proxy_passes_on_what_the_node_says(proxy: NodeProxy, anvil_node: AnvilNode) -> None:
    assert int(await through(proxy).call(str, "eth_blockNumber"), 16) == await anvil_node.height()


async def test_a_lie_reaches_who_asks_through_it_and_nobody_else(proxy: NodeProxy, anvil_node: AnvilNode) -> None:
    proxy.lie = lambda method, _params, result: "0x999999" if method == "eth_blockNumber" else result
    assert await through(proxy).call(str, "eth_blockNumber") == "0x999999"
    assert await anvil_node.height() != 0x999999
    assert await through(proxy).call(str, "eth_chainId") == hex(31337)


async def test_a_dark_node_does_not_answer_until_it_is_light_again(proxy: NodeProxy) -> None:
    proxy.is_dark = True
    with pytest.raises(NodeUnreachable):
        await through(proxy).call(str, "eth_chainId")
    proxy.is_dark = False
    assert await through(proxy).call(str, "eth_chainId") == hex(31337)


@pytest.mark.parametrize("method", ["anvil_mine", "evm_revert", "eth_sendTransaction", "anvil_setBalance"])
async def test_what_only_a_test_node_can_do_is_refused_to_every_zone(proxy: NodeProxy, method: str) -> None:
    with pytest.raises(NodeUnreachable):
        await through(proxy).call(str, method)


async def test_a_cut_line_drops_what_is_open_takes_nothing_new_and_can_be_mended() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    link = Link(server.sockets[0].getsockname()[1])
    await link.start()
    heard = link.listen()

    async def said(line: bytes) -> bytes:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
            writer.write(line)
            answer = await reader.readline()
        except OSError:
            return b""
        writer.close()
        return answer

    assert await said(b"one\n") == b"one\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
    writer.write(b"two\n")
    assert await reader.readline() == b"two\n"
    link.cut()
    with pytest.raises((OSError, EOFError)):
        await reader.readexactly(1)
    assert await said(b"three\n") == b""
    link.mend()
    assert await said(b"four\n") == b"four\n"
    assert heard == [b"one", b"two", b"four"]
    writer.close()
    await link.stop()
    server.close()
