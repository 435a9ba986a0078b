"""kill -9 at any moment: whatever was acknowledged is there, once, and the books balance."""

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

from psycopg import AsyncConnection

from holdfast.ledger import audit
from holdfast.runtime.database import migrate
from holdfast.runtime.embedded_database import EmbeddedDatabase

LOAD = Path(__file__).parent / "ledger_load.py"
# How many transfers are acknowledged before each kill: it comes at another place in a batch every time.
ACKNOWLEDGED = (213, 777, 402, 591)


async def loaded(url: str, name: str) -> Process:
    return await asyncio.create_subprocess_exec(sys.executable, str(LOAD), url, name, stdout=PIPE)


async def acknowledged(process: Process, count: int) -> set[str]:
    """The next keys that the process was told are durable."""
    assert process.stdout is not None
    return {(await process.stdout.readline()).decode().strip() for _ in range(count)}


async def rest(process: Process) -> set[str]:
    """The keys that it still managed to say, whole lines only, before it was killed."""
    assert process.stdout is not None
    return {line.decode() for line in (await process.stdout.read()).split(b"\n")[:-1]}


async def missing(url: str, keys: set[str]) -> set[str]:
    async with await AsyncConnection.connect(url) as connection:
        cursor = await connection.execute("SELECT key FROM ledger.transfers WHERE key = ANY (%s)", [list(keys)])
        return keys - {key for (key,) in await cursor.fetchall()}


async def test_killing_the_writer_loses_nothing_that_it_was_told_is_durable(tmp_path: Path) -> None:
    server = EmbeddedDatabase(tmp_path)
    await server.start()
    await migrate(server.owner_url)
    said: set[str] = set()
    for kill, count in enumerate(ACKNOWLEDGED):
        process = await loaded(server.url, f"w{kill}")
        said |= await acknowledged(process, count)
        process.kill()
        said |= await rest(process)
        await process.wait()
    assert await missing(server.url, said) == set()
    async with await AsyncConnection.connect(server.url) as connection:
        assert (await audit(connection)).faults == ()
    await server.stop()


async def test_killing_postgresql_under_load_loses_nothing_and_the_writer_goes_on(tmp_path: Path) -> None:
    server = EmbeddedDatabase(tmp_path)
    await server.start()
    await migrate(server.owner_url)
    said: set[str] = set()
    process = await loaded(server.url, "p")
    for count in ACKNOWLEDGED:
        said |= await acknowledged(process, count)
        assert server.process is not None
        server.process.send_signal(signal.SIGKILL)
        await server.process.wait()
        server = EmbeddedDatabase(tmp_path)
        await server.start()
        said |= await acknowledged(process, 64)
    process.kill()
    said |= await rest(process)
    await process.wait()
    assert len(said) > sum(ACKNOWLEDGED)
    assert await missing(server.url, said) == set()
    async with await AsyncConnection.connect(server.url) as connection:
        checked = await audit(connection)
        assert checked.faults == ()
        assert checked.transfers >= len(said)
    await server.stop()
