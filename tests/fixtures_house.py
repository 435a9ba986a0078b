"""A platform whose float and vault lie on a real litecoind: deposits, payouts and settlements made by hand."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from secrets import token_bytes
from typing import Any

from fixtures_journal import WrittenJournal
from fixtures_outflow import Float
from fixtures_payments import Pool, Shop, bitcoin_settings, catch_up
from fixtures_vault import check_of
from holdfast.chains.local_process import LocalRpc
from holdfast.chains.localnet import RegtestNode
from holdfast.chains.rpc import Credentials
from holdfast.core import canonical, journal as j
from holdfast.core.bitcoin import Output, Signed
from holdfast.core.descriptors import Branch, Place, VaultDescriptor
from holdfast.core.money import AssetId, format_units
from holdfast.core.orders import FloatKey, Genesis, SignedOrder
from holdfast.core.quorum import Officer, Quorum
from holdfast.payments import attention, mirror, paying, reconciling, transactions
from holdfast.payments.broadcaster import NetworkTasks
from holdfast.payments.follow import Follower
from holdfast.payments.nodes import open_node, open_outflow, open_vault_node
from holdfast.payments.reconciling import Reconciliation
from holdfast.payments.transactions import Outgoing
from holdfast.runtime.settings import ConfirmationRule, FloatSettings, NodeSettings
from holdfast.vault.officers import OfficerSecret, descriptor_of, public_part
from holdfast.vault.psbt import combine, draft_of, finalise, sign
from holdfast.vault.spends import VaultInput, VaultOutput, VaultSpend

from holdfast import ledger  # isort: skip

COIN = 100_000_000
CENT = 1_000_000
FEE = 20_000
CONFIRMATIONS = 2


@dataclass
class House:
    """The platform, its officers, and whoever has the float's key."""

    chain: RegtestNode
    pool: Pool
    index_pool: Pool
    levels: dict[str, Any] = field(default_factory=dict)
    """`cap` and `low` of the float."""
    journal: WrittenJournal = field(default_factory=WrittenJournal)
    secrets: list[OfficerSecret] = field(
        default_factory=lambda: [OfficerSecret(token_bytes(32), token_bytes(32)) for _ in range(3)]
    )

    async def open(self) -> "House":
        network = self.chain.network
        people = [public_part(f"officer {number}", secret) for number, secret in enumerate(self.secrets)]
        self.descriptor = descriptor_of(network, people, 2)
        self.vault = VaultDescriptor.parse(self.descriptor)
        self.float = Float(self.chain, open_outflow(self._settings("", "")))  # type: ignore[arg-type]  # the port, whatever stands behind it
        self.vault_address = self.vault.address(2**30, network)
        settings = self._settings(self.float.address, self.vault_address)
        self.shop = await Shop(self.pool, self.index_pool, [settings]).open(tariff_basis_points=5_000)
        self.listed = self.shop.catalogue.networks[network.id]
        self.follower: Follower = self.shop.follower(open_node(settings))
        self.tasks = NetworkTasks(
            self.pool, self.listed, open_outflow(settings), open_vault_node(settings), self.shop.clock
        )
        self.rpc = LocalRpc(self.chain.rpc_url, "litecoin", Credentials(cookie_file=self.chain.cookie_file))
        await self.catch_up()
        self.journal.write(j.Ordered(self.genesis(), 1))
        await self.hand_over()
        return self

    def genesis(self) -> SignedOrder:
        """The order with which a journal begins."""
        key = "ab" * 32
        quorum = Quorum((Officer("ada", key),), 1).document().decode()
        public = self.float.key.public_key.format().hex()
        floats = (FloatKey(self.listed.id, public, self.float.address, self.vault_address),)
        return SignedOrder(canonical.write(Genesis(quorum, key, key, floats, 1)).decode(), ())

    async def close(self) -> None:
        await self.tasks.close()
        await self.float.node.close()
        await self.shop.close()

    @property
    def asset(self) -> str:
        return str(self.chain.network.coin.id)

    async def catch_up(self) -> Reconciliation:
        """Both followers to the tip, and the comparison there."""
        await catch_up(self.follower)
        while not await self.tasks.turn() or self.tasks._pauses:
            pass
        assert self.tasks._trouble is None, self.tasks._trouble
        return await self.newest()

    async def newest(self) -> Reconciliation:
        """The newest comparison."""
        async with self.pool.connection() as conn:
            return (await reconciling.newest(conn))[0]

    async def compare_again(self) -> Reconciliation:
        """The comparison with the same block, once it is due again."""
        self.shop.clock.pass_minutes(1)
        return await self.catch_up()

    async def mine(self, blocks: int = CONFIRMATIONS) -> Reconciliation:
        await self.chain.mine(blocks)
        return await self.catch_up()

    # --- money in, money out

    async def deposit(self, units: int = COIN) -> str:
        """A payment to the merchant, confirmed: its outpoint."""
        created = await self.shop.invoice(price=format_units(units, 8))
        await self.chain.send(created.quotes[0].address, units)
        await self.mine(3)
        return (await self.shop.deposits(created))[0].key

    async def fund(self, units: int = COIN, *, is_journaled: bool = True) -> str:
        """The company fills the float, and the signer finds it: the coin's outpoint."""
        outpoint = await self.float.fund(units)
        height = await self.chain.height()
        await self.mine(CONFIRMATIONS)
        if is_journaled:
            facts = (self.listed.id, outpoint, self.float.address, self.asset, units, height)
            self.journal.write(j.Funding(*facts, await self.chain.block_hash(height)))
            await self.hand_over()
        return outpoint

    async def pay(self, coin: str, units: int, paid: int, *, fee: int = FEE, replaces: int | None = None) -> Signed:
        """A signer's payment of a coin to somebody, journaled and handed over: the rest comes back."""
        somebody = b"\x00\x14" + token_bytes(20)  # an address that no wallet here knows
        made = self.float.sign([coin], [units], [Output(somebody, paid), Output(self.float.script, units - paid - fee)])
        [entry] = self.journal.write(self.reserved(coin, (units, paid, fee), replaces))
        self.journal.write(j.Signed(entry.seq, made.txid, made.raw.hex()))
        await self.hand_over()
        return made

    def reserved(self, coin: str, sums: tuple[int, int, int], replaces: int | None = None) -> j.Reserved:
        units, paid, fee = sums
        return j.Reserved(
            network=self.listed.id, asset=self.asset, purpose="consolidation", account=self.float.address, payouts=(),
            transaction="00", inputs=(coin,), nonce=None, out_units=paid, change_index=1,
            change_units=units - paid - fee,
            fee_units=fee, extra_fee_units=fee, replaces=replaces, refill_seconds=0,
        )  # fmt: skip

    async def hand_over(self) -> None:
        async with self.pool.connection() as conn:
            head = await mirror.head(conn)
        await mirror.mirror(self.pool, self.journal.post(head.seq), self.shop.clock.now())

    async def send(self) -> None:
        """What the broadcaster does when it is woken."""
        from holdfast.payments import sending

        await sending.send_due(self.pool, self.tasks.node, self.listed.id, self.shop.clock.now())

    async def outgoing(self) -> list[Outgoing]:
        """Oldest first."""
        async with self.pool.connection() as conn:
            return list(reversed(await transactions.page(conn)))

    # --- the officers

    async def spend_vault(self, outpoint: str, units: int, outputs: Sequence[tuple[str, int]], change: int = 0) -> str:
        """Two officers pay these from a deposit, and change to the vault: the transaction's id."""
        network = self.chain.network
        txid, _, number = outpoint.partition(":")
        wanted = [VaultOutput(address, paid) for address, paid in outputs]
        if change:
            back = self.vault.address(0, network, Branch.CHANGE)
            wanted.append(VaultOutput(back, change, Place(Branch.CHANGE, 0)))
        place = Place(Branch.DEPOSIT, await self.index_of(outpoint))
        spend = VaultSpend(network, self.descriptor, (VaultInput(txid, int(number), place, units),), tuple(wanted))
        draft = draft_of(spend)
        check = check_of(network.id, draft.digest)
        final = finalise(combine([sign(draft, secret, check) for secret in self.secrets[:2]]))
        return await self.rpc.call(str, "sendrawtransaction", final.raw.hex())

    async def index_of(self, outpoint: str) -> int:
        async with self.pool.connection() as conn:
            cursor = await conn.execute(
                "SELECT index FROM payments.addresses JOIN payments.deposits USING (network, address) WHERE key = %s",
                (outpoint,),
            )
            [(index,)] = await cursor.fetchall()
        return int(index)

    # --- what is known

    async def books(self) -> dict[str, int]:
        """Posted balances by kind; what lies somewhere is positive too."""
        kinds = {
            "vault": paying.vault, "claim": paying.claim, "float": paying.float_, "company": paying.company,
            "deficit": paying.deficit,
        }  # fmt: skip
        async with self.pool.connection() as conn:
            found = {name: (await ledger.balance(conn, account(self.asset))).posted for name, account in kinds.items()}
        return {name: -units if name in ("vault", "float", "deficit") else units for name, units in found.items()}

    async def asked(self) -> list[str]:
        async with self.pool.connection() as conn:
            return sorted(item.reason.value for item in await attention.page(conn, None))

    async def take_tariffs(self, units: int) -> None:
        """What the company earned is its claim on the vault."""
        income = ledger.Account(ledger.AccountKind.INCOME, AssetId(self.asset))
        await self.post(income, paying.claim(self.asset), units)

    async def post(self, debit: ledger.Account, credit: ledger.Account, units: int) -> None:
        """Somebody with the database in his hands writes into the ledger."""
        transfer = ledger.Transfer(f"forged:{token_bytes(4).hex()}", debit, credit, units, "dep_nothing", "deposit")
        async with self.pool.connection() as conn, conn.transaction():
            [outcome] = await ledger.post(conn, [transfer])
        assert isinstance(outcome, ledger.Posted)

    def _settings(self, float_address: str, vault_address: str) -> Any:
        return bitcoin_settings(
            self.chain.network.name,
            nodes=[NodeSettings(url=self.chain.rpc_url, cookie_file=self.chain.cookie_file)],
            descriptor=self.descriptor,
            confirmations=[ConfirmationRule(count=CONFIRMATIONS)],
            float=FloatSettings(address=float_address, vault_address=vault_address, **self.levels)
            if float_address
            else None,
        )
