"""Payouts out of the Safe on a real anvil, in coin and in token: held, seen, posted, confirmed, taken back."""

from collections.abc import AsyncIterator

import pytest

from fixtures_evm_house import CONFIRMATIONS, ETHER, EvmHouse, somebody
from fixtures_payments import Pool
from fixtures_payouts import ordered_out_of_vault
from holdfast import ledger
from holdfast.chains.evm_contracts import COIN
from holdfast.chains.localnet import AnvilNode
from holdfast.core.states import LineState, PayoutState
from holdfast.payments import paying, payouts
from holdfast.payments.payouts import Payout
from holdfast.payments.reconciliation import FindingKind

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("anvil"), pytest.mark.parametrize("is_coin", [True, False])]

UNITS = 4 * ETHER
PAID = ETHER // 2
FEE = 1_000


class Desk(EvmHouse):
    """A house whose merchant has a direct payout."""

    async def ready(self, *, is_coin: bool) -> str:
        """Money in the Safe, half of it the merchant's: the asset."""
        asset, token = (self.coin, COIN) if is_coin else (self.usdt, self.token)
        index = await self.deposit(ether=UNITS if is_coin else 1, usdt=0 if is_coin else UNITS)
        await self.flush(index, token)
        await self.mine(CONFIRMATIONS)
        return asset

    async def order(self, asset: str, to: str) -> str:
        """The quorum's order, journaled: the payout's key."""
        own, entry = ordered_out_of_vault(self.shop.merchant.id, asset, [(to, PAID)], fee_units=FEE)
        self.journal.write(entry)
        await self.hand_over()
        return own.id

    async def payout(self, key: str) -> Payout:
        async with self.pool.connection() as conn:
            return await payouts.get(conn, key)

    async def all_books(self, asset: str) -> dict[str, int]:
        who = self.shop.merchant.id
        async with self.pool.connection() as conn:
            owed = {
                "merchant": (await ledger.balance(conn, paying.merchant(asset, who))).posted,
                "payable": (await ledger.balance(conn, paying.payable(asset, who))).posted,
            }
        return {**await self.books(asset), **owed}


@pytest.fixture
async def house(pool: Pool, index_pool: Pool, anvil_node: AnvilNode) -> AsyncIterator[Desk]:
    opened = Desk(anvil_node, pool, index_pool)
    await opened.open()
    yield opened
    await opened.close()


CONFIRMED = {
    "vault": UNITS - PAID, "merchant": UNITS // 2 - PAID - FEE, "payable": 0, "claim": FEE, "float": 0, "company": 0,
}  # fmt: skip


async def test_what_the_safe_pays_a_merchants_payee_is_posted_confirmed_and_taken_back(
    house: Desk, is_coin: bool
) -> None:
    asset, to = await house.ready(is_coin=is_coin), somebody()
    key = await house.order(asset, to)
    await house.settle(asset, PAID, to=to)
    found = (await house.catch_up())[asset]
    assert not found.findings
    assert found.figures.vault_on_the_way_units == str(-PAID)
    assert (await house.payout(key)).state is PayoutState.BROADCAST
    assert not (await house.mine(CONFIRMATIONS - 1))[asset].findings
    assert (await house.payout(key)).state is PayoutState.CONFIRMED
    assert await house.all_books(asset) == CONFIRMED

    await house.chain.reorganise(CONFIRMATIONS)
    assert not (await house.catch_up())[asset].findings
    gone = await house.payout(key)
    assert (gone.state, {line.state for line in gone.lines}) == (PayoutState.BROADCAST, {LineState.WAITING})
    assert (await house.all_books(asset))["payable"] == PAID

    await house.settle(asset, PAID, to=to)
    assert not (await house.mine(CONFIRMATIONS))[asset].findings
    assert (await house.payout(key)).state is PayoutState.CONFIRMED
    assert await house.all_books(asset) == CONFIRMED
    assert await house.shop.is_balanced()


async def test_what_the_safe_pays_in_another_sum_is_unexplained(house: Desk, is_coin: bool) -> None:
    asset, to = await house.ready(is_coin=is_coin), somebody()
    key = await house.order(asset, to)
    await house.settle(asset, PAID + 1, to=to)
    found = (await house.mine(CONFIRMATIONS))[asset]
    assert found.findings[0].kind is FindingKind.OUTFLOW_UNEXPLAINED
    assert (await house.payout(key)).state is PayoutState.RESERVED


async def test_the_same_sum_of_another_asset_pays_nothing(house: Desk, is_coin: bool) -> None:
    asset = await house.ready(is_coin=is_coin)
    other, to = await house.ready(is_coin=not is_coin), somebody()
    key = await house.order(asset, to)
    await house.settle(other, PAID, to=to)
    found = await house.mine(CONFIRMATIONS)
    assert found[other].findings[0].kind is FindingKind.OUTFLOW_UNEXPLAINED
    assert (await house.payout(key)).state is PayoutState.RESERVED
