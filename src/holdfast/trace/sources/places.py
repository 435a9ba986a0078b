"""Networks and addresses as files and explorers name them, made into the forms in which they are compared. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from holdfast.core.errors import BadInput
from holdfast.core.networks import KNOWN_NETWORKS, NetworkId, NetworkUnknown, network_by_id
from holdfast.trace.labels.addresses import (
    BITCOIN,
    BITCOIN_CASH,
    BITCOIN_GOLD,
    BITCOIN_SV,
    DASH,
    DOGECOIN,
    LITECOIN,
    MONERO,
    SOLANA,
    TRON,
    VERGE,
    XRP,
    ZCASH,
    place_of,
)

_NAMES = {
    "ethereum": "eip155:1", "eth": "eip155:1", "ethereummainnet": "eip155:1", "erc20": "eip155:1",
    "bnbsmartchain": "eip155:56", "bnbchain": "eip155:56", "bsc": "eip155:56", "bnb": "eip155:56",
    "binancesmartchain": "eip155:56", "bep20": "eip155:56", "binance": "eip155:56",
    "polygon": "eip155:137", "matic": "eip155:137", "pol": "eip155:137", "polygonpos": "eip155:137",
    "avalanche": "eip155:43114", "avax": "eip155:43114", "avalanchecchain": "eip155:43114", "avaxc": "eip155:43114",
    "arbitrum": "eip155:42161", "arbitrumone": "eip155:42161", "arb": "eip155:42161",
    "optimism": "eip155:10", "op": "eip155:10", "opmainnet": "eip155:10", "base": "eip155:8453",
    "gnosis": "eip155:100", "xdai": "eip155:100", "fantom": "eip155:250", "ftm": "eip155:250",
    "harmony": "eip155:1666600000", "cronos": "eip155:25", "linea": "eip155:59144", "zksync": "eip155:324",
    "scroll": "eip155:534352", "blast": "eip155:81457", "mantle": "eip155:5000", "ronin": "eip155:2020",
    "ethereumclassic": "eip155:61", "etc": "eip155:61", "sepolia": "eip155:11155111", "anvil": "eip155:31337",
    "heco": "eip155:128", "klaytn": "eip155:8217", "moonbeam": "eip155:1284", "celo": "eip155:42220",
    "bitcoin": BITCOIN, "btc": BITCOIN, "xbt": BITCOIN, "litecoin": LITECOIN, "ltc": LITECOIN,
    "dogecoin": DOGECOIN, "doge": DOGECOIN, "bitcoincash": BITCOIN_CASH, "bch": BITCOIN_CASH, "bsv": BITCOIN_SV,
    "zcash": ZCASH, "zec": ZCASH, "dash": DASH, "tron": TRON, "trx": TRON, "trc20": TRON,
    "solana": SOLANA, "sol": SOLANA, "ripple": XRP, "xrp": XRP, "xrpl": XRP, "monero": MONERO, "xmr": MONERO,
}  # fmt: skip
_CAIP = {"tron:728126428": TRON, "tron:mainnet": TRON, "solana:mainnet": SOLANA, "xrpl:mainnet": XRP}
"""Other ids that are in use for the same networks."""
_COINS = {
    TRON: ("TRX", 195, 6), SOLANA: ("SOL", 501, 9), XRP: ("XRP", 144, 6), MONERO: ("XMR", 128, 12),
    BITCOIN_CASH: ("BCH", 145, 8), BITCOIN_SV: ("BSV", 236, 8), BITCOIN_GOLD: ("BTG", 156, 8), ZCASH: ("ZEC", 133, 8),
    DASH: ("DASH", 5, 8), VERGE: ("XVG", 77, 6),
}  # fmt: skip
"""Of networks that Holdfast does not run on: symbol, SLIP-44 number, decimal places."""
_EVM_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)
_FORMS = (
    (re.compile(r"T[1-9A-HJ-NP-Za-km-z]{33}", re.ASCII), TRON),
    (re.compile(r"bc1[0-9a-z]{11,71}", re.ASCII), BITCOIN),
    (re.compile(r"[13][1-9A-HJ-NP-Za-km-z]{25,34}", re.ASCII), BITCOIN),
    (re.compile(r"ltc1[0-9a-z]{11,71}", re.ASCII), LITECOIN),
    (re.compile(r"D[1-9A-HJ-NP-Za-km-z]{33}", re.ASCII), DOGECOIN),
)
_EVM_HASH = re.compile(r"(?:0x)?([0-9a-fA-F]{64})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Coin:
    """A network's own coin."""

    asset: str
    """CAIP-19."""
    symbol: str
    decimals: int


@lru_cache(maxsize=1024)
def network_named(text: str) -> str:
    """CAIP-2 of a network by id, name, ticker or EIP-155 number; empty: unknown."""
    plain = text.strip()
    known = next((each.id for each in KNOWN_NETWORKS.values() if plain in (each.id, each.name)), None)
    if known is not None:
        return known
    if plain.isascii() and plain.isdigit() and 0 < int(plain[:32]) < 1 << 64:
        return f"eip155:{int(plain)}"
    if plain in _CAIP:
        return _CAIP[plain]
    if plain in _COINS or re.fullmatch(r"eip155:[1-9][0-9]{0,31}", plain, re.ASCII):
        return plain
    return _NAMES.get("".join(char for char in plain.lower() if char.isalnum()), "")


@lru_cache(maxsize=1 << 20)
def network_of_form(address: str) -> str:
    """The network that an address's form points to, where no one says it; Ethereum for EVM. Empty: none."""
    if _EVM_ADDRESS.fullmatch(address):
        return "eip155:1"
    return next((network for form, network in _FORMS if form.fullmatch(address)), "")


@lru_cache(maxsize=1 << 20)
def address_on(network: str, text: str) -> str:
    """An address in the form in which it is compared; empty: it is none of this network, or its checksum is wrong."""
    try:
        return place_of(network, text).address
    except BadInput:
        return ""


@lru_cache(maxsize=1024)
def coin_of(network: str) -> Coin:
    """A network's coin. Raises `NetworkUnknown`."""
    if network in _COINS:
        symbol, number, decimals = _COINS[network]
        return Coin(f"{network}/slip44:{number}", symbol, decimals)
    if NetworkId(network) not in KNOWN_NETWORKS and not network.startswith("eip155:"):
        raise NetworkUnknown(network[:80])
    coin = network_by_id(network).coin
    return Coin(coin.id, coin.symbol, coin.decimals)


def transaction_on(network: str, text: str) -> str:
    """A transaction's id as its network writes it; what has no such form is left as it is."""
    plain = text.strip()
    match = _EVM_HASH.fullmatch(plain)
    if match is None:
        return plain
    return ("0x" if network.startswith("eip155:") else "") + match[1].lower()
