"""A merchant with certified ranges on real local networks, and followers that a test steps by hand."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from secrets import token_bytes
from typing import Any

from embit import bip32
from psycopg import AsyncConnection
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool

from holdfast import ledger
from holdfast.chains.evm_contracts import plan_vault
from holdfast.chains.port import Node
from holdfast.core.ids import new_id
from holdfast.core.networks import NetworkId
from holdfast.payments import attention, deposits, events, housekeeping, invoices, invoicing, merchants
from holdfast.payments.accounts import AssetBalance, balances
from holdfast.payments.catalogue import Catalogue, catalogue_of
from holdfast.payments.follow import Follower
from holdfast.payments.indexes import Indexes, vault_to_json
from holdfast.payments.invoicing import Created, Desk, NewInvoice
from holdfast.payments.merchants import Merchant
from holdfast.payments.paying import merchant as purse
from holdfast.payments.rates import SCALE, FixedRates
from holdfast.payments.standing import Terms
from holdfast.payments.steps import Work
from holdfast.runtime.settings import ConfirmationRule, NetworkSettings, NodeSettings, TokenSettings

Pool = AsyncConnectionPool[AsyncConnection[Any]]
RANGE = 2**20
PLAIN_TERMS = Terms()
OWNERS = ("0x" + "a1" * 20, "0x" + "b2" * 20, "0x" + "c3" * 20)


class TestClock:
    """The machine's time, moved on by hand."""

    __test__ = False

    def __init__(self) -> None:
        self.offset = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.offset

    def monotonic(self) -> float:
        return self.now().timestamp()

    def pass_minutes(self, minutes: float) -> None:
        self.offset += timedelta(minutes=minutes)


def descriptor() -> str:
    """A fresh 2-of-3 vault's descriptor."""
    keys = []
    for _ in range(3):
        root = bip32.HDKey.from_seed(token_bytes(32))
        public = root.derive("m/48h/1h/0h/2h").to_public().to_base58()
        keys.append(f"[{root.my_fingerprint.hex()}/48h/1h/0h/2h]{public}/0/*")
    return f"wsh(sortedmulti(2,{','.join(keys)}))"


def bitcoin_settings(name: str, url: str = "http://127.0.0.1:1/", **changes: Any) -> NetworkSettings:
    """A network of the Bitcoin family with a vault of its own; three confirmations from a tenth of a coin on."""
    plain = {
        "name": name,
        "nodes": [NodeSettings(url=url)],
        "finality_depth": 20,
        "confirmations": [ConfirmationRule(count=1, below="0.1"), ConfirmationRule(count=3)],
        "descriptor": descriptor(),
        "poll_milliseconds": 50,
    }
    return NetworkSettings(**{**plain, **changes})


def anvil_settings(url: str, tokens: Sequence[TokenSettings] = (), **changes: Any) -> NetworkSettings:
    """Anvil, with a vault whose addresses are known whether or not it is deployed."""
    plan = plan_vault(OWNERS, 2)
    plain = {
        "name": "anvil",
        "nodes": [NodeSettings(url=url)],
        "finality_depth": 20,
        "confirmations": [ConfirmationRule(count=2)],
        "factory": plan.factory,
        "implementation": plan.implementation,
        "vault": plan.vault,
        "tokens": list(tokens),
        "poll_milliseconds": 50,
    }
    return NetworkSettings(**{**plain, **changes})


