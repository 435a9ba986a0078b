"""What sort of thing a feed means by its own words: categories, abuses, concepts, and names as explorers write them.

Words are those of the INTERPOL taxonomy that GraphSense TagPacks use, and of Etherscan's public name tags. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from holdfast.trace.model import LabelKind

_WORDS = {
    "exchange": LabelKind.EXCHANGE, "cold_wallet": LabelKind.EXCHANGE, "hot_wallet": LabelKind.EXCHANGE,
    "defi_dex": LabelKind.DEX, "dex": LabelKind.DEX, "defi_bridge": LabelKind.BRIDGE, "bridge": LabelKind.BRIDGE,
    "swapper": LabelKind.SWAPPER, "instant_exchange": LabelKind.SWAPPER,
    "mixing_service": LabelKind.MIXER, "mixer": LabelKind.MIXER, "coinjoin": LabelKind.MIXER,
    "gambling": LabelKind.GAMBLING, "payment_processor": LabelKind.PAYMENT, "payment": LabelKind.PAYMENT,
    "market": LabelKind.CUSTODY, "wallet_service": LabelKind.CUSTODY, "hosted_wallet": LabelKind.CUSTODY,
    "mining_service": LabelKind.CUSTODY, "miner": LabelKind.CUSTODY, "service": LabelKind.CUSTODY,
    "defi_lending": LabelKind.CONTRACT, "defi_derivative": LabelKind.CONTRACT, "defi": LabelKind.CONTRACT,
    "token": LabelKind.CONTRACT, "contract": LabelKind.CONTRACT, "smart_contract": LabelKind.CONTRACT,
    "issuer": LabelKind.ISSUER, "black_list": LabelKind.FROZEN, "blacklist": LabelKind.FROZEN,
    "sanction": LabelKind.SANCTIONED, "sanctioned": LabelKind.SANCTIONED, "sanctions": LabelKind.SANCTIONED,
    "service_hack": LabelKind.THEFT, "hack": LabelKind.THEFT, "hacker": LabelKind.THEFT, "hacking": LabelKind.THEFT,
    "exploit": LabelKind.THEFT, "exploiter": LabelKind.THEFT, "theft": LabelKind.THEFT, "heist": LabelKind.THEFT,
    "laundering": LabelKind.THEFT, "cashout": LabelKind.THEFT, "attacker": LabelKind.THEFT,
    "ransomware": LabelKind.CRIME, "scam": LabelKind.CRIME, "phishing": LabelKind.CRIME, "fraud": LabelKind.CRIME,
    "terrorism": LabelKind.CRIME, "dark_web": LabelKind.CRIME, "drugs": LabelKind.CRIME, "weapons": LabelKind.CRIME,
    "social_engineering": LabelKind.CRIME, "extortion": LabelKind.CRIME, "sextortion": LabelKind.CRIME,
    "ponzi_scheme": LabelKind.CRIME, "ponzi": LabelKind.CRIME, "rug_pull": LabelKind.CRIME, "rugpull": LabelKind.CRIME,
    "crime": LabelKind.CRIME, "malware": LabelKind.CRIME, "drainer": LabelKind.CRIME,
    "victim": LabelKind.VICTIM, "user": LabelKind.OTHER, "organization": LabelKind.OTHER, "donation": LabelKind.OTHER,
}  # fmt: skip
_THEFT = re.compile(r"(?<![a-z])(hacker|exploiter|hack|heist|exploit)(?![a-z])", re.IGNORECASE)
_CRIME = re.compile(r"(?<![a-z])(phishing|scam|ponzi|fraud|fake|ransomware|rug ?pull\w*)(?![a-z])", re.IGNORECASE)
_TOKEN = re.compile(r"(?<![a-z])(token|tokens|token ?sale|crowdsale)(?![a-z])|\([A-Z0-9]{2,6}\)$", re.IGNORECASE)
_DEPLOYER = re.compile(r"(?<![a-z])deployer(?![a-z])", re.IGNORECASE)
_NUMBER = re.compile(r"[\s#]*[0-9.]+$")


def kind_of_word(word: str) -> LabelKind | None:
    """The kind that a feed's word means; None: nothing that is known here."""
    plain = word.strip().casefold().replace(" ", "_").replace("-", "_")
    found = _WORDS.get(plain)
    if found is not None:
        return found
    return next((kind for kind in LabelKind if kind.value.replace("-", "_") == plain), None)


def kind_of_words(words: Iterable[str]) -> LabelKind | None:
    """Of several words the first that means something; ill that is said comes before what the owner does."""
    kinds = [kind for kind in map(kind_of_word, words) if kind is not None]
    return next((kind for kind in kinds if kind in _ILL), kinds[0] if kinds else None)


_ILL = frozenset({LabelKind.SANCTIONED, LabelKind.THEFT, LabelKind.CRIME, LabelKind.FROZEN})


def kind_of_name(name: str) -> LabelKind | None:
    """What a name as explorers write it says of the address itself: `Upbit Hacker 4.22`, `AAX Token (AAB)`.

    A token of an exchange and the key that deployed a contract are not the exchange: money is not deposited there.
    """
    if _DEPLOYER.search(name):
        return LabelKind.OTHER
    if _CRIME.search(name):
        return LabelKind.CRIME
    if _THEFT.search(name):
        return LabelKind.THEFT
    return LabelKind.CONTRACT if _TOKEN.search(name) else None


def actor_in(name: str) -> str:
    """The part of an explorer's name that names the actor: `binance` of `Binance 14`, `bancor` of `Bancor: Owner`."""
    return _NUMBER.sub("", name.partition(":")[0]).strip().casefold()
