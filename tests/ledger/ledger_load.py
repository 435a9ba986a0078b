"""A process that the crash tests kill: it posts transfers and prints each key once it is told that it is durable."""

import asyncio
import sys

from psycopg import AsyncConnection

from holdfast.core.money import AssetId
from holdfast.ledger import Account, AccountKind, Refused, Transfer, Writer

COIN = AssetId("a/slip44:1")
CALLERS = 32


async def main(url: str, name: str) -> None:
    """Post without end; every third transfer spends."""

    async def connect() -> AsyncConnection:
        return await AsyncConnection.connect(url, autocommit=True)

    writer = Writer(connect)
    vault = Account(AccountKind.VAULT, COIN)

    async def caller(number: int) -> None:
        count = 0
        while True:
            shop = Account(AccountKind.MERCHANT, COIN, f"mer_{(number + count) % 7}")
            debit, credit = (shop, vault) if count % 3 == 2 else (vault, shop)
            key = f"{name}:{number}:{count}"
            outcome = await writer.submit(Transfer(key, debit, credit, 10, "load", "test"))
            if not isinstance(outcome, Refused):
                sys.stdout.write(key + "\n")
                sys.stdout.flush()
            count += 1

    await asyncio.gather(*(caller(number) for number in range(CALLERS)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
