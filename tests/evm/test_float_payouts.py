"""The float pays each line exactly or not at all, whatever a destination or a token does, and obeys its owner alone."""

from __future__ import annotations

from dataclasses import replace
from enum import IntEnum

import pytest

from holdfast.chains.evm_contracts import COIN, encode_bytes, float_of, selector, topic, transfer_call, word
from holdfast.chains.evm_deploy import ContractMismatch, deploy_float
from holdfast.chains.evm_transactions import address_of_key, sign
from holdfast.core.evm import address_bytes, checksum
from holdfast.core.evm_float import (
    RECEIVED_TOPIC,
    RETURNED_TOPIC,
    FeeLevel,
    Unpaid,
    bump,
    gas_limit,
    pay_call,
    to_vault_call,
    to_vault_gas_limit,
)
from holdfast.core.evm_transactions import Fees, Transaction, decode

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("anvil")]

GAS_KEY = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")  # anvil's first, public
BROKE = bytes.fromhex("11" * 32)  # a key without any coin: nothing can be sent from it
ASSETS = (COIN, "PlainToken", "NoReturnToken")
CALLED_TOPIC = topic("Called(bool)")


class Habit(IntEnum):
    """As `Payee.Habit`."""

    ACCEPT = 0
    REFUSE = 1
    BURN = 2
    BURN_AND_REFUSE = 3
    LONG_ANSWER = 4
    LONG_REFUSAL = 5
    STORE = 6
    REENTER = 7
    GIVE_BACK = 8
    CHOOSY = 9


def person(number: int) -> str:
    """Somebody who never had anything."""
    return checksum((number + 2**100).to_bytes(20, "big"))


async def asset(chain, payouts, name, units=10_000):
    """A token of this kind, or the coin, with so much of it in the float."""
    plain = word(64) + word(18) + encode_bytes(b"TOK")
    token = COIN if name == COIN else await chain.contract(name, plain if name == "PlainToken" else b"")
    await payouts.fund(token, units)
    return token


async def payee(chain, habit, target=COIN, call=b""):
    address = await chain.contract("Payee")
    arguments = word(habit) + address_bytes(target).rjust(32, b"\0") + word(96) + encode_bytes(call)
    await chain.done(address, selector("become(uint8,address,bytes)") + arguments)
    return checksum(address_bytes(address))


# Payment


@pytest.mark.parametrize("name", ASSETS)
async def test_many_lines_are_paid_in_one_transaction(chain, payouts, name):
    token = await asset(chain, payouts, name)
    lines = [(person(number), number + 1) for number in range(40)]
    assert await payouts.pay(token, lines) == []
    assert [await payouts.balance(token, who) for who, _ in lines] == [units for _, units in lines]
    assert await payouts.has(token) == 10_000 - sum(units for _, units in lines)


async def test_the_same_line_twice_pays_twice(chain, payouts):
    token = await asset(chain, payouts, "PlainToken")
    assert await payouts.pay(token, [(person(1), 5)] * 2) == []
    assert await payouts.balance(token, person(1)) == 10


@pytest.mark.parametrize("name", ASSETS)
async def test_what_the_float_does_not_have_is_not_paid_and_what_it_has_is(chain, payouts, name):
    token = await asset(chain, payouts, name, 100)
    lines = [(person(1), 60), (person(2), 60), (person(3), 40)]
    assert await payouts.pay(token, lines) == [Unpaid(1, person(2), 60)]
    assert await payouts.has(token) == 0


async def test_of_two_equal_lines_it_is_said_which_was_not_paid(chain, payouts):
    await payouts.fund(COIN, 5)
    assert await payouts.pay(COIN, [(person(1), 5), (person(1), 5)]) == [Unpaid(1, person(1), 5)]


# Destinations


@pytest.mark.parametrize("habit", [Habit.REFUSE, Habit.BURN_AND_REFUSE, Habit.LONG_REFUSAL], ids=lambda one: one.name)
async def test_a_destination_that_fails_stops_nobody_else(chain, payouts, habit):
    bad = await payee(chain, habit)
    await payouts.fund(COIN, 100)
    assert await payouts.pay(COIN, [(person(1), 10), (bad, 20), (person(2), 30)]) == [Unpaid(1, bad, 20)]
    assert [await chain.coin(who) for who in (person(1), bad, person(2))] == [10, 0, 30]