@dataclass
class Shop:
    """A certified merchant, what it takes to make invoices for it, and what a test asks about it."""

    pool: Pool
    index_pool: Pool
    networks: list[NetworkSettings]
    clock: TestClock = field(default_factory=TestClock)
    nodes: list[Node] = field(default_factory=list)

    async def close(self) -> None:
        for node in self.nodes:
            await node.close()

    async def open(self, terms: Terms = PLAIN_TERMS, tariff_basis_points: int = 0) -> "Shop":
        self.catalogue: Catalogue = catalogue_of(self.networks)
        fixed = {
            (asset.symbol, "EUR"): 80 * SCALE
            for one in self.catalogue.networks.values()
            for asset in one.assets.values()
        }
        self.desk = Desk(self.catalogue, FixedRates(fixed, self.clock), Indexes(self.index_pool))
        self.merchant = await self.enrol(terms, tariff_basis_points)
        return self

    async def enrol(self, terms: Terms = PLAIN_TERMS, tariff_basis_points: int = 0) -> Merchant:
        now = self.clock.now()
        merchant_id = new_id("mer", int(now.timestamp() * 1000), token_bytes(10))
        async with self.pool.connection() as conn:
            await conn.execute(
                """
                INSERT INTO payments.merchants (id, name, public_key, recovery_key, state, tariff_basis_points,
                    certificate_version, certified_until, request)
                VALUES (%s, 'Shop', %s, %s, 'active', %s, 1, %s, '')
                """,
                (merchant_id, token_bytes(32), token_bytes(32), tariff_basis_points, now + timedelta(days=300)),
            )
            for listed in self.catalogue.networks.values():
                cursor = await conn.execute(
                    """
                    INSERT INTO payments.index_spaces AS space VALUES (%(network)s, %(size)s)
                    ON CONFLICT (network) DO UPDATE SET index_next = space.index_next + %(size)s RETURNING index_next
                    """,
                    {"network": listed.id, "size": RANGE},
                )
                (end,) = await cursor.fetchone() or (0,)
                assert listed.vault is not None
                await conn.execute(
                    "INSERT INTO payments.address_ranges VALUES (%s, %s, %s, %s, %s, %s, true)",
                    (merchant_id, listed.id, end - RANGE, end, end - RANGE, Jsonb(vault_to_json(listed.vault))),
                )
            return await merchants.set_terms(conn, merchant_id, terms)

    async def set_terms(self, terms: Terms) -> None:
        async with self.pool.connection() as conn:
            self.merchant = await merchants.set_terms(conn, self.merchant.id, terms)

    async def invoice(self, **order: Any) -> Created:
        """An invoice in the first network's coin unless told otherwise."""
        coin = self.networks[0].network.coin
        plain = {"price": "1", "currency": coin.id, "pay_with": coin.id}
        now = self.clock.now()
        draft = await invoicing.prepare(self.desk, self.merchant, NewInvoice(**{**plain, **order}), now)
        async with self.pool.connection() as conn, conn.transaction():
            (created,) = await invoicing.create(conn, [draft], now)
        assert isinstance(created, Created)
        return created

    async def quote(self, created: Created, asset: str) -> invoices.Quote:
        return await invoicing.quote(self.pool, self.desk, created.invoice.id, asset, self.clock.now())

    def follower(self, node: Node, number: int = 0) -> Follower:
        listed = self.catalogue.networks[self.networks[number].network.id]
        self.nodes.append(node)
        return Follower(self.pool, Work(listed), node, self.clock)

    async def stands(self, created: Created) -> tuple[str, str | None]:
        async with self.pool.connection() as conn:
            invoice = await invoices.get(conn, created.invoice.id)
        return invoice.state.value, invoice.reason.value if invoice.reason else None

    async def deposits(self, created: Created | None = None) -> list[deposits.Deposit]:
        """Oldest first."""
        async with self.pool.connection() as conn:
            wanted = deposits.DepositFilter(
                self.merchant.id, invoice_id=created.invoice.id if created else None, limit=1000
            )
            return list(reversed(await deposits.page(conn, wanted)))

    async def balance(self, asset: str | None = None) -> AssetBalance:
        wanted = asset or self.networks[0].network.coin.id
        async with self.pool.connection() as conn:
            found = [each for each in await balances(conn, self.merchant.id) if each.asset == wanted]
        return found[0] if found else AssetBalance(wanted, 0, 0, 0)

    async def spend(self, units: int) -> None:
        """The merchant's money leaves, as by a payout."""
        asset = self.networks[0].network.coin.id
        gone = ledger.Account(ledger.AccountKind.INCOME, asset, "payouts")
        transfer = ledger.Transfer(
            f"spend:{token_bytes(4).hex()}", purse(asset, self.merchant.id), gone, units, "x", "x"
        )
        async with self.pool.connection() as conn, conn.transaction():
            (outcome,) = await ledger.post(conn, [transfer])
        assert isinstance(outcome, ledger.Posted)

    async def events(self) -> list[str]:
        async with self.pool.connection() as conn:
            return [event.type.value for event in await events.page(conn, self.merchant.id, limit=1000)]

    async def asked(self) -> list[str]:
        async with self.pool.connection() as conn:
            return sorted(item.reason.value for item in await attention.page(conn, self.merchant.id, limit=1000))

    async def expire(self) -> int:
        return await housekeeping.expire_all(self.pool, self.clock.now())

    async def is_balanced(self) -> bool:
        async with self.pool.connection() as conn:
            return (await ledger.audit(conn)).balanced

    async def trouble(self, network: NetworkId) -> str | None:
        async with self.pool.connection() as conn:
            cursor = await conn.execute("SELECT trouble FROM payments.cursors WHERE network = %s", (network,))
            row = await cursor.fetchone()
        return None if row is None else row[0]


async def catch_up(follower: Follower) -> None:
    """Step until there is nothing more to do; trouble fails the test."""
    while not await follower.turn() or (follower._pauses and not follower._trouble):
        pass
    assert follower._trouble is None, follower._trouble  # the test reads what an operator sees in the metrics
