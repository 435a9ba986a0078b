"""Money in on a real EVM node: coin and tokens, one address per invoice, reorganisations, several assets."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from fixtures_payments import Pool, Shop, anvil_settings, bitcoin_settings, catch_up
from holdfast.chains.evm import EvmNode
from holdfast.chains.evm_contracts import artefact, selector, word
from holdfast.chains.evm_deploy import token_arguments
from holdfast.chains.localnet import AnvilNode, RegtestNode
from holdfast.core.evm import address_bytes, checksum
from holdfast.payments.invoicing import Created
from holdfast.runtime.settings import TokenSettings

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("litecoin")]

ETHER = 10**18
CREATION = artefact("localnet/PlainToken").creation + token_arguments("TOK", 6)


class Token:
    """A mintable ERC-20 token on anvil."""

    def __init__(self, node: AnvilNode, contract: str) -> None:
        self.node, self.contract = node, contract

    @property
    def settings(self) -> TokenSettings:
        return TokenSettings(contract=checksum(address_bytes(self.contract)), symbol="TOK", decimals=6)

    async def mint(self, to: str, units: int) -> str:
        data = selector("mint(address,uint256)") + address_bytes(to).rjust(32, b"\0") + word(units)
        return await transact(self.node, self.contract, data)


async def transact(node: AnvilNode, to: str | None, data: bytes) -> str:
    call = {"from": (await node.accounts())[1], "data": "0x" + data.hex(), "gas": hex(8_000_000)}
    if to is not None:
        call["to"] = to
    return await node.transact(call)


async def contract_of(node: AnvilNode, transaction: str) -> str:
    """The contract that a transaction made, once it is in a block."""
    for _ in range(500):
        found = await node._rpc.call(dict | None, "eth_getTransactionReceipt", transaction)
        if found:
            return str(found["contractAddress"])
        await asyncio.sleep(0.01)
    raise AssertionError(transaction)


@pytest.fixture
async def token(anvil_node: AnvilNode) -> Token:
    await anvil_node.mine(25)  # beyond the finality of these tests, as on any chain that is not brand new
    made = await transact(anvil_node, None, CREATION)
    return Token(anvil_node, await contract_of(anvil_node, made))


@pytest.fixture
async def shop(
    pool: Pool, index_pool: Pool, anvil_node: AnvilNode, litecoin: RegtestNode, token: Token
) -> AsyncIterator[Shop]:
    networks = [anvil_settings(anvil_node.rpc_url, [token.settings]), bitcoin_settings("litecoin-regtest")]
    opened = await Shop(pool, index_pool, networks).open()
    yield opened
    await opened.close()


def evm(shop: Shop, node: AnvilNode) -> EvmNode:
    return EvmNode(node.rpc_url, node.network)


async def test_coin_is_seen_then_credited_once_it_has_its_confirmations(shop: Shop, anvil_node: AnvilNode) -> None:
    created = await shop.invoice(price="30.000000000000000001")
    follower = shop.follower(evm(shop, anvil_node))
    await catch_up(follower)
    await anvil_node.send(created.quotes[0].address, 30 * ETHER + 1)
    await catch_up(follower)
    assert await shop.stands(created) == ("processing", None)
    await anvil_node.mine()
    await catch_up(follower)
    assert await shop.stands(created) == ("settled", None)
    assert (await shop.balance()).available_units == 30 * ETHER + 1
    assert await shop.is_balanced()


async def test_tokens_and_coin_pay_one_invoice_on_one_address(shop: Shop, anvil_node: AnvilNode, token: Token) -> None:
    coin, listed = shop.catalogue.networks[shop.networks[0].network.id].assets
    created = await shop.invoice(price="80", currency="EUR", pay_with=coin)
    quote = await shop.quote(created, listed)
    assert quote.address == created.quotes[0].address
    follower = shop.follower(evm(shop, anvil_node))
    await catch_up(follower)
    await anvil_node.send(quote.address, ETHER // 4)
    await token.mint(quote.address, 750_000)
    await anvil_node.mine()
    await catch_up(follower)
    assert await shop.stands(created) == ("settled", None)
    assert (await shop.balance(coin)).available_units == ETHER // 4
    assert (await shop.balance(listed)).available_units == 750_000


async def test_coin_and_litecoin_pay_one_invoice(shop: Shop, anvil_node: AnvilNode, litecoin: RegtestNode) -> None:
    coin = shop.networks[0].network.coin.id
    created = await shop.invoice(price="0.80", currency="EUR", pay_with=coin)
    other = await shop.quote(created, shop.networks[1].network.coin.id)
    ours, theirs = shop.follower(evm(shop, anvil_node)), shop.follower(litecoin.node(), 1)
    await asyncio.gather(catch_up(ours), catch_up(theirs))
    await anvil_node.send(created.quotes[0].address, ETHER // 200)
    await litecoin.send(other.address, 500_000)
    await anvil_node.mine()
    await litecoin.mine(1)
    await asyncio.gather(catch_up(ours), catch_up(theirs))
    assert await shop.stands(created) == ("settled", None)


async def test_an_asset_that_was_not_quoted_is_credited_and_asked_about(
    shop: Shop, anvil_node: AnvilNode, token: Token
) -> None:
    created = await shop.invoice(price="1")
    follower = shop.follower(evm(shop, anvil_node))
    await catch_up(follower)
    await token.mint(created.quotes[0].address, 5)
    await anvil_node.mine()
    await catch_up(follower)
    listed = list(shop.catalogue.networks[shop.networks[0].network.id].assets)[1]
    assert (await shop.balance(listed)).available_units == 5
    assert await shop.stands(created) == ("new", None)
    assert await shop.asked() == ["asset-not-quoted"]


async def test_an_unlisted_token_is_nothing(shop: Shop, anvil_node: AnvilNode) -> None:
    made = await transact(anvil_node, None, CREATION)
    fake = Token(anvil_node, await contract_of(anvil_node, made))
    created = await shop.invoice(price="1")
    follower = shop.follower(evm(shop, anvil_node))
    await catch_up(follower)
    await fake.mint(created.quotes[0].address, 10**18)
    await anvil_node.mine(2)
    await catch_up(follower)
    assert await shop.deposits() == []


async def paid_then_reorganised(shop: Shop, node: AnvilNode, price: str, units: int) -> Created:
    created = await shop.invoice(price=price)
    follower = shop.follower(evm(shop, node))
    await catch_up(follower)
    await node.send(created.quotes[0].address, units)
    await node.mine()
    await catch_up(follower)
    assert await shop.stands(created) == ("settled", None)
    await shop.spend(units // 4)
    await node.reorganise(2)
    await catch_up(follower)
    return created


async def test_a_reorganised_deposit_is_taken_back_and_what_was_spent_is_owed(
    shop: Shop, anvil_node: AnvilNode
) -> None:
    created = await paid_then_reorganised(shop, anvil_node, "1", ETHER)
    assert await shop.stands(created) == ("new", "reorged")
    balance = await shop.balance()
    assert (balance.available_units, balance.owed_units) == (0, ETHER // 4)
    assert await shop.asked() == ["deposit-reorged"]
    assert await shop.is_balanced()


async def test_a_waiting_token_payment_is_one_deposit_before_and_after_its_block(
    shop: Shop, anvil_node: AnvilNode, token: Token
) -> None:
    listed = list(shop.catalogue.networks[shop.networks[0].network.id].assets)[1]
    created = await shop.invoice(price="0.5", currency=listed, pay_with=listed)
    address = created.quotes[0].address
    payer = (await anvil_node.accounts())[1]
    await token.mint(payer, 500_000)
    follower = shop.follower(evm(shop, anvil_node))
    await catch_up(follower)
    await anvil_node.set_automine(on=False)
    try:
        transfer = selector("transfer(address,uint256)") + address_bytes(address).rjust(32, b"\0") + word(500_000)
        await transact(anvil_node, token.contract, transfer)
        await catch_up(follower)
        (waiting,) = await shop.deposits(created)
        assert (waiting.state, waiting.block_height) == ("seen", None)
        await anvil_node.mine(2)
        await catch_up(follower)
    finally:
        await anvil_node.set_automine(on=True)
    (deposit,) = await shop.deposits(created)
    assert (deposit.id, deposit.state) == (waiting.id, "confirmed")
    assert await shop.stands(created) == ("settled", None)
