"""A real follower process, killed with -9 again and again while payments come in: each is credited exactly once."""

import asyncio
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest

from fixtures_payments import Pool, Shop, bitcoin_settings
from holdfast.chains.localnet import RegtestNode
from holdfast.runtime.secret_files import write_secret

pytestmark = [pytest.mark.node, pytest.mark.slow, pytest.mark.xdist_group("litecoin")]

KILLS = 12
INVOICES = 36
CENT = 1_000_000


def configuration(directory: Path, database_url: str, shop: Shop, node: RegtestNode) -> Path:
    (directory / "quorum.json").write_text("{}")
    write_secret(directory / "webhook.key", "ab" * 32)
    path = directory / "holdfast.toml"
    path.write_text(
        f"""
        quorum_file = "quorum.json"
        [database]
        url = "{database_url}"
        [webhooks]
        key_file = "webhook.key"
        [rates]
        sources = []
        fixed = {{ "LTC/EUR" = "80.00" }}
        [follower]
        metrics_port = 0
        [networks.litecoin-regtest]
        nodes = [{{ url = "{node.rpc_url}", cookie_file = "{node.cookie_file}" }}]
        finality_depth = 20
        poll_milliseconds = 50
        confirmations = [{{ count = 2 }}]
        descriptor = "{shop.networks[0].descriptor}"
        """
    )
    return path


@asynccontextmanager
async def follower(config: Path) -> AsyncIterator[Process]:
    with (config.parent / "follower.log").open("ab") as log:
        command = [sys.executable, "-m", "holdfast.payments.main", "follower", "--config", str(config)]
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL, stderr=log)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@pytest.fixture
async def shop(pool: Pool, index_pool: Pool, litecoin: RegtestNode) -> AsyncIterator[Shop]:
    opened = await Shop(pool, index_pool, [bitcoin_settings("litecoin-regtest", litecoin.rpc_url)]).open()
    yield opened
    await opened.close()


async def settled(shop: Shop) -> int:
    async with shop.pool.connection() as conn:
        cursor = await conn.execute("SELECT count(*) FROM payments.invoices WHERE state = 'settled'")
        row = await cursor.fetchone()
    return row[0] if row else 0


async def send_again(node: RegtestNode, txids: list[str]) -> None:
    """Payments that the node forgot in the reorganisation, because they spent a reward that was too young again."""
    for txid in txids:
        transaction = await node._wallet.call(dict[str, Any], "gettransaction", txid)
        if transaction["confirmations"] == 0 and txid not in await node.mempool():
            await node._rpc.call(str, "sendrawtransaction", transaction["hex"])


async def test_a_follower_killed_at_any_moment_credits_each_arrival_exactly_once(
    shop: Shop, litecoin: RegtestNode, database: Any, tmp_path: Path
) -> None:
    config = configuration(tmp_path, database.url, shop, litecoin)
    dice = Random(20260101)  # noqa: S311  when to kill, not a secret
    made = [await shop.invoice(price="0.01") for _ in range(INVOICES)]

    sent: list[str] = []

    async def pay() -> None:
        for start in range(0, INVOICES, 3):
            some = made[start : start + 3]
            sent.append(await litecoin.send_many({each.quotes[0].address: CENT for each in some}))
            await litecoin.mine(1)
            if start == INVOICES // 2:
                await litecoin.reorganise(2)
            await asyncio.sleep(0.2)

    async def be_killed() -> None:
        for _ in range(KILLS):
            async with follower(config) as process:
                await asyncio.sleep(0.7 + dice.random())
                process.kill()
                await process.wait()

    await asyncio.gather(pay(), be_killed())
    await send_again(litecoin, sent)
    await litecoin.mine(2)
    async with asyncio.timeout(60), follower(config) as process:
        while await settled(shop) < INVOICES:
            assert process.returncode is None, (tmp_path / "follower.log").read_text()[-2000:]
            await asyncio.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    assert (await shop.balance()).available_units == INVOICES * CENT
    told = await shop.events()
    assert len({deposit.key for deposit in await shop.deposits()}) == INVOICES
    assert told.count("invoice.settled") >= INVOICES
    assert await shop.is_balanced()
