"""The writer: what callers are told when the database breaks, refuses or goes, and that nothing is left open."""

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest
from psycopg import AsyncConnection

from conftest import FreshDatabase
from holdfast.core.money import AssetId
from holdfast.ledger import Account, AccountKind, LedgerUnreachable, Posted, Refused, Replayed, Rule, Transfer, Writer
from holdfast.runtime.database import PLATFORM, connected
from holdfast.runtime.embedded_database import SUPERUSER

COIN = AssetId("a/slip44:1")
VAULT, SHOP = Account(AccountKind.VAULT, COIN), Account(AccountKind.MERCHANT, COIN, "mer_1")
CONNECTIONS = b"SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND usename = 'holdfast_platform'"


def deposit(number: int) -> Transfer:
    return Transfer(f"deposit:{number}", VAULT, SHOP, 10, "dep", "deposit")


@pytest.fixture
async def writer(database: FreshDatabase) -> AsyncIterator[Writer]:
    async def connect() -> AsyncConnection:
        return await AsyncConnection.connect(database.url, autocommit=True)

    opened = Writer(connect)
    yield opened
    await opened.close()


async def open_connections(database: FreshDatabase) -> set[int]:
    async with connected(database.owner_url) as owner:
        return {pid for (pid,) in await (await owner.execute(CONNECTIONS)).fetchall()}


async def test_each_caller_is_told_what_became_of_his_own_transfer(writer: Writer) -> None:
    crossed = Transfer("crossed", VAULT, Account(AccountKind.MERCHANT, AssetId("b"), "mer_1"), 1, "x", "deposit")
    told = await asyncio.gather(writer.submit(deposit(1)), writer.submit(crossed), writer.submit(deposit(2)))
    assert [type(outcome) for outcome in told] == [Posted, Refused, Posted]
    assert told[1] == Refused(Rule.ASSETS_DIFFER)
    assert isinstance(await writer.submit(deposit(1)), Replayed)


async def test_connections_that_break_are_replaced_and_no_caller_notices(
    writer: Writer, database: FreshDatabase
) -> None:
    await asyncio.gather(*(writer.submit(deposit(number)) for number in range(20)))
    before = await open_connections(database)
    async with connected(database.url.replace(PLATFORM, SUPERUSER)) as superuser:
        await superuser.execute(CONNECTIONS.replace(b"SELECT pid", b"SELECT pg_terminate_backend(pid)"))
    told = await asyncio.gather(*(writer.submit(deposit(number)) for number in range(40)))
    assert [type(outcome) for outcome in told] == [Replayed] * 20 + [Posted] * 20
    assert not before & await open_connections(database)


async def test_what_the_database_refuses_reaches_the_callers_and_leaves_no_connection_open(
    writer: Writer, database: FreshDatabase
) -> None:
    async with connected(database.owner_url) as owner:
        await owner.execute("REVOKE EXECUTE ON FUNCTION ledger.post FROM holdfast_platform")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await writer.submit(deposit(1))
        assert await open_connections(database) == set()
        await owner.execute("GRANT EXECUTE ON FUNCTION ledger.post TO holdfast_platform")
    assert isinstance(await writer.submit(deposit(1)), Posted)


async def test_a_database_that_is_gone_is_named_to_the_caller() -> None:
    async def connect() -> AsyncConnection:
        return await AsyncConnection.connect("postgresql://nobody@/none?host=/nonexistent", autocommit=True)

    writer = Writer(connect, backoff_ms=0)
    with pytest.raises(LedgerUnreachable, match="nonexistent"):
        await writer.submit(deposit(1))
    await writer.close()
