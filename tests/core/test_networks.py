"""Networks as data: ids by CAIP-2 and CAIP-19, one network one id."""

import pytest

from holdfast.core.networks import (
    KNOWN_NETWORKS,
    BitcoinNetwork,
    NetworkUnknown,
    erc20_asset,
    evm_network,
    known_network,
    parse_network_id,
)


@pytest.mark.parametrize(
    ("name", "caip2"),
    [
        # The examples of the CAIP-2 profiles of bip122 and eip155.
        ("bitcoin", "bip122:000000000019d6689c085ae165831e93"),
        ("litecoin", "bip122:12a765e31ffd4059bada1e25190f6e98"),
        ("dogecoin", "bip122:1a91e3dace36e2be3bf030a65679fe82"),
        ("ethereum", "eip155:1"),
    ],
)
def test_networks_have_the_ids_of_their_profiles(name: str, caip2: str) -> None:
    assert known_network(name) is known_network(caip2) is KNOWN_NETWORKS[parse_network_id(caip2)]


def test_no_two_networks_share_an_id_a_name_or_what_addresses_look_like_on_the_real_ones() -> None:
    names = [network.name for network in KNOWN_NETWORKS.values()]
    assert len(set(names)) == len(names)
    real = [one for one in KNOWN_NETWORKS.values() if isinstance(one, BitcoinNetwork) and not one.is_test]
    assert len({(one.hrp, one.p2pkh, one.p2sh[0]) for one in real}) == len(real)


@pytest.mark.parametrize(
    "text", ["", "eip155:", "eip155:0", "eip155:01", "bip122:xyz", "solana:1", "EIP155:1", "eip155:1 "]
)
def test_what_is_no_network_id_is_refused(text: str) -> None:
    with pytest.raises(NetworkUnknown):
        parse_network_id(text)


def test_a_network_that_nobody_knows_is_named() -> None:
    with pytest.raises(NetworkUnknown, match="mars"):
        known_network("mars")


def test_any_evm_network_is_its_chain_id_and_a_token_has_one_id_however_its_address_is_written() -> None:
    own = evm_network(4242, "own", "OWN", is_test=True)
    assert (own.id, own.chain_id, own.coin.decimals) == ("eip155:4242", 4242, 18)
    tokens = {erc20_asset(own, address, "T", 6).id for address in ("0x" + "aB" * 20, "0x" + "ab" * 20)}
    assert tokens == {f"eip155:4242/erc20:0x{'ab' * 20}"}
