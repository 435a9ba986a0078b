"""Networks as data: what tells one chain from another, and nothing that acts.

Ids are CAIP-2: `bip122:<first 32 hex digits of the genesis hash>` and `eip155:<chain id>`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import NewType

from holdfast.core.errors import BadInput
from holdfast.core.money import Asset, AssetId

NetworkId = NewType("NetworkId", str)
"""A CAIP-2 chain id, e.g. `eip155:1`."""

EVM_PREFIX = "eip155:"
_CAIP2 = re.compile(r"(bip122):([0-9a-f]{32})|(eip155):([1-9][0-9]{0,31})", re.ASCII)


class NetworkUnknown(BadInput):
    """No network with this id is known here. Use a CAIP-2 id that `GET /v1/networks` lists."""

    code = "network-unknown"


class ScriptType(StrEnum):
    """How a vault's multisig script is wrapped into an address."""

    WSH = "wsh"
    """Native SegWit, BIP 141; address by BIP 173."""
    SH = "sh"
    """Pay to script hash, BIP 16: for coins without SegWit."""


@dataclass(frozen=True, slots=True)
class BitcoinNetwork:
    """A network of the Bitcoin family: address and URI parameters."""

    id: NetworkId
    name: str
    coin: Asset
    hrp: str | None
    """Human-readable part of BIP 173 addresses; None where the coin has no SegWit."""
    p2pkh: int
    """Base58 version byte of pay-to-public-key-hash addresses."""
    p2sh: tuple[int, ...]
    """Base58 version bytes of pay-to-script-hash addresses; the first is the one to write."""
    script_type: ScriptType
    uri_scheme: str
    """Scheme of BIP 21 payment URIs."""
    is_test: bool
    """Whether its coins are worth nothing, so that delays and floors may be shortened."""
    coinbase_maturity: int = 100
    """Confirmations that a miner's reward must have before it can be spent."""
    coin_dust_units: int = 0
    """Least output that nodes relay, where that is not measured by what it costs to spend (Dogecoin)."""


@dataclass(frozen=True, slots=True)
class EvmNetwork:
    """A network of the EVM family."""

    id: NetworkId
    name: str
    coin: Asset
    is_test: bool

    @property
    def chain_id(self) -> int:
        """The EIP-155 chain id."""
        return int(self.id.removeprefix("eip155:"))


Network = BitcoinNetwork | EvmNetwork


def parse_network_id(text: str) -> NetworkId:
    """A CAIP-2 id of a family that Holdfast knows. Raises `NetworkUnknown`."""
    if _CAIP2.fullmatch(text) is None:
        raise NetworkUnknown(f"{text[:80]!r} is not a CAIP-2 id of the bip122 or eip155 family")
    return NetworkId(text)


def native_asset(network: NetworkId, slip44: int, symbol: str, decimals: int) -> Asset:
    """A network's own coin, by SLIP-44 coin type."""
    return Asset(AssetId(f"{network}/slip44:{slip44}"), symbol, decimals)


def _bitcoin(  # noqa: PLR0913  a table row: each column is one parameter
    genesis: str, name: str, symbol: str, slip44: int, *, hrp: str | None, p2pkh: int,
    p2sh: tuple[int, ...], uri_scheme: str, is_test: bool = False, coinbase_maturity: int = 100,
    coin_dust_units: int = 0,
) -> BitcoinNetwork:  # fmt: skip
    network_id = NetworkId(f"bip122:{genesis[:32]}")
    return BitcoinNetwork(
        id=network_id,
        name=name,
        coin=native_asset(network_id, slip44, symbol, 8),
        hrp=hrp,
        p2pkh=p2pkh,
        p2sh=p2sh,
        script_type=ScriptType.WSH if hrp else ScriptType.SH,
        uri_scheme=uri_scheme,
        is_test=is_test,
        coinbase_maturity=coinbase_maturity,
        coin_dust_units=coin_dust_units,
    )


