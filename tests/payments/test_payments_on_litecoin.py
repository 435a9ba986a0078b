"""Money in on a real litecoind: from the invoice to the ledger, and back where the chain takes it back."""

from collections.abc import AsyncIterator

import pytest
from fixtures_payments import Pool, Shop, bitcoin_settings, catch_up

from holdfast.chains.localnet import RegtestNode
from holdfast.payments.standing import LateRule, Terms

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("litecoin")]

COIN = 100_000_000
CENT = 1_000_000


@pytest.fixture
async def shop(pool: Pool, index_pool: Pool, litecoin: RegtestNode) -> AsyncIterator[Shop]:
    opened = await Shop(pool, index_pool, [bitcoin_settings("litecoin-regtest", litecoin.rpc_url)]).open()
    yield opened
    await opened.close()


async def test_a_payment_is_seen_then_credited_once_it_has_its_confirmations(shop: Shop, litecoin: RegtestNode) -> None:
    created = await shop.invoice(price="1")
    follower = shop.follower(litecoin.node())
    await catch_up(follower)
    await litecoin.send(created.quotes[0].address, COIN)
    await catch_up(follower)
    assert await shop.stands(created) == ("processing", None)
    await litecoin.mine(2)
    await catch_up(follower)
    assert await shop.stands(created) == ("processing", None)
    assert (await shop.balance()).available_units == 0
    await litecoin.mine(1)
    await catch_up(follower)
    assert await shop.stands(created) == ("settled", None)
    assert (await shop.balance()).available_units == COIN
    assert await shop.events() == [
        "invoice.created",
        "deposit.seen",
        "invoice.processing",
        "deposit.confirmed",
        "invoice.settled",
    ]
    assert await shop.is_balanced()
