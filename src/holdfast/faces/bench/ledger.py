"""How many durable transfers a second, when every caller waits for each of his, and what the disk would allow."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from random import Random  # noqa: TID251  seeded: the same accounts on every run

from psycopg import AsyncConnection

from holdfast.core.money import AssetId
from holdfast.ledger import Account, AccountKind, Posted, Transfer, Writer, audit
from holdfast.runtime.database import connected, migrate
from holdfast.runtime.embedded_database import embedded

CALLERS = 64
ACCOUNTS = 10_000
HOT_PERCENT = 90
ASSET = AssetId("bench/slip44:1")
RAW_BATCH = 32


async def run(directory: Path, seconds: float) -> dict[str, object]:
    """Figures for 64 callers over 10,000 accounts, without and with one hot account in 90 % of the transfers."""
    figures: dict[str, object] = {"callers": CALLERS, "accounts": ACCOUNTS}
    figures["flushes_per_second_limit"] = await asyncio.to_thread(flush_rate, directory, seconds / 4)
    async with embedded(directory / "ledger") as database:
        await migrate(database.owner_url)
        async with connected(database.owner_url) as connection:
            figures["raw_inserts_per_second_limit"] = await raw_insert_rate(connection, seconds / 4)

        async def connect() -> AsyncConnection:
            return await AsyncConnection.connect(database.url, autocommit=True)

        writer = Writer(connect)
        await load(writer, spread, seconds / 4)  # opens the accounts, fills the caches
        figures["spread"] = await load(writer, spread, seconds)
        figures["hot_account"] = await load(writer, hot, seconds)
        await writer.close()
        async with connected(database.url) as connection:
            checked = await audit(connection)
        figures["transfers_in_ledger"] = checked.transfers
        figures["balanced"] = checked.balanced
    return figures


def merchant(number: int) -> Account:
    """One of the merchants' accounts."""
    return Account(AccountKind.MERCHANT, ASSET, f"mer_{number}")


def vault(number: int) -> Account:
    """One of as many vault accounts."""
    return Account(AccountKind.VAULT, ASSET, f"v{number}")


def spread(key: str, draw: Random) -> Transfer:
    """Any vault account to any merchant."""
    half = ACCOUNTS // 2
    return Transfer(key, vault(draw.randrange(half)), merchant(draw.randrange(half)), 1, "bench", "deposit")


def hot(key: str, draw: Random) -> Transfer:
    """Nine of ten from the same vault account."""
    source = vault(0) if draw.randrange(100) < HOT_PERCENT else vault(draw.randrange(ACCOUNTS // 2))
    return Transfer(key, source, merchant(draw.randrange(ACCOUNTS // 2)), 1, "bench", "deposit")


async def load(writer: Writer, make: Callable[[str, Random], Transfer], seconds: float) -> dict[str, object]:
    """Transfers per second and how long a caller waits, while each caller waits for one transfer at a time."""
    waits: list[float] = []
    started = time.perf_counter()

    async def caller(number: int) -> None:
        draw = Random(number)  # noqa: S311  a load, not a secret
        name = secrets.token_hex(8)
        count = 0
        while (sent := time.perf_counter()) - started < seconds:
            outcome = await writer.submit(make(f"{name}:{count}", draw))
            waits.append(time.perf_counter() - sent)
            count += 1
            if not isinstance(outcome, Posted):
                raise TypeError(outcome)

    await asyncio.gather(*(caller(number) for number in range(CALLERS)))
    elapsed = time.perf_counter() - started
    waits.sort()
    return {
        "transfers_per_second": round(len(waits) / elapsed),
        "p50_ms": round(waits[len(waits) // 2] * 1000, 2),
        "p99_ms": round(waits[len(waits) * 99 // 100] * 1000, 2),
    }


def flush_rate(directory: Path, seconds: float) -> int:
    """How often a second the disk makes 8 KiB durable: the most commits that do not share a flush."""
    directory.mkdir(parents=True, exist_ok=True)
    page = secrets.token_bytes(8192)
    count = 0
    with (directory / "flush").open("wb") as file:
        started = time.perf_counter()
        while time.perf_counter() - started < seconds:
            file.seek(0)
            file.write(page)
            file.flush()
            os.fdatasync(file.fileno())
            count += 1
        elapsed = time.perf_counter() - started
    (directory / "flush").unlink()
    return round(count / elapsed)


async def raw_insert_rate(connection: AsyncConnection, seconds: float) -> int:
    """Rows of a transfer's size a second on one connection, 32 a commit: PostgreSQL without any rule of ours."""
    await connection.execute("CREATE TABLE raw_rows (key text PRIMARY KEY, debit text, credit text, units numeric)")
    name = secrets.token_hex(4)
    count = 0
    started = time.perf_counter()
    while time.perf_counter() - started < seconds:
        keys = [f"{name}{count + place}" for place in range(RAW_BATCH)]
        codes = [spread(key, Random(0)).debit.code for key in keys]  # noqa: S311  a load, not a secret
        await connection.execute(
            "INSERT INTO raw_rows SELECT * FROM unnest(%b::text[], %b::text[], %b::text[], %b::numeric[])",
            [keys, codes, codes, [1] * RAW_BATCH],
            prepare=True,
        )
        count += RAW_BATCH
    return round(count / (time.perf_counter() - started))