# Parameters from each coin's own chainparams.cpp.
BITCOIN_NETWORKS = (
    _bitcoin("000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f", "bitcoin", "BTC", 0,
             hrp="bc", p2pkh=0x00, p2sh=(0x05,), uri_scheme="bitcoin"),
    _bitcoin("000000000933ea01ad0ee984209779baaec3ced90fa3f408719526f8d77f4943", "bitcoin-testnet3", "tBTC", 1,
             hrp="tb", p2pkh=0x6F, p2sh=(0xC4,), uri_scheme="bitcoin", is_test=True),
    _bitcoin("0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206", "bitcoin-regtest", "rBTC", 1,
             hrp="bcrt", p2pkh=0x6F, p2sh=(0xC4,), uri_scheme="bitcoin", is_test=True),
    _bitcoin("12a765e31ffd4059bada1e25190f6e98c99d9714d334efa41a195a7e7e04bfe2", "litecoin", "LTC", 2,
             hrp="ltc", p2pkh=0x30, p2sh=(0x32, 0x05), uri_scheme="litecoin"),
    _bitcoin("530827f38f93b43ed12af0b3ad25a288dc02ed74d6d7857862df51fc56c416f9", "litecoin-regtest", "rLTC", 1,
             hrp="rltc", p2pkh=0x6F, p2sh=(0x3A, 0xC4), uri_scheme="litecoin", is_test=True),
    _bitcoin("1a91e3dace36e2be3bf030a65679fe821aa1d6ef92e7c9902eb318182c355691", "dogecoin", "DOGE", 3,
             hrp=None, p2pkh=0x1E, p2sh=(0x16,), uri_scheme="dogecoin", coinbase_maturity=240,
             coin_dust_units=1_000_000),
    _bitcoin("3d2160a3b5dc4a9d62e7e66a295f70313ac808440ef7400d6c0772171ce973a5", "dogecoin-regtest", "rDOGE", 1,
             hrp=None, p2pkh=0x6F, p2sh=(0xC4,), uri_scheme="dogecoin", is_test=True, coin_dust_units=1_000_000),
)  # fmt: skip


def evm_network(chain_id: int, name: str, symbol: str, *, slip44: int = 60, is_test: bool = False) -> EvmNetwork:
    """Any EVM network: its parameters are its chain id and the name of its coin (18 decimals)."""
    network_id = NetworkId(f"eip155:{chain_id}")
    return EvmNetwork(network_id, name, native_asset(network_id, slip44, symbol, 18), is_test)


EVM_NETWORKS = (
    evm_network(1, "ethereum", "ETH"),
    evm_network(56, "bnb-smart-chain", "BNB", slip44=714),
    evm_network(137, "polygon", "POL", slip44=966),
    evm_network(8453, "base", "ETH"),
    evm_network(10, "optimism", "ETH"),
    evm_network(42161, "arbitrum", "ETH"),
    evm_network(43114, "avalanche", "AVAX", slip44=9005),
    evm_network(11155111, "sepolia", "SepoliaETH", slip44=1, is_test=True),
    evm_network(31337, "anvil", "ETH", slip44=1, is_test=True),
)

KNOWN_NETWORKS: dict[NetworkId, Network] = {network.id: network for network in (*BITCOIN_NETWORKS, *EVM_NETWORKS)}


def known_network(text: str) -> Network:
    """The network with this CAIP-2 id or name. Raises `NetworkUnknown`."""
    for network in KNOWN_NETWORKS.values():
        if text in (network.id, network.name):
            return network
    raise NetworkUnknown(f"{text[:80]!r}")


def erc20_asset(network: EvmNetwork, contract: str, symbol: str, decimals: int) -> Asset:
    """A token by CAIP-19 `erc20`, its contract address in lower case so that one token has one id."""
    return Asset(AssetId(f"{network.id}/erc20:{contract.lower()}"), symbol, decimals)


def network_by_id(text: str) -> Network:
    """The parameters of the network with this CAIP-2 id. Any EVM network will do: only its chain id counts.

    Raises `NetworkUnknown`.
    """
    network_id = parse_network_id(text)
    if network_id in KNOWN_NETWORKS or not network_id.startswith(EVM_PREFIX):
        return known_network(network_id)
    return evm_network(int(network_id.removeprefix(EVM_PREFIX)), network_id, "coin")
