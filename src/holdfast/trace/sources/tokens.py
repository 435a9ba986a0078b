"""Which tokens are what they say. A token is its contract: its symbol is a text that its maker chose. Pure.

A list names the tokens that count in sums. What imitates one of them is refused; what is merely on no list is kept as
an asset of its own, under its contract, and marked, so that it can be followed if it was stolen but is never added to
anything.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import msgspec

from holdfast.core.errors import BadInput
from holdfast.core.networks import KNOWN_NETWORKS
from holdfast.trace.labels.addresses import TRON, key_of
from holdfast.trace.sources.lookalikes import is_advertisement, looks_like, skeleton
from holdfast.trace.sources.port import LeftOut
from holdfast.trace.store_parts import AssetFact

DECIMALS_MAX = 36
_SHORT_SYMBOL = 2
"""Skeletons up to this length are too common to imitate anything."""


class TokenListMalformed(BadInput):
    """A list of tokens cannot be read. Write `[[token]]` with network, contract, symbol and decimals for each."""

    code = "token-list-malformed"


class Token(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One admitted token."""

    network: str
    contract: str
    symbol: str
    decimals: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a token is."""

    asset: str = ""
    """CAIP-19; empty: it is refused."""
    fact: AssetFact | None = None
    """None: it is refused."""
    refused: LeftOut | None = None


class TokenList:
    """Admitted tokens of all networks."""

    def __init__(self, tokens: Iterable[Token] = (), *, keeps_to_list: bool = False) -> None:
        """`keeps_to_list`: refuse every token that is not on it."""
        self.tokens = tuple(tokens)
        self.keeps_to_list = keeps_to_list
        self._listed = {key_of(each.network, each.contract): each for each in self.tokens}
        self._looks: dict[str, set[str]] = {}
        self._judged: dict[tuple[str, str, str, int | None], Verdict] = {}
        for each in self.tokens:
            self._looks.setdefault(each.network, set()).add(skeleton(each.symbol))
        for network in KNOWN_NETWORKS.values():
            self._looks.setdefault(network.id, set()).add(skeleton(network.coin.symbol))
        self._everywhere = {look for looks in self._looks.values() for look in looks if len(look) > _SHORT_SYMBOL}

    def listed(self, network: str, contract: str) -> Token | None:
        """The token of this contract, if it is admitted."""
        return self._listed.get(key_of(network, contract))

    def by_symbol(self, network: str, symbol: str) -> Token | None:
        """The one admitted token with exactly this symbol (letters' case apart), for files that give no contract."""
        found = [each for each in self.tokens if each.network == network and each.symbol.upper() == symbol.upper()]
        return found[0] if len(found) == 1 else None

    def wrapped(self, network: str) -> frozenset[str]:
        """Contracts (lower case) that give a token for the network's own coin, one for one."""
        known = KNOWN_NETWORKS.get(network)  # type: ignore[call-overload]  # any text may be asked for
        coin = known.coin.symbol if known is not None else ""
        found = (each for each in self.tokens if each.network == network and each.symbol == f"W{coin}")
        return frozenset(each.contract.lower() for each in found)

    def judge(self, network: str, contract: str, symbol: str, decimals: int | None) -> Verdict:
        """What a token is that calls itself so. `decimals`: as its contract or the source says; None: nobody does."""
        said = (network, contract, symbol, decimals)
        if said not in self._judged:
            self._judged[said] = self._judge(network, contract, symbol, decimals)
        return self._judged[said]

    def _judge(self, network: str, contract: str, symbol: str, decimals: int | None) -> Verdict:
        token = self.listed(network, contract)
        if token is not None:
            return Verdict(asset_of(network, contract), AssetFact(token.symbol, token.decimals))
        refused = self._refusal(network, contract, symbol)
        if refused is not None:
            return Verdict(refused=refused)
        if decimals is not None and not 0 <= decimals <= DECIMALS_MAX:
            return Verdict(refused=LeftOut.MALFORMED)
        places = 18 if decimals is None else decimals
        return Verdict(asset_of(network, contract), AssetFact(symbol[:32], places, is_listed=False))

    def _refusal(self, network: str, contract: str, symbol: str) -> LeftOut | None:
        look = skeleton(symbol)
        is_disguised = not symbol.isascii() and look in self._everywhere
        if look in self._looks.get(network, ()) or is_disguised:
            return LeftOut.IMITATION
        if any(looks_like(contract, each.contract) for each in self.tokens if each.network == network):
            return LeftOut.IMITATION
        if is_advertisement(symbol):
            return LeftOut.ADVERTISEMENT
        return LeftOut.UNLISTED if self.keeps_to_list else None


def asset_of(network: str, contract: str) -> str:
    """CAIP-19 of a token: `erc20` on EVM networks, with the contract in lower case, `trc20` on TRON."""
    if network == TRON:
        return f"{network}/trc20:{contract}"
    if network.startswith("eip155:"):
        return f"{network}/erc20:{contract.lower()}"
    return f"{network}/token:{contract}"


def read_tokens(path: Path) -> tuple[Token, ...]:
    """The tokens of a TOML file. Raises `TokenListMalformed`."""
    try:
        return _tokens(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise TokenListMalformed(f"{path.name}: {error}") from None


def common_tokens() -> tuple[Token, ...]:
    """The list that comes with Holdfast: coins' wrappers, and what is stolen most."""
    return _tokens(resources.files("holdfast.trace.sources").joinpath("tokens.toml").read_text("utf-8"))


def _tokens(text: str) -> tuple[Token, ...]:
    try:
        found = msgspec.convert(tomllib.loads(text).get("token", []), tuple[Token, ...])
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise TokenListMalformed(str(error)[:200]) from None
    for each in found:
        if not 0 <= each.decimals <= DECIMALS_MAX:
            raise TokenListMalformed(f"{each.symbol[:20]!r} has {each.decimals} decimal places")
    return found