@pytest.mark.parametrize("habit", [Habit.ACCEPT, Habit.STORE, Habit.BURN, Habit.LONG_ANSWER], ids=lambda one: one.name)
async def test_a_contract_is_paid_that_needs_no_more_gas_than_a_line_has(chain, payouts, habit):
    good = await payee(chain, habit)
    await payouts.fund(COIN, 100)
    assert await payouts.pay(COIN, [(good, 20), (person(1), 1)]) == []
    assert [await chain.coin(good), await chain.coin(person(1))] == [20, 1]


async def test_a_safe_is_paid(chain, payouts):
    await payouts.fund(COIN, 100)
    assert await payouts.pay(COIN, [(chain.plan.vault, 20)]) == []


@pytest.mark.parametrize("name", [COIN, "HookToken"])
@pytest.mark.parametrize("what", ["pay", "payToken", "toVault"])
async def test_a_destination_that_calls_back_in_gets_its_line_and_no_more(chain, payouts, name, what):
    token = await asset(chain, payouts, name)
    inner = {
        "pay": pay_call(token, [(person(9), 500)]),
        "payToken": selector("payToken(address,uint256)") + address_word(token) + line(person(9), 500),
        "toVault": to_vault_call(token, 500),
    }[what]
    bad = await payee(chain, Habit.REENTER, payouts.address, inner)
    vault_before = await payouts.balance(token, chain.plan.vault)
    receipt = await payouts.try_pay(token, [(bad, 20), (person(1), 1)], gas=1_000_000)
    assert payouts.unpaid(receipt) == []
    assert [int(log["data"], 16) for log in receipt["logs"] if log["topics"][0] == CALLED_TOPIC] == [0]
    assert await payouts.balance(token, person(9)) == 0
    assert await payouts.balance(token, chain.plan.vault) == vault_before
    assert await payouts.has(token) == 10_000 - 21


async def test_coin_that_the_float_pays_to_itself_is_not_paid(chain, payouts):
    await payouts.fund(COIN, 100)
    assert await payouts.pay(COIN, [(payouts.address, 20)]) == [Unpaid(0, payouts.address, 20)]


@pytest.mark.parametrize("habit", [Habit.REFUSE, Habit.BURN_AND_REFUSE, Habit.GIVE_BACK], ids=lambda one: one.name)
async def test_a_receiver_whom_a_token_tells_cannot_stop_others_either(chain, payouts, habit):
    """Nor can one that gives half back: exactly the line must be gone."""
    token, bad = await asset(chain, payouts, "HookToken"), await payee(chain, habit)
    lines = [(person(1), 10), (bad, 20), (person(2), 30)]
    assert await payouts.pay(token, lines) == [Unpaid(1, bad, 20)]
    assert [await payouts.balance(token, who) for who, _ in lines] == [10, 0, 30]
    assert await payouts.has(token) == 10_000 - 40


# Tokens


@pytest.mark.parametrize("name", ["FalseToken", "LyingToken", "RevertingToken", "HalfToken", "ExtraFeeToken"])
async def test_of_an_unpaid_line_nothing_moved(chain, payouts, name):
    token = await asset(chain, payouts, name)
    lines = [(person(1), 1_000), (person(2), 3_000)]
    assert await payouts.pay(token, lines) == [Unpaid(index, *one) for index, one in enumerate(lines)]
    assert await payouts.has(token) == 10_000
    assert [await payouts.balance(token, who) for who, _ in lines] == [0, 0]


async def test_a_token_that_keeps_a_fee_back_has_paid(chain, payouts):
    token = await asset(chain, payouts, "FeeToken")
    assert await payouts.pay(token, [(person(1), 1_000)]) == []
    assert await payouts.has(token) == 9_000
    assert await payouts.balance(token, person(1)) == 990


async def test_what_a_token_answers_does_not_matter_nor_how_long_it_is(chain, payouts):
    token = await asset(chain, payouts, "ModestToken")
    assert await payouts.pay(token, [(person(1), 1_000), (person(2), 1)]) == []
    assert await payouts.balance(token, person(1)) == 1_000


