"""Texts and addresses that are made to be taken for others. Pure rules, the same for every source.

Symbols are compared by their skeleton, as Unicode's security report does (UTS #39, section 4): letters of other
scripts that look like Latin ones become those, and what is not to be seen goes. Addresses are compared by head and
tail, which is all that wallets show and people compare (Tsuchiya and others, "Blockchain Address Poisoning", USENIX
Security 2025).
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import lru_cache
from importlib import resources

from holdfast.trace.model import Transfer

SHOWN = 4
"""Characters at each end that wallets and explorers show of an address, after its prefix."""
CRUMB = 1_000
"""A poisoner sends less than one part in so many of the payment that he imitates: it is his cost."""

_FOLDED = {
    ord(other): line[0]
    for line in resources.files("holdfast.trace.sources").joinpath("confusables.txt").read_text("utf-8").splitlines()
    if not line.startswith("#")
    for other in line[2:]
}
_ALIKE = str.maketrans({"0": "O", "1": "I", "L": "I", "|": "I"})
"""After folding to capitals: l, I and 1 are one shape, and so are O and 0."""
_LINK = re.compile(r"https?:|www\.|\.(com|net|org|io|xyz|app|site|top|vip|pro|info|fi|live|gift|claims?)\b|t\.me", re.I)
_CALL = re.compile(r"\b(visit|claim|airdrop|reward|voucher|bonus|giveaway|redeem)", re.I)


def skeleton(text: str) -> str:
    """What a symbol looks like: capitals and digits only. Two symbols with one skeleton can be taken for each other."""
    plain = "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
    shown = plain.translate(_FOLDED).upper().translate(_FOLDED).translate(_ALIKE)
    return "".join(char for char in shown if char.isalnum())


def is_advertisement(symbol: str) -> bool:
    """Whether a symbol or name is a message: an address to visit, something to claim."""
    return bool(_LINK.search(symbol) or _CALL.search(symbol))


@lru_cache(maxsize=1 << 18)
def ends_of(address: str) -> tuple[str, str]:
    """Head and tail of an address as people see them, without what all addresses of its kind begin with."""
    lower = address.lower() if address[:2] in ("0x", "0X") else address
    body = lower[2:] if lower.startswith("0x") else lower.rpartition("1")[2] if _is_bech32(lower) else lower[1:]
    return body[:SHOWN], body[-SHOWN:]


def looks_like(one: str, other: str) -> bool:
    """Whether two different addresses have the same head and tail."""
    return one.lower() != other.lower() and ends_of(one) == ends_of(other)


Partners = Callable[[str, Collection[str]], Iterable[Transfer]]
"""Known transfers that leave or reach these addresses of a network."""


class Acquaintance:
    """All addresses that were seen, by head and tail: few have a look-alike, and only those are looked into."""

    def __init__(self, addresses: Iterable[tuple[str, str]] = ()) -> None:
        """Networks and addresses that are known already."""
        self._first: dict[tuple[str, str, str], str] = {}
        self._groups: dict[tuple[str, str, str], set[str]] = {}
        for network, address in addresses:
            self._meet(network, address)

    def poison(self, transfers: Sequence[Transfer], known: Partners) -> set[int]:
        """Which of these transfers are crumbs between a victim and an address that looks like one he really dealt with.

        A crumb carries less than one part in `CRUMB` of what the victim and the true address moved of that asset
        between them. Whatever carries more is kept, however alike the addresses: somebody fell for it, and there the
        money went. Chance hardly does it: among a thousand partners of one address, one list in 8,600 has a pair with
        eight equal hexadecimal digits.
        """
        for each in transfers:
            self._meet(each.network, each.source)
            self._meet(each.network, each.target)
        groups = {
            (network, address): self._groups.get((network, *ends_of(address)))
            for network, address in {(one.network, side) for one in transfers for side in (one.source, one.target)}
        } if self._groups else {}  # fmt: skip
        alike = {place: group for place, group in groups.items() if group}
        if not alike:
            return set()
        dealt = _dealings(transfers, alike, known)
        return {
            number for number, each in enumerate(transfers)
            for victim, partner in ((each.source, each.target), (each.target, each.source))
            if any(
                units > each.units * CRUMB
                for other in alike.get((each.network, partner), ()) if other != partner
                for units in [dealt.get((each.network, victim, other, each.asset), 0)]
            )
        }  # fmt: skip

    def _meet(self, network: str, address: str) -> None:
        key = (network, *ends_of(address))
        if self._first.setdefault(key, address) != address:
            self._groups.setdefault(key, {self._first[key]}).add(address)


def _dealings(
    transfers: Sequence[Transfer], alike: dict[tuple[str, str], set[str]], known: Partners
) -> dict[tuple[str, str, str, str], int]:  # fmt: skip
    """By network, victim, partner and asset: the most that the two moved between them at once."""
    wanted: dict[str, set[str]] = defaultdict(set)
    for (network, _), group in alike.items():
        wanted[network] |= group
    stored = (each for network, addresses in wanted.items() for each in known(network, addresses))
    dealt: dict[tuple[str, str, str, str], int] = defaultdict(int)
    for each in (*transfers, *stored):
        for victim, partner in ((each.source, each.target), (each.target, each.source)):
            if partner in wanted[each.network]:
                key = (each.network, victim, partner, each.asset)
                dealt[key] = max(dealt[key], each.units)
    return dealt


def _is_bech32(text: str) -> bool:
    return "1" in text[1:6] and text == text.lower()
