"""Whatever a chain tells and takes back, in whatever order: money is there exactly once, and the books balance."""

import asyncio
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import count
from typing import Any

from hypothesis import HealthCheck, example, given, settings, strategies as st

from fixtures_payments import Pool, Shop, anvil_settings
from holdfast.chains.follower import Cursor
from holdfast.chains.port import Arrival, Block, Header, Unconfirmed
from holdfast.chains.reader import Applied, WalkedBack
from holdfast.payments.arrivals import ArrivalContradicted
from holdfast.payments.positions import CursorMoved
from holdfast.payments.steps import PoolReading, Work, apply_blocks, apply_pool, walk_back

UNITS = (1_000, 2_500, 7, 10_000)
CONFIRMATIONS = 2
TARIFF = 100
chain_ids = count(900_000)

moves = st.one_of(
    st.tuples(st.just("block"), st.sets(st.integers(0, 3))),
    st.tuples(st.just("blocks"), st.sets(st.integers(0, 3))),
    st.tuples(st.just("back"), st.integers(1, 4)),
    st.tuples(st.just("pool"), st.sets(st.integers(0, 3))),
    st.tuples(st.just("spend"), st.sampled_from([30, 100])),
    st.tuples(st.just("stale"), st.just(0)),
)


@dataclass
class History:
    """A chain in memory, and what must be true of the books."""

    shop: Shop
    work: Work
    addresses: list[str]
    chain: list[Block] = field(default_factory=list)
    spent: int = 0
    made: int = 0
    deep: set[str] = field(default_factory=set)
    """Arrivals that have had their confirmations since they last came into the chain."""

    def cursor(self) -> Cursor | None:
        return Cursor(self.chain[-1].header.height, self.chain[-1].header.hash) if self.chain else None

    def arrival(self, number: int) -> Arrival:
        coin = self.work.listed.network.coin.id
        return Arrival(f"tx{number}:native", f"tx{number}", self.addresses[number % 2], coin, UNITS[number])

    def block(self, numbers: set[int], after: list[Block]) -> Block:
        self.made += 1
        height = after[-1].header.height + 1 if after else 100
        parent = after[-1].header.hash if after else ""
        header = Header(
            height, sha256(f"{self.made}".encode()).hexdigest(), parent, int(self.shop.clock.now().timestamp())
        )
        mined = {arrival.key for block in after for arrival in block.arrivals}
        new = [self.arrival(number) for number in sorted(numbers)]
        return Block(header, tuple(arrival for arrival in new if arrival.key not in mined))

    async def apply(self, *groups: set[int]) -> None:
        blocks: list[Block] = []
        for numbers in groups:
            blocks.append(self.block(numbers, [*self.chain, *blocks]))
        async with self.shop.pool.connection() as conn, conn.transaction():
            step = Applied(tuple(blocks), blocks[-1].header)
            await apply_blocks(conn, self.work, self.cursor(), step, self.shop.clock.now())
        self.chain += blocks

    async def back(self, depth: int) -> None:
        if len(self.chain) <= depth:
            return
        kept = self.chain[:-depth]
        to = Cursor(kept[-1].header.height, kept[-1].header.hash)
        async with self.shop.pool.connection() as conn, conn.transaction():
            await walk_back(conn, self.work, self.cursor(), WalkedBack(to, kept[-1].header), self.shop.clock.now())
        self.chain = kept

    async def pool(self, numbers: set[int]) -> None:
        mined = {arrival.key for block in self.chain for arrival in block.arrivals}
        waiting = [arrival for number in sorted(numbers) if (arrival := self.arrival(number)).key not in mined]
        tip = self.chain[-1].header if self.chain else None
        now = self.shop.clock.now()
        async with self.shop.pool.connection() as conn, conn.transaction():
            reading = PoolReading(Unconfirmed(tip, tuple(waiting)), now, None)
            await apply_pool(conn, self.work, self.cursor(), reading, now)

    async def spend(self, percent: int) -> None:
        units = (await self.shop.balance()).available_units * percent // 100
        if units:
            await self.shop.spend(units)
            self.spent += units

    async def stale(self, _: int) -> None:
        """A follower that is behind applies nothing."""
        before = Cursor(99, "nowhere")
        block = self.block(set(), [])
        try:
            async with self.shop.pool.connection() as conn, conn.transaction():
                step = Applied((block,), block.header)
                await apply_blocks(conn, self.work, before, step, self.shop.clock.now())
        except CursorMoved:
            return
        raise AssertionError("a stale follower applied a block")

    def due(self) -> int:
        """What has had its confirmations and is still in the chain, less the tariff."""
        self.deep &= {arrival.key for block in self.chain for arrival in block.arrivals}
        deep = self.chain[: len(self.chain) - CONFIRMATIONS + 1]
        self.deep |= {arrival.key for block in deep for arrival in block.arrivals}
        arrived = [UNITS[number] for number in range(4) if self.arrival(number).key in self.deep]
        return sum(units - units * TARIFF // 10_000 for units in arrived)

    async def check(self) -> None:
        balance = await self.shop.balance()
        assert balance.available_units - balance.owed_units + self.spent == self.due()
        assert balance.available_units >= 0
        assert balance.owed_units >= 0
        assert await self.shop.is_balanced()


async def history(pool: Pool, index_pool: Pool) -> History:
    chain_id = next(chain_ids)
    network = anvil_settings(
        "http://127.0.0.1:1/", name=f"chain{chain_id}", chain_id=chain_id, symbol="COIN", test=True
    )
    shop = await Shop(pool, index_pool, [network]).open(tariff_basis_points=TARIFF)
    coin = network.network.coin.id
    invoices = [await shop.invoice(price="0.000000000000012", currency=coin) for _ in range(2)]
    listed = shop.catalogue.networks[network.network.id]
    async with pool.connection() as conn:
        await conn.execute("INSERT INTO payments.cursors (network) VALUES (%s)", (listed.id,))
    return History(shop, Work(listed), [created.quotes[0].address for created in invoices])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(story=st.lists(moves, min_size=1, max_size=14))
@example(story=[("block", {0}), ("blocks", set()), ("back", 3), ("blocks", {0}), ("back", 2), ("blocks", {0})])
@example(story=[("block", set()), ("blocks", {0, 3}), ("spend", 60), ("back", 3), ("blocks", {3}), ("blocks", {0})])
@example(story=[("pool", {1}), ("block", set()), ("pool", {1}), ("blocks", {1}), ("back", 3), ("pool", set())])
async def test_money_is_there_exactly_once_whatever_the_chain_does(
    pool: Pool, index_pool: Pool, story: list[tuple[str, Any]]
) -> None:
    told = await history(pool, index_pool)
    for move, what in story:
        match move:
            case "block":
                await told.apply(what)
            case "blocks":
                await told.apply(what, set(), set())
            case _:
                await getattr(told, move)(what)
        await told.check()


async def test_the_same_arrival_in_two_blocks_of_one_chain_is_not_believed(pool: Pool, index_pool: Pool) -> None:
    told = await history(pool, index_pool)
    await told.apply({0}, set())
    lying = told.block(set(), told.chain)
    twice = Block(lying.header, (told.arrival(0),))
    try:
        async with pool.connection() as conn, conn.transaction():
            step = Applied((twice,), twice.header)
            await apply_blocks(conn, told.work, told.cursor(), step, told.shop.clock.now())
    except ArrivalContradicted:
        await told.check()
        return
    raise AssertionError("believed")


async def test_two_followers_at_the_same_step_apply_it_once(pool: Pool, index_pool: Pool) -> None:
    told = await history(pool, index_pool)
    await told.apply(set())
    block = told.block({0, 1, 2, 3}, told.chain)

    async def one() -> bool:
        try:
            async with pool.connection() as conn, conn.transaction():
                step = Applied((block,), block.header)
                await apply_blocks(conn, told.work, told.cursor(), step, told.shop.clock.now())
        except CursorMoved:
            return False
        return True

    assert sorted(await asyncio.gather(*(one() for _ in range(4)))) == [False, False, False, True]
    assert len(await told.shop.deposits()) == 4
