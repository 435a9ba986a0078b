"""A platform whose float and vault lie on a real anvil: a Float contract, a Safe, forwarders, and a token."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from secrets import token_bytes
from typing import Any

from coincurve import PrivateKey

from fixtures_journal import WrittenJournal
from fixtures_payments import Pool, Shop, anvil_settings, catch_up
from fixtures_vault import check_of
from holdfast.chains.evm_contracts import COIN, float_of, plan_vault, selector, word
from holdfast.chains.evm_deploy import deploy, deploy_float, deploy_local_contract, token_arguments
from holdfast.chains.evm_house import GasAccount, flush
from holdfast.chains.evm_transactions import address_of_key, sign
from holdfast.chains.localnet import AnvilNode
from holdfast.chains.rpc import RpcClient
from holdfast.core import canonical, journal as j
from holdfast.core.evm import address_bytes, checksum
from holdfast.core.evm_float import pay_call, to_vault_call
from holdfast.core.evm_transactions import Fees, Signed, Transaction
from holdfast.core.orders import FloatKey, Genesis, SignedOrder
from holdfast.core.quorum import Officer, Quorum
from holdfast.payments import attention, mirror, paying, reconciling, sending, signer_work, transactions
from holdfast.payments.broadcaster import NetworkTasks
from holdfast.payments.follow import Follower
from holdfast.payments.nodes import open_node, open_outflow, open_vault_node
from holdfast.payments.reconciling import Reconciliation
from holdfast.payments.signer_messages import WorkAnswer
from holdfast.payments.transactions import Outgoing
from holdfast.runtime.settings import FloatSettings, TokenSettings
from holdfast.vault import safe
from holdfast.vault.officers import OfficerSecret, public_part

from holdfast import ledger  # isort: skip

ETHER = 10**18
GAS_KEY = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")  # anvil's first, public
FEES = Fees(20 * 10**9, 10**9)
GAS_LIMIT = 500_000
CONFIRMATIONS = 2


@dataclass
class EvmHouse:
    """The platform, its officers, and whoever has the float's key."""

    chain: AnvilNode
    pool: Pool
    index_pool: Pool
    journal: WrittenJournal = field(default_factory=WrittenJournal)
    key: bytes = field(default_factory=lambda: token_bytes(32))
    secrets: list[OfficerSecret] = field(
        default_factory=lambda: [OfficerSecret(token_bytes(32), token_bytes(32)) for _ in range(3)]
    )
    nonce: int = 0

    async def open(self) -> "EvmHouse":
        people = [public_part(f"officer {number}", secret) for number, secret in enumerate(self.secrets)]
        self.plan = plan_vault([one.evm_address for one in people], 2)
        self.safe = safe.vault_of(self.chain.network.chain_id, self.plan)
        self.owner = address_of_key(self.key)
        self.float = float_of(self.owner, self.plan.vault)
        await deploy(self.chain.rpc_url, self.plan, GAS_KEY)
        await deploy_float(self.chain.rpc_url, self.owner, self.plan.vault, GAS_KEY)
        self.token = await deploy_local_contract(self.chain.rpc_url, "PlainToken", token_arguments("USDT", 6), GAS_KEY)
        settings = anvil_settings(
            self.chain.rpc_url,
            [TokenSettings(contract=self.token, symbol="USDT", decimals=6)],
            factory=self.plan.factory,
            implementation=self.plan.implementation,
            vault=self.plan.vault,
            float=FloatSettings(address=self.float, owner=self.owner),
        )
        self.shop = await Shop(self.pool, self.index_pool, [settings]).open(tariff_basis_points=5_000)
        self.listed = self.shop.catalogue.networks[self.chain.network.id]
        self.follower: Follower = self.shop.follower(open_node(settings))
        self.tasks = NetworkTasks(
            self.pool, self.listed, open_outflow(settings), open_vault_node(settings), self.shop.clock
        )
        await self.chain.mine(CONFIRMATIONS)
        await self.catch_up()
        self.journal.write(j.Ordered(self.genesis(), 1))
        await self.hand_over()
        return self

    async def close(self) -> None:
        await self.tasks.close()
        await self.shop.close()

    @property
    def coin(self) -> str:
        return str(self.chain.network.coin.id)

    @property
    def usdt(self) -> str:
        return f"{self.listed.id}/erc20:{self.token.lower()}"

    def genesis(self) -> SignedOrder:
        """The order with which a journal begins."""
        key = "ab" * 32
        quorum = Quorum((Officer("ada", key),), 1).document().decode()
        public = PrivateKey(self.key).public_key.format().hex()
        floats = (FloatKey(self.listed.id, public, self.float, self.plan.vault),)
        return SignedOrder(canonical.write(Genesis(quorum, key, key, floats, 1)).decode(), ())

    async def catch_up(self) -> dict[str, Reconciliation]:
        """Both followers to the tip, and the comparisons there, by asset."""
        await catch_up(self.follower)
        while not await self.tasks.turn() or self.tasks._pauses:
            pass
        assert self.tasks._trouble is None, self.tasks._trouble
        async with self.pool.connection() as conn:
            return {one.asset: one for one in await reconciling.newest(conn)}

    async def mine(self, blocks: int = CONFIRMATIONS) -> dict[str, Reconciliation]:
        await self.chain.mine(blocks)
        return await self.catch_up()

    # --- money in

    async def mint(self, address: str, units: int) -> None:
        data = selector("mint(address,uint256)") + address_bytes(address).rjust(32, b"\0") + word(units)
        sender = (await self.chain.accounts())[1]
        await self.chain.transact({"from": sender, "to": self.token, "data": "0x" + data.hex()})

    async def deposit(self, *, ether: int = 0, usdt: int = 0) -> int:
        """Payments to one address of the merchant's, confirmed: its index."""
        created = await self.shop.invoice(price="1", currency="EUR", pay_with=self.coin)
        address = created.quotes[0].address
        if ether:
            await self.chain.send(address, ether)
        if usdt:
            await self.mint(address, usdt)
        await self.mine()
        return created.quotes[0].index

    async def fund(self, *, gas: int = 0, ether: int = 0, usdt: int = 0) -> dict[str, Reconciliation]:
        """The company fills the float and its key's account."""
        if gas:
            await self.chain.send(self.owner, gas)
        if ether:
            await self.chain.send(self.float, ether)
        if usdt:
            await self.mint(self.float, usdt)
        return await self.mine()

    async def flush(self, index: int, *tokens: str) -> None:
        await flush(self.chain.rpc_url, self.plan.factory, [index], tokens, GAS_KEY)

    # --- money out

    def signed(self, data: bytes, nonce: int | None = None) -> Signed:
        """A call of the float by whoever has its key."""
        used = self.nonce if nonce is None else nonce
        call = Transaction(self.chain.network.chain_id, used, FEES, GAS_LIMIT, self.float, 0, data)
        self.nonce = max(self.nonce, used + 1)
        return sign(call, self.key)

    async def pay(self, asset: str, lines: Sequence[tuple[str, int]]) -> Signed:
        """A signer's payment of the float's, journaled and handed over."""
        token = COIN if asset == self.coin else self.token
        return await self._journaled("payout", asset, sum(units for _, units in lines), pay_call(token, lines))

    async def give_back(self, asset: str, units: int) -> Signed:
        """The signer's cap sweep."""
        token = COIN if asset == self.coin else self.token
        return await self._journaled("cap-sweep", asset, units, to_vault_call(token, units))

    async def _journaled(self, purpose: str, asset: str, units: int, data: bytes) -> Signed:
        nonce = self.nonce
        made = self.signed(data)
        body = j.Reserved(
            network=self.listed.id, asset=asset, purpose=purpose, account=self.float, payouts=(), transaction="00",
            inputs=(), nonce=nonce, out_units=units, change_index=None, change_units=0,
            fee_units=FEES.max_fee_wei * GAS_LIMIT, extra_fee_units=0, replaces=None, refill_seconds=0,
        )  # fmt: skip
        [entry] = self.journal.write(body)
        self.journal.write(j.Signed(entry.seq, made.hash, made.raw.hex()))
        await self.hand_over()
        return made

    async def send(self) -> None:
        await sending.send_due(self.pool, self.tasks.node, self.listed.id, self.shop.clock.now())

    async def end(self, made: Signed) -> None:
        """The signer's journal calls it final."""
        (one,) = [each for each in await self.outgoing() if each.transaction == made.hash]
        assert one.height is not None
        assert one.paid_fee_units is not None
        facts = (one.reservation, made.hash, one.height, one.hash or "", bool(one.is_reverted), one.paid_fee_units, ())
        self.journal.write(j.Mined(*facts))
        await self.hand_over()

    async def settle(self, asset: str, units: int, to: str | None = None) -> None:
        """Two officers pay the float out of the Safe."""
        rpc = RpcClient(self.chain.rpc_url)
        data = "0x" + selector("nonce()").hex()
        nonce = int(await self.chain.call("eth_call", {"to": self.safe.address, "data": data}, "latest"), 16)
        token = COIN if asset == self.coin else self.token
        draft = safe.draft_of(self.safe, safe.SafePayment(token, to or self.float, units), nonce)
        check = check_of(draft.network, draft.digest)
        final = safe.finalise(safe.combine([safe.sign(draft, secret, check) for secret in self.secrets[:2]]))
        try:
            await GasAccount(rpc, GAS_KEY).send(self.safe.address, final)
        finally:
            await rpc.close()

    # --- what is known

    async def hand_over(self) -> None:
        async with self.pool.connection() as conn:
            head = await mirror.head(conn)
        await mirror.mirror(self.pool, self.journal.post(head.seq), self.shop.clock.now())

    async def work(self) -> WorkAnswer:
        async with self.pool.connection() as conn:
            return await signer_work.read_work(conn)

    async def outgoing(self) -> list[Outgoing]:
        async with self.pool.connection() as conn:
            return list(reversed(await transactions.page(conn)))

    async def take_tariffs(self, asset: str, units: int) -> None:
        """What the company earned is its claim on the vault."""
        income = ledger.Account(ledger.AccountKind.INCOME, paying.vault(asset).asset)
        key = token_bytes(4).hex()
        async with self.pool.connection() as conn, conn.transaction():
            await ledger.post(conn, [ledger.Transfer(key, income, paying.claim(asset), units, key, "tariffs")])

    async def books(self, asset: str) -> dict[str, int]:
        """Posted balances by kind; what lies somewhere is positive too."""
        kinds: dict[str, Any] = {
            "vault": paying.vault, "claim": paying.claim, "float": paying.float_, "company": paying.company,
        }  # fmt: skip
        async with self.pool.connection() as conn:
            found = {name: (await ledger.balance(conn, account(asset))).posted for name, account in kinds.items()}
        return {name: -units if name in ("vault", "float") else units for name, units in found.items()}

    async def asked(self) -> list[str]:
        async with self.pool.connection() as conn:
            return sorted(item.reason.value for item in await attention.page(conn, None))


def somebody() -> str:
    """An address that nobody ever used."""
    return checksum(token_bytes(20))
