"""Shares of what arrived, for every combination of logs, payments and balances. No node."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from holdfast.chains.evm_attribution import (
    CoinPayment,
    TokenLog,
    bloom_may_hold,
    coin_arrivals,
    gained,
    token_arrivals,
)
from holdfast.chains.port import NodeAnswerMalformed
from holdfast.core.evm import keccak256
from holdfast.core.money import Asset, AssetId

ASSET = Asset(AssetId("eip155:1/erc20:0x33"), "TOK", 18)
COIN_ID = AssetId("eip155:1/slip44:60")
UNITS = st.integers(1, 2**256 - 1)


@given(st.lists(UNITS, min_size=1, max_size=6), st.integers(-(2**255), 2**256))
def test_logs_together_are_credited_what_arrived_and_never_more_than_they_say(logged, gain):
    logs = [TokenLog(f"0x{place}", place, "0x33", "A", units) for place, units in enumerate(logged)]
    found = token_arrivals(logs, {("A", "0x33"): gain}, {"0x33": ASSET})
    assert sum(one.units for one in found) == min(max(gain, 0), sum(logged))
    says = {f"0x{place}:{place}": units for place, units in enumerate(logged)}
    # One unit of rounding at most, and never above the log: a fee never makes somebody else's payment larger.
    assert all(0 < one.units <= says[one.key] for one in found)


@given(st.lists(UNITS, max_size=5), st.integers(0, 2**128))
def test_coin_is_credited_in_full_and_what_no_transaction_explains_apart(paid, internal):
    payments = [CoinPayment(f"0x{place}", "A", units) for place, units in enumerate(paid)]
    found = coin_arrivals(payments, {"A": sum(paid) + internal}, "0xb", COIN_ID)
    assert [one.units for one in found] == [*paid, *([internal] if internal else [])]
    assert len({one.key for one in found}) == len(found)


@given(UNITS, st.integers(1, 2**128))
def test_a_balance_that_grew_by_less_than_was_paid_is_a_contradiction(units, missing):
    with pytest.raises(NodeAnswerMalformed):
        coin_arrivals([CoinPayment("0x1", "A", units)], {"A": units - missing}, "0xb", COIN_ID)
    with pytest.raises(NodeAnswerMalformed):
        coin_arrivals([CoinPayment("0x1", "A", units)], {}, "0xb", COIN_ID)


@given(st.integers(0, 2**128), st.lists(st.tuples(st.integers(0, 2**128), st.booleans()), max_size=8))
def test_what_is_flushed_away_is_never_missing_and_never_counted_twice(start, moves):
    balance, out = start, 0
    for units, is_flushed in moves:
        balance += units
        if is_flushed:
            out, balance = out + balance, 0
    assert gained(start, balance, out) == sum(units for units, _ in moves)


@given(st.lists(st.binary(min_size=20, max_size=32), max_size=20), st.binary(min_size=20, max_size=32))
def test_a_bloom_never_hides_a_log_that_is_there(items, other):
    bloom = 0
    for item in items:
        digest = keccak256(item)
        for offset in (0, 2, 4):
            bloom |= 1 << (int.from_bytes(digest[offset : offset + 2], "big") & 2047)
    assert all(bloom_may_hold(bloom, keccak256(item)) for item in items)
    if not items:
        assert not bloom_may_hold(bloom, keccak256(other))
