"""Addresses of the networks that label feeds speak of: each form checked as far as it has a checksum. Pure.

Holdfast's own networks are checked by `core.addresses`; here are also those that it does not run on but that thieves
use. An address that cannot be checked is refused, so a network without a known form has no labels.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from embit import bech32

from holdfast.core import evm
from holdfast.core.errors import BadInput
from holdfast.core.evm import keccak256
from holdfast.core.networks import BITCOIN_NETWORKS, EVM_PREFIX, BitcoinNetwork

ANY_EVM = "eip155:*"
"""The account of a key: the same on every EVM network."""
TRON = "tron:0x2b6653dc"
SOLANA = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"
XRP = "xrpl:0"
MONERO = "monero:418015bb9ae982a1975da7d79277c270"
"""By its genesis block, as the Bitcoin family is named; CAIP has no namespace for it."""

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_RIPPLE = "rpshnaf39wBUDNEGHJKLM4PQRST7VWXYZ2bcdeCg65jkm8oFqi1tuvAxyz"
_CHECKSUM_BYTES = 4


class TickerUnknown(BadInput):
    """Addresses of this ticker or network cannot be checked here. Name a CAIP-2 id that the labels page lists."""

    code = "ticker-unknown"


class LabelAddressMalformed(BadInput):
    """The text is not an address of that network. Copy the address again, whole."""

    code = "label-address-malformed"


class LabelAddressChecksumWrong(BadInput):
    """The address does not fit its own checksum, so nobody can have used it. Ask the source where it has it from."""

    code = "label-address-checksum-wrong"


def _number(text: str, alphabet: str) -> int:
    number = 0
    for char in text:
        digit = alphabet.find(char)
        if digit < 0:
            raise LabelAddressMalformed(f"{text[:100]!r}")
        number = number * 58 + digit
    return number


def _payload(text: str, alphabet: str = _BASE58) -> bytes:
    """The bytes of a base58 text with a checksum of four bytes, without the checksum."""
    if not 20 <= len(text) <= 100:
        raise LabelAddressMalformed(f"{text[:100]!r}")
    number = _number(text, alphabet)
    zeros = len(text) - len(text.lstrip(alphabet[0]))
    raw = bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")
    body, check = raw[:-_CHECKSUM_BYTES], raw[-_CHECKSUM_BYTES:]
    if sha256(sha256(body).digest()).digest()[:_CHECKSUM_BYTES] != check:
        raise LabelAddressChecksumWrong(f"{text[:100]!r}")
    return body


def _base58check(text: str, versions: tuple[bytes, ...], alphabet: str = _BASE58) -> str:
    body = _payload(text, alphabet)
    if not any(body.startswith(version) and len(body) == len(version) + 20 for version in versions):
        raise LabelAddressMalformed(f"{text[:100]!r} is an address of another network")
    return text


def _bitcoin_family(versions: tuple[int, ...], hrp: str | None) -> Callable[[str], str]:
    prefixes = tuple(bytes([version]) for version in versions)

    def form(text: str) -> str:
        lower = text.lower()
        if hrp is not None and lower.startswith(hrp + "1") and text in (lower, text.upper()):
            if bech32.decode(hrp, lower) == (None, None):
                raise LabelAddressChecksumWrong(f"{text[:100]!r}")
            return lower
        return _base58check(text, prefixes)

    return form


def _network_form(network: BitcoinNetwork) -> Callable[[str], str]:
    return _bitcoin_family((network.p2pkh, *network.p2sh), network.hrp)


def _evm(text: str) -> str:
    try:
        return evm.parse_address(text)
    except evm.EvmAddressChecksumWrong as wrong:
        raise LabelAddressChecksumWrong(wrong.detail) from wrong
    except evm.EvmAddressMalformed as malformed:
        raise LabelAddressMalformed(malformed.detail) from malformed


def _tron(text: str) -> str:
    return _base58check(text, (b"\x41",))


def _is_tron(text: str) -> bool:
    try:
        return text.startswith("T") and _tron(text) == text
    except (LabelAddressMalformed, LabelAddressChecksumWrong):
        return False


def _ripple(text: str) -> str:
    return _base58check(text, (b"\x00",), _RIPPLE)


def _solana(text: str) -> str:
    """A key of 32 bytes in base58: there is no checksum."""
    if not 32 <= len(text) <= 44:
        raise LabelAddressMalformed(f"{text[:100]!r}")
    zeros = len(text) - len(text.lstrip("1"))
    if zeros + (_number(text, _BASE58).bit_length() + 7) // 8 != 32:
        raise LabelAddressMalformed(f"{text[:100]!r}")
    return text


_MONERO_BLOCK = {2: 1, 3: 2, 5: 3, 6: 4, 7: 5, 9: 6, 10: 7, 11: 8}
"""Letters to bytes: Monero writes blocks of eight bytes as eleven letters."""
_MONERO_LETTERS = {95: 69, 106: 77}
"""A plain or subaddress; one with a payment id."""


def _monero(text: str) -> str:
    if len(text) not in _MONERO_LETTERS or text[0] not in "48":
        raise LabelAddressMalformed(f"{text[:120]!r}")
    raw = b""
    for start in range(0, len(text), 11):
        block = text[start : start + 11]
        size = _MONERO_BLOCK.get(len(block), 0)
        number = _number(block, _BASE58)
        if number >= 1 << 8 * size:
            raise LabelAddressMalformed(f"{text[:120]!r}")
        raw += number.to_bytes(size, "big")
    if keccak256(raw[:-_CHECKSUM_BYTES])[:_CHECKSUM_BYTES] != raw[-_CHECKSUM_BYTES:]:
        raise LabelAddressChecksumWrong(f"{text[:120]!r}")
    return text


_CASH = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_CASH_GENERATOR = (0x98F2BC8E61, 0x79B76D99E2, 0xF33E5FB3C4, 0xAE2EABE2A8, 0x1E4F43E470)


def _cash_polymod(values: list[int]) -> int:
    check = 1
    for value in values:
        top = check >> 35
        check = (check & 0x07FFFFFFFF) << 5 ^ value
        for bit, generator in enumerate(_CASH_GENERATOR):
            if top >> bit & 1:
                check ^= generator
    return check ^ 1


def _bitcoin_cash(text: str) -> str:
    """Both of its forms, as base58: `cashaddr` says the same in other letters (with or without its prefix)."""
    body = text.lower().removeprefix("bitcoincash:")
    if len(body) != 42 or body[0] not in "qp":
        return _base58check(text, (b"\x00", b"\x05"))
    try:
        values = [_CASH.index(char) for char in body]
    except ValueError as odd:
        raise LabelAddressMalformed(f"{text[:100]!r}") from odd
    if _cash_polymod([ord(char) & 31 for char in "bitcoincash"] + [0, *values]) != 0:
        raise LabelAddressChecksumWrong(f"{text[:100]!r}")
    number = 0
    for value in values[:34]:
        number = number << 5 | value
    raw = (number >> 2).to_bytes(21, "big")
    version = b"\x05" if raw[0] & 0x78 else b"\x00"
    return _encoded(version + raw[1:])


def _encoded(body: bytes) -> str:
    raw = body + sha256(sha256(body).digest()).digest()[:_CHECKSUM_BYTES]
    number, text = int.from_bytes(raw, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = _BASE58[digit] + text
    return "1" * (len(raw) - len(raw.lstrip(b"\x00"))) + text


def _zcash(text: str) -> str:
    return _base58check(text, (b"\x1c\xb8", b"\x1c\xbd"))


def _bip122(block: str) -> str:
    return f"bip122:{block[:32]}"


_BY_NAME = {each.name: each for each in BITCOIN_NETWORKS}
BITCOIN, LITECOIN, DOGECOIN = (str(_BY_NAME[name].id) for name in ("bitcoin", "litecoin", "dogecoin"))
BITCOIN_CASH = _bip122("000000000000000000651ef99cb9fcbe")
"""Forks are named by the first block that is theirs alone."""
BITCOIN_SV = _bip122("000000000000000001d956714215d96f")
BITCOIN_GOLD = _bip122("0000000000000000000e5438564434ed")
ZCASH = _bip122("00040fe8ec8471911baa1db1266ea15d")
DASH = _bip122("00000ffd590b1485b3caadc19b22e637")
VERGE = _bip122("00000fc63692467faeb20cdb3b53200d")

_FORMS: dict[str, Callable[[str], str]] = {
    **{str(each.id): _network_form(each) for each in BITCOIN_NETWORKS},
    BITCOIN_CASH: _bitcoin_cash,
    BITCOIN_SV: _bitcoin_cash,
    BITCOIN_GOLD: _bitcoin_family((0x26, 0x17), "btg"),
    ZCASH: _zcash,
    DASH: _bitcoin_family((0x4C, 0x10), None),
    VERGE: _bitcoin_family((0x1E, 0x21), None),
    TRON: _tron,
    SOLANA: _solana,
    XRP: _ripple,
    MONERO: _monero,
}
_TICKERS = {
    "BTC": BITCOIN, "XBT": BITCOIN, "OMNI": BITCOIN, "LTC": LITECOIN, "DOGE": DOGECOIN, "BCH": BITCOIN_CASH,
    "BSV": BITCOIN_SV, "BTG": BITCOIN_GOLD, "ZEC": ZCASH, "DASH": DASH, "XVG": VERGE, "XMR": MONERO, "XRP": XRP,
    "TRX": TRON, "TRON": TRON, "SOL": SOLANA, "ETH": "eip155:1", "ETC": "eip155:61", "BSC": "eip155:56",
    "BEP20": "eip155:56", "BNB": "eip155:56", "MATIC": "eip155:137", "POL": "eip155:137", "AVAX": "eip155:43114",
    "ARB": "eip155:42161", "BASE": "eip155:8453", "OP": "eip155:10", "RBTC": "eip155:30",
}  # fmt: skip
_ALIASES = {"tron:728126428": TRON, "solana:mainnet": SOLANA, "xrpl:mainnet": XRP}
"""Other ways to write the same CAIP-2 id."""
_EVERYWHERE = frozenset({"USDT", "USDC", "DAI", "BUSD", "TUSD"})
"""Tokens that several networks have: the address's own form says which family is meant."""
_EVM_ID = re.compile(r"eip155:(\*|[1-9][0-9]{0,31})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Place:
    """An address with its network, in the form in which both are compared."""

    network: str
    address: str


def place_of(named: str, text: str) -> Place:
    """A place by what a feed calls its network: a ticker, or a CAIP-2 id.

    Raises `TickerUnknown`, `LabelAddressMalformed`, `LabelAddressChecksumWrong`.
    """
    text = text.strip()
    network = _ALIASES.get(named.strip(), named.strip())
    if _EVM_ID.fullmatch(network):
        return Place(network, _evm(text))
    if network not in _FORMS:
        network = _by_ticker(network.upper(), text)
    return Place(network, _evm(text) if network.startswith(EVM_PREFIX) else _FORMS[network](text))


def _by_ticker(ticker: str, text: str) -> str:
    if _is_tron(text):  # its version byte is nobody else's, so lists that file it under another ticker still mean it
        return TRON
    if ticker in _EVERYWHERE:
        return ANY_EVM if text.startswith("0x") else SOLANA if len(text) in (43, 44) else BITCOIN
    found = _TICKERS.get(ticker)
    if found is None:
        raise TickerUnknown(f"{ticker[:40]!r}")
    return found


def key_of(network: str, address: str) -> tuple[str, str]:
    """What two ways to write one address have in common: on EVM the letters' case says nothing."""
    return network, address.lower() if network.startswith(EVM_PREFIX) else address
