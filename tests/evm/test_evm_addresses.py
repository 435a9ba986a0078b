"""EVM addresses: the vectors of EIP-55 and EIP-1014, and every wrong form by its name. No node."""

from __future__ import annotations

import pytest
from eth_account import Account
from hypothesis import given, strategies as st

from holdfast.chains.evm_transactions import address_of_key, sign
from holdfast.core.evm import (
    INDEX_MAX,
    AddressIndexOutOfRange,
    EvmAddressChecksumWrong,
    EvmAddressMalformed,
    VaultOwnersInvalid,
    checksum,
    create2,
    deposit_address,
    keccak256,
    parse_address,
    safe_initializer,
)
from holdfast.core.evm_transactions import Fees, Transaction

EIP55 = (
    "0x52908400098527886E0F7030069857D2E4169EE7",
    "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
    "0xde709f2102306220921060314715629080e2fb77",
    "0x27b1fdb04752bbc536007a920d24acb045561c26",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
)

EIP1014 = (  # deployer, salt, init code, address: all examples of the EIP
    ("00" * 20, "00" * 32, "00", "0x4D1A2e2bB4F88F0250f26Ffff098B0b30B26BF38"),
    ("deadbeef" + "00" * 16, "00" * 32, "00", "0xB928f69Bb1D91Cd65274e3c79d8986362984fDA3"),
    ("deadbeef" + "00" * 16, "00" * 12 + "feed" + "00" * 18, "00", "0xD04116cDd17beBE565EB2422F2497E06cC1C9833"),
    ("00" * 20, "00" * 32, "deadbeef", "0x70f2b2914A2a4b783FaEFb75f459A580616Fcb5e"),
    ("00" * 16 + "deadbeef", "00" * 28 + "cafebabe", "deadbeef", "0x60f3f640a8508fC6a86d45DF051962668E1e8AC7"),
    ("00" * 16 + "deadbeef", "00" * 28 + "cafebabe", "deadbeef" * 11, "0x1d8bfDC5D46DC4f61D6b6115972536eBE6A8854C"),
    ("00" * 20, "00" * 32, "", "0xE33C0C7F7df4809055C3ebA6c09CFe4BaF1BD9e0"),
)


@pytest.mark.parametrize("text", EIP55)
def test_the_vectors_of_eip_55(text):
    assert checksum(bytes.fromhex(text[2:])) == text
    assert parse_address(text) == text


@pytest.mark.parametrize(("deployer", "salt", "code", "address"), EIP1014)
def test_the_vectors_of_eip_1014(deployer, salt, code, address):
    assert checksum(create2(bytes.fromhex(deployer), bytes.fromhex(salt), keccak256(bytes.fromhex(code)))) == address


@given(st.binary(min_size=20, max_size=20))
def test_all_lower_and_all_upper_case_are_accepted_and_made_canonical(address):
    text = address.hex()
    assert parse_address("0x" + text) == parse_address("0x" + text.upper()) == checksum(address)


@given(st.binary(min_size=20, max_size=20), st.integers(0, 39))
def test_one_letter_in_the_wrong_case_is_found(address, place):
    canonical = checksum(address)[2:]
    wrong = canonical[:place] + canonical[place].swapcase() + canonical[place + 1 :]
    if wrong in (canonical, wrong.lower(), wrong.upper()):
        assert parse_address("0x" + wrong) == "0x" + canonical
    else:
        with pytest.raises(EvmAddressChecksumWrong):
            parse_address("0x" + wrong)


@pytest.mark.parametrize(
    "text",
    ["", "0x", EIP55[0][2:], EIP55[0] + "0", EIP55[0][:-1], EIP55[0][:-1] + "g", " " + EIP55[0], EIP55[0] + "\n",
     "bc1q", "0x" + "\u0661" * 40],
)  # fmt: skip
def test_what_is_no_address_is_refused_by_name(text):
    with pytest.raises(EvmAddressMalformed):
        parse_address(text)


@pytest.mark.parametrize("index", [-1, INDEX_MAX + 1])
def test_an_index_outside_one_word_is_refused(index):
    with pytest.raises(AddressIndexOutOfRange):
        deposit_address(EIP55[0], EIP55[1], index)


@given(st.integers(0, INDEX_MAX), st.integers(0, INDEX_MAX))
def test_two_indexes_never_share_an_address(one, other):
    same = deposit_address(EIP55[0], EIP55[1], one) == deposit_address(EIP55[0], EIP55[1], other)
    assert same == (one == other)


@pytest.mark.parametrize(
    ("owners", "threshold"),
    [([], 1), ([EIP55[0]], 0), ([EIP55[0]], 2), ([EIP55[0], EIP55[0].lower()], 1), (["0x" + "0" * 40], 1),
     (["0x" + "0" * 39 + "1"], 1), ([f"0x{number:040x}" for number in range(2, 53)], 2)],
)  # fmt: skip
def test_owners_that_make_no_safe_vault_are_refused(owners, threshold):
    with pytest.raises(VaultOwnersInvalid):
        safe_initializer(owners, threshold)


KEYS = st.integers(1, 2**252).map(lambda number: number.to_bytes(32, "big"))


@given(
    KEYS,
    st.integers(1, 2**53),
    st.integers(0, 2**40),
    st.integers(0, 2**200),
    st.binary(max_size=400),
    st.integers(0, 2**60),
)
def test_transactions_are_signed_as_a_second_library_signs_them(key, chain_id, nonce, value, data, fee):
    transaction = Transaction(chain_id, nonce, Fees(fee, fee // 3), 21_000 + nonce, EIP55[4], value, data)
    theirs = Account.sign_transaction(
        {"type": 2, "chainId": chain_id, "nonce": nonce, "maxFeePerGas": fee, "maxPriorityFeePerGas": fee // 3,
         "gas": 21_000 + nonce, "to": EIP55[4], "value": value, "data": data},
        key,
    )  # fmt: skip
    ours = sign(transaction, key)
    assert ours.raw == bytes(theirs.raw_transaction)
    assert ours.hash == "0x" + theirs.hash.hex().removeprefix("0x")
    assert address_of_key(key) == Account.from_key(key).address