async def test_a_token_that_calls_back_in_gets_nothing(chain, payouts):
    token = await asset(chain, payouts, "ReenteringToken")
    inner = selector("payToken(address,uint256)") + address_word(token) + line(person(9), 500)
    data = selector("reenter(address,bytes)") + address_word(payouts.address) + word(64) + encode_bytes(inner)
    await chain.done(token, data)
    assert await payouts.pay(token, [(person(1), 20)]) == []
    assert await payouts.balance(token, person(9)) == 0
    assert await payouts.has(token) == 10_000 - 20


@pytest.mark.parametrize("no_token", [person(7), None], ids=["nobody", "the float"])
async def test_what_is_no_token_pays_no_line(payouts, no_token):
    assert await payouts.pay(no_token or payouts.address, [(person(1), 5)]) == [Unpaid(0, person(1), 5)]


async def test_a_token_that_does_not_say_what_the_float_has_pays_not_even_nothing(chain, payouts):
    """Call data that `pay_call` refuses to make: nothing would be gone, as should be, but nobody said so."""
    data = bytearray(pay_call(person(7), [(person(1), 5)]))
    data[-1] = 0
    assert payouts.unpaid(await chain.done(payouts.address, bytes(data))) == [Unpaid(0, person(1), 0)]


# Replacement


async def test_a_node_takes_the_replacement_and_pays_once(chain, payouts):
    """The owner's transaction, signed as the signer does, waits while the base fee has risen above it."""
    owner = address_of_key(GAS_KEY)
    mine = float_of(owner, chain.plan.vault)
    await deploy_float(chain.url, owner, chain.plan.vault, GAS_KEY)
    await chain.done(mine, value=100)
    base = int((await chain.call("eth_getBlockByNumber", "latest", False))["baseFeePerGas"], 16)
    nonce = int(await chain.call("eth_getTransactionCount", owner, "latest"), 16)
    data, gas = pay_call(COIN, [(person(1), 60)]), gas_limit(is_coin=True, lines=1)
    old = Transaction(chain.network.chain_id, nonce, Fees(base + 1, 1), gas, mine, 0, data)
    await chain.call("evm_setAutomine", False)
    first = await send(chain, sign(old, GAS_KEY))
    await chain.call("anvil_setNextBlockBaseFeePerGas", hex(2 * base))
    await chain.mine()
    assert await chain.call("eth_getTransactionReceipt", first) is None
    base = int((await chain.call("eth_getBlockByNumber", "latest", False))["baseFeePerGas"], 16)
    fees = bump(old.fees, FeeLevel(base, 1), 10 * base)
    assert fees is not None
    second = await send(chain, sign(replace(old, fees=fees), GAS_KEY))
    await chain.mine()
    assert (await chain.receipt(second))["status"] == "0x1"
    assert await chain.call("eth_getTransactionReceipt", first) is None
    assert await chain.coin(person(1)) == 60
    sent = await chain.call("eth_getRawTransactionByHash", second)
    assert decode(bytes.fromhex(sent[2:])) == (replace(old, fees=fees), owner)


async def send(chain, signed):
    return await chain.call("eth_sendRawTransaction", "0x" + signed.raw.hex())


# Who may do what


@pytest.mark.parametrize("name", [COIN, "NoReturnToken"])
async def test_nobody_but_the_owner_can_make_it_act(chain, payouts, name):
    token = await asset(chain, payouts, name)
    stranger = (await chain.call("eth_accounts"))[2]
    vault = chain.plan.vault
    for data in (
        pay_call(token, [(stranger, 5)]),
        to_vault_call(token, 5),
        selector("payToken(address,uint256)") + address_word(token) + line(stranger, 5),
        transfer_call(stranger, 5),
        selector("execute(address,uint256,bytes)"),
        b"\x00",
    ):
        assert await status(chain, stranger, payouts.address, data) == "0x0", data.hex()
    await chain.call("anvil_setBalance", vault, hex(10**18))
    assert await status(chain, vault, payouts.address, pay_call(token, [(stranger, 5)])) == "0x0"
    inner = selector("payToken(address,uint256)") + address_word(token) + line(stranger, 5)
    assert await status(chain, chain.payer, payouts.address, inner) == "0x0"
    assert await payouts.has(token) == 10_000


