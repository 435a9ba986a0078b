"""What the float is told, as bytes that say one thing only, and what replaces a transaction that waits. No node."""

from __future__ import annotations

from contextlib import suppress

import pytest
from eth_abi import encode
from hypothesis import given, strategies as st

from holdfast.chains.evm_contracts import COIN, artefact, selector
from holdfast.core.evm import EvmAddressChecksumWrong, checksum
from holdfast.core.evm_float import (
    LINES_MAX,
    FeeLevel,
    FloatCallInvalid,
    PayCall,
    Unpaid,
    bump,
    decode_pay_call,
    fees_at,
    float_address,
    is_payable,
    pay_call,
    read_unpaid,
    replace_fees,
    to_vault_call,
)
from holdfast.core.evm_transactions import Fees

addresses = st.integers(2**16, 2**160 - 1).map(lambda number: checksum(number.to_bytes(20, "big")))
tokens = st.just(COIN) | addresses
lines_ = st.lists(st.tuples(addresses, st.integers(1, 2**96 - 1)), min_size=1, max_size=20)
wei = st.integers(0, 10**14)
levels = st.builds(FeeLevel, wei, wei)
SOMEBODY = checksum(b"\x12" * 20)


@st.composite
def fees(draw):
    tip = draw(wei)
    return Fees(tip + draw(wei), tip)


# Call data


@given(tokens, lines_)
def test_what_is_encoded_is_decoded(token, lines):
    assert decode_pay_call(pay_call(token, lines)) == PayCall(token, tuple(lines))


@given(tokens, lines_, st.integers(0, 2**256 - 1))
def test_another_encoder_writes_the_same_bytes(token, lines, units):
    words = [int(address, 16) << 96 | amount for address, amount in lines]
    assert pay_call(token, lines) == selector("pay(address,uint256[])") + encode(
        ["address", "uint256[]"], [token, words]
    )
    expected = selector("toVault(address,uint256)") + encode(["address", "uint256"], [token, units])
    assert to_vault_call(token, units) == expected


@given(tokens, lines_, st.data())
def test_a_changed_byte_is_another_call_or_none(token, lines, data):
    call = pay_call(token, lines)
    changed = bytearray(call)
    changed[data.draw(st.integers(0, len(call) - 1))] ^= data.draw(st.integers(1, 255))
    with suppress(FloatCallInvalid):
        assert decode_pay_call(bytes(changed)) != PayCall(token, tuple(lines))


@given(st.binary(max_size=300))
def test_other_bytes_are_refused_by_name(data):
    with pytest.raises(FloatCallInvalid):
        decode_pay_call(data)


@given(tokens, lines_, st.binary(min_size=1, max_size=40))
def test_what_follows_or_is_missing_is_refused(token, lines, more):
    call = pay_call(token, lines)
    for wrong in (call + more, call[: -len(more)]):
        with pytest.raises(FloatCallInvalid):
            decode_pay_call(wrong)


@pytest.mark.parametrize(
    "line",
    [
        (SOMEBODY, 0),
        (SOMEBODY, -1),
        (SOMEBODY, 2**96),
        (COIN, 1),
        (checksum((0x100).to_bytes(20, "big")), 1),  # a precompile (RIP-7212)
    ],
)
def test_a_line_that_would_pay_nobody_is_refused(line):
    with pytest.raises(FloatCallInvalid):
        pay_call(COIN, [(SOMEBODY, 1), line])
    assert not is_payable(*line)
    assert is_payable(SOMEBODY, 2**96 - 1)


def test_a_mistyped_address_is_refused():
    with pytest.raises(EvmAddressChecksumWrong):
        pay_call(COIN, [("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD", 1)])


def test_a_call_has_one_to_five_hundred_lines():
    assert len(decode_pay_call(pay_call(COIN, [(SOMEBODY, 1)] * LINES_MAX)).lines) == LINES_MAX
    for count in (0, LINES_MAX + 1):
        with pytest.raises(FloatCallInvalid):
            pay_call(COIN, [(SOMEBODY, 1)] * count)


def test_an_unpaid_line_is_read_from_its_log():
    data = encode(["uint256", "uint256"], [7, int(SOMEBODY, 16) << 96 | 55])
    assert read_unpaid(data) == Unpaid(7, SOMEBODY, 55)


def test_the_address_follows_from_owner_vault_and_code():
    code, other = artefact("Float").creation, checksum(b"\x34" * 20)
    made = {
        float_address(*parts) for parts in ((SOMEBODY, other, code), (other, SOMEBODY, code), (SOMEBODY, other, b""))
    }
    assert len(made) == 3
    assert float_address(SOMEBODY.lower(), other, code) in made


# Replacement


@given(fees(), levels)
def test_a_replacement_offers_an_eighth_more_at_least_and_what_is_asked_now(old, level):
    new = replace_fees(old, level)
    assert new.max_fee_wei * 8 >= old.max_fee_wei * 9
    assert new.max_priority_fee_wei * 8 >= old.max_priority_fee_wei * 9
    assert new.max_fee_wei > old.max_fee_wei
    assert new.max_priority_fee_wei > old.max_priority_fee_wei
    assert new.max_fee_wei >= new.max_priority_fee_wei
    assert min(new.max_priority_fee_wei, new.max_fee_wei - level.base_fee_wei) >= level.priority_fee_wei


@given(fees(), levels, wei)
def test_a_bump_never_exceeds_the_cap_and_is_always_one_that_nodes_take(old, level, cap):
    new = bump(old, level, cap)
    if new is not None:
        assert new.max_priority_fee_wei <= new.max_fee_wei <= cap
        assert new.max_fee_wei * 8 >= old.max_fee_wei * 9
        assert new.max_priority_fee_wei * 8 >= old.max_priority_fee_wei * 9


@given(levels, wei)
def test_a_transaction_at_the_fees_of_now_is_left_alone(level, cap):
    assert bump(fees_at(level), level, cap) is None


GWEI = 10**9


@pytest.mark.parametrize(
    ("old", "level", "cap", "new"),
    [
        # The base fee rose above what it offers.
        (Fees(20 * GWEI, GWEI), FeeLevel(30 * GWEI, GWEI), 100 * GWEI, Fees(61_125_000_000, 1_125_000_000)),
        # The tip that gets in rose.
        (Fees(20 * GWEI, GWEI), FeeLevel(5 * GWEI, 3 * GWEI), 100 * GWEI, Fees(22_500_000_000, 3 * GWEI)),
        # What is wanted is cut to the cap, what nodes want is not.
        (Fees(20 * GWEI, GWEI), FeeLevel(30 * GWEI, GWEI), 40 * GWEI, Fees(40 * GWEI, 1_125_000_000)),
        (Fees(20 * GWEI, GWEI), FeeLevel(30 * GWEI, GWEI), 22_499_999_999, None),
        # It still pays the tip of now.
        (Fees(20 * GWEI, GWEI), FeeLevel(19 * GWEI, GWEI), 100 * GWEI, None),
        # A network without tips: nodes want more all the same.
        (Fees(7, 0), FeeLevel(8, 0), 100, Fees(17, 1)),
    ],
)
def test_when_and_with_what_a_waiting_transaction_is_replaced(old, level, cap, new):
    assert bump(old, level, cap) == new
