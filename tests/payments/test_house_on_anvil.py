"""The float and the vault on a real anvil: gas, coin and tokens booked, forwarders counted, thefts and gifts named."""

from collections.abc import AsyncIterator

import pytest

from fixtures_evm_house import CONFIRMATIONS, ETHER, EvmHouse, somebody
from fixtures_payments import Pool
from holdfast.chains.evm_contracts import COIN
from holdfast.chains.localnet import AnvilNode
from holdfast.core.evm_float import pay_call
from holdfast.payments.reconciliation import FindingKind
from holdfast.payments.reconciling import Reconciliation

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("anvil")]

USDT = 1_000_000


@pytest.fixture
async def house(pool: Pool, index_pool: Pool, anvil_node: AnvilNode) -> AsyncIterator[EvmHouse]:
    opened = await EvmHouse(anvil_node, pool, index_pool).open()
    yield opened
    await opened.close()


def named(found: Reconciliation) -> list[tuple[FindingKind, str]]:
    return [(one.kind, one.subject) for one in found.findings]


async def test_gas_coin_and_tokens_are_the_companys_capital(house: EvmHouse) -> None:
    found = await house.fund(gas=2 * ETHER, ether=5 * ETHER, usdt=700 * USDT)
    assert not found[house.coin].findings
    assert not found[house.usdt].findings
    assert (await house.books(house.coin))["float"] == 7 * ETHER
    assert (await house.books(house.usdt))["company"] == 700 * USDT
    assert len((await house.work()).fundings) == 2, "gas is no funding: the signer does not pay out of it"


async def test_a_payment_of_tokens_costs_coin_and_both_add_up_at_every_step(house: EvmHouse) -> None:
    await house.fund(gas=2 * ETHER, usdt=700 * USDT)
    made = await house.pay(house.usdt, [(somebody(), 100 * USDT), (somebody(), 50 * USDT)])
    await house.send()
    for _ in range(CONFIRMATIONS):
        found = await house.mine(1)
        assert not found[house.coin].findings
        assert not found[house.usdt].findings
    found = await house.mine(1)
    assert found[house.usdt].figures.float_on_the_way_units == str(-150 * USDT)
    (hint,) = (await house.work()).mined
    assert hint.transaction == made.hash
    await house.end(made)
    found = await house.mine(1)
    assert not found[house.coin].findings
    (one,) = await house.outgoing()
    assert one.paid_fee_units is not None
    assert (await house.books(house.coin))["float"] == 2 * ETHER - one.paid_fee_units


async def test_many_are_sent_at_once_in_the_order_of_their_nonces(house: EvmHouse) -> None:
    await house.fund(gas=2 * ETHER, ether=5 * ETHER)
    for _ in range(20):
        await house.pay(house.coin, [(somebody(), 1)])
    await house.chain.set_automine(on=False)
    try:
        await house.send()
        found = await house.mine(1)
    finally:
        await house.chain.set_automine(on=True)
    assert [one.state.value for one in await house.outgoing()] == ["mined"] * 20
    assert not found[house.coin].findings


async def test_gas_that_comes_in_the_block_of_a_payment_is_counted_whole(house: EvmHouse) -> None:
    await house.fund(gas=2 * ETHER, ether=5 * ETHER)
    await house.pay(house.coin, [(somebody(), ETHER)])
    await house.chain.set_automine(on=False)
    try:
        await house.send()
        await house.chain.send(house.owner, ETHER)
        found = await house.mine(1)
    finally:
        await house.chain.set_automine(on=True)
    assert not found[house.coin].findings
    assert not (await house.mine(CONFIRMATIONS))[house.coin].findings
    assert (await house.books(house.coin))["float"] == 8 * ETHER


async def test_a_deposit_counts_before_and_after_its_flush(house: EvmHouse) -> None:
    index = await house.deposit(ether=ETHER, usdt=5 * USDT)
    found = await house.catch_up()
    assert found[house.coin].figures.vault_chain_units == str(ETHER)
    flushes = {hint.tokens: hint.indexes for hint in (await house.work()).flushes}
    assert flushes[(COIN,)] == (index,)
    await house.flush(index, COIN)
    found = await house.mine(1)
    assert not found[house.coin].findings
    assert found[house.coin].figures.vault_chain_units == str(ETHER)
    assert (COIN,) not in {hint.tokens for hint in (await house.work()).flushes}


@pytest.mark.parametrize("is_coin", [True, False], ids=["coin", "token"])
async def test_a_settlement_out_of_the_safe_lowers_the_claim(house: EvmHouse, is_coin: bool) -> None:
    asset, units = (house.coin, ETHER) if is_coin else (house.usdt, 1_000 * USDT)
    index = await house.deposit(ether=ETHER if is_coin else 1, usdt=0 if is_coin else units)
    await house.flush(index, COIN if is_coin else house.token)
    await house.take_tariffs(asset, units // 2)
    await house.settle(asset, units // 4)
    found = await house.mine(0)
    assert not found[asset].findings
    found = await house.mine(CONFIRMATIONS)
    assert not found[asset].findings
    books = await house.books(asset)
    assert (books["vault"], books["float"], books["claim"]) == (units - units // 4, units // 4, units // 4)
    assert (await house.work()).fundings


async def test_what_goes_back_to_the_vault_is_the_companys_claim(house: EvmHouse) -> None:
    await house.fund(gas=ETHER, ether=5 * ETHER)
    made = await house.give_back(house.coin, 2 * ETHER)
    await house.send()
    for _ in range(CONFIRMATIONS + 1):
        assert not (await house.mine(1))[house.coin].findings
    await house.end(made)
    assert not (await house.mine(1))[house.coin].findings
    books = await house.books(house.coin)
    assert (books["vault"], books["claim"]) == (2 * ETHER, 2 * ETHER)


async def test_a_payment_of_the_float_that_nobody_journaled_is_named(house: EvmHouse) -> None:
    await house.fund(gas=ETHER, ether=5 * ETHER)
    theft = house.signed(pay_call(COIN, [(somebody(), 3 * ETHER)]))
    await house.chain.call("eth_sendRawTransaction", "0x" + theft.raw.hex())
    found = (await house.mine(1))[house.coin]
    assert (FindingKind.OUTFLOW_UNEXPLAINED, theft.hash) in named(found)
    assert int(found.figures.float_gap_units) < -3 * ETHER, "what was paid, and its gas"
    assert "reconciliation-gap" in await house.asked()


@pytest.mark.parametrize("is_coin", [True, False], ids=["coin", "token"])
async def test_what_the_safe_pays_to_somebody_else_is_named(house: EvmHouse, is_coin: bool) -> None:
    asset = house.coin if is_coin else house.usdt
    if is_coin:
        await house.chain.send(house.safe.address, ETHER)
    else:
        await house.mint(house.safe.address, ETHER)
    elsewhere = somebody()
    await house.settle(asset, ETHER // 2, to=elsewhere)
    found = (await house.mine(1))[asset]
    assert found.findings[0].kind is FindingKind.OUTFLOW_UNEXPLAINED
    assert elsewhere in found.findings[0].detail


async def test_a_reorganisation_takes_capital_back(house: EvmHouse) -> None:
    await house.fund(gas=ETHER, ether=5 * ETHER)
    assert (await house.books(house.coin))["float"] == 6 * ETHER
    await house.chain.reorganise(4)
    found = await house.catch_up()
    assert not found[house.coin].findings
    assert (await house.books(house.coin))["float"] == 0
