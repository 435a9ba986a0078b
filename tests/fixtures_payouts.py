"""A merchant with a key of his own who orders money out: intents, signatures, balances to pay them from."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from secrets import token_bytes, token_hex
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from holdfast import ledger
from holdfast.core import canonical, intents, journal as j
from holdfast.core.certificates import signing_input as certificate_input
from holdfast.core.evm import checksum
from holdfast.core.intents import Line, SignedIntent, document_of, signing_input
from holdfast.core.orders import DirectPayout, SignedOrder
from holdfast.core.quorum import Officer, Quorum, Signature
from holdfast.payments import certification, ordering, paying, payouts
from holdfast.payments.catalogue import Catalogue, catalogue_of
from holdfast.payments.certification import Enrolment, Proof
from holdfast.payments.ordering import MerchantKeys, Ordered, PayoutDesk
from holdfast.payments.payouts import Payout
from holdfast.runtime.settings import FeePayer, PayoutFee

from fixtures_payments import TestClock, anvil_settings, bitcoin_settings  # isort: skip

Pool = AsyncConnectionPool[AsyncConnection[Any]]
OFFICERS = [Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number in (1, 2, 3)]
QUORUM = Quorum(
    officers=tuple(
        Officer(f"officer {number}", key.public_key().public_bytes_raw().hex()) for number, key in enumerate(OFFICERS)
    ),
    threshold=2,
)
NUMBERS = count(1_000_000)
ETHER = 10**18


def payee() -> str:
    """A fresh EVM address."""
    return checksum(token_bytes(20))


def signed(key: Ed25519PrivateKey, intent: intents.Intent) -> SignedIntent:
    """The intent as the merchant hands it in."""
    document = document_of(intent)
    return SignedIntent(document.decode(), key.sign(signing_input(document)).hex())


def payout_intent(
    merchant_id: str, asset: str, lines: Sequence[tuple[str, int]], now: datetime, **changes: Any
) -> intents.Payout:
    """A payout's intent; what a test does not say is plain."""
    plain = intents.Payout(
        merchant=merchant_id,
        network=asset.partition("/")[0],
        asset=asset,
        lines=tuple(Line(destination, units) for destination, units in lines),
        fee_units=0,
        number=next(NUMBERS),
        not_before=int(now.timestamp()) - 60,
        expires_at=int(now.timestamp()) + 3600,
        reference=f"order {token_hex(4)}",
    )
    return replaced(plain, **changes)


def replaced(intent: intents.Payout, **changes: Any) -> intents.Payout:
    """The intent with other values."""
    return intents.Payout(**{name: changes.get(name, getattr(intent, name)) for name in intent.__struct_fields__})


async def fund(pool: Pool, merchant_id: str, asset: str, units: int) -> None:
    """A deposit of so much was confirmed."""
    key = f"deposit:{token_hex(8)}"
    transfer = ledger.Transfer(key, paying.vault(asset), paying.merchant(asset, merchant_id), units, key, "deposit")
    async with pool.connection() as conn, conn.transaction():
        [outcome] = await ledger.post(conn, [transfer])
    assert isinstance(outcome, ledger.Posted)


