"""What the canary reads on the page that payers see."""

from datetime import UTC, datetime

import pytest

from holdfast.client.messages import Quote
from holdfast.core.networks import known_network
from holdfast.faces.canary.rounds import foreign_addresses

LTC, EVM = known_network("litecoin-regtest"), known_network("anvil")
OURS_LTC = "rltc1q" + "q" * 38
THIEF_LTC = "rltc1q" + "z" * 38
OURS, TOKEN, THIEF = "0x" + "aA" * 20, "0x" + "bB" * 20, "0x" + "cC" * 20


def quote(asset: str, address: str) -> Quote:
    return Quote(
        asset=asset, symbol="", network=asset.partition("/")[0], address=address, index=1, due_units="1", due="1",
        left_units="1", left="1", uri="", rate=None, valid_until=datetime.now(UTC),
    )  # fmt: skip


def test_a_page_with_the_vaults_address_alone_is_right() -> None:
    page = f'<code>{OURS_LTC}</code><a href="litecoin:{OURS_LTC}?amount=1">'
    assert list(foreign_addresses(page, quote(LTC.coin.id, OURS_LTC))) == []


def test_the_tokens_own_contract_may_stand_in_the_payment_uri() -> None:
    page = f"<code>{OURS}</code> ethereum:{TOKEN.lower()}@1/transfer?address={OURS}&uint256=1"
    assert list(foreign_addresses(page, quote(f"{EVM.id}/erc20:{TOKEN}", OURS))) == []


@pytest.mark.parametrize(("ours", "thief", "asset"), [(OURS_LTC, THIEF_LTC, LTC.coin.id), (OURS, THIEF, EVM.coin.id)])
def test_a_page_with_a_thiefs_address_beside_or_instead_is_found(ours: str, thief: str, asset: str) -> None:
    beside = list(foreign_addresses(f"<code>{ours}</code><a href='x:{thief}'>", quote(asset, ours)))
    assert beside == [f"the page for {asset} shows {thief}, the vault's is {ours}"]
    instead = list(foreign_addresses(f"<code>{thief}</code>", quote(asset, ours)))
    assert len(instead) == 2


def test_a_page_without_any_address_is_found() -> None:
    assert len(list(foreign_addresses("<p>pay by card</p>", quote(EVM.coin.id, OURS)))) == 1
