"""The policy: what has no limit does not load, and every loosening is found."""

import re
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings, strategies as st

from fixtures_signer import EVM, LTC, policy_text
from holdfast.core.networks import known_network
from holdfast.faces.cli.policy_text import policy_text as first_policy
from holdfast.policy.document import PolicyMalformed, loosenings, read_policy

TEXT = policy_text()


def changed(old: str, new: str, count: int = 1) -> bytes:
    assert old in TEXT, old
    return TEXT.replace(old, new, count).encode()


def test_a_policy_says_what_it_says() -> None:
    policy = read_policy(TEXT.encode())
    asset = policy.assets[LTC.coin.id]
    assert (asset.payout_max_units, asset.total.burst_units) == (50 * 10**8, 150 * 10**8)
    assert policy.networks[EVM.id].house.keys() == {"cap-sweep", "consolidation"}
    assert asset.approvals_for(40 * 10**8) == 0
    assert asset.approvals_for(40 * 10**8 + 1) == 1


# A band of approvals that is not there limits nothing by itself, so a policy may do without.
LINES = [line for line in TEXT.splitlines() if " = " in line and not line.startswith("approvals")]


@pytest.mark.parametrize("line", sorted(set(LINES)), ids=lambda line: line.split(" = ")[0])
def test_without_any_one_of_its_lines_a_policy_does_not_load(line: str) -> None:
    with pytest.raises(PolicyMalformed):
        read_policy(changed(line + "\n", ""))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('burst = "150"', 'burst = "unlimited"'),
        ('burst = "150"', 'burst = "-1"'),
        ('burst = "150"', "burst = 150"),
        ('burst = "150"', 'burst = "1e9"'),
        ('burst = "150"', 'burst = "0.000000001"'),
        ("version = 1", "version = 0"),
        ("version = 1", "version = 1\npermissive = true"),
        ("2036-01-01T00:00:00Z", "2036-01-01T00:00:00"),
        ("confirmations = 1", "confirmations = 0"),
        ("decimals = 8", "decimals = 9"),
        ('"cap-sweep"', '"gift"'),
        ("count = 1", "count = 0"),
        (LTC.id, "bip122:00000000000000000000000000000000"),
        ("key_change_seconds = 3600", "key_change_seconds = -1"),
    ],
)
def test_what_is_no_limit_does_not_load(old: str, new: str) -> None:
    with pytest.raises(PolicyMalformed):
        read_policy(changed(old, new))


def test_delays_have_floors_where_money_is_real() -> None:
    text = first_policy(
        [(known_network("litecoin"), [known_network("litecoin").coin])], datetime(2036, 1, 1, tzinfo=UTC)
    )
    assert read_policy(text.encode()).delays.loosening_seconds == 86_400
    for name in (
        "loosening_seconds",
        "key_change_seconds",
        "recovery_seconds",
        "ageing_seconds",
        "restore_soak_seconds",
    ):
        with pytest.raises(PolicyMalformed, match=name):
            read_policy(re.sub(rf"{name} = \d+", f"{name} = 60", text).encode())
    with pytest.raises(PolicyMalformed, match="limited_divisor"):
        read_policy(re.sub(r"limited_divisor = \d+", "limited_divisor = 1", text).encode())


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('total = { burst = "150"', 'total = { burst = "151"', "limit in total"),
        ('merchant = { burst = "120", per_day = "120"', 'merchant = { burst = "120", per_day = "121"', "each merchant"),
        ('new = { burst = "100"', 'new = { burst = "101"', "new destinations"),
        ('aged = { burst = "120"', 'aged = { burst = "121"', "aged destinations"),
        ('listed = { burst = "150"', 'listed = { burst = "151"', "listed destinations"),
        ('float_cap = "500"', 'float_cap = "501"', "float cap"),
        ('payout_max = "50"', 'payout_max = "51"', "larger payouts"),
        ('unconfirmed_max = "200"', 'unconfirmed_max = "201"', "unconfirmed"),
        ('above = "40", count = 1', 'above = "41", count = 1', "fewer approvals"),
        ("confirmations = 1", "confirmations = 2", None),
        ("fee_rate_max = 200000", "fee_rate_max = 200001", "fee rate"),
        ('fee_max = "0.5"', 'fee_max = "0.6"', "a higher fee"),
        ('fees = { burst = "5"', 'fees = { burst = "6"', "fee budget"),
        ('"cap-sweep" = { burst = "2"', '"cap-sweep" = { burst = "3"', "cap-sweep"),
        ("loosening_seconds = 3600", "loosening_seconds = 3599", "shorter"),
        ("ageing_seconds = 3600", "ageing_seconds = 3601", None),
        ("restore_soak_seconds = 600", "restore_soak_seconds = 599", "shorter"),
        ("limited_divisor = 10", "limited_divisor = 9", "a larger part"),
        ("limited_divisor = 10", "limited_divisor = 11", None),
        ("intent_seconds_max = 604800", "intent_seconds_max = 604801", "wait longer"),
        ("2036-01-01", "2037-01-01", "expires later"),
        ('total = { burst = "150"', 'total = { burst = "149"', None),
    ],
)
def test_every_loosening_is_found_and_a_tightening_is_none(old: str, new: str, what: str | None) -> None:
    before, text = read_policy(TEXT.encode()), changed(old, new).replace(b"version = 1", b"version = 2", 1)
    found = loosenings(before, read_policy(text))
    assert bool(found) == (what is not None)
    assert what is None or any(what in one for one in found)


def test_an_older_version_a_listed_destination_and_a_merchants_own_limit_are_loosenings() -> None:
    before = read_policy(TEXT.encode())
    assert loosenings(before, before) == ["version 1 is not above 1"]
    second = TEXT.replace("version = 1", "version = 2", 1)
    listed = (
        second
        + f'[[listed]]\nmerchant = "mer_one"\nnetwork = "{LTC.id}"\naddress = "x"\nexpires_at = 2030-01-01T00:00:00Z\n'
    )
    assert any("listed" in one for one in loosenings(before, read_policy(listed.encode())))
    own = second + f'[merchants.mer_one]\n"{LTC.coin.id}" = {{ burst = "130", per_day = "1" }}\n'
    assert any("mer_one" in one for one in loosenings(before, read_policy(own.encode())))
    tight = second + f'[merchants.mer_one]\n"{LTC.coin.id}" = {{ burst = "3", per_day = "1" }}\n'
    narrowed = read_policy(tight.encode())
    assert loosenings(before, narrowed) == []
    assert any("mer_one" in one for one in loosenings(narrowed, read_policy(second.replace("= 2", "= 3", 1).encode())))


@settings(max_examples=300)
@given(st.binary(max_size=400))
def test_whatever_bytes_come_they_are_refused_by_name(data: bytes) -> None:
    with pytest.raises(PolicyMalformed):
        read_policy(data)


@settings(max_examples=300)
@given(st.integers(0, len(TEXT) - 1), st.text(max_size=3))
def test_a_changed_policy_loads_or_is_refused_by_name(place: int, text: str) -> None:
    with suppress(PolicyMalformed):
        read_policy((TEXT[:place] + text + TEXT[place + 1 :]).encode())
