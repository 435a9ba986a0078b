"""The nodes of one's own: what tests and the demo lean on."""

from pathlib import Path

import pytest

from holdfast.chains.local_process import LocalNodeFailed, LocalProcess
from holdfast.chains.localnet import AnvilNode, NodeBinaryMissing, anvil, litecoin_regtest
from holdfast.chains.port import NodeAnswerMalformed, NodeUnreachable

pytestmark = pytest.mark.node


async def test_anvil_goes_on_where_it_stopped(tmp_path: Path) -> None:
    async with anvil(tmp_path) as node:
        await node.mine(5)
        await node.stop()
        await node.start()
        assert await node.height() == 5


async def test_anvil_reorganises(anvil_node: AnvilNode) -> None:
    await anvil_node.mine(3)
    before = await anvil_node.height()
    await anvil_node.reorganise(2)
    assert await anvil_node.height() == before + 1


async def test_anvil_goes_back_to_a_moment(anvil_node: AnvilNode) -> None:
    height = await anvil_node.height()
    moment = await anvil_node.snapshot()
    await anvil_node.mine(3)
    await anvil_node.revert(moment)
    assert await anvil_node.height() == height


async def test_a_payment_waits_while_blocks_are_not_made_by_themselves(anvil_node: AnvilNode) -> None:
    height = await anvil_node.height()
    await anvil_node.set_automine(on=False)
    await anvil_node.send((await anvil_node.accounts())[1], 1)
    assert await anvil_node.height() == height
    await anvil_node.mine()
    assert await anvil_node.height() == height + 1
    await anvil_node.set_automine(on=True)


async def test_nothing_is_left_running(tmp_path: Path) -> None:
    async with litecoin_regtest(tmp_path) as node:
        assert node._process.pid is not None
    assert node._process.pid is None


async def test_a_missing_program_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NodeBinaryMissing, match="litecoind"):
        async with litecoin_regtest(tmp_path):
            pass


async def test_a_program_that_ends_at_once_is_named_with_its_last_words(tmp_path: Path) -> None:
    process = LocalProcess(["/bin/sh", "-c", "echo no such chain >&2; exit 1"], tmp_path / "log")

    async def answers() -> None:
        raise NodeUnreachable

    with pytest.raises(LocalNodeFailed, match="no such chain"):
        await process.start(answers)


async def test_a_program_that_starts_but_answers_wrongly_is_ended(tmp_path: Path) -> None:
    process = LocalProcess(["/bin/sleep", "60"], tmp_path / "log")

    async def answers() -> None:
        raise NodeAnswerMalformed

    with pytest.raises(NodeAnswerMalformed):
        await process.start(answers)
    assert process.pid is None
