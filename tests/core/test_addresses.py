"""Deposit addresses, derived twice: by us and by embit; and addresses as people write them."""

import pytest
from embit import bip32, descriptor, networks as embit_networks
from hypothesis import given, settings, strategies as st

from holdfast.core import evm
from holdfast.core.addresses import (
    AddressMalformed,
    AddressOnWrongNetwork,
    BitcoinVault,
    EvmVault,
    VaultOnWrongNetwork,
    deposit_address,
    parse_address,
)
from holdfast.core.descriptors import DescriptorChecksumWrong, DescriptorMalformed, VaultDescriptor
from holdfast.core.errors import HoldfastError
from holdfast.core.networks import BITCOIN_NETWORKS, BitcoinNetwork, ScriptType, known_network

SEEDS = st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=5, unique=True)
BITCOIN, LITECOIN, DOGECOIN, ETHEREUM = (
    known_network(name) for name in ("bitcoin", "litecoin", "dogecoin", "ethereum")
)


def xpubs(seeds: list[bytes]) -> list[str]:
    keys = [bip32.HDKey.from_seed(seed).derive("m/48h/0h/0h/2h") for seed in seeds]
    return [f"[00000000/48h/0h/0h/2h]{key.to_public().to_base58()}/0/*" for key in keys]


def embit_parameters(network: BitcoinNetwork) -> dict[str, object]:
    return {
        **embit_networks.NETWORKS["main"],
        "bech32": network.hrp or "none",
        "p2sh": bytes([network.p2sh[0]]),
        "p2pkh": bytes([network.p2pkh]),
    }


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(0, 2**31 - 1), st.sampled_from(BITCOIN_NETWORKS), st.data())
def test_every_address_is_the_one_that_embit_derives(
    seeds: list[bytes], index: int, network: BitcoinNetwork, data: st.DataObject
) -> None:
    threshold = data.draw(st.integers(1, len(seeds)))
    text = f"{network.script_type.value}(sortedmulti({threshold},{','.join(xpubs(seeds))}))"
    theirs = descriptor.Descriptor.from_string(text).derive(index).address(embit_parameters(network))
    assert deposit_address(network, BitcoinVault(text), index) == theirs
    assert parse_address(network, theirs) == theirs


def test_a_descriptors_checksum_is_checked_where_it_stands() -> None:
    # BIP 380, test vectors of its reference checksum, through embit's independent implementation.
    text = str(descriptor.Descriptor.from_string(f"wsh(sortedmulti(1,{xpubs([b'1' * 32])[0]}))"))
    plain = text.split("#")[0]
    from embit.descriptor.checksum import add_checksum

    assert VaultDescriptor.parse(add_checksum(plain)) == VaultDescriptor.parse(plain)
    with pytest.raises(DescriptorChecksumWrong):
        VaultDescriptor.parse(plain + "#qqqqqqqq")


KEY = xpubs([b"1" * 32])[0]


@pytest.mark.parametrize(
    "text",
    [
        "", "wsh()", f"wsh(multi(1,{KEY}))", f"wsh(sortedmulti(0,{KEY}))", f"wsh(sortedmulti(2,{KEY}))",
        f"tr(sortedmulti(1,{KEY}))", f"wsh(sortedmulti(1,{KEY.replace('xpub', 'xpuz')}))",
        f"wsh(sortedmulti(1,{KEY.removesuffix('/*')}))", f"wsh(sortedmulti(1,{KEY.replace('/0/*', '/0h/*')}))",
        f"wsh(sortedmulti(1,{bip32.HDKey.from_seed(b'1' * 32).to_base58()}/0/*))",
    ],
)  # fmt: skip
def test_a_descriptor_that_is_not_a_watch_only_multisig_is_refused(text: str) -> None:
    with pytest.raises(DescriptorMalformed):
        VaultDescriptor.parse(text)


@pytest.mark.parametrize("index", [-1, 2**31])
def test_only_unhardened_indexes_have_an_address(index: int) -> None:
    with pytest.raises(DescriptorMalformed):
        deposit_address(LITECOIN, BitcoinVault(f"wsh(sortedmulti(1,{KEY}))"), index)


def test_a_coin_without_segwit_has_no_segwit_vault() -> None:
    with pytest.raises(DescriptorMalformed):
        deposit_address(DOGECOIN, BitcoinVault(f"wsh(sortedmulti(1,{KEY}))"), 0)


def test_a_vault_belongs_to_one_family() -> None:
    with pytest.raises(VaultOnWrongNetwork):
        deposit_address(ETHEREUM, BitcoinVault(f"wsh(sortedmulti(1,{KEY}))"), 0)
    with pytest.raises(VaultOnWrongNetwork):
        deposit_address(LITECOIN, EvmVault("0x", "0x", "0x"), 0)


@pytest.mark.parametrize(
    ("network", "text", "canonical"),
    [
        # BIP 173 and BIP 350, valid addresses
        (BITCOIN, "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"),
        (BITCOIN, "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0", None),
        (BITCOIN, "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2", None),
        (BITCOIN, "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy", None),
        (ETHEREUM, "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"),
    ],
)
def test_an_address_has_one_form_in_which_it_is_compared(network: object, text: str, canonical: str | None) -> None:
    assert parse_address(network, text) == (canonical or text)  # type: ignore[arg-type]  # the table names networks


@pytest.mark.parametrize(
    ("network", "text", "refusal"),
    [
        (BITCOIN, "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5", AddressMalformed),  # BIP 173: checksum
        (BITCOIN, "bc1Qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", AddressMalformed),  # BIP 173: mixed case
        (
            BITCOIN,
            "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd",
            AddressMalformed,
        ),  # BIP 350: bech32 for v1
        (BITCOIN, "ltc1qw508d6qejxtdg4y5r3zarvary0c5xw7kgmn4n9", AddressOnWrongNetwork),
        (LITECOIN, "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", AddressOnWrongNetwork),
        (DOGECOIN, "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", AddressOnWrongNetwork),
        (LITECOIN, "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2", AddressOnWrongNetwork),
        (BITCOIN, "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN3", AddressMalformed),
        (BITCOIN, "", AddressMalformed),
        (BITCOIN, "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", AddressMalformed),
        (ETHEREUM, "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD", evm.EvmAddressChecksumWrong),
        (ETHEREUM, "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", evm.EvmAddressMalformed),
    ],
)
def test_a_wrong_address_is_refused_for_what_is_wrong(network: object, text: str, refusal: type[HoldfastError]) -> None:
    with pytest.raises(refusal):
        parse_address(network, text)  # type: ignore[arg-type]  # the table names networks


@given(st.text(max_size=80))
def test_random_text_is_no_address(text: str) -> None:
    for network in (BITCOIN, DOGECOIN, ETHEREUM):
        with pytest.raises(HoldfastError):
            parse_address(network, text)


def test_script_types_follow_the_network() -> None:
    assert {network.script_type for network in BITCOIN_NETWORKS if network.hrp is None} == {ScriptType.SH}
