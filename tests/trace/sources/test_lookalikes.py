"""Texts and addresses made to be taken for others, and what must not be taken for such."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from holdfast.trace.model import Transfer
from holdfast.trace.sources.lookalikes import Acquaintance, looks_like, skeleton
from holdfast.trace.sources.mapping import _HEADINGS
from holdfast.trace.sources.places import address_on
from holdfast.trace.sources.port import LeftOut, Noticed
from holdfast.trace.sources.tokens import Token, TokenList, TokenListMalformed, common_tokens, read_tokens

ETHEREUM = "eip155:1"
REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "transfer-sources.md"
FAKE = "0x" + "5" * 40
TOKENS = TokenList(common_tokens())


@pytest.mark.parametrize("symbol", [
    "USDT", "usdt", "U\u0405D\u0422", "\uff35\uff33\uff24\uff34", "USDT.", "$ USDT", "U\u200bSDT", "US\u0301DT",
    "\U0001d5e8SDT", "ETH", "E\u0422H", "\u0395TH", "ET\u041d...", "wETH", "LINK", "L1NK",
])  # fmt: skip
def test_what_looks_like_a_listed_symbol_is_an_imitation(symbol: str) -> None:
    assert TOKENS.judge(ETHEREUM, FAKE, symbol, 18).refused is LeftOut.IMITATION


def test_a_disguise_is_one_on_networks_without_the_listed_token_too() -> None:
    """Plain letters may be another issuer's token there; letters of other scripts have only one use."""
    assert TOKENS.judge("eip155:100", FAKE, "USDT", 6).refused is None
    assert TOKENS.judge("eip155:100", FAKE, "U\u0405DT", 6).refused is LeftOut.IMITATION


@pytest.mark.parametrize(
    "symbol", ["GOV", "", "USDT0X", "ETHFI", "\u03a3\u03a3\u03a3", "\u6bd4\u7279\u5e01", "PEPE", "stkAAVE"]
)
def test_what_looks_like_none_is_merely_unlisted(symbol: str) -> None:
    verdict = TOKENS.judge(ETHEREUM, FAKE, symbol, 18)
    assert verdict.refused is None
    assert verdict.fact is not None
    assert not verdict.fact.is_listed
    assert TokenList(common_tokens(), keeps_to_list=True).judge(ETHEREUM, FAKE, symbol, 18).refused is LeftOut.UNLISTED


@pytest.mark.parametrize(
    "symbol", ["visit eth-claim.com", "$ 1000 Voucher", "t.me/airdrop", "https://x.y", "Claim: usdc"]
)
def test_a_message_is_an_advertisement(symbol: str) -> None:
    assert TOKENS.judge(ETHEREUM, FAKE, symbol, 18).refused is LeftOut.ADVERTISEMENT


def test_a_listed_contract_is_what_it_is_whatever_it_calls_itself() -> None:
    token = TOKENS.by_symbol(ETHEREUM, "usdt")
    assert token is not None
    for symbol in ("USDT", "E\u0422H", "visit me.com"):
        verdict = TOKENS.judge(ETHEREUM, token.contract.upper().replace("X", "x"), symbol, 99)
        assert verdict.fact is not None
        assert (verdict.fact.symbol, verdict.fact.decimals, verdict.fact.is_listed) == ("USDT", 6, True)
    twin = token.contract[:8] + "5" * 28 + token.contract[-6:]
    assert TOKENS.judge(ETHEREUM, twin, "GOV", 18).refused is LeftOut.IMITATION


def test_the_list_that_comes_along_has_addresses_that_can_exist() -> None:
    assert [each for each in common_tokens() if not address_on(each.network, each.contract)] == []
    assert len({(each.network, each.contract) for each in common_tokens()}) == len(common_tokens())
    looks = [(each.network, skeleton(each.symbol)) for each in common_tokens()]
    assert len(set(looks)) == len(looks)
    assert "0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2" in TOKENS.wrapped(ETHEREUM)


def test_a_list_of_one_s_own_is_read_strictly(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text(f'[[token]]\nnetwork = "{ETHEREUM}"\ncontract = "{FAKE}"\nsymbol = "GOV"\ndecimals = 8\n')
    assert read_tokens(path) == (Token(ETHEREUM, FAKE, "GOV", 8),)
    for wrong in ("[[token]]\nsymbol = 'x'", "token = 3", "[[token", path.read_text().replace("8\n", "99\n")):
        path.write_text(wrong)
        with pytest.raises(TokenListMalformed):
            read_tokens(path)


def test_head_and_tail_are_what_is_compared() -> None:
    assert looks_like("0xDd90071D52F20e85c89802e5Dc1eC0A7B6475f92", "0xdd901921594c5ba04c5971295db8931073365f92")
    assert not looks_like("0xDd90" + "1" * 32 + "5f92", "0xdd90" + "1" * 32 + "5f92")
    assert not looks_like("0xdd90" + "1" * 32 + "5f92", "0xdd91" + "1" * 32 + "5f92")
    assert looks_like("bc1qabcd" + "x" * 20 + "wxyz", "bc1qabcd" + "p" * 20 + "wxyz")


def moved(source: str, target: str, units: int, asset: str = "coin") -> Transfer:
    return Transfer(ETHEREUM, 1, 1, 1, f"{source}{target}{units}", source, target, asset, units)


ALICE, FRIEND, TWIN = "0x" + "a" * 40, "0x1234" + "7" * 32 + "5678", "0x1234" + "8" * 32 + "5678"


@pytest.mark.parametrize(
    ("crumb", "is_poison"),
    [
        (moved(TWIN, ALICE, 9), True),
        (moved(ALICE, TWIN, 9), True),
        (moved(ALICE, TWIN, 10), False),
        (moved(ALICE, TWIN, 9, "other"), False),
        (moved("0x" + "c" * 40, TWIN, 9), False),
        (moved(ALICE, FRIEND, 9), False),
        (moved(ALICE, "0x" + "d" * 40, 9), False),
    ],
)
def test_a_crumb_is_poison_only_between_a_victim_and_a_look_alike_of_whom_he_dealt_with(
    crumb: Transfer, *, is_poison: bool
) -> None:
    real = moved(ALICE, FRIEND, 10_000)
    assert Acquaintance().poison([real, crumb], lambda *_: ()) == ({1} if is_poison else set())
    later = Acquaintance([(ETHEREUM, ALICE), (ETHEREUM, FRIEND)])
    assert later.poison([crumb], lambda *_: [real]) == ({0} if is_poison else set())


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(1, 10**30)), max_size=30))
def test_addresses_that_are_not_alike_are_never_poison(moves: list[tuple[int, int, int]]) -> None:
    far = [moved(f"0x{a:04x}{a:036x}", f"0x{b:04x}{b:036x}", units) for a, b, units in moves]
    assert Acquaintance().poison(far, lambda *_: ()) == set()


def test_the_reference_page_has_every_heading_and_reason() -> None:
    page = REFERENCE.read_text()
    for field, headings in _HEADINGS.items():
        told = " | " + ", ".join(f"`{heading}`" for heading in headings.split()) + " |"
        assert any(line.startswith(f"| `{field}` |") and line.endswith(told) for line in page.splitlines()), field
    for reason in (*LeftOut, *Noticed):
        assert f"| `{reason.value}` |" in page