@dataclass
class Payer:
    """A merchant, certified for his own key, and what a test asks about his money."""

    pool: Pool
    id: str
    key: Ed25519PrivateKey
    desk: PayoutDesk
    asset: str
    clock: TestClock = field(default_factory=TestClock)

    def intent(self, *units: int, **changes: Any) -> intents.Payout:
        """A payout of so many units to a fresh address each."""
        lines = [(payee(), one) for one in units]
        return payout_intent(self.id, self.asset, lines, self.clock.now(), **changes)

    async def keys(self) -> MerchantKeys:
        """Whose signatures count for him."""
        async with self.pool.connection() as conn:
            return await ordering.merchant_keys(conn, self.id)

    async def draft(self, intent: intents.Intent, key: Ed25519PrivateKey | None = None) -> Payout:
        """The intent signed and checked."""
        return ordering.draft(self.desk, await self.keys(), signed(key or self.key, intent), self.clock.now())

    async def order(self, *wanted: intents.Payout) -> list[ordering.OrderOutcome]:
        """Order these in one transaction."""
        drafts = [await self.draft(intent) for intent in wanted]
        async with self.pool.connection() as conn, conn.transaction():
            return await ordering.order(conn, drafts, self.clock.now())

    async def ordered(self, *units: int, **changes: Any) -> Payout:
        """One payout that went through."""
        return await self.ordered_as(self.intent(*units, **changes))

    async def ordered_as(self, intent: intents.Payout) -> Payout:
        """This payout, which went through."""
        [outcome] = await self.order(intent)
        assert isinstance(outcome, Ordered), outcome
        return outcome.payout

    async def again(self, payout: Payout) -> Payout:
        """The payout as it stands now."""
        async with self.pool.connection() as conn:
            return await payouts.get(conn, payout.id)

    async def fund(self, units: int) -> None:
        """His balance rises."""
        await fund(self.pool, self.id, self.asset, units)

    async def balance(self) -> tuple[int, int]:
        """What he may order out, and what is pending."""
        async with self.pool.connection() as conn:
            found = await ledger.balance(conn, paying.merchant(self.asset, self.id))
        return found.available, found.debits_pending

    async def books(self, asset: str | None = None) -> dict[str, int]:
        """Posted balance of each account of the asset, by its kind; credits are positive."""
        wanted = asset or self.asset
        accounts = {
            "merchant": paying.merchant(wanted, self.id),
            "payable": paying.payable(wanted, self.id),
            **{one.kind.value: one for one in (
                paying.vault(wanted), paying.claim(wanted), paying.float_(wanted), paying.company(wanted),
                paying.deficit(wanted),
            )},
        }  # fmt: skip
        async with self.pool.connection() as conn:
            return {name: (await ledger.balance(conn, account)).posted for name, account in accounts.items()}

    async def is_balanced(self) -> bool:
        """Whether every transfer adds up."""
        async with self.pool.connection() as conn:
            return (await ledger.audit(conn)).balanced


def certificate_proof(document: bytes) -> Proof:
    """Two officers' signatures under a certificate."""
    signatures = [
        Signature(one.public_key().public_bytes_raw().hex(), one.sign(certificate_input(document)).hex())
        for one in OFFICERS[:2]
    ]
    return Proof(document, signatures, QUORUM.document(), QUORUM.fingerprint())


def networks(fee_payer: FeePayer = FeePayer.COMPANY) -> Catalogue:
    """Anvil and Litecoin; where merchants pay, 1,000 units a payout and 10 a line."""
    if fee_payer is FeePayer.COMPANY:
        return catalogue_of([anvil_settings("http://127.0.0.1:1/"), bitcoin_settings("litecoin-regtest")])
    wei = PayoutFee(payout="0.000000000000001", line="0.00000000000000001")
    bits = PayoutFee(payout="0.00001", line="0.0000001")
    return catalogue_of(
        [
            anvil_settings("http://127.0.0.1:1/", payout_fees={"ETH": wei}),
            bitcoin_settings("litecoin-regtest", payout_fees={"rLTC": bits}),
        ]
    )


async def enrolled_payer(pool: Pool, fee_payer: FeePayer = FeePayer.COMPANY) -> Payer:
    """A merchant enrolled and certified, whose asset is anvil's coin."""
    key, catalogue, now = Ed25519PrivateKey.generate(), networks(fee_payer), datetime.now(UTC)
    async with pool.connection() as conn, conn.transaction():
        enrolment = Enrolment("Shop", key.public_key().public_bytes_raw(), token_bytes(32))
        merchant = await certification.enrol(conn, enrolment, catalogue, now)
        await certification.certify(conn, merchant.id, certificate_proof(merchant.request), now)
    coin = next(one for one in catalogue.network_of if one.startswith("eip155:"))
    return Payer(pool, merchant.id, key, PayoutDesk(catalogue, fee_payer), coin)


def ordered_out_of_vault(
    merchant_id: str, asset: str, lines: Sequence[tuple[str, int]], **changes: Any
) -> tuple[SignedIntent, j.Ordered]:
    """A merchant's intent, and the journal's entry with the quorum's order to pay it out of the vault."""
    intent = payout_intent(merchant_id, asset, lines, datetime.now(UTC), **changes)
    own = signed(Ed25519PrivateKey.generate(), intent)
    return own, direct_order(own)


def direct_order(own: SignedIntent) -> j.Ordered:
    """The journal's entry with the quorum's order to pay this intent out of the vault."""
    order = DirectPayout(own.document, own.signature, next(NUMBERS))
    return j.Ordered(SignedOrder(canonical.write(order).decode(), ()), 1)