@pytest.mark.parametrize("name", [COIN, "NoReturnToken", "FeeToken", "ModestToken"])
@pytest.mark.parametrize("by_vault", [False, True], ids=["owner", "vault"])
async def test_owner_and_vault_can_send_it_home(chain, payouts, name, by_vault):
    """The vault, so that a lost owner's key loses no money."""
    token, vault = await asset(chain, payouts, name), chain.plan.vault
    await chain.call("anvil_setBalance", vault, hex(10**18))
    before = await payouts.balance(token, vault)
    caller = vault if by_vault else chain.payer
    receipt = await transact(chain, caller, payouts.address, to_vault_call(token, 10_000))
    assert receipt["status"] == "0x1"
    assert int(receipt["gasUsed"], 16) < to_vault_gas_limit()
    assert await payouts.has(token) == 0
    if token != COIN or not by_vault:  # it pays for gas itself
        assert await payouts.balance(token, vault) - before == (9_900 if name == "FeeToken" else 10_000)
    (log,) = [one for one in receipt["logs"] if one["topics"][0] == RETURNED_TOPIC]
    assert log["address"] == payouts.address.lower()
    assert log["topics"][1] == "0x" + address_word(token).hex()
    assert int(log["data"], 16) == 10_000


@pytest.mark.parametrize("name", [COIN, "PlainToken", "FalseToken", "LyingToken"])
async def test_sending_home_says_so_when_nothing_moved(chain, payouts, name):
    token = await asset(chain, payouts, name)
    units = 10_001 if name in (COIN, "PlainToken") else 1
    assert await status(chain, chain.payer, payouts.address, to_vault_call(token, units)) == "0x0"
    assert await payouts.has(token) == 10_000


async def test_coin_that_arrives_is_an_event_within_the_gas_of_an_old_transfer(chain, payouts):
    payer = await chain.contract("InternalPayer")
    pay = selector("payWithStipend(address)") + address_word(payouts.address)
    receipt = await chain.done(payer, pay, value=7)
    (log,) = receipt["logs"]
    assert log["address"] == payouts.address.lower()
    assert log["topics"] == [RECEIVED_TOPIC, "0x" + address_word(payer).hex()]
    assert int(log["data"], 16) == 7


# Deployment


async def test_deploying_again_makes_nothing(chain, payouts):
    again = await deploy_float(chain.url, chain.payer, chain.plan.vault, BROKE)
    assert (again.made, again.gas_used) == ((), 0)


async def test_its_address_follows_from_owner_and_vault(chain, payouts):
    async def asked(signature):
        data = {"to": payouts.address, "data": "0x" + selector(signature).hex()}
        return checksum(bytes.fromhex((await chain.call("eth_call", data, "latest"))[26:]))

    assert await asked("OWNER()") == checksum(address_bytes(chain.payer))
    assert await asked("VAULT()") == chain.plan.vault
    assert float_of(chain.plan.vault, chain.payer) != payouts.address


async def test_foreign_code_where_the_float_belongs_is_found(chain, payouts):
    await chain.call("anvil_setCode", payouts.address, "0x00")
    with pytest.raises(ContractMismatch):
        await deploy_float(chain.url, chain.payer, chain.plan.vault, BROKE)


async def transact(chain, caller, to, data):
    await chain.call("anvil_impersonateAccount", caller)
    asked = {"from": caller, "to": to, "data": "0x" + data.hex(), "gas": hex(500_000)}
    receipt = await chain.receipt(await chain.call("eth_sendTransaction", asked))
    await chain.call("anvil_stopImpersonatingAccount", caller)
    return receipt


async def status(chain, caller, to, data):
    return (await transact(chain, caller, to, data))["status"]


def address_word(address: str) -> bytes:
    return address_bytes(address).rjust(32, b"\0")


def line(address: str, units: int) -> bytes:
    return address_bytes(address) + units.to_bytes(12, "big")
