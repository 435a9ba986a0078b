"""A call of the float with the gas limit computed for it goes through, whatever its destinations do with gas."""

from __future__ import annotations

import asyncio

import pytest

from holdfast.chains.evm_contracts import COIN, encode_bytes, selector, word
from holdfast.core.evm import address_bytes, checksum, keccak256
from holdfast.core.evm_float import TRANSACTION_GAS_MAX, FloatCallInvalid, gas_limit, lines_max

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("anvil")]

BURN_ALL = b"\xfe"  # INVALID: takes all the gas there is
UNITS = 2**96 - 1  # as large as a line can say, so that its call data costs the most


def account(number: int) -> str:
    """Somebody who never had anything; call data that is not zero costs more."""
    return checksum(keccak256(word(number))[12:])


async def burners(chain, count):
    """Accounts that hand over to other accounts' code (EIP-7702), each to another one, which burns all gas."""
    addresses = [account(number) for number in range(count)]
    for number, address in enumerate(addresses):
        code = account(10_000 + number)
        await asyncio.gather(
            chain.call("anvil_setCode", code, "0x" + BURN_ALL.hex()),
            chain.call("anvil_setCode", address, "0xef0100" + address_bytes(code).hex()),
        )
    return addresses


@pytest.mark.parametrize("count", [1, 2, 50, lines_max(is_coin=True)])
async def test_coin_goes_through_when_every_destination_burns_its_gas(chain, payouts, count):
    await chain.call("anvil_setBalance", payouts.address, hex(count * UNITS))
    lines = [(address, UNITS) for address in await burners(chain, count)]
    receipt = await payouts.try_pay(COIN, lines, gas_limit(is_coin=True, lines=count))
    assert receipt["status"] == "0x1"
    assert [one.index for one in payouts.unpaid(receipt)] == list(range(count))
    assert await payouts.has(COIN) == count * UNITS
    assert int(receipt["gasUsed"], 16) > 46_000 * count  # they did burn it: the bound is tried, and no tenth too high


@pytest.mark.parametrize("count", [1, 2, 50, lines_max(is_coin=True)])
async def test_coin_goes_through_when_every_account_is_new(chain, payouts, count):
    await chain.call("anvil_setBalance", payouts.address, hex(count * UNITS))
    receipt = await payouts.try_pay(
        COIN, [(account(number), UNITS) for number in range(count)], gas_limit(is_coin=True, lines=count)
    )
    assert receipt["status"] == "0x1"
    assert payouts.unpaid(receipt) == []


@pytest.mark.parametrize("count", [1, 2, 50, lines_max(is_coin=False)])
async def test_tokens_go_through_when_every_receiver_burns_the_gas(chain, payouts, count):
    token = await chain.contract("HookToken")
    await payouts.fund(token, count * UNITS)
    lines = [(address, UNITS) for address in await burners(chain, count)]
    receipt = await payouts.try_pay(token, lines, gas_limit(is_coin=False, lines=count))
    assert receipt["status"] == "0x1"
    assert [one.index for one in payouts.unpaid(receipt)] == list(range(count))
    assert int(receipt["gasUsed"], 16) > 120_000 * count


@pytest.mark.parametrize("name", [COIN, "HookToken"])
async def test_with_too_little_gas_all_is_undone_and_no_line_is_unpaid_for_it(chain, payouts, name):
    """Whatever the limit: either the whole call fails, or every line has all the gas that it may use, also the last."""
    token = COIN if name == COIN else await chain.contract(name)
    await payouts.fund(token, 10**9)
    choosy = await chain.contract("Payee")  # refuses, without using it up, when it is given less gas than a line has
    become = word(9) + word(0) + word(96) + encode_bytes(b"")
    await chain.done(choosy, selector("become(uint8,address,bytes)") + become)
    lines = [(account(1), 1_000), (choosy, 1_000)]
    low, high = 30_000, gas_limit(is_coin=token == COIN, lines=2)
    seen = []
    for limit in range(low, high + 1, 1_000):
        receipt = await payouts.try_pay(token, lines, limit)
        seen.append(receipt["status"])
        assert payouts.unpaid(receipt) == [], limit
    assert seen == sorted(seen)
    assert set(seen) == {"0x0", "0x1"}


@pytest.mark.parametrize("is_coin", [True, False])
def test_as_many_lines_are_allowed_as_fit_into_a_transaction_at_their_worst(is_coin):
    most = lines_max(is_coin=is_coin)
    assert gas_limit(is_coin=is_coin, lines=most) <= TRANSACTION_GAS_MAX
    for lines in (0, most + 1):
        with pytest.raises(FloatCallInvalid):
            gas_limit(is_coin=is_coin, lines=lines)
