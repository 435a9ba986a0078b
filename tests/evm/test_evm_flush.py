"""What arrived at a deposit address can go to the vault and nowhere else, whoever asks and whatever a token does."""

from __future__ import annotations

import msgspec
import pytest

from holdfast.chains.evm_contracts import COIN, flush_call, selector, transfer_call, word
from holdfast.chains.evm_house import Receipt, flush_outcome
from holdfast.core.evm import address_bytes, deposit_address, forwarder_code

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("anvil")]

INDEXES = (0, 1, 2**20, 2**255 + 7, 2**256 - 1)


async def flush(chain, indexes, tokens):
    """A flush by somebody with no rights at all."""
    receipt = await chain.done(chain.plan.factory, flush_call(indexes, tokens))
    return flush_outcome(msgspec.convert(receipt, Receipt))


async def test_coin_and_token_of_many_addresses_reach_the_vault_in_one_transaction(chain):
    token = await chain.contract("NoReturnToken")
    for index in INDEXES:
        await chain.send(chain.address(index), value=1000 + index % 7)
        await chain.mint(token, chain.address(index), 5_000_000)
    before = await chain.coin(chain.plan.vault)
    outcome = await flush(chain, INDEXES, [COIN, token])
    assert len(outcome.flushed) == 2 * len(INDEXES)
    assert outcome.failed == ()
    assert await chain.coin(chain.plan.vault) - before == sum(1000 + index % 7 for index in INDEXES)
    assert await chain.tokens(token, chain.plan.vault) == 5_000_000 * len(INDEXES)
    for index in INDEXES:
        code = await chain.call("eth_getCode", chain.address(index), "latest")
        assert code == "0x" + forwarder_code(address_bytes(chain.plan.implementation)).hex()


async def test_an_empty_address_is_skipped_and_not_deployed(chain):
    outcome = await flush(chain, [77], [COIN])
    assert outcome.flushed == ()
    assert await chain.call("eth_getCode", chain.address(77), "latest") == "0x"


async def test_the_same_index_twice_moves_once(chain):
    await chain.send(chain.address(3), value=10)
    outcome = await flush(chain, [3, 3], [COIN, COIN])
    assert outcome.flushed == ((chain.address(3), COIN, 10),)


async def test_a_fee_on_transfer_token_reports_what_left(chain):
    token = await chain.contract("FeeToken")
    await chain.mint(token, chain.address(4), 10_000)
    outcome = await flush(chain, [4], [token])
    assert outcome.flushed == ((chain.address(4), token, 10_000),)
    assert await chain.tokens(token, chain.plan.vault) == 9_900


@pytest.mark.parametrize("bad", ["FalseToken", "LyingToken", "RevertingToken"])
async def test_one_bad_token_does_not_stop_the_rest(chain, bad):
    good, wrong = await chain.contract("NoReturnToken"), await chain.contract(bad)
    for token in (good, wrong):
        await chain.mint(token, chain.address(5), 8)
    outcome = await flush(chain, [5], [wrong, good])
    assert outcome.failed == ((chain.address(5), wrong),)
    assert outcome.flushed == ((chain.address(5), good, 8),)
    assert await chain.tokens(wrong, chain.address(5)) == 8


async def test_what_is_no_contract_is_a_failed_token_and_nothing_worse(chain):
    await chain.send(chain.address(6), value=1)
    outcome = await flush(chain, [6], ["0x" + "99" * 20, COIN])
    assert outcome.failed == ((chain.address(6), "0x" + "99" * 20),)
    assert outcome.flushed == ((chain.address(6), COIN, 1),)


async def test_a_token_cannot_flush_itself_inside_its_own_transfer(chain):
    """It would report the same units as gone twice, and the reader would credit the difference."""
    token = await chain.contract("ReenteringToken")
    await chain.mint(token, chain.address(7), 100)
    inner = flush_call([7], [token])
    data = selector("reenter(address,bytes)") + address_bytes(chain.plan.factory).rjust(32, b"\0") + word(64)
    data += word(len(inner)) + inner + bytes(-len(inner) % 32)
    await chain.done(token, data)
    outcome = await flush(chain, [7], [token])
    assert outcome.flushed == ((chain.address(7), token, 100),)
    assert await counter(chain, token, "attempts()") == 1
    assert await counter(chain, token, "successes()") == 0


async def counter(chain, contract, signature):
    return int(await chain.call("eth_call", {"to": contract, "data": "0x" + selector(signature).hex()}, "latest"), 16)


async def test_a_flush_after_a_flush_works_again(chain):
    for amount in (5, 6):
        await chain.send(chain.address(8), value=amount)
        assert (await flush(chain, [8], [COIN])).flushed == ((chain.address(8), COIN, amount),)


async def test_nobody_but_the_factory_can_make_a_deposit_address_act(chain):
    token = await chain.contract("NoReturnToken")
    await chain.send(chain.address(9), value=1)
    await flush(chain, [9], [COIN])  # it is deployed now
    await chain.mint(token, chain.address(9), 50)
    for data in (
        selector("forward(address)") + address_bytes(token).rjust(32, b"\0"),
        transfer_call(chain.payer, 50),
        flush_call([9], [token]),
        selector("execute(address,uint256,bytes)"),
        b"\x00",
    ):
        receipt = await chain.receipt(await chain.send(chain.address(9), data, gas=500_000))
        assert receipt["status"] == "0x0", data.hex()
    # The implementation itself holds nothing and obeys nobody either.
    receipt = await chain.receipt(
        await chain.send(chain.plan.implementation, selector("forward(address)") + bytes(32), gas=500_000)
    )
    assert receipt["status"] == "0x0"
    assert await chain.tokens(token, chain.address(9)) == 50


async def test_nobody_can_put_other_code_at_a_deposit_address(chain):
    """Only the factory's CREATE2 leads there: another factory with the same code has other addresses."""
    other = deposit_address("0x" + "12" * 20, chain.plan.implementation, 10)
    assert other != chain.address(10)


async def test_a_deployed_address_takes_coin_within_the_stipend_and_with_call_data(chain):
    payer = await chain.contract("InternalPayer")
    address = chain.address(11)
    pay = selector("payWithStipend(address)") + address_bytes(address).rjust(32, b"\0")
    await chain.done(payer, pay, value=3)  # not deployed yet
    await flush(chain, [11], [COIN])
    await chain.done(payer, pay, value=4)
    await chain.done(address, b"order 1234", value=5)
    assert await chain.coin(address) == 9


async def test_plain_eip_1167_would_not_take_coin_within_the_stipend(chain):
    """Why a deposit address has nine bytes in front of EIP-1167: without them `transfer` runs out of gas."""
    payer = await chain.contract("InternalPayer")
    address = "0x" + "77" * 20
    plain = forwarder_code(address_bytes(chain.plan.implementation))[9:]
    await chain.call("anvil_setCode", address, "0x" + plain.hex().replace("603457", "602b57"))
    pay = selector("payWithStipend(address)") + address_bytes(address).rjust(32, b"\0")
    receipt = await chain.receipt(await chain.send(payer, pay, value=4))
    assert receipt["status"] == "0x0"


@pytest.mark.parametrize("index", [*INDEXES, 12, 2**20 - 1, 2**128])
async def test_factory_and_python_derive_the_same_address(chain, index):
    data = "0x" + (selector("addressOf(uint256)") + word(index)).hex()
    answer = await chain.call("eth_call", {"to": chain.plan.factory, "data": data}, "latest")
    assert "0x" + answer[26:] == chain.address(index).lower()
