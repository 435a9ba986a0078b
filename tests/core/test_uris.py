"""Payment URIs: what is built is read back exactly, and nothing else is read."""

import pytest
from hypothesis import given, strategies as st

from holdfast.core.addresses import AddressMalformed
from holdfast.core.errors import HoldfastError
from holdfast.core.money import UNITS_MAX, AssetId
from holdfast.core.networks import EvmNetwork, known_network
from holdfast.core.uris import PaymentRequest, PaymentUriMalformed, parse_payment_uri, payment_uri

LITECOIN, ETHEREUM = known_network("litecoin"), known_network("ethereum")
LTC_ADDRESS = "ltc1qw508d6qejxtdg4y5r3zarvary0c5xw7kgmn4n9"
ETH_ADDRESS = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
USDT = AssetId("eip155:1/erc20:0xdac17f958d2ee523a2206206994597c13d831ec7")


@given(st.integers(1, 21_000_000 * 10**8))
def test_a_bip21_uri_says_the_exact_amount(units: int) -> None:
    request = PaymentRequest(LITECOIN.coin.id, LTC_ADDRESS, units)
    assert parse_payment_uri(LITECOIN, payment_uri(LITECOIN, request)) == request


@given(st.integers(1, UNITS_MAX), st.sampled_from([ETHEREUM.coin.id, USDT]))
def test_an_eip681_uri_says_the_exact_amount(units: int, asset: AssetId) -> None:
    request = PaymentRequest(asset, ETH_ADDRESS, units)
    assert parse_payment_uri(ETHEREUM, payment_uri(ETHEREUM, request)) == request


def test_the_uris_are_those_that_wallets_know() -> None:
    assert (
        payment_uri(LITECOIN, PaymentRequest(LITECOIN.coin.id, LTC_ADDRESS, 12_300_000))
        == f"litecoin:{LTC_ADDRESS}?amount=0.123"
    )
    assert (
        payment_uri(ETHEREUM, PaymentRequest(ETHEREUM.coin.id, ETH_ADDRESS, 10**18))
        == f"ethereum:{ETH_ADDRESS}@1?value={10**18}"
    )
    token = "0xdAC17F958D2ee523a2206206994597C13D831ec7"
    assert (
        payment_uri(ETHEREUM, PaymentRequest(USDT, ETH_ADDRESS, 5))
        == f"ethereum:{token}@1/transfer?address={ETH_ADDRESS}&uint256=5"
    )


@pytest.mark.parametrize(
    "text",
    [
        f"bitcoin:{LTC_ADDRESS}?amount=1", f"litecoin:{LTC_ADDRESS}", f"litecoin:{LTC_ADDRESS}?amount=1&amount=2",
        f"litecoin:{LTC_ADDRESS}?amount=1&req-magic=1", f"litecoin:{LTC_ADDRESS}?amount=1e3", "litecoin:x?amount=1",
    ],
)  # fmt: skip
def test_a_bip21_uri_that_could_be_misunderstood_is_refused(text: str) -> None:
    with pytest.raises(HoldfastError):
        parse_payment_uri(LITECOIN, text)


@pytest.mark.parametrize(
    "text",
    [
        f"ethereum:{ETH_ADDRESS}@137?value=1", f"ethereum:{ETH_ADDRESS}?value=1", f"ethereum:{ETH_ADDRESS}@1",
        f"ethereum:{ETH_ADDRESS}@1?value=1e18", f"ethereum:{ETH_ADDRESS}@1?value=1&value=2",
        f"ethereum:{ETH_ADDRESS}@1/transfer?address=0x0&uint256=1", f"ethereum:{ETH_ADDRESS}@1/transfer?uint256=1",
        "ethereum:shop.eth@1?value=1",
    ],
)  # fmt: skip
def test_an_eip681_uri_that_could_be_misunderstood_is_refused(text: str) -> None:
    with pytest.raises(HoldfastError):
        parse_payment_uri(ETHEREUM, text)


def test_an_asset_of_another_network_has_no_uri_here() -> None:
    for network, asset in ((LITECOIN, USDT), (ETHEREUM, LITECOIN.coin.id)):
        with pytest.raises(PaymentUriMalformed):
            payment_uri(network, PaymentRequest(asset, ETH_ADDRESS, 1))


def test_the_address_in_a_uri_is_checked() -> None:
    with pytest.raises(AddressMalformed):
        parse_payment_uri(LITECOIN, f"litecoin:{LTC_ADDRESS[:-1]}q?amount=1")
    assert isinstance(ETHEREUM, EvmNetwork)
